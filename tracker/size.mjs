// What a page pays for each script, and the most it may.
import { readFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";

const BUDGETS = [
  { name: "faults", file: "dist/faults.js", most: 600 },
  { name: "tracker", file: "dist/f.js", most: 1900 },
  { name: "vitals", file: "dist/vitals.js", most: 3300 },
  { name: "banner", file: "dist/consent.js", most: 4096 },
];

const sizes = BUDGETS.map(({ name, file, most }) => {
  const bytes = readFileSync(new URL(file, import.meta.url));
  return {
    name,
    file,
    raw: bytes.length,
    gzip: gzipSync(bytes, { level: 9 }).length,
    brotli: brotliCompressSync(bytes).length,
    most,
  };
});
console.log(["file".padEnd(20), "raw", "gzip", "brotli", "at most"].join("\t"));
for (const { file, raw, gzip, brotli, most } of sizes)
  console.log([file.padEnd(20), raw, gzip, brotli, most].join("\t"));
for (const { name, brotli } of sizes) console.log(`${name}_brotli_bytes=${brotli}`);
process.exitCode = sizes.some(({ brotli, most }) => brotli > most) ? 1 : 0;
