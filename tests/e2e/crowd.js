// Two weeks of a small creator, sent as hits with the test clock: enough people for groups of five,
// every kind of list, and names that would do harm in a page that let them.
import { START, expect } from "./collector.js";

const HOUR = 3_600_000;
export const DAY_MS = 24 * HOUR;
export const DAYS = 14;
/** The last of them, a Sunday; "now" is its evening. */
export const TODAY = "2026-03-15";
export const NOW = START + (DAYS - 1) * DAY_MS + 11 * HOUR;

const SOURCES = [
  "https://www.instagram.com/",
  "https://www.instagram.com/",
  "https://www.google.com/",
  "https://www.youtube.com/",
  "https://news.example.com/",
  undefined,
];
/** What a collector needs to be fed by one program for many people. */
export const CONFIG = `
[limits]
network_hits_per_sec = 1000000
network_burst = 1000000
visitors_per_grant = 1000000
[proxy]
trusted = ["127.0.0.0/8"]
[registry]
refresh_secs = 1
`;
/**
 * Networks of well-known hosts in five countries; everybody is in one of their own, because values
 * are shown by networks too.
 */
const NETWORKS = [
  (n) => `88.198.${n}`,
  (n) => `88.198.${n + 100}`,
  (n) => `8.8.${n + 8}`,
  (n) => `212.27.${n + 48}`,
  (n) => `212.58.${n + 244}`,
  (n) => `200.160.${n + 2}`,
];
const LANGUAGES = ["de-DE", "en-GB", "fr-FR"];
const LINKS = [
  "newsletter",
  "newsletter",
  "newsletter",
  "shop",
  "https://www.example.com/tickets/spring-tour-2026",
];
const AGENTS = [
  (n) =>
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, " +
    `like Gecko) Version/18.${n} Mobile/15E148 Safari/604.1`,
  (n) =>
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) " +
    `Chrome/${n + 100}.0.0.0 Mobile Safari/537.36`,
  (n) =>
    `Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:${n + 100}.0) Gecko/20100101 Firefox/${n + 100}.0`,
];
/** How many came: it grows, and weekends are quiet. Today is not over. */
export const PEOPLE = [18, 20, 19, 22, 24, 14, 12, 22, 25, 24, 28, 30, 17, 9];
const VITALS = {
  LCP: [1400, 1900, 2300, 3100, 4600],
  INP: [60, 110, 140, 240, 620],
  CLS: [0.01, 0.03, 0.08, 0.14, 0.3],
  FCP: [700, 1100, 1500, 2100, 3400],
  TTFB: [180, 300, 500, 900, 2100],
};

/** Names that a page, a spreadsheet or a query might take for something else. */
export const HARMFUL = [
  "=cmd()|' /C calc'!A0",
  "<script>alert(1)</script>",
  "\"quotes\" and 'more'",
  "‮reversed‬ name",
  "<img src=x onerror=alert(1)>",
];

/** One visit of one person. */
const visit = (url, day, i) => {
  const source = SOURCES[(i + day) % SOURCES.length];
  const campaign = i % 4 === 0 ? "?utm_campaign=spring-tour" : "";
  const body = [{ kind: "view", url: url + campaign, ...(source ? { referrer: source } : {}) }];
  if (i % 2 === 0)
    body.push({ kind: "click", name: LINKS[i % LINKS.length], url, engaged: 2500 + 700 * (i % 7) });
  if (i % 3 === 0) body.push({ kind: "view", url: `${url}/shop` });
  if (i % 6 === 0)
    body.push({ kind: "event", name: "tip", url, value: 3 + (i % 5), currency: "EUR" });
  return body;
};

/** What is about pages and nobody. */
const measured = (url, i) => [
  ...Object.entries(VITALS).map(([metric, values]) => ({
    kind: "vital",
    url: i % 3 === 0 ? `${url}/shop` : url,
    metric,
    value: values[i % values.length],
  })),
  ...(i % 9 === 4
    ? [
        {
          kind: "fault",
          url,
          fault: "script",
          name: "TypeError",
          source: "/u/demo/app.js",
          line: 12,
        },
      ]
    : []),
  ...(i % 11 === 5 ? [{ kind: "fault", url: `${url}/gone`, fault: "not_found" }] : []),
];

/** Feeds `days` of them and publishes those that are over; answers how many people came in all. */
export const crowd = async (collector, { name = "demo", days = DAYS, harm = false } = {}) => {
  const url = collector.page(`/u/${name}`);
  let people = 0;
  for (let day = DAYS - days; day < DAYS; day++) {
    for (let i = 0; i < PEOPLE[day]; i++) {
      const at = START + day * DAY_MS + Math.floor((i / PEOPLE[day]) * 11) * HOUR;
      const headers = {
        "user-agent": AGENTS[i % 3](i),
        "accept-language": LANGUAGES[i % 3],
        "x-forwarded-for": `${NETWORKS[i % NETWORKS.length](Math.floor(i / NETWORKS.length))}.${i + 1}`,
        "x-footfall-now": String(at),
      };
      const body = [...visit(url, day, i), ...measured(url, i)];
      expect((await collector.hit(body, headers)).status).toBe(202);
      const later = { ...headers, "x-footfall-now": String(at + 20_000 + 3000 * i) };
      expect(
        (
          await collector.hit(
            { kind: "leave", url: i % 3 === 0 ? `${url}/shop` : url, engaged: 9000 + 1300 * i },
            later,
          )
        ).status,
      ).toBe(202);
      people += 1;
    }
    // Those who may not be counted.
    const no = { "user-agent": AGENTS[0](90), "sec-gpc": "1" };
    expect((await collector.hit({ kind: "view", url }, no)).status).toBe(202);
    expect(
      (await collector.hit({ kind: "view", url }, { cookie: "", "user-agent": AGENTS[1](91) }))
        .status,
    ).toBe(202);
  }
  if (harm) {
    for (let i = 0; i < 6; i++) {
      const headers = { "user-agent": AGENTS[1](40 + i), "x-footfall-now": String(NOW) };
      const bodies = HARMFUL.flatMap((text) => [
        {
          kind: "view",
          url: `${url}/${encodeURIComponent(text)}?utm_source=${encodeURIComponent(text)}`,
        },
        { kind: "click", name: text, url },
        { kind: "event", name: text, url },
      ]);
      expect((await collector.hit(bodies, headers)).status).toBe(202);
      people += 1;
    }
  }
  await collector.flush(NOW);
  await collector.publish();
  return people;
};
