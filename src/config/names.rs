//! What sites are called that a profile rule made. A site is the hash of its name, so the name of each is taken down when the site is
//! first counted by this process.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::event::{REST, SiteId};

pub struct Names {
    seen: RwLock<HashSet<SiteId>>,
    fresh: Mutex<Vec<(SiteId, String)>>,
    most: usize,
}

impl Names {
    pub fn new(most: usize) -> Names {
        Names { seen: RwLock::default(), fresh: Mutex::default(), most }
    }

    /// `name` is asked once for each site. Beyond the cap sites stay without one: their hits are counted under the site of the rest.
    pub fn saw(&self, site: SiteId, name: impl FnOnce() -> Option<String>) {
        if self.seen.read().unwrap_or_else(PoisonError::into_inner).contains(&site) {
            return;
        }
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() == self.most && seen.insert(SiteId::rest()) {
            self.put_back(vec![(SiteId::rest(), REST.to_owned())]);
        }
        if seen.len() < self.most
            && seen.insert(site)
            && let Some(name) = name()
        {
            self.put_back(vec![(site, name)]);
        }
    }

    /// Those nobody has taken yet.
    pub fn take(&self) -> Vec<(SiteId, String)> {
        std::mem::take(&mut self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What could not be kept is taken again later.
    pub fn put_back(&self, names: Vec<(SiteId, String)>) {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_down_once_and_up_to_the_cap() {
        let names = Names::new(2);
        for n in [1, 1, 2, 3, 1] {
            names.saw(SiteId::from_u128(n), || Some(format!("site {n}")));
        }
        let taken = names.take();
        assert_eq!(taken.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["site 1", "site 2", "(other)"]);
        assert_eq!(names.take(), []);
        names.put_back(taken);
        assert_eq!(names.take().len(), 3);
    }
}
