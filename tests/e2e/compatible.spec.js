// The published trackers of other products, unmodified, in pages that change one option: what a
// visitor does is what the creator reads. None of them knows of consent or of signals; so they
// send, and the collector drops.
import { createServer, request as forward } from "node:http";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Umami } from "@umami/node";
import { buildSync } from "esbuild";
import { DAY, GRANT, START, test as base, expect } from "./collector.js";

const HERE = dirname(fileURLToPath(import.meta.url));
const TOKEN = "a token of tom's server";
const CONFIG = `
[[compatible]]
sites = ["mia"]
accept = ["plausible", "umami", "goatcounter"]
basis = "consent_cookie"
[[compatible]]
sites = ["tom"]
accept = ["umami"]
basis = "declared"
declared = "The server calls only for people who said yes in its own account settings."
stored_refusals = "unseen"
token = "${TOKEN}"
`;

const bundle = (contents) =>
  buildSync({
    stdin: { contents, resolveDir: HERE },
    bundle: true,
    format: "iife",
    write: false,
    logLevel: "silent",
  }).outputFiles[0].text;

const SCRIPTS = {
  plausible: bundle(`
    import { init, track } from "@plausible-analytics/tracker";
    init({
      domain: "pages.example",
      endpoint: "/u/mia/ff/api/event",
      captureOnLocalhost: true,
      outboundLinks: true,
      fileDownloads: true,
    });
    window.track = track;
  `),
  legacy: bundle(`
    import Plausible from "plausible-tracker";
    const { enableAutoPageviews, enableAutoOutboundTracking, trackEvent } =
      Plausible({ domain: "pages.example", apiHost: location.origin + "/u/mia/ff", trackLocalhost: true });
    enableAutoPageviews();
    enableAutoOutboundTracking();
    window.track = trackEvent;
  `),
  goatcounter: "",
};

/** A view and an event where scripts do not run. */
const PIXELS =
  '<img src="/ff/count?p=/u/mia&q=%3Futm_campaign=tour" alt="">' +
  '<img src="/u/mia/ff/count?p=signup&e=true" alt="">';

