// The tracker against the real collector, below a profile's path and on a custom domain: what the
// report says is what was done.
import { expect, test } from "./collector.js";
import config from "./playwright.config.js";

// Playwright turns the browser's page cache off.
test.use({
  launchOptions: {
    ...config.use.launchOptions,
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  },
});

const CUSTOM = `[[sites]]\nid = "mia"\nhosts = ["localhost"]\nzone = "Europe/Berlin"`;

const accept = async (page, url) => {
  await page.goto(url);
  await page.getByRole("dialog").getByRole("button", { name: "Accept", exact: true }).click();
  await expect(page.getByRole("dialog")).toBeHidden();
};
const move = (page, path) => page.evaluate((path) => history.pushState(0, "", path), path);
const happens = (page, name, facts) =>
  page.evaluate(([name, facts]) => window.footfall.event(name, facts), [name, facts]);

/** A click that is counted and leads nowhere. */
const press = (page, name) =>
  page.getByRole("link", { name }).evaluate((link) => {
    link.addEventListener("click", (event) => event.preventDefault(), { once: true });
    link.click();
  });

/** Headless Chromium keeps every tab in sight: this says otherwise, as a browser does. */
const inSight = (page, yes) =>
  page.evaluate((yes) => {
    Object.defineProperty(document, "hidden", { get: () => !yes, configurable: true });
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  }, yes);

/** [item, hits, seconds] of each row. */
const rows = (report, subject) =>
  report.subjects[subject].rows.map(({ item, hits, seconds }) => [item, hits, seconds]).sort();

