// What a creator reads: every panel against the API's own numbers, and everything that can be done
// with them.
import { readFileSync } from "node:fs";
import { violations } from "./browser.js";
import { HARMFUL, NOW, PEOPLE } from "./crowd.js";
import { expect, test as base } from "./stage.js";

const test = base.extend({
  /** Whatever the page complains about fails the test. */
  page: async ({ page }, use) => {
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    await use(page);
    expect(complaints.filter((text) => !page.expected?.test(text))).toEqual([]);
  },
});

const WEEK = PEOPLE.slice(7);
const sum = (numbers) => numbers.reduce((all, n) => all + n, 0);
/** What a row of a list is compared by, as the pointer is told. */
const sides = (table) =>
  table.locator(".compared-value").evaluateAll((pairs) => pairs.map(({ title }) => title));
const panel = (page, name) => page.getByRole("region", { name, exact: true });
const rows = (table) =>
  table.locator("tbody tr:not([hidden])").evaluateAll((lines) =>
    lines.map((tr) =>
      // The number of a row that is compared, without its change.
      [...tr.children].map((cell) =>
        (cell.querySelector(".compared-value")?.firstChild.textContent ?? cell.innerText).trim(),
      ),
    ),
  );
const first = async (table) =>
  (await rows(table)).map(([name, ...cells]) => [name, ...cells.filter(Boolean)]);
const number = (page, label) =>
  page.locator(".metric").filter({ has: page.getByText(label, { exact: true }) });
const value = (page, label) => number(page, label).locator("b");
const loaded = async (page, query = "") => {
  await page.goto(`/?site=demo${query}`);
  await expect(page.locator("main")).toHaveAttribute("aria-busy", "false");
  await expect(
    page.locator(".metric b").filter({ hasText: /\d/ }).or(page.locator(".notice")).first(),
  ).toBeVisible();
};
const brief = (n) => n.toLocaleString("en");

test("the first sentence says how many, how much better, from where, and what they clicked", async ({
  page,
}) => {
  await loaded(page);
  const [now, then] = [sum(WEEK), sum(PEOPLE.slice(0, 7))];
  await expect(page.locator(".summary")).toHaveText(
    `${now} visitors in the last 7 days, ${Math.round((now / then - 1) * 100)}% more than ` +
      "in the 7 days before. Top source: Instagram; most clicked newsletter.",
  );
});

test("headline numbers are the API's, with their change; choosing one puts it on the chart", async ({
  page,
  collector,
}) => {
  await loaded(page);
  const { totals, subjects, compared } = await collector.report("range=7d&compare=previous");
  expect(totals.visitors).toBe(sum(WEEK));
  await expect(value(page, "Visitors")).toHaveText(brief(totals.visitors));
  await expect(value(page, "Visits")).toHaveText(brief(totals.visits));
  await expect(value(page, "Page views")).toHaveText(brief(totals.hits));
  await expect(value(page, "Clicks")).toHaveText(brief(subjects.link.hits));
  await expect(value(page, "Click rate")).toHaveText(
    `${Math.round((100 * subjects.link.hits) / totals.hits)}%`,
  );
  await expect(value(page, "Bounce rate")).toHaveText(
    `${Math.round((100 * totals.bounces) / totals.visits)}%`,
  );
  await expect(value(page, "Visit length")).toHaveText(
    `${Math.round(totals.seconds / totals.visits)}s`,
  );
  await expect(number(page, "Page views")).toContainText(
    `${Math.round((totals.hits / compared.totals.hits - 1) * 100)}% more than before`,
  );
  await expect(number(page, "Clicks")).toContainText("more than before");

  await expect(page.getByRole("button", { name: /^Visitors/ })).toHaveAttribute(
    "aria-pressed",
    "true",
  );
  await page.getByRole("button", { name: /^Page views/ }).click();
  await expect(page).toHaveURL(/metric=hits/);
  await expect(page.getByRole("region", { name: "Page views over time" })).toBeVisible();
});

