// The question comes and goes, and nothing of the page moves: whatever it lays its body out with.
import { dialog, expect, press, test, visit } from "./fake.mjs";

const LAYOUTS = {
  block: "",
  "flex column with a gap": "body { display: flex; flex-direction: column; gap: 32px; margin: 0 }",
  "flex row": "body { display: flex; justify-content: space-between; gap: 55px }",
  "grid of two rows":
    "body { display: grid; grid-template-rows: 1fr auto; min-height: 100vh; gap: 2rem }",
  "grid of areas": "body { display: grid; grid-template: 'a b' / 1fr 1fr; gap: 3rem }",
  "space between siblings": "body > * + * { margin-top: 4rem }",
  "a first child":
    "body > :first-child { margin-top: 5rem } body > :nth-child(2) { padding-top: 3rem }",
  "a rule for our own name":
    "footfall-consent { display: block; height: 80px; margin: 2rem; position: relative }",
};

for (const [size, viewport] of [
  ["phone", { width: 360, height: 740 }],
  ["desktop", { width: 1280, height: 900 }],
]) {
  for (const [name, css] of Object.entries(LAYOUTS)) {
    test(`${name}, ${size}: layout shift 0`, async ({ page }) => {
      await page.setViewportSize(viewport);
      await page.addInitScript((css) => {
        window.shift = 0;
        new PerformanceObserver((list) =>
          list.getEntries().forEach((entry) => (window.shift += entry.value)),
        ).observe({ type: "layout-shift", buffered: true });
        const sheet = new CSSStyleSheet();
        // The control at the foot gets its words from the server, and then is as wide as they are.
        sheet.replaceSync(`${css} footfall-preferences { position: absolute }`);
        document.adoptedStyleSheets = [sheet];
      }, css);
      await visit(page);
      await expect(dialog(page)).toBeVisible();
      const places = () =>
        page.evaluate(() =>
          [...document.body.children].map((child) => JSON.stringify(child.getBoundingClientRect())),
        );
      const open = await places();
      await press(page, "Reject");
      await expect(dialog(page)).toBeHidden();
      await page.waitForTimeout(100);
      expect(await places()).toEqual(open);
      expect(await page.evaluate(() => window.shift)).toBe(0);
    });
  }
}
