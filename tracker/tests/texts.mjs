// Reads config/texts/*.toml, as far as these files use the format: sections, and one plain string a
// line.
import { readFileSync } from "node:fs";

export const LANGUAGES = ["en", "de", "fr", "es", "ar"];

/** Section name -> key -> text. What stands before the first section is under "". */
export const texts = (language) => {
  const sections = { "": {} };
  let section = "";
  for (const line of readFileSync(
    new URL(`../../config/texts/${language}.toml`, import.meta.url),
    "utf8",
  ).split("\n")) {
    const [, head] = line.match(/^\[(.+)\]$/) ?? [];
    const [, key, text] = line.match(/^(\w+) = "([^"\\]*)"$/) ?? [];
    if (head) sections[(section = head)] = {};
    else if (key) sections[section][key] = text;
    else if (line && !line.startsWith("#"))
      throw new Error(`${language}.toml: cannot read ${line}`);
  }
  return sections;
};
