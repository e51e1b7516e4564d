// What the dashboard says about attributes that are published in groups, after the day: every state
// of it, from made answers. Nothing is started: the built page and the answers come from here, held
// against docs/openapi.json. What the collector publishes, and that the page shows it, is in
// dashboard.spec.js.
import { violations } from "./browser.js";
import {
  TODAY,
  WEEK,
  YESTERDAY,
  counters,
  day,
  every,
  expect,
  json,
  list,
  ofValue,
  report,
  test,
} from "./made.js";

const table = (page, name) => page.getByRole("table", { name, exact: true });
const rows = (of) =>
  of
    .locator("tbody tr:visible")
    .evaluateAll((lines) =>
      lines.map((tr) => [...tr.children].map((cell) => cell.innerText.trim())),
    );
const panel = (page, name) => page.getByRole("region", { name, exact: true });
const until = (page) => page.locator(".published-until");
const headline = (page, label) =>
  page
    .locator(".metric")
    .filter({ has: page.getByText(label, { exact: true }) })
    .locator("b");
const WHY = "Values are shown in groups of at least 5 visitors, after the day is over";

test("attributes say up to which day they are, and what waits is a row that says why", async ({
  page,
  show,
}) => {
  await show(report());
  await expect(until(page)).toHaveText("Sources, countries and devices up to Friday, 27 November");
  await expect(headline(page, "Visitors")).toHaveText("137");
  expect(await rows(table(page, "Sources"))).toEqual([
    ["Instagram", "60", "50%"],
    ["Google", "30", "25%"],
    ["Direct", "20", "17%"],
    ["Other", "10", "8.3%"],
    ["Not yet shown", "17", ""],
  ]);
  expect((await rows(table(page, "Countries"))).at(-1)).toEqual(["Not yet shown", "22", ""]);
  await expect(table(page, "Links").getByText("Not yet shown")).toHaveCount(0);
  await expect(table(page, "Pages").getByText("Not yet shown")).toHaveCount(0);
  expect(await violations(page)).toEqual([]);
});

test("why a row waits opens by keyboard and by touch, and is read out", async ({ page, show }) => {
  await show(report());
  const why = table(page, "Sources").getByText(WHY);
  const row = table(page, "Sources").getByRole("button", { name: "Not yet shown" });
  await expect(why).toBeHidden();
  await expect(row).toHaveAttribute("aria-expanded", "false");
  await row.focus();
  await page.keyboard.press("Enter");
  await expect(why).toHaveText(`${WHY}: so far up to Friday, 27 November.`);
  await expect(row).toHaveAttribute("aria-expanded", "true");
  expect(await row.getAttribute("aria-controls")).toBe(
    await why.locator("xpath=..").getAttribute("id"),
  );
  expect(await violations(page)).toEqual([]);
  await page.keyboard.press("Space");
  await expect(why).toBeHidden();
  await row.click();
  await expect(why).toBeVisible();
  await expect(table(page, "Countries").getByText(WHY)).toBeHidden();
});

test("the platform's page says which shards of the store are missing in its numbers", async ({
  page,
  show,
  answers,
}) => {
  const missing = page.getByText("These numbers are not complete");
  await show(report(), "/platform");
  await expect(headline(page, "Visitors")).toHaveText("137");
  await expect(missing).toHaveCount(0);

  answers["/platform/sites"] = (route) =>
    json(route, { from: TODAY, to: TODAY, rows: [], partial: true, missing_shards: [2] });
  await show(report({ partial: true, missing_shards: [2] }), "/platform");
  await expect(missing.first()).toHaveText(
    "These numbers are not complete: shard 2 of the store does not respond, and the counts of its sites are missing.",
  );
  await expect(panel(page, "Sites").getByText("shard 2 of the store")).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await show(report({ partial: true, missing_shards: [1, 3] }), "/platform");
  await expect(missing.first()).toContainText("shards 1 and 3 of the store do not respond");
});