test("the chart is read with arrow keys and by touch, and is a table too", async ({
  page,
  collector,
}) => {
  await loaded(page);
  const chart = page.getByRole("slider");
  await expect(page.locator("canvas")).toBeVisible();
  await chart.focus();
  await page.keyboard.press("End");
  await expect(chart).toHaveAttribute(
    "aria-valuetext",
    `Sun, 15 Mar 2026: ${WEEK[6]} visitors; before: ${PEOPLE[6]}`,
  );
  await page.keyboard.press("ArrowLeft");
  await expect(page.locator(".readout")).toHaveText(`Sat, 14 Mar ${WEEK[5]} · before ${PEOPLE[5]}`);
  const box = await page.locator(".u-over").boundingBox();
  await chart.evaluate((node, x) => {
    const touch = new Touch({ identifier: 1, target: node, clientX: x, clientY: 300 });
    node.dispatchEvent(new TouchEvent("touchmove", { touches: [touch], bubbles: true }));
  }, box.x + 3);
  await expect(page.locator(".readout")).toHaveText(`Mon, 9 Mar ${WEEK[0]} · before ${PEOPLE[0]}`);

  await page.getByRole("button", { name: "As a table" }).click();
  const { series } = await collector.report("range=7d");
  expect(await rows(page.getByRole("table", { name: "Visitors over time" }))).toEqual(
    series.map(({ visitors }, i) => [
      expect.stringContaining("Mar 2026"),
      String(visitors),
      String(PEOPLE[i]),
    ]),
  );
});

test("hours that have not come yet are no zeros", async ({ page }) => {
  await page.clock.setFixedTime(NOW);
  await loaded(page, "&range=today");
  await page.getByRole("button", { name: "As a table" }).click();
  const hours = await rows(page.getByRole("table", { name: "Visitors over time" }));
  expect(hours.length).toBe(24);
  const ahead = hours.filter(([, now]) => now === "–").map(([when]) => when);
  expect(ahead).toEqual(["Sun, 15 Mar 2026, 22:00", "Sun, 15 Mar 2026, 23:00"]);
});

