//! Opens the ledger and assembles the service behind the consent prompt.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::clock::Clock;
use crate::config::{Config, Proxies, VisitorMode};
use crate::consent::texts::{Texts, TextsError};
use crate::consent::versions::{asked, new_version, notices};
use crate::consent::{Proofs, Register, Terms, Withdrawn};
use crate::http::{Origins, Rates};
use crate::ledger::{self, Digests, Ledger, Options, Progress, Versions};
use crate::registry::Registry;
use crate::web::consent::{Asking, BANNER, BiGate};

use super::granting::GrantKeyFile;

/// What the consent service shares with other parts.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) rates: Arc<Rates>,
    pub(super) registry: Arc<Registry>,
    pub(super) grant_keys: Arc<GrantKeyFile>,
    pub(super) withdrawn: Arc<Withdrawn>,
}

/// Opens the ledger, then records a new version of the prompt if the configuration changed it.
///
/// # Errors
///
/// A text or key file cannot be used, the ledger was altered, or the prompt changed without a new
/// version: each is for the operator to resolve.
pub(super) fn asking(config: &Config, shared: Shared, progress: Progress<'_>) -> anyhow::Result<Asking> {
    let texts = Texts::load(&own_texts(&config.consent.texts_dir)?, &config.consent.tiers)?;
    let policy = match &*config.policy.file {
        "" => None,
        file => Some(ledger::sha256(&std::fs::read(file).with_context(|| format!("policy.file: {file}"))?)),
    };

    let withdrawn = shared.withdrawn;
    let (ledger, found) = Ledger::open(&Options::of(config), Arc::clone(&withdrawn), progress)
        .context("the ledger of consent cannot be opened")?;
    if found.tally.records > 0 {
        let tally = found.tally;
        tracing::info!(records = tally.records, grants = tally.grants, "the ledger is whole");
    }

    let keys = shared.grant_keys.open()?;
    let proofs = Proofs { keys, withdrawn, on_record: Box::new(ledger.clone()) };

    let mut versions = Versions::open(&config.ledger.dir)?;
    let at = jiff::Timestamp::from_millisecond(shared.clock.now()).unwrap_or_default();
    if let Some(version) = new_version(&versions.known, config, at.to_zoned(jiff::tz::TimeZone::UTC).date())? {
        tracing::info!(
            version = version.version,
            asked_again = version.grew.join(","),
            "a new version of the question"
        );
        versions.add(version)?;
    }

    let known = versions.known;
    let shown = format!("{}\n{}\n{BANNER}", <&str>::from(config.consent.ui), texts.source);
    let digests = Digests {
        policy,
        register: ledger::sha256(Register::of(config).json().as_bytes()),
        banner: ledger::sha256(shown.as_bytes()),
    };

    Ok(Asking {
        terms: Arc::new(Terms::new(config, |tier| asked(&known, tier), proofs)),
        notices: notices(&known),
        ledger,
        texts,
        digests,
        consent: config.consent.clone(),
        policy: config.policy.clone(),
        well_known: config.well_known.clone(),
        origins: Origins::new(Proxies::new(&config.proxy.trusted)),
        visit_cookie: (config.visitor.mode == VisitorMode::FlagCookie)
            .then(|| (config.visitor.cookie.name.clone(), config.visitor.cookie.max_age_secs)),
        bi: BiGate::new(config).context("platform.token_key: is no key of platform.token_algorithm")?,
        prefix: config.server.prefix.clone(),
        deadline: Duration::from_millis(config.limits.read_millis),
        clock: shared.clock,
        rates: shared.rates,
        registry: shared.registry,
    })
}

/// The operator's language files as (path, content), sorted by name.
pub(super) fn own_texts(dir: &str) -> anyhow::Result<Vec<(String, String)>> {
    if dir.is_empty() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(dir).with_context(|| format!("consent.texts_dir: {dir}"))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| is_toml(path)).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| TextsError { file: file.clone(), reason: error.to_string() })?;
        Ok((file, text))
    };
    paths.iter().map(read).collect()
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}
