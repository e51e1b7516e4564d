//! Names of sites that a profile rule made. A site's id is the hash of its name, so the name is
//! recorded when this process first counts the site.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::event::{OVERFLOW_SITE_NAME, SiteId};

/// The sites whose names are recorded, and the names that are not in the store yet.
pub struct SiteNames {
    recorded: RwLock<HashSet<SiteId>>,
    unstored: Mutex<Vec<(SiteId, String)>>,
    max_sites: usize,
}

impl SiteNames {
    /// Records the names of at most `most` sites.
    pub fn new(most: usize) -> SiteNames {
        SiteNames {
            recorded: RwLock::default(),
            unstored: Mutex::default(),
            max_sites: most,
        }
    }

    /// Records a site. `name` is called once per site. Beyond the limit, sites stay without a name:
    /// their hits are counted under the site `(other)`.
    pub fn record_site(&self, site: SiteId, name: impl FnOnce() -> Option<String>) {
        if self
            .recorded
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&site)
        {
            return;
        }
        let mut seen = self
            .recorded
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if seen.len() == self.max_sites && seen.insert(SiteId::overflow_site()) {
            self.requeue_names(vec![(
                SiteId::overflow_site(),
                OVERFLOW_SITE_NAME.to_owned(),
            )]);
        }
        if seen.len() < self.max_sites
            && seen.insert(site)
            && let Some(name) = name()
        {
            self.requeue_names(vec![(site, name)]);
        }
    }

    /// Forgets that a site's name is recorded: its next hit records it again.
    pub fn forget_site(&self, site: SiteId) {
        self.recorded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&site);
        self.unstored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(known, _)| *known != site);
    }

    /// Removes and returns the names that are not in the store yet.
    pub fn take_unstored(&self) -> Vec<(SiteId, String)> {
        std::mem::take(&mut self.unstored.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Queues names again that could not be stored.
    pub fn requeue_names(&self, names: Vec<(SiteId, String)>) {
        self.unstored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_down_once_and_up_to_the_cap() {
        let names = SiteNames::new(2);
        for n in [1, 1, 2, 3, 1] {
            names.record_site(SiteId::from_u128(n), || Some(format!("site {n}")));
        }
        let taken = names.take_unstored();
        assert_eq!(
            taken
                .iter()
                .map(|(_, name)| name.as_str())
                .collect::<Vec<_>>(),
            ["site 1", "site 2", "(other)"]
        );
        assert_eq!(names.take_unstored(), []);
        names.requeue_names(taken);
        assert_eq!(names.take_unstored().len(), 3);
    }
}
