// A guest in the page: one request, nothing stored, nothing of the host's replaced. That nothing is
// thrown, refused by the strictest policy or sent to another host is checked after every test, in
// fake.mjs.
import {
  allowed,
  changes,
  dialog,
  expect,
  press,
  remember,
  remembered,
  test,
  visit,
} from "./fake.mjs";

/** Everything a page can store in. */
const storage = (page) =>
  page.evaluate(async () => ({
    cookie: document.cookie,
    local: { ...localStorage },
    session: { ...sessionStorage },
    databases: (await indexedDB.databases()).map(({ name }) => name),
    workers: (await navigator.serviceWorker.getRegistrations()).length,
    caches: await caches.keys(),
  }));

test("a page view is one question to the server, and stores nothing", async ({
  page,
  context,
  fake,
}) => {
  await page.goto("/elsewhere");
  const before = await storage(page);
  await visit(page);
  await expect(dialog(page)).toBeVisible();
  await press(page, "Choose");
  await page.keyboard.press("Escape");
  expect(fake.requests).toEqual(["GET /ff/consent?lang=en"]);
  expect(await storage(page)).toEqual(before);
  expect(await remembered(context)).toEqual([]);
});

test("the answer is stored by the server alone, where no script can read it", async ({
  page,
  context,
}) => {
  await visit(page);
  const before = await storage(page);
  await press(page, "Accept");
  await expect(dialog(page)).toHaveCount(0);
  expect(await storage(page)).toEqual(before);
  expect((await context.cookies()).map(({ httpOnly }) => httpOnly)).toEqual([true]);
});

test("it finds its server from its own address", async ({ page, fake }) => {
  fake.prefix = "/some/where";
  fake.lang = "de-AT";
  fake.trouble.GET = "fail";
  await visit(page);
  expect(fake.requests).toEqual(["GET /some/where/consent?lang=de-AT"]);
});

test("consentchange tells what is allowed when that is first known, and when it changes", async ({
  page,
  context,
  fake,
}) => {
  await remember(context, fake, "1.embeds");
  await visit(page);
  expect(await changes(page)).toEqual([["necessary", "embeds"]]);
  const control = page.locator("#control");
  await control.click();
  await press(page, "Accept");
  await expect(dialog(page)).toHaveCount(0);
  await control.click();
  await press(page, "Accept"); // the same again: nothing changes
  await expect(dialog(page)).toHaveCount(0);
  await control.click();
  await press(page, "Reject");
  await expect(dialog(page)).toHaveCount(0);
  expect(await changes(page)).toEqual([
    ["necessary", "embeds"],
    ["necessary", "preferences", "analytics", "embeds"],
    ["necessary"],
  ]);
});

test("the state is a copy: writing to it grants nothing", async ({ page }) => {
  await visit(page);
  await page.evaluate(() =>
    window.footfall.consent.state.tiers.forEach((tier) => (tier.granted = true)),
  );
  expect(await allowed(page)).toEqual(["necessary"]);
  expect(await page.evaluate(() => window.footfall.consent.state.version)).toBe(1);
});

test("what the host has under the same name is extended, not replaced", async ({ page }) => {
  await page.addInitScript(() => (window.footfall = { mine: 1 }));
  await visit(page);
  expect(
    await page.evaluate(() => [window.footfall.mine, typeof window.footfall.consent.allowed]),
  ).toEqual([1, "function"]);
});

for (const [what, define] of [
  ["a frozen object", () => (window.footfall = Object.freeze({ mine: 1 }))],
  ["a text", () => (window.footfall = "mine")],
]) {
  test(`where the host has ${what} there, the question is asked all the same`, async ({ page }) => {
    await page.addInitScript(define);
    await page.goto("/");
    await expect(dialog(page)).toBeVisible();
  });
}

test("loaded twice it is there once", async ({ page, fake }) => {
  await visit(page);
  await page.evaluate(
    () =>
      new Promise((done) => {
        const again = document.createElement("script");
        again.src = document.scripts[0].src;
        again.onload = done;
        document.head.append(again);
      }),
  );
  await expect(dialog(page)).toHaveCount(1);
  expect(fake.requests).toHaveLength(1);
});