test("every list shows the API's rows, and compares them by the API's numbers", async ({
  page,
  collector,
}) => {
  await loaded(page);
  const { subjects, dimensions, totals, money } = await collector.report(
    "range=7d&compare=previous",
  );
  const compared = (rows, key) =>
    rows.map(({ compared: { now, before } }) => `${before[key]} before, ${now[key]} now`);
  for (const [name, subject] of [
    ["Links", "link"],
    ["Pages", "page"],
    ["Events", "event"],
  ])
    expect(await sides(page.getByRole("table", { name })), name).toEqual(
      compared(subjects[subject].rows, "hits"),
    );
  expect(await sides(page.getByRole("table", { name: "Sources" }))).toEqual(
    compared(dimensions.source.rows, "visitors"),
  );
  expect(subjects.link.rows[0].compared.before.hits).toBeGreaterThan(0);
  const share = (part, all) =>
    part / all < 0.0995 && ((part / all) * 100) % 1 >= 0.05
      ? `${((100 * part) / all).toFixed(1)}%`
      : `${Math.round((100 * part) / all)}%`;
  // Who has no campaign is the last of the list.
  const none = ({ value }) => value === "(none)";
  const people = (dimension) => {
    const { rows, published, pending } = dimensions[dimension];
    expect(
      rows.reduce((all, row) => all + row.visitors, 0),
      `${dimension} adds up`,
    ).toBe(published);
    const shown = [...rows.filter((row) => !none(row)), ...rows.filter(none)].map((row) => [
      String(row.visitors),
      share(row.visitors, published),
    ]);
    return pending ? [...shown, [String(pending)]] : shown;
  };
  const cells = async (name) =>
    (await first(page.getByRole("table", { name, exact: true }))).map(([, ...rest]) => rest);

  const links = subjects.link.rows;
  expect(links.map(({ item }) => item)).toEqual([
    "newsletter",
    "https://www.example.com/tickets/spring-tour-2026",
    "shop",
  ]);
  expect(await first(page.getByRole("table", { name: "Links" }))).toEqual(
    links.map((row) => [
      row.item.replace("https://www.", ""),
      String(row.hits),
      share(row.hits, subjects.link.hits),
      String(row.visitors),
      share(row.visits, totals.visits),
      `${Math.round(row.seconds / row.hits)}s`,
    ]),
  );
  expect(await first(page.getByRole("table", { name: "Pages" }))).toEqual(
    subjects.page.rows.map((row) => [
      row.item,
      String(row.hits),
      String(row.visitors),
      `${Math.round(row.seconds / row.hits)}s`,
    ]),
  );
  const [{ minor }] = money;
  const [tip] = subjects.event.rows;
  expect(await first(page.getByRole("table", { name: "Events" }))).toEqual([
    ["tip", String(tip.hits), String(tip.visitors), `€${(minor / 100).toFixed(2)}`],
  ]);

  for (const [name, dimension] of [
    ["Channels", "channel"],
    ["Sources", "source"],
    ["Countries", "country"],
    ["Devices", "device"],
  ])
    expect(await cells(name), name).toEqual(people(dimension));
  for (const [tab, dimension] of [
    ["Campaigns", "campaign"],
    ["Browsers", "browser"],
    ["Systems", "os"],
    ["Languages", "language"],
  ]) {
    await page.getByRole("button", { name: tab, exact: true }).click();
    expect(await cells(tab), tab).toEqual(people(dimension));
  }
  await expect(page).toHaveURL(/sources=campaign&tech=language/);
  expect(
    (await first(page.getByRole("table", { name: "Languages" })))
      .map(([name]) => name)
      .filter((name) => name !== "Not yet shown")
      .sort(),
  ).toEqual(["English", "French", "German"]);
  await expect(page.locator(".published-until")).toHaveText(
    "Sources, countries and devices up to Saturday, 14 March",
  );
  const [germany] = await first(page.getByRole("table", { name: "Countries" }));
  expect(germany[0]).toBe("Germany");
  await expect(page.locator(".map path.counted")).toHaveCount(dimensions.country.rows.length);

  for (const [tab, key] of [
    ["Entries", "entries"],
    ["Exits", "exits"],
  ]) {
    await page.getByRole("button", { name: tab, exact: true }).click();
    const expected = subjects.page.rows
      .filter((row) => row[key])
      .sort((a, b) => b[key] - a[key])
      .map((row) => [row.item, String(row[key])]);
    expect(
      (await first(page.getByRole("table", { name: tab }))).map((row) => row.slice(0, 2)),
    ).toEqual(expected);
  }
});

test("speed, faults and what was not counted say what the API says", async ({
  page,
  collector,
}) => {
  await loaded(page);
  const ask = async (what) => (await fetch(collector.page(`/api/v1/${what}`))).json();
  const vitals = await ask("sites/demo/vitals?range=7d");
  const speed = panel(page, "Speed");
  const { LCP, CLS } = vitals.metrics;
  await expect(speed.locator("li").filter({ hasText: "LCP" }).locator("b")).toHaveText(
    `${(LCP.p75 / 1000).toFixed(1)} s`,
  );
  await expect(speed.locator("li").filter({ hasText: "CLS" }).locator("b")).toHaveText(
    CLS.p75.toFixed(2),
  );
  await expect(
    speed.locator("li").filter({ hasText: "LCP" }).getByRole("img"),
  ).toHaveAccessibleName(new RegExp(`^${Math.round((100 * LCP.good) / LCP.hits)}% good`));
  expect(
    (await rows(page.getByRole("table", { name: "Speed by page" }))).map(([path]) => path),
  ).toEqual(vitals.pages.map(({ path }) => path));
  await speed.getByRole("button", { name: "Phone" }).click();
  await expect(page).toHaveURL(/speed=phone/);
  await expect(speed.locator("b").first()).toHaveAttribute(
    "title",
    `${vitals.devices.phone.LCP.hits} loads measured`,
  );

  const faults = (await ask("sites/demo/faults?range=7d")).rows;
  expect(await rows(page.getByRole("table", { name: "Faults" }))).toEqual(
    faults.map((row) => [
      `${row.kind === "not_found" ? "Page not found" : "TypeError /u/demo/app.js:12"}\n${row.path}`,
      String(row.hits),
    ]),
  );
  const drops = (await ask("drops?range=7d")).rows;
  expect(drops.map(({ reason }) => reason).sort()).toEqual(["gpc", "no_consent"]);
  await expect(page.getByRole("table", { name: "Not counted" })).toContainText(
    "Global Privacy Control",
  );
  await expect(page.getByRole("table", { name: "Not counted" })).toContainText("No consent");
});

