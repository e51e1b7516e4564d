// The question: two answers alike, no wall, nothing taken for a yes.
import {
  allowed,
  dialog,
  expect,
  press,
  PRESETS,
  remember,
  remembered,
  settled,
  test,
  visit,
} from "./fake.mjs";

const PHONE = { width: 390, height: 844 };

/** What an eye compares: size, letters, colours, and the contrast they make. */
const measure = (button) =>
  button.evaluate((it) => {
    const { width, height } = it.getBoundingClientRect();
    const style = getComputedStyle(it);
    const sheet = getComputedStyle(it.closest("section")).backgroundColor;
    const ground = style.backgroundColor === "rgba(0, 0, 0, 0)" ? sheet : style.backgroundColor;
    const luminance = (rgb) => {
      const [r, g, b] = rgb
        .match(/[\d.]+/g)
        .map((part) => ((part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [light, dark] = [luminance(style.color), luminance(ground)].sort((a, b) => b - a);
    const { fontFamily, fontSize, fontWeight, color, borderTopColor, borderTopWidth, opacity } =
      style;
    return {
      width,
      height,
      contrast: (light + 0.05) / (dark + 0.05),
      look: {
        fontFamily,
        fontSize,
        fontWeight,
        color,
        ground,
        borderTopColor,
        borderTopWidth,
        opacity,
        depth: it.parentElement.className,
      },
    };
  });

const alike = async (page, no, yes) => {
  const button = (name) => measure(dialog(page).getByRole("button", { name, exact: true }));
  const [a, b] = [await button(no), await button(yes)];
  expect(Math.abs(a.width - b.width)).toBeLessThanOrEqual(2);
  expect(Math.abs(a.height - b.height)).toBeLessThanOrEqual(2);
  expect(Math.min(a.height, b.height)).toBeGreaterThanOrEqual(44);
  expect(a.look).toEqual(b.look);
  expect(Math.min(a.contrast, b.contrast)).toBeGreaterThanOrEqual(4.5);
};

for (const colorScheme of ["light", "dark"]) {
  for (const [size, viewport] of [
    ["phone", PHONE],
    ["desktop", { width: 1280, height: 900 }],
  ]) {
    test.describe(`${size}, ${colorScheme}`, () => {
      test.use({ colorScheme, viewport });

      test("no and yes look alike, on the question and among the tiers", async ({ page, fake }) => {
        await visit(page);
        await alike(page, "Reject", "Accept");
        await press(page, "Choose");
        await alike(page, "Reject", "Accept");
        fake.preset = "ally";
        await visit(page);
        await alike(page, "Decline", "Accept All");
      });
    });
  }
}

test("every answer is in sight, on the smallest phone too", async ({ page, fake }) => {
  await page.setViewportSize({ width: 320, height: 568 });
  fake.lang = "de";
  await visit(page);
  for (const button of await dialog(page).getByRole("button").all())
    await expect(button).toBeInViewport({ ratio: 1 });
});

test("with single tiers: reject, choose, accept", async ({ page }) => {
  await visit(page);
  await expect(dialog(page).getByRole("button")).toHaveText(["Reject", "Choose", "Accept"]);
  await expect(dialog(page).getByRole("switch")).toHaveCount(0);
  await expect(dialog(page).getByRole("link")).toHaveText(["Cookie policy 2026-05-01"]);
});

test("all or nothing: exactly two actions, and what they are about is said", async ({
  page,
  fake,
}) => {
  fake.preset = "ally";
  await visit(page);
  await expect(dialog(page).getByRole("button")).toHaveText(["Decline", "Accept All"]);
  await expect(dialog(page).getByRole("listitem")).toHaveText([
    /^Preferences/,
    /^Analytics.*daily totals/,
  ]);
});

const ANSWERS = [
  [
    "alllinks",
    "Accept",
    { act: "grant", tiers: { preferences: true, analytics: true, embeds: true } },
    "1.preferences+analytics+embeds",
  ],
  ["alllinks", "Reject", { act: "refuse" }, "1."],
  [
    "ally",
    "Accept All",
    { act: "grant", tiers: { preferences: true, analytics: true } },
    "1.preferences+analytics",
  ],
  ["ally", "Decline", { act: "refuse" }, "1."],
  [
    "openedlink",
    "Accept",
    { act: "grant", tiers: { analytics: true, marketing: true } },
    "1.analytics+marketing",
  ],
];
for (const [preset, name, act, cookie] of ANSWERS) {
  test(`${preset}: ${name} is one press, sent once, and asked no more`, async ({
    page,
    context,
    fake,
  }) => {
    fake.preset = preset;
    await visit(page);
    await press(page, name);
    await expect(dialog(page)).toHaveCount(0);
    expect(fake.acts).toEqual([{ version: 1, ...act, lang: "en", layer: "first", path: "/" }]);
    expect(await remembered(context)).toEqual([`fake_consent=${cookie}`]);
    expect(await allowed(page)).toEqual(["necessary", ...Object.keys(act.tiers ?? {})]);
    for (let load = 0; load < 10; load++) await visit(page);
    await expect(dialog(page)).toHaveCount(0);
  });
}

test("when the cookie is cleared the question is back", async ({ page, context }) => {
  await visit(page);
  await press(page, "Accept");
  await expect(dialog(page)).toHaveCount(0);
  await context.clearCookies();
  await visit(page);
  await expect(dialog(page)).toBeVisible();
  expect(await allowed(page)).toEqual(["necessary"]);
});

test("it is a labelled dialog, not a modal one", async ({ page }) => {
  await visit(page);
  await expect(
    page.getByRole("dialog", { name: "Your choice on this page", exact: true }),
  ).toHaveAccessibleDescription(/works whatever you answer/);
  expect(await dialog(page).getAttribute("aria-modal")).toBe(null);
});

test("the page stays usable behind it", async ({ page, fake }) => {
  await visit(page);
  await page.mouse.move(100, 100);
  await page.mouse.wheel(0, 300);
  await expect.poll(() => page.evaluate(() => scrollY)).toBeGreaterThan(100);
  await page.locator("#top").click();
  await expect(page).toHaveURL(/elsewhere/);
  expect(fake.acts).toEqual([]);
});

test("it does not take the focus, and is the first stop of the tab key", async ({ page }) => {
  await visit(page);
  await expect(dialog(page)).toBeVisible();
  expect(await page.evaluate(() => document.activeElement === document.body)).toBe(true);
  const stops = [];
  for (let i = 0; i < 5; i++) {
    await page.keyboard.press("Tab");
    stops.push(
      await page.evaluate(
        () =>
          (document.activeElement.shadowRoot?.activeElement ?? document.activeElement).textContent,
      ),
    );
  }
  expect(stops).toEqual([
    "Cookie policy 2026-05-01",
    "Reject",
    "Choose",
    "Accept",
    "A link of the page",
  ]);
});

for (const key of ["Enter", "Space"]) {
  test(`${key} on a button is all it takes`, async ({ page, fake }) => {
    await visit(page);
    await dialog(page).getByRole("button", { name: "Reject" }).focus();
    await page.keyboard.press(key);
    await expect(dialog(page)).toHaveCount(0);
    expect(fake.acts.map(({ act }) => act)).toEqual(["refuse"]);
  });
}

test("Escape is no answer: not again on this page view, again on the next", async ({
  page,
  context,
  fake,
}) => {
  await visit(page);
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toHaveCount(0);
  expect(fake.acts).toEqual([]);
  expect(await remembered(context)).toEqual([]);
  expect(await allowed(page)).toEqual(["necessary"]);
  await page.mouse.wheel(0, 500);
  await settled(page);
  await expect(dialog(page)).toHaveCount(0);
  await visit(page);
  await expect(dialog(page)).toBeVisible();
});

test("an Escape the page has used for itself does not close it", async ({ page }) => {
  await page.addInitScript(() =>
    addEventListener("keydown", (event) => event.preventDefault(), true),
  );
  await visit(page);
  await page.keyboard.press("Escape");
  await expect(dialog(page)).toBeVisible();
});

for (const preset of Object.keys(PRESETS)) {
  test(`${preset}: an answer to an older question is asked again, and grants nothing`, async ({
    page,
    context,
    fake,
  }) => {
    Object.assign(fake, { preset, version: 2 });
    await remember(context, fake, "1.analytics");
    await visit(page);
    await expect(dialog(page)).toContainText("What we ask has changed since you last answered.");
    expect(await allowed(page)).toEqual(["necessary"]);
  });
}
