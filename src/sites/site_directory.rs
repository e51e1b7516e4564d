//! The rules in force: the configuration's and the registry's, replaced as a whole when the
//! registry changes.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::site_names::SiteNames;
use super::site_resolver::SiteResolver;
use crate::calendar::{Day, ZoneTable};
use crate::config::{
    Config, ConsentBasis, MAX_EXEMPT_RETENTION_DAYS, MAX_KEEP_DAYS, MemoryBudget, ProfileRule,
    RegisteredSites, RetentionPolicy, SiteRule,
};

/// The sites that are counted, from configuration and registry.
pub struct SiteDirectory {
    profiles: Vec<ProfileRule>,
    sites: Vec<SiteRule>,
    zones: Arc<ZoneTable>,
    resolver: ArcSwap<SiteResolver>,
    keep_days: u32,
    max_keep_days: u32,
    retention: ArcSwap<RetentionPolicy>,
    /// See [`SiteDirectory::plausible_today`].
    plausible_today: AtomicU16,
    registered: Mutex<Arc<RegisteredSites>>,
    names: SiteNames,
}

impl SiteDirectory {
    /// A directory with an empty registry.
    pub fn new(config: &Config) -> SiteDirectory {
        let (profiles, sites) = (config.profiles.clone(), config.sites.clone());
        let zones = Arc::new(ZoneTable::default());
        let hosts = ArcSwap::from_pointee(SiteResolver::new(
            &zones,
            &profiles,
            &sites,
            &RegisteredSites::default(),
        ));
        let keep_days = config.retention.keep_days;
        let retention =
            RetentionPolicy::new(keep_days, &profiles, &sites, &RegisteredSites::default());
        let names = SiteNames::new(MemoryBudget::from_config(config).caps.sites);
        SiteDirectory {
            profiles,
            sites,
            zones,
            resolver: hosts,
            keep_days,
            max_keep_days: match config.consent.basis {
                ConsentBasis::ExemptOptOut => MAX_EXEMPT_RETENTION_DAYS,
                _ => MAX_KEEP_DAYS,
            },
            retention: ArcSwap::from_pointee(retention),
            plausible_today: AtomicU16::new(u16::MAX),
            registered: Mutex::default(),
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

    /// How long the counts of each site are kept, with these entries of the registry in place of
    /// those that were read last.
    pub fn retention_policy_with(&self, registered: &RegisteredSites) -> RetentionPolicy {
        RetentionPolicy::new(self.keep_days, &self.profiles, &self.sites, registered)
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

    /// Profile rules of the configuration.
    pub fn profile_rules(&self) -> &[ProfileRule] {
        &self.profiles
    }

    /// Sites and aliases of the registry, as last read.
    pub fn registered_sites(&self) -> Arc<RegisteredSites> {
        Arc::clone(
            &self
                .registered
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The rule of a site with an entry of its own in the configuration or the registry, by its
    /// name or an alias.
    pub fn find_rule(&self, name: &str) -> Option<SiteRule> {
        let registered = self.registered_sites();
        let alias = registered.aliases.iter().find(|alias| alias.alias == name);
        let name = alias.map_or(name, |alias| &alias.site);
        self.sites
            .iter()
            .chain(&registered.sites)
            .find(|rule| rule.id == name)
            .cloned()
    }

    /// Replaces the registry's rules; `false` if they are unchanged.
    pub fn replace_registered(&self, registered: RegisteredSites) -> bool {
        let mut known = self
            .registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if **known == registered {
            return false;
        }
        self.resolver.store(Arc::new(SiteResolver::new(
            &self.zones,
            &self.profiles,
            &self.sites,
            &registered,
        )));
        self.retention
            .store(Arc::new(self.retention_policy_with(&registered)));
        *known = Arc::new(registered);
        true
    }
}
