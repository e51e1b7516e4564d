//! Rules about combinations of values.

use std::collections::HashMap;

use super::access::is_strong_hash;
use super::cluster::parse_collector;
use super::{
    Config, ConsentBasis, MemoryBudget, TokenAlgorithm, UpgradeStep, VisitorMode, compatible,
    find_id_collision,
};
use crate::event::SiteId;

/// Minimum length in bytes of a secret that signs tokens. A secret shorter than its hash could be
/// guessed from one token (RFC 7518).
const MIN_SECRET_BYTES: usize = 32;
const MIN_TOKEN_BYTES: usize = 16;
/// Maximum lifetime of a cookie that is exempt from consent, in seconds.
const MAX_EXEMPT_COOKIE_SECS: u64 = 395 * 86_400;
pub(crate) const MAX_EXEMPT_RETENTION_DAYS: u32 = 761;

/// A broken rule.
pub(super) struct RuleViolation {
    /// Key that the error names.
    pub key: String,
    /// What is accepted.
    pub reason: String,
    /// Other keys that the rule depends on. If one of them has an error, the rule is not reported.
    pub depends_on: &'static [&'static str],
}

struct ViolationList(Vec<RuleViolation>);

impl ViolationList {
    fn require(
        &mut self,
        kept: bool,
        key: impl Into<String>,
        about: &'static [&'static str],
        reason: impl Into<String>,
    ) {
        if !kept {
            self.0.push(RuleViolation {
                key: key.into(),
                reason: reason.into(),
                depends_on: about,
            });
        }
    }
}

pub(super) fn find_violations(config: &Config) -> Vec<RuleViolation> {
    let mut rules = ViolationList(Vec::new());
    check_consent(config, &mut rules);
    check_access(config, &mut rules);
    check_bi_port(config, &mut rules);
    check_cluster(config, &mut rules);
    check_sites(config, &mut rules);
    check_memory(config, &mut rules);
    rules.0
}

fn check_consent(config: &Config, rules: &mut ViolationList) {
    let consent = &config.consent;
    let (tiers, optional) = (
        consent.tiers.join(", "),
        consent.tiers.get(1..).unwrap_or_default(),
    );
    let is_tier = |tier: &String| consent.tiers.contains(tier);

    rules.require(
        is_tier(&consent.analytics_tier),
        "consent.analytics_tier",
        &["consent.tiers"],
        format!("must be one of consent.tiers: {tiers}"),
    );
    rules.require(
        consent.tiers.first() != Some(&consent.analytics_tier),
        "consent.analytics_tier",
        &["consent.tiers"],
        "must not be the first tier, which cannot be refused",
    );
    for (key, words) in [
        ("consent.tiers", &consent.tiers),
        ("consent.inert", &consent.inert),
        ("mail.templates", &config.mail.templates),
    ] {
        if let Some(word) = find_duplicate(words) {
            rules.require(
                false,
                key,
                &[],
                format!("must hold each once, and holds {word} twice"),
            );
        }
    }
    if let Some(tier) = consent.inert.iter().find(|tier| !optional.contains(tier)) {
        let reason = format!(
            "{tier} is no optional tier; accepted are: {}",
            optional.join(", ")
        );
        rules.require(false, "consent.inert", &["consent.tiers"], reason);
    }
    for (place, entry) in config.register.iter().enumerate() {
        let reason = format!("must be one of consent.tiers: {tiers}");
        rules.require(
            is_tier(&entry.tier),
            format!("register[{place}].tier"),
            &["consent.tiers"],
            reason,
        );
        let earlier = config.register[..place].iter().any(|other| other == entry);
        rules.require(
            !earlier,
            format!("register[{place}]"),
            &[],
            "is listed twice; each entry must differ",
        );
    }

    if consent.basis == ConsentBasis::ExemptOptOut {
        rules.require(
            config.visitor.cookie.max_age_secs <= MAX_EXEMPT_COOKIE_SECS,
            "visitor.cookie.max_age_secs",
            &["consent.basis"],
            format!(
                "must be at most {MAX_EXEMPT_COOKIE_SECS} (395 days) where consent.basis is \
                exempt_opt_out"
            ),
        );
        rules.require(
            config.retention.keep_days <= MAX_EXEMPT_RETENTION_DAYS,
            "retention.keep_days",
            &["consent.basis"],
            format!(
                "must be at most {MAX_EXEMPT_RETENTION_DAYS} where consent.basis is exempt_opt_out"
            ),
        );
        let profiles = config.profiles.iter().map(|rule| rule.keep_days);
        let profiles = profiles
            .enumerate()
            .map(|(place, days)| (format!("profiles[{place}].keep_days"), days));
        let sites = config.sites.iter().map(|rule| rule.keep_days);
        let sites = sites
            .enumerate()
            .map(|(place, days)| (format!("sites[{place}].keep_days"), days));
        for (key, days) in profiles.chain(sites) {
            rules.require(
                days.is_none_or(|days| days <= MAX_EXEMPT_RETENTION_DAYS),
                key,
                &["consent.basis"],
                format!(
                    "must be at most {MAX_EXEMPT_RETENTION_DAYS} where consent.basis is \
                     exempt_opt_out"
                ),
            );
        }
    }
}

