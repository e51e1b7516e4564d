//! The payload of a frame: totals in clear and, in an open segment, encrypted attributes.
//!
//! ```text
//! of an open segment    kind:u8 totals [rows number:u64 encrypted]
//!                       kind: 0 a batch, 1 the attributes carried from the segment before
//! of a sealed segment   totals attributes
//! ```
//!
//! `number` is the frame's among all frames of its process: the nonce. `rows` is the number of
//! encrypted rows, a varint, so that the number of lost rows is known even if the key is lost.
//! `encrypted` extends to the end: AES-256-GCM over `attributes`, with its tag.

use super::attribute_codec;
use super::format_v1;
use super::segment_file::SegmentFormat;
use super::segment_keys::SegmentCipher;
use super::totals_codec::{self, PayloadError, PayloadReader};
use crate::aggregate::{AttributeSums, SegmentDelta, SegmentSums};
use crate::varint::encode_varint;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FrameKind {
    Batch = 0,
    /// The first frame of every open segment: the attribute rows that the segment before did not
    /// release.
    Carried = 1,
}

/// The payload of an open segment's frame.
pub(super) struct OpenPayload<'a> {
    pub(super) kind: FrameKind,
    /// Without attributes, if they are encrypted.
    pub(super) delta: SegmentDelta,
    pub(super) encrypted: Option<EncryptedAttributes<'a>>,
}

/// Encrypted attributes, readable only with the key of their process.
pub(super) struct EncryptedAttributes<'a> {
    pub(super) rows: u64,
    number: u64,
    encrypted: &'a [u8],
}

pub(super) fn write_open_payload(
    out: &mut Vec<u8>,
    kind: FrameKind,
    delta: &SegmentDelta,
    cipher: &SegmentCipher,
    number: u64,
) {
    out.push(kind as u8);
    totals_codec::encode_totals(delta.first_string_id, &delta.sums, out);
    let attributes = &delta.sums.attributes;
    if attributes.rows.is_empty() {
        return;
    }
    encode_varint(out, attributes.rows.len() as u64);
    out.extend_from_slice(&number.to_le_bytes());
    let from = out.len();
    attribute_codec::encode_attributes(delta.first_attribute_string_id, attributes, out);
    cipher.encrypt(number, out, from);
}

pub(super) fn read_open_payload(
    payload: &[u8],
    format: SegmentFormat,
) -> Result<OpenPayload<'_>, PayloadError> {
    PayloadReader::decode_all(payload, |read| match format {
        SegmentFormat::V1 => Some(OpenPayload {
            kind: FrameKind::Batch,
            delta: format_v1::read_v1_delta(read)?,
            encrypted: None,
        }),
        SegmentFormat::V2 => {
            let kind = match read.read_byte()? {
                0 => FrameKind::Batch,
                1 => FrameKind::Carried,
                _ => return None,
            };

            let delta = read.read_totals()?;
            if read.is_at_end() {
                return Some(OpenPayload {
                    kind,
                    delta,
                    encrypted: None,
                });
            }
            let (rows, number) = (read.read_varint()?, u64::from_le_bytes(read.read_bytes()?));
            Some(OpenPayload {
                kind,
                delta,
                encrypted: Some(EncryptedAttributes {
                    rows,
                    number,
                    encrypted: read.read_rest(),
                }),
            })
        }
    })
}

impl EncryptedAttributes<'_> {
    /// The number of the first string, and the rows; `None` with another key.
    pub(super) fn decrypt_rows(&self, cipher: &SegmentCipher) -> Option<(u32, AttributeSums)> {
        let bytes = cipher.decrypt(self.number, self.encrypted)?;
        PayloadReader::decode_all(&bytes, attribute_codec::decode_attributes).ok()
    }
}

pub(super) fn write_sealed_payload(out: &mut Vec<u8>, sums: &SegmentSums) {
    totals_codec::encode_totals(0, sums, out);
    attribute_codec::encode_attributes(0, &sums.attributes, out);
}

