// The browser's page cache keeps a page alive while the visitor is elsewhere, and Playwright turns
// it off: here it is on.
import config from "../../tests/e2e/playwright.config.js";
import {
  allowed,
  changes,
  dialog,
  expect,
  press,
  remember,
  settled,
  test,
  visit,
} from "./fake.mjs";
import { GRANTED, told } from "./tracker.mjs";

test.use({
  launchOptions: {
    ...config.use.launchOptions,
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  },
});

const leaveAndReturn = async (page, meanwhile) => {
  await page.evaluate(() =>
    addEventListener("pageshow", (event) => {
      window.returned = {
        persisted: event.persisted,
        analytics: window.footfall.consent.allowed("analytics"),
      };
    }),
  );
  await page.goto("/elsewhere");
  await meanwhile();
  await page.goBack({ waitUntil: "commit" }); // a page that is brought back is not loaded
  await page.waitForFunction(() => window.returned);
  expect(await page.evaluate(() => window.returned)).toEqual({ persisted: true, analytics: false });
  await settled(page);
};

test("back from it, a grant withdrawn elsewhere is gone", async ({ page, context, fake }) => {
  await remember(context, fake, "1.analytics");
  await visit(page);
  expect(await allowed(page)).toEqual(["necessary", "analytics"]);
  await leaveAndReturn(page, () => remember(context, fake, "1."));
  expect(fake.requests).toHaveLength(2);
  expect(await allowed(page)).toEqual(["necessary"]);
  expect(await changes(page)).toEqual([["necessary", "analytics"], ["necessary"]]);
});

test("back from it, a server that fails leaves nothing allowed", async ({
  page,
  context,
  fake,
}) => {
  await remember(context, fake, "1.analytics");
  await visit(page);
  await leaveAndReturn(page, () => (fake.trouble.GET = "fail"));
  expect(await allowed(page)).toEqual(["necessary"]);
  expect(await changes(page)).toEqual([["necessary", "analytics"], ["necessary"]]);
});

test("back from it, the question is there once, and may be answered", async ({ page, fake }) => {
  await visit(page);
  await leaveAndReturn(page, () => {});
  await expect(dialog(page)).toHaveCount(1);
  await press(page, "Reject");
  await expect(dialog(page)).toHaveCount(0);
  expect(fake.acts).toHaveLength(1);
});

for (const scripts of [
  ["f", "consent"],
  ["consent", "f"],
]) {
  test(`a page is viewed again: ${scripts.join(".js before ")}.js`, async ({
    page,
    context,
    fake,
  }) => {
    fake.pages["/page"] =
      () => `<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>
      ${scripts.map((name) => `<script src="/ff/${name}.js" defer></script>`).join("")}<h1>A page</h1>`;
    await remember(context, fake, GRANTED);
    await page.goto("/page");
    await expect.poll(() => told(fake)).toEqual(["view /page"]);
    const views = () => told(fake).filter((word) => word === "view /page").length;
    for (const round of [2, 3, 4]) {
      await page.evaluate(() =>
        addEventListener("pageshow", ({ persisted }) => {
          window.returned = persisted;
        }),
      );
      await page.goto("/elsewhere");
      await page.goBack({ waitUntil: "commit" });
      await page.waitForFunction(() => window.returned);
      await expect.poll(views).toBe(round);
    }
  });
}
