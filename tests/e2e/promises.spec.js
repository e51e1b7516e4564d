// The three published policies in a browser: what is there before an answer, how the question is
// put, and how it is put again.
import { violations } from "./browser.js";
import { expect, test } from "./collector.js";

const PRESETS = {
  alllinks: {
    buttons: ["Reject", "Choose", "Accept"],
    cookie: "al_cookie_consent",
    tiers: ["Necessary", "Preferences", "Analytics", "Embeds and checkout"],
  },
  ally: { buttons: ["Decline", "Accept All"], cookie: "ally_cookie_consent" },
  openedlink: {
    buttons: ["Reject", "Choose", "Accept"],
    cookie: "ol_cookie_consent",
    tiers: ["Necessary", "Analytics", "Marketing"],
  },
};

/** Everything a page can keep in a browser. */
const kept = (page) =>
  page.evaluate(async () => ({
    cookie: document.cookie,
    local: localStorage.length,
    session: sessionStorage.length,
    databases: (await indexedDB.databases()).length,
    caches: (await caches.keys()).length,
  }));
const NOTHING = { cookie: "", local: 0, session: 0, databases: 0, caches: 0 };

const dialog = (page) => page.getByRole("dialog");
const press = async (page, name) => {
  await dialog(page).getByRole("button", { name, exact: true }).click();
  await expect(dialog(page)).toBeHidden();
};

for (const [preset, { buttons, cookie, tiers }] of Object.entries(PRESETS)) {
  const [no, yes] = [buttons[0], buttons.at(-1)];

  test(`${preset}: before an answer nothing is stored and nothing is asked of the collector but the question`, async ({
    page,
    context,
    platform,
  }) => {
    const collector = await platform(preset);
    const requests = [];
    page.on("request", (request) => requests.push(request.url().slice(collector.url.length)));
    await page.goto(`${collector.url}/u/demo`);
    await expect(dialog(page)).toBeVisible();
    await page.mouse.click(200, 40); // the page behind is usable: this is no answer
    await page.keyboard.press("Escape");
    await expect(dialog(page)).toBeHidden();
    expect(await kept(page)).toEqual(NOTHING);
    expect(await context.cookies()).toEqual([]);
    expect(requests.filter((path) => path.includes("/ff/"))).toEqual([
      "/u/demo/ff/consent.js",
      "/u/demo/ff/f.js",
      "/u/demo/ff/consent?lang=en",
    ]);
    expect(requests.every((path) => path.startsWith("/"))).toBe(true); // the page's own host only
    expect(collector.sent()).toBe(0);
    await page.goto(`${collector.url}/u/demo/shop`);
    await expect(dialog(page)).toBeVisible(); // Escape was no answer
  });

  test(`${preset}: yes and no are equal, one press each`, async ({ page, platform }) => {
    const collector = await platform(preset);
    await page.goto(`${collector.url}/u/demo`);
    await expect(dialog(page)).toBeVisible();
    expect(await dialog(page).getByRole("button").allTextContents()).toEqual(buttons);
    const look = (name) =>
      dialog(page)
        .getByRole("button", { name, exact: true })
        .evaluate((button) => {
          const { fontSize, fontWeight, fontFamily, color, backgroundColor, borderColor } =
            getComputedStyle(button);
          return {
            size: button.getBoundingClientRect().toJSON(),
            style: { fontSize, fontWeight, fontFamily, color, backgroundColor, borderColor },
          };
        });
    const [accept, reject] = [await look(yes), await look(no)];
    expect(reject.style).toEqual(accept.style);
    expect(Math.abs(reject.size.width - accept.size.width)).toBeLessThanOrEqual(2);
    expect(Math.abs(reject.size.height - accept.size.height)).toBeLessThanOrEqual(2);
    expect(await page.evaluate(() => document.activeElement === document.body)).toBe(true); // the focus is on no answer
    for (const colorScheme of ["light", "dark"]) {
      for (const [size, viewport] of [
        ["phone", { width: 390, height: 844 }],
        ["desktop", { width: 1280, height: 900 }],
      ]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(viewport);
        expect(await violations(page), `${size}, ${colorScheme}`).toEqual([]); // contrast among them
        await page.screenshot({
          path: `../../test-results/screens/question-${preset}-${size}-${colorScheme}.png`,
        });
      }
    }
    await dialog(page).getByRole("button", { name: no, exact: true }).focus();
    await page.keyboard.press("Enter");
    await expect(dialog(page)).toBeHidden();
  });

  test(`${preset}: the answer holds, can be changed in the footer, and clearing the cookie asks again`, async ({
    page,
    context,
    platform,
  }) => {
    const collector = await platform(preset);
    await page.goto(`${collector.url}/u/demo`);
    await press(page, yes);
    const stored = async () => (await context.cookies()).find((c) => c.name === cookie);
    expect((await stored()).httpOnly).toBe(true);
    expect(await kept(page)).toEqual(NOTHING); // no script can see the cookie
    const left = ((await stored()).expires * 1000 - Date.now()) / 86_400_000;
    expect(left).toBeGreaterThan(364);
    expect(left).toBeLessThanOrEqual(365);
    await page.goto(`${collector.url}/u/demo/shop`);
    await page.evaluate(() => window.footfall.consent.ready);
    await expect(dialog(page)).toBeHidden();
    expect(await page.evaluate(() => window.footfall.consent.allowed("analytics"))).toBe(true);

    await page.getByRole("button", { name: "Cookie Preferences" }).click();
    if (tiers) {
      const switches = dialog(page).getByRole("switch").or(dialog(page).getByRole("checkbox"));
      await expect(switches).toHaveCount(tiers.length);
      for (const tier of tiers)
        await expect(dialog(page).getByText(tier, { exact: true })).toBeVisible();
      for (const toggle of await switches.all()) await expect(toggle).toBeChecked(); // the stored answer is shown
    } else await expect(dialog(page)).toContainText("you accepted");
    await press(page, no);
    expect(await page.evaluate(() => window.footfall.consent.allowed("analytics"))).toBe(false);
    expect((await stored()).value).toBe("1.none");

    await context.clearCookies({ name: cookie });
    await page.goto(`${collector.url}/u/demo`);
    await expect(dialog(page)).toBeVisible();
    expect(await page.evaluate(() => window.footfall.consent.allowed("analytics"))).toBe(false);
  });
}

