//! The rules in force: the configuration's and the registry's, replaced as a whole when the
//! registry changes.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::{Config, Hosts, Memory, Names, ProfileRule, Registered, SiteRule, Zones};

/// The sites that are counted, from configuration and registry.
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
        let names = Names::new(Memory::of(config).caps.sites);
        Directory { profiles, sites, zones, hosts, registered: Mutex::default(), names }
    }

    /// The rules for one hit or one report; the next call sees changes.
    pub fn hosts(&self) -> Guard<Arc<Hosts>> {
        self.hosts.load()
    }

    /// Names of counted sites that were made by a profile rule.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The time zones in use.
    pub fn zones(&self) -> Arc<Zones> {
        Arc::clone(&self.zones)
    }

    /// Sites of the configuration. They only change with the file.
    pub fn configured(&self) -> &[SiteRule] {
        &self.sites
    }

    /// Profile rules of the configuration.
    pub fn profiles(&self) -> &[ProfileRule] {
        &self.profiles
    }

    /// Sites and aliases of the registry, as last read.
    pub fn registered(&self) -> Arc<Registered> {
        Arc::clone(&self.registered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The rule of a site that is configured or registered by itself, by its name or an alias.
    pub fn rule(&self, name: &str) -> Option<SiteRule> {
        let registered = self.registered();
        let alias = registered.aliases.iter().find(|alias| alias.alias == name);
        let name = alias.map_or(name, |alias| &alias.site);
        self.sites.iter().chain(&registered.sites).find(|rule| rule.id == name).cloned()
    }

    /// Replaces the registry's rules; `false` if they are unchanged.
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
