//! Maps pages to sites.
//!
//! A host belongs to one site (`[[sites]]`, or the registry), or a profile rule makes a site of
//! each profile under a path (`[[profiles]]`). A site's id is the hash of its name, so a page
//! resolves without a table of profiles and without allocation.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::registry_index::{RegisteredSite, RegistryIndex};
use crate::calendar::{ZoneId, ZoneTable};
use crate::config::{ProfileRule, SiteRule, is_site_name};
use crate::event::{ResolvedSite, SiteId};

/// All rules, indexed to resolve pages and names. Entries of the registry that contradict the
/// configuration are ignored; of two entries with the same host, the one that was written first has
/// it.
#[derive(Clone)]
pub struct SiteResolver {
    zones: Arc<ZoneTable>,
    configured: Arc<ConfiguredSites>,
    registered: RegistryIndex,
}

/// The rules of the configuration.
#[derive(Default)]
struct ConfiguredSites {
    by_host: HashMap<Box<str>, Vec<HostRule>>,
    /// Sites with an entry of their own.
    by_name: HashMap<Box<str>, (SiteId, ZoneId)>,
    names_by_id: HashMap<SiteId, Box<str>>,
    profiles: Vec<(Arc<SiteNameTemplate>, ZoneId)>,
    /// Of sites with a bound of their own only.
    max_amounts: HashMap<SiteId, u32>,
}

enum HostRule {
    WholeHost {
        id: SiteId,
        zone: ZoneId,
    },
    Profiles {
        path_prefix: Box<str>,
        template: Arc<SiteNameTemplate>,
        zone: ZoneId,
    },
}

struct SiteNameTemplate {
    prefix: Box<str>,
    suffix: Box<str>,
}

impl SiteResolver {
    /// The rules of the configuration, which must have passed validation, and an empty registry.
    pub fn new(
        zones: &Arc<ZoneTable>,
        profiles: &[ProfileRule],
        sites: &[SiteRule],
    ) -> SiteResolver {
        let mut configured = ConfiguredSites::default();
        for rule in sites {
            configured.add_site(rule, zones);
        }
        for rule in profiles {
            configured.add_profiles(rule, zones);
        }
        SiteResolver {
            zones: Arc::clone(zones),
            configured: Arc::new(configured),
            registered: RegistryIndex::default(),
        }
    }

    /// The same configuration with these entries of the registry.
    pub fn with_registered(&self, registered: RegistryIndex) -> SiteResolver {
        SiteResolver {
            registered,
            ..self.clone()
        }
    }

    /// The registry's entries.
    pub fn registered(&self) -> &RegistryIndex {
        &self.registered
    }

    /// Whether the configuration has a rule for this host.
    pub fn is_configured_host(&self, host: &str) -> bool {
        self.configured.by_host.contains_key(host)
    }

    /// Whether the configuration has a site with this name.
    pub fn is_configured_site(&self, name: &str) -> bool {
        self.configured.by_name.contains_key(name)
    }

    /// The name with this id, of a site with an entry of its own or with an alias.
    pub fn find_name(&self, id: SiteId) -> Option<&str> {
        match self.configured.names_by_id.get(&id) {
            Some(name) => Some(name),
            None => self.registered.find_name(id).map(|name| &**name),
        }
    }

    /// Whether the page belongs to the site, on any of its hosts. `www.` before a host is ignored.
    pub fn is_page_of(&self, site: SiteId, host: &str, path: &str) -> bool {
        let is_there = |host: &str| {
            self.resolve_page(host, path)
                .is_some_and(|found| found.id == site)
        };
        is_there(host)
            || match host.strip_prefix("www.") {
                Some(bare) => is_there(bare),
                None => is_there(&format!("www.{host}")),
            }
    }