test("a busy page says up to which hour of today", async ({ page, show }) => {
  await show(report({ attributes: { through: YESTERDAY, hour: `${TODAY}T14:00:00+01:00` } }));
  await expect(until(page)).toHaveText("Sources, countries and devices up to 14:00 today");
  await table(page, "Devices").getByRole("button", { name: "Not yet shown" }).click();
  await expect(table(page, "Devices")).toContainText(
    "Values are shown in groups of at least 5 visitors, after the day, or on a busy page " +
      "the hour, is over: so far up to 14:00 today.",
  );
});

test("days that are all published need no line, and nothing waits where all are shown", async ({
  page,
  show,
}) => {
  await show(
    report({
      from: day(-7),
      to: YESTERDAY,
      dimensions: { ...report().dimensions, source: list(0, { Instagram: 137 }) },
    }),
  );
  await expect(table(page, "Sources")).toBeVisible();
  await expect(until(page)).toHaveText("");
  expect(await rows(table(page, "Sources"))).toEqual([["Instagram", "137", "100%"]]);
});

test("a list of more than came says where the others are from", async ({ page, show }) => {
  await show(
    report({
      dimensions: { ...report().dimensions, source: list(0, { Instagram: 100, Google: 40 }) },
    }),
  );
  await expect(panel(page, "Sources")).toContainText(
    "Includes at least 3 visitors of earlier days.",
  );
  expect((await rows(table(page, "Sources"))).map(([, , share]) => share)).toEqual(["71%", "29%"]);
  await expect(panel(page, "Countries")).not.toContainText("earlier days");
});

test("the first day of a site says when its lists come", async ({ page, show }) => {
  const first = { totals: counters(9), dimensions: every(list(9, {})) };
  const alone = WEEK.map((_, i) => ({ at: day(i - 6), ...counters(i === 6 ? 9 : 0) }));
  for (const [what, attributes] of [
    ["the platform's first day too", { through: null, hour: null }],
    ["other sites are published", { through: YESTERDAY, hour: null }],
  ]) {
    await show(report({ ...first, series: alone, attributes }));
    for (const name of ["Sources", "Countries", "Devices"])
      await expect(panel(page, name), what).toContainText("Shown after the first day is over.");
    await expect(headline(page, "Visitors")).toHaveText("9");
    await expect(page.locator(".summary")).toContainText(
      "9 visitors in the last 7 days. Most clicked newsletter.",
    );
    await expect(page.locator(".map")).toHaveCount(0);
    expect(await violations(page)).toEqual([]);
  }
});

test("today says that its lists come after it, and no other day", async ({ page, show }) => {
  const hours = Array.from({ length: 24 }, (_, i) => ({
    at: `${TODAY}T${String(i).padStart(2, "0")}:00:00+01:00`,
    ...counters(i === 9 ? 17 : 0),
  }));
  await show(
    report({
      from: TODAY,
      totals: counters(17),
      interval: "hour",
      series: hours,
      dimensions: every(list(17, {})),
    }),
    "/?site=mia&range=today",
  );
  await expect(panel(page, "Sources")).toContainText("Shown after the day is over.");
  await expect(until(page)).toHaveText("");
});

test("a quiet site whose days are over shows that its visitors wait", async ({ page, show }) => {
  const few = {
    totals: counters(3),
    series: WEEK.map((_, i) => ({ at: day(i - 6), ...counters(i < 3 ? 1 : 0) })),
    dimensions: every(list(3, {})),
  };
  await show(report(few));
  expect(await rows(table(page, "Sources"))).toEqual([["Not yet shown", "3", ""]]);
  await table(page, "Sources").getByRole("button", { name: "Not yet shown" }).click();
  await expect(table(page, "Sources")).toContainText(WHY);
});

