// A dashboard without a collector: the built page, and answers that a test makes. What a test makes
// is held against docs/openapi.json.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test as base } from "./browser.js";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const DIST = join(ROOT, "dashboards/dist");
const { schemas } = JSON.parse(readFileSync(join(ROOT, "docs/openapi.json"), "utf8")).components;
export const TODAY = "2026-11-28";
export const YESTERDAY = "2026-11-27";
const KINDS = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };

export const day = (at) => new Date(Date.parse(TODAY) + at * 86_400_000).toISOString().slice(0, 10);
export const counters = (visitors) => ({
  hits: visitors * 2,
  visitors,
  visits: visitors + 1,
  bounces: Math.floor(visitors / 3),
  seconds: visitors * 40,
});
export const list = (pending, values) => {
  const rows = Object.entries(values).map(([value, visitors]) => ({
    value,
    visitors,
    visits: visitors + 2,
  }));
  return { published: rows.reduce((sum, { visitors }) => sum + visitors, 0), pending, rows };
};
export const item = (name, hits) => ({ item: name, ...counters(hits), hits, exits: 3, entries: 4 });
/** A week of a creator: 137 visitors, 17 of them today. */
export const WEEK = [18, 20, 19, 22, 24, 17, 17];
export const report = (more = {}) => ({
  site: "mia",
  zone: "Europe/Berlin",
  from: day(-6),
  to: TODAY,
  k: 5,
  filter: null,
  compared: null,
  attributes: { through: YESTERDAY, hour: null },
  totals: counters(137),
  interval: "day",
  series: WEEK.map((visitors, i) => ({ at: day(i - 6), ...counters(visitors) })),
  subjects: {
    page: { hits: 274, rows: [item("/u/mia", 200), item("/u/mia/shop", 74)] },
    link: { hits: 60, rows: [item("newsletter", 40), item("shop", 20)] },
    event: { hits: 0, rows: [] },
  },
  dimensions: {
    source: list(17, { Instagram: 60, Google: 30, "(direct)": 20, "(other)": 10 }),
    campaign: list(17, { "(none)": 100, "spring-tour": 20 }),
    country: list(22, { DE: 70, FR: 30, "(unknown)": 15 }),
    device: list(17, { phone: 90, desktop: 30 }),
    browser: list(37, { Safari: 60, Chrome: 40 }),
    os: list(17, { iOS: 60, Android: 60 }),
    language: list(17, { de: 80, fr: 40 }),
  },
  money: [],
  ...more,
});
export const every = (made) =>
  Object.fromEntries(
    ["source", "channel", "campaign", "country", "device", "browser", "os", "language"].map(
      (name) => [name, made],
    ),
  );
export const ofValue = (by, name, more = {}) => {
  const { series, interval, money, ...rest } = report();
  const seen = (...rows) => ({
    rows: rows.map(([item, visitors]) => ({ item, visitors, visits: visitors + 1 })),
  });
  return {
    ...rest,
    filter: { by, value: name },
    totals: { visitors: 60, visits: 66 },
    dimensions: {},
    subjects: {
      page: seen(["/u/mia", 62], ["/u/mia/shop", 12]),
      link: seen(["newsletter", 8]),
      event: seen(),
    },
    ...more,
  };
};

/** A made answer that the API could not give would prove nothing. */
const fits = (of, schema, where) => {
  const shape = schema.$ref ? schemas[schema.$ref.split("/").at(-1)] : schema;
  if (!shape.properties) return;
  expect(
    Object.keys(of).filter((key) => !(key in shape.properties)),
    `${where}: keys the API does not have`,
  ).toEqual([]);
  expect(
    (shape.required ?? []).filter((key) => !(key in of)),
    `${where}: keys the API always has`,
  ).toEqual([]);
  for (const [key, value] of Object.entries(of))
    if (value && typeof value === "object" && !Array.isArray(value))
      fits(value, shape.properties[key], `${where}.${key}`);
};

export const test = base.extend({
  baseURL: "http://dashboard.invalid",
  /** A test's own answers, by how the path ends: called with the route and its address. */
  answers: async ({}, use) => use({}),
  /** Answers every report by what `show` was given; nothing reaches a network. */
  show: async ({ page, answers }, use) => {
    const asked = [];
    let answer = null;
    const json = (route, body, status = 200) =>
      route.fulfill({
        status,
        contentType: status < 400 ? "application/json" : "application/problem+json",
        body: JSON.stringify(body),
      });
    await page.route("**/*", (route) => {
      const url = new URL(route.request().url());
      const own = Object.keys(answers).find((path) => url.pathname.endsWith(path));
      if (own) return answers[own](route, url);
      if (url.pathname.endsWith("/report")) {
        asked.push(url.search);
        return json(route, typeof answer === "function" ? answer(url.searchParams) : answer);
      }
      if (url.pathname === "/api/v1/session")
        return json(route, { role: "creator", sites: ["mia"], login: false });
      if (url.pathname.startsWith("/api/"))
        return json(
          route,
          { type: "about:blank", title: "Not here", status: 404, code: "not_found" },
          404,
        );
      const file = url.pathname.startsWith("/assets/") ? url.pathname : "/index.html";
      if (!existsSync(DIST + file)) return route.abort();
      return route.fulfill({
        contentType: KINDS[file.split(".").at(-1)],
        body: readFileSync(DIST + file),
      });
    });
    await use(async (made, path = "/?site=mia") => {
      answer = made;
      for (const one of typeof made === "function"
        ? ["", "filter=source:Google"].map((query) => made(new URLSearchParams(query)))
        : [made]) {
        fits(one, schemas.Report, "report");
        for (const [name, of] of Object.entries(one.dimensions)) fits(of, schemas.Breakdown, name);
      }
      await page.goto(path);
      await expect(page.locator("main")).toHaveAttribute("aria-busy", "false");
      return asked;
    });
  },
});

export { expect };
/** Answers a route with JSON, after so many milliseconds. */
export const json = async (route, body, { status = 200, after = 0 } = {}) => {
  if (after) await new Promise((done) => setTimeout(done, after));
  const contentType = status < 400 ? "application/json" : "application/problem+json";
  return route.fulfill({ status, contentType, body: JSON.stringify(body) }).catch(() => {});
};
export const gone = (route) =>
  json(
    route,
    {
      type: "about:blank",
      title: "The counts cannot be read right now",
      status: 503,
      code: "store_unavailable",
    },
    { status: 503 },
  );
