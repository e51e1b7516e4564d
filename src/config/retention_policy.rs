//! How many days the counts of each site are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imbl::OrdSet;

use super::{NameMap, ProfileRule, SiteRule};
use crate::event::SiteId;

/// The days that counts are kept: a default, and sites and profile rules with a limit of their own.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct RetentionPolicy {
    default_days: u32,
    /// Sites of the configuration.
    configured: Arc<HashMap<String, u32>>,
    registered: RegisteredLimits,
    /// The longest first, because the longest one that matches a name applies.
    templates: Arc<[TemplateRetention]>,
}

/// What the registry says about the limits of sites. Clones are cheap.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct RegisteredLimits {
    /// The limits of registered sites that have one of their own, in days.
    pub own_days: NameMap<u32>,
    /// The site of each alias.
    pub aliases: NameMap<Arc<str>>,
    /// Registered sites, and sites with an alias.
    pub names: OrdSet<Arc<str>>,
}

/// The limit of the sites that a profile rule makes.
#[derive(Clone, PartialEq, Debug)]
pub struct TemplateRetention {
    /// What their names start with, in characters of site names.
    pub prefix: String,
    /// What their names end with.
    pub suffix: String,
    /// Days their counts are kept.
    pub days: u32,
}

impl TemplateRetention {
    fn matches_name(&self, name: &str) -> bool {
        name.strip_prefix(&*self.prefix)
            .and_then(|rest| rest.strip_suffix(&*self.suffix))
            .is_some_and(|profile| !profile.is_empty())
    }
}

impl RetentionPolicy {
    /// One limit for all sites.
    pub fn uniform(days: u32) -> RetentionPolicy {
        RetentionPolicy {
            default_days: days,
            ..RetentionPolicy::default()
        }
    }

