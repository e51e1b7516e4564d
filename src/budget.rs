//! A limit that all current days share, so that the number of time zones does not multiply memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit of entries that all days share. Clones share it.
#[derive(Clone)]
pub struct SharedBudget(Arc<BudgetState>);

struct BudgetState {
    /// Only one thread changes it, so the memory ordering does not matter.
    used: AtomicUsize,
    limit: usize,
}

/// What one day has reserved of a budget. Returned when the day is dropped.
pub struct BudgetShare {
    budget: SharedBudget,
    reserved: usize,
}

impl SharedBudget {
    /// A budget of at most `most` entries.
    pub fn new(most: usize) -> SharedBudget {
        SharedBudget(Arc::new(BudgetState {
            used: AtomicUsize::new(0),
            limit: most,
        }))
    }

    /// A share with nothing reserved yet.
    pub fn new_share(&self) -> BudgetShare {
        BudgetShare {
            budget: self.clone(),
            reserved: 0,
        }
    }
}

impl BudgetShare {
    /// Reserves `n` more. `false`, and nothing reserved, if less is left.
    pub fn try_reserve(&mut self, n: usize) -> bool {
        let BudgetState { used, limit: most } = &*self.budget.0;
        let with = used.load(Ordering::Relaxed).saturating_add(n);
        let fits = with <= *most;
        if fits {
            used.store(with, Ordering::Relaxed);
            self.reserved += n;
        }
        fits
    }

    /// Reserves `n` more, beyond the limit if need be: for entries that exist already.
    pub fn reserve_existing(&mut self, n: usize) {
        self.budget.0.used.fetch_add(n, Ordering::Relaxed);
        self.reserved += n;
    }

    /// Whether `n` more could be reserved.
    pub fn has_capacity(&self, n: usize) -> bool {
        let BudgetState { used, limit: most } = &*self.budget.0;
        used.load(Ordering::Relaxed).saturating_add(n) <= *most
    }

    /// Returns `n` of what was reserved.
    pub fn return_units(&mut self, n: usize) {
        self.reserved -= n;
        self.budget.0.used.fetch_sub(n, Ordering::Relaxed);
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.budget
            .0
            .used
            .fetch_sub(self.reserved, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_day_has_another_has_not_until_the_first_is_over() {
        let cap = SharedBudget::new(10);
        let (mut yesterday, mut today) = (cap.new_share(), cap.new_share());
        assert!(yesterday.try_reserve(7) && today.try_reserve(3));
        assert!(!today.try_reserve(1) && !yesterday.try_reserve(1));
        drop(yesterday);
        assert!(!today.try_reserve(8) && today.try_reserve(7) && !today.try_reserve(1));
    }
}
