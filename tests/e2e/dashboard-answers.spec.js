// What the page shows belongs to one question, and is compared with what had as much time: also
// while an answer is on its way, where none comes, and when all is well again.
import { violations } from "./browser.js";
import { TODAY, WEEK, counters, day, expect, gone, json, ofValue, report, test } from "./made.js";

const headline = (page, label) =>
  page.locator(".metric").filter({ has: page.getByText(label, { exact: true }) });
const lead = (page) => page.locator(".summary");
const panel = (page, name) => page.getByRole("region", { name, exact: true });

/** Twenty people come each day at eight in the morning; it is so many hours after midnight. */
const steady = (hour, { from = day(-6), to = TODAY, interval = "day" } = {}) => {
  const days = Math.round((Date.parse(to) - Date.parse(from)) / 86_400_000);
  const came = to === TODAY && hour > 8 ? 20 : to === TODAY ? 0 : 20;
  const each = (n) => ({
    hits: 2 * n,
    visitors: n,
    visits: n,
    bounces: n / 2,
    seconds: 30 * n,
    clicks: n,
  });
  const steps = (first, last) =>
    interval === "hour"
      ? Array.from({ length: 24 }, (_, i) => ({
          at: `${first}T${String(i).padStart(2, "0")}:00:00+01:00`,
          ...each(i === 8 && (first !== TODAY || hour > 8) ? 20 : 0),
        }))
      : Array.from({ length: days + 1 }, (_, i) => ({
          at: new Date(Date.parse(first) + i * 86_400_000).toISOString().slice(0, 10),
          ...each(i === days ? last : 20),
        }));
  const before = new Date(Date.parse(from) - (days + 1) * 86_400_000).toISOString().slice(0, 10);
  const total = each(20 * days + came);
  const both = each(20 * days + (hour > 8 ? 20 : 0));
  const so_far =
    to !== TODAY
      ? {}
      : {
          so_far: {
            until: `${TODAY}T${String(hour).padStart(2, "0")}:00:00+01:00`,
            now: both,
            before: both,
            days: days ? { through: day(-1), now: each(20 * days), before: each(20 * days) } : null,
          },
        };
  return report({
    from,
    to,
    totals: total,
    interval,
    series: steps(from, came),
    compared: {
      from: before,
      to: day(-days - 1),
      totals: each(20 * (days + 1)),
      series: steps(before, 20),
      ...so_far,
    },
  });
};

/** Every change beside a headline number. */
const changes = (page) => page.locator(".metric .change > [aria-hidden]").allTextContents();

for (const [range, of] of [
  ["7d", {}],
  ["28d", { from: day(-27) }],
  ["today", { from: TODAY, interval: "hour" }],
]) {
  test(`a steady site reads no change at every hour of the day: ${range}`, async ({
    page,
    show,
  }) => {
    for (const hour of [0, 1, 7, 8, 9, 12, 23]) {
      await show(steady(hour, of), `/?site=mia&range=${range}`);
      await expect(lead(page), `at ${hour}`).toContainText("as many as");
      await expect(lead(page).locator(".down, .up"), `at ${hour}`).toHaveCount(0);
      const said = await changes(page);
      expect(said.length, `at ${hour}`).toBeGreaterThanOrEqual(3);
      expect(
        said.filter((text) => text !== "no change"),
        `at ${hour}`,
      ).toEqual([]);
    }
  });
}

test("the first visitor of a site is not as many as none before", async ({ page, show }) => {
  const [one, none] = [counters(1), { ...counters(0), visits: 0 }];
  const so_far = { until: `${TODAY}T12:00:00+01:00`, now: none, before: none, days: null };
  const compared = { from: day(-13), to: day(-7), totals: none, series: [], so_far };
  await show(report({ totals: one, compared, dimensions: {}, subjects: {} }), "/?site=mia");
  await expect(lead(page)).toHaveText("1 visitor in the last 7 days.");
  expect((await changes(page)).slice(0, 3)).toEqual([]);
});

test("up to when both sides are compared is said, and a day that is not over is no fall of the line", async ({
  page,
  show,
}) => {
  await show(steady(7), "/?site=mia");
  await expect(page.locator(".date-range")).toHaveText(
    "22 Nov – 28 Nov 2026, against 15 Nov – 21 Nov, both until 07:00",
  );
  await expect(page.locator(".key")).toHaveText("now not over yet before");
  await page.getByRole("slider").focus();
  await page.keyboard.press("End");
  await expect(page.locator(".readout")).toHaveText("Sat, 28 Nov 0 so far · before 20");
  await page.keyboard.press("ArrowLeft");
  await expect(page.locator(".readout")).toHaveText("Fri, 27 Nov 20 · before 20");
  expect(await violations(page)).toEqual([]);
});

