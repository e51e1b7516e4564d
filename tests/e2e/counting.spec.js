// What a visitor does, and what the creator then reads: equal to the last digit.
import { CONFIG } from "./crowd.js";
import { DAY, GRANT, START, expect, test } from "./collector.js";

const NOTHING = { hits: 0, visitors: 0, visits: 0, bounces: 0, seconds: 0 };
const REPORT = `/?site=demo&from=${DAY}&to=${DAY}`;

/** Answers the question; the banner goes once the answer is on record. */
const answer = async (page, name) => {
  await page.getByRole("dialog").getByRole("button", { name, exact: true }).click();
  await expect(page.getByRole("dialog")).toBeHidden();
};
const accept = async (page) => {
  await page.goto("/u/demo");
  await answer(page, "Accept");
};

/** Follows a link of the page and waits until it has led somewhere. */
const follow = async (page, name, to) => {
  await page.getByRole("link", { name }).click();
  await page.waitForURL(to);
};

const counted = async (collector, views, clicks) => {
  const read = async () => {
    await collector.flush();
    const report = await collector.report();
    return [report.totals.hits, report.subjects.link.rows.reduce((sum, row) => sum + row.hits, 0)];
  };
  await expect.poll(read, { message: "views and clicks counted" }).toEqual([views, clicks]);
  return collector.report();
};

const nothingCounted = async (collector) => {
  await collector.flush();
  const report = await collector.report();
  expect(report.totals).toEqual(NOTHING);
  expect(report.subjects).toEqual({
    page: { hits: 0, rows: [] },
    link: { hits: 0, rows: [] },
    event: { hits: 0, rows: [] },
  });
  expect(report.dimensions.source).toEqual({ published: 0, pending: 0, rows: [] });
};

/** A list of the dashboard as rows of text, and a headline number of it. */
const list = (page, title) => page.getByRole("table", { name: title, exact: true });
const rows = (table) =>
  table.locator("tbody tr").evaluateAll((lines) =>
    lines.map((tr) =>
      // The number of a row that is compared, without its change.
      [...tr.children].map((cell) =>
        (cell.querySelector(".compared-value")?.firstChild.textContent ?? cell.innerText).trim(),
      ),
    ),
  );
const total = (page, label) =>
  page
    .locator(".metric")
    .filter({ has: page.getByText(label, { exact: true }) })
    .locator("b");

test("a visitor who has not chosen sends nothing and gets no cookie", async ({
  page,
  context,
  collector,
}) => {
  await page.goto("/u/demo");
  await follow(page, "Shop: the autumn kiln", "**/u/demo/shop");
  await follow(page, "Two cups", "https://shop.example.com/cup");
  await page.goto("/u/demo");
  expect(collector.sent()).toBe(0);
  expect(await context.cookies()).toEqual([]);
  await nothingCounted(collector);
});

