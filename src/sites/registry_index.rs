//! The registry's entries in memory, indexed to resolve pages and names.
//!
//! The maps are persistent: a clone shares its nodes with the original, and a change copies only
//! the few nodes on its way. So a change among a million sites costs as much as among a hundred,
//! and a request that began before it still sees the former entries, all of them.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::RandomState;
use imbl::shared_ptr::ArcK;
use imbl::{GenericHashMap, OrdSet};

use crate::calendar::{ZoneId, ZoneTable};
use crate::config::{AliasRule, NameMap, RegisteredLimits, RegistryChange, SiteRule};
use crate::event::SiteId;

/// A map by site id that shares its nodes, as [`NameMap`] does.
type SiteIdMap<V> = GenericHashMap<SiteId, V, RandomState, ArcK>;

/// A registered site.
#[derive(PartialEq, Debug)]
pub struct RegisteredSite {
    /// Its name.
    pub name: Arc<str>,
    /// Hash of its name.
    pub id: SiteId,
    /// Time zone of its days.
    pub zone: ZoneId,
    hosts: Box<[Arc<str>]>,
    embed: Box<[Box<str>]>,
    max_amount: Option<u32>,
    keep_days: Option<u32>,
    revision: u64,
}

/// The registry's entries. Clones are cheap, and do not see changes of the original.
#[derive(Clone, Default)]
pub struct RegistryIndex {
    sites: NameMap<Arc<RegisteredSite>>,
    /// The site of each alias.
    aliases: NameMap<Arc<str>>,
    /// Sites and their aliases. One set for all sites, because a set takes half a kilobyte.
    aliases_by_site: OrdSet<(Arc<str>, Arc<str>)>,
    /// Registered sites, and sites with an alias.
    names: OrdSet<Arc<str>>,
    /// The names in `names` by their id.
    names_by_id: SiteIdMap<Arc<str>>,
    /// The site that each host belongs to.
    hosts: NameMap<Arc<RegisteredSite>>,
    /// All sites of the hosts that several sites have, because two operators wrote at the same
    /// time. The one that was written first is in `hosts`.
    contested_hosts: NameMap<Arc<[Arc<RegisteredSite>]>>,
    own_days: NameMap<u32>,
    max_amounts: SiteIdMap<u32>,
}

impl RegisteredSite {
    fn from_rule(rule: &SiteRule, revision: u64, zones: &ZoneTable) -> RegisteredSite {
        RegisteredSite {
            name: rule.id.as_str().into(),
            id: SiteId::from_key(&rule.id),
            zone: zones.intern_zone(&rule.zone),
            // Former versions accepted a host with a trailing dot. Pages are looked up without it.
            hosts: rule
                .hosts
                .iter()
                .map(|host| host.strip_suffix('.').unwrap_or(host).into())
                .collect(),
            embed: rule
                .embed
                .iter()
                .map(|origin| origin.as_str().into())
                .collect(),
            max_amount: rule.max_amount,
            keep_days: rule.keep_days,
            revision,
        }
    }

    fn to_rule(&self, zones: &ZoneTable) -> SiteRule {
        let zone = zones.get(self.zone);
        SiteRule {
            id: self.name.to_string(),
            hosts: self.hosts.iter().map(|host| host.to_string()).collect(),
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            embed: self.embed.iter().map(|origin| origin.to_string()).collect(),
            max_amount: self.max_amount,
            keep_days: self.keep_days,
        }
    }
}

impl RegistryIndex {
    /// Whether the registry has no entries.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The number of sites and aliases.
    pub fn entry_count(&self) -> usize {
        self.sites.len() + self.aliases.len()
    }

    /// The registered site with this name.
    pub fn find_site(&self, name: &str) -> Option<&Arc<RegisteredSite>> {
        self.sites.get(name)
    }

    /// The rule of the registered site with this name.
    pub fn find_rule(&self, name: &str, zones: &ZoneTable) -> Option<SiteRule> {
        self.sites.get(name).map(|site| site.to_rule(zones))
    }

    /// The registered site of a host.
    pub fn find_host(&self, host: &str) -> Option<&Arc<RegisteredSite>> {
        self.hosts.get(host)
    }

    /// A registered site with this host, other than `name`.
    pub fn find_host_of_another(&self, host: &str, name: &str) -> Option<&Arc<RegisteredSite>> {
        let claims = self.contested_hosts.get(host).map_or(&[][..], |all| all);
        let owner = self.hosts.get(host);
        owner
            .into_iter()
            .chain(claims)
            .find(|site| *site.name != *name)
    }