fn check_access(config: &Config, rules: &mut ViolationList) {
    let (platform, report) = (&config.platform, &config.report);
    let gate = !config.bi.url.is_empty();
    rules.require(
        !gate || !config.bi.secret.is_empty(),
        "bi.secret",
        &["bi.url"],
        "is needed where bi.url is set; bi.secret_file names a file with it",
    );
    rules.require(
        !gate || !platform.token_key.is_empty(),
        "platform.token_key",
        &["bi.url"],
        "is needed where bi.url is set; platform.token_key_file names a file with it",
    );

    let short_key = (1..MIN_SECRET_BYTES).contains(&platform.token_key.expose_secret().len());
    rules.require(
        platform.token_algorithm != TokenAlgorithm::Hs256 || !short_key,
        secret_source_key("platform.token_key", &platform.token_key_file),
        &["platform.token_algorithm"],
        format!("of HS256 must have at least {MIN_SECRET_BYTES} bytes"),
    );

    let hash = &config.access.password_hash;
    rules.require(
        hash.is_empty() || is_strong_hash(hash),
        secret_source_key("access.password_hash", &config.access.password_hash_file),
        &[],
        "must be what `footfall access hash-password` prints: $argon2id$…",
    );
    rules.require(
        !(1..MIN_TOKEN_BYTES).contains(&report.token.expose_secret().len()),
        secret_source_key("report.token", &report.token_file),
        &[],
        format!("must have at least {MIN_TOKEN_BYTES} bytes: it alone protects every report"),
    );
    rules.require(
        report.share_k >= report.k,
        "report.share_k",
        &["report.k"],
        format!(
            "must be at least report.k, which is {}: the holders of share links are unknown",
            report.k
        ),
    );

    let listen = config.server.listen;
    rules.require(
        !config.test.clock || listen.ip().is_loopback(),
        "test.clock",
        &["server.listen"],
        format!("needs server.listen on a loopback address, not {listen}"),
    );
    rules.require(
        !config.test.whole_lots || config.test.clock,
        "test.whole_lots",
        &["test.clock"],
        "needs test.clock: lots without a remainder reveal rare values",
    );
    rules.require(
        config.test.upgrade_stop == UpgradeStep::None || config.test.clock,
        "test.upgrade_stop",
        &["test.clock"],
        "needs test.clock: a collector that stops serves nobody",
    );
    rules.require(
        config.store.cluster.is_empty() || !config.store.url.is_empty(),
        "store.cluster",
        &["store.url"],
        "is of the server at store.url; it must be empty where store.url is",
    );
    rules.require(
        config.store.ca_file.is_empty() || config.store.has_tls(),
        "store.ca_file",
        &["store.url", "store.shards"],
        "is for a store.url that begins with https://",
    );
    rules.require(
        !config.store.has_replicas() || config.store.is_replicated(),
        "store.shards",
        &["store.replication"],
        "has a shard with several URLs, its replicas: that needs store.replication = \"collector\"",
    );
    rules.require(
        config.store.replication.is_empty() || !config.store.shards.is_empty(),
        "store.replication",
        &["store.shards"],
        "is for the replicas in store.shards, which is empty",
    );
    rules.require(
        config.store.url.is_empty() || config.store.shards.is_empty(),
        "store.shards",
        &["store.url"],
        "is in place of store.url, which must be empty",
    );
}

