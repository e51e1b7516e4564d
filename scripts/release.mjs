// target/release/footfall -> dist/footfall-VERSION-linux-x86_64.tar.gz, which runs on a Debian 12
// without Rust or Node: the stripped binary, the embedded engine and the country file beside it,
// documentation, sample configuration, a systemd unit, the licences of all parts, a CycloneDX bill
// of materials and SHA-256 sums.
//
//     node scripts/release.mjs BINARY [OUTPUT FOLDER]
//     node scripts/release.mjs --check        only whether each part has a licence text and its place
//                                             in the bill of materials
//
// The archive's bytes depend on the binary and the tree only: times are the last commit's (or
// SOURCE_DATE_EPOCH), owners are 0.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  createReadStream,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { crates, embeddedLists, npmPackages } from "./release/parts.mjs";
import { licences } from "./release/licences.mjs";
import { sbom } from "./release/sbom.mjs";

// What Debian 12 brings. The engine itself asks for less.
const GLIBC = [2, 36];
const LIBRARIES = /^(libc|libm|libdl|librt|libpthread|libgcc_s|ld-linux-x86-64)\.so/;
const ENGINE = "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";
const COUNTRIES =
  "node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb";

const [binary, output = "dist"] = process.argv.slice(2);
const checking = binary === "--check";
if (!binary) {
  console.error("usage: node scripts/release.mjs BINARY [OUTPUT FOLDER]");
  process.exit(2);
}

const run = (command, ...args) =>
  execFileSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
const seconds = Number(process.env.SOURCE_DATE_EPOCH ?? run("git", "log", "-1", "--format=%ct"));
const crateList = crates();
const parts = [...crateList.parts, ...npmPackages(), ...embeddedLists()];
if (checking) {
  const bytes = licences(parts).length + sbom(crateList, parts, Buffer.alloc(0), 0).length;
  console.log(`release: ${parts.length} parts, ${bytes} bytes of licences and bill of materials`);
  process.exit();
}

const name = `footfall-${crateList.version}-linux-x86_64`;
const folder = join(output, name);

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
run("strip", "-o", join(folder, "footfall"), binary);
copyFileSync(ENGINE, join(folder, "libchdb.so"));
copyFileSync(COUNTRIES, join(folder, "geo-whois-asn-country.mmdb"));
for (const file of ["footfall", "libchdb.so"]) checkNeeds(join(folder, file));

for (const file of ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE-MIT", "LICENSE-APACHE"])
  copyFileSync(file, join(folder, file));
cpSync("docs", join(folder, "docs"), { recursive: true });
cpSync("config", join(folder, "config"), { recursive: true });
cpSync("packaging", folder, { recursive: true, filter: (path) => !/\.(sh|mjs)$/.test(path) }); // without tools
writeFileSync(join(folder, "THIRD-PARTY-LICENCES.txt"), licences(parts));
writeFileSync(
  join(folder, "footfall.cdx.json"),
  sbom(crateList, parts, readFileSync(join(folder, "footfall")), seconds),
);

const sums = await Promise.all(
  filesBelow(folder).map(async (file) => `${await sha256(join(folder, file))}  ${file}\n`),
);
writeFileSync(join(folder, "SHA256SUMS"), sums.join(""));

const archive = `${name}.tar.gz`;
const order = [
  "--sort=name",
  "--owner=0",
  "--group=0",
  "--numeric-owner",
  "--mode=u+rw,go+r,go-w,a+X",
  `--mtime=@${seconds}`,
];
run(
  "tar",
  ...order,
  "--use-compress-program=gzip -n",
  "-cf",
  join(output, archive),
  "-C",
  output,
  name,
);
writeFileSync(
  join(output, `${archive}.sha256`),
  `${await sha256(join(output, archive))}  ${archive}\n`,
);
copyFileSync(join(folder, "footfall.cdx.json"), join(output, `${name}.cdx.json`));
console.log(`release: ${join(output, archive)}, ${parts.length} parts, ${sums.length + 1} files`);

/** No library but glibc's own, and no newer glibc than Debian 12 brings. */
function checkNeeds(file) {
  const needed = [...run("readelf", "--dynamic", file).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(
    ([, library]) => library,
  );
  const foreign = needed.filter((library) => !LIBRARIES.test(library));
  const versions = [...run("readelf", "--version-info", file).matchAll(/GLIBC_(\d+)\.(\d+)/g)].map(
    ([, major, minor]) => [+major, +minor],
  );
  const newest = versions.sort((a, b) => a[0] - b[0] || a[1] - b[1]).at(-1) ?? [2, 0];
  if (foreign.length > 0)
    throw new Error(`${file} needs ${foreign.join(", ")}, which a plain Debian may not have`);
  if (newest[1] > GLIBC[1])
    throw new Error(`${file} needs glibc ${newest.join(".")}; Debian 12 has ${GLIBC.join(".")}`);
  console.log(`${relative(output, file)}: needs ${needed.join(", ")}; glibc ${newest.join(".")}`);
}

function filesBelow(top) {
  const entries = readdirSync(top, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(top, join(entry.parentPath, entry.name)))
    .sort();
}

async function sha256(file) {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest("hex");
}