test("a link filters by who clicked it, a source by what its visitors saw, and both come off again", async ({
  page,
  collector,
}) => {
  await loaded(page);
  await page.getByRole("button", { name: "newsletter", exact: true }).click();
  await expect(page).toHaveURL(/filter=link%3Anewsletter/);
  await expect(page.locator(".filter-chip")).toContainText("Link: newsletter");
  const link = await collector.report("range=7d&filter=link:newsletter");
  await expect(value(page, "Unique clicks")).toHaveText(String(link.totals.visitors));
  await expect(value(page, "Time to click")).toHaveText(
    `${Math.round(link.totals.seconds / link.totals.hits)}s`,
  );
  const { rows: from, pending } = link.dimensions.source;
  expect(
    (await first(page.getByRole("table", { name: "Sources" }))).map(([, n]) => Number(n)),
  ).toEqual([...from.map((row) => row.visitors), ...(pending ? [pending] : [])]);
  await expect(page.getByRole("table", { name: "Links" })).toHaveCount(0);
  await expect(panel(page, "Devices")).toHaveCount(0);
  await page.getByRole("button", { name: "Remove the filter" }).click();

  await page.getByRole("button", { name: "Instagram" }).click();
  await expect(page.locator(".filter-chip")).toContainText("Source: Instagram");
  const source = await collector.report("range=7d&filter=source:Instagram");
  await expect(value(page, "Visits shown")).toHaveText(String(source.totals.visits));
  await expect(value(page, "Visitors shown")).toHaveText(String(source.totals.visitors));
  expect(await first(page.getByRole("table", { name: "Pages" }))).toEqual(
    source.subjects.page.rows.map((row) => [row.item, String(row.visitors), String(row.visits)]),
  );
  await expect(page.locator("canvas")).toHaveCount(0);
  await page.keyboard.press("Escape");
  await expect(page.locator(".filter-chip")).toHaveCount(0);
  await page.goBack();
  await expect(page.locator(".filter-chip")).toContainText("Instagram");
  await page.goForward();
  await expect(page.locator(".filter-chip")).toHaveCount(0);
});

for (const [by, name] of [
  ["page", "/u/demo/shop"],
  ["event", "tip"],
  ["country", "Germany"],
  ["campaign", "spring-tour"],
]) {
  test(`a ${by} can be chosen from its list`, async ({ page }) => {
    await loaded(page, by === "campaign" ? "&sources=campaign" : "");
    await page.locator("table").getByRole("button", { name, exact: true }).first().click();
    await expect(page).toHaveURL(new RegExp(`filter=${by}%3A`));
    await expect(page.locator(".filter-chip")).toContainText(name);
    await expect(
      value(page, by === "country" || by === "campaign" ? "Visitors shown" : "Visitors"),
    ).toHaveText(/^\d+$/);
    expect(await violations(page)).toEqual([]);
  });
}

test("on the open day an event is exact and live, and its lists say when they come", async ({
  page,
  collector,
}) => {
  const { totals } = await collector.report("range=today&filter=event:tip");
  expect(totals.visitors).toBe(2);
  await loaded(page, "&range=today&filter=event:tip");
  await expect(value(page, "Visitors")).toHaveText("2");
  await expect(panel(page, "Sources")).toContainText("Shown after the day is over.");
  expect(await violations(page)).toEqual([]);
});

