// What is said in one language is said in all.
import { readFileSync } from "node:fs";
import { expect, test } from "../../tests/e2e/browser.js";
import { LANGUAGES, texts } from "./texts.mjs";

const flat = (language) =>
  Object.entries(texts(language)).flatMap(([section, keys]) =>
    Object.entries(keys).map(([key, text]) => [`${section}.${key}`, text]),
  );
const filled = (language) =>
  flat(language).map(([key, text]) => [key, (text.match(/\{\w+\}/g) ?? []).sort()]);

for (const language of LANGUAGES) {
  test(`${language} holds the keys of English, fills in the same words, and leaves nothing empty`, () => {
    expect(filled(language)).toEqual(filled("en"));
    expect(flat(language).filter(([, text]) => text.trim() === "")).toEqual([]);
    expect(texts(language)[""]).toEqual({ lang: language, dir: language === "ar" ? "rtl" : "ltr" });
  });

  test(`${language} names the way back by the words on it`, () => {
    const { banner } = texts(language);
    expect(banner.body).toContain(banner.preferences);
  });
}

test("the banner's source names the texts it is given", () => {
  const source = readFileSync(new URL("../src/banner/contract.ts", import.meta.url), "utf8");
  const named = [...source.match(/type TextKey =([^;]*);/)[1].matchAll(/"(\w+)"/g)].map(
    ([, key]) => key,
  );
  expect(named).toEqual(Object.keys(texts("en").banner));
});
