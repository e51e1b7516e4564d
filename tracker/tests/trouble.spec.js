// A server that hangs, fails, talks nonsense or changes its question: nothing is allowed that was
// not, and nothing is thrown.
import {
  allowed,
  changes,
  dialog,
  expect,
  press,
  remember,
  remembered,
  settled,
  test,
  visit,
} from "./fake.mjs";

const failed = (page) => dialog(page).getByRole("alert");

for (const trouble of ["fail", "nonsense", "empty"]) {
  test(`asking meets ${trouble}: nothing is known, shown or allowed`, async ({
    page,
    context,
    fake,
  }) => {
    fake.trouble.GET = trouble;
    await remember(context, fake, "1.analytics");
    await visit(page);
    expect(await allowed(page)).toEqual(["necessary"]);
    expect(await page.evaluate(() => window.footfall.consent.state)).toBe(null);
    expect(await changes(page)).toEqual([]);
    await expect(dialog(page)).toHaveCount(0);
    await expect(page.locator("footfall-preferences button")).toHaveCount(0);
  });
}

test("a server that hangs is given up after ten seconds; until then nothing is assumed", async ({
  page,
  context,
  fake,
}) => {
  fake.trouble.GET = "hang";
  await remember(context, fake, "1.analytics");
  const started = Date.now();
  await page.goto("/");
  expect(await allowed(page)).toEqual(["necessary"]);
  await expect(dialog(page)).toHaveCount(0);
  await settled(page);
  expect(Date.now() - started).toBeGreaterThan(9_000);
  expect(await allowed(page)).toEqual(["necessary"]);
  expect(await changes(page)).toEqual([]);
});

test("asked for again by the person, it asks the server again", async ({ page, fake }) => {
  fake.trouble.GET = "fail";
  await visit(page);
  await page.evaluate(() => window.footfall.consent.open());
  await expect.poll(() => fake.requests.length).toBe(2);
  await expect(dialog(page)).toHaveCount(0);
  fake.trouble.GET = undefined;
  await page.evaluate(() => window.footfall.consent.open());
  await expect(dialog(page)).toBeVisible();
  expect(await changes(page)).toEqual([["necessary"]]);
});

test("a marked link is only a link where there is nothing to show", async ({ page, fake }) => {
  fake.trouble.GET = "fail";
  await visit(page);
  await page.locator("#control").click();
  await expect(page).toHaveURL(/\/ff\/me$/);
});

test("a yes that is not stored allows nothing, is said aloud, and can be tried again", async ({
  page,
  context,
  fake,
}) => {
  fake.trouble.POST = "fail";
  await visit(page);
  await press(page, "Accept");
  await expect(failed(page)).toHaveText(
    "Your answer could not be saved. Nothing new was allowed. Please try again.",
  );
  await expect(dialog(page).getByRole("button", { name: "Accept" })).toBeFocused();
  expect(await allowed(page)).toEqual(["necessary"]);
  expect(await changes(page)).toEqual([["necessary"]]);
  expect(await remembered(context)).toEqual([]);
  fake.trouble.POST = undefined;
  await press(page, "Accept");
  await expect(dialog(page)).toHaveCount(0);
  expect(await changes(page)).toEqual([
    ["necessary"],
    ["necessary", "preferences", "analytics", "embeds"],
  ]);
});

test("a no holds in the page although it is not stored", async ({ page, context, fake }) => {
  fake.trouble.POST = "fail";
  await remember(context, fake, "1.analytics+embeds");
  await visit(page);
  await page.locator("#control").click();
  await dialog(page).getByRole("switch", { name: "Embeds and checkout" }).click();
  await press(page, "Save choice");
  await expect(failed(page)).not.toBeEmpty();
  expect(await allowed(page)).toEqual(["necessary", "analytics"]);
  await press(page, "Reject");
  await expect.poll(() => allowed(page)).toEqual(["necessary"]);
  await expect(failed(page)).not.toBeEmpty();
  expect(await changes(page)).toEqual([
    ["necessary", "analytics", "embeds"],
    ["necessary", "analytics"],
    ["necessary"],
  ]);
});

test("while an answer is under way nothing can be pressed, and Escape waits", async ({
  page,
  fake,
}) => {
  fake.trouble.POST = "hang";
  await visit(page);
  await press(page, "Choose");
  await press(page, "Accept");
  for (const button of await dialog(page).getByRole("button").all())
    await expect(button).toBeDisabled();
  for (const it of await dialog(page).getByRole("switch").all()) await expect(it).toBeDisabled();
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toBeVisible();
  expect(await allowed(page)).toEqual(["necessary"]);
  expect(fake.requests).toEqual(["GET /ff/consent?lang=en", "POST /ff/consent"]);
});

test("a question that changed meanwhile is asked again, not answered by the old yes", async ({
  page,
  context,
  fake,
}) => {
  await visit(page);
  fake.version = 2;
  await press(page, "Accept");
  await expect(dialog(page)).toContainText("What we ask has changed since you last answered.");
  expect(await allowed(page)).toEqual(["necessary"]);
  expect(await remembered(context)).toEqual([]);
  await press(page, "Accept");
  await expect(dialog(page)).toHaveCount(0);
  expect(fake.acts.map(({ version }) => version)).toEqual([1, 2]);
  expect(await remembered(context)).toEqual(["fake_consent=2.preferences+analytics+embeds"]);
});

test("a question that changed and cannot be had says that nothing was saved", async ({
  page,
  fake,
}) => {
  await visit(page);
  fake.version = 2;
  fake.trouble.GET = "fail";
  await press(page, "Accept");
  await expect(failed(page)).not.toBeEmpty();
  expect(await allowed(page)).toEqual(["necessary"]);
});