    /// The site that an alias stands for.
    pub fn alias_target(&self, alias: &str) -> Option<&Arc<str>> {
        self.aliases.get(alias)
    }

    /// The aliases of a site, in alphabetical order.
    pub fn aliases_of(&self, site: &str) -> impl Iterator<Item = &Arc<str>> {
        let first: (Arc<str>, Arc<str>) = (site.into(), "".into());
        let pairs = self.aliases_by_site.range(first..);
        pairs
            .take_while(move |(of, _)| **of == *site)
            .map(|(_, alias)| alias)
    }

    /// Whether the site has an alias.
    pub fn has_alias(&self, site: &str) -> bool {
        self.aliases_of(site).next().is_some()
    }

    /// The name with this id, of a registered site or of a site with an alias.
    pub fn find_name(&self, id: SiteId) -> Option<&Arc<str>> {
        self.names_by_id.get(&id)
    }

    /// The largest amount of one event in euros, if the site has a bound of its own.
    pub fn max_amount(&self, id: SiteId) -> Option<u32> {
        self.max_amounts.get(&id).copied()
    }

    /// Names of registered sites and of sites with an alias, in alphabetical order.
    pub fn names(&self) -> &OrdSet<Arc<str>> {
        &self.names
    }

    /// The names after `after`, in alphabetical order.
    pub fn names_after(&self, after: &str) -> impl Iterator<Item = &Arc<str>> {
        let rest: (Bound<&str>, Bound<&str>) = (Bound::Excluded(after), Bound::Unbounded);
        self.names.range::<_, str>(rest)
    }

    /// What the registry says about the limits of sites.
    pub fn limits(&self) -> RegisteredLimits {
        RegisteredLimits {
            own_days: self.own_days.clone(),
            aliases: self.aliases.clone(),
            names: self.names.clone(),
        }
    }

    /// All entries, as changes that make them.
    pub fn all_entries(&self, zones: &ZoneTable) -> impl Iterator<Item = RegistryChange> {
        let sites = self.sites.values().map(move |site| RegistryChange::Site {
            rule: site.to_rule(zones),
            revision: site.revision,
        });
        let aliases = self
            .aliases
            .iter()
            .map(|(alias, site)| RegistryChange::Alias {
                rule: AliasRule {
                    alias: alias.to_string(),
                    site: site.to_string(),
                },
                revision: 0,
            });
        sites.chain(aliases)
    }

    /// Applies a change whose rule has passed validation; `false` if the entry is so already.
    pub fn apply_change(&mut self, change: &RegistryChange, zones: &ZoneTable) -> bool {
        match change {
            RegistryChange::Site { rule, revision } => self.put_site(rule, *revision, zones),
            RegistryChange::RemovedSite { name, .. } => self.remove_site(name).is_some(),
            RegistryChange::Alias { rule, .. } => self.put_alias(rule),
            RegistryChange::RemovedAlias { alias, .. } => self.remove_alias(alias),
        }
    }

    /// Removes all entries but those of a complete read; returns the removals.
    pub fn remove_others(&mut self, made: &MadeEntries) -> Vec<RegistryChange> {
        let sites = self.sites.keys();
        let sites = sites.filter(|name| !made.sites.contains(*name));
        let aliases = self.aliases.keys();
        let aliases = aliases.filter(|alias| !made.aliases.contains(*alias));
        let sites = sites.map(|name| RegistryChange::RemovedSite {
            name: name.to_string(),
            revision: 0,
        });
        let aliases = aliases.map(|alias| RegistryChange::RemovedAlias {
            alias: alias.to_string(),
            revision: 0,
        });
        let removals: Vec<RegistryChange> = sites.chain(aliases).collect();
        for removal in &removals {
            match removal {
                RegistryChange::RemovedSite { name, .. } => drop(self.remove_site(name)),
                RegistryChange::RemovedAlias { alias, .. } => drop(self.remove_alias(alias)),
                _ => {}
            }
        }
        removals
    }