test("where most are not shown yet, the first sentence does not say where most came from", async ({
  page,
  show,
}) => {
  await show(report());
  await expect(page.locator(".summary")).toHaveText(
    "137 visitors in the last 7 days. Most came from Instagram; most clicked newsletter.",
  );
  await show(
    report({ dimensions: { ...report().dimensions, source: list(131, { Instagram: 6 }) } }),
  );
  await expect(page.locator(".summary")).toHaveText(
    "137 visitors in the last 7 days. Most clicked newsletter.",
  );
});

test("no campaign is a row of the list, the last one, and no filter", async ({ page, show }) => {
  await show(report(), "/?site=mia&sources=campaign");
  expect(await rows(table(page, "Campaigns"))).toEqual([
    ["spring-tour", "20", "17%"],
    ["No campaign", "100", "83%"],
    ["Not yet shown", "17", ""],
  ]);
  await expect(table(page, "Campaigns").getByRole("button")).toHaveText([
    "spring-tour",
    /^Not yet shown/,
  ]);
  for (const filter of ["campaign:(none)", "source:(other)"]) {
    const asked = await show(report(), `/?site=mia&filter=${encodeURIComponent(filter)}`);
    await expect(page.locator(".filter-chip")).toHaveCount(0);
    expect(
      asked.filter((query) => query.includes("filter=")),
      filter,
    ).toEqual([]);
  }
});

test("a source's own view says that its numbers are those shown, and up to when", async ({
  page,
  show,
}) => {
  await show(
    ofValue("source", "Instagram", {
      compared: { from: day(-13), to: day(-7), totals: { visitors: 50, visits: 55 } },
    }),
    "/?site=mia&filter=source:Instagram",
  );
  await expect(page.locator(".summary")).toHaveText(
    "60 visitors shown in the last 7 days, 20% more than in the 7 days before. Most clicked newsletter.",
  );
  await expect(headline(page, "Visitors shown")).toHaveText("60");
  await expect(headline(page, "Visits shown")).toHaveText("66");
  await expect(until(page)).toHaveText(
    "Visitors shown up to Friday, 27 November, in groups of at least 5: numbers need not add up.",
  );
  await expect(page.locator("canvas")).toHaveCount(0);
  expect(await rows(table(page, "Pages"))).toEqual([
    ["/u/mia", "62", "63"],
    ["/u/mia/shop", "12", "13"],
  ]);
  await expect(panel(page, "Events")).toContainText("Nothing shown yet in these days.");
  expect(await violations(page)).toEqual([]);
});

test("a source of which nothing is shown yet says so, and the way back is there", async ({
  page,
  show,
}) => {
  const none = ofValue("source", "Google", {
    totals: { visitors: 0, visits: 0 },
    subjects: { page: { rows: [] }, link: { rows: [] }, event: { rows: [] } },
  });
  await show((query) => (query.get("filter") ? none : report()), "/?site=mia&filter=source:Google");
  await expect(page.getByRole("heading", { name: "Nothing shown yet" })).toBeVisible();
  await expect(page.locator(".notice")).toContainText(
    "Visitors of a source are shown in groups of at least 5, after the day is over.",
  );
  await expect(page.locator("pre")).toHaveCount(0);
  expect(await violations(page)).toEqual([]);
  await page.getByRole("button", { name: "Show everything" }).click();
  await expect(headline(page, "Visitors")).toHaveText("137");
});

test("a link's own view keeps its exact numbers above published lists", async ({ page, show }) => {
  const dimensions = {
    source: list(4, { Instagram: 30 }),
    country: list(12, { DE: 22 }),
    campaign: list(34, {}),
  };
  const { money, ...rest } = report();
  await show(
    {
      ...rest,
      filter: { by: "link", value: "newsletter" },
      totals: { ...counters(34), entries: 0, exits: 0 },
      subjects: {},
      dimensions,
    },
    "/?site=mia&filter=link:newsletter",
  );
  await expect(headline(page, "Unique clicks")).toHaveText("34");
  await expect(until(page)).toHaveText("Sources and countries up to Friday, 27 November");
  expect(await rows(table(page, "Sources"))).toEqual([
    ["Instagram", "30", "100%"],
    ["Not yet shown", "4", ""],
  ]);
  await page.getByRole("button", { name: "Campaigns" }).click();
  expect(await rows(table(page, "Campaigns"))).toEqual([["Not yet shown", "34", ""]]);
});