test("a range that is over is compared whole, and has no dotted end", async ({ page, show }) => {
  await show(steady(7, { from: day(-7), to: day(-1) }), `/?site=mia&from=${day(-7)}&to=${day(-1)}`);
  await expect(lead(page)).toContainText("as many as");
  await expect(page.locator(".key")).toHaveText("now before");
});

test("a published value is compared over published days, and not at all where there is none", async ({
  page,
  show,
}) => {
  const so_far = {
    until: null,
    days: {
      through: day(-1),
      now: { visitors: 50, visits: 55 },
      before: { visitors: 50, visits: 55 },
    },
  };
  const compared = { from: day(-13), to: day(-7), totals: { visitors: 64, visits: 70 }, so_far };
  await show(ofValue("source", "Instagram", { compared }), "/?site=mia&filter=source:Instagram");
  expect(await changes(page)).toEqual(["no change", "no change"]);
  await show(
    ofValue("source", "Instagram", {
      compared: { ...compared, so_far: { until: null, days: null } },
    }),
    "/?site=mia&filter=source:Instagram",
  );
  expect(await changes(page)).toEqual([]);
});

test("clicks and click rate have a course over days; while no visit is over nothing is said of how visits end", async ({
  page,
  show,
}) => {
  const rows = WEEK.map((visitors, i) => ({
    at: day(i - 6),
    ...counters(visitors),
    clicks: visitors * 2,
  }));
  await show(report({ series: rows }));
  for (const label of ["Clicks", "Click rate"]) {
    await page
      .getByRole("button", { name: new RegExp(`^${label}\\b`) })
      .first()
      .click();
    await expect(page.getByRole("region", { name: `${label} over time` })).toBeVisible();
  }
  await page.getByRole("button", { name: "As a table" }).click();
  const cells = page.getByRole("table", { name: "Click rate over time" }).locator("td");
  await expect(cells).toHaveText(WEEK.map(() => "100%"));

  await show(report({ totals: { hits: 1, visitors: 1, visits: 1, bounces: 0, seconds: 0 } }));
  await expect(headline(page, "Bounce rate").locator("b")).toHaveText("–");
  await expect(headline(page, "Visit length").locator("b")).toHaveText("–");
});

