//! Which sites accept hits from other products' unmodified trackers, and on which legal basis.
//!
//! Those trackers do not handle consent. So each rule states the basis of its hits: the consent
//! cookie, which is sent with a same-origin request, or the operator's declaration.

use std::collections::HashMap;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Secret;
use super::site_rules::is_site_name;
use crate::event::{LegalBasis, SiteId};

const ALL_SITES: &str = "*";
const MIN_DECLARATION_CHARS: usize = 20;
const MIN_TOKEN_BYTES: usize = 16;

string_enum! {
    /// The product whose tracker sends the hits.
    pub enum TrackerDialect {
        Plausible = "plausible",
        Umami = "umami",
        GoatCounter = "goatcounter",
    }
}

string_enum! {
    /// The legal basis of a rule's hits: the consent cookie with a grant, or the operator's
    /// declaration.
    pub enum CompatibleBasis {
        ConsentCookie = "consent_cookie",
        Declared = "declared",
    }
}

string_enum! {
    /// Whether stored refusals are sent with the hits of a tracker that sends no cookies by
    /// default.
    #[derive(Default)]
    pub enum StoredRefusals {
        #[default]
        Unspecified = "",
        Sent = "sent",
        Unseen = "unseen",
    }
}

/// `[[compatible]]`: which products' hits some sites accept.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct CompatibleRule {
    /// Names of sites, or `*` alone for all sites.
    #[garde(
        length(min = 1, max = 10_000),
        inner(custom(validate_site)),
        custom(validate_wildcard)
    )]
    pub sites: Vec<String>,
    /// Products whose hits are accepted, each once.
    #[garde(length(min = 1), custom(validate_unique_products))]
    pub accept: Vec<TrackerDialect>,
    /// Legal basis of the hits.
    #[garde(skip)]
    pub basis: CompatibleBasis,
    /// Why hits without the consent cookie are lawful, for basis `declared`. Logged at each start.
    #[serde(default)]
    #[garde(custom(validate_declaration(&self.basis)))]
    pub declared: String,
    /// Required with basis `declared` for trackers that send no cookies by default.
    #[serde(default)]
    #[garde(skip)]
    pub stored_refusals: StoredRefusals,
    /// A request with this token comes from a server of the site, whose claims about its visitors'
    /// address and agent are used. At least 16 bytes; empty for none.
    #[serde(default)]
    #[garde(custom(validate_token_length))]
    pub token: Secret,
    /// File that holds `token`; empty for none.
    #[serde(default)]
    #[garde(skip)]
    pub token_file: String,
}

/// The rules, indexed by product and site.
pub struct CompatibleRules {
    rules: Vec<AcceptedTracker>,
    by_site: HashMap<(TrackerDialect, SiteId), usize>,
    for_all_sites: HashMap<TrackerDialect, usize>,
}

/// The conditions on which a site accepts another product's hits.
pub struct AcceptedTracker {
    /// Legal basis of the hits.
    pub legal_basis: LegalBasis,
    token: Secret,
}

impl AcceptedTracker {
    /// Whether `guess` is the rule's token, compared in constant time. Always false without a
    /// token.
    pub fn is_server_token(&self, guess: &str) -> bool {
        self.token.matches(guess.as_bytes())
    }
}

impl CompatibleRules {
    /// The rules must have passed validation.
    pub fn new(rules: &[CompatibleRule]) -> CompatibleRules {
        let mut known = CompatibleRules {
            rules: Vec::new(),
            by_site: HashMap::new(),
            for_all_sites: HashMap::new(),
        };
        for (place, rule) in rules.iter().enumerate() {
            let ground = match rule.basis {
                CompatibleBasis::ConsentCookie => LegalBasis::ConsentCookie,
                CompatibleBasis::Declared => LegalBasis::Declared,
            };
            known.rules.push(AcceptedTracker {
                legal_basis: ground,
                token: Secret::new(rule.token.expose_secret().to_owned()),
            });
            for dialect in &rule.accept {
                for site in &rule.sites {
                    match site.as_str() {
                        ALL_SITES => known.for_all_sites.insert(*dialect, place),
                        name => known
                            .by_site
                            .insert((*dialect, SiteId::from_key(name)), place),
                    };
                }
            }
        }
        known
    }

