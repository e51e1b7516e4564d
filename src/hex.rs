//! Bytes as text: two lower-case hex digits per byte, and no other form.

use data_encoding::HEXLOWER;

/// The lower-case hex digits of `bytes`, twice as long as the input.
pub fn encode_lower(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Writes the lower-case hex digits of `bytes` without an allocation. Panics if `digits` is not
/// twice as long.
pub fn encode_lower_into(bytes: &[u8], digits: &mut [u8]) {
    HEXLOWER.encode_mut(bytes, digits);
}

/// The bytes of exactly `2 * N` lower-case hex digits, and `None` for anything else. Since bytes
/// have only one text form, texts can be compared directly. Does not allocate.
pub fn decode_lower<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || HEXLOWER.decode_mut(text, &mut bytes).is_err() {
        return None;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_and_have_one_form_only() {
        let bytes: [u8; 32] = std::array::from_fn(|n| (n * 9) as u8);
        let text = encode_lower(&bytes);
        assert_eq!((&text[..8], text.len()), ("0009121b", 64));
        assert_eq!(decode_lower(text.as_bytes()), Some(bytes));
        assert_eq!(decode_lower::<0>(b""), Some([]));
        for other in [
            text.to_uppercase(),
            text[1..].to_owned(),
            format!("{text}0"),
            format!("{text}00"),
            text.replace('b', "g"),
            text.replacen("00", "+0", 1),
            text.replacen("0009", "é9", 1),
            String::new(),
        ] {
            assert_eq!(decode_lower::<32>(other.as_bytes()), None, "{other}");
        }
    }
}
