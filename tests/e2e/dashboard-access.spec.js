// Sharing, signing in, and the platform's view, as people do them in a browser.
import { createHmac } from "node:crypto";
import { violations } from "./browser.js";
import { expect, start, test as base } from "./collector.js";
import { CONFIG, NOW, PEOPLE, crowd } from "./crowd.js";

const SECRET = "a secret of thirty-two characters";
const PASSWORD = "correct horse battery";
const ACCESS = `${CONFIG}
[access]
password_hash = "$argon2id$v=19$m=19456,t=2,p=1$unIL+vwf9QK0H7PVNEMDJQ$O06bzyO9/PKcItfektovK4b7gEj1RBD3ufYBSkHPJ7g"
[platform]
token_algorithm = "HS256"
token_key = "${SECRET}"
[mail]
enabled = true
templates = ["welcome"]
http_targets = true
`;

const test = base.extend({
  stage: [
    async ({}, use) => {
      const collector = await start("", ACCESS);
      try {
        await crowd(collector);
        await use(collector);
      } finally {
        await collector.stop();
      }
    },
    { scope: "worker", timeout: 300_000 },
  ],
  collector: async ({ stage }, use) => use(stage),
  /**
   * Whatever the page complains about fails the test; that somebody is refused is said on purpose.
   */
  page: async ({ page }, use) => {
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(error.message));
    await use(page);
    expect(complaints.filter((text) => !/status of 40[0134]/.test(text))).toEqual([]);
  },
});

const value = (page, label) =>
  page
    .locator(".metric")
    .filter({ has: page.getByText(label, { exact: true }) })
    .locator("b");
const sum = (numbers) => numbers.reduce((all, n) => all + n, 0);