test("a source of which nothing is shown yet says so, and the way back is there", async ({
  page,
}) => {
  await loaded(page, "&range=today&filter=source:Instagram");
  await expect(page.getByRole("heading", { name: "Nothing shown yet" })).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await page.getByRole("button", { name: "Show everything" }).click();
  await expect(value(page, "Visitors")).toHaveText(String(PEOPLE.at(-1)));
  for (const name of ["Sources", "Devices", "Countries"])
    await expect(panel(page, name)).toContainText("Shown after the day is over.");
});

test("ranges, comparison and steps are in the address, and keys choose them", async ({
  page,
  collector,
}) => {
  await loaded(page);
  for (const [range, label] of [
    ["today", "Today"],
    ["yesterday", "Yesterday"],
    ["28d", "28 days"],
    ["30d", "30 days"],
    ["90d", "90 days"],
    ["month", "This month"],
    ["year", "This year"],
    ["all", "All time"],
  ]) {
    await page.getByLabel("Range").selectOption({ label });
    await expect(page).toHaveURL(new RegExp(`range=${range}`));
    const { totals } = await collector.report(`range=${range}`);
    await expect(value(page, "Visitors"), range).toHaveText(String(totals.visitors));
  }
  await page.evaluate(() => document.activeElement.blur());
  for (const [key, range] of [
    ["t", "today"],
    ["y", "yesterday"],
    ["2", "28d"],
    ["3", "30d"],
    ["9", "90d"],
    ["m", "month"],
    ["a", "all"],
  ]) {
    await page.keyboard.press(key);
    await expect(page).toHaveURL(new RegExp(`range=${range}`));
  }
  await page.keyboard.press("7");
  await expect(page).toHaveURL(/\?site=demo$/);
  for (const compare of ["year", "none"]) {
    await page.keyboard.press("c");
    await expect(page).toHaveURL(new RegExp(`compare=${compare}`));
  }
  await expect(page.locator(".change")).toHaveCount(0);
  await page.getByLabel("Steps of the chart").selectOption("hour");
  await page.getByRole("button", { name: "As a table" }).click();
  await expect(
    page.getByRole("table", { name: "Visitors over time" }).locator("tbody tr"),
  ).toHaveCount(7 * 24);

  await page.getByLabel("Range").selectOption("custom");
  await page.getByLabel("From", { exact: true }).fill("2026-03-04");
  await page.getByLabel("To", { exact: true }).fill("2026-03-06");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await expect(page).toHaveURL(/from=2026-03-04&to=2026-03-06/);
  await expect(value(page, "Visitors")).toHaveText(String(sum(PEOPLE.slice(2, 5))));
  await page.getByLabel("Compare with").selectOption("custom");
  await page.getByLabel("Compare with the days from").fill("2026-03-09");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await expect(page).toHaveURL(/compare_from=2026-03-09/);
  await expect(page.locator(".summary")).toContainText("than from 9 Mar to 11 Mar 2026");
  await page.reload();
  await expect(page.locator(".date-range")).toHaveText(
    "4 Mar – 6 Mar 2026, against 9 Mar – 11 Mar",
  );
});

test("a list opens whole, is searched, and a row of it filters", async ({ page, collector }) => {
  for (let i = 0; i < 14; i++)
    await collector.hit(
      { kind: "view", url: collector.page(`/u/long/page-${i}`) },
      {
        "user-agent": `Mozilla/5.0 (X11; Linux x86_64; rv:1${i + 10}.0) Gecko/20100101 Firefox/1${i + 10}.0`,
      },
    );
  await collector.flush(NOW);
  await page.goto("/?site=long&range=today");
  await panel(page, "Pages").getByRole("button", { name: "Show all Pages" }).click();
  const dialog = page.getByRole("dialog", { name: "Pages" });
  await expect(dialog.getByRole("status")).toHaveText("14 rows");
  await dialog.getByRole("searchbox").fill("page-13");
  await expect(dialog.locator("tbody tr")).toHaveCount(1);
  expect(await violations(page)).toEqual([]);
  await dialog.getByRole("button", { name: "/u/long/page-13" }).click();
  await expect(dialog).toHaveCount(0);
  await expect(page).toHaveURL(/filter=page%3A%2Fu%2Flong%2Fpage-13/);
});

