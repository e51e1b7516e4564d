//! Which grants no longer count, known to the gate before the person who withdrew is answered.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use super::id::ConsentId;

/// Every hit asks. Parted, so that HTTP workers do not meet at one lock's counter.
const PARTS: usize = 16;

/// The ids that were wholly withdrawn. A cookie can outlive its withdrawal, in a copy or another tab; this cannot be outlived.
pub struct Withdrawn([RwLock<HashSet<ConsentId>>; PARTS]);

impl Default for Withdrawn {
    fn default() -> Withdrawn {
        Withdrawn(std::array::from_fn(|_| RwLock::default()))
    }
}

impl Withdrawn {
    pub fn contains(&self, id: &ConsentId) -> bool {
        self.part(id).read().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// For the ledger: a withdrawal is on disk and is about to be answered.
    pub fn insert(&self, id: ConsentId) {
        self.part(&id).write().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// For the ledger: the same browser granted again.
    pub fn remove(&self, id: &ConsentId) {
        self.part(id).write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|part| part.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn part(&self, id: &ConsentId) -> &RwLock<HashSet<ConsentId>> {
        &self.0[id.part(PARTS)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_withdrawn_until_it_grants_again_and_others_are_untouched() {
        let withdrawn = Withdrawn::default();
        let ids: Vec<ConsentId> = (0..100).map(|_| ConsentId::random()).collect();
        ids.iter().skip(1).for_each(|id| withdrawn.insert(*id));
        assert_eq!(withdrawn.len(), 99);
        assert!(!withdrawn.contains(&ids[0]) && ids[1..].iter().all(|id| withdrawn.contains(id)));
        withdrawn.remove(&ids[7]);
        assert!(!withdrawn.contains(&ids[7]) && withdrawn.len() == 98);
    }
}