test("views and clicks of one who accepted are counted exactly, as one visitor and one visit", async ({
  page,
  collector,
}) => {
  await accept(page); //                                                            view 1
  await follow(page, "Letters from", "https://www.example.com/newsletter"); //      click newsletter
  await page.goto("/u/demo"); //                                                    view 2
  await follow(page, "Shop: the autumn kiln", "**/u/demo/shop"); //                 click shop, view 3
  await follow(page, "Breakfast bowl", "https://shop.example.com/bowl"); //         click bowl
  await page.goto("/u/demo"); //                                                    view 4
  await follow(page, "Letters from", "https://www.example.com/newsletter"); //      click newsletter
  const report = await counted(collector, 4, 4);

  expect(report.totals).toEqual({ ...NOTHING, hits: 4, visitors: 1, visits: 1 });
  expect(report.series.filter(({ hits }) => hits)).toEqual([
    { at: `${DAY}T10:00:00+01:00`, ...NOTHING, hits: 4, visitors: 1, visits: 1 },
  ]);
  const short = ({ item, hits, visitors, visits }) => [item, hits, visitors, visits];
  expect(report.subjects.page.rows.map(short)).toEqual([
    ["/u/demo", 3, 1, 1],
    ["/u/demo/shop", 1, 1, 1],
  ]);
  expect(report.subjects.link.rows.map(short)).toEqual([
    ["newsletter", 2, 1, 1],
    ["bowl", 1, 1, 1],
    ["shop", 1, 1, 1],
  ]);
  expect(report.subjects.event.rows).toEqual([]);
  expect(report.dimensions.source).toEqual({ published: 0, pending: 1, rows: [] });
  await page.goto(REPORT);
  await expect(total(page, "Visitors")).toHaveText("1");
  await expect(total(page, "Visits")).toHaveText("1");
  await expect(total(page, "Page views")).toHaveText("4");
  await expect(total(page, "Clicks")).toHaveText("4");
  const [pages, links] = [await rows(list(page, "Pages")), await rows(list(page, "Links"))];
  expect(pages.map((row) => row.slice(0, 3))).toEqual([
    ["/u/demo", "3", "1"],
    ["/u/demo/shop", "1", "1"],
  ]);
  expect(links.map((row) => row.slice(0, 4))).toEqual([
    ["newsletter", "2", "50%", "1"],
    ["bowl", "1", "25%", "1"],
    ["shop", "1", "25%", "1"],
  ]);
  await expect(page.locator("#sources")).toContainText("Shown after the day is over.");
  await page.getByRole("button", { name: "As a table" }).click();
  const hours = await rows(list(page, "Visitors over time"));
  // Hours that are still to come have no number.
  expect(hours.filter(([, n]) => !["0", "–"].includes(n))).toEqual([
    ["Mon, 2 Mar 2026, 10:00", "1", "0"],
  ]);
  expect(hours.length).toBe(24);

  await list(page, "Pages").getByRole("button", { name: "/u/demo/shop" }).click();
  await expect(page).toHaveURL(/filter=page%3A%2Fu%2Fdemo%2Fshop/);
  await expect(total(page, "Page views")).toHaveText("1");
  await page.getByRole("button", { name: "Remove the filter" }).click();
  await expect(total(page, "Page views")).toHaveText("4");
});

test("after half an hour the same visitor makes a second visit", async ({ page, collector }) => {
  await accept(page);
  await counted(collector, 1, 0);
  await collector.flush(START + 29 * 60_000);
  await page.goto("/u/demo/shop");
  expect((await counted(collector, 2, 0)).totals).toEqual({
    ...NOTHING,
    hits: 2,
    visitors: 1,
    visits: 1,
  });
  await collector.flush(START + 60 * 60_000);
  await page.goto("/u/demo");
  const { totals } = await counted(collector, 3, 0);
  expect([totals.visitors, totals.visits]).toEqual([1, 2]);
});

test("a visitor who rejects is asked once, and not counted", async ({
  page,
  context,
  collector,
}) => {
  await page.goto("/u/demo");
  await answer(page, "Reject");
  expect((await context.cookies()).map(({ name, value }) => [name, value])).toEqual([
    ["ff_consent", "1.none"],
  ]);
  await follow(page, "Shop: the autumn kiln", "**/u/demo/shop");
  await page.evaluate(() => window.footfall.consent.ready);
  await expect(page.getByRole("dialog")).toBeHidden();
  await follow(page, "Two cups", "https://shop.example.com/cup");
  expect(collector.sent()).toBe(0);
  await nothingCounted(collector);
});

test("one who changes to reject is not counted from then on", async ({ page, collector }) => {
  await accept(page);
  await counted(collector, 1, 0);
  await page.getByRole("button", { name: "Cookie Preferences" }).click();
  await answer(page, "Reject");
  const before = collector.sent();
  await follow(page, "Shop: the autumn kiln", "**/u/demo/shop");
  await page.goto("/u/demo");
  await page.evaluate(() => window.footfall.consent.ready);
  expect(collector.sent()).toBe(before);
  await counted(collector, 1, 0);
});

