//! A record as a line of JSON. It is serialized once; verification hashes the same bytes again.

use std::fmt::{self, Write};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::Hash;
use super::act::{Act, Layer, NewAct};
use super::head::Head;
use crate::consent::ConsentId;
use crate::event::{Day, Millis};
use crate::hex;

/// The length of `,"hash":"<64 hex>"}`, which follows the bytes that are hashed.
const SEAL: usize = 9 + 64 + 2;

/// The maximum length of a line in bytes. No record can be longer, because [`NewAct::check`] bounds
/// every text.
pub const LONGEST: usize = 4096;

/// Appends the line of a record, including its newline, and returns its hash.
pub fn write(out: &mut String, before: &Head, act: &NewAct, refers: Option<u64>) -> Hash {
    let start = out.len();
    body(out, before, act, refers).expect("writing to a string");
    let hash = sha256(&out.as_bytes()[start..]);
    writeln!(out, r#","hash":"{}"}}"#, hex::text(&hash)).expect("writing to a string");
    hash
}

fn body(out: &mut String, before: &Head, act: &NewAct, refers: Option<u64>) -> fmt::Result {
    write!(out, r#"{{"seq":{},"prev":"{}","id":"#, before.size + 1, hex::text(&before.hash))?;
    quoted(out, act.id.as_ref().map(ConsentId::hex))?;
    write!(out, r#","act":"{}","refers":"#, act.act.word())?;

    match refers {
        Some(seq) => write!(out, "{seq}")?,
        None => out.push_str("null"),
    }

    write!(out, r#","site":"{}","version":{},"policy":"#, act.site, act.version)?;
    quoted(out, act.texts.policy.as_ref().map(|digest| hex::text(digest)))?;
    write!(out, r#","register":"{}","#, hex::text(&act.texts.register))?;
    write!(out, r#""banner":"{}","#, hex::text(&act.texts.banner))?;
    write!(out, r#""lang":"{}","layer":"{}","purposes":{{"#, act.lang, act.layer.word())?;

    for (place, (name, granted)) in act.purposes.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(out, r#"{comma}"{name}":{granted}"#)?;
    }

    write!(out, r#"}},"gpc":{},"dnt":{},"at":"{}""#, act.gpc, act.dnt, hour(act.at))
}

/// Writes a text of hex digits, which needs no escaping.
fn quoted(out: &mut String, text: Option<String>) -> fmt::Result {
    match text {
        Some(text) => write!(out, r#""{text}""#),
        None => out.write_str("null"),
    }
}

/// The time of a record: the full hour, because a finer time could identify the visit. Old records
/// have the minute, in the same format.
fn hour(at: Millis) -> impl fmt::Display {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:00Z")
}

/// The UTC day of an instant.
pub fn day_of(at: Millis) -> Day {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    Day::from_date(at.to_zoned(TimeZone::UTC).date()).unwrap_or(Day::from_number(0))
}

/// The UTC day of a record, from its time as written.
pub fn day(at: &str) -> Day {
    let date = at.get(..10).and_then(|date| date.parse().ok());
    date.and_then(Day::from_date).unwrap_or(Day::from_number(0))
}

/// The SHA-256 digest of some bytes.
pub fn sha256(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The hash that a line ends with, if it is correct. `line` has no newline.
pub fn sealed(line: &[u8]) -> Option<Hash> {
    let (body, seal) = line.split_at_checked(line.len().checked_sub(SEAL)?)?;
    let told = hex::read(seal.strip_prefix(br#","hash":""#)?.strip_suffix(br#""}"#)?)?;
    (told == sha256(body)).then_some(told)
}

/// Whether these bytes without a newline can be the start of a record, as a crash leaves it.
pub fn begins_one(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<Fields<'_>>(bytes) {
        Ok(_) => sealed(bytes).is_some(),
        Err(error) => error.is_eof(),
    }
}

/// The fields of a line, borrowed from it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields<'a> {
    /// The number of the record, counted from 1.
    pub seq: u64,
    /// The hash of the record before, as hex digits.
    pub prev: &'a str,
    /// The consent id as hex digits; `None` for a refusal.
    pub id: Option<&'a str>,
    /// The kind of act.
    pub act: Act,
    /// The record of the grant that this one replaces or ends.
    pub refers: Option<u64>,
    #[expect(dead_code, reason = "must be there, and says nothing to the chain; so the others below")]
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
    layer: Layer,
    /// The purposes, and whether each is granted.
    #[serde(borrow)]
    pub purposes: Purposes<'a>,
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
pub struct Purposes<'a>(pub Vec<(&'a str, bool)>);

impl<'de: 'a, 'a> Deserialize<'de> for Purposes<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Purposes<'a>, D::Error> {
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
        from.deserialize_map(InOrder).map(Purposes)
    }
}