    /// The site of a page, by its host (lower case, without port or trailing dot) and its
    /// normalised, uncleaned path: a cleaned path may have lost the profile's name.
    pub fn resolve_page<'a>(&self, host: &str, path: &'a str) -> Option<ResolvedSite<'a>> {
        let Some(rules) = self.configured.by_host.get(host) else {
            let site = self.registered.find_host(host)?;
            return self.is_in_force(site).then_some(ResolvedSite {
                id: site.id,
                zone: site.zone,
                path: "/",
            });
        };
        rules.iter().find_map(|rule| match rule {
            HostRule::WholeHost { id, zone } => Some(ResolvedSite {
                id: *id,
                zone: *zone,
                path: "/",
            }),
            HostRule::Profiles {
                path_prefix: under,
                template: name,
                zone,
            } => {
                let rest = path.strip_prefix(&**under)?;
                let profile = rest.split('/').next().filter(|p| is_site_name(p))?;
                let (id, zone) = self
                    .find_profile_entry(name, profile)
                    .unwrap_or_else(|| (name.site_id(profile), *zone));
                Some(ResolvedSite {
                    id,
                    zone,
                    path: &path[..under.len() + profile.len()],
                })
            }
        })
    }

    /// Name of a page's site, if a profile rule makes it and it has no entry of its own.
    pub fn profile_name(&self, host: &str, path: &str) -> Option<String> {
        let rules = self.configured.by_host.get(host)?;
        rules.iter().find_map(|rule| match rule {
            HostRule::WholeHost { .. } => None,
            HostRule::Profiles {
                path_prefix: under,
                template: name,
                ..
            } => {
                let profile = path
                    .strip_prefix(&**under)?
                    .split('/')
                    .next()
                    .filter(|p| is_site_name(p))?;
                self.find_profile_entry(name, profile)
                    .is_none()
                    .then(|| name.render_name(profile).into_owned())
            }
        })
    }

    /// The site with this name or alias. A profile that never had a hit is a site without counts.
    pub fn find_by_name(&self, name: &str) -> Option<(SiteId, ZoneId)> {
        if !is_site_name(name) {
            return None;
        }
        self.find_entry(name).or_else(|| self.find_template(name))
    }

    /// Whether two names are of one site. Compares names, never ids: access rights must not depend
    /// on a hash.
    pub fn is_same_site(&self, one: &str, other: &str) -> bool {
        self.canonical_name(one) == self.canonical_name(other)
    }

    fn canonical_name<'a>(&'a self, name: &'a str) -> &'a str {
        match self.find_own_entry(name) {
            Some(_) => name,
            None => self.find_alias(name).map_or(name, |(site, _)| site),
        }
    }

    /// Largest amount of one event in euros, if the site has a bound of its own.
    pub fn max_amount(&self, site: SiteId) -> Option<u32> {
        let configured = self.configured.max_amounts.get(&site).copied();
        configured.or_else(|| {
            let name = self.registered.find_name(site)?;
            (!self.is_configured_site(name))
                .then(|| self.registered.max_amount(site))
                .flatten()
        })
    }

    /// The zone with this number.
    pub fn time_zone(&self, zone: ZoneId) -> TimeZone {
        self.zones.get(zone)
    }

    /// A profile with an entry of its own: it has its own zone, or is an alias.
    fn find_profile_entry(
        &self,
        name: &SiteNameTemplate,
        profile: &str,
    ) -> Option<(SiteId, ZoneId)> {
        if self.configured.by_name.is_empty() && self.registered.is_empty() {
            return None;
        }
        self.find_entry(&name.render_name(profile))
    }

    /// The site with an entry of its own that has this name or alias.
    fn find_entry(&self, name: &str) -> Option<(SiteId, ZoneId)> {
        self.find_own_entry(name)
            .or_else(|| self.find_alias(name).map(|(_, site)| site))
    }

    fn find_own_entry(&self, name: &str) -> Option<(SiteId, ZoneId)> {
        let configured = self.configured.by_name.get(name).copied();
        configured.or_else(|| {
            let site = self.registered.find_site(name)?;
            Some((site.id, site.zone))
        })
    }

    /// The site of an alias: its name, id and zone.
    fn find_alias(&self, alias: &str) -> Option<(&str, (SiteId, ZoneId))> {
        let name = self.registered.alias_target(alias)?;
        let site = self
            .find_own_entry(name)
            .or_else(|| self.find_template(name))?;
        Some((name, site))
    }

    /// The site that a profile rule makes of the name.
    fn find_template(&self, name: &str) -> Option<(SiteId, ZoneId)> {
        // The longest template wins: for `ally-mia`, `ally-{profile}` before `{profile}`.
        let matching = self
            .configured
            .profiles
            .iter()
            .filter(|(template, _)| template.matches_name(name));
        let (_, zone) =
            matching.max_by_key(|(template, _)| template.prefix.len() + template.suffix.len())?;
        Some((SiteId::from_key(name), *zone))
    }

    /// Whether the entry is not one that the configuration has replaced since.
    fn is_in_force(&self, site: &RegisteredSite) -> bool {
        !self.configured.by_name.contains_key(&*site.name)
    }
}

