// What the release consists of: the crates compiled into the binary and Rust's standard library,
// the npm packages whose code or data it ships, the lists of data/ that are embedded. Each part:
// name, version, licence (SPDX), type, folder, and what the lock file says of its bytes.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const TARGET = "x86_64-unknown-linux-gnu";

// Bundled by tracker/build.mjs and dashboards/app/build.mjs into committed files; the others are
// tools.
const BUNDLED = {
  tracker: ["web-vitals"],
  "dashboards/app": ["svelte", "uplot", "world-atlas", "d3-geo", "topojson-client"],
};

// Copied into data/ and embedded; data/README.md says what was changed.
const EMBEDDED = [
  { name: "uap-core", version: "0.18.0", license: "Apache-2.0", texts: ["data/LICENSE-uap-core"] },
  {
    name: "crawler-user-agents",
    version: "1.60.0",
    license: "MIT",
    texts: ["data/LICENSE-crawler-user-agents"],
  },
  {
    name: "crawlerdetect",
    version: "0.4.2",
    license: "MIT",
    texts: ["data/LICENSE-crawlerdetect"],
    registry: "pypi",
  },
];

/**
 * The crates of normal dependencies, for the release's target, without those of tests and build
 * scripts.
 */
export function crates() {
  const arguments_ = ["metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET];
  const metadata = JSON.parse(
    execFileSync("cargo", arguments_, { encoding: "utf8", maxBuffer: 1 << 28 }),
  );
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
  const packages = new Map(metadata.packages.map((crate) => [crate.id, crate]));
  const checksums = lockedChecksums();

  const linked = (id) =>
    nodes
      .get(id)
      .deps.filter(({ dep_kinds }) => dep_kinds.some(({ kind }) => kind === null))
      .map(({ pkg }) => pkg);
  const reached = new Set();
  const waiting = [metadata.resolve.root];
  while (waiting.length > 0) {
    const id = waiting.pop();
    if (reached.has(id)) continue;
    reached.add(id);
    waiting.push(...linked(id));
  }

  const own = packages.get(metadata.resolve.root);
  const purl = (crate) => `pkg:cargo/${crate.name}@${crate.version}`;
  const parts = [...reached]
    .map((id) => packages.get(id))
    .filter((crate) => crate !== own)
    .map((crate) => ({
      type: "library",
      name: crate.name,
      version: crate.version,
      license: crate.license.replaceAll(/\s*\/\s*/g, " OR "),
      authors: crate.authors,
      repository: crate.repository,
      folder: dirname(crate.manifest_path),
      purl: purl(crate),
      hash: { alg: "SHA-256", content: checksums.get(`${crate.name} ${crate.version}`) },
      needs: linked(crate.id).map((id) => purl(packages.get(id))),
    }));
  return {
    version: own.version,
    parts: sorted(parts),
    needs: linked(own.id).map((id) => purl(packages.get(id))),
  };
}

/**
 * The packages of the root's lock that are shipped as files, and those bundled into the committed
 * scripts.
 */
export function npmPackages() {
  const shipped = npmOf(".", [
    "@chdb/lib-linux-x64-gnu",
    "@ip-location-db/geo-whois-asn-country-mmdb",
  ]);
  const bundled = Object.entries(BUNDLED).flatMap(([folder, names]) => npmOf(folder, names));
  return sorted([...shipped, ...bundled]);
}

/** Rust's standard library, and the lists. */
export function embeddedLists() {
  const rust = execFileSync("rustc", ["--version"], { encoding: "utf8" }).split(" ")[1];
  const standard = {
    name: "rust-std",
    version: rust,
    license: "MIT OR Apache-2.0",
    registry: "generic",
    type: "library",
  };
  return [standard, ...EMBEDDED].map((list) => ({
    type: "data",
    ...list,
    purl: `pkg:${list.registry ?? "npm"}/${list.name}@${list.version}`,
    needs: [],
  }));
}

function npmOf(folder, names) {
  const locked = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")).packages;
  return names.map((name) => {
    const place = `node_modules/${name}`;
    const entry = locked[place];
    if (!entry) throw new Error(`${folder}/package-lock.json does not hold ${name}`);
    const home = join(folder, place);
    if (!existsSync(home)) throw new Error(`${home} is not installed`);
    const manifest = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
    return {
      type: /mmdb|atlas/.test(name) ? "data" : "library",
      name,
      version: entry.version,
      license: entry.license ?? manifest.license,
      authors: [manifest.author?.name ?? manifest.author].filter(Boolean),
      repository: manifest.repository?.url ?? manifest.repository,
      folder: home,
      purl: `pkg:npm/${name.replace("@", "%40")}@${entry.version}`,
      hash: {
        alg: "SHA-512",
        content: Buffer.from(entry.integrity.replace("sha512-", ""), "base64").toString("hex"),
      },
      needs: [],
    };
  });
}

function lockedChecksums() {
  const entries = readFileSync("Cargo.lock", "utf8").split("[[package]]").slice(1);
  const value = (entry, key) => entry.match(new RegExp(`^${key} = "(.*)"$`, "m"))?.[1];
  return new Map(
    entries.map((entry) => [
      `${value(entry, "name")} ${value(entry, "version")}`,
      value(entry, "checksum"),
    ]),
  );
}

function sorted(parts) {
  return parts.sort((a, b) => (a.purl < b.purl ? -1 : 1));
}
