// One build, three entries by path (see src/main.ts); what is not needed at once is a chunk of its
// own.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { start } from "./tools/start.mjs";
import { world } from "./tools/world.mjs";

const root = fileURLToPath(new URL(".", import.meta.url));

export default defineConfig({
  root,
  configFile: false,
  logLevel: "warn",
  plugins: [svelte({ configFile: false, compilerOptions: { runes: true } }), world(), start()],
  build: {
    target: "es2022",
    outDir: "../dist",
    assetsInlineLimit: 0, // `data:` is no source that the policy allows
    modulePreload: { polyfill: false },
    license: false,
    // One file for what every page runs: a request less for each chunk it would be divided into. And
    // one of what sends the first request, see tools/start.mjs.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            {
              name: "start",
              test: /\/src\/(start|lib\/(earlyRequest|paths|view))\.ts/,
              priority: 1,
              entriesAware: false,
            },
            {
              name: "main",
              test: /\/(node_modules\/(svelte|uplot|esm-env|clsx)|src\/(lib|main))/,
              entriesAware: false,
            },
          ],
        },
      },
    },
  },
});
