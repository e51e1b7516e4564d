// Reads a Dockerfile's final stage, and the stages it is built FROM, as commands for packaging/check-image.sh: one JSON
// object a line.
//
//     node packaging/dockerfile.mjs Dockerfile embedded
//
// It knows what our Dockerfile uses and fails at everything else, so that no step is skipped in silence.
import { readFileSync } from "node:fs";

const [file, target] = process.argv.slice(2);
const KNOWN = new Set([
  "RUN",
  "COPY",
  "WORKDIR",
  "USER",
  "ENV",
  "VOLUME",
  "EXPOSE",
  "STOPSIGNAL",
  "HEALTHCHECK",
  "ENTRYPOINT",
  "CMD",
]);

const fail = (text) => {
  console.error(`${file}: ${text}`);
  process.exit(1);
};

/** Instructions without comments, lines that end with a backslash joined. */
const instructions = () => {
  const text = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => !/^\s*#/.test(line))
    .join("\n");
  return text
    .replace(/\\\n\s*/g, " ")
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
};

/** The words of an ENV: NAME=value, values may be quoted. */
const pairs = (text) => {
  const found = [...text.matchAll(/([A-Za-z_]\w*)=("(?:[^"\\]|\\.)*"|\S*)/g)].map(
    ([, name, value]) => [name, value.replace(/^"(.*)"$/, "$1")],
  );
  if (found.length === 0) fail(`ENV ${text}: cannot be read`);
  return found;
};

const words = (text, what) => {
  try {
    const list = JSON.parse(text);
    if (Array.isArray(list) && list.every((word) => typeof word === "string")) return list;
  } catch {
    /* not the exec form */
  }
  return fail(`${what} ${text}: not the exec form, which needs no shell`);
};

const stages = new Map();
let stage;
for (const line of instructions()) {
  const [, word, rest] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? fail(`${line}: no instruction`);
  if (word === "FROM") {
    const [, from, name] =
      /^(\S+)(?:\s+AS\s+(\S+))?$/i.exec(rest) ?? fail(`${line}: cannot be read`);
    stage = { from, steps: [] };
    stages.set(name ?? `stage ${stages.size}`, stage);
  } else if (!stage) fail(`${line}: before the first FROM`);
  else stage.steps.push([word, rest]);
}
if (!stages.has(target)) fail(`there is no stage ${target}`);

const chain = [];
let base = target;
while (stages.has(base)) {
  chain.unshift(...stages.get(base).steps);
  base = stages.get(base).from;
}
const say = (step) => console.log(JSON.stringify(step));
say({ step: "from", image: base });
for (const [word, rest] of chain) {
  if (!KNOWN.has(word)) fail(`${word} ${rest}: this check does not know it`);
  switch (word) {
    case "RUN":
      say({ step: "run", command: rest });
      break;
    case "WORKDIR":
      say({ step: "workdir", path: rest });
      break;
    case "USER":
      say({ step: "user", user: rest });
      break;
    case "ENV":
      for (const [name, value] of pairs(rest)) say({ step: "env", name, value });
      break;
    case "VOLUME":
      for (const path of words(rest, word)) say({ step: "volume", path });
      break;
    case "ENTRYPOINT":
      say({ step: "entrypoint", words: words(rest, word) });
      break;
    case "CMD":
      say({ step: "cmd", words: words(rest, word) });
      break;
    case "HEALTHCHECK": {
      const [, options, command] =
        /^((?:--\S+\s+)*)CMD\s+(.*)$/.exec(rest) ?? fail(`${word} ${rest}: cannot be read`);
      const timeout = /--timeout=(\d+)s/.exec(options)?.[1];
      say({ step: "healthcheck", words: words(command, word), timeout: Number(timeout ?? 30) });
      break;
    }
    case "STOPSIGNAL":
      say({ step: "stopsignal", signal: rest });
      break;
    case "EXPOSE":
      say({ step: "expose", port: Number(rest) });
      break;
    case "COPY": {
      const parts = rest.split(/\s+/);
      const from = parts[0].startsWith("--from=") ? parts.shift().slice("--from=".length) : "";
      if (parts.length !== 2 || parts[0].startsWith("--"))
        fail(`COPY ${rest}: this check does not know it`);
      say({ step: "copy", from, source: parts[0], to: parts[1] });
    }
  }
}