fn check_bi_port(config: &Config, rules: &mut ViolationList) {
    let port = &config.bi_port;
    rules.require(
        !port.is_enabled() || config.store.is_embedded(),
        "bi_port.http_listen",
        &["store.url", "store.shards"],
        "is for the embedded engine; a server of your own has ports and users of its own: \
         docs/use/BI.md",
    );
    rules.require(
        port.cert_file.is_empty() == port.key_file.is_empty(),
        "bi_port.key_file",
        &["bi_port.cert_file"],
        "and bi_port.cert_file must be set together",
    );
    rules.require(
        !port.is_enabled() || port.query_memory_bytes <= config.store.memory_bytes / 2,
        "bi_port.query_memory_bytes",
        &["store.memory_bytes"],
        format!(
            "must be at most half of store.memory_bytes, which is {}",
            config.store.memory_bytes
        ),
    );
}

fn check_cluster(config: &Config, rules: &mut ViolationList) {
    let cluster = &config.cluster;
    for (place, entry) in cluster.collectors.iter().enumerate() {
        rules.require(
            parse_collector(entry).is_some(),
            format!("cluster.collectors[{place}]"),
            &[],
            "must be name=host:port; the name is a DNS name in lower case",
        );
    }
    let collectors = cluster.collector_addresses();
    let has_duplicate = collectors.windows(2).any(|two| two[0].name == two[1].name);
    rules.require(
        !has_duplicate,
        "cluster.collectors",
        &[],
        "must name each collector once",
    );
    let has_addresses_once = collectors.iter().enumerate().all(|(place, one)| {
        let others = &collectors[place + 1..];
        others.iter().all(|other| other.address != one.address)
    });
    rules.require(
        has_addresses_once,
        "cluster.collectors",
        &[],
        "must have an address of its own for each collector",
    );
    if !cluster.is_enabled() {
        let is_unused = cluster.collectors.is_empty()
            && cluster.listen.is_none()
            && [&cluster.ca_file, &cluster.cert_file, &cluster.key_file]
                .iter()
                .all(|file| file.is_empty());
        rules.require(
            is_unused,
            "cluster.name",
            &[],
            "must be set where another key of [cluster] is; without it this collector counts alone",
        );
        return;
    }

    rules.require(
        collectors.iter().any(|one| one.name == cluster.name),
        "cluster.name",
        &["cluster.collectors"],
        "must be one of cluster.collectors",
    );
    rules.require(
        cluster.listen.is_some(),
        "cluster.listen",
        &[],
        "must be set where cluster.name is",
    );
    for (key, file) in [
        ("cluster.ca_file", &cluster.ca_file),
        ("cluster.cert_file", &cluster.cert_file),
        ("cluster.key_file", &cluster.key_file),
    ] {
        rules.require(
            !file.is_empty(),
            key,
            &[],
            "must be set where cluster.name is",
        );
    }
    rules.require(
        !config.consent.key_file.is_empty(),
        "consent.key_file",
        &["cluster.name"],
        "must be set where cluster.name is: the same file at all collectors",
    );
    rules.require(
        !config.access.key_file.is_empty(),
        "access.key_file",
        &["cluster.name"],
        "must be set where cluster.name is: the same file at all collectors",
    );
    rules.require(
        !config.store.is_embedded(),
        "store.url",
        &["cluster.name"],
        "must be set where cluster.name is: collectors share one ClickHouse server",
    );
}

