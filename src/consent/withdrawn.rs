//! The grants that were withdrawn, known to the gate before the withdrawal is answered.
//!
//! Ids are kept as digests: withdrawals at other collectors arrive in this form, and a digest is of
//! no use for accessing anything.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Notify;

use super::id::ConsentId;
use crate::event::Day;

/// SHA-256 of a consent id in its text form of 32 hex digits.
pub type IdDigest = [u8; 32];

/// The set is consulted for every hit. It is sharded so that HTTP workers do not contend for one
/// lock.
const PARTS: usize = 16;

/// The maximum number of withdrawals returned by one call of `first_waiting`.
const AT_ONCE: usize = 1000;

/// The ids that were withdrawn completely. A copied cookie can outlive its withdrawal; an entry
/// here is never removed except by a new grant.
pub struct Withdrawn {
    parts: [RwLock<HashSet<IdDigest>>; PARTS],
    /// Withdrawals at this collector that were not yet sent to the others.
    waiting: Mutex<Vec<(IdDigest, Day)>>,
    /// The day before which no cookie that is still valid was issued.
    since: Day,
    noted: Notify,
}

impl Default for Withdrawn {
    fn default() -> Withdrawn {
        Withdrawn::since(Day::from_number(0))
    }
}

impl Withdrawn {
    /// An empty set. Withdrawals before `since` are not sent to other collectors, because no
    /// browser keeps a cookie that long.
    pub fn since(since: Day) -> Withdrawn {
        let parts = std::array::from_fn(|_| RwLock::default());
        Withdrawn { parts, waiting: Mutex::default(), since, noted: Notify::new() }
    }

    /// Whether the grant with this id was withdrawn.
    pub fn contains(&self, id: &ConsentId) -> bool {
        let digest = digest_of(id);
        self.part(&digest).read().unwrap_or_else(PoisonError::into_inner).contains(&digest)
    }

    /// Called by the ledger when a withdrawal is on disk and before it is answered. `on` is the UTC
    /// day of the withdrawal.
    pub fn insert(&self, id: &ConsentId, on: Day) {
        let digest = digest_of(id);
        self.learn(digest);
        if on >= self.since {
            self.waiting().push((digest, on));
            self.noted.notify_one();
        }
    }

    /// Called by the ledger when the same browser grants again.
    pub fn remove(&self, id: &ConsentId) {
        let digest = digest_of(id);
        self.part(&digest).write().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        self.waiting().retain(|(waiting, _)| *waiting != digest);
    }

    /// Called by the registry for a withdrawal at another collector.
    pub fn learn(&self, digest: IdDigest) {
        self.part(&digest).write().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// The oldest withdrawals that were not yet sent to the other collectors, 1000 at most.
    pub fn first_waiting(&self) -> Vec<(IdDigest, Day)> {
        self.waiting().iter().take(AT_ONCE).copied().collect()
    }

    /// Removes withdrawals that the other collectors know from the list of those to be sent.
    pub fn told(&self, known: &HashSet<IdDigest>) {
        self.waiting().retain(|(digest, _)| !known.contains(digest));
    }

    /// Waits until a withdrawal at this collector is to be sent.
    pub async fn noted(&self) {
        self.noted.notified().await;
    }

    /// The number of withdrawn grants.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether no grant was withdrawn.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn part(&self, digest: &IdDigest) -> &RwLock<HashSet<IdDigest>> {
        &self.parts[usize::from(digest[0]) % PARTS]
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(IdDigest, Day)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest_of(id: &ConsentId) -> IdDigest {
    digest(&SHA256, &id.digits()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Day = Day::from_number(20_000);

    #[test]
    fn an_id_is_withdrawn_until_it_grants_again_and_others_are_untouched() {
        let withdrawn = Withdrawn::default();
        let ids: Vec<ConsentId> = (0..100).map(|_| ConsentId::random()).collect();
        ids.iter().skip(1).for_each(|id| withdrawn.insert(id, TODAY));
        assert_eq!(withdrawn.len(), 99);
        assert!(!withdrawn.contains(&ids[0]) && ids[1..].iter().all(|id| withdrawn.contains(id)));
        withdrawn.remove(&ids[7]);
        assert!(!withdrawn.contains(&ids[7]) && withdrawn.len() == 98);
    }

    #[test]
    fn a_digest_is_what_anybody_makes_of_the_id_of_a_receipt() {
        let id = ConsentId::read("00112233445566778899aabbccddeeff").unwrap();
        let text = crate::hex::text(&digest_of(&id));
        // printf %s 00112233445566778899aabbccddeeff | sha256sum
        assert_eq!(text, "5947d7c33d783f94b3b4c1a96ebc8991ed28f1b069b71e03376cba8caa98a720");
    }

    #[test]
    fn what_was_withdrawn_here_waits_until_the_others_are_told_and_what_is_too_old_does_not() {
        let withdrawn = Withdrawn::since(TODAY);
        let ids: Vec<ConsentId> = (0..3).map(|_| ConsentId::random()).collect();
        withdrawn.insert(&ids[0], Day::from_number(19_999));
        withdrawn.insert(&ids[1], TODAY);
        withdrawn.insert(&ids[2], TODAY);
        withdrawn.learn([7; 32]);
        let waiting = withdrawn.first_waiting();
        assert_eq!(waiting, [(digest_of(&ids[1]), TODAY), (digest_of(&ids[2]), TODAY)]);
        assert_eq!(withdrawn.first_waiting(), waiting, "until they are told");
        withdrawn.told(&HashSet::from([digest_of(&ids[1])]));
        assert_eq!(withdrawn.first_waiting(), waiting[1..]);
        assert_eq!(withdrawn.len(), 4);
    }
}