const PAGE = (
  name,
) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mia</title>
<script src="/page/${name}.js" defer></script></head>
<body><main><h1>Mia</h1>
<a id="out" href="https://shop.example.com/mug?sku=1">A mug</a>
<a id="file" href="/u/mia/prices.pdf" onclick="event.preventDefault()">Prices</a>
${name === "goatcounter" ? PIXELS : ""}
</main></body></html>`;

/**
 * The page's own host: a profile page that loads a script, and a reverse proxy for what belongs to
 * the collector.
 */
const open = async (collector) => {
  const answers = [];
  const server = createServer((request, answer) => {
    const { pathname, searchParams } = new URL(request.url, collector.url);
    const send = (type, text) => answer.writeHead(200, { "content-type": type }).end(text);
    if (!pathname.includes("/ff/")) {
      const script = /^\/page\/(\w+)\.js$/.exec(pathname)?.[1];
      return script
        ? send("text/javascript", SCRIPTS[script])
        : send("text/html", PAGE(searchParams.get("script") ?? "goatcounter"));
    }
    const onward = forward(
      collector.page(request.url),
      { method: request.method, headers: request.headers },
      (said) => {
        answers.push(`${said.statusCode} ${pathname}`);
        answer.writeHead(said.statusCode, said.headers);
        said.pipe(answer);
      },
    );
    return request.pipe(onward);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    answers,
    stop: () => (server.close(), server.closeAllConnections()),
  };
};

const test = base.extend({
  collector: async ({ platform }, use) => use(await platform("", CONFIG)),
  host: async ({ collector }, use) => {
    const host = await open(collector);
    await use(host);
    host.stop();
  },
  baseURL: async ({ host }, use) => use(host.url),
  /** A visitor who has agreed, where the test does not say otherwise. */
  agreed: [
    async ({ context, host, consent }, use) => {
      if (consent) await context.addCookies([{ name: "ff_consent", value: GRANT, url: host.url }]);
      await use();
    },
    { auto: true },
  ],
  consent: [true, { option: true }],
});

const read = async (collector, site = "mia") => {
  await collector.flush();
  const answer = await fetch(collector.page(`/api/v1/sites/${site}/report?from=${DAY}&to=${DAY}`));
  expect(answer.status).toBe(200);
  return answer.json();
};

const refusals = async (collector, reason) => {
  const page = await (await fetch(collector.page("/metrics"))).text();
  return Number(new RegExp(`footfall_drops_total\\{reason="${reason}"\\} (\\d+)`).exec(page)[1]);
};

const rows = (report, subject) =>
  report.subjects[subject].rows.map(({ item, hits }) => [item, hits]).sort();
const counted = ({ totals }) => [totals.hits, totals.visitors, totals.visits];

/**
 * The tab goes to the back, and its page says its last word. Sent from a page that is gone, it
 * would lack the headers Playwright sets.
 */
const hide = (page) =>
  page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
    document.dispatchEvent(new Event("visibilitychange"));
  });

/**
 * Reads until the report is what is expected: a page that is left sends its last word on its own
 * time.
 */
const settled = (collector, pick, expected, site) =>
  expect
    .poll(async () => pick(await read(collector, site)), { message: "what the creator reads" })
    .toEqual(expected);

test("Plausible's tracker: views, a route change, events, money, links and time are counted exactly", async ({
  page,
  collector,
  host,
}) => {
  await page.clock.setFixedTime(START);
  await page.goto("/u/mia?script=plausible&utm_campaign=tour");
  await page.clock.setFixedTime(START + 5000);
  await page.evaluate(() => window.track("signup", { props: { plan: "gold" } }));
  await page.evaluate(() => window.track("buy", { revenue: { amount: "19.99", currency: "EUR" } }));
  await page.evaluate(() => window.track("seen", { interactive: false }));
  await page.locator("#file").click();
  await page.evaluate(() => history.pushState({}, "", "/u/mia/shop"));
  await page.clock.setFixedTime(START + 8000);
  await hide(page);
  await page.locator("#out").click();
  await page.waitForURL("https://shop.example.com/**");

  await settled(collector, counted, [2, 1, 1]);
  await settled(collector, (report) => rows(report, "event"), [
    ["buy", 1],
    ["seen", 1],
    ["signup", 1],
  ]);
  const file = "http://127.0.0.1/u/mia/prices.pdf";
  await settled(collector, (report) => rows(report, "link"), [
    [file, 1],
    ["https://shop.example.com/mug", 1],
  ]);
  const report = await read(collector);
  const pages = report.subjects.page.rows
    .map(({ item, hits, seconds }) => [item, hits, seconds])
    .sort();
  expect(pages).toEqual([
    ["/u/mia", 1, 5],
    ["/u/mia/shop", 1, 3],
  ]);
  expect(report.money).toEqual([
    { event: "buy", currency: "EUR", hits: 1, over: 0, minor: 1999, digits: 2 },
  ]);
  expect(new Set(host.answers)).toEqual(new Set(["202 /u/mia/ff/api/event"]));
});

test("plausible-tracker: views, a route change, an event and an outbound link are counted exactly", async ({
  page,
  collector,
}) => {
  await page.goto("/u/mia?script=legacy");
  await page.evaluate(() => window.track("signup", { props: { plan: "gold" } }));
  await page.evaluate(() => history.pushState({}, "", "/u/mia/shop"));
  await page.locator("#out").click();
  await page.waitForURL("https://shop.example.com/**");
  await settled(collector, counted, [2, 1, 1]);
  await settled(collector, (report) => rows(report, "page"), [
    ["/u/mia", 1],
    ["/u/mia/shop", 1],
  ]);
  await settled(collector, (report) => rows(report, "event"), [["signup", 1]]);
  await settled(collector, (report) => rows(report, "link"), [["https://shop.example.com/mug", 1]]);
});

test("GoatCounter's pixel: a view and an event without any script", async ({ page, collector }) => {
  await page.goto("/u/mia");
  await page.reload();
  const widths = await page
    .locator("img")
    .evaluateAll((images) => images.map((image) => image.naturalWidth));
  expect(widths).toEqual([1, 1]);
  await settled(collector, counted, [2, 1, 1]);
  await settled(collector, (report) => rows(report, "event"), [["signup", 2]]);
});

test("Umami's client for servers: with the site's token it speaks for visitors, without it is a program", async ({
  collector,
}) => {
  const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
  const visit = (ip, url = "/u/tom") => ({
    hostname: "127.0.0.1",
    url,
    ip,
    userAgent: agent,
    timestamp: 1,
  });
  const server = new Umami({ hostUrl: collector.page(""), websiteId: TOKEN });
  for (const answer of [
    await server.track(visit("198.51.100.1")),
    await server.track(visit("198.51.100.2")),
    await server.track({ ...visit("198.51.100.2"), name: "signup", data: { plan: "gold" } }),
    await server.track({ hostname: "127.0.0.1", url: "/u/tom/shop" }),
    await server.identify({ name: "Ann" }),
  ]) {
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({});
  }
  const report = await read(collector, "tom");
  expect(counted(report)).toEqual([3, 2, 2]);
  expect(rows(report, "page")).toEqual([
    ["/u/tom", 2],
    ["/u/tom/shop", 1],
  ]);
  expect(rows(report, "event")).toEqual([["signup", 1]]);

  const stranger = new Umami({
    hostUrl: collector.page(""),
    websiteId: "b59e0ef7-6f2f-4b4b-9a63-6e3f3e9a3c11",
  });
  const answer = await stranger.track(visit("198.51.100.3"));
  expect([answer.status, await answer.json()]).toEqual([200, {}]);
  expect(await refusals(collector, "not_a_view")).toBe(1);
  expect(counted(await read(collector, "tom"))).toEqual([3, 2, 2]);
});

for (const [name, reason, headers, consent] of [
  ["Do Not Track", "dnt", { DNT: "1" }, true],
  ["Global Privacy Control", "gpc", { "Sec-GPC": "1" }, true],
  ["no consent", "no_consent", {}, false],
]) {
  test.describe(name, () => {
    test.use({ consent, extraHTTPHeaders: headers });
    test("they send all the same, are answered all the same, and nothing counts", async ({
      page,
      collector,
      host,
    }) => {
      const dropped = (n, what) =>
        expect.poll(() => refusals(collector, reason), { message: what }).toBe(n);
      const visit = async (script) => {
        await page.goto(`/u/mia?script=${script}`);
        await page.evaluate(() => window.track("signup"));
        await page.evaluate(() => history.pushState({}, "", "/u/mia/shop"));
      };
      await visit("plausible");
      await hide(page);
      await dropped(5, "two views, an event, the attention two pages had");
      await visit("legacy");
      await dropped(8, "two views, an event");
      await page.goto("/u/mia");
      await dropped(10, "two pixels");
      expect(host.answers.length).toBe(10);
      expect([...new Set(host.answers)].sort()).toEqual([
        "200 /ff/count",
        "200 /u/mia/ff/count",
        "202 /u/mia/ff/api/event",
      ]);
      const report = await read(collector);
      expect(report.totals.hits + report.totals.visitors + report.totals.visits).toBe(0);
      expect([rows(report, "page"), rows(report, "event"), rows(report, "link")]).toEqual([
        [],
        [],
        [],
      ]);
    });
  });
}
