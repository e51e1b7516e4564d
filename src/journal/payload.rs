//! The payload of a frame: totals in clear and, in an open segment, encrypted attributes.
//!
//! ```text
//! of an open segment    kind:u8 totals [rows number:u64 encrypted]
//!                       kind: 0 a batch, 1 the attributes carried from the segment before
//! of a sealed segment   totals attributes
//! ```
//!
//! `number` is the frame's among all frames of its process: the nonce. `rows` is the number of
//! encrypted rows, a varint, so that a lost key still tells how much is lost. `encrypted` extends
//! to the end: AES-256-GCM over `attributes`, with its tag.

use super::attributes;
use super::code::{self, BadPayload, Reader, varint};
use super::file::Format;
use super::former;
use super::key::Cipher;
use crate::aggregate::{AttributeSums, Delta, Sums};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Batch = 0,
    /// The first frame of every open segment: the attribute rows that the segment before did not
    /// release.
    Carried = 1,
}

/// The payload of an open segment's frame.
pub(super) struct Open<'a> {
    pub(super) kind: Kind,
    /// Without attributes, if they are hidden.
    pub(super) delta: Delta,
    pub(super) hidden: Option<Hidden<'a>>,
}

/// Encrypted attributes, readable with the key of their process only.
pub(super) struct Hidden<'a> {
    pub(super) rows: u64,
    number: u64,
    encrypted: &'a [u8],
}

pub(super) fn write_open(out: &mut Vec<u8>, kind: Kind, delta: &Delta, cipher: &Cipher, number: u64) {
    out.push(kind as u8);
    code::encode(delta.base, &delta.sums, out);
    let attributes = &delta.sums.attributes;
    if attributes.rows.is_empty() {
        return;
    }
    varint(out, attributes.rows.len() as u64);
    out.extend_from_slice(&number.to_le_bytes());
    let from = out.len();
    attributes::encode(delta.attribute_base, attributes, out);
    cipher.encrypt(number, out, from);
}

pub(super) fn read_open(payload: &[u8], format: Format) -> Result<Open<'_>, BadPayload> {
    Reader::all(payload, |read| match format {
        Format::Former => Some(Open { kind: Kind::Batch, delta: former::delta(read)?, hidden: None }),
        Format::Current => {
            let kind = match read.byte()? {
                0 => Kind::Batch,
                1 => Kind::Carried,
                _ => return None,
            };

            let delta = read.totals()?;
            if read.is_at_end() {
                return Some(Open { kind, delta, hidden: None });
            }
            let (rows, number) = (read.varint()?, u64::from_le_bytes(read.bytes()?));
            Some(Open { kind, delta, hidden: Some(Hidden { rows, number, encrypted: read.rest() }) })
        }
    })
}

impl Hidden<'_> {
    /// The number of the first string, and the rows; `None` with another key.
    pub(super) fn decrypt(&self, cipher: &Cipher) -> Option<(u32, AttributeSums)> {
        let bytes = cipher.decrypt(self.number, self.encrypted)?;
        Reader::all(&bytes, attributes::decode).ok()
    }
}

pub(super) fn write_sealed(out: &mut Vec<u8>, sums: &Sums) {
    code::encode(0, sums, out);
    attributes::encode(0, &sums.attributes, out);
}

pub(super) fn read_sealed(payload: &[u8], format: Format) -> Result<Sums, BadPayload> {
    Reader::all(payload, |read| match format {
        Format::Former => former::delta(read).map(|delta| delta.sums),
        Format::Current => {
            let mut sums = read.totals()?.sums;
            (_, sums.attributes) = attributes::decode(read)?;
            Some(sums)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::file::SegmentId;
    use super::super::key::Keys;
    use super::super::{attributes, code};
    use super::*;

    const ID: SegmentId = SegmentId { collector: 1, epoch: 2, number: 3 };

    fn contains(bytes: &[u8], text: &[u8]) -> bool {
        bytes.windows(text.len()).any(|window| window == text)
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_with_its_key_and_without_it_only_its_totals(
            mut delta in code::tests::delta(),
            attributes in attributes::tests::sums(),
            (attribute_base, number) in any::<(u32, u64)>(),
        ) {
            (delta.sums.attributes, delta.attribute_base) = (attributes, attribute_base);
            let keys = Keys::in_memory(ID.epoch);
            let mut bytes = Vec::new();
            write_open(&mut bytes, Kind::Carried, &delta, &keys.cipher(ID).unwrap(), number);
            let read = read_open(&bytes, Format::Current).unwrap();
            let mut totals = read.delta;
            let expected = std::mem::take(&mut delta.sums.attributes);
            totals.attribute_base = attribute_base;
            prop_assert_eq!(totals, delta);
            prop_assert_eq!(read.kind, Kind::Carried);
            prop_assert_eq!(read.hidden.as_ref().map_or(0, |hidden| hidden.rows), expected.rows.len() as u64);
            if let Some(hidden) = read.hidden {
                prop_assert_eq!(hidden.decrypt(&keys.cipher(ID).unwrap()), Some((attribute_base, expected)));
                let other_segment = keys.cipher(SegmentId { number: 4, ..ID }).unwrap();
                prop_assert!(hidden.decrypt(&other_segment).is_none());
                let other_key = Keys::in_memory(ID.epoch);
                prop_assert!(hidden.decrypt(&other_key.cipher(ID).unwrap()).is_none());
            }
        }

        #[test]
        fn sealed_sums_read_back_as_they_were(delta in code::tests::delta(), attributes in attributes::tests::sums()) {
            let sums = Sums { attributes, ..delta.sums };
            let mut bytes = Vec::new();
            write_sealed(&mut bytes, &sums);
            prop_assert_eq!(read_sealed(&bytes, Format::Current), Ok(sums));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for format in [Format::Current, Format::Former] {
                let _ = read_open(&bytes, format);
                let _ = read_sealed(&bytes, format);
            }
        }
    }

    #[test]
    fn no_text_of_an_attribute_stands_in_an_open_segment_in_clear() {
        let mut delta = Delta { base: 1, attribute_base: 1, sums: Sums::default() };
        delta.sums.strings = vec!["/u/mia/shop".into()];
        delta.sums.attributes = attributes::tests::one_row(&["Europe/Berlin", "Alice's letter"]);
        let mut bytes = Vec::new();
        write_open(&mut bytes, Kind::Batch, &delta, &Keys::in_memory(2).cipher(ID).unwrap(), 7);
        assert!(contains(&bytes, b"/u/mia/shop"));
        assert!(!contains(&bytes, b"Alice") && !contains(&bytes, b"Berlin"));
        bytes.clear();
        write_sealed(&mut bytes, &delta.sums);
        assert!(contains(&bytes, b"Alice") && contains(&bytes, b"Berlin"));
    }
}
