//! The random number that ties a grant in a browser to its records in the ledger.
//!
//! It is the only value that distinguishes grants, so it is written to three places only: the
//! cookie, the ledger with its index, and a receipt for the holder of the cookie. It cannot be printed, and
//! `tests/it/layers.rs` lists the modules that may name it.

use crate::hex;
use crate::random::random_bytes;

/// 128 random bits, made at a grant. Written as 32 lower-case hex digits, and in no other form.
#[derive(PartialEq, Eq, Hash)]
pub struct ConsentId(u128);

impl ConsentId {
    /// A new id, from the operating system's generator.
    pub fn random() -> ConsentId {
        ConsentId(u128::from_le_bytes(random_bytes()))
    }

    /// `None` for anything but exactly 32 lower-case hex digits: one id has one form, so texts can
    /// be compared as bytes.
    pub fn from_hex(text: &str) -> Option<ConsentId> {
        hex::decode_lower(text.as_bytes()).map(|bytes| ConsentId(u128::from_be_bytes(bytes)))
    }

    /// The id whose [`ConsentId::to_bytes`] these are: for the index of the ledger.
    pub fn from_bytes(bytes: [u8; 16]) -> ConsentId {
        ConsentId(u128::from_le_bytes(bytes))
    }

    /// A copy that outlives the request: for the ledger, and for the cookie that is made with its
    /// record.
    pub fn duplicate_id(&self) -> ConsentId {
        ConsentId(self.0)
    }

    /// For the cookie and the ledger; never for a log or an error.
    pub fn to_hex(&self) -> String {
        hex::encode_lower(&self.0.to_be_bytes())
    }

    /// [`ConsentId::to_hex`] without an allocation: this runs for every request with hits.
    pub(super) fn to_hex_digits(&self) -> [u8; 32] {
        let mut digits = [0; 32];
        hex::encode_lower_into(&self.0.to_be_bytes(), &mut digits);
        digits
    }

    /// The id as input of a keyed hash.
    pub fn to_bytes(&self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_own_form_and_no_other() {
        let text = "00fe0123456789abcdef0123456789ab";
        assert_eq!(ConsentId::from_hex(text).unwrap().to_hex(), text);
        let id = ConsentId::random();
        assert!(ConsentId::from_hex(&id.to_hex()).as_ref() == Some(&id));
        assert_eq!(id.to_hex_digits(), id.to_hex().as_bytes());
        for other in [
            "",
            &text[1..],
            &format!("{text}0"),
            &text.to_uppercase(),
            &text.replace('f', "+"),
            &text.replace('f', "é"),
        ] {
            assert!(ConsentId::from_hex(other).is_none(), "{other}");
        }
    }

    #[test]
    fn two_ids_differ() {
        assert!(ConsentId::random() != ConsentId::random());
    }
}