pub(super) fn read_sealed_payload(
    payload: &[u8],
    format: SegmentFormat,
) -> Result<SegmentSums, PayloadError> {
    PayloadReader::decode_all(payload, |read| match format {
        SegmentFormat::V1 => format_v1::read_v1_delta(read).map(|delta| delta.sums),
        SegmentFormat::V2 => {
            let mut sums = read.read_totals()?.sums;
            (_, sums.attributes) = attribute_codec::decode_attributes(read)?;
            Some(sums)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::segment_file::SegmentId;
    use super::super::segment_keys::SegmentKeys;
    use super::super::{attribute_codec, totals_codec};
    use super::*;

    const ID: SegmentId = SegmentId {
        collector: 1,
        epoch: 2,
        number: 3,
    };

    fn contains(bytes: &[u8], text: &[u8]) -> bool {
        bytes.windows(text.len()).any(|window| window == text)
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_with_its_key_and_without_it_only_its_totals(
            mut delta in totals_codec::tests::delta(),
            attributes in attribute_codec::tests::sums(),
            (attribute_base, number) in any::<(u32, u64)>(),
        ) {
            (delta.sums.attributes, delta.first_attribute_string_id) = (attributes, attribute_base);
            let keys = SegmentKeys::in_memory(ID.epoch);
            let mut bytes = Vec::new();
            write_open_payload(&mut bytes, FrameKind::Carried, &delta, &keys.segment_cipher(ID).unwrap(), number);
            let read = read_open_payload(&bytes, SegmentFormat::V2).unwrap();
            let mut totals = read.delta;
            let expected = std::mem::take(&mut delta.sums.attributes);
            totals.first_attribute_string_id = attribute_base;
            prop_assert_eq!(totals, delta);
            prop_assert_eq!(read.kind, FrameKind::Carried);
            prop_assert_eq!(read.encrypted.as_ref().map_or(0, |hidden| hidden.rows), expected.rows.len() as u64);
            if let Some(hidden) = read.encrypted {
                prop_assert_eq!(hidden.decrypt_rows(&keys.segment_cipher(ID).unwrap()), Some((attribute_base, expected)));
                let other_segment = keys.segment_cipher(SegmentId { number: 4, ..ID }).unwrap();
                prop_assert!(hidden.decrypt_rows(&other_segment).is_none());
                let other_key = SegmentKeys::in_memory(ID.epoch);
                prop_assert!(hidden.decrypt_rows(&other_key.segment_cipher(ID).unwrap()).is_none());
            }
        }

        #[test]
        fn sealed_sums_read_back_as_they_were(delta in totals_codec::tests::delta(), attributes in attribute_codec::tests::sums()) {
            let sums = SegmentSums { attributes, ..delta.sums };
            let mut bytes = Vec::new();
            write_sealed_payload(&mut bytes, &sums);
            prop_assert_eq!(read_sealed_payload(&bytes, SegmentFormat::V2), Ok(sums));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for format in [SegmentFormat::V2, SegmentFormat::V1] {
                let _ = read_open_payload(&bytes, format);
                let _ = read_sealed_payload(&bytes, format);
            }
        }
    }

    #[test]
    fn no_text_of_an_attribute_stands_in_an_open_segment_in_clear() {
        let mut delta = SegmentDelta {
            first_string_id: 1,
            first_attribute_string_id: 1,
            sums: SegmentSums::default(),
        };
        delta.sums.strings = vec!["/u/mia/shop".into()];
        delta.sums.attributes =
            attribute_codec::tests::one_row(&["Europe/Berlin", "Alice's letter"]);
        let mut bytes = Vec::new();
        write_open_payload(
            &mut bytes,
            FrameKind::Batch,
            &delta,
            &SegmentKeys::in_memory(2).segment_cipher(ID).unwrap(),
            7,
        );
        assert!(contains(&bytes, b"/u/mia/shop"));
        assert!(!contains(&bytes, b"Alice") && !contains(&bytes, b"Berlin"));
        bytes.clear();
        write_sealed_payload(&mut bytes, &delta.sums);
        assert!(contains(&bytes, b"Alice") && contains(&bytes, b"Berlin"));
    }
}
