//! Names of sites that a profile rule made. A site's id is the hash of its name, so the name is
//! recorded when this process first counts the site.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::event::{REST, SiteId};

/// The sites whose names are recorded, and the names that are not in the store yet.
pub struct Names {
    seen: RwLock<HashSet<SiteId>>,
    fresh: Mutex<Vec<(SiteId, String)>>,
    most: usize,
}

impl Names {
    /// Records the names of at most `most` sites.
    pub fn new(most: usize) -> Names {
        Names { seen: RwLock::default(), fresh: Mutex::default(), most }
    }

    /// Records a site. `name` is called once per site. Beyond the limit, sites stay without a name:
    /// their hits are counted under the site `(other)`.
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

    /// Removes and returns the names that are not in the store yet.
    pub fn take(&self) -> Vec<(SiteId, String)> {
        std::mem::take(&mut self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Queues names again that could not be stored.
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
