// Every relative link and anchor in the Markdown files resolves, and no Markdown file, comment or
// configuration text names a file of this repository that is not there.
//
// A name counts as one of this repository when it begins with one of its folders (`src/clock.rs`)
// or is the name of a document (`PRIVACY.md`). Placeholders (`*`, `{}`, `<>`) are not looked up.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

const list = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
  encoding: "utf8",
});
const files = list.split("\0").filter((path) => path && existsSync(path));
const known = new Set(files);
for (const file of files) {
  for (let folder = dirname(file); folder !== "."; folder = dirname(folder)) known.add(folder);
}
const folders = new Set([...known].filter((path) => !files.includes(path) && !path.includes("/")));
const documents = new Set(
  files.filter((path) => path.endsWith(".md")).map((path) => path.split("/").pop()),
);
const GENERATED = /(^|\/)(target|node_modules|test-results|var)(\/|$)/;

const problems = [];
let links = 0;
let names = 0;

/** GitHub's anchors: lower case, punctuation dropped, spaces to hyphens, repeats numbered. */
function anchors(text) {
  const seen = new Map();
  const found = new Set();
  for (const [, title] of withoutCode(text).matchAll(/^#{1,6} +(.+?)\s*$/gm)) {
    const plain = title.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[`*]/g, "");
    const slug = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
      .replace(/ /g, "-");
    const repeat = seen.get(slug) ?? 0;
    seen.set(slug, repeat + 1);
    found.add(repeat ? `${slug}-${repeat}` : slug);
  }
  for (const [, id] of text.matchAll(/<a (?:id|name)="([^"]+)"/g)) found.add(id);
  return found;
}

/** Code blocks hold samples, not links. Lines stay, so that line numbers are right. */
function withoutCode(text) {
  return text
    .replace(/^```.*?^```/gms, (block) => block.replace(/[^\n]/g, ""))
    .replace(/^(?: {4}|\t).*$/gm, "");
}

function lineOf(text, index) {
  return text.slice(0, index).split("\n").length;
}

function checkLinks(file, text) {
  const prose = withoutCode(text);
  const found = [
    ...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g),
    ...prose.matchAll(/^\[[^\]]+\]:\s*(\S+)/gm),
    ...prose.matchAll(/<(?:img|a)\b[^>]*?(?:src|href)="([^"]+)"/g),
  ];
  for (const link of found) {
    const target = decodeURI(link[1]);
    if (/^([a-z][a-z0-9+.-]*:|\/)/i.test(target)) continue; // another site, or a path of the collector
    links += 1;
    const [path, anchor] = target.split("#");
    const full = path ? normalize(join(dirname(file), path)).replace(/\/$/, "") : file;
    const where = `${file}:${lineOf(prose, link.index)}`;
    if (full.startsWith("..") || (full !== "." && !known.has(full))) {
      problems.push(`${where}: links to ${target}, which is not there`);
    } else if (anchor && full.endsWith(".md") && !anchors(readFileSync(full, "utf8")).has(anchor)) {
      problems.push(`${where}: ${full} has no heading for #${anchor}`);
    }
  }
}

function checkNames(file, text) {
  for (const name of text.matchAll(
    /(?<![\w./:@{}<>*$-])((?:\.\.\/)*(?:[\w.-]+\/)+[\w.-]*[\w]|[A-Z][A-Z_-]+\.md)(?![\w/*{<$(])/g,
  )) {
    const path = normalize(name[1].replace(/^(\.\.\/)+/, "")).replace(/[.]$/, "");
    if (GENERATED.test(path) || name[1].startsWith("./")) continue;
    const bare = !path.includes("/");
    if (bare ? documents.has(path) : !folders.has(path.split("/")[0])) continue;
    names += 1;
    // Relative to the file, to one of its parent folders, to the repository, or to src/.
    let here = dirname(file);
    let there = known.has(path) || known.has(join("src", path));
    for (; !there && here !== "."; here = dirname(here)) there = known.has(join(here, path));
    if (!there)
      problems.push(`${file}:${lineOf(text, name.index)}: names ${name[1]}, which is not there`);
  }
}

for (const file of files) {
  if (file.endsWith(".md")) {
    const text = readFileSync(file, "utf8");
    checkLinks(file, text);
    checkNames(file, text);
  } else if (
    /^config\/.*\.toml$|^(Makefile|Dockerfile|docker-compose\.yml|Cargo\.toml)$/.test(file)
  ) {
    checkNames(file, readFileSync(file, "utf8"));
  } else if (/\.(rs|mjs|js|ts|svelte)$/.test(file)) {
    // Of sources the comments only, and of those only whole paths with an ending: `and/or` is no
    // path.
    const comments = readFileSync(file, "utf8")
      .split("\n")
      .map((line) => (/^\s*(\/\/|\*|\/\*)/.test(line) ? line : ""))
      .join("\n");
    checkNames(
      file,
      comments.replace(/(?<![\w./-])[\w.-]+(?:\/[\w.-]+)+(?![\w./-])/g, (path) =>
        /\.\w{1,5}$/.test(path) ? path : "",
      ),
    );
  }
}

for (const problem of problems) console.error(problem);
console.log(`links: ${links} links, ${names} names of files, ${problems.length} problems`);
process.exitCode = problems.length ? 1 : 0;
