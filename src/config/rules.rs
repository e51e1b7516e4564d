//! Rules about combinations of values.

use std::collections::HashMap;

use super::access::is_strong_hash;
use super::{Basis, Config, Memory, TokenAlgorithm, compatible, with_one_id};
use crate::event::SiteId;

/// Minimum length of a secret that signs tokens: one shorter than its hash could be guessed from
/// one token (RFC 7518).
const FEWEST_SECRET_BYTES: usize = 32;
const FEWEST_TOKEN_BYTES: usize = 16;
/// Longest lifetime of a cookie that is exempt from consent, in seconds.
const LONGEST_EXEMPT_COOKIE: u64 = 395 * 86_400;
const MOST_EXEMPT_DAYS: u32 = 761;

/// A broken rule.
pub(super) struct Refused {
    /// Key that the error names.
    pub key: String,
    /// What is accepted.
    pub reason: String,
    /// Other keys that the rule depends on: if one of them is wrong itself, the rule is not
    /// reported.
    pub about: &'static [&'static str],
}

struct Rules(Vec<Refused>);

impl Rules {
    fn must(&mut self, kept: bool, key: impl Into<String>, about: &'static [&'static str], reason: impl Into<String>) {
        if !kept {
            self.0.push(Refused { key: key.into(), reason: reason.into(), about });
        }
    }
}

pub(super) fn refused(config: &Config) -> Vec<Refused> {
    let mut rules = Rules(Vec::new());
    consent(config, &mut rules);
    access(config, &mut rules);
    sites(config, &mut rules);
    memory(config, &mut rules);
    rules.0
}

fn consent(config: &Config, rules: &mut Rules) {
    let consent = &config.consent;
    let (tiers, optional) = (consent.tiers.join(", "), consent.tiers.get(1..).unwrap_or_default());
    let is_tier = |tier: &String| consent.tiers.contains(tier);

    rules.must(
        is_tier(&consent.analytics_tier),
        "consent.analytics_tier",
        &["consent.tiers"],
        format!("must be one of consent.tiers: {tiers}"),
    );
    rules.must(
        consent.tiers.first() != Some(&consent.analytics_tier),
        "consent.analytics_tier",
        &["consent.tiers"],
        "must not be the first tier, which nobody can refuse",
    );
    for (key, words) in [
        ("consent.tiers", &consent.tiers),
        ("consent.inert", &consent.inert),
        ("mail.templates", &config.mail.templates),
    ] {
        if let Some(word) = twice(words) {
            rules.must(false, key, &[], format!("must hold each once, and holds {word} twice"));
        }
    }
    if let Some(tier) = consent.inert.iter().find(|tier| !optional.contains(tier)) {
        let reason = format!("{tier} is no optional tier; accepted are: {}", optional.join(", "));
        rules.must(false, "consent.inert", &["consent.tiers"], reason);
    }
    for (place, entry) in config.register.iter().enumerate() {
        let reason = format!("must be one of consent.tiers: {tiers}");
        rules.must(is_tier(&entry.tier), format!("register[{place}].tier"), &["consent.tiers"], reason);
        let earlier = config.register[..place].iter().any(|other| other == entry);
        rules.must(!earlier, format!("register[{place}]"), &[], "stands here twice; each entry must differ");
    }

    if consent.basis == Basis::ExemptOptOut {
        rules.must(
            config.visitor.cookie.max_age_secs <= LONGEST_EXEMPT_COOKIE,
            "visitor.cookie.max_age_secs",
            &["consent.basis"],
            format!("must be at most {LONGEST_EXEMPT_COOKIE} (395 days) where consent.basis is exempt_opt_out"),
        );
        rules.must(
            config.retention.keep_days <= MOST_EXEMPT_DAYS,
            "retention.keep_days",
            &["consent.basis"],
            format!("must be at most {MOST_EXEMPT_DAYS} where consent.basis is exempt_opt_out"),
        );
    }
}