const handedOver = (claims) => {
  const part = (of) => Buffer.from(JSON.stringify(of)).toString("base64url");
  const header = part({ alg: "HS256", typ: "JWT" });
  const payload = part({
    iss: "platform",
    aud: "footfall",
    exp: Math.floor(NOW / 1000) + 60,
    ...claims,
  });
  const signed = `${header}.${payload}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
};
/** The creator of a site, as the platform's page hands one over. */
const asCreator = async (page, collector, sites) => {
  const token = handedOver({ sites, jti: `${Math.random()}` });
  await page.route("**/from-the-platform", (route) =>
    route.fulfill({
      contentType: "text/html",
      body:
        `<title>platform</title><form method="post" action="${collector.url}/handover"><input ` +
        `type="hidden" name="token" value="${token}"><button>Statistics</button></form>`,
    }),
  );
  await page.goto("/from-the-platform");
  await page.getByRole("button", { name: "Statistics" }).click();
};
const asOperator = async (page, to = "/login") => {
  await page.goto(to);
  await page.getByLabel("Name").fill("operator");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
};
const menu = async (page, item) => {
  await page.getByRole("button", { name: "Menu" }).click();
  await page.locator("#menu").getByText(item, { exact: true }).click();
};

test("who is signed out is told the way in, and comes back to where they were", async ({
  page,
}) => {
  await page.goto("/?site=demo&range=28d");
  await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await page.getByRole("link", { name: "Sign in" }).click();
  await expect(page.getByLabel("Password")).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await page.getByLabel("Name").fill("operator");
  await page.getByLabel("Password").fill("a guess of mine");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByText("The name or the password is wrong.")).toBeVisible();
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page).toHaveURL(/\/\?site=demo&range=28d$/);
  await expect(value(page, "Visitors")).toHaveText(String(sum(PEOPLE)));
  await menu(page, "Sign out");
  await expect(page).toHaveURL(/\/login$/);
  await page.goto("/?site=demo");
  await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
});

test("a way back that leads elsewhere is not followed", async ({ page }) => {
  await asOperator(page, `/login?to=${encodeURIComponent("//evil.example/")}`);
  await expect(
    page.getByRole("dialog", { name: "Choose a site" }).or(page.locator(".summary")),
  ).toBeVisible();
  expect(new URL(page.url()).host).toBe(new URL(await page.evaluate(() => location.href)).host);
  expect(page.url()).not.toContain("evil");
});

test("without a password login the page says that the platform leads here", async ({
  page,
  platform,
}) => {
  const collector = await platform(
    "",
    `[platform]\ntoken_algorithm = "HS256"\ntoken_key = "${SECRET}"\n[report]\ntoken = "operator-operator"\n`,
  );
  await page.goto(`${collector.url}/?site=demo`);
  await expect(page.getByRole("heading", { name: "You are signed out" })).toBeVisible();
  await expect(
    page.getByText("Open your statistics from your account on the platform again"),
  ).toBeVisible();
  await expect(page.getByRole("link", { name: "Sign in" })).toHaveCount(0);
  await page.goto(`${collector.url}/login`);
  await expect(page.getByRole("heading", { name: "Password sign-in is disabled" })).toBeVisible();
  expect(await violations(page)).toEqual([]);
});

test("a creator who is handed over sees their own site, and no platform", async ({
  page,
  collector,
}) => {
  await asCreator(page, collector, ["demo", "second"]);
  await expect(page).toHaveURL(/\?site=demo$/);
  await expect(value(page, "Visitors")).toHaveText(String(sum(PEOPLE.slice(7))));
  await page.keyboard.press("/");
  const dialog = page.getByRole("dialog", { name: "Choose a site" });
  await expect(dialog.getByRole("button", { name: /^demo/ })).toBeVisible();
  await expect(dialog.locator("li")).toHaveText([/^demo/, /^second/]);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Menu" }).click();
  await expect(page.locator("#menu").getByText("Platform")).toHaveCount(0);
  await page.goto("/?site=somebody-else");
  await expect(page.getByRole("heading", { name: "Site not found" })).toBeVisible();
  await page.goto("/platform");
  await expect(page.getByRole("heading", { name: "For operators only" })).toBeVisible();
});

test("a share link is made, opened by a stranger, framed, and revoked", async ({
  page,
  browser,
  context,
  collector,
}) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: collector.url });
  await asCreator(page, collector, ["demo"]);
  await expect(page.locator(".summary")).toBeVisible();
  await menu(page, "Share");
  const dialog = page.getByRole("dialog", { name: "Share" });
  await expect(dialog.getByLabel("From")).toHaveValue("2026-03-09");
  await expect(dialog.getByLabel("To (a past day)")).toHaveValue("2026-03-14");
  await dialog.getByLabel("To (a past day)").fill("2026-03-15");
  await dialog.getByRole("button", { name: "Create link" }).click();
  await expect(dialog.getByRole("alert")).toHaveText("to must be a day that is over");
  await dialog.getByLabel("To (a past day)").fill("2026-03-14");
  await dialog.getByLabel("Expires (optional)").fill("2026-12-31");
  await dialog.getByRole("button", { name: "Create link" }).click();
  await dialog.getByRole("button", { name: "Copy the link" }).click();
  await expect(dialog.getByText("Copied", { exact: true }).first()).toBeVisible();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  expect(link).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/share\/[\w-]{20,}$/);
  await expect(dialog.locator("pre").nth(1)).toContainText(`<iframe src="${link}?embed=1"`);
  expect(await violations(page)).toEqual([]);

  const stranger = await browser.newPage();
  await stranger.goto(link);
  await expect(stranger.getByRole("heading", { level: 1 })).toHaveText("demo");
  await expect(value(stranger, "Visitors")).toHaveText(String(sum(PEOPLE.slice(7, 13))));
  await expect(stranger.getByLabel("Range")).toHaveCount(0);
  await expect(stranger.locator("table button:not([aria-expanded]), a[download]")).toHaveCount(0);
  await expect(stranger.getByRole("table", { name: "Sources" })).toContainText("Instagram");
  await stranger.getByRole("button", { name: "Campaigns" }).click();
  await expect(stranger.getByRole("table", { name: "Campaigns" })).toContainText("spring-tour");
  expect(await violations(stranger)).toEqual([]);

  await stranger.goto(`${link}?embed=1`);
  await expect(stranger.getByRole("heading", { level: 1 })).toHaveClass(/visually-hidden/);
  expect(await stranger.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe(
    "rgba(0, 0, 0, 0)",
  );
  expect(await violations(stranger)).toEqual([]);

  await dialog.getByRole("button", { name: /^Revoke/ }).click();
  await expect(dialog.getByText("Revoked", { exact: true })).toBeVisible();
  await stranger.goto(link);
  await expect(
    stranger.getByRole("heading", { name: "This link has expired or been revoked" }),
  ).toBeVisible();
  await stranger.close();
});

test("a share link of few people shows how many, and nothing of them", async ({
  page,
  browser,
  collector,
}) => {
  await asCreator(page, collector, ["demo"]);
  await expect(page.locator(".summary")).toBeVisible();
  await menu(page, "Share");
  const dialog = page.getByRole("dialog", { name: "Share" });
  // The first day: no earlier visitors are published with it.
  await dialog.getByLabel("From").fill("2026-03-02");
  await dialog.getByLabel("To (a past day)").fill("2026-03-02");
  await dialog.getByRole("button", { name: "Create link" }).click();
  const link = await dialog.locator("pre").first().textContent();
  const stranger = await browser.newPage();
  await stranger.goto(`${link}?embed=1`);
  await expect(value(stranger, "Visitors")).toHaveText(String(PEOPLE[0]));
  await expect(stranger.locator("#sources").getByRole("row")).toHaveText([
    /^Source/,
    new RegExp(`^Not yet shown ?${PEOPLE[0]}`),
  ]);
  await stranger.locator("#sources").getByRole("button", { name: "Not yet shown" }).click();
  await expect(stranger.locator("#sources")).toContainText(
    "Values are shown in groups of at least 20 visitors",
  );
  await stranger.close();
});

test("the platform's view: totals, sites, consent, health, what is slow and broken", async ({
  page,
}) => {
  await asOperator(page, "/login?to=/platform");
  await expect(page).toHaveURL(/\/platform$/);
  await expect(value(page, "Visitors")).toHaveText(String(sum(PEOPLE.slice(7))));
  await expect(page.getByText("Clicks", { exact: true })).toHaveCount(0);
  const sites = page.getByRole("table", { name: "Sites", exact: true });
  // Of the days that are over: 146 against 117.
  await expect(sites.getByRole("row", { name: /^demo 155 \+25%/ })).toBeVisible();
  await page.getByLabel("Search the busiest sites").fill("nothing like it");
  await expect(page.getByText("No site has this in its name.")).toBeVisible();
  await page.getByLabel("Search the busiest sites").fill("dem");
  await expect(sites.getByRole("link", { name: "demo" })).toBeVisible();
  await expect(page.getByRole("table", { name: "Not counted" })).toContainText(
    "Global Privacy Control",
  );
  await expect(page.getByRole("table", { name: "Slow pages" })).toContainText("/u/demo");
  await expect(page.getByRole("table", { name: "Broken pages" })).toContainText(
    "TypeError /u/demo/app.js:12",
  );
  await expect(page.locator("#health")).toContainText("embedded, answers");
  await expect(page.locator("#consent")).toContainText("No consent choices yet.");
  expect(await violations(page)).toEqual([]);
  await page.getByLabel("Range").selectOption("28d");
  await expect(value(page, "Visitors")).toHaveText(String(sum(PEOPLE)));
  await sites.getByRole("link", { name: "demo" }).click();
  await expect(page).toHaveURL(/\/\?site=demo$/);
});

test("mails say who opened and clicked, apart from proxies and machines", async ({
  page,
  collector,
}) => {
  await asOperator(page, "/login?to=/platform");
  await expect(page.locator("#mail")).toContainText("No mail was opened in these days.");
  const csrf = await page.evaluate(
    async () => (await (await fetch("/api/v1/session")).json()).csrf,
  );
  const order = {
    mails: [
      {
        template: "welcome",
        batch: "2026-03-15",
        consent: true,
        links: [{ link: "start", url: collector.page("/u/demo") }],
      },
    ],
  };
  const {
    mails: [mail],
  } = await page.evaluate(
    async ([order, csrf, now]) =>
      (
        await fetch("/api/v1/mail/links", {
          method: "POST",
          headers: { "x-csrf-token": csrf, "x-footfall-now": now },
          body: JSON.stringify(order),
        })
      ).json(),
    [order, csrf, String(NOW)],
  );
  const path = (url) => collector.page(new URL(url, collector.url).pathname);
  for (let i = 0; i < 25; i++) {
    const agent = {
      "user-agent":
        `Mozilla/5.0 (X11; Linux x86_64; rv:1${i + 10}.0) Gecko/20100101 ` +
        `Thunderbird/1${i + 10}.0`,
      "x-forwarded-for": `217.160.9.${i + 1}`,
      "x-footfall-now": String(NOW + i * 30_000),
    };
    expect((await fetch(path(mail.pixel), { headers: agent })).status).toBe(200);
    if (i < 20)
      expect(
        (
          await fetch(path(mail.links[0].url), {
            headers: { ...agent, "x-footfall-now": String(NOW + i * 30_000 + 20_000) },
            redirect: "manual",
          })
        ).status,
      ).toBe(302);
  }
  await collector.flush(NOW + 20 * 60_000);
  await page.reload();
  const report = await page.evaluate(async () => (await fetch("/api/v1/mail?range=7d")).json());
  const [{ opens, clicks }] = report.templates;
  expect([opens.direct, clicks.direct]).toEqual([25, 20]);
  const mails = page.getByRole("table", { name: "Mails", exact: true });
  await expect(mails.getByRole("row", { name: /^welcome 25 25 0 0 20 80%/ })).toBeVisible();
  await mails.getByRole("button", { name: "welcome" }).click();
  await expect(
    page.getByRole("table", { name: "Links of welcome" }).getByRole("row", { name: "start 20" }),
  ).toBeVisible();
  await expect(
    page
      .getByRole("table", { name: "welcome by day sent" })
      .getByRole("row", { name: "Sun, 15 Mar 2026 25 25 0 20" }),
  ).toBeVisible();
  expect(await violations(page)).toEqual([]);
});

test("an operator registers a site, makes and revokes a token, and finds it all in the log", async ({
  page,
}) => {
  await asOperator(page, "/login?to=/platform");
  const manage = page.locator("#manage");
  await manage.getByRole("button", { name: "Register a site" }).click();
  const form = page.getByRole("dialog", { name: "Register a site" });
  await form.getByLabel("Name", { exact: true }).fill("mia");
  await form.getByLabel("Hosts, one a line").fill("not a host!");
  await form.getByLabel("Time zone").fill("Europe/Paris");
  await form.getByRole("button", { name: "Save" }).click();
  await expect(form.getByRole("alert")).toBeVisible();
  await form.getByLabel("Hosts, one a line").fill("mia.example\nwww.mia.example");
  await form.getByLabel("Origins that may frame").fill("https://mia.example");
  await form.getByLabel("Other names").fill("old-mia");
  expect(await violations(page)).toEqual([]);
  await form.getByRole("button", { name: "Save" }).click();
  await expect(
    manage.getByRole("row", { name: /^mia mia\.example, www\.mia\.example old-mia Europe\/Paris/ }),
  ).toBeVisible();
  await manage.getByRole("button", { name: "Edit mia", exact: true }).click();
  const edited = page.getByRole("dialog", { name: "mia" });
  await expect(edited.getByLabel("Origins that may frame")).toHaveValue("https://mia.example");
  await edited.getByLabel("Other names").fill("");
  await edited.getByRole("button", { name: "Save" }).click();
  await expect(
    manage.getByRole("row", { name: /^mia mia\.example, www\.mia\.example – Europe\/Paris/ }),
  ).toBeVisible();
  await manage.getByRole("button", { name: "Share links of mia" }).click();
  await expect(page.getByRole("dialog", { name: "Share" })).toBeVisible();
  await page.keyboard.press("Escape");

  await manage.getByRole("button", { name: "API tokens" }).click();
  await manage.getByLabel("Name", { exact: true }).fill("nightly export");
  await manage.getByRole("button", { name: "Create token" }).click();
  await expect(manage.getByRole("region", { name: "The new token" }).locator("code")).toHaveText(
    /^ff_/,
  );
  expect(await violations(page)).toEqual([]);
  await manage.getByRole("button", { name: "Revoke nightly export" }).click();
  await expect(
    manage.getByRole("row", { name: /^nightly export read the platform.*Revoked$/ }),
  ).toBeVisible();

  await manage.getByRole("button", { name: "Audit log" }).click();
  await expect(page).toHaveURL(/tab=audit/);
  const log = manage.getByRole("table", { name: "Audit log" });
  for (const act of [
    /put.site mia/i,
    /make.token nightly export/i,
    /revoke.token nightly export/i,
    /remove.alias old-mia/i,
  ])
    await expect(log.getByRole("row", { name: act }).first()).toBeVisible();
  await manage.getByRole("button", { name: "Registered sites" }).click();
  await manage.getByRole("button", { name: "Edit mia", exact: true }).click();
  await edited.getByRole("button", { name: "Remove" }).click();
  await edited.getByRole("button", { name: "Yes, remove it" }).click();
  await expect(manage.getByRole("link", { name: "mia" })).toHaveCount(0);
});
