// src/ -> ../dist/. What is in dist/ is committed, because the collector embeds it; `--check` fails
// where it is not what src/ gives.
//
// Beside each file stands its `.br`, so that the collector need not compress; `files.rs` is the
// list it compiles in.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { build } from "vite";
import { format, resolveConfig } from "prettier";
import { schema } from "./tools/schema.mjs";

process.chdir(import.meta.dirname ?? new URL(".", import.meta.url).pathname);
const DIST = "../dist";
const SCHEMA = "src/lib/schema.ts";
const KINDS = { html: "HTML", css: "CSS", js: "JS", svg: "SVG" };
// Whose code or data is in what we hand out.
const PARTS = ["svelte", "uplot", "world-atlas"];
const checking = process.argv.includes("--check");

const brotli = (bytes) =>
  brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });

const licences = () => {
  const text = (name) =>
    ["LICENSE.md", "LICENSE"].map((file) => `node_modules/${name}/${file}`).find(existsSync);
  return PARTS.map((name) => `${name}\n\n${readFileSync(text(name), "utf8").trim()}\n`).join(
    "\n---\n\n",
  );
};

const list = (names) => {
  const row = (name) => {
    const from = `concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards/dist/${name}`;
    const bytes = `plain: include_bytes!(${from}")), brotli: include_bytes!(${from}.br"))`;
    return `    BuiltFile { path: "/${name}", kind: ${KINDS[name.split(".").at(-1)]}, ${bytes} },`;
  };
  return `// Made by dashboards/app/build.mjs: do not edit.\n[\n${names.map(row).join("\n")}\n]\n`;
};

const stale = (file) => {
  console.error(
    `dashboards/app/${file} is stale: run \`npm run build --prefix dashboards/app\` and commit it`,
  );
  process.exitCode = 1;
};

/** Compressors differ from one release of Node to the next; what is compressed must not. */
const put = (file, bytes, same = (held) => held.equals(bytes)) => {
  if (checking) {
    if (!existsSync(file) || !same(readFileSync(file))) stale(file);
    return;
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, bytes);
};

const layout = await resolveConfig(SCHEMA);
put(SCHEMA, Buffer.from(await format(schema(), { ...layout, filepath: SCHEMA })));
const { output } = await build({ configFile: "vite.config.mjs", build: { write: false } });
const files = new Map(output.map((part) => [part.fileName, Buffer.from(part.code ?? part.source)]));
if (!checking) rmSync(DIST, { recursive: true, force: true });
for (const [name, bytes] of files) {
  put(join(DIST, name), bytes);
  put(join(DIST, `${name}.br`), brotli(bytes), (held) => brotliDecompressSync(held).equals(bytes));
}
put(join(DIST, "files.rs"), Buffer.from(list([...files.keys()].sort())));
put(join(DIST, "LICENCES.txt"), Buffer.from(licences()));
if (checking) {
  const known = new Set(
    [...files.keys()].flatMap((name) => [name, `${name}.br`]).concat("files.rs", "LICENCES.txt"),
  );
  const found = readdirSync(DIST, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  for (const entry of found) {
    const name = join(entry.parentPath ?? entry.path, entry.name).slice(DIST.length + 1);
    if (!known.has(name)) stale(join(DIST, name));
  }
}
