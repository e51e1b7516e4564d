//! A cap that all living days share, so that memory is bounded however many time zones there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone)]
pub struct Cap(Arc<Shared>);

struct Shared {
    /// Only one thread counts, so the order of memory says nothing here.
    used: AtomicUsize,
    most: usize,
}

/// What one day has of a cap. It is given back when the day is dropped.
pub struct Portion {
    cap: Cap,
    taken: usize,
}

impl Cap {
    pub fn new(most: usize) -> Cap {
        Cap(Arc::new(Shared { used: AtomicUsize::new(0), most }))
    }

    /// Of a day that has nothing of it yet.
    pub fn portion(&self) -> Portion {
        Portion { cap: self.clone(), taken: 0 }
    }
}

impl Portion {
    /// Takes `n` more; `false`, and nothing taken, if less is left.
    pub fn take(&mut self, n: usize) -> bool {
        let Shared { used, most } = &*self.cap.0;
        let with = used.load(Ordering::Relaxed).saturating_add(n);
        let fits = with <= *most;
        if fits {
            used.store(with, Ordering::Relaxed);
            self.taken += n;
        }
        fits
    }

    /// Whether `n` more could be taken.
    pub fn has(&self, n: usize) -> bool {
        let Shared { used, most } = &*self.cap.0;
        used.load(Ordering::Relaxed).saturating_add(n) <= *most
    }

    /// Of what was taken.
    pub fn give_back(&mut self, n: usize) {
        self.taken -= n;
        self.cap.0.used.fetch_sub(n, Ordering::Relaxed);
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.cap.0.used.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_day_has_another_has_not_until_the_first_is_over() {
        let cap = Cap::new(10);
        let (mut yesterday, mut today) = (cap.portion(), cap.portion());
        assert!(yesterday.take(7) && today.take(3));
        assert!(!today.take(1) && !yesterday.take(1));
        drop(yesterday);
        assert!(!today.take(8) && today.take(7) && !today.take(1));
    }
}