fn access(config: &Config, rules: &mut Rules) {
    let (platform, report) = (&config.platform, &config.report);
    let gate = !config.bi.url.is_empty();
    rules.must(
        !gate || !config.bi.secret.is_empty(),
        "bi.secret",
        &["bi.url"],
        "is needed where bi.url is set; bi.secret_file names a file with it",
    );
    rules.must(
        !gate || !platform.token_key.is_empty(),
        "platform.token_key",
        &["bi.url"],
        "is needed where bi.url is set; platform.token_key_file names a file with it",
    );

    let short_key = (1..FEWEST_SECRET_BYTES).contains(&platform.token_key.expose().len());
    rules.must(
        platform.token_algorithm != TokenAlgorithm::Hs256 || !short_key,
        named("platform.token_key", &platform.token_key_file),
        &["platform.token_algorithm"],
        format!("of HS256 must have at least {FEWEST_SECRET_BYTES} bytes"),
    );

    let hash = &config.access.password_hash;
    rules.must(
        hash.is_empty() || is_strong_hash(hash),
        named("access.password_hash", &config.access.password_hash_file),
        &[],
        "must be what `footfall access hash-password` prints: $argon2id$…",
    );
    rules.must(
        !(1..FEWEST_TOKEN_BYTES).contains(&report.token.expose().len()),
        named("report.token", &report.token_file),
        &[],
        format!("must have at least {FEWEST_TOKEN_BYTES} bytes: it is all that stands before every report"),
    );
    rules.must(
        report.share_k >= report.k,
        "report.share_k",
        &["report.k"],
        format!("must be at least report.k, which is {}: share links go to strangers", report.k),
    );

    let listen = config.server.listen;
    rules.must(
        !config.test.clock || listen.ip().is_loopback(),
        "test.clock",
        &["server.listen"],
        format!("needs server.listen on a loopback address, not {listen}"),
    );
    rules.must(
        !config.test.whole_lots || config.test.clock,
        "test.whole_lots",
        &["test.clock"],
        "needs test.clock: lots without a remainder give rare values away",
    );
    rules.must(
        config.store.cluster.is_empty() || !config.store.url.is_empty(),
        "store.cluster",
        &["store.url"],
        "is of a server; it must be empty where store.url is",
    );
    rules.must(
        config.store.ca_file.is_empty() || config.store.url.starts_with("https://"),
        "store.ca_file",
        &["store.url"],
        "is for a store.url that begins with https://",
    );
}

/// The key of the file, if the secret came from a file.
fn named(key: &str, file: &str) -> String {
    if file.is_empty() { key.to_owned() } else { format!("{key}_file") }
}

fn sites(config: &Config, rules: &mut Rules) {
    // A name must mean one site in one zone: two rules may share a template only if their zones are
    // equal.
    for (place, rule) in config.profiles.iter().enumerate() {
        let earlier = &config.profiles[..place];
        rules.must(
            !earlier.iter().any(|other| other.site == rule.site && other.zone != rule.zone),
            format!("profiles[{place}].site"),
            &["profiles"],
            "must differ from that of rules in another zone, such as ally-{profile}",
        );
        let same = earlier.iter().position(|other| (&other.host, &other.path) == (&rule.host, &rule.path));
        let reason = |other: usize| format!("host and path must differ from those of profiles[{other}]");
        rules.must(same.is_none(), format!("profiles[{place}]"), &["profiles"], same.map(reason).unwrap_or_default());
    }

    let (mut ids, mut hosts) = (HashMap::new(), HashMap::new());
    for (place, site) in config.sites.iter().enumerate() {
        let first = *ids.entry(&site.id).or_insert(place);
        let reason = format!("{} is the id of sites[{first}] already; one entry must hold all its hosts", site.id);
        rules.must(first == place, format!("sites[{place}].id"), &["sites"], reason);
        for (at, host) in site.hosts.iter().enumerate() {
            let first = *hosts.entry(host).or_insert((place, at));
            let reason = format!("{host} is a host of sites[{}] already; it must be of one site only", first.0);
            rules.must(first == (place, at), format!("sites[{place}].hosts[{at}]"), &["sites"], reason);
        }
    }
    let names = config.sites.iter().map(|site| site.id.as_str());
    if let Some((first, second)) = with_one_id(names, SiteId::of) {
        rules.must(false, "sites", &["sites"], format!("{first} and {second} have one id; rename one of them"));
    }

    for (key, reason) in compatible::unsaid_refusals(&config.compatible) {
        rules.must(false, key, &[], reason);
    }
    if let Some((key, reason)) = compatible::contradiction(&config.compatible) {
        rules.must(false, key, &["compatible"], reason);
    }
}

fn memory(config: &Config, rules: &mut Rules) {
    let excess = Memory::of(config).excess();
    let about = &["limits", "server.max_connections", "journal.segment_bytes"];
    rules.must(excess.is_none(), "limits.memory_bytes", about, excess.unwrap_or_default());
}

fn twice(words: &[String]) -> Option<&String> {
    words.iter().enumerate().find(|(place, word)| words[..*place].contains(word)).map(|(_, word)| word)
}
