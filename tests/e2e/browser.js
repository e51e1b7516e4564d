// Playwright and axe for every browser test, also those outside this folder: one installation, one
// version.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

export { expect, test } from "@playwright/test";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds wrong with the page as it stands. */
export const violations = async (page) => {
  await page.evaluate(axe);
  return page.evaluate(() =>
    window.axe
      .run()
      .then((found) =>
        found.violations.map(
          (v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target).join(" ")}`,
        ),
      ),
  );
};
