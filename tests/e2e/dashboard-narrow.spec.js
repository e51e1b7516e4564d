// Phones of 320, 360 and 390 pixels, at ordinary and at twice the size of text, with every panel
// filled: nothing is wider than the screen, no name is reduced to letters, nothing to press is
// smaller than a finger.
import { violations } from "./browser.js";
import { TODAY, WEEK, YESTERDAY, counters, day, expect, json, report, test } from "./made.js";

const panel = (page, name) => page.getByRole("region", { name, exact: true });
const item = (name, hits) => ({ item: name, ...counters(hits), hits, exits: 3, entries: 4 });
const money = (event, currency, minor, digits = 2) => ({
  event,
  currency,
  hits: 12,
  over: 1,
  minor,
  digits,
});
const LONG = "https://www.example.com/tickets/spring-tour-2026-with-a-long-name";
const FULL = report({
  subjects: {
    page: {
      hits: 1274,
      rows: [
        item("/u/mia", 1000),
        item("/u/mia/a-page-with-quite-a-long-path/and-more", 274),
        item("(other)", 12),
      ],
    },
    link: { hits: 600, rows: [item("newsletter", 400), item(LONG, 150), item("(other)", 50)] },
    event: { hits: 24, rows: [item("tip", 12), item("subscription-of-a-year", 12)] },
  },
  money: [
    money("tip", "EUR", 1234567),
    money("tip", "JPY", 98765432, 0),
    money("subscription-of-a-year", "EUR", 9876543),
    money("subscription-of-a-year", "USD", 555555),
  ],
  series: WEEK.map((visitors, i) => ({ at: day(i - 6), ...counters(visitors), clicks: 7 })),
});
const speed = { hits: 900, good: 700, needs_improvement: 150, poor: 50, p75: 1834, p90: 2930 };
const METRICS = {
  LCP: speed,
  INP: { ...speed, p75: 140 },
  CLS: { ...speed, p75: 0.08, p90: 0.2 },
  FCP: speed,
  TTFB: { fewer_than: 5 },
};
const VITALS = {
  site: "mia",
  zone: "UTC",
  from: day(-6),
  to: TODAY,
  k: 5,
  path: null,
  metrics: METRICS,
  devices: { phone: METRICS, desktop: METRICS },
  pages: [{ path: "/u/mia/a-page-with-quite-a-long-path", metrics: METRICS }],
};
const FAULTS = {
  site: "mia",
  zone: "UTC",
  from: day(-6),
  to: TODAY,
  rows: [
    {
      kind: "script",
      fault: "TypeError /assets/an-application-with-a-long-name.js:1234",
      path: "/u/mia",
      hits: 31,
    },
    { kind: "not_found", fault: "", path: "/u/mia/gone", hits: 3 },
  ],
};
const DROPS = {
  from: day(-6),
  to: TODAY,
  rows: ["no_consent", "gpc", "dnt", "not_a_view", "limited"].map((reason, i) => ({
    reason,
    hits: 10_000 + i,
  })),
};
const few = { direct: 1234, proxied: 567, machine: 89 };
const template = (name) => ({
  template: name,
  opens: few,
  openers: 1100,
  clicks: few,
  click_rate: 0.123,
  days: [{ day: day(-1), opens: few, openers: 44, clicks: few }],
  batches: [{ batch: day(-1), opens: few, openers: 44, clicks: few }],
  links: [{ link: "unsubscribe-at-once", clicks: few }],
});
const MAIL = {
  zone: "UTC",
  from: day(-6),
  to: TODAY,
  k: 5,
  k_loads: 20,
  templates: [template("welcome_to_the_platform"), template("weekly")],
};
const busy = (site, n) => ({
  site,
  hits: 2 * n,
  visitors: n,
  visits: n,
  before: { hits: n, visitors: n, visits: n },
});
const HEALTH = {
  version: "1.0.0",
  started: `${YESTERDAY}T10:00:00Z`,
  store: "embedded",
  store_ready: true,
  shards: 1,
  shards_away: [],
  journal: { bytes: 123456789, max_bytes: 9999999999, segments: 12, full: false, damaged: 0 },
  flush: { segments: 1, rows: 1, failures: 0, quarantined: 0, overdue_secs: 0 },
  publication: { units: 1, failures: 0, last_success_secs: 1, overdue_secs: 0 },
  hits: 123456789,
  visitors: 1234567,
  over_limits: 0,
};