test("the visitor's page reads well, withdraws, and hands out the receipt", async ({
  page,
  collector,
}) => {
  await page.goto("/u/demo");
  await press(page, "Accept");
  await expect.poll(() => collector.sent()).toBe(1);
  await collector.flush();
  await page.getByRole("link", { name: "What is counted about you" }).click();
  // Counted today already: one more view adds no visitor, no visit and nothing about the browser.
  await expect(page.locator("#known")).toBeVisible();
  const raised = "Views, clicks and events +1, Visitors +0, Visits +0";
  await expect(page.locator("#counters tr")).toHaveText([
    `The whole site${raised}`,
    `This page/u/demo${raised}`,
  ]);
  await expect(page.locator("#cookies")).toHaveText("ff_consent, kept for 365 day(s)");
  expect(await violations(page)).toEqual([]);
  await page.screenshot({ path: "../../test-results/screens/me.png", fullPage: true });
  const [receipt] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "Download the receipt" }).click(),
  ]);
  expect(receipt.suggestedFilename()).toBe("consent-receipt.json");
  await page.getByRole("button", { name: "Withdraw consent" }).click();
  await expect(page.locator("#choice")).toHaveText("You said no. Only what is necessary is on.");
  await expect(page.locator("#counters")).toContainText("You have not agreed to analytics.");
  await collector.flush();
  expect((await collector.report()).totals.hits).toBe(1);
});