impl ConfiguredSites {
    fn add_site(&mut self, rule: &SiteRule, zones: &ZoneTable) {
        let zone = zones.intern_zone(&rule.zone);
        let id = SiteId::from_key(&rule.id);
        self.names_by_id.insert(id, rule.id.as_str().into());
        self.by_name.insert(rule.id.as_str().into(), (id, zone));
        if let Some(most) = rule.max_amount {
            self.max_amounts.insert(id, most);
        }
        for host in &rule.hosts {
            // Former versions accepted a host with a trailing dot. Pages are looked up without it.
            let host = host.strip_suffix('.').unwrap_or(host);
            self.by_host
                .entry(host.into())
                .or_default()
                .push(HostRule::WholeHost { id, zone });
        }
    }

    fn add_profiles(&mut self, rule: &ProfileRule, zones: &ZoneTable) {
        let zone = zones.intern_zone(&rule.zone);
        let name = Arc::new(SiteNameTemplate::new(&rule.site));
        self.profiles.push((Arc::clone(&name), zone));
        let under = rule.path.trim_end_matches("{profile}").into();
        // Before the rules of whole hosts, so that a host can have both profiles and a site of its
        // own.
        self.by_host
            .entry(rule.host.as_str().into())
            .or_default()
            .insert(
                0,
                HostRule::Profiles {
                    path_prefix: under,
                    template: name,
                    zone,
                },
            );
    }
}

impl SiteNameTemplate {
    fn new(template: &str) -> SiteNameTemplate {
        let (before, after) = template
            .split_once("{profile}")
            .expect("validated to hold {profile}");
        SiteNameTemplate {
            prefix: before.into(),
            suffix: after.into(),
        }
    }

