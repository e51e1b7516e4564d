// Pages that the browser keeps alive while the visitor is elsewhere, or renders before they are shown. Playwright turns both off, or would
// answer for the network itself: here they are on.
import config from "../../tests/e2e/playwright.config.js";
import { expect, GRANTED, hits, open, page, remember, sent, test, told } from "./tracker.mjs";

test.use({ launchOptions: { ...config.use.launchOptions, ignoreDefaultArgs: ["--disable-back-forward-cache"] } });

test.beforeEach(({ fake }) => {
  fake.pages = { "/page": page("data-vitals", `<main><h1>A page</h1><a href="/ahead">ahead</a></main>`), "/ahead": page("", "<h1>Ahead</h1>") };
});

const leaveAndReturn = async (page, meanwhile = () => {}) => {
  await page.evaluate(() => addEventListener("pageshow", ({ persisted }) => { window.returned = persisted; }));
  await page.goto("/elsewhere");
  await meanwhile();
  await page.goBack({ waitUntil: "commit" });
  await page.waitForFunction(() => window.returned === true);
};

const main = (fake) => told(fake).filter((hit) => !hit.startsWith("vital"));

test("back from the browser's page cache is a new view, without a referrer, with attention and speed of its own", async ({ page, fake }) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.waitForTimeout(500);
  await page.evaluate(() => history.replaceState(0, "", "/page/moved"));
  await leaveAndReturn(page, () => page.waitForTimeout(1000));
  await expect.poll(() => main(fake)).toEqual(["view /page", "leave /page", "view /page/moved", "leave /page/moved", "view /page/moved"]);
  await page.waitForTimeout(300);
  await page.goto("/elsewhere");
  await expect.poll(() => main(fake).length).toBe(6);
  const back = hits(fake).filter(({ kind }) => kind === "view").at(-1);
  expect(back.referrer).toBe("");
  const leave = hits(fake).filter(({ kind }) => kind === "leave").at(-1);
  expect(leave.engaged).toBeGreaterThanOrEqual(300);
  expect(leave.engaged).toBeLessThan(1000); // the second elsewhere is nobody's attention
  const speeds = hits(fake).filter(({ kind }) => kind === "vital").map(({ url, metric }) => `${metric} ${new URL(url).pathname}`);
  await expect.poll(() => speeds.filter((speed) => speed.startsWith("TTFB"))).toEqual(["TTFB /page", "TTFB /page/moved"]);
});

test("back from it, one who changed their mind elsewhere is not counted", async ({ page, fake, context }) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await leaveAndReturn(page, () => remember(context, fake, "1."));
  await page.evaluate(() => window.footfall.consent.ready);
  await page.waitForTimeout(200);
  expect(main(fake)).toEqual(["view /page", "leave /page"]);
});

test("a page rendered ahead is counted when it is shown, and not before", async ({ page, fake }) => {
  fake.policy = "default-src 'none'; script-src 'self' 'inline-speculation-rules'; connect-src 'self'";
  await remember(page.context(), fake, GRANTED);
  await page.goto("/page");
  await expect.poll(() => main(fake)).toEqual(["view /page"]);
  const requested = fake.requests.length;
  await (await page.context().newCDPSession(page)).send("Page.setPrerenderingAllowed", { isAllowed: true });
  await page.evaluate(() => {
    const rules = document.createElement("script");
    rules.type = "speculationrules";
    rules.textContent = JSON.stringify({ prerender: [{ urls: ["/ahead"], eagerness: "immediate" }] });
    document.head.append(rules);
  });
  // It asked what holds, so its scripts have run: nobody has seen it.
  await expect.poll(() => fake.requests.length, { message: "rendered ahead" }).toBe(requested + 1);
  await page.waitForTimeout(500);
  expect(main(fake)).toEqual(["view /page"]);
  await page.evaluate(() => setTimeout(() => document.querySelector("a").click()));
  await expect.poll(() => main(fake)).toEqual(["view /page", "leave /page", "view /ahead"]);
  expect(fake.requests.length, "shown as it was rendered, not loaded again").toBe(requested + 1);
});