test("each list is a file, and all of them are one archive", async ({ page, collector }) => {
  await loaded(page);
  const download = async (act) => {
    const waiting = page.waitForEvent("download");
    await act();
    const file = await waiting;
    return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
  };
  const csv = await download(() => page.getByRole("link", { name: "CSV of Links" }).click());
  expect(csv.name).toBe("demo-link-2026-03-09-2026-03-15.csv");
  const { subjects } = await collector.report("range=7d");
  const [top] = subjects.link.rows;
  const [names, row] = csv.bytes
    .toString()
    .split("\n")
    .map((line) => line.split(","));
  expect(
    Object.fromEntries(names.map((name, i) => [name, name === "item" ? row[i] : Number(row[i])])),
  ).toEqual(top);
  const json = await download(() => page.getByRole("link", { name: "JSON of Countries" }).click());
  expect(JSON.parse(json.bytes)[0].value).toBe("DE");

  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("button", { name: "Export" }).click();
  expect(await violations(page)).toEqual([]);
  const all = await download(() => page.getByRole("button", { name: "Everything as CSV" }).click());
  expect(all.name).toBe("demo-csv.zip");
  // The directory at the end names every file; the sizes of the first agree with what was stored.
  expect(all.bytes.readUInt32LE(0)).toBe(0x04034b50);
  expect(all.bytes.readUInt16LE(all.bytes.length - 12)).toBe(15);
  for (const table of [
    "series",
    "link",
    "page",
    "event",
    "money",
    "source",
    "channel",
    "campaign",
    "country",
    "device",
    "browser",
    "os",
    "language",
    "vitals",
    "faults",
  ]) {
    expect(all.bytes.includes(`demo-${table}-2026-03-09-2026-03-15.csv`), table).toBe(true);
  }
  expect(all.bytes.includes(csv.bytes)).toBe(true);
});

test("what would do harm elsewhere is text here", async ({ page, collector }) => {
  await page.goto("/?site=harm&range=today");
  await expect(value(page, "Visitors")).toHaveText(/\d/);
  const { subjects } = await (
    await fetch(collector.page("/api/v1/sites/harm/report?range=today"))
  ).json();
  const links = await first(page.getByRole("table", { name: "Links" }));
  expect(subjects.link.rows.length).toBeGreaterThan(HARMFUL.length - 2);
  const shown = (
    await page.getByRole("table", { name: "Links" }).locator(".item").allTextContents()
  ).sort();
  expect(shown).toEqual(
    subjects.link.rows
      .map(({ item }) => (item === "(other)" ? "Other" : item.replace("https://www.", "")))
      .sort(),
  );
  expect(links.length).toBe(subjects.link.rows.length);
  expect(subjects.event.rows.map(({ item }) => item)).toContain("<script>alert(1)</script>");
  await expect(page.getByRole("table", { name: "Events" })).toContainText(
    "<script>alert(1)</script>",
  );
  await expect(page.locator("img, main script")).toHaveCount(0);
  await page
    .getByRole("table", { name: "Events" })
    .getByRole("button", { name: "<script>alert(1)</script>" })
    .click();
  await expect(page.locator(".filter-chip")).toContainText("Event: <script>alert(1)</script>");
  const csv = await (
    await fetch(collector.page("/api/v1/sites/harm/export?table=event&range=today"))
  ).text();
  expect(csv).toContain("'=cmd()");
  // A filter that somebody else wrote into the address.
  await page.goto(
    `/?site=harm&filter=${encodeURIComponent("source:<img src=x onerror=alert(1)>")}`,
  );
  await expect(page.locator(".filter-chip")).toContainText("<img src=x");
  await expect(page.locator("img")).toHaveCount(0);
});

