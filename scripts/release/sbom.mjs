// The bill of materials as CycloneDX 1.6 JSON: https://cyclonedx.org/docs/1.6/json/. The same
// inputs give the same bytes.
import { createHash } from "node:crypto";

export function sbom({ version, needs }, parts, binary, seconds) {
  const own = `pkg:generic/footfall@${version}`;
  const document = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: new Date(seconds * 1000).toISOString().replace(".000Z", "Z"),
      component: {
        type: "application",
        "bom-ref": own,
        name: "footfall",
        version,
        purl: own,
        licenses: [{ expression: "MIT OR Apache-2.0" }],
        hashes: [{ alg: "SHA-256", content: createHash("sha256").update(binary).digest("hex") }],
      },
    },
    components: parts.map((part) => ({
      type: part.type,
      "bom-ref": part.purl,
      name: part.name,
      version: part.version,
      purl: part.purl,
      licenses: [{ expression: part.license }],
      ...(part.hash ? { hashes: [part.hash] } : {}),
    })),
    dependencies: [
      {
        ref: own,
        dependsOn: unique([
          ...needs,
          ...parts.filter((part) => !part.purl.startsWith("pkg:cargo/")).map((part) => part.purl),
        ]),
      },
      ...parts.map((part) => ({ ref: part.purl, dependsOn: unique(part.needs) })),
    ],
  };
  const digest = createHash("sha256").update(JSON.stringify(document)).digest("hex");
  const part = (from, to) => digest.slice(from, to);
  const uuid = `${part(0, 8)}-${part(8, 12)}-5${part(13, 16)}-8${part(17, 20)}-${part(20, 32)}`;
  return `${JSON.stringify({ serialNumber: `urn:uuid:${uuid}`, ...document }, null, 1)}\n`;
}

function unique(list) {
  return [...new Set(list)].sort();
}
