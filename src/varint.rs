//! Numbers as LEB128: seven bits per byte, the lowest first, the top bit set in all but the last.
//! The journal's payloads and ClickHouse's Native format use it.

/// Appends a number, in 1 to 10 bytes.
pub fn encode_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The number at the start of `bytes`, and its length. `None` if it does not end within 10 bytes.
pub fn decode_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut n = 0;
    for (place, byte) in bytes.iter().take(10).enumerate() {
        n |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((n, place + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_reads_back_and_a_cut_one_does_not() {
        for (n, length) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (16_383, 2),
            (16_384, 3),
            (u64::MAX, 10),
        ] {
            let mut bytes = Vec::new();
            encode_varint(&mut bytes, n);
            assert_eq!(
                (bytes.len(), decode_varint(&bytes)),
                (length, Some((n, length)))
            );
            assert_eq!(decode_varint(&bytes[..length - 1]), None);
        }
        assert_eq!(decode_varint(&[0x80; 11]), None);
    }
}
