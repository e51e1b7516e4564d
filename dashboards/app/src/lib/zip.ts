// Creates ZIP archives without compression: every system opens them, and the lists are small.

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let remainder = n;
  for (let i = 0; i < 8; i++)
    remainder = remainder & 1 ? 0xedb88320 ^ (remainder >>> 1) : remainder >>> 1;
  return remainder;
});
export const crc32 = (bytes: Uint8Array): number => {
  let crc = ~0;
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 255] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
};

/** Encodes the fields of a header in order, little-endian. */
const encodeFields = (...fields: [value: number, bytes: number][]): Uint8Array =>
  Uint8Array.from(
    fields.flatMap(([value, bytes]) =>
      Array.from({ length: bytes }, (_, i) => (value >>> (8 * i)) & 255),
    ),
  );

const UTF8_NAMES = 0x800;
/** 1 January 1980: the archive contains no timestamps. */
const NO_DATE = 0x21;

export const createZip = (files: { name: string; bytes: Uint8Array }[]): Blob => {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const { name, bytes } of files) {
    const path = new TextEncoder().encode(name);
    const entryFields: [number, number][] = [
      [20, 2],
      [UTF8_NAMES, 2],
      [0, 2],
      [0, 2],
      [NO_DATE, 2],
      [crc32(bytes), 4],
      [bytes.length, 4],
      [bytes.length, 4],
      [path.length, 2],
      [0, 2],
    ];
    const local = encodeFields([0x04034b50, 4], ...entryFields);
    parts.push(local, path, bytes);
    directory.push(
      encodeFields(
        [0x02014b50, 4],
        [20, 2],
        ...entryFields,
        [0, 2],
        [0, 2],
        [0, 2],
        [0, 4],
        [offset, 4],
      ),
      path,
    );
    offset += local.length + path.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = encodeFields(
    [0x06054b50, 4],
    [0, 2],
    [0, 2],
    [files.length, 2],
    [files.length, 2],
    [size, 4],
    [offset, 4],
    [0, 2],
  );
  return new Blob([...parts, ...directory, end] as BlobPart[], { type: "application/zip" });
};
