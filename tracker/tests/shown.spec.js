// Pages that the browser keeps alive while the visitor is elsewhere, or renders before they are
// shown. Playwright turns both off.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import config from "../../tests/e2e/playwright.config.js";
import { expect, GRANTED, hits, open, page, remember, sent, test, told } from "./tracker.mjs";

test.use({
  launchOptions: {
    ...config.use.launchOptions,
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  },
});

test.beforeEach(({ fake }) => {
  fake.pages = {
    "/page": page("data-vitals", `<main><h1>A page</h1><a href="/ahead">ahead</a></main>`),
    "/ahead": page("", "<h1>Ahead</h1>"),
  };
});

const leaveAndReturn = async (page, meanwhile = () => {}) => {
  await page.evaluate(() =>
    addEventListener("pageshow", ({ persisted }) => {
      window.returned = persisted;
    }),
  );
  await page.goto("/elsewhere");
  await meanwhile();
  await page.goBack({ waitUntil: "commit" });
  await page.waitForFunction(() => window.returned === true);
};

const main = (fake) => told(fake).filter((hit) => !hit.startsWith("vital"));

test("back from the browser's page cache is a new view, without a referrer, with its own attention and speed", async ({
  page,
  fake,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.waitForTimeout(500);
  await page.evaluate(() => history.replaceState(0, "", "/page/moved"));
  await leaveAndReturn(page, () => page.waitForTimeout(1000));
  await expect
    .poll(() => main(fake))
    .toEqual([
      "view /page",
      "leave /page",
      "view /page/moved",
      "leave /page/moved",
      "view /page/moved",
    ]);
  await page.waitForTimeout(300);
  await page.goto("/elsewhere");
  await expect.poll(() => main(fake).length).toBe(6);
  const back = hits(fake)
    .filter(({ kind }) => kind === "view")
    .at(-1);
  expect(back.referrer).toBe("");
  const leave = hits(fake)
    .filter(({ kind }) => kind === "leave")
    .at(-1);
  expect(leave.engaged).toBeGreaterThanOrEqual(300);
  expect(leave.engaged).toBeLessThan(1000); // the second elsewhere is nobody's attention
  const speeds = hits(fake)
    .filter(({ kind }) => kind === "vital")
    .map(({ url, metric }) => `${metric} ${new URL(url).pathname}`);
  await expect
    .poll(() => speeds.filter((speed) => speed.startsWith("TTFB")))
    .toEqual(["TTFB /page", "TTFB /page/moved"]);
});

test("back from it, one who changed their mind elsewhere is not counted", async ({
  page,
  fake,
  context,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await leaveAndReturn(page, () => remember(context, fake, "1."));
  await page.evaluate(() => window.footfall.consent.ready);
  await page.waitForTimeout(200);
  expect(main(fake)).toEqual(["view /page", "leave /page"]);
});

// Playwright forbids rendering ahead, so this is a browser that nobody drives: the first page does
// what a visitor would.
test("a page rendered ahead is counted when it is shown, and not before", async ({ fake }) => {
  fake.policy = "script-src 'self' 'unsafe-inline'";
  fake.pages["/page"] = () =>
    page(
      "",
      `<h1>A page</h1><a href="/ahead">ahead</a><script>
    document.cookie = "fake_consent=${GRANTED}; path=/";
    const rules = document.createElement("script");
    rules.type = "speculationrules";
    rules.textContent = JSON.stringify({ prerender: [{ urls: ["/ahead"], eagerness: "immediate" }] });
    addEventListener("load", () => document.head.append(rules));
    setTimeout(() => document.querySelector("a").click(), 4000);
  </script>`,
    )();
  fake.pages["/ahead"] = () =>
    page(
      "",
      "<h1>Ahead</h1><script>window.ahead = document.prerendering; setTimeout(() => " +
        `footfall.event("rendered ahead: " + ahead), 6000);</script>`,
    )();
  const { executablePath, args } = config.use.launchOptions;
  const profile = mkdtempSync(join(tmpdir(), "footfall-ahead-"));
  const browser = spawn(
    executablePath,
    [
      ...args,
      "--headless=new",
      "--remote-debugging-port=0",
      `--user-data-dir=${profile}`,
      `${fake.url}/page`,
    ],
    { stdio: "ignore", detached: true },
  );
  try {
    await expect.poll(() => main(fake)).toEqual(["view /page"]);
    await expect
      .poll(() => fake.requests.length, { message: "its scripts have asked what holds" })
      .toBe(2);
    await new Promise((done) => setTimeout(done, 500));
    expect(main(fake)).toEqual(["view /page"]);
    // Two pages, two requests: either may arrive first.
    await expect
      .poll(() => main(fake).sort())
      .toEqual(["event rendered ahead: true", "leave /page", "view /ahead", "view /page"]);
    for (const { headers } of fake.posts) expect(headers["sec-purpose"]).toBeUndefined();
    const ids = hits(fake).map(({ id }) => id);
    expect(new Set(ids).size).toBe(4);
  } finally {
    process.kill(-browser.pid, "SIGKILL");
    await new Promise((done) => browser.once("close", done));
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});
