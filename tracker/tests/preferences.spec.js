// The preferences: what is stored is shown, each tier by itself, and back to no as easily as to
// yes.
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

const control = (page) => page.locator("footfall-preferences button");
const openedBy = async (page, opener) => {
  await opener.click();
  await expect(dialog(page)).toBeVisible();
};
const on = async (page) => {
  const switches = await dialog(page).getByRole("switch").all();
  const states = await Promise.all(
    switches.map(async (it) => [await it.isChecked(), await it.isEnabled()]),
  );
  return states.map(
    ([checked, enabled]) => `${checked ? "on" : "off"}${enabled ? "" : ", locked"}`,
  );
};

test("the footer's control carries the server's words, in its language", async ({ page, fake }) => {
  fake.lang = "de";
  await visit(page);
  await expect(control(page)).toHaveText("Cookie-Einstellungen");
  await expect(control(page)).toHaveAttribute("lang", "de");
});

for (const [name, opener] of [
  ["the element", control],
  ["any marked element", (page) => page.locator("#control")],
]) {
  test(`${name} opens the preferences, takes the focus to their heading and gets it back`, async ({
    page,
    context,
    fake,
  }) => {
    await remember(context, fake, "1.");
    await visit(page);
    await openedBy(page, opener(page));
    await expect(dialog(page).getByRole("heading", { name: "Cookie Preferences" })).toBeFocused();
    await expect(page).toHaveURL(`${fake.url}/`);
    await page.keyboard.press("Escape");
    await expect(dialog(page)).toHaveCount(0);
    await expect(opener(page)).toBeFocused();
    await openedBy(page, opener(page));
    await press(page, "Close");
    await expect(opener(page)).toBeFocused();
    expect(fake.acts).toEqual([]);
  });
}

test("open() does the same for a host that has its own control", async ({
  page,
  context,
  fake,
}) => {
  await remember(context, fake, "1.");
  await visit(page);
  await page.evaluate(() => window.footfall.consent.open());
  await expect(dialog(page)).toBeVisible();
  await expect(dialog(page).getByRole("switch")).toHaveCount(4);
});

test("nothing is ticked beforehand", async ({ page }) => {
  await visit(page);
  await press(page, "Choose");
  expect(await on(page)).toEqual(["on, locked", "off", "off", "off"]);
  await expect(dialog(page)).toContainText("Always on");
  await expect(dialog(page).getByRole("heading")).toBeFocused();
});

test("each tier is chosen by itself, with the keyboard alone", async ({ page, context, fake }) => {
  await visit(page);
  await dialog(page).getByRole("button", { name: "Choose" }).press("Enter");
  await dialog(page).getByRole("switch", { name: "Analytics" }).press("Space");
  await dialog(page).getByRole("button", { name: "Save choice" }).press("Enter");
  await expect(dialog(page)).toHaveCount(0);
  const tiers = { preferences: false, analytics: true, embeds: false };
  expect(fake.acts).toEqual([
    { version: 1, act: "grant", tiers, lang: "en", layer: "panel", path: "/" },
  ]);
  expect(await remembered(context)).toEqual(["fake_consent=1.analytics"]);
  expect(await changes(page)).toEqual([["necessary"], ["necessary", "analytics"]]);
});

test("saving with nothing on is a refusal", async ({ page, fake }) => {
  await visit(page);
  await press(page, "Choose");
  await press(page, "Save choice");
  await expect(dialog(page)).toHaveCount(0);
  expect(fake.acts).toEqual([{ version: 1, act: "refuse", lang: "en", layer: "panel", path: "/" }]);
});

test("what is stored is shown, with the links to it", async ({ page, context, fake }) => {
  await remember(context, fake, "1.analytics");
  await visit(page);
  await openedBy(page, control(page));
  expect(await on(page)).toEqual(["on, locked", "off", "on", "off"]);
  const links = await dialog(page)
    .getByRole("link")
    .evaluateAll((all) => all.map((it) => it.getAttribute("href")));
  expect(links).toEqual(["/policy", "/ff/me", "/ff/consent/receipt"]);
});

