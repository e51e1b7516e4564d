//! An admitted hit becomes an event: the address and the agent go in, a keyed value comes out.

use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroize;

use super::day::{DayKey, DaySpan};
use crate::config::{Site, VisitorMode};
use crate::consent::AdmittedHit;
use crate::enrich::Facts;
use crate::event::{Detail, Kind, Millis, SiteId};

/// A visitor's value under the day's key. Deliberately without `Debug`, `Display` and `Serialize`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VisitorKey([u8; 16]);

impl VisitorKey {
    /// The bucket in memory. The value is already the output of a keyed hash, so its first bytes are as good as any.
    pub(super) fn bucket(&self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("8 of 16 bytes are 8"))
    }

    #[cfg(test)]
    pub(super) fn for_tests(value: u128) -> VisitorKey {
        VisitorKey(value.to_le_bytes())
    }
}

/// A hit that may be counted, without anything of the person it came from but a value that dies with the day.
pub struct Event {
    pub site: SiteId,
    /// The day it counts on; holds no key.
    pub span: Arc<DaySpan>,
    pub at: Millis,
    pub kind: Kind,
    /// `None` in the mode that tells nobody from anybody, and for what is about nobody.
    pub visitor: Option<VisitorKey>,
    /// Whether the visit cookie was absent; `None` in modes without one.
    pub without_cookie: Option<bool>,
    /// The path, the link or the event's name.
    pub item: Box<str>,
    pub facts: Facts,
    pub detail: Detail,
    pub id: Option<u128>,
    pub engaged_ms: u32,
    pub interactive: bool,
}

/// The only maker of an [`Event`]. Takes the hit by value: with it go the address and the agent.
pub fn seal(
    hit: AdmittedHit<'_>,
    site: Site<'_>,
    item: Box<str>,
    facts: Facts,
    key: &DayKey,
    mode: VisitorMode,
) -> Event {
    let payload = hit.payload();
    let about_nobody = mode == VisitorMode::None || matches!(payload.kind, Kind::Vital | Kind::Fault);
    let visitor = (!about_nobody).then(|| {
        let caller = hit.caller();
        visitor_key(key.salt.key(), site.id, caller.address.expose(), caller.agent.expose())
    });
    Event {
        site: site.id,
        span: Arc::clone(&key.span),
        at: hit.caller().at.max(key.span.start),
        kind: payload.kind,
        visitor,
        without_cookie: (mode == VisitorMode::FlagCookie).then(|| hit.without_visit_cookie()),
        item,
        facts,
        detail: payload.detail.clone(),
        id: payload.id,
        engaged_ms: payload.engaged_ms,
        interactive: match payload.kind {
            Kind::Click => true,
            Kind::Event => !payload.passive,
            Kind::View | Kind::Leave | Kind::Vital | Kind::Fault => false,
        },
    }
}

/// Keyed BLAKE3 over a head of fixed size, in which the address carries its length, and the agent as the rest: no two
/// different inputs give the same bytes.
fn visitor_key(key: &[u8; 32], site: SiteId, address: IpAddr, agent: &str) -> VisitorKey {
    let mut head = [0_u8; 44];
    head[..10].copy_from_slice(b"visitor/v2");
    head[10..26].copy_from_slice(&site.as_u128().to_le_bytes());
    write_address(&mut head[26..], address);
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&head).update(agent.as_bytes());
    let value = value_of(&hasher);
    // The hasher holds a copy of the key.
    hasher.zeroize();
    value
}

/// The address's length, then the address.
pub(super) fn write_address(into: &mut [u8], address: IpAddr) {
    let length = match address {
        IpAddr::V4(v4) => {
            into[1..5].copy_from_slice(&v4.octets());
            4
        }
        IpAddr::V6(v6) => {
            into[1..17].copy_from_slice(&v6.octets());
            16
        }
    };
    into[0] = length;
}

pub(super) fn value_of(hasher: &blake3::Hasher) -> VisitorKey {
    let mut value = [0; 16];
    value.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    VisitorKey(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: u8, site: &str, address: &str, agent: &str) -> [u8; 16] {
        visitor_key(&[key; 32], SiteId::of(site), address.parse().unwrap(), agent).0
    }

    #[test]
    fn the_same_person_is_another_value_on_another_site_day_address_or_agent() {
        let one = value(1, "mia", "198.51.100.7", "Firefox");
        assert_eq!(one, value(1, "mia", "198.51.100.7", "Firefox"));
        let others = [
            value(2, "mia", "198.51.100.7", "Firefox"),
            value(1, "tom", "198.51.100.7", "Firefox"),
            value(1, "mia", "198.51.100.8", "Firefox"),
            value(1, "mia", "198.51.100.7", "Firefo"),
            value(1, "mia", "2001:db8::7", "Firefox"),
        ];
        assert!(others.iter().all(|other| *other != one));
    }
}