test("sites are found by name, also with the keyboard alone", async ({ page }) => {
  await loaded(page);
  await page.keyboard.press("/");
  const dialog = page.getByRole("dialog", { name: "Choose a site" });
  await expect(dialog.getByRole("button", { name: /^demo/ })).toBeVisible();
  await expect(dialog.getByRole("button", { name: /^harm/ })).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await expect(dialog.getByRole("searchbox")).toBeFocused();
  await page.keyboard.type("har");
  await expect(dialog.locator("li")).toHaveCount(1);
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/site=harm/);
  await expect(page.getByRole("heading", { level: 1 })).toContainText("harm");
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard shortcuts" })).toContainText(
    "A year earlier".toLowerCase(),
  );
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
});

test("without a site in the address one chooses", async ({ page }) => {
  await page.goto("/");
  await page
    .getByRole("dialog", { name: "Choose a site" })
    .getByRole("button", { name: /^demo/ })
    .click();
  await expect(page).toHaveURL(/\?site=demo$/);
  await expect(page.locator(".summary")).toBeVisible();
  await page.goBack();
  await expect(page.getByRole("heading", { name: "No site is chosen" })).toBeVisible();
  expect(await violations(page)).toEqual([]);
});

test("a site without visits says what to put into the page", async ({ page }) => {
  await page.goto("/?site=nobody");
  await expect(page.getByRole("heading", { name: "Nothing here yet" })).toBeVisible();
  await expect(page.locator("pre")).toContainText("/u/nobody/ff/consent.js");
  expect(await violations(page)).toEqual([]);
});

test("numbers that cannot be read again stay, and are marked as old", async ({ page }) => {
  page.expected = /503|ERR_FAILED/;
  await loaded(page);
  const report = "**/api/v1/sites/demo/report?**";
  const problem = {
    type: "about:blank",
    title: "The counts cannot be read right now",
    status: 503,
    code: "store_unavailable",
  };
  await page.route(report, (route) =>
    route.fulfill({
      status: 503,
      contentType: "application/problem+json",
      body: JSON.stringify(problem),
    }),
  );
  await page.getByLabel("Range").selectOption("28d");
  await expect(page.getByRole("heading", { name: "These numbers are out of date" })).toBeVisible();
  await expect(value(page, "Visitors")).toHaveText(String(sum(WEEK)));
  await page.reload();
  await expect(
    page.getByRole("heading", { name: "The numbers cannot be read right now" }),
  ).toBeVisible();
  await page.unroute(report);
  await page.route(report, (route) => route.abort());
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(
    page.getByRole("heading", { name: "The collector cannot be reached" }),
  ).toBeVisible();
  await page.unroute(report);
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(value(page, "Visitors")).toHaveText(String(sum(PEOPLE)));
});

test("a site that is not there, or not one's own, is told the same", async ({ page }) => {
  page.expected = /404/;
  await page.goto("/?site=no%20such%20site");
  await expect(page.getByRole("heading", { name: "Site not found" })).toBeVisible();
});

test("nothing moves when numbers arrive", async ({ page }) => {
  await page.addInitScript(() => {
    window.shifts = 0;
    new PerformanceObserver((list) =>
      list
        .getEntries()
        .forEach((entry) => (window.shifts += entry.hadRecentInput ? 0 : entry.value)),
    ).observe({ type: "layout-shift", buffered: true });
  });
  await loaded(page);
  await expect(page.locator("canvas")).toBeVisible();
  await page.waitForTimeout(500);
  expect(await page.evaluate(() => window.shifts)).toBeLessThan(0.1);
});

test("paper gets the numbers and none of the buttons", async ({ page }) => {
  await loaded(page);
  await page.emulateMedia({ media: "print" });
  await expect(page.getByLabel("Range")).toBeHidden();
  await expect(page.getByRole("link", { name: "CSV of Links" })).toBeHidden();
  await expect(value(page, "Visitors")).toBeVisible();
  expect((await page.pdf({ format: "A4" })).length).toBeGreaterThan(10_000);
});

