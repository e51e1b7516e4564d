//! The rules in force: those of the configuration and what the registry adds, replaced as a whole when the registry changes.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::{Config, Hosts, Names, ProfileRule, Registered, SiteRule, Zones};

pub struct Directory {
    profiles: Vec<ProfileRule>,
    sites: Vec<SiteRule>,
    zones: Arc<Zones>,
    hosts: ArcSwap<Hosts>,
    registered: Mutex<Arc<Registered>>,
    names: Names,
}

impl Directory {
    /// With an empty registry.
    pub fn new(config: &Config) -> Directory {
        let (profiles, sites) = (config.profiles.clone(), config.sites.clone());
        let zones = Arc::new(Zones::default());
        let hosts = ArcSwap::from_pointee(Hosts::new(&zones, &profiles, &sites, &Registered::default()));
        let names = Names::new(config.limits.sites);
        Directory { profiles, sites, zones, hosts, registered: Mutex::default(), names }
    }

    /// For the time of one hit or one question; a change in between is seen by the next.
    pub fn hosts(&self) -> Guard<Arc<Hosts>> {
        self.hosts.load()
    }

    /// What counted sites are called that nobody named one by one.
    pub fn names(&self) -> &Names {
        &self.names
    }

    pub fn zones(&self) -> Arc<Zones> {
        Arc::clone(&self.zones)
    }

    /// The sites of the configuration; nobody changes them but whoever edits the file.
    pub fn configured(&self) -> &[SiteRule] {
        &self.sites
    }

    pub fn profiles(&self) -> &[ProfileRule] {
        &self.profiles
    }

    pub fn registered(&self) -> Arc<Registered> {
        Arc::clone(&self.registered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The entry that names a site one by one, under its own name or another of it.
    pub fn rule(&self, name: &str) -> Option<SiteRule> {
        let registered = self.registered();
        let alias = registered.aliases.iter().find(|alias| alias.alias == name);
        let name = alias.map_or(name, |alias| &alias.site);
        self.sites.iter().chain(&registered.sites).find(|rule| rule.id == name).cloned()
    }

    /// Takes what the registry holds now; `false` where that is what it held before.
    pub fn take(&self, registered: Registered) -> bool {
        let mut known = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        if **known == registered {
            return false;
        }
        self.hosts.store(Arc::new(Hosts::new(&self.zones, &self.profiles, &self.sites, &registered)));
        *known = Arc::new(registered);
        true
    }
}
