//! Which sites accept hits from other products' unmodified trackers, and on which legal basis.
//!
//! Those trackers do not handle consent. So each rule states the basis of its hits: our consent
//! cookie, which comes with a same-origin request, or the operator's declaration.

use std::collections::HashMap;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Secret;
use super::sites::is_site_name;
use crate::event::{Ground, SiteId};

const EVERY: &str = "*";
const LEAST_DECLARED: usize = 20;
const LEAST_TOKEN: usize = 16;

words! {
    /// The product whose tracker sends the hits.
    #[derive(Hash)]
    pub enum Dialect {
        Plausible = "plausible",
        Umami = "umami",
        GoatCounter = "goatcounter",
    }
}

words! {
    /// The legal basis of a rule's hits: our consent cookie with a grant, or the operator's
    /// declaration.
    pub enum CompatibleBasis {
        ConsentCookie = "consent_cookie",
        Declared = "declared",
    }
}

words! {
    /// Whether stored refusals come with the hits of a tracker that sends no cookies by default.
    #[derive(Default)]
    pub enum StoredRefusals {
        #[default]
        Unsaid = "",
        Sent = "sent",
        Unseen = "unseen",
    }
}

/// `[[compatible]]`: which products' hits some sites accept.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct CompatibleRule {
    /// Names of sites, or `*` alone for all sites.
    #[garde(length(min = 1, max = 10_000), inner(custom(valid_site)), custom(every_stands_alone))]
    pub sites: Vec<String>,
    /// Products whose hits are accepted, each once.
    #[garde(length(min = 1), custom(each_once))]
    pub accept: Vec<Dialect>,
    /// Legal basis of the hits.
    #[garde(skip)]
    pub basis: CompatibleBasis,
    /// Why hits without our consent cookie are lawful, for basis `declared`. Logged at each start.
    #[serde(default)]
    #[garde(custom(declared_where_it_counts(&self.basis)))]
    pub declared: String,
    /// Required with basis `declared` for trackers that send no cookies by default.
    #[serde(default)]
    #[garde(skip)]
    pub stored_refusals: StoredRefusals,
    /// A request with this token comes from a server of the site, whose claims about its visitors'
    /// address and agent are used. At least 16 bytes; empty for none.
    #[serde(default)]
    #[garde(custom(long_enough))]
    pub token: Secret,
    /// File that holds `token`; empty for none.
    #[serde(default)]
    #[garde(skip)]
    pub token_file: String,
}

/// The rules, indexed by product and site.
pub struct Compatible {
    rules: Vec<Accepted>,
    by_site: HashMap<(Dialect, SiteId), usize>,
    everywhere: HashMap<Dialect, usize>,
}

/// The conditions on which a site accepts another product's hits.
pub struct Accepted {
    /// Legal basis of the hits.
    pub ground: Ground,
    token: Secret,
}

impl Accepted {
    /// Whether `guess` is the rule's token, compared in constant time. Always false without a
    /// token.
    pub fn is_server(&self, guess: &str) -> bool {
        self.token.matches(guess.as_bytes())
    }
}

impl Compatible {
    /// The rules must have passed validation.
    pub fn new(rules: &[CompatibleRule]) -> Compatible {
        let mut known = Compatible { rules: Vec::new(), by_site: HashMap::new(), everywhere: HashMap::new() };
        for (place, rule) in rules.iter().enumerate() {
            let ground = match rule.basis {
                CompatibleBasis::ConsentCookie => Ground::ConsentCookie,
                CompatibleBasis::Declared => Ground::Declared,
            };
            known.rules.push(Accepted { ground, token: Secret::new(rule.token.expose().to_owned()) });
            for dialect in &rule.accept {
                for site in &rule.sites {
                    match site.as_str() {
                        EVERY => known.everywhere.insert(*dialect, place),
                        name => known.by_site.insert((*dialect, SiteId::of(name)), place),
                    };
                }
            }
        }
        known
    }

    /// The conditions for hits of `dialect` at `site`; `None` if they are not accepted.
    pub fn of(&self, dialect: Dialect, site: SiteId) -> Option<&Accepted> {
        let place = self.by_site.get(&(dialect, site)).or_else(|| self.everywhere.get(&dialect))?;
        self.rules.get(*place)
    }
}

impl CompatibleRule {
    /// Whether hits have basis `declared` and come from a tracker that sends no cookies by default.
    pub fn needs_word_on_refusals(&self) -> bool {
        // Umami 3 uses `credentials: "omit"` unless its tag says otherwise. The others send cookies of the
        // page's origin.
        self.basis == CompatibleBasis::Declared && self.accept.contains(&Dialect::Umami)
    }
}

/// Finds rules that lack `stored_refusals`, or have it where it means nothing. Returns keys and reasons.
pub(super) fn unsaid_refusals(rules: &[CompatibleRule]) -> Vec<(String, &'static str)> {
    let key = |place: usize| format!("compatible[{place}].stored_refusals");
    let wrong = |(place, rule): (usize, &CompatibleRule)| match (rule.needs_word_on_refusals(), rule.stored_refusals) {
        (true, StoredRefusals::Unsaid) => Some((
            key(place),
            "must be \"sent\" where umami's tag has data-fetch-credentials=\"same-origin\", or \"unseen\" to count \
             people whose refusal is stored here: without that attribute the tag sends no cookies, and a refusal does \
             not come with its hits",
        )),
        (false, StoredRefusals::Sent | StoredRefusals::Unseen) => {
            Some((key(place), "is for basis declared with umami; elsewhere a refusal always comes with the hit"))
        }
        _ => None,
    };
    rules.iter().enumerate().filter_map(wrong).collect()
}

