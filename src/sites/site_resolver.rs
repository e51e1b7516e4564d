//! Maps pages to sites.
//!
//! A host belongs to one site (`[[sites]]`, or the registry), or a profile rule makes a site of
//! each profile under a path (`[[profiles]]`). A site's id is the hash of its name, so a page
//! resolves without a table of profiles and without allocation.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::calendar::{ZoneId, ZoneTable};
use crate::config::{ProfileRule, RegisteredSites, SiteRule, is_site_name};
use crate::event::{ResolvedSite, SiteId};

/// All rules, indexed to resolve pages and names.
pub struct SiteResolver {
    zones: Arc<ZoneTable>,
    by_host: HashMap<Box<str>, Vec<HostRule>>,
    /// Sites with an entry of their own, and aliases.
    by_name: HashMap<Box<str>, (SiteId, ZoneId)>,
    /// The site's own name by alias.
    canonical_names: HashMap<Box<str>, Box<str>>,
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
    /// The rules must have passed validation. Entries of the registry that contradict the
    /// configuration or an earlier entry are ignored, because two operators may have written at the
    /// same time.
    pub fn new(
        zones: &Arc<ZoneTable>,
        profiles: &[ProfileRule],
        sites: &[SiteRule],
        registered: &RegisteredSites,
    ) -> SiteResolver {
        let mut hosts = SiteResolver {
            zones: Arc::clone(zones),
            by_host: HashMap::new(),
            by_name: HashMap::new(),
            canonical_names: HashMap::new(),
            profiles: Vec::new(),
            max_amounts: HashMap::new(),
        };
        for rule in sites {
            hosts.add_site(rule);
        }
        for rule in profiles {
            hosts.add_profiles(rule);
        }
        let mut ids: HashSet<SiteId> = hosts.by_name.values().map(|(id, _)| *id).collect();
        for rule in &registered.sites {
            let known = !ids.insert(SiteId::from_key(&rule.id))
                || rule
                    .hosts
                    .iter()
                    .any(|host| hosts.by_host.contains_key(host.as_str()));
            if !known {
                hosts.add_site(rule);
            }
        }
        for rule in &registered.aliases {
            if let (Some(site), false) = (
                hosts.find_by_name(&rule.site),
                hosts.by_name.contains_key(rule.alias.as_str()),
            ) {
                let own = hosts.canonical_name(&rule.site).into();
                hosts.by_name.insert(rule.alias.as_str().into(), site);
                hosts
                    .canonical_names
                    .insert(rule.alias.as_str().into(), own);
            }
        }
        hosts
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
        self.by_host.get(host)?.iter().find_map(|rule| match rule {
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
        self.by_host.get(host)?.iter().find_map(|rule| match rule {
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
        if let Some(site) = self.by_name.get(name) {
            return Some(*site);
        }
        // The longest template wins: for `ally-mia`, `ally-{profile}` before `{profile}`.
        let matching = || {
            self.profiles
                .iter()
                .filter(|(template, _)| template.matches_name(name))
        };
        let (_, zone) =
            matching().max_by_key(|(template, _)| template.prefix.len() + template.suffix.len())?;
        Some((SiteId::from_key(name), *zone))
    }

    /// Whether two names are of one site. Compares names, never ids: access rights must not depend
    /// on a hash.
    pub fn is_same_site(&self, one: &str, other: &str) -> bool {
        self.canonical_name(one) == self.canonical_name(other)
    }

    fn canonical_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.canonical_names.get(name).map_or(name, |own| own)
    }

    /// Largest amount of one event in euros, if the site has a bound of its own.
    pub fn max_amount(&self, site: SiteId) -> Option<u32> {
        self.max_amounts.get(&site).copied()
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
        if self.by_name.is_empty() {
            return None;
        }
        self.by_name.get(&*name.render_name(profile)).copied()
    }

    fn add_site(&mut self, rule: &SiteRule) {
        let zone = self.zones.intern_zone(&rule.zone);
        let id = SiteId::from_key(&rule.id);
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

    fn add_profiles(&mut self, rule: &ProfileRule) {
        let zone = self.zones.intern_zone(&rule.zone);
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
    use crate::config::AliasRule;

    fn hosts(registered: &RegisteredSites) -> SiteResolver {
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
        let sites = [SiteRule {
            id: "shop".into(),
            hosts: vec!["shop.example".into()],
            zone: "UTC".into(),
            embed: vec![],
            max_amount: None,
            keep_days: None,
        }];
        SiteResolver::new(
            &Arc::new(ZoneTable::default()),
            &profiles,
            &sites,
            registered,
        )
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
        let hosts = hosts(&RegisteredSites {
            sites: vec![site("mia", "mia.example")],
            aliases: vec![],
        });
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
        let hosts = hosts(&RegisteredSites {
            sites: vec![site("mia", "mia.example")],
            aliases: vec![alias("new", "tom")],
        });
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
        let hosts = hosts(&RegisteredSites {
            sites: vec![],
            aliases: vec![alias("mia-new", "mia"), alias("x", "ally-tom")],
        });
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
        let hosts = hosts(&RegisteredSites {
            sites: vec![site("mia", "mia.example")],
            aliases: vec![],
        });
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
        let hosts = hosts(&RegisteredSites {
            sites,
            aliases: vec![alias("e", "nobody at all")],
        });
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