test("withdrawing is the control and one press, and holds at once", async ({
  page,
  context,
  fake,
}) => {
  await remember(context, fake, "1.analytics+embeds");
  await visit(page);
  await openedBy(page, control(page));
  await press(page, "Reject");
  await expect(dialog(page)).toHaveCount(0);
  expect(fake.acts).toEqual([
    { version: 1, act: "withdraw", lang: "en", layer: "panel", path: "/" },
  ]);
  expect(await changes(page)).toEqual([["necessary", "analytics", "embeds"], ["necessary"]]);
  expect(await remembered(context)).toEqual(["fake_consent=1."]);
});

test("an answer to an older question is shown and grants nothing until it is given again", async ({
  page,
  context,
  fake,
}) => {
  fake.version = 2;
  await remember(context, fake, "1.analytics");
  await visit(page);
  await press(page, "Choose");
  expect(await on(page)).toEqual(["on, locked", "off", "on", "off"]);
  expect(await allowed(page)).toEqual(["necessary"]);
  await press(page, "Save choice");
  await expect(dialog(page)).toHaveCount(0);
  expect(await remembered(context)).toEqual(["fake_consent=2.analytics"]);
  expect(await allowed(page)).toEqual(["necessary", "analytics"]);
});

for (const [cookie, words] of [
  ["1.preferences+analytics", "you accepted"],
  ["1.", "you declined"],
]) {
  test(`all or nothing: the question again, and in words that ${words}`, async ({
    page,
    context,
    fake,
  }) => {
    fake.preset = "ally";
    await remember(context, fake, cookie);
    await visit(page);
    await openedBy(page, control(page));
    await expect(dialog(page)).toContainText(`Your answer so far: ${words}.`);
    await expect(dialog(page).getByRole("button")).toHaveText(["Close", "Decline", "Accept All"]);
    await press(page, "Decline");
    await expect(dialog(page)).toHaveCount(0);
    expect(fake.acts.map(({ act, layer }) => `${act} ${layer}`)).toEqual([
      cookie === "1." ? "refuse first" : "withdraw first",
    ]);
  });
}

const SIGNALS = [
  [
    "Global Privacy Control",
    (page) =>
      page.addInitScript(() =>
        Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { get: () => true }),
      ),
  ],
  [
    "Do Not Track",
    (page) =>
      page.addInitScript(() =>
        Object.defineProperty(Navigator.prototype, "doNotTrack", { get: () => "1" }),
      ),
  ],
  ["a signal only the server saw", (_, fake) => (fake.signal = "gpc")],
];
for (const [name, send] of SIGNALS) {
  test(`${name}: not asked, nothing allowed, and the preferences say why`, async ({
    page,
    context,
    fake,
  }) => {
    await send(page, fake);
    await visit(page);
    await expect(dialog(page)).toHaveCount(0);
    expect(await allowed(page)).toEqual(["necessary"]);
    await openedBy(page, control(page));
    await expect(dialog(page)).toHaveAccessibleDescription(/opt-out signal is honoured/);
    expect(await on(page)).toEqual(["on, locked", "off, locked", "off, locked", "off, locked"]);
    await expect(dialog(page).getByRole("button")).toHaveText(["Close"]);
    // A stored yes is outweighed; all that can be said about it is no.
    await remember(context, fake, "1.analytics");
    await visit(page);
    expect(await allowed(page)).toEqual(["necessary"]);
    await openedBy(page, control(page));
    expect(await on(page)).toEqual(["on, locked", "off, locked", "off, locked", "off, locked"]);
    await press(page, "Reject");
    await expect(dialog(page)).toHaveCount(0);
    expect(fake.acts.map(({ act }) => act)).toEqual(["withdraw"]);
  });
}
