// Consent in a browser's own cookie jar: what a script of the page, or an earlier banner, can put
// beside our cookie, and what it is worth.
import { GRANT, expect, test } from "./collector.js";

const dialog = (page) => page.getByRole("dialog");
const press = async (page, name) => {
  await dialog(page).getByRole("button", { name, exact: true }).click();
  await expect(dialog(page)).toBeHidden();
};
/** What the collector says to the page's own cookies. */
const asked = (page) =>
  page.evaluate(() => fetch("/u/demo/ff/consent?lang=en").then((answer) => answer.json()));
const view = (page) =>
  page.evaluate(() =>
    fetch("/u/demo/ff/hit", {
      method: "POST",
      body: JSON.stringify({ kind: "view", url: location.href }),
    }).then((answer) => answer.status),
  );
const named = async (context) =>
  (await context.cookies())
    .filter(({ name }) => name === "ff_consent")
    .map(({ path, value }) => [path, value]);

test("a script that writes a grant beside a refusal counts nothing, and the refusal is what holds", async ({
  page,
  context,
  collector,
}) => {
  await page.goto("/u/demo");
  await press(page, "Reject");
  // The second is a real one, copied from somebody who agreed. On the longer path the browser sends
  // either of them first.
  for (const forged of [`1.analytics.${"ab".repeat(16)}`, GRANT]) {
    await page.evaluate((value) => (document.cookie = `ff_consent=${value}; path=/u/demo`), forged);
    expect((await named(context)).toSorted()).toEqual([
      ["/", "1.none"],
      ["/u/demo", forged],
    ]);
    await page.goto("/u/demo/shop");
    const { ask, choice, tiers, receipt } = await asked(page);
    expect({ ask, choice, receipt }).toEqual({
      ask: false,
      choice: { version: 1, tiers: [], outdated: false },
      receipt: null,
    });
    expect(tiers.filter(({ granted }) => granted).map(({ name }) => name)).toEqual(["necessary"]);
    expect(
      await page.evaluate(() =>
        window.footfall.consent.ready.then(() => window.footfall.consent.allowed("analytics")),
      ),
    ).toBe(false);
    expect(await view(page)).toBe(202);
  }
  await collector.flush();
  expect((await collector.report()).totals.hits).toBe(0);
});

test("a script that writes a grant where nobody was asked counts nothing, and the question is put", async ({
  page,
  collector,
}) => {
  await page.goto("/u/demo");
  await page.evaluate(
    (value) => (document.cookie = `ff_consent=${value}; path=/`),
    `1.analytics.${"ab".repeat(16)}`,
  );
  await page.goto("/u/demo");
  await expect(dialog(page)).toBeVisible();
  expect(await view(page)).toBe(202);
  await collector.flush();
  expect((await collector.report()).totals.hits).toBe(0);
});

for (const old of ["accepted", "0.none"]) {
  test(`an earlier banner's cookie of the same name (${old}) hides no answer: asked once, the grant holds`, async ({
    page,
    context,
    collector,
  }) => {
    await page.goto("/u/demo");
    await page.evaluate((value) => (document.cookie = `ff_consent=${value}; path=/u`), old);
    await page.goto("/u/demo");
    await press(page, "Accept");
    for (const _ of [1, 2]) {
      await page.goto("/u/demo");
      await page.evaluate(() => window.footfall.consent.ready);
      await expect(dialog(page)).toBeHidden();
    }
    expect((await named(context)).length).toBe(2);
    await expect
      .poll(async () => (await collector.flush(), (await collector.report()).totals.hits))
      .toBe(3);
  });
}
