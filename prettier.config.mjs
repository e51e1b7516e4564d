// How JavaScript, TypeScript, Svelte and CSS are laid out. Installed with the dashboard, used for
// the tracker, scripts and browser tests too.
import { fileURLToPath } from "node:url";

const svelte = new URL(
  "dashboards/app/node_modules/prettier-plugin-svelte/plugin.js",
  import.meta.url,
);

export default {
  printWidth: 100,
  plugins: [fileURLToPath(svelte)],
  overrides: [{ files: "*.svelte", options: { parser: "svelte" } }],
};
