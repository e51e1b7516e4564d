// src/ -> dist/. What is in dist/ is committed, because the collector embeds it; `--check` fails
// where it is not what src/ gives.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, transform } from "esbuild";
import { minify } from "terser";

const FILES = {
  "dist/f.js": "src/tracker/script.ts",
  "dist/vitals.js": "src/measurements/vitals.ts",
  "dist/faults.js": "src/measurements/faults.ts",
  "dist/consent.js": "src/banner/index.ts",
};
process.chdir(import.meta.dirname ?? new URL(".", import.meta.url).pathname);
const absWorkingDir = process.cwd(); // esbuild would go by the folder it was imported in

// A stylesheet is imported as its text: it becomes a constructable stylesheet, which no content
// security policy minds.
const css = {
  name: "css",
  setup({ onLoad }) {
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(readFileSync(path, "utf8"), { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

const bundle = async (entry, options) => {
  const { outputFiles } = await build({
    absWorkingDir,
    entryPoints: [entry],
    bundle: true,
    target: "es2022",
    charset: "utf8",
    write: false,
    plugins: [css],
    ...options,
  });
  return outputFiles[0].text;
};

// What a page loads: esbuild joins the modules, terser makes of them what one would write by hand
// as a single function.
const script = async (entry) => {
  const text = await bundle(entry, {
    format: "iife",
    minify: true,
    tsconfigRaw: { compilerOptions: { alwaysStrict: false } },
  });
  const { code } = await minify(text, {
    ecma: 2020,
    toplevel: true,
    compress: { passes: 3, inline: 1 },
    format: { comments: /^!/ },
  });
  return code + "\n";
};

// The package's types are what the compiler reads out of its entry.
const types = (entry) => {
  const outDir = mkdtempSync(join(tmpdir(), "footfall-types-"));
  execFileSync("node_modules/.bin/tsc", [
    "--noEmit",
    "false",
    "--declaration",
    "--emitDeclarationOnly",
    "--rootDir",
    "src",
    "--outDir",
    outDir,
  ]);
  const text = readFileSync(join(outDir, entry), "utf8");
  rmSync(outDir, { recursive: true });
  return text;
};

const made = {
  "dist/footfall.js": await bundle("src/npm.ts", { format: "esm" }),
  "dist/footfall.d.ts": types("npm.d.ts"),
};
for (const [file, entry] of Object.entries(FILES)) made[file] = await script(entry);

let stale = false;
for (const [file, text] of Object.entries(made)) {
  if (!process.argv.includes("--check")) {
    mkdirSync("dist", { recursive: true });
    writeFileSync(file, text);
  } else if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
    console.error(`tracker/${file} is stale: run \`npm run build --prefix tracker\` and commit it`);
    stale = true;
  }
}
process.exitCode = stale ? 1 : 0;
