//! The check of ledger lines that `make fuzz` runs.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::act::{NewAct, PromptDigests, PromptLayer};
use super::chain::ChainReader;
use super::chain_head::ChainHead;
use super::line::{self, LedgerLine, MAX_LINE_BYTES};
use super::record_reader::parse_record;
use super::{Sha256Digest, sha256_digest};
use crate::consent::ConsentId;
use crate::hex;

/// All that can be wrong with a line. No other text is in an error, so nothing of a record is.
const KNOWN_FAULTS: [&str; 9] = [
    "is damaged: its bytes do not give the hash it ends with",
    "is no record as this version knows it, at column #",
    "is no UTF-#",
    "is missing: record # is in its place",
    "has record # in its place, a second time or out of order",
    "does not follow record #: its `prev` is another hash",
    "has an id that is not # lower-case hex digits",
    "is unknown: the line about the cut cannot be read",
    "does not end where a record ends",
];
/// In a body, it stands for the hash of the line before.
const PREV_PLACEHOLDER: &str = "PREV";

/// Reads a ledger. With `h` as the first byte, each line of `input` is a record without its hash,
/// which is appended, as no input can guess one. A record that is accepted reads the same alone, is
/// accepted as torn when it is cut, and is written again with the same fields. Returns whether a
/// record was accepted.
pub(crate) fn check_ledger_line(input: &[u8]) -> bool {
    let ledger = match input.strip_prefix(b"h") {
        Some(bodies) => append_hashes(bodies),
        None => input.to_vec(),
    };

    let Ok(mut chain) = ChainReader::new(&*ledger, Path::new("fuzz")).inspect_err(check_fault)
    else {
        return false;
    };
    let mut records = 0;
    loop {
        let before = chain.head();
        match chain.next_record() {
            Ok(Some(record)) => {
                records += 1;
                assert!(record.text.len() < MAX_LINE_BYTES, "a long line");
                assert_eq!(record.fields.seq, before.size + 1, "the number");
                assert!(record.id.is_some() == record.fields.id.is_some(), "the id");
                check_alone(record.text);
                check_torn(record.text);
                check_written_again(record.text, &before);
            }
            Ok(None) => break,
            Err(error) => {
                check_fault(&error);
                break;
            }
        }
    }
    assert!(chain.end_offset() <= ledger.len() as u64, "the end");
    records > 0
}

fn append_hashes(bodies: &[u8]) -> Vec<u8> {
    let (mut ledger, mut prev) = (Vec::new(), [0; 32]);
    for body in bodies.split(|byte| *byte == b'\n') {
        let hex_prev = hex::encode_lower(&prev);
        let body = match std::str::from_utf8(body) {
            Ok(text) => text.replace(PREV_PLACEHOLDER, &hex_prev).into_bytes(),
            Err(_) => body.to_vec(),
        };
        prev = sha256_digest(&body);
        ledger.extend_from_slice(&body);
        let suffix = format!(",\"hash\":\"{}\"}}\n", hex::encode_lower(&prev));
        ledger.extend_from_slice(suffix.as_bytes());
    }
    ledger
}

/// An error is one of the known ones, apart from its numbers.
fn check_fault(error: &super::LedgerError) {
    let super::LedgerError::Damaged { what, .. } = error else {
        panic!("an error that reading bytes cannot have");
    };
    let mut text = String::new();
    for c in what.chars() {
        match (c.is_ascii_digit(), text.ends_with('#')) {
            (true, true) => {}
            (true, false) => text.push('#'),
            (false, _) => text.push(c),
        }
    }
    assert!(
        KNOWN_FAULTS.contains(&&*text),
        "an error with an unknown text"
    );
    assert!(what.len() <= text.len() + 20, "an error with a long number");
}

fn check_alone(text: &str) {
    let record = parse_record(text.as_bytes());
    let alone = record.expect("a line of the chain is no record alone");
    assert!(alone.line == text, "another line alone");
    let fields = parse_fields(text);
    assert!(
        (alone.seq, alone.act, alone.refers) == (fields.seq, fields.act, fields.refers),
        "another record alone"
    );
}

/// A crash can cut a line anywhere. It is cut in one place, which depends on its bytes.
fn check_torn(text: &str) {
    let place = usize::from(sha256_digest(text.as_bytes())[0]) * text.len() / 256;
    let cut = &text.as_bytes()[..place.max(1)];
    assert!(line::is_line_prefix(cut), "a cut line is damage");
}

fn check_written_again(text: &str, before: &ChainHead) {
    let Some(act) = act_from_line(text) else {
        return;
    };
    if act.validate_fields().is_err() {
        return;
    }

    let mut written = String::new();
    line::write_line(&mut written, before, &act, parse_fields(text).refers);
    assert!(written.len() <= MAX_LINE_BYTES, "a long line");
    let again = written.trim_end_matches('\n');
    check_alone(again);

    let without_time = |text: &str| {
        let mut value: Value = serde_json::from_str(text).expect("a line is JSON");
        value["at"].take();
        value["hash"].take();
        value
    };
    assert!(
        without_time(again) == without_time(text),
        "written again it is another act"
    );
}

fn parse_fields(text: &str) -> LedgerLine<'_> {
    serde_json::from_str(text).expect("it was read before")
}

/// The act that a line records; `None` if its digests or its time are not as we write them.
fn act_from_line(text: &str) -> Option<NewAct> {
    let value: Value = serde_json::from_str(text).ok()?;
    let digest = |key: &str| hex::decode_lower::<32>(value[key].as_str()?.as_bytes());
    let policy: Option<Sha256Digest> = match &value["policy"] {
        Value::Null => None,
        _ => Some(digest("policy")?),
    };
    let fields = parse_fields(text);
    let at: Timestamp = fields.at.replace('Z', ":00Z").parse().ok()?;

    Some(NewAct {
        id: fields.id.and_then(ConsentId::from_hex),
        act: fields.act,
        site: value["site"].as_str()?.into(),
        version: fields.version,
        digests: PromptDigests {
            policy,
            register: digest("register")?,
            banner: digest("banner")?,
        },
        lang: value["lang"].as_str()?.into(),
        layer: PromptLayer::from_name(value["layer"].as_str()?)?,
        purposes: fields
            .purposes
            .0
            .iter()
            .map(|(name, granted)| ((*name).to_owned(), *granted))
            .collect(),
        gpc: value["gpc"].as_bool()?,
        dnt: value["dnt"].as_bool()?,
        at: at.as_millisecond(),
    })
}