test.describe("one question", () => {
  const vitals = (path) => ({
    site: "mia",
    zone: "UTC",
    from: day(-6),
    to: TODAY,
    k: 5,
    path: null,
    metrics: { LCP: { hits: 9, good: 9, needs_improvement: 0, poor: 0, p75: 1200, p90: 1500 } },
    devices: {},
    pages: [{ path, metrics: {} }],
  });
  const faults = {
    site: "mia",
    zone: "UTC",
    from: day(-6),
    to: TODAY,
    rows: [{ kind: "script", fault: "TypeError", path: "/u/mia", hits: 3 }],
  };

  test("words and numbers change together, and stay together when no answer comes", async ({
    page,
    show,
    answers,
  }) => {
    await show((query) =>
      query.get("range") === "today" ? steady(12, { from: TODAY, interval: "hour" }) : report(),
    );
    await expect(lead(page)).toContainText("137 visitors in the last 7 days");
    let release;
    const held = new Promise((done) => (release = done));
    answers["/report"] = async (route) => (await held, gone(route));
    await page.getByLabel("Range").selectOption("today");
    await expect(page.locator("main")).toHaveAttribute("aria-busy", "true");
    await expect(lead(page)).toContainText("137 visitors in the last 7 days");
    release();
    await expect(
      page.getByRole("heading", { name: "These numbers are out of date" }),
    ).toBeVisible();
    await expect(lead(page)).toContainText("137 visitors in the last 7 days");
    delete answers["/report"];
    // Nobody presses anything: it is asked again, and what was said of it goes.
    await expect(lead(page)).toContainText("20 visitors so far today", { timeout: 12_000 });
    await expect(page.locator(".notice")).toHaveCount(0);
  });

  test("what was asked first and comes last is not shown", async ({ page, show, answers }) => {
    await show(report());
    answers["/report"] = (route, url) =>
      url.searchParams.get("range") === "28d"
        ? json(route, report({ totals: counters(1) }), { after: 800 })
        : json(route, report({ totals: counters(2) }));
    await page.getByLabel("Range").selectOption("28d");
    await page.getByLabel("Range").selectOption("90d");
    await expect(headline(page, "Visitors").locator("b")).toHaveText("2");
    await page.waitForTimeout(1000);
    await expect(headline(page, "Visitors").locator("b")).toHaveText("2");
  });

  test("no panel shows another site's answer, neither while its own is on its way nor when it fails", async ({
    page,
    show,
    answers,
  }) => {
    answers["/sites/mia/vitals"] = (route) => json(route, vitals("/u/mia/slow"));
    answers["/sites/mia/faults"] = (route) => json(route, faults);
    answers["/sites"] = (route) =>
      json(route, {
        rows: ["mia", "tom"].map((site) => ({
          site,
          zone: "UTC",
          hosts: [],
          aliases: [],
          embed: [],
          max_amount: null,
        })),
      });
    await show(() => report());
    await expect(panel(page, "Speed")).toContainText("/u/mia/slow");
    await expect(panel(page, "Faults")).toContainText("TypeError");
    answers["/sites/tom/vitals"] = gone;
    let release;
    const held = new Promise((done) => (release = done));
    answers["/sites/tom/faults"] = async (route) => (
      await held,
      json(route, { ...faults, rows: [] })
    );
    await page.keyboard.press("/");
    await page.getByRole("dialog").getByRole("button", { name: /^tom/ }).click();
    await expect(page).toHaveURL(/site=tom/);
    await expect(panel(page, "Speed")).toContainText("cannot be read right now");
    await expect(page.locator("main")).not.toContainText("/u/mia/slow");
    await expect(page.locator("main")).not.toContainText("TypeError");
    release();
    await expect(panel(page, "Faults")).toContainText("No faults were recorded");
    answers["/sites/tom/vitals"] = (route) => json(route, vitals("/u/tom/quick"));
    await expect(panel(page, "Speed")).toContainText("/u/tom/quick", { timeout: 12_000 });
  });
});

test("whoever could not be signed out is told so, and stays", async ({ page, show, answers }) => {
  answers["/session"] = (route) =>
    route.request().method() === "DELETE"
      ? gone(route)
      : json(route, { role: "creator", sites: ["mia"], csrf: "x", login: true });
  await show(report());
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("alert")).toHaveText(
    "You are still signed in. The counts cannot be read right now.",
  );
  await expect(page).toHaveURL(/site=mia/);
  answers["/session"] = (route) => route.fulfill({ status: 204 });
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page).toHaveURL(/\/login$/);
});

test("when the collector is gone the page does not say that somebody is here now", async ({
  page,
  show,
  answers,
}) => {
  let isThere = true;
  answers["/events"] = (route) =>
    isThere
      ? route.fulfill({
          contentType: "text/event-stream",
          body: 'retry: 200\nevent: live\ndata: {"visitors":7}\n\n',
        })
      : route.abort();
  await show(report());
  // The made stream ends after its first word, so it comes and goes; once it is gone for good it
  // stays gone.
  isThere = false;
  await expect(page.locator(".live")).toHaveText("Not live");
  await page.waitForTimeout(600);
  await expect(page.locator(".live")).toHaveText("Not live");
});

test("a site that was counted before and is quiet today is not told to install anything", async ({
  page,
  show,
}) => {
  const nobody = { hits: 0, visitors: 0, visits: 0, bounces: 0, seconds: 0 };
  const quiet = report({ from: TODAY, totals: nobody, series: [], subjects: {}, dimensions: {} });
  await show(
    (query) =>
      query.get("range") === "all" ? report({ from: "2026-03-03", totals: counters(400) }) : quiet,
    "/?site=mia&range=today&compare=none",
  );
  await expect(page.getByRole("heading", { name: "Nothing here yet" })).toBeVisible();
  await expect(page.locator(".notice")).toContainText(
    "No visitors today so far. 400 visitors since 3 Mar.",
  );
  await expect(page.locator("pre")).toHaveCount(0);
});

