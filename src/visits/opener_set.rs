//! The day's openers of mails.

use hashbrown::HashTable;

use crate::budget::BudgetShare;
use crate::pseudonym::{StoredVisitorKey, VisitorKey};
use crate::state_codec::{StateError, StateReader, StateWriter};

/// Today's openers, in bounded memory.
pub struct OpenerSet {
    known: HashTable<StoredVisitorKey>,
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

    /// Writes the openers for the process that takes over.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_count(self.known.len());
        self.known.iter().for_each(|opener| opener.write_state(out));
    }

    /// Reads the openers of the process before.
    ///
    /// # Errors
    ///
    /// The state ends too early.
    pub fn read_state(
        input: &mut StateReader<'_>,
        room: BudgetShare,
    ) -> Result<OpenerSet, StateError> {
        let mut openers = OpenerSet::new(room);
        let count = input.read_count(9)?;
        openers.budget.reserve_existing(count);
        for _ in 0..count {
            let opener = StoredVisitorKey::read_state(input)?;
            let hash = opener.table_hash();
            openers
                .known
                .insert_unique(hash, opener, StoredVisitorKey::table_hash);
        }
        Ok(openers)
    }

    /// Records an opener.
    pub fn record_opener(&mut self, opener: &VisitorKey) -> OpenerStatus {
        let opener = opener.to_stored();
        let hash = opener.table_hash();
        if self.known.find(hash, |known| *known == opener).is_some() {
            return OpenerStatus::Repeated;
        }
        if !self.budget.try_reserve(1) {
            return OpenerStatus::LimitReached;
        }
        self.known
            .insert_unique(hash, opener, StoredVisitorKey::table_hash);
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
