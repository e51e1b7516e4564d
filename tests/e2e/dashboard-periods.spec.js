// Which days a question is about: named ranges, the period before and after, the reader's weeks;
// and the colours that the reader chose.
import { TODAY, counters, day, expect, json, report, test } from "./made.js";

/** It is noon of 28 November 2026, whatever the machine's clock says. */
const noon = {
  until: `${TODAY}T12:00:00+01:00`,
  now: counters(100),
  before: counters(90),
  days: null,
};
const shown = report({
  compared: { from: day(-13), to: day(-7), totals: counters(120), so_far: noon },
});
/** The days that the last question of a page was about, as the collector was asked. */
const lastAsked = (asked) => {
  const query = new URLSearchParams(asked.at(-1));
  return query.get("range") ?? `${query.get("from")} ${query.get("to")}`;
};

const PERIODS = [
  ["7d", ["2026-11-15 2026-11-21", "2026-11-08 2026-11-14"]],
  ["28d", ["2026-10-04 2026-10-31"]],
  ["today", ["yesterday", "2026-11-26 2026-11-26"]],
  ["month", ["last_month", "2026-09-01 2026-09-30", "2026-08-01 2026-08-31"]],
  ["last_month", ["2026-09-01 2026-09-30"]],
  ["year", ["2025-01-01 2025-12-31", "2024-01-01 2024-12-31"]],
  ["12mo", ["2024-12-01 2025-11-30"]],
];

for (const [range, before] of PERIODS) {
  test(`the arrows lead to the period before and back again: ${range}`, async ({ page, show }) => {
    const asked = await show(() => shown, `/?site=mia&range=${range}`);
    const earlier = page.getByRole("button", { name: "Earlier days" });
    const later = page.getByRole("button", { name: "Later days" });
    for (const period of before) {
      await earlier.click();
      await expect.poll(() => lastAsked(asked)).toBe(period);
    }

    const back = [range, ...before].slice(0, -1).reverse();
    for (const period of back) {
      await later.click();
      await expect.poll(() => lastAsked(asked)).toBe(period);
    }
    if (range !== "last_month") await expect(later).toBeDisabled();
  });
}

test("of days that were chosen as many come before and after, never days to come, and keys do the same", async ({
  page,
  show,
}) => {
  const asked = await show(() => shown, "/?site=mia&from=2026-02-01&to=2026-02-28");
  await expect(page.getByLabel("Range").locator("option:checked")).toHaveText("1 Feb – 28 Feb");
  const press = async (key, period) => {
    await page.keyboard.press(key);
    await expect.poll(() => lastAsked(asked)).toBe(period);
  };
  // A whole month is a month, also in the address.
  await press("ArrowLeft", "2026-01-01 2026-01-31");
  await press("ArrowRight", "2026-02-01 2026-02-28");

  await page.goto("/?site=mia&from=2026-11-10&to=2026-11-19");
  await expect(page.locator("main")).toHaveAttribute("aria-busy", "false");
  await press("ArrowLeft", "2026-10-31 2026-11-09");
  await press("ArrowRight", "2026-11-10 2026-11-19");
  await press("ArrowRight", "2026-11-19 2026-11-28");
  await expect(page.getByRole("button", { name: "Later days" })).toBeDisabled();

  // On the chart the same keys read its points.
  const before = asked.length;
  await page.getByRole("slider").focus();
  await page.keyboard.press("ArrowLeft");
  await expect(page.locator(".readout")).toContainText("28 Nov");
  expect(asked.length).toBe(before);

  await page.goto("/?site=mia&range=all");
  await expect(page.locator("main")).toHaveAttribute("aria-busy", "false");
  await expect(page.getByRole("button", { name: "Earlier days" })).toHaveCount(0);
});

for (const [range, label, words] of [
  ["last_month", "Last month", "137 visitors last month"],
  ["12mo", "12 months", "137 visitors in the last 12 months"],
]) {
  test(`${label} is a range, and is said in words`, async ({ page, show }) => {
    const asked = await show(() => shown);
    await page.getByLabel("Range").selectOption({ label });
    await expect(page).toHaveURL(new RegExp(`range=${range}`));
    await expect(page.locator(".summary")).toContainText(words);
    expect(lastAsked(asked)).toBe(range);
  });
}

