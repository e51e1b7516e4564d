// What whoever is root finds in the memory of a quiet collector, and for how long.
//
//     node tests/attacks/core_dump.mjs <path of the footfall binary> [seconds,seconds,…]
//
// Starts a collector in a folder of its own, sends it hits whose address, agent, cookie, query and
// referrer stand nowhere else, and reads all of its writable memory through /proc/<pid>/mem, as a
// core dump would hold it. Needs the right to read another process's memory (root), since the
// collector lets nobody else of its user do so. Three kinds of connection are told apart: closed
// after the answer, left open, and cut off before it.
//
// Lines for machines: `hits_<kind>_<seconds>s=` and `core_dump_hits=`, their sum from 2 s on (of
// open connections: once the server has closed them).

import { spawn } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { listening } from "../e2e/listening.js";

const [binary = "target/release/footfall", times = "0,1,10,20,60"] = process.argv.slice(2);
const seconds = times.split(",").map(Number);
const KEEP_ALIVE = Number(process.env.KEEP_ALIVE ?? 5);
const CONCURRENT = 40;
/** As a browser sends it: hits without a grant are dropped before anything is hashed. */
let grant = "";

/** Planted values of one kind of connection: in each place a hit can hold them. */
function plant(kind) {
  const word = `${kind}Kq7x`;
  const octet = { shut: 0x5a, open: 0x5b, reset: 0x5c, bad: 0x5d }[kind];
  const hex = octet.toString(16);
  const agent = `${word}Agent`;
  return {
    kind,
    address: `2001:db8:${hex}${hex}:c0de:1357:9bdf:2468:ace0`,
    agent,
    // As text, as the bytes it is parsed to, and the latter turned round.
    needles: {
      address: [
        Buffer.from(`${hex}${hex}:c0de:1357:9bdf`),
        Buffer.from([octet, octet, 0xc0, 0xde, 0x13, 0x57, 0x9b, 0xdf]),
      ],
      agent: [Buffer.from(agent)],
      cookie: [Buffer.from(`${word}Cookie`)],
      query: [Buffer.from(`${word}Query`)],
      referrer: [Buffer.from(`${word}Referrer`)],
      language: [Buffer.from(`${word}Language`)],
    },
    word,
  };
}

function request(planted, n, connection) {
  const { word, address, agent } = planted;
  const body = JSON.stringify({
    kind: "view",
    url: `https://pages.example/u/mia/${n % 5}?token=${word}Query`,
    referrer: `https://blog.example/${word}Referrer`,
  });
  return [
    "POST /ff/hit HTTP/1.1",
    "Host: pages.example",
    "Origin: https://pages.example",
    `User-Agent: Mozilla/5.0 (X11; ${agent}/${n}) Firefox/131.0`,
    `X-Forwarded-For: ${address}`,
    `Cookie: session=${word}Cookie; ${grant}`,
    `Accept-Language: de-${word}Language`,
    `Connection: ${connection}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

/** Sends, and waits for the answer's first bytes; the socket is left as it is. */
const ask = (port, text) =>
  new Promise((done, fail) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.on("error", fail);
    socket.once("data", (answer) => done([socket, answer.toString("latin1")]));
  });

async function consent(port) {
  const body = JSON.stringify({
    version: 1,
    act: "grant",
    tiers: { analytics: true },
    lang: "en",
    layer: "first",
    path: "/u/mia",
  });
  const lines = [
    "POST /ff/consent HTTP/1.1",
    "Host: pages.example",
    "Origin: https://pages.example",
    "Sec-Fetch-Site: same-origin",
  ];
  lines.push(
    "Content-Type: application/json",
    "Connection: close",
    `Content-Length: ${body.length}`,
    "",
    body,
  );
  const [socket, answer] = await ask(port, lines.join("\r\n"));
  socket.destroy();
  return /^set-cookie: ([^;]+)/im.exec(answer)[1];
}

/** A counter of the metrics page. */
async function metric(port, name) {
  const answer = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)`, "m").exec(answer)?.[1]);
}

async function start(dir) {
  const config = join(dir, "footfall.toml");
  writeFileSync(
    config,
    `[server]\nlisten = "127.0.0.1:0"\nworkers = 2\nkeep_alive_secs = ` +
      `${KEEP_ALIVE}\n[proxy]\ntrusted = ["127.0.0.0/8"]\n` +
      `[log]\nfilter = "error,actix_http=off,footfall::server=info"\n[journal]\ndir = ` +
      `"${dir}/journal"\nsegment_secs = 1\n[ledger]\ndir = "${dir}/ledger"\n[store]\ndir = ` +
      `"${dir}/store"\n` +
      `[[profiles]]\nhost = "pages.example"\npath = "/u/{profile}"\nzone = "UTC"\n`,
  );
  const child = spawn(resolve(binary), ["serve", "--config", config], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, RUST_LOG: "" },
  });
  child.stderr.pipe(process.stderr);
  const port = await listening(child);
  for (let tries = 0; ; tries += 1) {
    const ready = await ask(
      port,
      "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ).catch(() => null);
    ready?.[0].destroy();
    if (ready?.[1].startsWith("HTTP/1.1 200")) return [child, port];
    if (tries > 600 || child.exitCode !== null) throw new Error("the collector did not start");
    await sleep(100);
  }
}

