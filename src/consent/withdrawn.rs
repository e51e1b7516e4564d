//! The grants that were withdrawn. The gate has an entry before the response to the withdrawal is
//! sent.
//!
//! Ids are kept as digests: withdrawals at other collectors arrive in this form, and a digest gives
//! no access to anything.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::Notify;

use super::id::ConsentId;
use crate::calendar::Day;
use crate::state_codec::{StateError, StateReader, StateWriter};

/// SHA-256 of a consent id in its text form of 32 hex digits.
pub type ConsentIdDigest = [u8; 32];

/// The set is consulted for every request with hits. It is sharded so that HTTP workers do not
/// contend for one lock.
const SHARD_COUNT: usize = 16;

/// The maximum number of withdrawals returned by one call of `oldest_unsent`.
const MAX_UNSENT_BATCH: usize = 1000;

/// The ids that were withdrawn completely. A copied cookie can outlive its withdrawal; an entry
/// here is never removed except by a new grant.
pub struct WithdrawnGrants {
    parts: [RwLock<HashSet<ConsentIdDigest>>; SHARD_COUNT],
    /// Withdrawals at this collector that were not yet sent to the others.
    unsent: Mutex<Vec<(ConsentIdDigest, Day)>>,
    /// The day before which no cookie that is still valid was issued.
    since: Day,
    unsent_added: Notify,
}

/// What was withdrawn when another process took over.
#[derive(Default)]
pub struct InheritedWithdrawals(Vec<ConsentIdDigest>);

impl Default for WithdrawnGrants {
    fn default() -> WithdrawnGrants {
        WithdrawnGrants::empty_since(Day::from_number(0))
    }
}

impl WithdrawnGrants {
    /// An empty set. Withdrawals before `since` are not sent to other collectors, because no
    /// browser keeps a cookie that long.
    pub fn empty_since(since: Day) -> WithdrawnGrants {
        let parts = std::array::from_fn(|_| RwLock::default());
        WithdrawnGrants {
            parts,
            unsent: Mutex::default(),
            since,
            unsent_added: Notify::new(),
        }
    }

