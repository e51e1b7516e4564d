//! One record as a line: written once, and read as the bytes it was written as.

use std::fmt::{self, Write};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::Hash;
use super::act::{Act, Layer, NewAct};
use super::chain::Head;
use crate::event::{Day, Millis};
use crate::hex;

/// `,"hash":"<64 hex>"}`: what follows the bytes that are hashed.
const SEAL: usize = 9 + 64 + 2;

/// Longer than any record can be: [`NewAct::check`] bounds every text.
pub const LONGEST: usize = 4096;

/// Appends the record's line, with its newline, and gives its hash.
pub fn write(out: &mut String, before: &Head, act: &NewAct, refers: Option<u64>) -> Hash {
    let start = out.len();
    body(out, before, act, refers).expect("writing to a string");
    let hash = sha256(&out.as_bytes()[start..]);
    writeln!(out, r#","hash":"{}"}}"#, hex::text(&hash)).expect("writing to a string");
    hash
}

fn body(out: &mut String, before: &Head, act: &NewAct, refers: Option<u64>) -> fmt::Result {
    write!(out, r#"{{"seq":{},"prev":"{}","id":"#, before.size + 1, hex::text(&before.hash))?;
    quoted(out, act.id.map(|id| id.hex()))?;
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

/// Texts that need no escaping: hex digits.
fn quoted(out: &mut String, text: Option<String>) -> fmt::Result {
    match text {
        Some(text) => write!(out, r#""{text}""#),
        None => out.write_str("null"),
    }
}

/// A finer time would tell which visit a record belongs to. Records of before hold the minute, in the same form.
fn hour(at: Millis) -> impl fmt::Display {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:00Z")
}

/// The UTC day of an act.
pub fn day_of(at: Millis) -> Day {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    Day::from_date(at.to_zoned(TimeZone::UTC).date()).unwrap_or(Day::from_number(0))
}

/// The UTC day of a record, from its time as it is written.
pub fn day(at: &str) -> Day {
    let date = at.get(..10).and_then(|date| date.parse().ok());
    date.and_then(Day::from_date).unwrap_or(Day::from_number(0))
}

pub fn sha256(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The hash of a line without its newline, if its bytes give the one it ends with.
pub fn sealed(line: &[u8]) -> Option<Hash> {
    let (body, seal) = line.split_at_checked(line.len().checked_sub(SEAL)?)?;
    let told = hex::read(seal.strip_prefix(br#","hash":""#)?.strip_suffix(br#""}"#)?)?;
    (told == sha256(body)).then_some(told)
}

/// Whether bytes without a newline can be what a crash left of a record's line.
pub fn begins_one(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<Fields<'_>>(bytes) {
        Ok(_) => sealed(bytes).is_some(),
        Err(error) => error.is_eof(),
    }
}

/// A line's fields, as they lie in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields<'a> {
    pub seq: u64,
    pub prev: &'a str,
    pub id: Option<&'a str>,
    pub act: Act,
    pub refers: Option<u64>,
    #[expect(dead_code, reason = "must be there, and says nothing to the chain; so the others below")]
    site: &'a str,
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
    #[serde(borrow)]
    pub purposes: Purposes<'a>,
    #[expect(dead_code, reason = "as site")]
    gpc: bool,
    #[expect(dead_code, reason = "as site")]
    dnt: bool,
    pub at: &'a str,
    #[expect(dead_code, reason = "compared as bytes, before anything is read")]
    hash: &'a str,
}

/// In the order they were shown.
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
