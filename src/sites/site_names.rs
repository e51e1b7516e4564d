//! Names of sites that a profile rule made. A site's id is the hash of its name, so the name is
//! recorded when this process first counts the site on a day.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use crate::calendar::Millis;
use crate::event::{OVERFLOW_SITE_NAME, SiteId};

const DAY_MILLIS: Millis = 86_400_000;

/// The sites that had a hit today, and the names that are not in the store yet.
pub struct SiteNames {
    recorded: RwLock<RecordedSites>,
    unstored: Mutex<Vec<(SiteId, String)>>,
    max_sites: usize,
}

/// Sites with a hit since midnight in UTC. Without an end, the sites of past weeks would fill it.
#[derive(Default)]
struct RecordedSites {
    /// Days since 1970.
    day: i64,
    sites: HashSet<SiteId>,
}

impl RecordedSites {
    fn is_recorded(&self, site: SiteId, day: i64) -> bool {
        self.day >= day && self.sites.contains(&site)
    }
}

/// A hit's site, for [`SiteNames::admit_site`].
pub struct VisitedSite<N> {
    /// Its id.
    pub id: SiteId,
    /// Time of the hit.
    pub at: Millis,
    /// Its name, asked for once a day; `None` if no profile rule makes it.
    pub name: N,
}

impl SiteNames {
    /// Records the names of at most `most` sites a day.
    pub fn new(most: usize) -> SiteNames {
        SiteNames {
            recorded: RwLock::default(),
            unstored: Mutex::default(),
            max_sites: most,
        }
    }

    /// Records the site of a hit. `is_network_limited` is asked for a site that a profile rule
    /// makes and that had no hit today: the network of the hit has been the first to visit too
    /// many. Such a site is not recorded once half of the sites of a day are used, and the result
    /// is `false`: the hit counts under the site `(other)`.
    ///
    /// Beyond the limit of sites they stay without a name; the aggregation counts their hits under
    /// `(other)`.
    pub fn admit_site(
        &self,
        site: VisitedSite<impl FnOnce() -> Option<String>>,
        is_network_limited: impl FnOnce() -> bool,
    ) -> bool {
        let day = site.at.div_euclid(DAY_MILLIS);
        let recorded = self.recorded.read();
        if recorded
            .unwrap_or_else(PoisonError::into_inner)
            .is_recorded(site.id, day)
        {
            return true;
        }

        let name = (site.name)();
        let is_limited = name.is_some() && is_network_limited();
        let recorded = self.recorded.write();
        let mut recorded = recorded.unwrap_or_else(PoisonError::into_inner);
        if recorded.day < day {
            recorded.day = day;
            recorded.sites.clear();
        }

        let is_admitted = !is_limited || recorded.sites.len() < self.max_sites / 2;
        let is_full = recorded.sites.len() >= self.max_sites;
        if (is_full || !is_admitted) && recorded.sites.insert(SiteId::overflow_site()) {
            let name = OVERFLOW_SITE_NAME.to_owned();
            self.lock_unstored().push((SiteId::overflow_site(), name));
        }
        if is_admitted
            && !is_full
            && recorded.sites.insert(site.id)
            && let Some(name) = name
        {
            self.lock_unstored().push((site.id, name));
        }
        is_admitted
    }

    /// Forgets that a site's name is recorded: its next hit records it again.
    pub fn forget_site(&self, site: SiteId) {
        self.recorded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .sites
            .remove(&site);
        self.lock_unstored().retain(|(known, _)| *known != site);
    }

    /// The names that are not in the store yet, `most` of them, the oldest first.
    pub fn oldest_unstored(&self, most: usize) -> Vec<(SiteId, String)> {
        self.lock_unstored().iter().take(most).cloned().collect()
    }

    /// Removes names that are in the store, and were the oldest.
    pub fn remove_stored(&self, names: &[(SiteId, String)]) {
        let mut unstored = self.lock_unstored();
        // One that was forgotten meanwhile is not there any more.
        let stored = unstored
            .iter()
            .zip(names)
            .take_while(|(one, other)| one == other)
            .count();
        unstored.drain(..stored);
    }

    fn lock_unstored(&self) -> MutexGuard<'_, Vec<(SiteId, String)>> {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Views of sites by their numbers, at a time, by networks that are limited or not. A site is
    /// made by a rule unless its number is 0.
    fn admit(names: &SiteNames, number: u128, at: Millis, is_limited: bool) -> bool {
        let site = VisitedSite {
            id: SiteId::from_u128(number + 1),
            at,
            name: || (number > 0).then(|| format!("site {number}")),
        };
        names.admit_site(site, || is_limited)
    }

    fn taken(names: &SiteNames) -> Vec<String> {
        let taken = names.oldest_unstored(usize::MAX);
        names.remove_stored(&taken);
        taken.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn a_name_is_recorded_once_a_day_and_up_to_the_limit() {
        let names = SiteNames::new(2);
        for number in [1, 1, 2, 3, 1] {
            assert!(admit(&names, number, 0, false));
        }
        assert_eq!(taken(&names), ["site 1", "site 2", "(other)"]);
        assert!(taken(&names).is_empty());

        let queued = (SiteId::from_u128(2), "site 1".to_owned());
        names.lock_unstored().push(queued);
        assert_eq!(taken(&names), ["site 1"]);
        // The next day begins with the same room, and a late hit of the day before is none of it.
        for (number, at) in [(3, DAY_MILLIS), (2, DAY_MILLIS), (3, DAY_MILLIS - 1)] {
            assert!(admit(&names, number, at, false));
        }
        assert_eq!(taken(&names), ["site 3", "site 2"]);
    }

    #[test]
    fn a_limited_network_adds_sites_while_less_than_half_are_used() {
        let names = SiteNames::new(6);
        let by_limited = [1, 2, 3, 4, 5].map(|number| admit(&names, number, 0, true));
        assert_eq!(by_limited, [true, true, true, false, false]);
        let known = admit(&names, 2, 0, true);
        let configured = admit(&names, 0, 0, true);
        let by_others = admit(&names, 4, 0, false);
        let after_others = admit(&names, 4, 0, true);
        assert_eq!([known, configured, by_others, after_others], [true; 4]);
        assert_eq!(
            taken(&names),
            ["site 1", "site 2", "site 3", "(other)", "site 4"]
        );
    }
}
