// When a page view is counted, and how long it held attention.
import { expect, GRANTED, hits, open, page, remember, sent, test, told } from "./tracker.mjs";

test.beforeEach(({ fake }) => {
  fake.pages = { "/page": page(), "/other": page() };
});

/**
 * The tab is in sight, or not: what the browser says and the event it sends. Headless Chromium
 * keeps every tab in sight.
 */
const inSight = (browserPage, yes) =>
  browserPage.evaluate((yes) => {
    for (const [key, value] of [
      ["hidden", !yes],
      ["visibilityState", yes ? "visible" : "hidden"],
    ]) {
      Object.defineProperty(document, key, { get: () => value, configurable: true });
    }
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  }, yes);

test("nobody who did not agree is counted, and nothing is sent", async ({ page, fake }) => {
  await page.goto("/page");
  await page.evaluate(() => window.footfall.consent.ready);
  await page.evaluate(() => window.footfall.event("something"));
  await page.goto("/other");
  await sent(fake, []);
});

test("one who agrees is counted from that moment, and no longer than they do", async ({
  page,
  fake,
}) => {
  await page.goto("/page");
  await page.getByRole("button", { name: "Accept", exact: true }).click();
  await sent(fake, ["view /page"]);
  await page.evaluate(() => {
    window.footfall.event("with a yes");
    window.footfall.consent.open();
  });
  await page.getByRole("button", { name: "Reject", exact: true }).click();
  await page.evaluate(() => window.footfall.event("with a no"));
  await page.goto("/other");
  await sent(fake, ["view /page", "event with a yes"]);
});

test("what waits when they change their mind is forgotten", async ({ page, fake }) => {
  fake.hitAnswers = [{ status: 503, headers: { "retry-after": "1" } }];
  await open(page, fake);
  await expect.poll(() => fake.posts.length).toBe(1);
  await page.evaluate(() => window.footfall.consent.open());
  await page.getByRole("button", { name: "Reject", exact: true }).click();
  await page.waitForTimeout(1500);
  expect(fake.posts.length).toBe(1);
});

for (const [what, key, value] of [
  ["Do Not Track", "doNotTrack", "1"],
  ["Do Not Track with a reason", "doNotTrack", "1;x"],
  ["Global Privacy Control", "globalPrivacyControl", true],
]) {
  test(`${what} outweighs a yes`, async ({ page, fake }) => {
    await page.addInitScript(
      ([key, value]) =>
        Object.defineProperty(Navigator.prototype, key, { get: () => value, configurable: true }),
      [key, value],
    );
    await open(page, fake);
    await page.evaluate(() => window.footfall.consent.ready);
    await page.evaluate(() => window.footfall.enable({ consent: () => true }));
    await sent(fake, []);
  });
}

test("DNT: 0 and a GPC that is no true are no signals", async ({ page, fake }) => {
  await page.addInitScript(() => {
    Object.defineProperty(Navigator.prototype, "doNotTrack", {
      get: () => "0",
      configurable: true,
    });
    Object.defineProperty(Navigator.prototype, "globalPrivacyControl", {
      get: () => "1",
      configurable: true,
    });
  });
  await open(page, fake);
  await sent(fake, ["view /page"]);
});

test("without a banner there is nobody to agree; a host with a consent platform of its own may answer", async ({
  page,
  fake,
}) => {
  fake.pages["/bare"] = () => `<!doctype html><title>Bare</title><script src="/ff/f.js"></script>`;
  fake.pages["/own"] = () =>
    `<!doctype html><title>Own</title><script src="/ff/f.js" data-manual></script>`;
  await page.goto("/bare");
  await page.goto("/own");
  await sent(fake, []);
  await page.evaluate(() => {
    window.agreed = false;
    window.footfall.enable({ consent: () => window.agreed });
  });
  await sent(fake, []);
  await page.evaluate(() => {
    window.agreed = true;
    document.dispatchEvent(new CustomEvent("consentchange", { detail: {} }));
  });
  await sent(fake, ["view /own"]);
});