const everything = (answers) =>
  Object.assign(answers, {
    "/vitals": (route) => json(route, VITALS),
    "/faults": (route) => json(route, FAULTS),
    "/drops": (route) => json(route, DROPS),
    "/session": (route) => json(route, { role: "operator", sites: null, csrf: "x", login: true }),
    "/platform/report": (route) => json(route, { ...FULL, site: "", zone: "UTC" }),
    "/platform/sites": (route) =>
      json(route, {
        from: day(-6),
        to: TODAY,
        rows: [busy("mia", 123456), busy("a-site-with-a-name-that-is-long", 4321)],
      }),
    "/platform/pages": (route) =>
      json(route, {
        from: day(-6),
        to: TODAY,
        slow: [
          { site: "mia", path: "/u/mia/a-page-with-quite-a-long-path", metric: "LCP", ...speed },
        ],
        broken: [{ site: "mia", ...FAULTS.rows[0] }],
      }),
    "/platform/consent": (route) =>
      json(route, {
        versions: [{ version: 1, grants: 123456, refusals: 98765, withdrawals: 4321 }],
      }),
    "/platform/health": (route) => json(route, HEALTH),
    "/api/v1/mail": (route) => json(route, MAIL),
    "/api/v1/sites": (route) =>
      json(route, {
        rows: [
          {
            site: "mia",
            zone: "Europe/Berlin",
            hosts: ["mia.example"],
            aliases: ["old-mia"],
            embed: [],
            max_amount: null,
          },
        ],
      }),
    "/api/v1/tokens": (route) =>
      json(route, {
        rows: [
          {
            id: "t",
            name: "warehouse",
            scopes: ["read", "manage", "mail"],
            site: null,
            expires: null,
            created: day(-3),
            revoked: false,
          },
        ],
      }),
    "/api/v1/audit": (route) =>
      json(route, {
        rows: [
          { at: `${YESTERDAY}T10:00:00Z`, who: "operator", act: "token_made", what: "warehouse" },
        ],
      }),
  });

/**
 * Nothing is wider than the screen, and each name that is cut leaves enough to be told from others.
 */
const fits = async (page, name) => {
  // Not innerWidth: a phone that zooms out to show what is too wide says that wider one.
  const { width } = page.viewportSize();
  const wide = await page.evaluate((width) => {
    const right = width + 1;
    const scrolls = (node) =>
      node &&
      (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(node).overflowX) ||
        scrolls(node.parentElement));
    const out = [...document.querySelectorAll("body *")].filter(
      (node) => node.getBoundingClientRect().right > right && !scrolls(node.parentElement),
    );
    return out
      .slice(0, 5)
      .map(
        (node) =>
          `${node.tagName}.${node.className} ${Math.round(node.getBoundingClientRect().right)}: ` +
          node.textContent.slice(0, 40),
      );
  }, width);
  expect(
    await page.evaluate((width) => document.documentElement.scrollWidth - width, width),
    `${name}: ${wide}`,
  ).toBeLessThanOrEqual(0);
  const cut = await page.locator("th[scope=row] .item").evaluateAll((names) =>
    names
      .filter((item) => {
        const em = parseFloat(getComputedStyle(item).fontSize);
        return (
          item.checkVisibility() &&
          item.scrollWidth > item.clientWidth + 1 &&
          item.clientWidth < 5 * em
        );
      })
      .map((item) => `${item.textContent} ${item.clientWidth}`),
  );
  expect(cut, `${name}: names of a few letters`).toEqual([]);
};

/** What a finger has to hit, and how large it is. */
const small = (page) =>
  page.locator("button, select, a[href], input, summary").evaluateAll((all) =>
    all
      .filter(
        (one) =>
          one.checkVisibility() && !one.closest(".skip, .visually-hidden, dialog:not([open])"),
      )
      .map((one) => {
        const { width, height } = one.getBoundingClientRect();
        return [
          Math.round(width),
          Math.round(height),
          `${one.tagName} ${one.textContent.trim().slice(0, 30) || one.getAttribute("aria-label")}`,
        ];
      })
      .filter(([width, height]) => height < 44 && !(height >= 24 && width === 0)),
  );

for (const width of [320, 360, 390]) {
  for (const size of [100, 200]) {
    test.describe(`${width} wide, text at ${size} %`, () => {
      test.use({
        viewport: { width, height: 760 },
        isMobile: true,
        hasTouch: true,
        deviceScaleFactor: 2,
      });

      test("every panel fits", async ({ page, show, answers }) => {
        everything(answers);
        if (size !== 100)
          await page.addInitScript(
            (size) =>
              addEventListener("DOMContentLoaded", () => {
                const sheet = new CSSStyleSheet();
                sheet.replaceSync(`:root { font-size: ${size}% }`);
                document.adoptedStyleSheets = [sheet];
              }),
            size,
          );
        const look = async (name) => {
          await page.screenshot({
            path: `../../test-results/screens/narrow-${name}-${width}-${size}.png`,
            fullPage: true,
          });
          await fits(page, name);
          expect(await violations(page), name).toEqual([]);
        };
        await show(FULL);
        await expect(panel(page, "Not counted").getByRole("table")).toBeVisible();
        await expect(page.locator("canvas")).toBeVisible();
        await look("site");
        if (size === 100) expect(await small(page)).toEqual([]);
        await page.getByRole("button", { name: "Show all Links" }).click();
        await expect(page.getByRole("dialog", { name: "Links" }).getByRole("table")).toBeVisible();
        await look("list");
        await page.keyboard.press("Escape");
        await page.getByLabel("Range").selectOption("custom");
        await page.getByLabel("Compare with").selectOption("custom");
        await look("custom");
        await page.goto("/platform");
        await expect(panel(page, "Mails").getByRole("table").first()).toBeVisible();
        await panel(page, "Mails").getByRole("button", { name: "weekly" }).click();
        await expect(page.getByRole("table", { name: "weekly by day", exact: true })).toBeVisible();
        await expect(page.locator("#health dd").first()).toBeVisible();
        await look("platform");
      });
    });
  }
}
