// Rows of lists beside those of the days before, and links that are told apart by a name.
import { violations } from "./browser.js";
import { TODAY, counters, day, expect, item, json, list, report, test } from "./made.js";

const compared = (now, before) => ({ compared: { now, before } });
const content = (hits) => ({ hits, visitors: hits, visits: hits });
const people = (visitors) => ({ visitors, visits: visitors });
const range = { from: day(-6), to: day(-1), before_from: day(-13), before_to: day(-8) };
const source = list(17, { Instagram: 60, Google: 30, "(direct)": 20 });
source.rows = source.rows.map((row, i) => ({
  ...row,
  ...compared(people([60, 30, 20][i]), people([48, 60, 0][i])),
}));
const ROWS = report({
  compared: { from: day(-13), to: day(-7), totals: counters(120), items: range, values: range },
  subjects: {
    page: { hits: 274, rows: [item("/u/mia", 200), item("/u/mia/shop", 74)] },
    link: {
      hits: 75,
      rows: [
        { ...item("newsletter", 40), ...compared(content(36), content(30)) },
        { ...item("shop", 20), ...compared(content(18), content(24)) },
        { ...item("tickets", 10), ...compared(content(10), content(0)) },
        { ...item("steady", 5), ...compared(content(4), content(4)) },
      ],
    },
    event: { hits: 0, rows: [] },
  },
  dimensions: { ...report().dimensions, source },
});

/** What the first number of each row says, and how it changed: for the eye, and for the ear. */
const changes = (page, name) =>
  page
    .getByRole("table", { name, exact: true })
    .locator("tbody tr")
    .evaluateAll((rows) =>
      rows
        .filter((row) => !row.hidden)
        .map((row) => {
          const cell = row.querySelector("td");
          const said = (selector) => cell.querySelector(selector)?.textContent.trim() ?? "";
          return [
            cell.innerText.split(/\s/)[0],
            said(".change > [aria-hidden]"),
            said(".change > .visually-hidden"),
            cell.querySelector(".compared-value")?.title ?? "",
          ];
        }),
    );

for (const width of [320, 360, 390, 1280]) {
  test(`each row says how it stands against the days before: ${width} wide`, async ({
    page,
    show,
  }) => {
    await page.setViewportSize({ width, height: 800 });
    await show(ROWS);
    expect(await changes(page, "Links")).toEqual([
      ["40", "↑ 20%", "20% more than before", "30 before, 36 now"],
      ["20", "↓ 25%", "25% less than before", "24 before, 18 now"],
      ["10", "↑ new", "none before", "0 before, 10 now"],
      ["5", "same", "the same as before", "4 before, 4 now"],
    ]);
    expect(await changes(page, "Sources")).toEqual([
      ["60", "↑ 25%", "25% more than before", "48 before, 60 now"],
      ["30", "↓ 50%", "50% less than before", "60 before, 30 now"],
      ["20", "↑ new", "none before", "0 before, 20 now"],
      ["17", "", "", ""], // not yet shown
    ]);
    // Where nothing is known of the days before, nothing is said.
    expect(await changes(page, "Pages")).toEqual([
      ["200", "", "", ""],
      ["74", "", "", ""],
    ]);

    await page.screenshot({ path: `../../test-results/screens/rows-${width}.png`, fullPage: true });
    const overflow = (cells) => cells.filter((cell) => cell.scrollWidth > cell.clientWidth + 1);
    expect(await page.locator("td.compared").evaluateAll((c) => c.length)).toBe(8);
    expect((await page.locator("td.compared").evaluateAll(overflow)).length).toBe(0);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    expect(await violations(page)).toEqual([]);
  });
}

test("entries are not compared by views, and the whole list says what the panel does", async ({
  page,
  show,
}) => {
  const pages = [{ ...item("/u/mia", 200), ...compared(content(180), content(90)) }];
  const subjects = { ...ROWS.subjects, page: { hits: 200, rows: pages } };
  await show(report({ ...ROWS, subjects }));
  expect(await changes(page, "Pages")).toEqual([
    ["200", "↑ 100%", "100% more than before", "90 before, 180 now"],
  ]);
  await page.getByRole("button", { name: "Entries" }).click();
  expect(await changes(page, "Entries")).toEqual([["4", "", "", ""]]);

  await page.getByRole("button", { name: "Show all Links" }).click();
  await expect(page.getByRole("dialog", { name: "Links" }).getByRole("table")).toBeVisible();
  expect(await changes(page, "All Links")).toEqual(await changes(page, "Links"));
});

test("share links are told apart by the name they were given", async ({ page, show, answers }) => {
  const made = { from: day(-6), to: day(-1), expires: null, password: false, created: TODAY };
  const rows = [
    { id: "b", name: "", revoked: false, ...made },
    { id: "a", name: "Label <b>X</b>", revoked: false, ...made },
  ];
  const sent = [];
  answers["/shares"] = (route) => {
    if (route.request().method() === "GET") return json(route, { rows });
    sent.push(route.request().postDataJSON());
    return json(route, { id: "c", url: "/share/secret" });
  };
  await show(report());
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("button", { name: "Share", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Share" });
  await expect(dialog.locator("li").first()).toContainText("22 Nov – 27 Nov 2026");
  await expect(dialog.locator("li").first().locator("b")).toHaveCount(0);
  await expect(dialog.locator("li").last().locator("b")).toHaveText("Label <b>X</b>");
  await expect(
    dialog.getByRole("button", { name: "Revoke the link Label <b>X</b>" }),
  ).toBeVisible();

  await dialog.getByLabel("Name (optional)").fill("Tour sponsor");
  await dialog.getByRole("button", { name: "Create link" }).click();
  await expect(dialog.getByText("Copy it now.")).toBeVisible();
  expect(sent.map(({ name, from, to }) => [name, from, to])).toEqual([
    ["Tour sponsor", day(-6), day(-1)],
  ]);
  expect(await violations(page)).toEqual([]);
});