    /// The conditions for hits of `dialect` at `site`; `None` if they are not accepted.
    pub fn find_tracker(&self, dialect: TrackerDialect, site: SiteId) -> Option<&AcceptedTracker> {
        let place = self
            .by_site
            .get(&(dialect, site))
            .or_else(|| self.for_all_sites.get(&dialect))?;
        self.rules.get(*place)
    }
}

impl CompatibleRule {
    /// Whether hits have basis `declared` and come from a tracker that sends no cookies by default.
    pub fn needs_stored_refusals(&self) -> bool {
        // Umami 3 uses `credentials: "omit"` unless its tag sets another mode. The others send
        // cookies of the page's origin.
        self.basis == CompatibleBasis::Declared && self.accept.contains(&TrackerDialect::Umami)
    }
}

/// Finds rules that lack `stored_refusals`, or have it where it has no effect. Returns keys and
/// reasons.
pub(super) fn check_stored_refusals(rules: &[CompatibleRule]) -> Vec<(String, &'static str)> {
    let key = |place: usize| format!("compatible[{place}].stored_refusals");
    let wrong = |(place, rule): (usize, &CompatibleRule)| match (
        rule.needs_stored_refusals(),
        rule.stored_refusals,
    ) {
        (true, StoredRefusals::Unspecified) => Some((
            key(place),
            "must be \"sent\" where umami's tag has data-fetch-credentials=\"same-origin\", or \
             \"unseen\" to count people whose refusal is stored here: without that attribute the \
             tag sends no cookies, and a refusal does not come with its hits",
        )),
        (false, StoredRefusals::Sent | StoredRefusals::Unseen) => Some((
            key(place),
            "is for basis declared with umami; elsewhere a refusal always comes with the hit",
        )),
        _ => None,
    };
    rules.iter().enumerate().filter_map(wrong).collect()
}

/// Finds two rules about one site and product, because the basis of a hit must not depend on their
/// order. Returns the key and the reason.
pub(super) fn find_conflict(rules: &[CompatibleRule]) -> Option<(String, String)> {
    rules.iter().enumerate().find_map(|(place, rule)| {
        let earlier = rules[..place].iter().position(|other| {
            rule.accept
                .iter()
                .any(|dialect| other.accept.contains(dialect))
                && rule
                    .sites
                    .iter()
                    .any(|site| site == ALL_SITES || is_for_site(other, site))
        })?;
        let reason = format!(
            "a site and product of it stand in compatible[{earlier}] already; * is every site"
        );
        Some((format!("compatible[{place}]"), reason))
    })
}

fn is_for_site(rule: &CompatibleRule, site: &str) -> bool {
    rule.sites.iter().any(|of| of == ALL_SITES || of == site)
}

fn validate_site(value: &str, _: &()) -> garde::Result {
    if value == ALL_SITES || is_site_name(value) {
        return Ok(());
    }
    Err(garde::Error::new(
        "must be *, for every site, or a site's name: 1 to 64 of letters, digits and . _ ~ -",
    ))
}

fn validate_wildcard(sites: &[String], _: &()) -> garde::Result {
    if sites.len() > 1 && sites.iter().any(|site| site == ALL_SITES) {
        return Err(garde::Error::new("must be [\"*\"] alone or names of sites"));
    }
    Ok(())
}

fn validate_unique_products(accept: &[TrackerDialect], _: &()) -> garde::Result {
    let twice = accept
        .iter()
        .enumerate()
        .any(|(place, dialect)| accept[..place].contains(dialect));
    if twice {
        Err(garde::Error::new("must name each product once"))
    } else {
        Ok(())
    }
}

