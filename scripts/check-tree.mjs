// What no compiler looks at: the pages' scripts parse, the pages hold no inline script or style and
// no foreign host, no committed text names a machine's own folders, and no line of what a browser
// runs is wider than 120 columns (strings and attributes are what Prettier does not break).
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const problems = [];
const files = execFileSync(
  "git",
  ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
  { encoding: "utf8" },
)
  .split("\0")
  .filter(Boolean);
const TEXT =
  /\.(rs|toml|md|mjs|js|ts|json|html|css|sql|ya?ml|sh)$|(^|\/)(Makefile|Dockerfile|run|need-chromium)$/;
const WIDTH = 120;
const WRITTEN = /\.(m?js|ts|svelte|css|html)$/;
const BUILT = /(^|\/)dist\//;
const OWN_FOLDERS = new RegExp(
  ["work", "root", "home"].map((top) => `(?<![\\w.:/-])/${top}/\\w`).join("|"),
);

const pages = { html: 0, js: 0 };
for (const file of files.filter((path) => TEXT.test(path) || WRITTEN.test(path))) {
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    continue; // deleted, not yet committed
  }
  text.split("\n").forEach((line, i) => {
    if (OWN_FOLDERS.test(line)) problems.push(`${file}:${i + 1}: names a folder of one machine`);
    if (WRITTEN.test(file) && !BUILT.test(file) && line.length > WIDTH)
      problems.push(`${file}:${i + 1}: ${line.length} columns, at most ${WIDTH}`);
  });
  if (/\.m?js$/.test(file)) {
    pages.js += 1;
    try {
      execFileSync(process.execPath, ["--check", file], { stdio: "pipe" });
    } catch (error) {
      problems.push(`${file}: ${String(error.stderr).split("\n").slice(0, 5).join(" ")}`);
    }
  }
  if (/^dashboards\/.*\.html$/.test(file)) {
    pages.html += 1;
    if (/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i.test(text))
      problems.push(`${file}: inline script or style`);
    if (/<(script|link|img|iframe)[^>]*(src|href)="(https?:)?\/\//i.test(text))
      problems.push(`${file}: loads from another host`);
  }
}

for (const problem of problems) console.error(problem);
console.log(
  `tree: ${files.length} files, ${pages.html} pages, ${pages.js} scripts, ${problems.length} problems`,
);
process.exitCode = problems.length ? 1 : 0;
