// Converts what npm installed into what the collector embeds. Run after changing a version in
// package.json:
//
//     npm ci --ignore-scripts && node data/update.mjs && cargo test enrich
//
// agents.json       browser and OS expressions of uap-core, without its list of devices (275 us a
//                   string, and we want classes)
// bots.json         patterns of crawler-user-agents
// bot-samples.json  that list's own samples; only tests read it
//
// regexes.yaml is a flat list of quoted strings, so twenty lines read it and no YAML parser has to
// be trusted; anything the reader does not understand stops it.
import { readFileSync, writeFileSync } from "node:fs";

const modules = new URL("../node_modules/", import.meta.url);
const read = (path) => readFileSync(new URL(path, modules), "utf8");
const version = (name) => JSON.parse(read(`${name}/package.json`)).version;
const write = (name, value) =>
  writeFileSync(
    new URL(name, import.meta.url),
    JSON.stringify(value, null, 0).replaceAll(/(?<=[\]}"]),(?=[{"[])/g, ",\n") + "\n",
  );

function unquote(text, line) {
  if (/^'(?:[^']|'')*'$/.test(text)) return text.slice(1, -1).replaceAll("''", "'");
  if (/^"[^"]*"$/.test(text)) return JSON.parse(text);
  throw new Error(`regexes.yaml:${line}: not a quoted string`);
}

function parsers(yaml) {
  const lists = {};
  let list, item;
  yaml.split("\n").forEach((raw, n) => {
    const text = raw.replace(/\s+$/, "");
    if (text === "" || /^\s*#/.test(text)) return;
    const head = /^([a-z_]+):$/.exec(text);
    if (head) return void (list = lists[head[1]] = []);
    const field = /^\s+(- )?([a-z0-9_]+):\s*((?:'(?:[^']|'')*'|"[^"]*"))(?:\s+#.*)?$/.exec(text);
    if (!field || !list) throw new Error(`regexes.yaml:${n + 1}: unexpected line`);
    if (field[1]) list.push((item = {}));
    item[field[2]] = unquote(field[3], n + 1);
  });
  return lists;
}

const { user_agent_parsers, os_parsers } = parsers(read("uap-core/regexes.yaml"));
write("agents.json", { source: `uap-core ${version("uap-core")}`, user_agent_parsers, os_parsers });

const crawlers = JSON.parse(read("crawler-user-agents/crawler-user-agents.json"));
const source = `crawler-user-agents ${version("crawler-user-agents")}`;
write("bots.json", { source, patterns: crawlers.map((c) => c.pattern) });
write("bot-samples.json", { source, samples: crawlers.flatMap((c) => c.instances) });