    /// The limits of the configuration. A site's own limit applies before that of its profile rule.
    pub fn new(default_days: u32, profiles: &[ProfileRule], sites: &[SiteRule]) -> RetentionPolicy {
        let mut templates: Vec<TemplateRetention> = Vec::new();
        if profiles.iter().any(|rule| rule.keep_days.is_some()) {
            templates.extend(profiles.iter().filter_map(|rule| {
                let (prefix, suffix) = rule.site.split_once("{profile}")?;
                Some(TemplateRetention {
                    prefix: prefix.to_owned(),
                    suffix: suffix.to_owned(),
                    days: rule.keep_days.unwrap_or(default_days),
                })
            }));
            templates.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len() + rule.suffix.len()));
        }

        let mut policy = RetentionPolicy {
            templates: templates.into(),
            ..RetentionPolicy::uniform(default_days)
        };
        let configured = sites.iter().map(|rule| {
            let days = rule
                .keep_days
                .unwrap_or_else(|| policy.template_days(&rule.id));
            (rule.id.clone(), days)
        });
        policy.configured = Arc::new(configured.collect());
        policy
    }

    /// The same limits with those of the registry. The configuration's apply before the registry's.
    pub fn with_registered(&self, registered: RegisteredLimits) -> RetentionPolicy {
        RetentionPolicy {
            registered,
            ..self.clone()
        }
    }

    /// The limit of a site, by its name or an alias.
    pub fn keep_days(&self, name: &str) -> u32 {
        let name = self.registered.aliases.get(name).map_or(name, |own| own);
        let own = self
            .configured
            .get(name)
            .or_else(|| self.registered.own_days.get(name));
        own.copied().unwrap_or_else(|| self.template_days(name))
    }

    /// The limit of sites without one of their own, and of counts that have no site.
    pub fn default_days(&self) -> u32 {
        self.default_days
    }

    /// The shortest limit of any site.
    pub fn min_days(&self) -> u32 {
        self.all_days().min().unwrap_or(self.default_days)
    }

    /// The longest limit of any site.
    pub fn max_days(&self) -> u32 {
        self.all_days().max().unwrap_or(self.default_days)
    }

    /// Sites with a limit of their own, by limit.
    pub fn sites_by_days(&self) -> BTreeMap<u32, Vec<SiteId>> {
        let mut sites: BTreeMap<u32, Vec<SiteId>> = BTreeMap::new();
        for (name, days) in self.named_sites() {
            sites.entry(days).or_default().push(SiteId::from_key(name));
        }
        sites.values_mut().for_each(|ids| ids.sort_unstable());
        sites
    }

    /// Names of the sites with a limit of their own, and the limit. Where a profile rule has a
    /// limit, all sites with an entry that it matches are among them: the store does not know their
    /// names.
    pub fn named_sites(&self) -> BTreeMap<&str, u32> {
        let configured = self.configured.keys().map(String::as_str);
        let own = self.registered.own_days.keys().map(|name| &**name);
        let matched = self
            .registered
            .names
            .iter()
            .filter(|_| !self.templates.is_empty())
            .map(|name| &**name);
        let names: BTreeSet<&str> = configured.chain(own).chain(matched).collect();
        names
            .into_iter()
            .map(|name| (name, self.keep_days(name)))
            // What the rest of the policy says anyway needs no entry.
            .filter(|(name, days)| *days != self.default_days || self.has_template_of(name))
            .collect()
    }

    /// Profile rules, if one of them has a limit of its own. The first that matches a name applies.
    pub fn templates(&self) -> &[TemplateRetention] {
        &self.templates
    }

    fn all_days(&self) -> impl Iterator<Item = u32> {
        let configured = self.configured.values().copied();
        let own = self.registered.own_days.keys();
        let own = own.map(move |name| self.keep_days(name));
        let templates = self.templates.iter().map(|rule| rule.days);
        std::iter::once(self.default_days)
            .chain(configured)
            .chain(own)
            .chain(templates)
    }

    fn template_days(&self, name: &str) -> u32 {
        let rule = self.templates.iter().find(|rule| rule.matches_name(name));
        rule.map_or(self.default_days, |rule| rule.days)
    }

    fn has_template_of(&self, name: &str) -> bool {
        self.templates.iter().any(|rule| rule.matches_name(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(site: &str, keep_days: Option<u32>) -> ProfileRule {
        ProfileRule {
            host: "alllinks.cc".into(),
            path: "/u/{profile}".into(),
            site: site.into(),
            zone: "UTC".into(),
            keep_days,
        }
    }

    fn site(id: &str, keep_days: Option<u32>) -> SiteRule {
        SiteRule {
            id: id.into(),
            hosts: vec![],
            zone: "UTC".into(),
            embed: vec![],
            max_amount: None,
            keep_days,
        }
    }

    #[test]
    fn the_nearest_limit_applies_and_an_alias_has_that_of_its_site() {
        let registered = RegisteredLimits {
            own_days: [("mia", 40), ("tom", 50)]
                .map(|(name, days)| (name.into(), days))
                .into_iter()
                .collect(),
            aliases: [("mia-new".into(), "mia".into())].into_iter().collect(),
            names: ["mia", "tom"].map(Arc::from).into_iter().collect(),
        };
        let policy = RetentionPolicy::new(
            761,
            &[
                profile("{profile}", None),
                profile("ally-{profile}", Some(90)),
            ],
            &[site("tom", Some(36)), site("ally-ann", None)],
        )
        .with_registered(registered);
        let days = |name| policy.keep_days(name);
        assert_eq!(
            ["mia", "mia-new", "tom", "ann", "ally-zoe", "ally-ann"].map(days),
            [40, 40, 36, 761, 90, 90]
        );
        assert_eq!((policy.min_days(), policy.max_days()), (36, 761));
        assert_eq!(policy.sites_by_days().len(), 3);
    }

    #[test]
    fn one_limit_for_all_needs_no_list() {
        let registered = RegisteredLimits {
            names: ["mia"].map(Arc::from).into_iter().collect(),
            ..RegisteredLimits::default()
        };
        let policy = RetentionPolicy::new(400, &[profile("{profile}", None)], &[])
            .with_registered(registered);
        let uniform = RetentionPolicy::uniform(400);
        assert_eq!(policy.named_sites(), uniform.named_sites());
        assert_eq!(
            (
                policy.min_days(),
                policy.max_days(),
                policy.keep_days("mia")
            ),
            (400, 400, 400)
        );
    }
}