    /// Whether the grant with this id was withdrawn.
    pub fn contains(&self, id: &ConsentId) -> bool {
        let digest = digest_id(id);
        self.shard_of(&digest)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&digest)
    }

    /// Called by the ledger when a withdrawal is on disk and before the response is sent. `on` is
    /// the UTC day of the withdrawal.
    pub fn insert(&self, id: &ConsentId, on: Day) {
        let digest = digest_id(id);
        self.insert_digest(digest);
        if on >= self.since {
            self.lock_unsent().push((digest, on));
            self.unsent_added.notify_one();
        }
    }

    /// Called by the ledger when the same browser grants again.
    pub fn remove(&self, id: &ConsentId) {
        let digest = digest_id(id);
        self.shard_of(&digest)
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&digest);
        self.lock_unsent().retain(|(waiting, _)| *waiting != digest);
    }

    /// The digest of a grant's id, for the other collectors.
    pub fn id_digest(id: &ConsentId) -> ConsentIdDigest {
        digest_id(id)
    }

    /// Called by the registry for a withdrawal at another collector.
    pub fn insert_digest(&self, digest: ConsentIdDigest) {
        self.shard_of(&digest)
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(digest);
    }

    /// The oldest withdrawals that were not yet sent to the other collectors, 1000 at most.
    pub fn oldest_unsent(&self) -> Vec<(ConsentIdDigest, Day)> {
        self.lock_unsent()
            .iter()
            .take(MAX_UNSENT_BATCH)
            .copied()
            .collect()
    }

    /// Removes withdrawals that are in the store from the list of those to be sent.
    pub fn remove_sent(&self, known: &HashSet<ConsentIdDigest>) {
        self.lock_unsent()
            .retain(|(digest, _)| !known.contains(digest));
    }

    /// Waits until a withdrawal at this collector is to be sent.
    pub async fn wait_for_unsent(&self) {
        self.unsent_added.notified().await;
    }

    /// The number of withdrawn grants.
    pub fn len(&self) -> usize {
        self.parts
            .iter()
            .map(|part| part.read().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Whether no grant was withdrawn.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what was withdrawn for the process that takes over. What was withdrawn at other
    /// collectors is nowhere else until the store is read.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        let parts = self.parts.iter();
        let parts: Vec<_> = parts
            .map(|part| part.read().unwrap_or_else(PoisonError::into_inner))
            .collect();
        out.put_count(parts.iter().map(|part| part.len()).sum());
        for digest in parts.iter().flat_map(|part| part.iter()) {
            out.put_bytes(digest);
        }
    }

    /// Reads what [`WithdrawnGrants::write_state`] wrote.
    ///
    /// # Errors
    ///
    /// The state ends too early.
    pub fn read_state(input: &mut StateReader<'_>) -> Result<InheritedWithdrawals, StateError> {
        let digests = (0..input.read_count(32)?).map(|_| input.read_array());
        digests.collect::<Result<_, _>>().map(InheritedWithdrawals)
    }

    /// Takes over what was withdrawn before this process. After the ledger was read: a grant that is
    /// on record here may have been withdrawn at another collector.
    pub fn insert_inherited(&self, inherited: InheritedWithdrawals) {
        for digest in inherited.0 {
            self.insert_digest(digest);
        }
    }

    fn shard_of(&self, digest: &ConsentIdDigest) -> &RwLock<HashSet<ConsentIdDigest>> {
        &self.parts[usize::from(digest[0]) % SHARD_COUNT]
    }

    fn lock_unsent(&self) -> MutexGuard<'_, Vec<(ConsentIdDigest, Day)>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest_id(id: &ConsentId) -> ConsentIdDigest {
    digest(&SHA256, &id.to_hex_digits())
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Day = Day::from_number(20_000);

    #[test]
    fn an_id_is_withdrawn_until_it_grants_again_and_others_are_untouched() {
        let withdrawn = WithdrawnGrants::default();
        let ids: Vec<ConsentId> = (0..100).map(|_| ConsentId::random()).collect();
        ids.iter()
            .skip(1)
            .for_each(|id| withdrawn.insert(id, TODAY));
        assert_eq!(withdrawn.len(), 99);
        assert!(!withdrawn.contains(&ids[0]) && ids[1..].iter().all(|id| withdrawn.contains(id)));
        withdrawn.remove(&ids[7]);
        assert!(!withdrawn.contains(&ids[7]) && withdrawn.len() == 98);
    }

    #[test]
    fn a_digest_is_what_anybody_makes_of_the_id_of_a_receipt() {
        let id = ConsentId::from_hex("00112233445566778899aabbccddeeff").unwrap();
        let text = crate::hex::encode_lower(&digest_id(&id));
        // printf %s 00112233445566778899aabbccddeeff | sha256sum
        assert_eq!(
            text,
            "5947d7c33d783f94b3b4c1a96ebc8991ed28f1b069b71e03376cba8caa98a720"
        );
    }

    #[test]
    fn what_was_withdrawn_here_waits_until_the_others_are_told_and_what_is_too_old_does_not() {
        let withdrawn = WithdrawnGrants::empty_since(TODAY);
        let ids: Vec<ConsentId> = (0..3).map(|_| ConsentId::random()).collect();
        withdrawn.insert(&ids[0], Day::from_number(19_999));
        withdrawn.insert(&ids[1], TODAY);
        withdrawn.insert(&ids[2], TODAY);
        withdrawn.insert_digest([7; 32]);
        let waiting = withdrawn.oldest_unsent();
        assert_eq!(
            waiting,
            [(digest_id(&ids[1]), TODAY), (digest_id(&ids[2]), TODAY)]
        );
        assert_eq!(withdrawn.oldest_unsent(), waiting, "until they are told");
        withdrawn.remove_sent(&HashSet::from([digest_id(&ids[1])]));
        assert_eq!(withdrawn.oldest_unsent(), waiting[1..]);
        assert_eq!(withdrawn.len(), 4);
    }
}
