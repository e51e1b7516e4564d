//! The day's openers of mails.

use hashbrown::HashTable;

use crate::budget::BudgetShare;
use crate::pseudonym::VisitorKey;

/// Today's openers, in bounded memory.
pub struct OpenerSet {
    known: HashTable<VisitorKey>,
    /// Of the same budget as visitors, which take more memory.
    budget: BudgetShare,
}

/// Whether an opener was seen before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenerStatus {
    /// It is the first time.
    First,
    /// It was seen before.
    Repeated,
    /// The limit is reached: the open counts, its opener does not.
    LimitReached,
}

impl OpenerSet {
    /// An empty set with the budget of its day.
    pub fn new(room: BudgetShare) -> OpenerSet {
        OpenerSet {
            known: HashTable::new(),
            budget: room,
        }
    }

    /// Records an opener.
    pub fn record_opener(&mut self, opener: &VisitorKey) -> OpenerStatus {
        if self
            .known
            .find(opener.table_hash(), |known| known == opener)
            .is_some()
        {
            return OpenerStatus::Repeated;
        }
        if !self.budget.try_reserve(1) {
            return OpenerStatus::LimitReached;
        }
        self.known.insert_unique(
            opener.table_hash(),
            opener.to_stored_copy(),
            VisitorKey::table_hash,
        );
        OpenerStatus::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::SharedBudget;

    #[test]
    fn an_opener_is_first_once_and_beyond_the_cap_is_not_held() {
        let mut openers = OpenerSet::new(SharedBudget::new(2).new_share());
        let opened: Vec<OpenerStatus> = [1, 1, 2, 3, 2]
            .map(|n| openers.record_opener(&VisitorKey::for_tests(n)))
            .to_vec();
        use OpenerStatus::{First, LimitReached, Repeated};
        assert_eq!(opened, [First, Repeated, First, LimitReached, Repeated]);
    }
}
