// Every page on a phone and a desktop, light and dark: no violation that axe can find, nothing
// wider than the screen, no word to another host, and a picture in test-results/screens for people
// to look at.
import { violations } from "./browser.js";
import { DAY, START, expect, start, test as base } from "./collector.js";

const HOUR = 3_600_000;
const FIRST = "2026-02-24";
const SOURCES = [
  "https://www.instagram.com/",
  "https://www.google.com/",
  "https://news.example.com/",
  undefined,
];
const AGENTS = [
  (n) =>
    `Mozilla/5.0 (iPhone; CPU iPhone OS 18_${n} like Mac OS X) AppleWebKit/605.1.15 ` +
    `(KHTML, like Gecko) Version/18.${n} Mobile/15E148 Safari/604.1`,
  (n) =>
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) " +
    `Chrome/1${20 + n}.0.0.0 Mobile Safari/537.36`,
  (n) =>
    `Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:1${20 + n}.0) Gecko/20100101 Firefox/1${20 + n}.0`,
];

const test = base.extend({
  /** One grant stands for all people here. */
  collector: async ({}, use) => {
    const collector = await start("", "[limits]\nvisitors_per_grant = 100\n");
    await use(collector);
    await collector.stop();
  },
});

/** A day of a small creator: 24 people in the course of it, every third clicks. */
const live = async (collector) => {
  const url = collector.page("/u/demo");
  for (let i = 0; i < 24; i++) {
    const agent = {
      "user-agent": AGENTS[i % 3](i),
      "accept-language": ["de-DE", "en-GB", "fr"][i % 3],
    };
    const at = { ...agent, "x-footfall-now": String(START + Math.floor(i / 3) * HOUR) };
    const view = { kind: "view", url, referrer: SOURCES[i % 4] };
    const then = [
      { kind: "click", name: ["newsletter", "shop"][i % 2], url, engaged: 2000 + 300 * i },
      { kind: "view", url: `${url}/shop` },
    ];
    const answer = await collector.hit(i % 3 === 0 ? [view, ...then] : [view], at);
    expect(answer.status).toBe(202);
  }
  await collector.flush();
};

for (const [size, viewport] of [
  ["phone", { width: 390, height: 844 }],
  ["desktop", { width: 1280, height: 900 }],
]) {
  for (const colorScheme of ["light", "dark"]) {
    test.describe(`${size}, ${colorScheme}`, () => {
      test.use({ viewport, colorScheme });
      test("every page reads well and keeps to itself", async ({ page, context, collector }) => {
        await live(collector);
        const hosts = new Set();
        const complaints = [];
        context.on("request", (request) => hosts.add(new URL(request.url()).origin));
        page.on(
          "console",
          (message) => message.type() === "error" && complaints.push(message.text()),
        );
        page.on("pageerror", (error) => complaints.push(error.message));
        const look = async (name) => {
          await page.screenshot({
            path: `../../test-results/screens/${name}-${size}-${colorScheme}.png`,
            fullPage: true,
          });
          expect(
            await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth),
            name,
          ).toBeLessThanOrEqual(0);
          expect(await violations(page), name).toEqual([]);
        };
        await page.goto("/u/demo");
        await expect(page.getByRole("dialog")).toBeVisible();
        await look("profile");
        await page.goto("/u/demo/shop");
        await page.getByRole("button", { name: "Choose" }).click();
        await look("choose");
        await page.getByRole("dialog").getByRole("button", { name: "Reject", exact: true }).click();
        await expect(page.getByRole("dialog")).toBeHidden();
        await look("shop");
        const visitors = page.locator(".metric b").first();
        await page.goto(`/?site=demo&from=${DAY}&to=${DAY}`);
        await expect(visitors).toHaveText("24");
        await look("report-day");
        await page.goto(`/?site=demo&from=${FIRST}&to=${DAY}`);
        await expect(visitors).toHaveText("24");
        await look("report-week");
        await page.goto(`/?site=demo&from=${DAY}&to=${DAY}&filter=page:/u/demo`);
        await expect(visitors).toHaveText("24");
        await look("report-page");
        await page.goto("/?site=demo&from=2026-01-01&to=2026-01-02");
        await expect(page.getByRole("heading", { name: "Nothing here yet" })).toBeVisible();
        await look("report-empty");
        expect([...hosts]).toEqual([collector.url]);
        expect(complaints).toEqual([]);
      });
    });
  }
}
