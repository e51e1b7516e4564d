// The first load of a dashboard: the report is requested before the application is there, its
// headline numbers are drawn first, and all of it is one answer. From made answers, see made.js.
import { counters, expect, gone, json, report, test } from "./made.js";

const REPORT = "/report";
const headline = (page, label) =>
  page
    .locator(".metric")
    .filter({ has: page.getByText(label, { exact: true }) })
    .locator("b");

/** Holds the main script until `release` is called. */
const holdMain = async (page) => {
  let release;
  const held = new Promise((done) => (release = done));
  await page.route("**/assets/main-*.js", async (route) => (await held, route.fallback()));
  return release;
};

test("the report is requested before the main script is there, and only once", async ({
  page,
  show,
}) => {
  const release = await holdMain(page);
  const requested = page.waitForRequest((request) => request.url().includes(REPORT));
  const shown = show(report(), "/?site=mia&range=28d&filter=page:/u/mia");
  const { pathname, searchParams } = new URL((await requested).url());
  expect(pathname).toBe("/api/v1/sites/mia/report");
  expect([searchParams.get("range"), searchParams.get("filter")]).toEqual(["28d", "page:/u/mia"]);
  expect(await page.locator(".metric").count()).toBe(0);

  release();
  const asked = await shown;
  await expect(headline(page, "Visitors")).toHaveText("137");
  expect(asked).toHaveLength(1);
});

for (const [path, why] of [
  ["/", "no site is chosen"],
  ["/login?site=mia", "the page is another one"],
]) {
  test(`nothing is requested early where ${why}`, async ({ page, show }) => {
    const release = await holdMain(page);
    const main = page.waitForRequest(/\/assets\/main-/);
    const asked = [];
    page.on("request", (request) => request.url().includes(REPORT) && asked.push(request.url()));
    const shown = show(report(), path).catch(() => {}); // the login page has no numbers
    await main;
    await page.waitForFunction(() =>
      performance.getEntriesByType("resource").some(({ name }) => name.includes("/assets/start-")),
    );
    await page.evaluate(() => new Promise((done) => setTimeout(done, 100)));
    expect(asked).toEqual([]);
    release();
    if (path === "/") await shown;
  });
}

for (const [name, fail, heading] of [
  ["is rejected", gone, "The numbers cannot be read right now"],
  ["finds no collector", (route) => route.abort(), "The collector cannot be reached"],
]) {
  test(`an early request that ${name} shows the usual error, and is not repeated at once`, async ({
    page,
    show,
    answers,
  }) => {
    const asked = [];
    answers[REPORT] = (route, url) => (asked.push(url.search), fail(route));
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    const release = await holdMain(page);
    const failed = page.waitForEvent(fail === gone ? "response" : "requestfailed", (of) =>
      of.url().includes(REPORT),
    );
    const shown = show(report());
    await failed;
    release();
    await shown;
    await expect(page.getByRole("heading", { name: heading })).toBeVisible();
    expect(asked).toHaveLength(1);

    delete answers[REPORT];
    await page.getByRole("button", { name: "Try again" }).click();
    await expect(headline(page, "Visitors")).toHaveText("137");
    expect(errors).toEqual([]);
  });
}

test("an early request is cancelled when another range is chosen before its answer", async ({
  page,
  show,
  answers,
}) => {
  answers[REPORT] = (route, url) =>
    url.searchParams.get("range") === "28d"
      ? json(route, report({ totals: counters(2) }))
      : new Promise(() => {});
  const cancelled = page.waitForEvent("requestfailed", (request) =>
    request.url().includes("range=7d"),
  );
  const shown = show(report());
  await page.getByLabel("Range").selectOption("28d");
  await shown;
  expect((await cancelled).failure().errorText).toContain("ERR_ABORTED");
  await expect(headline(page, "Visitors")).toHaveText("2");
});

test("the session is requested when the menu or an error needs it, not with the numbers", async ({
  page,
  show,
  answers,
}) => {
  const asked = [];
  answers["/session"] = (route) => {
    asked.push(route.request().method());
    return json(route, { role: "operator", sites: null, login: true, csrf: "token" });
  };
  await show(report());
  await expect(page.locator("canvas")).toBeVisible();
  expect(asked).toEqual([]);

  await page.getByRole("button", { name: "Menu" }).focus();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("link", { name: "Platform" })).toBeVisible();
  await expect(page.getByRole("button", { name: "Sign out" })).toBeVisible();
  expect(asked).toEqual(["GET"]);

  answers[REPORT] = (route) =>
    json(
      route,
      { type: "about:blank", title: "Sign in", status: 401, code: "unauthorized" },
      { status: 401 },
    );
  await page.reload();
  await expect(page.getByRole("link", { name: "Sign in" })).toBeVisible();
  expect(asked).toEqual(["GET", "GET"]);
});

/** The panels of a report itself, and how many the made one has. */
const LISTS = ".panel:not(#speed, #faults, #drops)";
const PANELS = 6;
/**
 * Keeps in `window.seen` what is on the page in the task that draws this number of visitors: how many
 * panels, and how many after `then` has run in the same task.
 */
const watchNumber = (number, then = () => {}) => `
  window.seen = null;
  new MutationObserver(() => {
    if (window.seen || document.querySelector(".metric b")?.textContent.trim() !== "${number}") return;
    const panels = () => document.querySelectorAll("${LISTS}").length;
    window.seen = [panels(), document.querySelector("main").ariaBusy];
    (${then})();
    window.seen.push(panels());
  }).observe(document, { subtree: true, childList: true, characterData: true });
`;

test("the first numbers are there before the panels, later ones with them", async ({
  page,
  show,
}) => {
  await page.addInitScript(watchNumber(137));
  await show((query) =>
    query.get("range") === "28d" ? report({ totals: counters(2) }) : report(),
  );
  expect(await page.evaluate("seen")).toEqual([0, "true", 0]);
  await expect(page.locator("canvas")).toBeVisible();
  await expect(page.locator(LISTS)).toHaveCount(PANELS);

  await page.evaluate(watchNumber(2));
  await page.getByLabel("Range").selectOption("28d");
  await expect(headline(page, "Visitors")).toHaveText("2");
  expect((await page.evaluate("seen"))[0]).toBe(PANELS);
});

test("who prints before the panels are drawn gets them", async ({ page, show }) => {
  await page.addInitScript(watchNumber(137, () => dispatchEvent(new Event("beforeprint"))));
  await show(report());
  expect(await page.evaluate("seen")).toEqual([0, "true", PANELS]);
});