for (const [what, site, host] of [
  ["a profile", "demo", "127.0.0.1"],
  ["a custom domain", "mia", "localhost"],
]) {
  test(`on ${what} the report says what was done, to the last digit`, async ({
    page,
    context,
    platform,
  }) => {
    const collector = await platform("", CUSTOM);
    const base = collector.url.replace("127.0.0.1", host);
    const [hosts, complaints] = [new Set(), []];
    page.on("request", (request) => hosts.add(new URL(request.url()).origin));
    page.on("pageerror", (error) => complaints.push(error.message));
    const counted = async (views) =>
      expect
        .poll(async () => {
          await collector.flush();
          return (await collector.ask("report", site)).totals.hits;
        })
        .toBe(views);

    await page.clock.install({ time: new Date("2026-03-02T09:00:00Z") });
    await accept(page, `${base}/u/demo?utm_source=tests`); //                     view 1
    await counted(1);

    await page.clock.pauseAt(new Date("2026-03-02T09:10:00Z"));
    await move(page, "/u/demo/gallery"); //                                       view 2: a navigation within the page
    await page.clock.runFor(1400);
    for (const name of [/Letters/, /Tide/, /Letters/, /wheel/, /Tide/]) {
      //      1.4, 2.4, 3.4, 4.4, 5.4 s after it
      await press(page, name);
      await page.clock.runFor(1000);
    }
    await inSight(page, false); //                                                6.4 s of attention
    await page.clock.runFor(10_000);
    await inSight(page, true);
    await page.clock.runFor(2000); //                                             2 s more
    await move(page, "/u/demo/about"); //                                         view 3
    await page.clock.runFor(100);
    await counted(3);

    await page.getByText("Studio hours").click(); //                              an event marked in the page
    const download = page.waitForEvent("download");
    await page.getByRole("link", { name: /glazes/ }).click(); //                  a download
    await download;
    await page.clock.runFor(100);
    const tipped = page.waitForResponse((response) =>
      response.request().postData()?.includes("tip"),
    );
    await happens(page, "tip", { value: 4.5, currency: "EUR" });
    await page.clock.runFor(100);
    await tipped;

    const refused = [];
    await context.route(
      "**/ff/hit",
      (route) =>
        refused.push(route.request().postData()) &&
        route.fulfill({ status: 503, headers: { "retry-after": "2" } }),
    );
    await happens(page, "after a refusal");
    await page.clock.runFor(100);
    await expect.poll(() => refused.length).toBe(1);
    await context.unroute("**/ff/hit");
    await page.waitForTimeout(200);
    await page.clock.runFor(2100); //                                             it is tried again after 2 s

    await context.setOffline(true);
    await happens(page, "in a tunnel");
    await page.clock.runFor(100);
    await page.waitForTimeout(300);
    await context.setOffline(false); //                                           and goes when there is a network again

    await page.evaluate(() =>
      dispatchEvent(
        new ErrorEvent("error", {
          error: new TypeError("of ann@mail.example"),
          filename: `${location.origin}/app.js?v=1`,
          lineno: 7,
        }),
      ),
    );
    await page.evaluate(() => window.footfall.missing());
    await page.clock.runFor(100);
    await expect
      .poll(async () => {
        await collector.flush();
        return (await collector.ask("faults", site)).rows
          .map(({ kind, fault, path, hits }) => [kind, fault, path, hits])
          .sort();
      })
      .toEqual([
        ["not_found", "", "/u/demo/about", 1],
        ["script", "TypeError /app.js:7", "/u/demo/about", 1],
      ]);
    await page.clock.resume();

    await page.goto(`${base}/u/demo/shop`); //                                    view 4: another page
    await counted(4);
    await page.evaluate(() =>
      addEventListener("pageshow", ({ persisted }) => {
        window.returned = persisted;
      }),
    );
    await page.goto(`${base}/u/demo`); //                                         view 5: the third
    await counted(5);
    await page.goBack({ waitUntil: "commit" }); //                                view 6: back from the page cache
    await page.waitForFunction(() => window.returned === true);
    await counted(6);

    await page.getByRole("button", { name: "Cookie Preferences" }).click(); //    and a change of mind
    await page.getByRole("dialog").getByRole("button", { name: "Reject", exact: true }).click();
    await expect(page.getByRole("dialog")).toBeHidden();
    await press(page, /Breakfast/);
    await happens(page, "not counted");
    await move(page, "/u/demo/not-counted");
    await page.goto(`${base}/u/demo`);
    await page.evaluate(() => window.footfall.consent.ready);
    await page.waitForTimeout(300);

    await collector.flush();
    const report = await collector.ask("report", site);
    expect([report.totals.hits, report.totals.visitors, report.totals.visits]).toEqual([6, 1, 1]);
    const views = rows(report, "page").map(([item, hits]) => [item, hits]);
    expect(views).toEqual([
      ["/u/demo", 2],
      ["/u/demo/about", 1],
      ["/u/demo/gallery", 1],
      ["/u/demo/shop", 2],
    ]);
    expect(rows(report, "page").find(([item]) => item === "/u/demo/gallery")).toEqual([
      "/u/demo/gallery",
      1,
      8,
    ]); // 6 and 2
    expect(rows(report, "link").filter(([item]) => !item.includes("glazes"))).toEqual([
      ["newsletter", 2, 4],
      ["recordings", 2, 7],
      ["workshop", 1, 4],
    ]);
    expect(
      rows(report, "link")
        .filter(([item]) => item.includes("glazes"))
        .map(([item, hits]) => [item, hits]),
    ).toEqual([[`http://${host}/assets/sample/glazes.csv`, 1]]);
    expect(rows(report, "event").map(([item, hits]) => [item, hits])).toEqual([
      ["after a refusal", 1],
      ["in a tunnel", 1],
      ["studio hours", 1],
      ["tip", 1],
    ]);

    expect([...hosts]).toEqual([base]); // nobody but the page's own host
    expect(complaints).toEqual([]);
    expect((await context.cookies()).map(({ name, httpOnly }) => [name, httpOnly])).toEqual([
      ["ff_consent", true],
    ]);
    expect(
      await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]),
    ).toEqual(["", 0, 0]);
  });
}

test("how fast each load was is counted once, by page", async ({ page, collector }) => {
  await accept(page, "/u/demo");
  for (let loads = 0; loads < 5; loads++) {
    await page.goto("/u/demo/shop");
    await page.waitForFunction(
      () =>
        performance.getEntriesByName(`${location.origin}/u/demo/ff/vitals.js`).length === 1 &&
        performance.getEntriesByName("first-contentful-paint").length === 1,
    );
    await page.waitForTimeout(300);
  }
  await page.goto("about:blank");
  const hits = async (metric) => {
    await collector.flush();
    const { pages } = await collector.ask("vitals");
    return pages.find(({ path }) => path === "/u/demo/shop")?.metrics[metric]?.hits;
  };
  for (const metric of ["TTFB", "FCP", "LCP", "CLS"])
    await expect.poll(() => hits(metric), { message: metric }).toBe(5);
});

test("the tracker's scripts are served on the page's own origin, below the profile too, and kept for an hour", async ({
  collector,
}) => {
  for (const prefix of ["/ff", "/u/demo/ff"]) {
    for (const script of ["f.js", "vitals.js", "faults.js"]) {
      const answer = await fetch(collector.page(`${prefix}/${script}`));
      expect([
        answer.status,
        answer.headers.get("content-type"),
        answer.headers.get("cache-control"),
      ]).toEqual([200, "text/javascript; charset=utf-8", "public, max-age=3600"]);
      expect((await answer.text()).length).toBeGreaterThan(500);
    }
  }
});
