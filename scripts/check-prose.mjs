// Plain technical English, and prose lines of at most 120 columns: in Markdown, configuration,
// comments and strings of src/, and the texts of dashboards/ and tracker/.
//
// A list of phrases that mark the former accent, counted by folder. scripts/prose.json holds how
// many each folder may have. The bounds only fall: `node scripts/check-prose.mjs --lower` writes
// the counts of today where they are lower. `--list FOLDER` shows what is left.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const BOUNDS = "scripts/prose.json";
const COLUMNS = 120;

// Phrase, and what to write instead.
const MARKS = [
  [/\bnobody('s)?\b/i, "nobody: no one who does what? `no visitor`, `never`, `not`"],
  [/\bwhoever('s)?\b/i, "whoever: name who, `the operator`, `anyone who`"],
  [/\bsomebody('s)?\b/i, "somebody: `a visitor`, `a person`, `someone`"],
  [/\bstands?\b(?! for\b| alone| still)/i, "stand: `is`, `is listed`, `appears`"],
  [/\btold (from|apart)\b/i, "told from: `distinguished from`"],
  [/\bso (many|long|often|much)\b(?! (as|that)\b)/i, "so many: give the number"],
  [/(?<!\bas )\bof which\b/i, "of which: two sentences"],
  [/\blies? (in|at|beside|there)\b/i, "lies in: `is in`"],
  [/\b(goes|go|went) (on|its way)\b/i, "goes on: `continues`"],
  [/\bis (said|told)\b/i, "is told: who reads it? `the log says`"],
  [/\bby (it|them)sel(f|ves)\b/i, "by itself: `automatically`, `alone`"],
  [/[^.:;|`]*[a-z`)]: [^.:;|`"]*[a-z`)]: [a-z`]/, "two colons in a sentence"],
];

const GROUPS = [
  ["README and the root", (file) => /^[^/]+\.md$|^\.github\/.*\.md$/.test(file)],
  ["docs", (file) => /^docs\/.*\.md$|^packaging\//.test(file)],
  ["other README", (file) => /\.md$/.test(file)],
  ["config", (file) => /^config\/.*\.toml$/.test(file)],
  ["src", (file) => /^src\/.*\.rs$/.test(file)],
  [
    "dashboards",
    (file) =>
      /^dashboards\/app\/src\/.*\.(ts|svelte|css)$|^dashboards\/(sample|consent)\//.test(file),
  ],
  ["tracker", (file) => /^tracker\/src\/.*\.(ts|js)$/.test(file)],
];

/** The lines of a file as prose: what is code becomes empty, so that numbers of lines stay. */
function prose(file, text) {
  const lines = text.split("\n");
  if (file.endsWith(".md")) {
    let fenced = false;
    return lines.map((line) => {
      if (line.startsWith("```")) fenced = !fenced;
      return fenced ||
        (/^( {4}|\t)(?!\s*([-*]|\d+\.) )/.test(line) && !/^ {4}\S.*[a-z], /.test(line))
        ? ""
        : line;
    });
  }
  if (file.endsWith(".toml")) {
    return lines.map((line) =>
      [
        line.match(/(?:^|\s)#(.*)$/)?.[1] ?? "",
        ...(file.startsWith("config/texts/") ? strings(line) : []),
      ].join(" "),
    );
  }
  if (/\.(svelte|css|html)$/.test(file)) return lines;
  return lines.map((line) => [comment(line), ...strings(line)].join(" "));
}

const strings = (line) => [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text]) => text);

function comment(line) {
  const bare = line.replace(/"(?:[^"\\]|\\.)*"/g, (text) => " ".repeat(text.length));
  const at = bare.search(/(^|\s)(\/\/|\/?\*)/);
  return at < 0 ? "" : line.slice(at);
}

/** Lines that cannot be wrapped: tables, links, images, addresses. */
const cannotWrap = (file, line) =>
  (file.endsWith(".md") && /^\s*\||^\[[^\]]+\]: |^!\[|^#{1,6} /.test(line)) ||
  !/\s/.test(line.trim().replace(/^(\/\/[/!]?|[-*#])\s*/, ""));

function isWide(file, line, words) {
  if ([...line].length <= COLUMNS || cannotWrap(file, line)) return false;
  return file.endsWith(".md")
    ? words !== ""
    : /^\s*(\/\/|#|\*)/.test(line) || (/^config\/[^/]+\.toml$/.test(file) && words.trim() !== "");
}

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  encoding: "utf8",
})
  .split("\n")
  .filter(existsSync);
const counts = Object.fromEntries(GROUPS.map(([group]) => [group, { marks: 0, wide: 0 }]));
const found = [];
for (const file of files) {
  const group = GROUPS.find(([, holds]) => holds(file))?.[0];
  if (!group || /^(dashboards|tracker)\/dist\//.test(file)) continue;
  const text = readFileSync(file, "utf8");
  const words = prose(file, text);
  text.split("\n").forEach((line, at) => {
    for (const [pattern, instead] of MARKS) {
      if (
        !pattern.test(words[at]) ||
        (instead.startsWith("two colons") && !/\.(md|toml|rs)$/.test(file))
      )
        continue;
      counts[group].marks += 1;
      found.push([group, `${file}:${at + 1}: ${instead}`]);
    }
    if (isWide(file, line, words[at])) {
      counts[group].wide += 1;
      found.push([group, `${file}:${at + 1}: ${[...line].length} columns`]);
    }
  });
}

const listed = process.argv[process.argv.indexOf("--list") + 1];
if (process.argv.includes("--list"))
  found.filter(([group]) => !listed || group === listed).forEach(([, what]) => console.log(what));

const bounds = existsSync(BOUNDS) ? JSON.parse(readFileSync(BOUNDS, "utf8")) : {};
const over = [];
for (const [group, count] of Object.entries(counts)) {
  for (const [kind, number] of Object.entries(count)) {
    const bound = bounds[group]?.[kind] ?? Infinity;
    if (number > bound)
      over.push(
        `${group}: ${number} ${kind}, at most ${bound}: node scripts/check-prose.mjs --list '${group}'`,
      );
    if (process.argv.includes("--lower")) (bounds[group] ??= {})[kind] = Math.min(number, bound);
  }
}
if (process.argv.includes("--lower")) writeFileSync(BOUNDS, `${JSON.stringify(bounds, null, 2)}\n`);
for (const line of over) console.error(line);
const sum = (kind) => Object.values(counts).reduce((all, count) => all + count[kind], 0);
console.log(
  `prose: ${sum("marks")} marks, ${sum("wide")} wide lines, ${over.length} bounds passed`,
);
process.exitCode = over.length ? 1 : 0;