/// The key of the file, if the secret came from a file.
fn secret_source_key(key: &str, file: &str) -> String {
    if file.is_empty() {
        key.to_owned()
    } else {
        format!("{key}_file")
    }
}

fn check_sites(config: &Config, rules: &mut ViolationList) {
    // The path of a visit cookie ends at a semicolon, and browsers compare it in ASCII.
    let is_cookie_path = |path: &str| path.bytes().all(|b| b.is_ascii_graphic() && b != b';');
    for (place, rule) in config.profiles.iter().enumerate() {
        rules.require(
            config.visitor.mode != VisitorMode::FlagCookie || is_cookie_path(&rule.path),
            format!("profiles[{place}].path"),
            &["profiles", "visitor.mode"],
            "must be ASCII without spaces and semicolons, because it is the path of visit cookies",
        );

        // A name must denote one site in one zone: two rules may share a template only if their
        // zones are equal.
        let earlier = &config.profiles[..place];
        rules.require(
            !earlier
                .iter()
                .any(|other| other.site == rule.site && other.zone != rule.zone),
            format!("profiles[{place}].site"),
            &["profiles"],
            "must differ from that of rules in another zone, such as ally-{profile}",
        );
        let same = earlier
            .iter()
            .position(|other| (&other.host, &other.path) == (&rule.host, &rule.path));
        let reason =
            |other: usize| format!("host and path must differ from those of profiles[{other}]");
        rules.require(
            same.is_none(),
            format!("profiles[{place}]"),
            &["profiles"],
            same.map(reason).unwrap_or_default(),
        );
    }

    let (mut ids, mut hosts) = (HashMap::new(), HashMap::new());
    for (place, site) in config.sites.iter().enumerate() {
        let first = *ids.entry(&site.id).or_insert(place);
        let reason = format!(
            "{} is the id of sites[{first}] already; one entry must hold all its hosts",
            site.id
        );
        rules.require(
            first == place,
            format!("sites[{place}].id"),
            &["sites"],
            reason,
        );
        for (at, host) in site.hosts.iter().enumerate() {
            let first = *hosts.entry(host).or_insert((place, at));
            let reason = format!(
                "{host} is a host of sites[{}] already; it must be of one site only",
                first.0
            );
            rules.require(
                first == (place, at),
                format!("sites[{place}].hosts[{at}]"),
                &["sites"],
                reason,
            );
        }
    }
    let names = config.sites.iter().map(|site| site.id.as_str());
    if let Some((first, second)) = find_id_collision(names, SiteId::from_key) {
        rules.require(
            false,
            "sites",
            &["sites"],
            format!("{first} and {second} have one id; rename one of them"),
        );
    }

    for (key, reason) in compatible::check_stored_refusals(&config.compatible) {
        rules.require(false, key, &[], reason);
    }
    if let Some((key, reason)) = compatible::find_conflict(&config.compatible) {
        rules.require(false, key, &["compatible"], reason);
    }
}

fn check_memory(config: &Config, rules: &mut ViolationList) {
    let excess = MemoryBudget::from_config(config).excess_reason();
    let about = &["limits", "server.max_connections", "journal.segment_bytes"];
    rules.require(
        excess.is_none(),
        "limits.memory_bytes",
        about,
        excess.unwrap_or_default(),
    );
}

fn find_duplicate(words: &[String]) -> Option<&String> {
    words
        .iter()
        .enumerate()
        .find(|(place, word)| words[..*place].contains(word))
        .map(|(_, word)| word)
}