    fn put_site(&mut self, rule: &SiteRule, revision: u64, zones: &ZoneTable) -> bool {
        let site = Arc::new(RegisteredSite::from_rule(rule, revision, zones));
        if self.sites.get(&site.name) == Some(&site) {
            return false;
        }
        self.remove_site(&rule.id);
        self.sites.insert(Arc::clone(&site.name), Arc::clone(&site));
        for host in &site.hosts {
            self.claim_host(host, &site);
        }
        if let Some(days) = site.keep_days {
            self.own_days.insert(Arc::clone(&site.name), days);
        }
        if let Some(most) = site.max_amount {
            self.max_amounts.insert(site.id, most);
        }
        self.update_name(&site.name);
        true
    }

    fn remove_site(&mut self, name: &str) -> Option<Arc<RegisteredSite>> {
        let site = self.sites.remove(name)?;
        for host in &site.hosts {
            self.release_host(host, name);
        }
        self.own_days.remove(name);
        self.max_amounts.remove(&site.id);
        self.update_name(&site.name);
        Some(site)
    }

    fn claim_host(&mut self, host: &Arc<str>, site: &Arc<RegisteredSite>) {
        let Some(owner) = self.hosts.get(host) else {
            self.hosts.insert(Arc::clone(host), Arc::clone(site));
            return;
        };
        let mut claims: Vec<_> = match self.contested_hosts.get(host) {
            Some(claims) => claims.to_vec(),
            None => vec![Arc::clone(owner)],
        };
        // A rule may have a host twice.
        claims.retain(|claim| claim.name != site.name);
        claims.push(Arc::clone(site));
        self.set_claims(host, claims);
    }

    fn release_host(&mut self, host: &Arc<str>, name: &str) {
        let owner = self.hosts.get(host).into_iter();
        let mut claims: Vec<_> = match self.contested_hosts.get(host) {
            Some(claims) => claims.to_vec(),
            None => owner.cloned().collect(),
        };
        claims.retain(|claim| *claim.name != *name);
        self.set_claims(host, claims);
    }

    fn set_claims(&mut self, host: &Arc<str>, mut claims: Vec<Arc<RegisteredSite>>) {
        claims.sort_by(|a, b| (a.revision, &a.name).cmp(&(b.revision, &b.name)));
        match claims.first() {
            Some(first) => self.hosts.insert(Arc::clone(host), Arc::clone(first)),
            None => self.hosts.remove(host),
        };
        match claims.len() {
            0 | 1 => self.contested_hosts.remove(host),
            _ => self.contested_hosts.insert(Arc::clone(host), claims.into()),
        };
    }

    fn put_alias(&mut self, rule: &AliasRule) -> bool {
        if self
            .aliases
            .get(&*rule.alias)
            .is_some_and(|site| **site == *rule.site)
        {
            return false;
        }
        self.remove_alias(&rule.alias);
        let alias: Arc<str> = rule.alias.as_str().into();
        let site = self.names.get(&*rule.site);
        let site = site.map_or_else(|| rule.site.as_str().into(), Arc::clone);
        self.aliases.insert(Arc::clone(&alias), Arc::clone(&site));
        self.aliases_by_site.insert((Arc::clone(&site), alias));
        self.update_name(&site);
        true
    }

    fn remove_alias(&mut self, alias: &str) -> bool {
        let Some((alias, site)) = self.aliases.remove_with_key(alias) else {
            return false;
        };
        self.aliases_by_site.remove(&(Arc::clone(&site), alias));
        self.update_name(&site);
        true
    }

    /// Lists a name if it is of a registered site or of a site with an alias.
    fn update_name(&mut self, name: &Arc<str>) {
        let id = SiteId::from_key(name);
        if self.sites.contains_key(name) || self.has_alias(name) {
            if !self.names.contains(name) {
                self.names.insert(Arc::clone(name));
                self.names_by_id.insert(id, Arc::clone(name));
            }
        } else {
            self.names.remove(name);
            self.names_by_id.remove(&id);
        }
    }
}

/// The entries that a complete read of the registry found.
#[derive(Default)]
pub struct MadeEntries {
    sites: HashSet<Arc<str>>,
    aliases: HashSet<Arc<str>>,
}

impl MadeEntries {
    /// Adds the entry that a change made.
    pub fn add_change(&mut self, change: &RegistryChange) {
        match change {
            RegistryChange::Site { rule, .. } => _ = self.sites.insert(rule.id.as_str().into()),
            RegistryChange::Alias { rule, .. } => {
                _ = self.aliases.insert(rule.alias.as_str().into());
            }
            RegistryChange::RemovedSite { .. } | RegistryChange::RemovedAlias { .. } => {}
        }
    }
}
