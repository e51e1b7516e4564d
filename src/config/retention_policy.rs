//! How many days the counts of each site are kept.

use std::collections::{BTreeMap, HashMap};

use super::{ProfileRule, RegisteredSites, SiteRule};
use crate::event::SiteId;

/// The days that counts are kept: a default, and sites and profile rules with a limit of their own.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct RetentionPolicy {
    default_days: u32,
    /// Sites with an entry of their own, and targets of aliases.
    by_name: HashMap<String, u32>,
    canonical_names: HashMap<String, String>,
    /// The longest first, because the longest one that matches a name applies.
    templates: Vec<TemplateRetention>,
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

    /// The limits of the configuration and the registry. A site's own limit applies before that of
    /// its profile rule, and the configuration's before the registry's.
    pub fn new(
        default_days: u32,
        profiles: &[ProfileRule],
        sites: &[SiteRule],
        registered: &RegisteredSites,
    ) -> RetentionPolicy {
        let mut policy = RetentionPolicy::uniform(default_days);
        if profiles.iter().any(|rule| rule.keep_days.is_some()) {
            policy.templates = profiles
                .iter()
                .filter_map(|rule| {
                    let (prefix, suffix) = rule.site.split_once("{profile}")?;
                    Some(TemplateRetention {
                        prefix: prefix.to_owned(),
                        suffix: suffix.to_owned(),
                        days: rule.keep_days.unwrap_or(default_days),
                    })
                })
                .collect();
            policy
                .templates
                .sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len() + rule.suffix.len()));
        }

        for rule in &registered.aliases {
            policy
                .canonical_names
                .insert(rule.alias.clone(), rule.site.clone());
            let days = policy.template_days(&rule.site);
            policy.by_name.insert(rule.site.clone(), days);
        }
        for rule in registered.sites.iter().chain(sites) {
            let days = rule
                .keep_days
                .unwrap_or_else(|| policy.template_days(&rule.id));
            policy.by_name.insert(rule.id.clone(), days);
        }
        policy.by_name.retain(|name, days| {
            // What the rest of the policy says anyway needs no entry.
            *days != default_days || policy.templates.iter().any(|rule| rule.matches_name(name))
        });
        policy
    }

    /// The limit of a site, by its name or an alias.
    pub fn keep_days(&self, name: &str) -> u32 {
        let name = self.canonical_names.get(name).map_or(name, |own| own);
        match self.by_name.get(name) {
            Some(days) => *days,
            None => self.template_days(name),
        }
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
        for (name, days) in &self.by_name {
            sites.entry(*days).or_default().push(SiteId::from_key(name));
        }
        sites.values_mut().for_each(|ids| ids.sort_unstable());
        sites
    }

    /// Names of the sites with a limit of their own, and the limit.
    pub fn named_sites(&self) -> BTreeMap<&str, u32> {
        self.by_name
            .iter()
            .map(|(name, days)| (name.as_str(), *days))
            .collect()
    }

    /// Profile rules, if one of them has a limit of its own. The first that matches a name applies.
    pub fn templates(&self) -> &[TemplateRetention] {
        &self.templates
    }

    fn all_days(&self) -> impl Iterator<Item = u32> {
        let templates = self.templates.iter().map(|rule| rule.days);
        std::iter::once(self.default_days)
            .chain(self.by_name.values().copied())
            .chain(templates)
    }

    fn template_days(&self, name: &str) -> u32 {
        let rule = self.templates.iter().find(|rule| rule.matches_name(name));
        rule.map_or(self.default_days, |rule| rule.days)
    }
}

#[cfg(test)]
mod tests {
    use super::super::AliasRule;
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
        let registered = RegisteredSites {
            sites: vec![site("mia", Some(40)), site("tom", Some(50))],
            aliases: vec![AliasRule {
                alias: "mia-new".into(),
                site: "mia".into(),
            }],
        };
        let policy = RetentionPolicy::new(
            761,
            &[
                profile("{profile}", None),
                profile("ally-{profile}", Some(90)),
            ],
            &[site("tom", Some(36)), site("ally-ann", None)],
            &registered,
        );
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
        let sites = RegisteredSites {
            sites: vec![site("mia", None)],
            aliases: vec![],
        };
        let policy = RetentionPolicy::new(400, &[profile("{profile}", None)], &[], &sites);
        assert_eq!(policy, RetentionPolicy::uniform(400));
    }
}
