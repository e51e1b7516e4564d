// Every shape of the banner on a phone, light and dark, and where it is tight: no violation that
// axe can find, nothing wider than the screen, the page never hidden, and a picture in
// test-results/banner for people to look at.
import { violations } from "../../tests/e2e/browser.js";
import { dialog, expect, press, PRESETS, remember, test, visit } from "./fake.mjs";

const PHONE = { width: 390, height: 844 };

const look = async (page, name, most = 0.86) => {
  await page.screenshot({ path: `../../test-results/banner/${name}.png` });
  expect(await violations(page), name).toEqual([]);
  expect(
    await page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
    name,
  ).toBeLessThanOrEqual(0);
  const sheet = dialog(page);
  expect(await sheet.evaluate((it) => it.scrollWidth - it.clientWidth), name).toBeLessThanOrEqual(
    0,
  );
  const { height } = await sheet.boundingBox();
  expect(height / page.viewportSize().height, name).toBeLessThanOrEqual(most);
};

for (const preset of Object.keys(PRESETS)) {
  for (const colorScheme of ["light", "dark"]) {
    test.describe(`${preset}, ${colorScheme}, on a phone`, () => {
      test.use({ viewport: PHONE, colorScheme });

      test("asks, and shows what was answered", async ({ page, context, fake }) => {
        fake.preset = preset;
        await visit(page);
        await look(page, `${preset}-first-${colorScheme}`, 0.6);
        await remember(context, fake, "1.analytics");
        await visit(page);
        await page.locator("footfall-preferences button").click();
        await look(page, `${preset}-preferences-${colorScheme}`);
        await remember(context, fake, "0.analytics");
        await visit(page);
        await look(page, `${preset}-outdated-${colorScheme}`, 0.6);
        fake.signal = "gpc";
        await visit(page);
        await page.locator("footfall-preferences button").click();
        await look(page, `${preset}-signal-${colorScheme}`);
      });
    });
  }
}

for (const lang of ["en", "de", "fr", "es", "ar"]) {
  test.describe(`${lang}, 320 pixels wide`, () => {
    test.use({ viewport: { width: 320, height: 640 } });

    test("nothing is cut off", async ({ page, fake }) => {
      for (const preset of ["alllinks", "ally"]) {
        Object.assign(fake, { preset, lang });
        await visit(page);
        await look(page, `${preset}-narrow-${lang}`, 0.6);
      }
      fake.preset = "alllinks";
      await visit(page);
      await dialog(page).getByRole("button").nth(1).click();
      await look(page, `panel-narrow-${lang}`);
    });
  });
}

test.describe("a desktop", () => {
  test("leaves most of the page to the page", async ({ page }) => {
    await visit(page);
    await look(page, "desktop-first", 0.5);
    await press(page, "Choose");
    await look(page, "desktop-panel");
  });
});

test.describe("at 200 % zoom", () => {
  test.use({ viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 });

  test("every button can be reached", async ({ page }) => {
    await visit(page);
    await look(page, "zoom-first", 0.6);
    for (const button of await dialog(page).getByRole("button").all()) {
      await button.focus();
      await expect(button).toBeInViewport({ ratio: 1 });
    }
  });
});

test.describe("with the system's own colours", () => {
  test.use({ viewport: PHONE, forcedColors: "active" });

  test("switches still show their state", async ({ page, context, fake }) => {
    await remember(context, fake, "1.analytics");
    await visit(page);
    await page.locator("footfall-preferences button").click();
    await look(page, "forced-colors");
  });
});

test("from right to left, the sheet is mirrored", async ({ page, fake }) => {
  fake.lang = "ar";
  await visit(page);
  expect(await dialog(page).evaluate((it) => getComputedStyle(it).direction)).toBe("rtl");
  const [no, , yes] = await Promise.all(
    (await dialog(page).getByRole("button").all()).map((button) => button.boundingBox()),
  );
  expect(no.x).toBeGreaterThan(yes.x);
});

test("nothing moves", async ({ page }) => {
  await visit(page);
  expect(await page.evaluate(() => document.getAnimations({ subtree: true }).length)).toBe(0);
});

test("a page's own style does not reach into it", async ({ page }) => {
  await visit(page);
  const before = await dialog(page).boundingBox();
  await page.evaluate(() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(
      "html { font-size: 30px } body > * { color: red; letter-spacing: 3px; transform: " +
        "scale(.5); opacity: .2; visibility: hidden }",
    );
    document.adoptedStyleSheets = [sheet];
  });
  expect(await dialog(page).boundingBox()).toEqual(before);
  expect(await dialog(page).evaluate((it) => getComputedStyle(it).color)).toBe("rgb(0, 0, 0)");
  await expect(dialog(page)).toBeVisible();
});
