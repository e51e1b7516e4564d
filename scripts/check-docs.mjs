// What documents say of the code, where the code can be asked: numbers of stages, tables, counters,
// metrics, names, the numbers of enums in docs/understand/FORMATS.md, and that each test file has
// its place in docs/understand/TESTS.md.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

const ARCHITECTURE = "docs/understand/ARCHITECTURE.md";
const COUNTING = "docs/understand/COUNTING.md";
const FORMATS = "docs/understand/FORMATS.md";
const TESTS = "docs/understand/TESTS.md";
const OPERATING = "docs/operate/OPERATING.md";

const read = (file) => readFileSync(file, "utf8");
const problems = [];
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  encoding: "utf8",
})
  .split("\n")
  .filter(existsSync);

/** The rows of the Markdown tables below a heading, each as its cells. */
function rows(file, heading) {
  const section = read(file)
    .split(/^(?=#{2,3} )/m)
    .find((part) => part.startsWith(heading));
  if (!section) {
    problems.push(`${file}: has no section "${heading}"`);
    return [];
  }
  const lines = section
    .split("\n")
    .filter((line) => line.startsWith("|") && !/^\|[-| ]+\|$/.test(line));
  return lines.map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const quoted = (text) => [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word);

function compare(what, documented, actual) {
  for (const name of actual)
    if (!documented.has(name)) problems.push(`${what}: ${name} is not documented`);
  for (const name of documented)
    if (!actual.has(name)) problems.push(`${what}: ${name} is documented and not there`);
}

// Stages: each module says its own number.
const stages = new Set(
  rows(ARCHITECTURE, "## Stages")
    .filter(([number]) => /^\d+$/.test(number))
    .map(([number, folder]) => `${number} ${quoted(folder)[0]}`),
);
const modules = files.filter((file) => /^src\/\w+\/mod\.rs$/.test(file));
const said = modules
  .map((file) => [file.split("/")[1], read(file).match(/^\/\/! Stage (\d+)/)?.[1]])
  .filter(([, number]) => number);
compare("stages", stages, new Set(said.map(([module, number]) => `${number} ${module}`)));

// Tables: what the migrations leave.
const schema = files.filter((file) => /^src\/store\/schema\/.*\.sql$/.test(file)).sort();
const tables = new Set();
for (const file of schema) {
  for (const [, verb, name] of read(file).matchAll(
    /\b(CREATE|DROP) TABLE IF (?:NOT )?EXISTS (\w+)/g,
  )) {
    if (verb === "CREATE") tables.add(name);
    else tables.delete(name);
  }
}
tables.delete("folds"); // dropped by the step in Rust of migration 7
compare(
  "tables",
  new Set(rows(ARCHITECTURE, "## What is stored").flatMap(([name]) => quoted(name))),
  tables,
);

// Enums whose numbers are on disk.
const enums = [
  ["subject", "src/event/subject.rs", "Subject"],
  ["drop reason", "src/event/drop_reason.rs", "DropReason"],
  ["metric", "src/event/vital.rs", "WebVital"],
  ["fault kind", "src/event/fault.rs", "FaultKind"],
  ["mail action", "src/event/mail.rs", "MailAction"],
  ["reader class", "src/event/mail.rs", "ReaderKind"],
  ["dimension", "src/event/subject.rs", "Dimension"],
];
const numbers = new Map(rows(FORMATS, "### Totals").map(([name, values]) => [name, values]));
for (const [name, file, type] of enums) {
  if (!existsSync(file)) {
    problems.push(`scripts/check-docs.mjs: ${file} is not there any more`);
    continue;
  }
  const body = read(file).match(new RegExp(`enum ${type} \\{([^}]*)\\}`))?.[1] ?? "";
  const actual = [...body.matchAll(/(\w+) = "[^"]*",/g)].map(
    ([, variant], number) => `${number} ${variant.toLowerCase()}`,
  );
  const documented = (numbers.get(name) ?? "")
    .split(", ")
    .map((value) => value.toLowerCase().replaceAll("_", ""));
  const same =
    actual.length === documented.length &&
    actual.every(
      (value, at) =>
        value === documented[at] || (value === "0 total" && documented[at] === "0 none"),
    );
  if (!same)
    problems.push(
      `${FORMATS}: ${name} is ${documented.join(", ")}; ${file} has ${actual.join(", ")}`,
    );
}

// Counters: their number and their order.
const counters = [...read("src/event/counts.rs").matchAll(/^ {8}\w+ = "(\w+)",/gm)].map(
  ([, name]) => name,
);
if (numbers.get("counter") !== counters.map((name, at) => `${at} ${name}`).join(", "))
  problems.push(`${FORMATS}: counters are ${counters.join(", ")}`);

// Keys of a hit: those that the collector reads.
const wire = read("src/ingest/wire.rs").match(/struct WireHit[^{]*\{([^}]*)\}/)?.[1] ?? "";
compare(
  "keys of a hit",
  new Set(rows(COUNTING, "## What comes in").flatMap(([keys]) => quoted(keys))),
  new Set([...wire.matchAll(/^ {4}(\w+): /gm)].map(([, key]) => key)),
);

// Dimensions: in the table of their values, in what a visit takes from its first hit, in the
// glossary.
const dimensions = new Set(
  [...numbers.get("dimension").matchAll(/\d+ (\w+)/g)]
    .map(([, name]) => name)
    .filter((name) => name !== "none"),
);
const values = rows(COUNTING, "## Values").map(([name]) => name);
const places = {
  "dimensions, values": values.slice(1, values.indexOf("what")).join(", "),
  "dimensions of a visit": read(COUNTING).match(/takes its attributes \(([^)]*)\)/)?.[1],
  "dimensions in the glossary": rows(ARCHITECTURE, "## Glossary")
    .find(([term]) => term === "dimension, value")?.[1]
    .split(": ")[1],
};
for (const [what, list] of Object.entries(places))
  compare(what, new Set((list ?? "").split(/,\s+/)), dimensions);

// Metrics named by the operating guide exist.
const telemetry = files
  .filter((file) => file.startsWith("src/") && file.endsWith(".rs"))
  .map(read)
  .join("\n");
for (const [metric] of read(OPERATING).matchAll(/footfall_[a-z_]+[a-z]/g)) {
  if (!telemetry.includes(metric)) problems.push(`${OPERATING}: there is no metric ${metric}`);
}

// Names of the code in the glossary and in the worked examples.
const sources = files
  .filter((file) =>
    /^(src|tests|tracker\/src|dashboards\/app\/src)\/.*\.(rs|ts|svelte)$|^config\/.*\.toml$/.test(
      file,
    ),
  )
  .map(read)
  .join("\n");
const isName = (word) => /^[A-Z]\w*[a-z]\w*(::\w+)*$|^\w+_\w+$|^\w+::\w+$|^\w+!$/.test(word);
const named = [
  ...rows(ARCHITECTURE, "## Glossary").flatMap(([term, , , name]) =>
    quoted(name ?? "").map((word) => [ARCHITECTURE, word, term]),
  ),
  ...quoted(read("CONTRIBUTING.md").replace(/^ {4}.*$/gm, "")).map((word) => [
    "CONTRIBUTING.md",
    word,
    word,
  ]),
];
for (const [file, word, term] of named.filter(([, word]) => isName(word))) {
  const last = word.replace(/!$/, "").split("::").at(-1);
  if (!new RegExp(`\\b${last}\\b`).test(sources))
    problems.push(`${file}: ${term}: there is no ${word} in the code`);
}

// Test files.
const map = read(TESTS);
const isTest = (file) =>
  /^(tests|tracker\/tests)\//.test(file) &&
  /(\.rs|\.spec\.js|\.mjs)$/.test(file) &&
  !/\/(support|main)\b|\/(fake|texts|tracker)\.mjs$/.test(file) &&
  !/^tests\/attacks\/(crowd|linear|model|month|stage|utility|preimage)/.test(file);
for (const file of files.filter(isTest)) {
  if (!map.includes(`\`${file}\``) && !map.includes(`\`${dirname(file)}/\``))
    problems.push(`${TESTS}: ${file} has no place`);
}

for (const problem of problems) console.error(problem);
console.log(
  `docs: ${stages.size} stages, ${tables.size} tables, ${counters.length} counters, ` +
    `${enums.length} enums, ${problems.length} problems`,
);
process.exitCode = problems.length ? 1 : 0;
