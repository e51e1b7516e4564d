// The map, drawn once at build time: a path for each country, under its ISO 3166 code. So neither
// the geometry nor the code that projects it goes to the browser.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { geoNaturalEarth1, geoPath } from "d3-geo";
import { feature } from "topojson-client";

const WIDTH = 800;
const HEIGHT = 380;
const ANTARCTICA = "AQ";

/** CLDR knows what numbers stand for: 276 is an alias of DE. */
const code = (id) => {
  const [tag] = Intl.getCanonicalLocales(`und-${String(id).padStart(3, "0")}`);
  return /^und-[A-Z]{2}$/.test(tag) ? tag.slice(4) : "";
};

const draw = () => {
  const atlas = JSON.parse(
    readFileSync(createRequire(import.meta.url).resolve("world-atlas/countries-110m.json"), "utf8"),
  );
  const shapes = feature(atlas, atlas.objects.countries).features.map((shape) => [
    shape.id ? code(shape.id) : "",
    shape,
  ]);
  const inhabited = shapes.filter(([name]) => name !== ANTARCTICA);
  const all = { type: "FeatureCollection", features: inhabited.map(([, shape]) => shape) };
  const path = geoPath(geoNaturalEarth1().fitSize([WIDTH, HEIGHT], all)).digits(1);
  return {
    width: WIDTH,
    height: HEIGHT,
    shapes: inhabited.map(([name, shape]) => [name, path(shape)]),
  };
};

export const world = () => ({
  name: "world",
  resolveId: (id) => (id === "virtual:world" ? "\0virtual:world" : undefined),
  load: (id) =>
    id === "\0virtual:world" ? `export default ${JSON.stringify(draw())};` : undefined,
});