test("without backgrounds a bar is an edge, the chosen number has one, and paper is light and keeps its bars", async ({
  page,
  show,
}) => {
  await page.emulateMedia({ colorScheme: "dark" });
  await show(report());
  await expect(page.locator("canvas")).toBeVisible();
  const share = page.getByRole("table", { name: "Links" }).locator(".share-bar").first();
  const style = (locator, name) =>
    locator.evaluate((node, name) => getComputedStyle(node)[name], name);
  await page.emulateMedia({ forcedColors: "active", colorScheme: "light" });
  expect(await style(share, "borderBottomWidth")).toBe("3px");
  const [chosen, other] = [
    page.getByRole("button", { name: /^Visitors/ }),
    page.getByRole("button", { name: /^Visits/ }),
  ];
  expect([
    await style(chosen, "borderBottomStyle"),
    await style(chosen, "borderBottomWidth"),
  ]).toEqual(["solid", "4px"]);
  expect(await style(chosen, "borderBottomColor")).not.toBe(
    await style(other, "borderBottomColor"),
  );
  await page.emulateMedia({ forcedColors: "none", media: "print", colorScheme: "dark" });
  expect([
    await style(page.locator("body"), "backgroundColor"),
    await style(page.locator("body"), "color"),
  ]).toEqual(["rgb(255, 255, 255)", "rgb(0, 0, 0)"]);
  expect(await style(share, "printColorAdjust")).toBe("exact");
});

test("a wide list has all its columns, and the whole list has them on a phone as well, to sort by", async ({
  page,
  show,
}) => {
  await show(report());
  await expect(
    page.getByRole("table", { name: "Links", exact: true }).locator("thead th:visible"),
  ).toHaveText(["Link", "Clicks", "Share", "Unique clicks", "Rate", "After"]);
  await page.setViewportSize({ width: 360, height: 780 });
  await expect(
    page.getByRole("table", { name: "Links", exact: true }).locator("thead th:visible"),
  ).toHaveText(["Link", "Clicks", "Rate"]);
  const many = Array.from({ length: 12 }, (_, i) => ({
    item: `page-${i}`,
    ...counters(30 - i),
    seconds: i,
    exits: 0,
    entries: 0,
  }));
  await show(report({ subjects: { ...report().subjects, page: { hits: 99, rows: many } } }));
  await page.getByRole("button", { name: "Show all Pages" }).click();
  const dialog = page.getByRole("dialog", { name: "Pages" });
  await expect(dialog.locator("thead th:visible")).toHaveText([
    "Page",
    "Views",
    "Visitors",
    "Time",
  ]);
  await dialog.getByRole("button", { name: "Visitors" }).click();
  await dialog.getByRole("button", { name: "Visitors" }).click();
  await expect(dialog.locator("tbody .item").first()).toHaveText("page-11");
  await expect(dialog.locator("th[aria-sort=ascending]")).toContainText("Visitors");
  await dialog.getByRole("button", { name: "Page", exact: true }).click();
  await expect(dialog.locator("tbody .item")).toHaveText(many.map(({ item }) => item).sort());

  // A list of two rows has columns that a phone hides, too.
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Show all Links" }).click();
  await expect(page.getByRole("dialog", { name: "Links" }).locator("thead th:visible")).toHaveText([
    "Link",
    "Clicks",
    "Share",
    "Unique clicks",
    "Rate",
    "After",
  ]);
});

test("what was chosen far down is said where the reader is, and no focus is lost", async ({
  page,
  show,
}) => {
  await page.setViewportSize({ width: 360, height: 640 });
  await show((query) => (query.get("filter") ? ofValue("country", "DE") : report()));
  await page
    .getByRole("table", { name: "Countries" })
    .getByRole("button", { name: "Germany" })
    .click();
  await expect(page.locator(".filter-chip")).toBeInViewport();
  await expect(page.getByRole("button", { name: "Remove the filter" })).toBeFocused();
  await page.getByRole("button", { name: "Remove the filter" }).click();
  await expect(page.locator("main")).toBeFocused();
  for (const item of ["Share", "Export", "Keyboard shortcuts"]) {
    await page.getByRole("button", { name: "Menu" }).click();
    await page.locator("#menu").getByText(item, { exact: true }).click();
    await expect(page.getByRole("dialog")).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("dialog")).toHaveCount(0);
    expect(await page.evaluate(() => document.activeElement.tagName), item).not.toBe("BODY");
  }
  await page.reload();
  await expect(page.locator(".summary")).toBeVisible();
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the numbers" })).toBeFocused();
});
