//! The rules in force: the configuration's and the registry's. A change of the registry replaces
//! them by a copy that shares what is unchanged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::registry_index::RegistryIndex;
use super::site_names::SiteNames;
use super::site_resolver::SiteResolver;
use crate::calendar::{Day, ZoneTable};
use crate::config::{
    Config, ConsentBasis, MAX_EXEMPT_RETENTION_DAYS, MAX_KEEP_DAYS, MemoryBudget, RegistryChange,
    RetentionPolicy, SiteRule,
};

/// The sites that are counted, from configuration and registry.
pub struct SiteDirectory {
    sites: Vec<SiteRule>,
    zones: Arc<ZoneTable>,
    resolver: ArcSwap<SiteResolver>,
    max_keep_days: u32,
    retention: ArcSwap<RetentionPolicy>,
    /// See [`SiteDirectory::plausible_today`].
    plausible_today: AtomicU16,
    /// Locked while the rules are replaced.
    write_lock: Mutex<()>,
    /// See [`SiteDirectory::is_registry_read`].
    is_registry_read: AtomicBool,
    names: SiteNames,
}

impl SiteDirectory {
    /// A directory with an empty registry.
    pub fn new(config: &Config) -> SiteDirectory {
        let (profiles, sites) = (&config.profiles, config.sites.clone());
        let zones = Arc::new(ZoneTable::default());
        let resolver = ArcSwap::from_pointee(SiteResolver::new(&zones, profiles, &sites));
        let retention = RetentionPolicy::new(config.retention.keep_days, profiles, &sites);
        let names = SiteNames::new(MemoryBudget::from_config(config).caps.sites);
        SiteDirectory {
            sites,
            zones,
            resolver,
            max_keep_days: match config.consent.basis {
                ConsentBasis::ExemptOptOut => MAX_EXEMPT_RETENTION_DAYS,
                _ => MAX_KEEP_DAYS,
            },
            retention: ArcSwap::from_pointee(retention),
            plausible_today: AtomicU16::new(u16::MAX),
            write_lock: Mutex::default(),
            is_registry_read: AtomicBool::new(false),
            names,
        }
    }

    /// The rules for one hit or one report; the next call sees changes.
    pub fn resolver(&self) -> Guard<Arc<SiteResolver>> {
        self.resolver.load()
    }

    /// How long the counts of each site are kept; the next call sees changes.
    pub fn retention_policy(&self) -> Arc<RetentionPolicy> {
        self.retention.load_full()
    }

    /// The latest day that today can be according to the counts, by which retention judges where the
    /// clock is ahead of it; the end of the calendar where the clock agrees.
    pub fn plausible_today(&self) -> Day {
        Day::from_number(self.plausible_today.load(Ordering::Relaxed))
    }

    /// Replaces it; `None` where the clock agrees.
    pub fn set_plausible_today(&self, bound: Option<Day>) {
        let number = bound.map_or(u16::MAX, Day::as_number);
        self.plausible_today.store(number, Ordering::Relaxed);
    }

    /// The longest time that a site's counts can be kept, in days.
    pub fn max_keep_days(&self) -> u32 {
        self.max_keep_days
    }

    /// Names of counted sites that were made by a profile rule.
    pub fn site_names(&self) -> &SiteNames {
        &self.names
    }

    /// The time zones in use.
    pub fn time_zones(&self) -> Arc<ZoneTable> {
        Arc::clone(&self.zones)
    }

    /// Sites of the configuration. They only change with the file.
    pub fn configured_sites(&self) -> &[SiteRule] {
        &self.sites
    }

    /// The entries of the registry, as last read.
    pub fn registered_entries(&self) -> RegistryIndex {
        self.resolver().registered().clone()
    }

    /// Whether the registry was read from the store since the start. Until then its entries are
    /// those of the copy on disk.
    pub fn is_registry_read(&self) -> bool {
        self.is_registry_read.load(Ordering::Acquire)
    }

    /// Notes that the registry was read from the store.
    pub fn set_registry_read(&self) {
        self.is_registry_read.store(true, Ordering::Release);
    }

    /// The rule of a site with an entry of its own in the configuration or the registry, by its
    /// name or an alias.
    pub fn find_rule(&self, name: &str) -> Option<SiteRule> {
        let resolver = self.resolver();
        let registered = resolver.registered();
        let name = registered.alias_target(name).map_or(name, |site| site);
        match self.sites.iter().find(|rule| rule.id == name) {
            Some(rule) => Some(rule.clone()),
            None => registered.find_rule(name, &self.zones),
        }
    }

    /// Names of sites with an entry of their own or an alias that come after `after` and contain
    /// `text`, ignoring case: at most `most`, in alphabetical order. Reads all names if few contain
    /// the text, so it must not be called on a thread that serves requests.
    pub fn search_names(&self, after: &str, text: &str, most: usize) -> Vec<String> {
        let resolver = self.resolver.load_full();
        let registered = resolver
            .registered()
            .names_after(after)
            .map(|name| &**name)
            .filter(|name| contains_ignore_case(name, text))
            .take(most);
        let configured = self
            .sites
            .iter()
            .map(|rule| rule.id.as_str())
            .filter(|name| *name > after && contains_ignore_case(name, text));
        let names: BTreeSet<&str> = registered.chain(configured).collect();
        names.into_iter().take(most).map(str::to_owned).collect()
    }

    /// Applies changes of the registry whose rules have passed validation, all at once. Returns
    /// those that changed an entry.
    pub fn apply_changes(&self, changes: Vec<RegistryChange>) -> Vec<RegistryChange> {
        let _one_at_a_time = self
            .write_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut registered = self.registered_entries();
        let effective: Vec<RegistryChange> = changes
            .into_iter()
            .filter(|change| registered.apply_change(change, &self.zones))
            .collect();
        if !effective.is_empty() {
            self.publish_entries(registered);
        }
        effective
    }

    /// Replaces all entries of the registry.
    pub fn replace_entries(&self, registered: RegistryIndex) {
        let _one_at_a_time = self
            .write_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.publish_entries(registered);
    }

    fn publish_entries(&self, registered: RegistryIndex) {
        let retention = self.retention.load().with_registered(registered.limits());
        let resolver = self.resolver.load().with_registered(registered);
        self.resolver.store(Arc::new(resolver));
        self.retention.store(Arc::new(retention));
    }
}

/// Whether a name contains the text. Names are ASCII.
fn contains_ignore_case(name: &str, text: &str) -> bool {
    text.is_empty()
        || name
            .as_bytes()
            .windows(text.len())
            .any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_a_part_of_them_in_any_case() {
        for (name, text, holds) in [
            ("Mia.Shop", "a.sh", true),
            ("mia", "MIA", true),
            ("mia", "", true),
            ("mia", "mia2", false),
            ("mia", "tom", false),
        ] {
            assert_eq!(contains_ignore_case(name, text), holds, "{name} {text}");
        }
    }
}