test("a list that opens whole says what waits too, and a search is for names", async ({
  page,
  show,
}) => {
  const many = Object.fromEntries(
    Array.from({ length: 14 }, (_, i) => [`site-${i}.example`, 20 - i]),
  );
  const limited = (limit) => ({ ...list(17, many), rows: list(17, many).rows.slice(0, limit) });
  await show((query) =>
    report({
      dimensions: { ...report().dimensions, source: limited(Number(query.get("limit") ?? 10)) },
    }),
  );
  const shown = await rows(table(page, "Sources"));
  expect([shown.length, shown[0], shown.at(-1)]).toEqual([
    11,
    ["site-0.example", "20", "11%"],
    ["Not yet shown", "17", ""],
  ]);
  await page.getByRole("button", { name: "Show all Sources" }).click();
  const dialog = page.getByRole("dialog", { name: "Sources" });
  await expect(dialog.getByRole("status")).toHaveText("14 rows");
  await dialog.getByRole("button", { name: "Not yet shown" }).click();
  await expect(dialog.getByText(WHY)).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await dialog.getByRole("searchbox").fill("site-1");
  await expect(dialog.getByRole("status")).toHaveText("5 rows");
  await expect(dialog.getByText("Not yet shown")).toHaveCount(0);
});

test("a share link's answer is drawn by the same rules, with its own k", async ({ page, show }) => {
  await show(
    report({
      k: 20,
      from: day(-7),
      to: YESTERDAY,
      dimensions: { ...report().dimensions, country: list(137, {}) },
    }),
    "/share/abc",
  );
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("mia");
  await expect(until(page)).toHaveText("");
  expect(await rows(table(page, "Countries"))).toEqual([["Not yet shown", "137", ""]]);
  await table(page, "Countries").getByRole("button").click();
  await expect(table(page, "Countries")).toContainText("in groups of at least 20 visitors");
  await expect(page.locator(".footnote")).toContainText("in groups of at least 20 visitors");
  expect(await violations(page)).toEqual([]);
});

for (const width of [320, 390, 1280]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`${width} wide and ${colorScheme}, every state fits`, async ({ page, show }) => {
      await page.setViewportSize({ width, height: width > 400 ? 900 : 780 });
      await page.emulateMedia({ colorScheme });
      const first = {
        totals: counters(9),
        attributes: { through: null, hour: null },
        dimensions: every(list(9, {})),
      };
      const compared = {
        from: day(-13),
        to: day(-7),
        totals: counters(115),
        series: WEEK.map((visitors, i) => ({ at: day(i - 13), ...counters(visitors - 3) })),
      };
      const states = [
        ["week", report({ compared }), "/?site=mia"],
        ["campaigns", report(), "/?site=mia&sources=campaign"],
        ["first", report(first), "/?site=mia"],
        [
          "source",
          ofValue("source", "Instagram", {
            compared: { ...compared, totals: { visitors: 50, visits: 55 }, series: undefined },
          }),
          "/?site=mia&filter=source:Instagram",
        ],
      ];
      for (const [name, made, path] of states) {
        await show(JSON.parse(JSON.stringify(made)), path);
        await expect(page.locator(".metric b").filter({ hasText: /\d/ }).first()).toBeVisible();
        for (const row of await page.getByRole("button", { name: "Not yet shown" }).all())
          await row.click();
        if (name !== "source") await expect(page.locator("canvas")).toBeVisible();
        await page.screenshot({
          path: `../../test-results/screens/states-${name}-${width}-${colorScheme}.png`,
          fullPage: true,
        });
        expect(
          await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth),
          name,
        ).toBeLessThanOrEqual(0);
        expect(await violations(page), name).toEqual([]);
      }
    });
  }
}