/// Finds two rules about one site and product, because the basis of a hit must not depend on their
/// order. Returns the key and the reason.
pub(super) fn contradiction(rules: &[CompatibleRule]) -> Option<(String, String)> {
    rules.iter().enumerate().find_map(|(place, rule)| {
        let earlier = rules[..place].iter().position(|other| {
            rule.accept.iter().any(|dialect| other.accept.contains(dialect))
                && rule.sites.iter().any(|site| site == EVERY || is_about(other, site))
        })?;
        let reason = format!("a site and product of it stand in compatible[{earlier}] already; * is every site");
        Some((format!("compatible[{place}]"), reason))
    })
}

fn is_about(rule: &CompatibleRule, site: &str) -> bool {
    rule.sites.iter().any(|of| of == EVERY || of == site)
}

fn valid_site(value: &str, _: &()) -> garde::Result {
    if value == EVERY || is_site_name(value) {
        return Ok(());
    }
    Err(garde::Error::new("must be *, for every site, or a site's name: 1 to 64 of letters, digits and . _ ~ -"))
}

fn every_stands_alone(sites: &[String], _: &()) -> garde::Result {
    if sites.len() > 1 && sites.iter().any(|site| site == EVERY) {
        return Err(garde::Error::new("must be [\"*\"] alone or names of sites"));
    }
    Ok(())
}

fn each_once(accept: &[Dialect], _: &()) -> garde::Result {
    let twice = accept.iter().enumerate().any(|(place, dialect)| accept[..place].contains(dialect));
    if twice { Err(garde::Error::new("must name each product once")) } else { Ok(()) }
}

fn declared_where_it_counts(basis: &CompatibleBasis) -> impl FnOnce(&str, &()) -> garde::Result {
    let basis = *basis;
    move |text, ()| match basis {
        CompatibleBasis::Declared if text.trim().chars().count() < LEAST_DECLARED => Err(garde::Error::new(format!(
            "must say in a sentence of at least {LEAST_DECLARED} characters why these hits are lawful, where basis is declared"
        ))),
        CompatibleBasis::ConsentCookie if !text.is_empty() => {
            Err(garde::Error::new("belongs to basis declared; basis is consent_cookie"))
        }
        _ => Ok(()),
    }
}

fn long_enough(token: &Secret, _: &()) -> garde::Result {
    if token.is_empty() || token.expose().len() >= LEAST_TOKEN {
        return Ok(());
    }
    Err(garde::Error::new(format!("must be empty or at least {LEAST_TOKEN} bytes long")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(sites: &[&str], accept: &[Dialect], token: &str) -> CompatibleRule {
        CompatibleRule {
            sites: sites.iter().map(|site| (*site).to_owned()).collect(),
            accept: accept.to_vec(),
            basis: CompatibleBasis::ConsentCookie,
            declared: String::new(),
            stored_refusals: StoredRefusals::Unsaid,
            token: Secret::new(token.to_owned()),
            token_file: String::new(),
        }
    }

    #[test]
    fn a_site_takes_what_its_own_table_or_that_of_every_site_names() {
        use Dialect::{GoatCounter, Plausible, Umami};
        let rules = [rule(&["mia", "tom"], &[Umami], "a token of mia and tom"), rule(&["*"], &[Plausible], "")];
        assert_eq!(contradiction(&rules), None);
        let known = Compatible::new(&rules);
        let takes = |dialect, site| known.of(dialect, SiteId::of(site)).is_some();
        assert_eq!([takes(Umami, "mia"), takes(Umami, "tom"), takes(Umami, "ann")], [true, true, false]);
        assert_eq!([takes(Plausible, "mia"), takes(Plausible, "ann"), takes(GoatCounter, "mia")], [true, true, false]);
        let is_server = |dialect, guess| known.of(dialect, SiteId::of("mia")).unwrap().is_server(guess);
        assert!(is_server(Umami, "a token of mia and tom"));
        assert!(!is_server(Umami, "a token of mia and to") && !is_server(Umami, ""));
        assert!(!is_server(Plausible, "") && !is_server(Plausible, "a token of mia and tom"));
    }

    #[test]
    fn two_tables_about_one_site_and_product_contradict_each_other() {
        use Dialect::{Plausible, Umami};
        for (first, second, contradicts) in [
            (rule(&["mia"], &[Umami], ""), rule(&["mia"], &[Plausible], ""), false),
            (rule(&["mia"], &[Umami], ""), rule(&["tom"], &[Umami], ""), false),
            (rule(&["mia"], &[Umami], ""), rule(&["tom", "mia"], &[Plausible, Umami], ""), true),
            (rule(&["*"], &[Umami], ""), rule(&["mia"], &[Umami], ""), true),
            (rule(&["mia"], &[Umami], ""), rule(&["*"], &[Umami], ""), true),
            (rule(&["*"], &[Umami], ""), rule(&["*"], &[Plausible], ""), false),
        ] {
            let found = contradiction(&[first, second]);
            assert_eq!(found.map(|(key, _)| key), contradicts.then(|| "compatible[1]".to_owned()));
        }
    }
}