test("in flag_cookie mode a browser is one visitor, and withdrawing takes its visit cookie away", async ({
  page,
  context,
  platform,
}) => {
  const alllinks = await platform("alllinks");
  await page.goto(`${alllinks.url}/u/demo`);
  await page.getByRole("dialog").getByRole("button", { name: "Accept", exact: true }).click();
  await counted(alllinks, 1, 0);
  for (let views = 2; views <= 4; views++) {
    await page.goto(`${alllinks.url}/u/demo/shop`);
    await counted(alllinks, views, 0);
  }
  expect((await alllinks.report()).totals.visitors).toBe(1);
  const held = async () =>
    (await context.cookies(`${alllinks.url}/u/demo`))
      .map((c) => [c.name, c.path, c.httpOnly, c.name === "al_visit" && c.value])
      .sort();
  expect(await held()).toEqual([
    ["al_cookie_consent", "/", true, false],
    ["al_visit", "/u/demo", true, "1"],
  ]);
  await page.getByRole("button", { name: "Cookie Preferences" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Reject", exact: true }).click();
  await expect(page.getByRole("dialog")).toBeHidden();
  expect(await held()).toEqual([["al_cookie_consent", "/", true, false]]);
});

for (const [name, header, property, value] of [
  ["Do Not Track", "DNT", "doNotTrack", "1"],
  ["Global Privacy Control", "Sec-GPC", "globalPrivacyControl", true],
]) {
  test(`${name} outweighs a stored grant, in the page and at the collector`, async ({
    page,
    context,
    collector,
  }) => {
    await context.addCookies([{ name: "ff_consent", value: GRANT, url: collector.url }]);
    await context.setExtraHTTPHeaders({ [header]: "1" });
    await context.addInitScript(
      ([key, says]) => {
        Object.defineProperty(Navigator.prototype, key, { get: () => says, configurable: true });
      },
      [property, value],
    );
    await page.goto("/u/demo");
    await page.getByRole("button", { name: "Cookie Preferences" }).click();
    await expect(page.getByRole("dialog")).toContainText(
      "Your browser's opt-out signal is honoured",
    );
    await page.keyboard.press("Escape");
    await follow(page, "Shop: the autumn kiln", "**/u/demo/shop");
    expect(collector.sent()).toBe(0);

    // A page that pays no heed: the collector does.
    const view = { kind: "view", url: collector.page("/u/demo") };
    const agent = {
      "user-agent":
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    };
    expect((await collector.hit(view, { ...agent, [header]: "1" })).status).toBe(202);
    await nothingCounted(collector);
    // The same hit without the signal counts: it was the signal that was obeyed.
    expect((await collector.hit(view, agent)).status).toBe(202);
    await counted(collector, 1, 0);
  });
}

test("an automated browser is not counted", async ({ page, context, collector }) => {
  await context.addInitScript(() =>
    Object.defineProperty(Navigator.prototype, "webdriver", {
      get: () => true,
      configurable: true,
    }),
  );
  await accept(page);
  await expect.poll(collector.sent).toBe(1);
  await nothingCounted(collector);
});

test("ten visitors of one source are shown when their day is over, and choosing it shows what they saw", async ({
  page,
  platform,
}) => {
  const collector = await platform("", CONFIG);
  for (let n = 0; n < 10; n += 1) {
    const agent =
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) " +
      `Chrome/${130 + n}.0.0.0 Safari/537.36`;
    const view = {
      kind: "view",
      url: collector.page("/u/demo"),
      referrer: "https://news.example.com/",
    };
    const sent = await collector.hit(view, {
      "user-agent": agent,
      "x-forwarded-for": `198.51.${n}.7`,
    });
    expect(sent.status).toBe(202);
  }
  await counted(collector, 10, 0);
  await page.goto(collector.url + REPORT);
  await expect(total(page, "Visitors")).toHaveText("10");
  await expect(page.getByRole("button", { name: "news.example.com" })).toHaveCount(0);

  await collector.flush(START + 24 * 3_600_000);
  await collector.publish();
  await page.goto(collector.url + REPORT);
  await expect
    .poll(() => rows(list(page, "Sources")))
    .toEqual([["news.example.com", "10", "100%"]]);
  await page.getByRole("button", { name: "news.example.com" }).click();
  await expect(page.locator(".filter-chip")).toContainText("Source: news.example.com");
  await expect.poll(() => rows(list(page, "Pages"))).toEqual([["/u/demo", "10", "10"]]);
  await page.goBack();
  await expect(total(page, "Page views")).toHaveText("10");
});
