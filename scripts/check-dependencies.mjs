// Refuses a dependency whose licence or nature we do not want, and a lock file that names where it
// was downloaded.
//
// Reads what cargo and the npm locks say, offline. Every alternative of an SPDX expression counts:
// "MIT OR GPL-3.0" is fine, "MIT AND GPL-3.0" is not. A crate may say it with a slash, the old way
// of writing OR.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const ALLOWED = new Set([
  "MIT",
  "MIT-0",
  "Apache-2.0",
  "Apache-2.0 WITH LLVM-exception",
  "BSD-1-Clause",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "ISC",
  "Zlib",
  "BSL-1.0",
  "CC0-1.0",
  "0BSD",
  "Unlicense",
  "MPL-2.0",
  "MPL-2.0+",
  "Unicode-3.0",
  "CDLA-Permissive-2.0",
]);
const BANNED = {
  "openssl-sys": "one TLS stack: rustls",
  openssl: "one TLS stack: rustls",
  "native-tls": "one TLS stack: rustls",
  "actix-governor": "GPL-3.0-or-later",
  rsa: "RUSTSEC-2023-0071 has no fix",
  fast_uaparser: "its build fetches files from the network",
  "chdb-rust": "its build downloads the engine",
};
// Packages that say nothing in their manifest; read by hand.
const NPM_LICENCES = { "uap-core": "Apache-2.0" };
// fuzz/Cargo.lock has what Cargo.lock has, and these. They are in no binary that is released; the
// licences were read by hand (NCSA is libFuzzer's own, permissive).
const FUZZ_LOCK = "fuzz/Cargo.lock";
const FUZZ_ONLY = {
  "footfall-fuzz": "MIT OR Apache-2.0",
  "libfuzzer-sys": "(MIT OR Apache-2.0) AND NCSA",
  arbitrary: "MIT OR Apache-2.0",
};
const LOCKS = [
  "package-lock.json",
  "tests/e2e/package-lock.json",
  "tracker/package-lock.json",
  "dashboards/app/package-lock.json",
];
// Packages with an install script that never runs: only where the lock stands beside an .npmrc that
// turns scripts off for whoever installs. The reason says why the package works without.
const SCRIPT_NOT_RUN = {
  esbuild: "it replaces a Node wrapper by the platform's binary, to start faster",
};

/** SPDX: OR binds weaker than AND; parentheses as usual. */
const allows = (expression) => {
  const tokens =
    expression
      .replaceAll("/", " OR ")
      .replace(/ WITH /g, "\u0001")
      .match(/[()]|[^\s()]+/g) ?? [];
  const either = () => {
    let fine = both();
    while (tokens[0] === "OR") fine = (tokens.shift(), both()) || fine;
    return fine;
  };
  const both = () => {
    let fine = one();
    while (tokens[0] === "AND") fine = (tokens.shift(), one()) && fine;
    return fine;
  };
  let whole = true;
  const one = () => {
    const token = tokens.shift();
    if (token === undefined) whole = false;
    if (token !== "(") return ALLOWED.has((token ?? "").replace("\u0001", " WITH "));
    const fine = either();
    return tokens.shift() === ")" && fine;
  };
  return either() && whole && tokens.length === 0;
};

const problems = [];
const mustRefuse = [
  "GPL-3.0-only",
  "MIT AND GPL-3.0-only",
  "(MIT OR Apache-2.0) AND AGPL-3.0-only",
  "",
  "MIT OR",
];
const mustAllow = [
  "MIT",
  "MIT/Apache-2.0",
  "GPL-3.0-only OR MIT",
  "Apache-2.0 WITH LLVM-exception OR MIT",
  "(MIT OR Apache-2.0) AND Unicode-3.0",
];
if (mustRefuse.some(allows) || !mustAllow.every(allows))
  problems.push("this script no longer reads licence expressions right");

const metadata = JSON.parse(
  execFileSync(
    "cargo",
    [
      "metadata",
      "--locked",
      "--format-version",
      "1",
      "--filter-platform",
      "x86_64-unknown-linux-gnu",
    ],
    { maxBuffer: 1 << 28 },
  ),
);
const used = new Set(metadata.resolve.nodes.map((node) => node.id));
const crates = metadata.packages.filter((crate) => used.has(crate.id));
for (const { name, version, license, source } of crates) {
  if (name in BANNED) problems.push(`crate ${name} ${version}: ${BANNED[name]}`);
  if (!allows(license ?? ""))
    problems.push(`crate ${name} ${version}: licence ${license ?? "not given"}`);
  if (source && !source.startsWith("registry+"))
    problems.push(`crate ${name} ${version}: not from the registry`);
}

// The fuzz targets build the same crates. Their lock is read as text: `make check` does not need
// what only they download.
const packages = (lock) =>
  readFileSync(lock, "utf8")
    .split("[[package]]")
    .slice(1)
    .map((text) => ({
      name: text.match(/^name = "(.*)"/m)[1],
      version: text.match(/^version = "(.*)"/m)[1],
      source: text.match(/^source = "(.*)"/m)?.[1],
      uses: [...text.matchAll(/^ "([^" ]+)/gm)].map(([, name]) => name),
    }));
const locked = new Set(packages("Cargo.lock").map(({ name, version }) => `${name} ${version}`));
const fuzzed = packages(FUZZ_LOCK);
const renew = "`cp Cargo.lock fuzz/Cargo.lock && cargo metadata --manifest-path fuzz/Cargo.toml`";
for (const { name, version, source } of fuzzed) {
  if (!locked.has(`${name} ${version}`) && !(name in FUZZ_ONLY))
    problems.push(`${FUZZ_LOCK}: ${name} ${version} is not in Cargo.lock; ${renew} renews it`);
  if (source && !source.startsWith("registry+"))
    problems.push(`${FUZZ_LOCK}: ${name} ${version}: not from the registry`);
}
const direct = metadata.packages
  .find(({ name, source }) => name === "footfall" && !source)
  .dependencies.filter(({ kind }) => kind !== "dev")
  .map(({ name }) => name);
const known = fuzzed.find(({ name }) => name === "footfall").uses;
for (const name of direct)
  if (!known.includes(name)) problems.push(`${FUZZ_LOCK}: lacks ${name}; ${renew} renews it`);

const runsNoScripts = (lock) => {
  const npmrc = join(dirname(lock), ".npmrc");
  return (
    existsSync(npmrc) && readFileSync(npmrc, "utf8").split("\n").includes("ignore-scripts=true")
  );
};

let modules = 0;
for (const path of LOCKS) {
  for (const [place, entry] of Object.entries(JSON.parse(readFileSync(path)).packages)) {
    const name = place.replace(/^.*node_modules\//, "");
    if (!name) continue;
    modules += 1;
    const licence = entry.license ?? NPM_LICENCES[name];
    if (!allows(licence ?? ""))
      problems.push(`${path}: ${name}: licence ${licence ?? "not given"}`);
    if (entry.resolved) problems.push(`${path}: ${name} names where it was downloaded`);
    if (!entry.integrity) problems.push(`${path}: ${name} has no digest`);
    const harmless = name in SCRIPT_NOT_RUN && runsNoScripts(path);
    if (entry.hasInstallScript && !harmless)
      problems.push(`${path}: ${name} wants to run a script when installed`);
  }
}

for (const problem of problems) console.error(problem);
console.log(
  `dependencies: ${crates.length} crates, ${modules} npm packages, ${problems.length} refused`,
);
process.exitCode = problems.length ? 1 : 0;
