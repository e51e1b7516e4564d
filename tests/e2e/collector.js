// A collector of its own for each test: the real binary, the embedded engine, empty folders, a
// clock that stands still.
//
// The browser reaches it through a wire that only forwards bytes and counts the beacons among them.
// A browser's own record of its requests misses beacons sent while a page goes away; the wire
// misses none.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test as base, expect } from "@playwright/test";
import { listening } from "./listening.js";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const DAY = "2026-03-02"; // a Monday
export const START = Date.parse(`${DAY}T10:00:00+01:00`);
/**
 * What signs grants here, and somebody's grant of the default platform that it signed
 * (tests/it/consent/grants.rs holds the two together).
 */
const CONSENT_KEYS = "test YSBrZXkgZm9yIHRlc3RzLCBhIHNlY3JldCBmb3Igbm8\n";
export const GRANT =
  "1.analytics.5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c.test.fe8bf58fd7f8cf6741152d5b5c17baee";

/**
 * Where collectors keep their files: in memory where there is room for them, because no test here
 * is about what a disk does, and each answer waits for it.
 */
const folders = () => {
  const memory = "/dev/shm";
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize > 2 ** 31 ? memory : tmpdir();
};

const binary = () => {
  if (process.env.FOOTFALL_BIN) return process.env.FOOTFALL_BIN;
  const metadata = execFileSync(
    "cargo",
    ["metadata", "--no-deps", "--format-version", "1", "--offline"],
    { cwd: ROOT, encoding: "utf8" },
  );
  return join(JSON.parse(metadata).target_directory, "debug", "footfall");
};

const config = (dir, preset, more) => `
preset = "${preset}"
[[profiles]]
host = "127.0.0.1"
path = "/u/{profile}"
zone = "Europe/Berlin"
[server]
listen = "127.0.0.1:0"
drain_secs = 0
[journal]
dir = "${dir}/journal"
[ledger]
dir = "${dir}/ledger"
[consent]
key_file = "${dir}/consent.keys"
[store]
dir = "${dir}/store"
[sample]
enabled = true
[test]
clock = true
whole_lots = true
coin_key = "${"5a".repeat(32)}"
start_millis = ${START}
${more}
`;

const listen = (server) =>
  new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));

/**
 * Forwards bytes to the collector, whose port is known later, and counts the beacons among them.
 */
const wire = async () => {
  const counted = { hits: 0 };
  const open = new Set();
  const server = createServer((browser) => {
    const collector = connect(wired.port, "127.0.0.1");
    let tail = "";
    browser.on("data", (bytes) => {
      const text = tail + bytes.toString("latin1");
      counted.hits += text.split("/ff/hit HTTP").length - 1;
      tail = text.slice(-("/ff/hit HTTP".length - 1));
    });
    for (const socket of [browser, collector])
      open.add(socket.on("error", () => {}).on("close", () => open.delete(socket)));
    browser.pipe(collector).pipe(browser);
  });
  const url = `http://127.0.0.1:${await listen(server)}`;
  const wired = {
    url,
    counted,
    port: 0,
    stop: () => [server.close(), ...[...open].map((s) => s.destroy())],
  };
  return wired;
};

export const start = async (preset = "", more = "") => {
  const dir = mkdtempSync(join(folders(), "footfall-e2e-"));
  const beacons = await wire();
  writeFileSync(join(dir, "config.toml"), config(dir, preset, more));
  writeFileSync(join(dir, "consent.keys"), CONSENT_KEYS);
  const env = {
    ...process.env,
    FOOTFALL__MAIL__KEY_FILE: join(dir, "mail.keys"),
    FOOTFALL__MAIL__ORIGIN: beacons.url,
  };
  const child = spawn(binary(), ["serve", "--config", join(dir, "config.toml")], {
    cwd: ROOT,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  let exited = null;
  for (const pipe of [child.stdout, child.stderr]) pipe.on("data", (bytes) => (said += bytes));
  const gone = new Promise((done) =>
    child
      .on("close", (code) => done((exited = code)))
      .on("error", (e) => done((exited = e.message))),
  );
  const port = (beacons.port = await listening(child).catch(
    (failed) => (beacons.stop(), Promise.reject(failed)),
  ));
  const direct = `http://127.0.0.1:${port}`;
  const healthy = () =>
    fetch(`${direct}/healthz`).then(
      (answer) => answer.ok,
      () => false,
    );
  for (
    const until = Date.now() + 60_000;
    !(await healthy());
    await new Promise((done) => setTimeout(done, 100))
  ) {
    if (exited !== null || Date.now() > until)
      throw new Error(`the collector did not start (exit ${exited}):\n${said}`);
  }
  return {
    url: beacons.url,
    /** Beacons that left the browser. */
    sent: () => beacons.counted.hits,
    /** Makes everything counted so far readable; moves the clock first when given a time. */
    flush: async (now) => {
      const answer = await fetch(`${direct}/test/flush`, {
        method: "POST",
        headers: now ? { "x-footfall-now": String(now) } : {},
      });
      expect(answer.status).toBe(200);
    },
    /** Publishes the attributes of every day that is over. */
    publish: async () => {
      const answer = await fetch(`${direct}/test/publish`, { method: "POST" });
      expect(answer.status, await answer.text()).toBe(200);
    },
    /** What the API answers about a site: report, vitals, faults. */
    ask: async (what, site = "demo", query = `from=${DAY}&to=${DAY}`) => {
      const answer = await fetch(`${direct}/api/v1/sites/${site}/${what}?${query}`);
      expect(answer.status).toBe(200);
      return answer.json();
    },
    report(query) {
      return this.ask("report", "demo", query);
    },
    /** A hit without a browser. */
    hit: (body, headers = {}) =>
      fetch(`${direct}/ff/hit`, {
        method: "POST",
        headers: { "content-type": "application/json", cookie: `ff_consent=${GRANT}`, ...headers },
        body: JSON.stringify(body),
      }),
    page: (path) => `http://127.0.0.1:${port}${path}`,
    /** The address of the BI port, which `[bi_port]` opens. */
    biPort: () => /bi_address=(\S+)/.exec(said)[1],
    stop: async () => {
      beacons.stop();
      child.kill("SIGTERM");
      const code = await gone;
      rmSync(dir, { recursive: true, force: true });
      expect(code, `the collector stops in order:\n${said}`).toBe(0);
    },
  };
};

export { expect };
export const test = base.extend({
  collector: async ({}, use) => {
    const collector = await start();
    await use(collector);
    await collector.stop();
  },
  /** A collector that runs a preset, or with more sections in its configuration. */
  platform: async ({}, use) => {
    const started = [];
    await use(async (preset, more) => {
      started.push(await start(preset, more));
      return started.at(-1);
    });
    for (const collector of started) await collector.stop();
  },
  baseURL: async ({ collector }, use) => use(collector.url),
  // Links of the sample lead to example.com: answered here, so that a test talks to nobody. As
  // elsewhere, that takes a while: Chromium drops a request that Playwright holds if its page is gone
  // at once, and the click that led there was not counted.
  context: async ({ context }, use) => {
    await context.route(/^https:/, async (route) => {
      await new Promise((done) => setTimeout(done, 300));
      await route.fulfill({ contentType: "text/html", body: "<title>elsewhere</title>" });
    });
    await use(context);
  },
});
