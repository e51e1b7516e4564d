//! The check of journal files that `make fuzz` runs.

use std::path::Path;
use std::sync::OnceLock;

use super::frame::{FRAME_OVERHEAD_BYTES, FrameScanner, SegmentRegion, write_frame};
use super::payload::{read_open_payload, read_sealed_payload, write_sealed_payload};
use super::recovery::{RecoverySummary, replay_frames};
use super::sealed_segment::parse_sealed_file;
use super::segment_file::{HEADER_BYTES, SegmentFormat, SegmentId};
use super::segment_keys::{SegmentCipher, SegmentKeys};
use super::totals_codec::{self, PayloadReader};
use crate::aggregate::SegmentSums;
use crate::varint::encode_varint;

const ID: SegmentId = SegmentId {
    collector: 1,
    epoch: 2,
    number: 3,
};

fn segment_cipher() -> &'static SegmentCipher {
    static CIPHER: OnceLock<SegmentCipher> = OnceLock::new();
    CIPHER.get_or_init(|| {
        let cipher = SegmentKeys::in_memory(ID.epoch).segment_cipher(ID);
        cipher.expect("the key of its own process")
    })
}

/// Reads a segment's file as a start after a crash does, and as the store's task does. The first
/// byte of `input` says what the rest is:
///
/// ```text
/// f      a file
/// o, 1   payloads of an open segment, of version 2 or 1; each follows its length, two bytes
/// s, S   the payload of a sealed segment, of version 2 or 1
/// a, c   attributes of a batch, or carried ones, before their encryption
/// ```
///
/// What was read is encoded again and reads the same. Returns the sums that are sent to the store;
/// `None` if there are none.
pub(crate) fn check_journal_segment(input: &[u8]) -> Option<SegmentSums> {
    let (what, rest) = input.split_first()?;
    match what {
        b'f' => check_file(rest),
        b'o' => check_file(&write_file(SegmentFormat::V2, &split_payloads(rest))),
        b'1' => check_file(&write_file(SegmentFormat::V1, &split_payloads(rest))),
        b's' => check_file(&write_file(SegmentFormat::V2, &[rest.to_vec()])),
        b'S' => check_file(&write_file(SegmentFormat::V1, &[rest.to_vec()])),
        b'a' | b'c' => {
            let payload = encrypt_attributes(u8::from(*what == b'c'), rest);
            check_file(&write_file(SegmentFormat::V2, &[payload]))
        }
        _ => None,
    }
}

/// The payloads, each after its length. The last one takes what is left.
fn split_payloads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        payloads.push(rest[..length].to_vec());
        bytes = &rest[length..];
    }
    payloads
}

/// A frame without totals and with these attributes.
fn encrypt_attributes(kind: u8, plain: &[u8]) -> Vec<u8> {
    let mut payload = vec![kind];
    totals_codec::encode_totals(1, &SegmentSums::default(), &mut payload);
    encode_varint(&mut payload, 1);
    payload.extend_from_slice(&7_u64.to_le_bytes());
    let from = payload.len();
    payload.extend_from_slice(plain);
    segment_cipher().encrypt(7, &mut payload, from);
    payload
}

fn write_file(format: SegmentFormat, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut file = ID.to_header_of(format).to_vec();
    for payload in payloads {
        write_frame(&mut file, |out| out.extend_from_slice(payload));
    }
    file
}

fn check_file(file: &[u8]) -> Option<SegmentSums> {
    check_regions(file);
    let (id, format) = SegmentId::parse_header(file)?;
    assert!(file.starts_with(&id.to_header_of(format)), "the header");

    for region in FrameScanner::new(file, HEADER_BYTES) {
        if let SegmentRegion::Frame(payload) = region {
            check_open_payload(payload, format);
            check_sealed_payload(payload, format);
        }
    }

    let sealed = parse_sealed_file(file).ok().map(|(_, sums)| sums);
    sealed.or_else(|| replay(file, id, format))
}

/// The regions of a file follow each other, and each frame is written as it was read.
fn check_regions(file: &[u8]) {
    let mut at = HEADER_BYTES;
    for region in FrameScanner::new(file, HEADER_BYTES) {
        at = match region {
            SegmentRegion::Frame(payload) => {
                let mut frame = Vec::new();
                write_frame(&mut frame, |out| out.extend_from_slice(payload));
                let end = at + FRAME_OVERHEAD_BYTES + payload.len();
                assert!(file[at..end] == frame, "a frame written again");
                end
            }
            SegmentRegion::Damage { at: from, next } => {
                assert!(from == at && next > at, "damage between frames");
                next
            }
            SegmentRegion::Torn { at: from, bytes } => {
                assert!(from == at && bytes > 0, "a torn end");
                assert!(at + bytes <= file.len(), "a torn end beyond the file");
                file.len()
            }
        };
        assert!(at <= file.len(), "a region beyond the file");
    }
}

fn check_open_payload(payload: &[u8], format: SegmentFormat) {
    let Ok(read) = read_open_payload(payload, format) else {
        return;
    };
    assert!(
        read.delta.sums.row_count() <= payload.len(),
        "a row takes a byte"
    );

    let mut again = Vec::new();
    totals_codec::encode_totals(read.delta.first_string_id, &read.delta.sums, &mut again);
    let mut totals = PayloadReader::decode_all(&again, PayloadReader::read_totals)
        .expect("written again it is no payload");
    totals.first_attribute_string_id = read.delta.first_attribute_string_id;
    totals
        .sums
        .attributes
        .clone_from(&read.delta.sums.attributes);
    assert!(totals == read.delta, "written again it is another batch");
}

fn check_sealed_payload(payload: &[u8], format: SegmentFormat) {
    let Ok(sums) = read_sealed_payload(payload, format) else {
        return;
    };
    let mut again = Vec::new();
    write_sealed_payload(&mut again, &sums);
    let read = read_sealed_payload(&again, SegmentFormat::V2);
    assert!(read == Ok(sums), "written again it is another segment");
}

/// The sums of an open segment's file. They are sealed and read as they are.
fn replay(file: &[u8], id: SegmentId, format: SegmentFormat) -> Option<SegmentSums> {
    let mut recovered = RecoverySummary::default();
    let path = Path::new("fuzz");
    let (replayed, frames, _) = replay_frames(
        file,
        path,
        (id, format),
        Some(segment_cipher()),
        &mut recovered,
    );
    let sums = replayed.into_sums();
    if frames == 0 || sums.row_count() == 0 {
        return None;
    }

    let mut sealed = id.to_header().to_vec();
    write_frame(&mut sealed, |out| write_sealed_payload(out, &sums));
    let read = parse_sealed_file(&sealed);
    assert!(
        read.is_ok_and(|(_, read)| read == sums),
        "sealed, it is another segment"
    );
    Some(sums)
}
