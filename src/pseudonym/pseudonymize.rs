//! Turns an admitted hit into an event: address and agent are replaced by a keyed hash.

use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroize;

use super::day_keys::DayKey;
use crate::calendar::{DaySpan, Millis};
use crate::config::VisitorMode;
use crate::consent::{AdmittedHit, ConsentId, HitCaller};
use crate::enrich::VisitAttributes;
use crate::event::{ClientAddress, HitDetail, HitKind, ResolvedSite, SiteId};
use crate::state_codec::{StateError, StateReader, StateWriter};

/// A visitor's value under the day's key. Deliberately without `Debug`, `Display`, `Clone` and
/// `Serialize`.
#[derive(PartialEq, Eq)]
pub struct VisitorKey([u8; 16]);

impl VisitorKey {
    /// Hash for tables in memory. The value is a keyed hash already, so its first bytes suffice.
    pub(crate) fn table_hash(&self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("8 of 16 bytes are 8"))
    }

    /// The part that is kept in the day's state in `visits`, the only place that keeps anything of
    /// a value longer than its event exists.
    pub(crate) fn to_stored(&self) -> StoredVisitorKey {
        StoredVisitorKey(self.0[..9].try_into().expect("9 of 16 bytes are 9"))
    }

    #[cfg(test)]
    pub(crate) fn for_tests(value: u128) -> VisitorKey {
        VisitorKey(value.to_le_bytes())
    }
}

/// The first 72 bits of a [`VisitorKey`], by which a visitor is found again until the day ends. With
/// a hundred million visitors a day, two have the same by chance once in a million days.
/// Deliberately without `Debug`, `Display`, `Clone` and `Serialize`.
#[derive(PartialEq, Eq)]
pub struct StoredVisitorKey([u8; 9]);

impl StoredVisitorKey {
    /// The same as [`VisitorKey::table_hash`] of the whole value.
    pub(crate) fn table_hash(&self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("8 of 9 bytes are 8"))
    }

    /// Writes the value for the process that takes over, which holds it in memory as this one does.
    pub(crate) fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_bytes(&self.0);
    }

    /// Reads a value of the process before.
    pub(crate) fn read_state(input: &mut StateReader<'_>) -> Result<StoredVisitorKey, StateError> {
        input.read_array().map(StoredVisitorKey)
    }
}

/// 48 bits of a keyed hash, for values that are only tested for membership. With a million visitors
/// a day, two have the same hash by chance once in 500 days: one network fewer is then counted, or
/// a grant that two visitors share. Deliberately without `Debug`, `Display` and `Serialize`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct MembershipHash([u8; 6]);

impl MembershipHash {
    fn new(hasher: &blake3::Hasher) -> MembershipHash {
        let mut bits = [0; 6];
        bits.copy_from_slice(&hasher.finalize().as_bytes()[..6]);
        MembershipHash(bits)
    }

    /// Hash for tables in memory. They use the lowest and the highest bits, so it is the 48 bits in
    /// the upper part, and in the lower part some of them again.
    pub(crate) fn table_hash(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, a, b, c, d, e, f])
    }

    /// Writes the hash for the process that takes over.
    pub(crate) fn write_state(self, out: &mut StateWriter<'_>) {
        out.put_bytes(&self.0);
    }

    /// Reads a hash of the process before.
    pub(crate) fn read_state(input: &mut StateReader<'_>) -> Result<MembershipHash, StateError> {
        input.read_array().map(MembershipHash)
    }

    #[cfg(test)]
    pub(crate) fn for_tests(value: u64) -> MembershipHash {
        let spread = blake3::hash(&value.to_le_bytes());
        MembershipHash(spread.as_bytes()[..6].try_into().unwrap())
    }
}

/// A hit's visitor: values under the day's key, without their input.
pub struct Visitor {
    /// Of the person, on this site.
    pub(crate) key: VisitorKey,
    /// The /24 or /48, on this site.
    pub(crate) network: MembershipHash,
    /// The same network, on any site.
    pub(crate) platform_network: MembershipHash,
    /// The grant that permitted the hit, on this site; `None` without a grant.
    pub(crate) grant: Option<MembershipHash>,
}

impl Visitor {
    /// The same values, for another hit of the same caller, site and day.
    fn duplicate(&self) -> Visitor {
        Visitor {
            key: VisitorKey(self.key.0),
            network: self.network,
            platform_network: self.platform_network,
            grant: self.grant,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(key: u128, network: u64, grant: Option<u64>) -> Visitor {
        Visitor {
            key: VisitorKey::for_tests(key),
            network: MembershipHash::for_tests(network),
            platform_network: MembershipHash::for_tests(network),
            grant: grant.map(MembershipHash::for_tests),
        }
    }
}

/// A hit that may be counted. All it has of the person who sent it are values that are wiped with
/// the day.
pub struct Event {
    /// The site it counts for.
    pub site: SiteId,
    /// The day it counts on; without its key.
    pub span: Arc<DaySpan>,
    /// Time of the hit, at or after the day's start.
    pub at: Millis,
    /// View, click, event, leave, vital or fault.
    pub kind: HitKind,
    /// `None` in the mode without visitors, and for vitals and faults, which are about pages.
    pub visitor: Option<Visitor>,
    /// Whether the visit cookie was absent; `None` in modes without one.
    pub without_cookie: Option<bool>,
    /// Path, link or event name.
    pub item: Box<str>,
    /// Cleaned or closed attribute values.
    pub facts: VisitAttributes,
    /// What only some kinds have: amount, measurement or fault.
    pub detail: HitDetail,
    /// The sender's id of the hit, by which a retry is recognised.
    pub id: Option<u128>,
    /// Milliseconds of engagement that the hit reports, or 0.
    pub engaged_ms: u32,
    /// Whether it prevents a bounce: a click, or an event that is not passive.
    pub interactive: bool,
}

/// Turns admitted hits into events. Remembers the values of the last hit's visitor, because the hits
/// of a request mostly have one visitor, site and day.
#[derive(Default)]
pub struct Pseudonymizer<'c> {
    last: Option<LastVisitor<'c>>,
}

struct LastVisitor<'c> {
    caller: &'c HitCaller<'c>,
    site: SiteId,
    key: Arc<DayKey>,
    visitor: Visitor,
}

