//! ClickHouse's own block framing, in which its clients compress inserts (`decompress=1`).
//!
//! Block: 16 bytes of CityHash128 over all that follows, 1 byte of method, u32 size of the compressed part with these 9 bytes
//! of header, u32 raw size, data. All little endian. ZSTD blocks are refused: no client of ours sends them.

use bytes::Bytes;

use super::Exception;

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const LZ4: u8 = 0x82;
const NONE: u8 = 0x02;

/// Undoes the framing. `limit` bounds the raw bytes, so that a small body cannot ask for much memory.
pub fn decode(body: &[u8], limit: usize) -> Result<Vec<Bytes>, Exception> {
    let mut blocks = Vec::new();
    let mut left = limit;
    let mut rest = body;
    while !rest.is_empty() {
        let (block, after) = split(rest).ok_or_else(|| corrupt("it ends inside a block"))?;
        if checksum(&block[CHECKSUM..]) != block[..CHECKSUM] {
            return Err(corrupt("a checksum does not match"));
        }
        let raw_size = size(block, CHECKSUM + 5);
        left = left.checked_sub(raw_size).ok_or_else(|| corrupt("it is too large"))?;
        let data = &block[CHECKSUM + HEADER..];
        let raw = match block[CHECKSUM] {
            LZ4 => lz4_flex::block::decompress(data, raw_size).map_err(|_| corrupt("a block is not LZ4"))?,
            NONE => data.to_vec(),
            _ => return Err(corrupt("its method is not LZ4")),
        };
        if raw.len() != raw_size {
            return Err(corrupt("a block is not of the size it claims"));
        }
        blocks.push(Bytes::from(raw));
        rest = after;
    }
    Ok(blocks)
}

fn split(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = rest.get(..CHECKSUM + HEADER)?;
    let compressed = size(header, CHECKSUM + 1);
    (compressed >= HEADER).then(|| rest.split_at_checked(CHECKSUM + compressed)).flatten()
}

fn size(block: &[u8], at: usize) -> usize {
    let bytes = [block[at], block[at + 1], block[at + 2], block[at + 3]];
    u32::from_le_bytes(bytes) as usize
}

fn checksum(covered: &[u8]) -> [u8; CHECKSUM] {
    cityhash_rs::cityhash_102_128(covered).rotate_right(64).to_le_bytes()
}

fn corrupt(reason: &str) -> Exception {
    Exception::new(271, "CANNOT_DECOMPRESS", &format!("the compressed body cannot be read: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(method: u8, data: &[u8], raw_size: usize) -> Vec<u8> {
        let mut covered = vec![method];
        covered.extend(u32::try_from(data.len() + HEADER).unwrap().to_le_bytes());
        covered.extend(u32::try_from(raw_size).unwrap().to_le_bytes());
        covered.extend(data);
        [checksum(&covered).to_vec(), covered].concat()
    }

    #[test]
    fn blocks_come_back_in_order() {
        let long = vec![7; 100_000];
        let body = [
            block(LZ4, &lz4_flex::block::compress(&long), long.len()),
            block(NONE, b"\n\nplain", 7),
            block(LZ4, &lz4_flex::block::compress(b""), 0),
        ]
        .concat();
        let raw = decode(&body, 1 << 20).ok().unwrap();
        assert_eq!(raw.concat(), [long, b"\n\nplain".to_vec()].concat());
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_an_error() {
        let body = block(LZ4, &lz4_flex::block::compress(b"some text, some text"), 20);
        for at in 0..body.len() {
            let mut damaged = body.clone();
            damaged[at] ^= 0x40;
            assert!(decode(&damaged, 1 << 20).is_err(), "byte {at}");
            assert!(at == 0 || decode(&body[..at], 1 << 20).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_block_that_claims_more_than_the_limit_is_refused_before_it_is_unpacked() {
        assert!(decode(&block(LZ4, b"x", u32::MAX as usize), 1 << 20).is_err());
    }
}