for (const [locale, week] of [
  ["en-US", "sunday"],
  ["ar-EG", "saturday"],
  ["en-GB", null],
]) {
  test.describe(`a reader whose language is ${locale}`, () => {
    test.use({ locale });

    test(`has weeks that begin on ${week ?? "monday"}`, async ({ show }) => {
      const asked = await show(() => shown, "/?site=mia&range=90d&interval=week");
      expect(new URLSearchParams(asked.at(-1)).get("week")).toBe(week);
    });
  });
}

test("colours are chosen in the menu, kept in the address, and carried to the other pages", async ({
  page,
  show,
  answers,
}) => {
  answers["/session"] = (route) =>
    json(route, { role: "operator", sites: null, csrf: "x", login: true });
  answers["/platform/sites"] = (route) => {
    const counted = { hits: 2, visitors: 1, visits: 1 };
    return json(route, {
      from: day(-6),
      to: TODAY,
      rows: [{ site: "mia", ...counted, before: counted }],
    });
  };
  await page.emulateMedia({ colorScheme: "light" });
  await show(() => shown);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const colours = async (now, then) => {
    await page.getByRole("button", { name: `Colours: ${now}` }).click();
    await expect(page.getByRole("button", { name: `Colours: ${then}` })).toBeVisible();
  };
  expect(await paper()).toBe("rgb(251, 251, 248)");
  await page.getByRole("button", { name: "Menu" }).click();
  await colours("as the system", "light");
  expect(await paper()).toBe("rgb(251, 251, 248)");
  await colours("light", "dark");
  expect(await paper()).toBe("rgb(15, 20, 18)");
  await expect(page).toHaveURL(/theme=dark/);

  await page.getByRole("link", { name: "Platform" }).click();
  await expect(page).toHaveURL(/\/platform\?theme=dark$/);
  await expect.poll(paper).toBe("rgb(15, 20, 18)");
  await page.getByRole("table", { name: "Sites" }).getByRole("link", { name: "mia" }).click();
  await expect(page).toHaveURL(/site=mia&theme=dark$/);
  await expect.poll(paper).toBe("rgb(15, 20, 18)");

  await page.getByRole("button", { name: "Menu" }).click();
  await colours("dark", "as the system");
  await expect(page).toHaveURL(/site=mia$/);
  expect(await paper()).toBe("rgb(251, 251, 248)");
});

test("below the numbers of another range no rows of the last one stay", async ({
  page,
  show,
  answers,
}) => {
  const reader = { direct: 12, proxied: 3, machine: 1 };
  const mail = {
    template: "welcome",
    opens: reader,
    openers: 11,
    clicks: reader,
    click_rate: 0.8,
    days: [],
    batches: [],
    links: [],
  };
  const counted = { hits: 2, visitors: 1, visits: 1 };
  const held = [];
  answers["/session"] = (route) =>
    json(route, { role: "operator", sites: null, csrf: "x", login: true });
  answers["/platform/report"] = (route, url) =>
    json(route, {
      ...shown,
      ...(url.searchParams.get("range") === "28d" ? { from: day(-27) } : {}),
    });
  const once = (body) => async (route, url) => {
    if (url.searchParams.get("from") !== day(-6)) await new Promise((done) => held.push(done));
    return json(route, body);
  };
  answers["/api/v1/mail"] = once({
    zone: "UTC",
    from: day(-6),
    to: TODAY,
    k: 5,
    k_loads: 20,
    templates: [mail],
  });
  answers["/platform/sites"] = once({
    from: day(-6),
    to: TODAY,
    rows: [{ site: "mia", ...counted, before: counted }],
  });
  await show(() => shown, "/platform");
  await expect(page.getByRole("table", { name: "Mails" })).toContainText("welcome");
  await expect(page.getByRole("table", { name: "Sites", exact: true })).toContainText("mia");

  await page.getByLabel("Range").selectOption("28d");
  await expect(page.locator(".date-range")).toContainText("1 Nov – 28 Nov 2026");
  await expect(page.getByText("welcome")).toHaveCount(0);
  await expect(page.getByRole("link", { name: "mia" })).toHaveCount(0);
  await expect.poll(() => held.length).toBe(2);
  for (const release of held) release();
  await expect(page.getByRole("table", { name: "Mails" })).toContainText("welcome");
  await expect(page.getByRole("table", { name: "Sites", exact: true })).toContainText("mia");
});