    fn render_name<'a>(&self, profile: &'a str) -> std::borrow::Cow<'a, str> {
        if self.prefix.is_empty() && self.suffix.is_empty() {
            return profile.into();
        }
        format!("{}{profile}{}", self.prefix, self.suffix).into()
    }

    fn site_id(&self, profile: &str) -> SiteId {
        SiteId::from_key(&self.render_name(profile))
    }

    fn matches_name(&self, name: &str) -> bool {
        name.strip_prefix(&*self.prefix)
            .and_then(|rest| rest.strip_suffix(&*self.suffix))
            .is_some_and(|p| !p.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AliasRule, RegistryChange};

    fn hosts(sites: Vec<SiteRule>, aliases: Vec<AliasRule>) -> SiteResolver {
        let rule = |host: &str, site: &str, zone: &str| ProfileRule {
            host: host.into(),
            path: "/u/{profile}".into(),
            site: site.into(),
            zone: zone.into(),
            keep_days: None,
        };
        let profiles = [
            rule("alllinks.cc", "{profile}", "UTC"),
            rule("ally.example", "ally-{profile}", "Asia/Kolkata"),
        ];
        let configured = [SiteRule {
            id: "shop".into(),
            hosts: vec!["shop.example".into()],
            zone: "UTC".into(),
            embed: vec![],
            max_amount: None,
            keep_days: None,
        }];
        let zones = Arc::new(ZoneTable::default());
        let mut registered = RegistryIndex::default();
        for (rule, revision) in sites.into_iter().zip(1..) {
            registered.apply_change(&RegistryChange::Site { rule, revision }, &zones);
        }
        for (rule, revision) in aliases.into_iter().zip(1..) {
            registered.apply_change(&RegistryChange::Alias { rule, revision }, &zones);
        }
        SiteResolver::new(&zones, &profiles, &configured).with_registered(registered)
    }

    fn site(id: &str, host: &str) -> SiteRule {
        SiteRule {
            id: id.into(),
            hosts: vec![host.into()],
            zone: "Europe/Berlin".into(),
            embed: vec![],
            max_amount: None,
            keep_days: None,
        }
    }

    fn alias(alias: &str, site: &str) -> AliasRule {
        AliasRule {
            alias: alias.into(),
            site: site.into(),
        }
    }

    #[test]
    fn a_registered_host_is_counted_to_its_site_in_its_zone() {
        let hosts = hosts(vec![site("mia", "mia.example")], vec![]);
        let found = hosts.resolve_page("mia.example", "/tour/dates").unwrap();
        assert_eq!((found.id, found.path), (SiteId::from_key("mia"), "/"));
        assert_eq!(
            hosts.time_zone(found.zone).iana_name(),
            Some("Europe/Berlin")
        );
        assert_eq!(hosts.resolve_page("tom.example", "/"), None);
    }

    #[test]
    fn a_profile_is_called_what_its_rule_makes_of_it_and_a_named_site_what_it_was_named() {
        let hosts = hosts(vec![site("mia", "mia.example")], vec![alias("new", "tom")]);
        assert_eq!(
            hosts.profile_name("ally.example", "/u/mia/shop").as_deref(),
            Some("ally-mia")
        );
        assert_eq!(
            hosts.profile_name("alllinks.cc", "/u/ann"),
            Some("ann".to_owned())
        );
        for (host, path) in [
            ("alllinks.cc", "/u/mia"),
            ("alllinks.cc", "/u/new"),
            ("mia.example", "/"),
            ("shop.example", "/"),
        ] {
            assert_eq!(hosts.profile_name(host, path), None, "{host}{path}");
        }
    }

    #[test]
    fn a_renamed_profile_is_the_same_site_under_both_names() {
        let hosts = hosts(
            vec![],
            vec![alias("mia-new", "mia"), alias("x", "ally-tom")],
        );
        let (old, new) = (
            hosts.resolve_page("alllinks.cc", "/u/mia"),
            hosts.resolve_page("alllinks.cc", "/u/mia-new/shop"),
        );
        assert_eq!(old.unwrap().id, new.unwrap().id);
        assert_eq!(
            new.unwrap().path,
            "/u/mia-new",
            "cookies keep to the page's own path"
        );
        assert_eq!(hosts.find_by_name("mia-new"), hosts.find_by_name("mia"));
        let same = |one, other| hosts.is_same_site(one, other);
        assert!(
            same("mia-new", "mia")
                && same("mia", "mia-new")
                && same("x", "ally-tom")
                && same("nobody", "nobody")
        );
        assert!(!same("mia-new", "x") && !same("mia", "tom"));
        let moved = hosts.resolve_page("alllinks.cc", "/u/x").unwrap();
        assert_eq!(
            (moved.id, hosts.time_zone(moved.zone).iana_name()),
            (SiteId::from_key("ally-tom"), Some("Asia/Kolkata"))
        );
    }

    #[test]
    fn a_profile_that_is_registered_has_its_own_zone_and_host_beside_its_path() {
        let hosts = hosts(vec![site("mia", "mia.example")], vec![]);
        let (own, profile) = (
            hosts.resolve_page("mia.example", "/").unwrap(),
            hosts.resolve_page("alllinks.cc", "/u/mia").unwrap(),
        );
        assert_eq!((own.id, own.zone), (profile.id, profile.zone));
        assert_eq!(
            hosts.time_zone(profile.zone).iana_name(),
            Some("Europe/Berlin")
        );
        assert_eq!(hosts.find_by_name("mia"), Some((profile.id, profile.zone)));
    }

    #[test]
    fn what_contradicts_the_configuration_or_an_earlier_entry_is_left_out() {
        let sites = vec![
            site("a", "alllinks.cc"),
            site("shop", "b.example"),
            site("c", "c.example"),
            site("d", "c.example"),
        ];
        let hosts = hosts(sites, vec![alias("e", "nobody at all")]);
        assert_eq!(hosts.resolve_page("alllinks.cc", "/"), None);
        assert_eq!(hosts.resolve_page("b.example", "/"), None);
        assert_eq!(
            hosts.resolve_page("c.example", "/").unwrap().id,
            SiteId::from_key("c")
        );
        assert_eq!(
            hosts
                .find_by_name("shop")
                .map(|(_, zone)| hosts.time_zone(zone)),
            Some(TimeZone::UTC)
        );
    }
}
