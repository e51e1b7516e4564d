//! Digests as text: 64 lower-case hex digits and no other form.

use super::Hash;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

pub fn text(hash: &Hash) -> String {
    let digits = hash.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

pub fn read(text: &[u8]) -> Option<Hash> {
    let text: &[u8; 64] = text.try_into().ok()?;
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_and_has_one_form_only() {
        let hash: Hash = std::array::from_fn(|n| (n * 9) as u8);
        let text = text(&hash);
        assert_eq!(&text[..8], "0009121b");
        assert_eq!(read(text.as_bytes()), Some(hash));
        for other in [text.to_uppercase(), text[1..].to_owned(), format!("{text}0"), text.replace('b', "g")] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
    }
}
