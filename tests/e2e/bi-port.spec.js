// The BI port, read by ClickHouse's own client for Node.js, unmodified.
import { ClickHouseLogLevel, createClient } from "@clickhouse/client";
import { DAY, expect, test } from "./collector.js";

const BI_PORT = `
[bi_port]
http_listen = "127.0.0.1:0"
`;
const AGENT =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

const makeToken = async (collector, site) => {
  const answer = await fetch(collector.page("/api/v1/tokens"), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: "of a test", scopes: ["bi"], site }),
  });
  expect(answer.status).toBe(201);
  return (await answer.json()).token;
};

const connect = (collector, password) =>
  createClient({
    url: `http://${collector.biPort()}`,
    username: "me",
    password,
    database: "footfall_bi",
    compression: { response: true },
    log: { level: ClickHouseLogLevel.OFF },
  });

test("@clickhouse/client reads the views with a token and writes nothing", async ({ platform }) => {
  const collector = await platform("", BI_PORT);
  for (const path of ["/u/demo", "/u/demo/shop", "/u/demo", "/u/tom"]) {
    const view = { kind: "view", url: `http://127.0.0.1${path}` };
    const answer = await collector.hit(view, { "user-agent": AGENT });
    expect(answer.status).toBe(202);
  }
  await collector.flush();
  const everything = connect(collector, await makeToken(collector, null));
  const ofTom = connect(collector, await makeToken(collector, "tom"));
  const read = async (client, query, query_params) => {
    const rows = await client.query({ query, query_params, format: "JSONEachRow" });
    return rows.json();
  };

  expect(await everything.ping()).toEqual({ success: true });
  const totals = `SELECT site, toUInt32(sum(hits)) AS hits FROM daily_totals
    WHERE day = {day: Date} GROUP BY site ORDER BY site`;
  const [demo, tom] = [
    { site: "demo", hits: 3 },
    { site: "tom", hits: 1 },
  ];
  expect(await read(everything, totals, { day: DAY })).toEqual([demo, tom]);
  expect(await read(ofTom, totals, { day: DAY })).toEqual([tom]);
  const pages = "SELECT page, toUInt32(sum(hits)) AS hits FROM pages GROUP BY page ORDER BY page";
  expect(await read(everything, pages)).toEqual([
    { page: "/u/demo", hits: 2 },
    { page: "/u/demo/shop", hits: 1 },
    { page: "/u/tom", hits: 1 },
  ]);

  // Rows as they come, not only when all are there.
  const rows = await everything.query({
    query: "SELECT number FROM numbers(10000)",
    format: "JSONEachRow",
  });
  let streamed = 0;
  for await (const some of rows.stream()) streamed += some.length;
  expect(streamed).toBe(10_000);

  const insert = everything.insert({
    table: "sites",
    values: [{ site: "x" }],
    format: "JSONEachRow",
  });
  await expect(insert).rejects.toThrow();
  await expect(everything.command({ query: "DROP VIEW sites" })).rejects.toThrow();
  const wrong = connect(collector, "ff_wrong");
  await expect(read(wrong, totals, { day: DAY })).rejects.toThrow(/authentication|516/i);
  for (const client of [everything, ofTom, wrong]) await client.close();
});