test("a view says where from, without query and fragment, and only the first", async ({
  page,
  fake,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.goto("/other?token=1#part", { referer: `${fake.url}/somewhere?secret=1` });
  await expect.poll(() => told(fake)).toContain("view /other");
  await page.evaluate(() => history.pushState(0, "", "/third?q=2#part"));
  await expect
    .poll(() => told(fake).filter((hit) => hit.startsWith("view")))
    .toEqual(["view /page", "view /other", "view /third"]);
  const [first, second, third] = hits(fake).filter(({ kind }) => kind === "view");
  expect([first.referrer, second.referrer, third.referrer]).toEqual([
    "",
    `${fake.url}/somewhere`,
    "",
  ]);
  expect([second.url, third.url]).toEqual([`${fake.url}/other?token=1`, `${fake.url}/third?q=2`]);
});

test("a path that changes is a view, with the engaged time of the one before; anything else is none", async ({
  page,
  fake,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.waitForTimeout(300);
  await page.evaluate(() => {
    history.replaceState(0, "", "/page?sort=up");
    history.pushState(0, "", "/page?sort=down#part");
    history.pushState(0, "", "/a");
  });
  await sent(fake, ["view /page", "leave /page", "view /a"]);
  expect(fake.posts.at(-1).hits.map(({ kind }) => kind)).toEqual(["leave", "view"]);
  const [, leave] = hits(fake);
  expect(leave.engaged).toBeGreaterThanOrEqual(300);
  await page.evaluate(() => history.back());
  await sent(fake, ["view /page", "leave /page", "view /a", "leave /a", "view /page"]);
});

test("without the Navigation API the same, by functions that are put back", async ({
  page,
  fake,
}) => {
  await page.addInitScript(() => {
    // What a page without it may well have: an element of that name.
    Object.defineProperty(window, "navigation", {
      get: () => document.createElement("nav"),
      configurable: true,
    });
    window.native = history.pushState;
  });
  fake.pages["/page"] = manual;
  await open(page, fake);
  await page.evaluate(() => window.footfall.consent.ready);
  await page.evaluate(() => (window.stop = window.footfall.enable()));
  await sent(fake, ["view /page"]);
  await page.evaluate(() => history.pushState({ mine: 1 }, "", "/a"));
  expect(await page.evaluate(() => history.state)).toEqual({ mine: 1 });
  await page.evaluate(() => history.back());
  const all = ["view /page", "leave /page", "view /a", "leave /a", "view /page"];
  await sent(fake, all);
  // What the browser refuses is the page's own affair, and comes back to it as it was.
  expect(
    await page.evaluate(() => {
      try {
        history.pushState(0, "", "https://elsewhere.example/");
      } catch (error) {
        return error.name;
      }
    }),
  ).toBe("SecurityError");
  await page.evaluate(() => window.stop());
  expect(await page.evaluate(() => history.pushState === window.native)).toBe(true);
  await page.evaluate(() => history.pushState(0, "", "/b"));
  await sent(fake, all);
});

test("a function of the history that somebody wrapped since is left alone, and sends nothing", async ({
  page,
  fake,
}) => {
  await page.addInitScript(() => Object.defineProperty(window, "navigation", { value: undefined }));
  fake.pages["/page"] = manual;
  await open(page, fake);
  await page.evaluate(() => window.footfall.consent.ready);
  await page.evaluate(() => {
    const stop = window.footfall.enable();
    const before = history.pushState;
    window.theirs = history.pushState = (...args) => before.apply(history, args);
    stop();
  });
  expect(await page.evaluate(() => history.pushState === window.theirs)).toBe(true);
  await page.evaluate(() => history.pushState(0, "", "/a"));
  expect(await page.evaluate(() => location.pathname)).toBe("/a");
  await sent(fake, []);
});

test("a tab that opens in the background is counted when it is first shown", async ({
  page,
  fake,
}) => {
  await page.addInitScript(() => {
    window.seen = false;
    Object.defineProperty(document, "hidden", { get: () => !window.seen, configurable: true });
  });
  await open(page, fake);
  await page.evaluate(() => window.footfall.consent.ready);
  await sent(fake, []);
  await inSight(page, true);
  await sent(fake, ["view /page"]);
});

test("attention is sent each time the page hides, and each time only what was not sent yet", async ({
  page,
  fake,
}) => {
  await open(page, fake);
  await sent(fake, ["view /page"]);
  await page.waitForTimeout(400);
  await inSight(page, false);
  await sent(fake, ["view /page", "leave /page"]);
  await page.waitForTimeout(700); // out of sight: nobody's attention
  await inSight(page, true);
  await page.waitForTimeout(200);
  await inSight(page, false);
  await page.goto("/elsewhere");
  await sent(fake, ["view /page", "leave /page", "leave /page"]);
  const [first, second] = hits(fake)
    .filter(({ kind }) => kind === "leave")
    .map(({ engaged }) => engaged);
  expect(first).toBeGreaterThanOrEqual(400);
  expect(first).toBeLessThan(1000);
  expect(second).toBeGreaterThanOrEqual(200);
  expect(second).toBeLessThan(650);
});

test("enabled twice, or loaded twice, it counts once; stopped, it is silent", async ({
  page,
  fake,
}) => {
  await open(page, fake);
  await page.evaluate(() => window.footfall.consent.ready);
  await page.evaluate(
    () =>
      new Promise((done) => {
        window.stop = window.footfall.enable();
        const again = document.createElement("script");
        again.src = "/ff/f.js";
        again.onload = done;
        document.head.append(again);
      }),
  );
  await page.evaluate(() => history.pushState(0, "", "/a"));
  await sent(fake, ["view /page", "leave /page", "view /a"]);
  await page.evaluate(() => {
    window.footfall.event("never sent");
    window.stop();
    window.stop();
    window.footfall.event("never counted");
    history.pushState(0, "", "/b");
  });
  await page.goto("/elsewhere");
  await sent(fake, ["view /page", "leave /page", "view /a"]);
});

test("a page marked as missing says so with its view, and a router may say it later", async ({
  page,
  fake,
}) => {
  fake.pages["/gone"] = missing;
  await open(page, fake, "/gone");
  await sent(fake, ["view /gone", "fault /gone"]);
  expect(fake.posts[0].hits.map(({ kind, fault }) => fault ?? kind)).toEqual(["view", "not_found"]);
  await page.evaluate(() => {
    history.pushState(0, "", "/app/nowhere");
    window.footfall.missing();
    window.footfall.missing();
  });
  await sent(fake, [
    "view /gone",
    "fault /gone",
    "leave /gone",
    "view /app/nowhere",
    "fault /app/nowhere",
  ]);
  expect(Object.keys(hits(fake)[1]).sort()).toEqual(["fault", "id", "kind", "url", "webdriver"]);
});

test("each hit has an id of its own, says whether the browser is automated, and names nobody", async ({
  page,
  fake,
  context,
}) => {
  await remember(context, fake, GRANTED);
  await page.goto("/page");
  await sent(fake, ["view /page"]);
  await page.evaluate(() => history.pushState(0, "", "/a"));
  await sent(fake, ["view /page", "leave /page", "view /a"]);
  const ids = hits(fake).map(({ id }) => id);
  expect(new Set(ids).size).toBe(3);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  for (const { webdriver } of hits(fake)) expect(webdriver).toBe(false);
  await page.addInitScript(() =>
    Object.defineProperty(Navigator.prototype, "webdriver", { get: () => true }),
  );
  fake.posts.length = 0;
  await page.goto("/other");
  await expect.poll(() => hits(fake).find(({ kind }) => kind === "view")?.webdriver).toBe(true);
});

const manual = page("data-manual");
const missing = page("data-missing");