test("what opens costs one page, its style and its code, kept for ever by name", async ({
  page,
  collector,
}) => {
  const assets = [];
  page.on("response", (answer) => answer.url().includes("/assets/") && assets.push(answer));
  await loaded(page);
  for (const answer of assets)
    expect(answer.headers()["cache-control"], answer.url()).toBe(
      "public, max-age=31536000, immutable",
    );
  const html = await fetch(collector.page("/"), { headers: { "accept-encoding": "br" } });
  expect([html.headers.get("content-encoding"), html.headers.get("cache-control")]).toEqual([
    "br",
    "no-cache",
  ]);
  expect(await html.text()).toContain("<!doctype html>");
  const again = await fetch(collector.page("/"), {
    headers: { "if-none-match": html.headers.get("etag") },
  });
  expect(again.status).toBe(304);
  expect((await fetch(collector.page("/assets/none.js"))).status).toBe(404);
});

test("news changes the numbers without a word, and a hidden tab hears none", async ({
  page,
  collector,
}) => {
  await loaded(page, "&range=today");
  const before = Number(await value(page, "Page views").textContent());
  await expect(page.locator(".live")).toHaveText(/^\d+ now$/);
  const agent = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:180.0) Gecko/20100101 Firefox/180.0",
    "x-forwarded-for": "8.8.8.77",
  };
  expect(
    (await collector.hit({ kind: "view", url: collector.page("/u/demo") }, agent)).status,
  ).toBe(202);
  await collector.flush();
  await expect(value(page, "Page views")).toHaveText(String(before + 1), { timeout: 20_000 });

  const streams = [];
  page.on("request", (request) => request.url().endsWith("/events") && streams.push(request.url()));
  const turn = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await turn(true);
  expect(
    (await collector.hit({ kind: "view", url: collector.page("/u/demo") }, agent)).status,
  ).toBe(202);
  await collector.flush();
  await page.waitForTimeout(7_000); // longer than the stream takes to tell
  await expect(value(page, "Page views")).toHaveText(String(before + 1));
  expect(streams).toEqual([]);
  await turn(false);
  await expect(value(page, "Page views")).toHaveText(String(before + 2));
  expect(streams.length).toBe(1);
});

for (const [size, viewport] of [
  ["phone", { width: 360, height: 780 }],
  ["desktop", { width: 1280, height: 900 }],
]) {
  for (const colorScheme of ["light", "dark"]) {
    test.describe(`${size}, ${colorScheme}`, () => {
      test.use({ viewport, colorScheme });
      test("everything reads well, fits, and looks as it should", async ({ page }) => {
        const look = async (name, fullPage = false) => {
          await page.screenshot({
            path: `../../test-results/screens/${name}-${size}-${colorScheme}.png`,
            fullPage,
          });
          expect(
            await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth),
            name,
          ).toBeLessThanOrEqual(0);
          expect(await violations(page), name).toEqual([]);
        };
        await loaded(page);
        await expect(page.locator("canvas")).toBeVisible();
        await expect(panel(page, "Not counted")).toBeVisible();
        await expect(number(page, "Clicks").locator(".change")).toBeVisible();
        await look("dashboard");
        await look("dashboard-whole", true);
        await page.getByRole("button", { name: "As a table" }).click();
        await look("dashboard-table");
        await page.getByRole("button", { name: "Menu" }).click();
        await look("menu");
        for (const [item, name] of [
          ["Share", "Share"],
          ["Export", "Export"],
          ["Keyboard shortcuts", "Keyboard shortcuts"],
        ]) {
          if (!(await page.locator("#menu").isVisible()))
            await page.getByRole("button", { name: "Menu" }).click();
          await page.locator("#menu").getByText(item, { exact: true }).click();
          await expect(page.getByRole("dialog", { name })).toBeVisible();
          await look(`dialog-${item.toLowerCase().replace(" ", "-")}`);
          await page.keyboard.press("Escape");
        }
        await loaded(page, "&filter=link:newsletter");
        await look("filtered-by-link", true);
        await loaded(page, "&filter=source:Instagram");
        await look("filtered-by-source", true);
        await page.goto("/platform");
        await expect(page.getByRole("table", { name: "Slow pages" })).toBeVisible();
        await expect(page.locator("#health dd").first()).toBeVisible();
        await look("platform", true);
      });
    });
  }
}
