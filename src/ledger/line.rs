//! A record as a line of JSON. It is serialized once; verification hashes the same bytes again.

use std::fmt::{self, Write};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::Sha256Digest;
use super::act::{ActKind, NewAct, PromptLayer};
use super::chain_head::ChainHead;
use crate::calendar::{Day, Millis};
use crate::consent::ConsentId;
use crate::hex;

/// The length of `,"hash":"<64 hex>"}`, which follows the bytes that are hashed.
const HASH_SUFFIX_BYTES: usize = 9 + 64 + 2;

/// The maximum length of a line in bytes. No record can be longer, because
/// [`NewAct::validate_fields`] limits every text.
pub const MAX_LINE_BYTES: usize = 4096;

/// Appends the line of a record, including its newline, and returns its hash.
pub fn write_line(
    out: &mut String,
    before: &ChainHead,
    act: &NewAct,
    refers: Option<u64>,
) -> Sha256Digest {
    let start = out.len();
    write_body(out, before, act, refers).expect("writing to a string");
    let hash = sha256_digest(&out.as_bytes()[start..]);
    writeln!(out, r#","hash":"{}"}}"#, hex::encode_lower(&hash)).expect("writing to a string");
    hash
}

fn write_body(
    out: &mut String,
    before: &ChainHead,
    act: &NewAct,
    refers: Option<u64>,
) -> fmt::Result {
    write!(
        out,
        r#"{{"seq":{},"prev":"{}","id":"#,
        before.size + 1,
        hex::encode_lower(&before.hash)
    )?;
    write_quoted(out, act.id.as_ref().map(ConsentId::to_hex))?;
    write!(out, r#","act":"{}","refers":"#, act.act.name())?;

    match refers {
        Some(seq) => write!(out, "{seq}")?,
        None => out.push_str("null"),
    }

    write!(
        out,
        r#","site":"{}","version":{},"policy":"#,
        act.site, act.version
    )?;
    write_quoted(
        out,
        act.digests
            .policy
            .as_ref()
            .map(|digest| hex::encode_lower(digest)),
    )?;
    write!(
        out,
        r#","register":"{}","#,
        hex::encode_lower(&act.digests.register)
    )?;
    write!(
        out,
        r#""banner":"{}","#,
        hex::encode_lower(&act.digests.banner)
    )?;
    write!(
        out,
        r#""lang":"{}","layer":"{}","purposes":{{"#,
        act.lang,
        act.layer.name()
    )?;

    for (place, (name, granted)) in act.purposes.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(out, r#"{comma}"{name}":{granted}"#)?;
    }

    write!(
        out,
        r#"}},"gpc":{},"dnt":{},"at":"{}""#,
        act.gpc,
        act.dnt,
        format_hour(act.at)
    )
}

/// Writes a text of hex digits, which needs no escaping.
fn write_quoted(out: &mut String, text: Option<String>) -> fmt::Result {
    match text {
        Some(text) => write!(out, r#""{text}""#),
        None => out.write_str("null"),
    }
}

/// The time of a record: the full hour, because a finer time could identify the visit. Old records
/// have the minute, in the same format.
fn format_hour(at: Millis) -> impl fmt::Display {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:00Z")
}

/// The UTC day of an instant.
pub fn day_from_millis(at: Millis) -> Day {
    Day::from_utc(at).unwrap_or(Day::from_number(0))
}

/// The UTC day of a record, from its time as written.
pub fn day_from_text(at: &str) -> Day {
    let date = at.get(..10).and_then(|date| date.parse().ok());
    date.and_then(Day::from_date).unwrap_or(Day::from_number(0))
}

/// The SHA-256 digest of some bytes.
pub fn sha256_digest(bytes: &[u8]) -> Sha256Digest {
    digest(&SHA256, bytes)
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// The chain digest that a line ends with, if it is correct. `line` has no newline.
pub fn verified_chain_digest(line: &[u8]) -> Option<Sha256Digest> {
    let (body, seal) = line.split_at_checked(line.len().checked_sub(HASH_SUFFIX_BYTES)?)?;
    let told = hex::decode_lower(seal.strip_prefix(br#","hash":""#)?.strip_suffix(br#""}"#)?)?;
    (told == sha256_digest(body)).then_some(told)
}

/// Whether these bytes, without a newline, can be the start of a record, as left by a crash.
pub fn is_line_prefix(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<LedgerLine<'_>>(bytes) {
        Ok(_) => verified_chain_digest(bytes).is_some(),
        Err(error) => error.is_eof(),
    }
}

/// The fields of a line, borrowed from it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerLine<'a> {
    /// The number of the record, counted from 1.
    pub seq: u64,
    /// The hash of the record before, as hex digits.
    pub prev: &'a str,
    /// The consent id as hex digits; `None` for a refusal.
    pub id: Option<&'a str>,
    /// The kind of act.
    pub act: ActKind,
    /// The record of the grant that this one replaces or ends.
    pub refers: Option<u64>,
    #[expect(
        dead_code,
        reason = "must be there, and says nothing to the chain; so the others below"
    )]
    site: &'a str,
    /// The version of the consent prompt.
    pub version: u32,
    #[expect(dead_code, reason = "as site")]
    policy: Option<&'a str>,
    #[expect(dead_code, reason = "as site")]
    register: &'a str,
    #[expect(dead_code, reason = "as site")]
    banner: &'a str,
    #[expect(dead_code, reason = "as site")]
    lang: &'a str,
    #[expect(dead_code, reason = "as site")]
    layer: PromptLayer,
    /// The purposes, and whether each is granted.
    #[serde(borrow)]
    pub purposes: PurposeChoices<'a>,
    #[expect(dead_code, reason = "as site")]
    gpc: bool,
    #[expect(dead_code, reason = "as site")]
    dnt: bool,
    /// The hour (formerly the minute) of the act in UTC: `2026-03-10T12:00Z`.
    pub at: &'a str,
    #[expect(dead_code, reason = "compared as bytes, before anything is read")]
    hash: &'a str,
}

/// Purposes and whether each is granted, in the order shown.
pub struct PurposeChoices<'a>(pub Vec<(&'a str, bool)>);

impl<'de: 'a, 'a> Deserialize<'de> for PurposeChoices<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<PurposeChoices<'a>, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(&'de str, bool)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("purposes, each true or false")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut purposes = Vec::with_capacity(4);
                while let Some(entry) = map.next_entry()? {
                    purposes.push(entry);
                }
                Ok(purposes)
            }
        }
        from.deserialize_map(InOrder).map(PurposeChoices)
    }
}
