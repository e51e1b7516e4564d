// THIRD-PARTY-LICENCES.txt: each part of the release with its licence, and each licence text once.
//
// A part's texts are the files its package brings. Where it brings none, those of a sibling from
// the same repository are taken, else the standard text with the authors its manifest names. A part
// with neither fails the release.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const TEXT = /^(licen[cs]e|copying|notice|unlicense|copyright|nro_license)/i;

// Parts whose packages bring no text, and what must be said of them.
const NOTES = {
  "@chdb/lib-linux-x64-gnu":
    "chDB (https://github.com/chdb-io/chdb), Copyright the chDB authors, is ClickHouse\n" +
    "(https://github.com/ClickHouse/ClickHouse), Copyright 2016-2026 ClickHouse, Inc., " +
    "built as a library. Both are under the\n" +
    "Apache License 2.0, whose text follows. The libraries ClickHouse links statically, " +
    "with their licences, are in the\n" +
    "`contrib` folder of its sources.",
};

export function licences(parts) {
  const texts = new Map(); // text -> names of parts
  for (const part of parts) {
    for (const text of textsOf(part, parts)) {
      const key = text.replaceAll("\r\n", "\n").trim();
      texts.set(key, [...(texts.get(key) ?? []), `${part.name} ${part.version}`]);
    }
  }

  const table = parts.map((part) => `${`${part.name} ${part.version}`.padEnd(52)} ${part.license}`);
  const rule = "-".repeat(100);
  const bodies = [...texts].map(
    ([text, names]) => `${rule}\n${names.join(", ")}\n${rule}\n\n${text}\n`,
  );
  return (
    "Footfall is licensed under MIT or Apache-2.0. It ships with or contains the following parts.\n\n" +
    `${table.join("\n")}\n\n${bodies.join("\n")}`
  );
}

function textsOf(part, parts) {
  if (part.texts) return part.texts.map((file) => readFileSync(file, "utf8"));
  const own = filesOf(part);
  if (own.length > 0) return own;
  const sibling = parts.find(
    (other) =>
      other.repository &&
      other.repository === part.repository &&
      other.folder &&
      filesOf(other).length > 0,
  );
  if (sibling) return filesOf(sibling);
  return [standardText(part)];
}

function filesOf(part) {
  if (!part.folder) return [];
  const named = readdirSync(part.folder, { withFileTypes: true }).filter(
    (entry) => entry.isFile() && TEXT.test(entry.name),
  );
  return named.map((entry) => readFileSync(join(part.folder, entry.name), "utf8"));
}

function standardText(part) {
  const by = part.authors?.length
    ? part.authors.map((author) => author.replace(/ <.*>/, "")).join(", ")
    : `the authors of ${part.name}`;
  const note =
    NOTES[part.name] ?? `Copyright (c) ${by}${part.repository ? ` (${part.repository})` : ""}`;
  if (/\bMIT\b/.test(part.license)) {
    return readFileSync("LICENSE-MIT", "utf8").replace(/^Copyright.*$/m, note);
  }
  if (/\bApache-2\.0\b/.test(part.license))
    return `${note}\n\n${readFileSync("LICENSE-APACHE", "utf8")}`;
  throw new Error(`${part.name} ${part.version} (${part.license}) brings no licence text`);
}
