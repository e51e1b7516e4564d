//! Which pages belong to which site.
//!
//! A host is registered whole (`[[sites]]`), or a profile rule makes a site of each profile under a path (`[[profiles]]`). A
//! site's id is the hash of its name, so a page resolves without a lookup anywhere and without allocating.

use std::collections::HashMap;
use std::sync::Arc;

use garde::Validate;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::event::SiteId;

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ProfileRule {
    #[garde(custom(valid_host))]
    pub host: String,
    /// Where profiles live; `{profile}` stands for one path segment and comes last.
    #[garde(custom(valid_path))]
    pub path: String,
    /// The site's name; `{profile}` stands for the profile.
    #[serde(default = "profile_name")]
    #[garde(custom(valid_template))]
    pub site: String,
    #[garde(custom(valid_zone))]
    pub zone: String,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct SiteRule {
    #[garde(custom(valid_name))]
    pub id: String,
    #[garde(length(min = 1), inner(custom(valid_host)))]
    pub hosts: Vec<String>,
    #[garde(custom(valid_zone))]
    pub zone: String,
}

/// A time zone sites count in: its place in [`Hosts::zones`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Zone(pub u16);

/// The site a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site<'a> {
    pub id: SiteId,
    pub zone: Zone,
    /// The part of the path that is the whole profile: the `Path` of its cookies.
    pub path: &'a str,
}

/// All rules, ready to resolve pages.
pub struct Hosts {
    zones: Vec<TimeZone>,
    by_host: HashMap<Box<str>, Vec<Rule>>,
    by_name: HashMap<Box<str>, Zone>,
    profiles: Vec<(Arc<Template>, Zone)>,
}

enum Rule {
    Whole { id: SiteId, zone: Zone },
    Profiles { under: Box<str>, name: Arc<Template>, zone: Zone },
}

struct Template {
    before: Box<str>,
    after: Box<str>,
}

impl Hosts {
    /// The rules must have passed validation.
    pub fn new(profiles: &[ProfileRule], sites: &[SiteRule]) -> Hosts {
        let mut hosts =
            Hosts { zones: Vec::new(), by_host: HashMap::new(), by_name: HashMap::new(), profiles: Vec::new() };
        for rule in sites {
            let zone = hosts.zone(&rule.zone);
            hosts.by_name.insert(rule.id.as_str().into(), zone);
            for host in &rule.hosts {
                hosts
                    .by_host
                    .entry(host.as_str().into())
                    .or_default()
                    .push(Rule::Whole { id: SiteId::of(&rule.id), zone });
            }
        }
        for rule in profiles {
            let zone = hosts.zone(&rule.zone);
            let name = Arc::new(Template::new(&rule.site));
            hosts.profiles.push((Arc::clone(&name), zone));
            let under = rule.path.trim_end_matches("{profile}").into();
            // Before whole hosts, so that a host can hold both its profiles and a site of its own.
            hosts.by_host.entry(rule.host.as_str().into()).or_default().insert(0, Rule::Profiles { under, name, zone });
        }
        hosts
    }

    /// The site of a page, by its host (lower case, no port) and cleaned path.
    pub fn resolve<'a>(&self, host: &str, path: &'a str) -> Option<Site<'a>> {
        self.by_host.get(host)?.iter().find_map(|rule| match rule {
            Rule::Whole { id, zone } => Some(Site { id: *id, zone: *zone, path: "/" }),
            Rule::Profiles { under, name, zone } => {
                let rest = path.strip_prefix(&**under)?;
                let profile = rest.split('/').next().filter(|p| is_site_name(p))?;
                Some(Site { id: name.site(profile), zone: *zone, path: &path[..under.len() + profile.len()] })
            }
        })
    }

    /// The site of a name in a question. A profile that never had a hit is a site with nothing counted.
    pub fn by_name(&self, name: &str) -> Option<(SiteId, Zone)> {
        if !is_site_name(name) {
            return None;
        }
        // `ally-{profile}` knows `ally-mia` better than `{profile}` does.
        let matching = || self.profiles.iter().filter(|(template, _)| template.matches(name));
        let by_rule = || {
            matching().max_by_key(|(template, _)| template.before.len() + template.after.len()).map(|(_, zone)| *zone)
        };
        let zone = self.by_name.get(name).copied().or_else(by_rule)?;
        Some((SiteId::of(name), zone))
    }

    pub fn time_zone(&self, zone: Zone) -> &TimeZone {
        &self.zones[usize::from(zone.0)]
    }

    pub fn zones(&self) -> &[TimeZone] {
        &self.zones
    }

    fn zone(&mut self, name: &str) -> Zone {
        let place = self.zones.iter().position(|z| z.iana_name() == Some(name)).unwrap_or_else(|| {
            self.zones.push(TimeZone::get(name).expect("zones were validated"));
            self.zones.len() - 1
        });
        Zone(u16::try_from(place).expect("the tz database has far fewer than 65 536 zones"))
    }
}

impl Template {
    fn new(template: &str) -> Template {
        let (before, after) = template.split_once("{profile}").expect("validated to hold {profile}");
        Template { before: before.into(), after: after.into() }
    }

    fn site(&self, profile: &str) -> SiteId {
        if self.before.is_empty() && self.after.is_empty() {
            return SiteId::of(profile);
        }
        SiteId::of(&format!("{}{profile}{}", self.before, self.after))
    }

    fn matches(&self, name: &str) -> bool {
        name.strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.after)).is_some_and(|p| !p.is_empty())
    }
}

fn is_site_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
}

fn profile_name() -> String {
    "{profile}".to_owned()
}

fn valid_name(value: &str, _: &()) -> garde::Result {
    if is_site_name(value) { Ok(()) } else { Err(garde::Error::new("must be 1 to 64 of letters, digits and . _ ~ -")) }
}

fn valid_host(value: &str, _: &()) -> garde::Result {
    let ok = !value.is_empty()
        && value.len() <= 253
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-[]:".contains(&b))
        && url::Url::parse(&format!("http://{value}/")).is_ok_and(|u| u.port().is_none());
    if ok { Ok(()) } else { Err(garde::Error::new("must be a host in lower case without a port, such as alllinks.cc")) }
}

fn valid_path(value: &str, _: &()) -> garde::Result {
    let ok = value.starts_with('/') && value.ends_with("/{profile}") && value.matches('{').count() == 1;
    if ok { Ok(()) } else { Err(garde::Error::new("must start with / and end with /{profile}, such as /u/{profile}")) }
}

fn valid_template(value: &str, _: &()) -> garde::Result {
    let ok = value.matches("{profile}").count() == 1 && is_site_name(&value.replace("{profile}", "x"));
    if ok { Ok(()) } else { Err(garde::Error::new("must hold {profile} once, beside letters, digits and . _ ~ -")) }
}

fn valid_zone(value: &str, _: &()) -> garde::Result {
    TimeZone::get(value)
        .map(|_| ())
        .map_err(|_| garde::Error::new("must be a zone of the tz database, such as Europe/Berlin or UTC"))
}
