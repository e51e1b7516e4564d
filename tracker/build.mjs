// src/ -> dist/. What is in dist/ is committed, because the collector embeds it; `--check` fails where it is not what src/ gives.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { build, transform } from "esbuild";

const FILES = { "dist/consent.js": "src/banner/index.ts" };
process.chdir(import.meta.dirname ?? new URL(".", import.meta.url).pathname);
const absWorkingDir = process.cwd(); // esbuild would go by the folder it was imported in

// A stylesheet is imported as its text: it becomes a constructable stylesheet, which no content security policy minds.
const css = {
  name: "css",
  setup({ onLoad }) {
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(readFileSync(path, "utf8"), { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

let stale = false;
for (const [file, entry] of Object.entries(FILES)) {
  const { outputFiles } = await build({ absWorkingDir, entryPoints: [entry], bundle: true, minify: true, format: "iife", target: "es2020",
    charset: "utf8", write: false, plugins: [css] });
  const [{ text }] = outputFiles;
  if (!process.argv.includes("--check")) {
    mkdirSync("dist", { recursive: true });
    writeFileSync(file, text);
  } else if (readFileSync(file, "utf8") !== text) {
    console.error(`tracker/${file} is stale: run \`npm run build --prefix tracker\` and commit it`);
    stale = true;
  }
}
process.exitCode = stale ? 1 : 0;
