// What opening the dashboard costs: the page, its styles, its code and the chart's, as they go over the wire. The map, the platform's
// view and dialogs come when they are asked for.
import { readFileSync } from "node:fs";

const MOST = 90 * 1024;
const DIST = new URL("../dist/", import.meta.url);
const text = (name) => readFileSync(new URL(name, DIST), "utf8");
const page = text("index.html");
const first = [...page.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map(([, name]) => name);
const main = first.find((name) => name.endsWith(".js"));
// Every dashboard draws a chart, so what the chart loads counts.
const chart = [...text(main).matchAll(/assets\/(?:Chart|uPlot)[\w-]*\.(?:js|css)/g)].map(([name]) => name);
const loaded = [...new Set(["index.html", ...first, ...chart])];
if (!chart.length) throw new Error("no chart is loaded: this script no longer reads the build right");

let sum = 0;
for (const name of loaded) {
  const bytes = readFileSync(new URL(`${name}.br`, DIST)).length;
  sum += bytes;
  console.log(`${name}\t${bytes}`);
}
console.log(`dashboard_brotli_bytes=${sum}`);
process.exitCode = sum > MOST ? 1 : 0;
