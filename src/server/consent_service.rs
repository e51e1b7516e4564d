//! Opens the ledger and builds the consent service.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::config::{Config, VisitorMode};
use crate::consent::texts::{TextCatalog, TextFileError};
use crate::consent::versions::{find_new_version, last_grown_version, list_notices};
use crate::consent::{ConsentPolicy, ConsentRegister, GrantEvidence, WithdrawnGrants};
use crate::http::{OriginResolver, RateLimiters, TrustedProxies};
use crate::ledger::{self, Ledger, LedgerOptions, ProgressCallback, PromptDigests, PromptVersions};
use crate::registry::Registry;
use crate::web::consent::{BANNER_SCRIPT, BiGate, ConsentService};

use super::key_files::GrantKeyFile;

/// The parts that the consent service shares with others.
pub(super) struct SharedParts {
    pub(super) clock: Clock,
    pub(super) rates: Arc<RateLimiters>,
    pub(super) registry: Arc<Registry>,
    pub(super) grant_keys: Arc<GrantKeyFile>,
    pub(super) withdrawn: Arc<WithdrawnGrants>,
    pub(super) cluster: Option<Arc<Cluster>>,
}

/// Opens the ledger, then records a new version of the prompt if the configuration changed it.
///
/// # Errors
///
/// A text or key file cannot be used, the ledger was altered, or the prompt changed without a new
/// version. The operator must resolve each of them.
pub(super) fn build_consent_service(
    config: &Config,
    shared: SharedParts,
    progress: ProgressCallback<'_>,
) -> anyhow::Result<ConsentService> {
    let texts = TextCatalog::from_files(
        &read_text_files(&config.consent.texts_dir)?,
        &config.consent.tiers,
    )?;
    let policy = match &*config.policy.file {
        "" => None,
        file => Some(ledger::sha256_digest(
            &std::fs::read(file).with_context(|| format!("policy.file: {file}"))?,
        )),
    };

    let withdrawn = shared.withdrawn;
    let (ledger, found) = Ledger::open(
        &LedgerOptions::from_config(config),
        Arc::clone(&withdrawn),
        progress,
    )
    .context("the consent ledger cannot be opened")?;
    if found.counts.records > 0 {
        let (records, grants) = (found.counts.records, found.counts.grants);
        match found.unverified {
            0 => tracing::info!(records, grants, "consent ledger verified"),
            unverified => tracing::info!(
                records,
                grants,
                unverified,
                "consent ledger opened by its index; what the index contains is verified meanwhile"
            ),
        }
    }

    let keys = shared.grant_keys.open()?;
    let proofs = GrantEvidence {
        keys,
        withdrawn,
        grant_lookup: Box::new(ledger.clone()),
    };

    let mut versions = PromptVersions::open(&config.ledger.dir)?;
    let at = jiff::Timestamp::from_millisecond(shared.clock.now()).unwrap_or_default();
    if let Some(version) = find_new_version(
        &versions.versions,
        config,
        at.to_zoned(jiff::tz::TimeZone::UTC).date(),
    )? {
        tracing::info!(
            version = version.version,
            asked_again = version.grew.join(","),
            "a new version of the consent prompt"
        );
        versions.add_version(version)?;
    }

    let known = versions.versions;
    let shown = format!(
        "{}\n{}\n{BANNER_SCRIPT}",
        config.consent.ui.name(),
        texts.source
    );
    let digests = PromptDigests {
        policy,
        register: ledger::sha256_digest(ConsentRegister::from_config(config).to_json().as_bytes()),
        banner: ledger::sha256_digest(shown.as_bytes()),
    };

    Ok(ConsentService {
        consent_policy: Arc::new(ConsentPolicy::new(
            config,
            |tier| last_grown_version(&known, tier),
            proofs,
        )),
        notices: list_notices(&known),
        ledger,
        texts,
        digests,
        consent_config: config.consent.clone(),
        policy_config: config.policy.clone(),
        well_known_config: config.well_known.clone(),
        origins: OriginResolver::new(TrustedProxies::new(&config.proxy.trusted)),
        visit_cookie: (config.visitor.mode == VisitorMode::FlagCookie).then(|| {
            (
                config.visitor.cookie.name.clone(),
                config.visitor.cookie.max_age_secs,
            )
        }),
        bi_gate: BiGate::new(config)
            .context("platform.token_key: not a key of platform.token_algorithm")?,
        route_prefix: config.server.prefix.clone(),
        body_deadline: Duration::from_millis(config.limits.read_timeout_millis),
        clock: shared.clock,
        rate_limiters: shared.rates,
        registry: shared.registry,
        cluster: shared.cluster,
    })
}

/// The operator's language files as (path, content), sorted by name.
pub(super) fn read_text_files(dir: &str) -> anyhow::Result<Vec<(String, String)>> {
    if dir.is_empty() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(dir).with_context(|| format!("consent.texts_dir: {dir}"))?;
    let mut paths: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_toml(path))
        .collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| TextFileError {
            file: file.clone(),
            reason: error.to_string(),
        })?;
        Ok((file, text))
    };
    paths.iter().map(read).collect()
}

fn is_toml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "toml")
}