/**
 * What stands in all needles of a form. Reading a gigabyte for each needle would take longer than
 * what is measured.
 */
const MARKS = [
  Buffer.from("Kq7x"),
  Buffer.from(":c0de:1357:9bdf"),
  Buffer.from([0xc0, 0xde, 0x13, 0x57, 0x9b, 0xdf]),
];
const OVERLAP = 256;

/** What of each kind stands in what the process may write to. */
function found(pid, kinds) {
  const maps = readFileSync(`/proc/${pid}/maps`, "utf8").trim().split("\n");
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const hits = new Map(kinds.map(({ kind }) => [kind, []]));
  const chunk = Buffer.alloc(8 << 20);
  for (const line of maps) {
    const [range, rights, , , , name = ""] = line.split(/\s+/);
    if (!rights.startsWith("rw") || name === "[vvar]") continue;
    const [from, to] = range.split("-").map((end) => BigInt(`0x${end}`));
    for (let at = from; at < to; at += BigInt(chunk.length - OVERLAP)) {
      const length = Math.min(chunk.length, Number(to - at));
      const last = at + BigInt(length) >= to;
      let read = 0;
      try {
        read = readSync(memory, chunk, 0, length, at);
      } catch {
        continue;
      }
      const bytes = chunk.subarray(0, read);
      for (const mark of MARKS) {
        for (let place = bytes.indexOf(mark); place >= 0; place = bytes.indexOf(mark, place + 1)) {
          if (!last && place >= chunk.length - OVERLAP / 2) break;
          if (at !== from && place < OVERLAP / 2) continue;
          const around = bytes.subarray(Math.max(0, place - 8), place + mark.length + 16);
          for (const { kind, needles } of kinds) {
            for (const [what, forms] of Object.entries(needles)) {
              if (forms.some((form) => around.includes(form)))
                hits.get(kind).push({
                  what,
                  at: (at + BigInt(place)).toString(16),
                  name,
                  text: context(bytes, place),
                });
            }
          }
        }
      }
    }
  }
  closeSync(memory);
  return hits;
}

const context = (bytes, at) =>
  bytes
    .subarray(Math.max(0, at - 24), at + 40)
    .toString("latin1")
    .replace(/[^ -~]/g, ".");

const dir = mkdtempSync(join(tmpdir(), "footfall-core-"));
let child, port;
let sum = 0;
try {
  [child, port] = await start(dir);
  grant = await consent(port);
  const kinds = ["shut", "open", "reset", "bad"].map(plant);
  const [shut, open, reset, bad] = kinds;
  const kept = [];
  for (let n = 0; n < 3; n += 1) {
    const many = (work) =>
      Promise.all(Array.from({ length: CONCURRENT }, (_, at) => work(n * CONCURRENT + at)));
    await many((at) =>
      ask(port, request(shut, at, "close")).then(([socket, answer]) => {
        if (!answer.startsWith("HTTP/1.1 202")) throw new Error(answer);
        socket.destroy();
      }),
    );
    kept.push(
      ...(await many((at) => ask(port, request(open, at, "keep-alive")))).map(([socket]) => socket),
    );
    // Half of a body, and gone.
    await many(async (at) => {
      const text = request(reset, at, "keep-alive");
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(text.slice(0, -10));
      await sleep(20);
      socket.resetAndDestroy();
    });
    await many((at) =>
      ask(port, request(bad, at, "close").replace("Content-Length: ", "Content-Length: x")).then(
        ([socket]) => socket.destroy(),
      ),
    );
  }
  const counted = await metric(port, "footfall_hits_total");
  if (counted !== 6 * CONCURRENT) throw new Error(`${counted} hits were counted`);
  const began = Date.now();
  for (const second of seconds) {
    await sleep(Math.max(0, began + second * 1000 - Date.now()));
    const from = (Date.now() - began) / 1000;
    const all = found(child.pid, kinds);
    const to = (Date.now() - began) / 1000;
    console.log(`# read from ${from.toFixed(1)} to ${to.toFixed(1)} s`);
    for (const { kind, needles } of kinds) {
      const hits = all.get(kind);
      const by = Object.keys(needles).map(
        (what) => `${what} ${hits.filter((hit) => hit.what === what).length}`,
      );
      console.log(`hits_${kind}_${second}s=${hits.length}   ${by.join(", ")}`);
      if (process.env.WHERE)
        for (const hit of hits.slice(0, Number(process.env.WHERE)))
          console.log("   ", hit.what, hit.at, hit.name, JSON.stringify(hit.text));
      if (second >= 2 && (kind !== "open" || from > KEEP_ALIVE + 2)) sum += hits.length;
    }
  }
  kept.forEach((socket) => socket.destroy());
  console.log(`core_dump_hits=${sum}`);
} finally {
  child?.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
}
process.exit(sum === 0 ? 0 : 1);
