// What opening the dashboard costs in files, as they travel: the page, its style and its code, the
// chart's with them. What the API answers comes on top of it; tests/e2e/first-load.spec.js counts
// every byte of both in a browser, against 90 KB and ten requests.
import { readFileSync, statSync } from "node:fs";

const MOST = 72 * 1024;
const DIST = new URL("../dist/", import.meta.url);
const page = readFileSync(new URL("index.html", DIST), "utf8");
const first = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map(([, name]) => name);
const code = first.filter((name) => name.endsWith(".js"));
// What the entry imports statically is loaded with it, wherever the build put it.
const imported = code.flatMap((name) =>
  [...readFileSync(new URL(name, DIST), "utf8").matchAll(/(?:from|import)"\.\/([\w-]+\.js)"/g)].map(
    ([, file]) => `assets/${file}`,
  ),
);
const loaded = [...new Set(["index.html", ...first, ...imported])];
if (!code.length) throw new Error("no code is loaded: this script no longer reads the build right");

let sum = 0;
for (const name of loaded) {
  const bytes = statSync(new URL(`${name}.br`, DIST)).size;
  sum += bytes;
  console.log(`${name}\t${bytes}`);
}
console.log(`dashboard_files=${loaded.length}\ndashboard_brotli_bytes=${sum}`);
process.exitCode = sum > MOST || loaded.length > 5 ? 1 : 0;