fn validate_declaration(basis: &CompatibleBasis) -> impl FnOnce(&str, &()) -> garde::Result {
    let basis = *basis;
    move |text, ()| match basis {
        CompatibleBasis::Declared if text.trim().chars().count() < MIN_DECLARATION_CHARS => {
            Err(garde::Error::new(format!(
                "must say in a sentence of at least {MIN_DECLARATION_CHARS} characters why these \
                 hits are lawful, where basis is declared"
            )))
        }
        CompatibleBasis::ConsentCookie if !text.is_empty() => Err(garde::Error::new(
            "belongs to basis declared; basis is consent_cookie",
        )),
        _ => Ok(()),
    }
}

fn validate_token_length(token: &Secret, _: &()) -> garde::Result {
    if token.is_empty() || token.expose_secret().len() >= MIN_TOKEN_BYTES {
        return Ok(());
    }
    Err(garde::Error::new(format!(
        "must be empty or at least {MIN_TOKEN_BYTES} bytes long"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(sites: &[&str], accept: &[TrackerDialect], token: &str) -> CompatibleRule {
        CompatibleRule {
            sites: sites.iter().map(|site| (*site).to_owned()).collect(),
            accept: accept.to_vec(),
            basis: CompatibleBasis::ConsentCookie,
            declared: String::new(),
            stored_refusals: StoredRefusals::Unspecified,
            token: Secret::new(token.to_owned()),
            token_file: String::new(),
        }
    }

    #[test]
    fn a_site_takes_what_its_own_table_or_that_of_every_site_names() {
        use TrackerDialect::{GoatCounter, Plausible, Umami};
        let rules = [
            rule(&["mia", "tom"], &[Umami], "a token of mia and tom"),
            rule(&["*"], &[Plausible], ""),
        ];
        assert_eq!(find_conflict(&rules), None);
        let known = CompatibleRules::new(&rules);
        let takes = |dialect, site| {
            known
                .find_tracker(dialect, SiteId::from_key(site))
                .is_some()
        };
        assert_eq!(
            [
                takes(Umami, "mia"),
                takes(Umami, "tom"),
                takes(Umami, "ann")
            ],
            [true, true, false]
        );
        assert_eq!(
            [
                takes(Plausible, "mia"),
                takes(Plausible, "ann"),
                takes(GoatCounter, "mia")
            ],
            [true, true, false]
        );
        let is_server = |dialect, guess| {
            known
                .find_tracker(dialect, SiteId::from_key("mia"))
                .unwrap()
                .is_server_token(guess)
        };
        assert!(is_server(Umami, "a token of mia and tom"));
        assert!(!is_server(Umami, "a token of mia and to") && !is_server(Umami, ""));
        assert!(!is_server(Plausible, "") && !is_server(Plausible, "a token of mia and tom"));
    }

    #[test]
    fn two_tables_about_one_site_and_product_contradict_each_other() {
        use TrackerDialect::{Plausible, Umami};
        for (first, second, contradicts) in [
            (
                rule(&["mia"], &[Umami], ""),
                rule(&["mia"], &[Plausible], ""),
                false,
            ),
            (
                rule(&["mia"], &[Umami], ""),
                rule(&["tom"], &[Umami], ""),
                false,
            ),
            (
                rule(&["mia"], &[Umami], ""),
                rule(&["tom", "mia"], &[Plausible, Umami], ""),
                true,
            ),
            (
                rule(&["*"], &[Umami], ""),
                rule(&["mia"], &[Umami], ""),
                true,
            ),
            (
                rule(&["mia"], &[Umami], ""),
                rule(&["*"], &[Umami], ""),
                true,
            ),
            (
                rule(&["*"], &[Umami], ""),
                rule(&["*"], &[Plausible], ""),
                false,
            ),
        ] {
            let found = find_conflict(&[first, second]);
            assert_eq!(
                found.map(|(key, _)| key),
                contradicts.then(|| "compatible[1]".to_owned())
            );
        }
    }
}