impl<'c> Pseudonymizer<'c> {
    /// The only constructor of [`Event`]. Takes the hit by value, and returns no address and no agent.
    pub fn pseudonymize(
        &mut self,
        hit: AdmittedHit<'c>,
        site: ResolvedSite<'_>,
        item: Box<str>,
        facts: VisitAttributes,
        key: &Arc<DayKey>,
        mode: VisitorMode,
    ) -> Event {
        let payload = hit.payload();
        let about_nobody =
            mode == VisitorMode::None || matches!(payload.kind, HitKind::Vital | HitKind::Fault);
        let visitor = (!about_nobody).then(|| self.visitor_of(&hit, site.id, key));
        Event {
            site: site.id,
            span: Arc::clone(&key.span),
            at: hit.caller().request().received_at.max(key.span.start),
            kind: payload.kind,
            visitor,
            without_cookie: (mode == VisitorMode::FlagCookie).then(|| hit.without_visit_cookie()),
            item,
            facts,
            detail: payload.detail.clone(),
            id: payload.id,
            engaged_ms: payload.engaged_ms,
            interactive: match payload.kind {
                HitKind::Click => true,
                HitKind::Event => !payload.passive,
                HitKind::View | HitKind::Leave | HitKind::Vital | HitKind::Fault => false,
            },
        }
    }

    /// The visitor's values. They are the last ones only for the same caller, site and key: a
    /// caller's address, agent and grant do not change while it is borrowed.
    fn visitor_of(&mut self, hit: &AdmittedHit<'c>, site: SiteId, key: &Arc<DayKey>) -> Visitor {
        let caller = hit.caller();
        let is_last = |last: &&LastVisitor<'c>| {
            std::ptr::eq(last.caller, caller) && last.site == site && Arc::ptr_eq(&last.key, key)
        };
        if let Some(last) = self.last.as_ref().filter(is_last) {
            return last.visitor.duplicate();
        }

        let request = caller.request();
        let visitor = derive_visitor(
            key.secret.as_bytes(),
            site,
            &request.address,
            request.agent.expose(),
            hit.grant(),
        );
        self.last = Some(LastVisitor {
            caller,
            site,
            key: Arc::clone(key),
            visitor: visitor.duplicate(),
        });
        visitor
    }
}

/// Keyed BLAKE3 over a head of fixed size that begins with the value's purpose, so that no two
/// inputs share their bytes. In the visitor's input, the address is preceded by its length and the
/// agent is the rest.
fn derive_visitor(
    key: &[u8; 32],
    site: SiteId,
    address: &ClientAddress,
    agent: &str,
    grant: Option<&ConsentId>,
) -> Visitor {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher
        .update(&address_hash_input(b"visitor/v2", site, address.expose()))
        .update(agent.as_bytes());
    let value = finish_visitor_key(&hasher);
    let mut mark = |head: &[u8]| {
        hasher.reset().update(head);
        MembershipHash::new(&hasher)
    };
    let network = address.network();
    let visitor = Visitor {
        key: value,
        network: mark(&address_hash_input(b"network/v1", site, network)),
        platform_network: mark(&address_hash_input(
            b"network/v1",
            SiteId::PLATFORM,
            network,
        )),
        grant: grant.map(|id| mark(&grant_hash_input(site, id))),
    };
    // The hasher holds a copy of the key.
    hasher.zeroize();
    visitor
}

fn address_hash_input(of: &[u8; 10], site: SiteId, address: IpAddr) -> [u8; 44] {
    let mut head = [0; 44];
    head[..10].copy_from_slice(of);
    head[10..26].copy_from_slice(&site.as_u128().to_le_bytes());
    write_address(&mut head[26..], address);
    head
}

fn grant_hash_input(site: SiteId, id: &ConsentId) -> [u8; 42] {
    let mut head = [0; 42];
    head[..8].copy_from_slice(b"grant/v1");
    head[10..26].copy_from_slice(&site.as_u128().to_le_bytes());
    head[26..].copy_from_slice(&id.to_bytes());
    head
}

/// The address's length in bytes, then the address.
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

pub(super) fn finish_visitor_key(hasher: &blake3::Hasher) -> VisitorKey {
    let mut value = [0; 16];
    value.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    VisitorKey(value)
}

#[cfg(test)]
mod tests;
