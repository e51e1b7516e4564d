//! Checks that cannot be made on the configuration's text alone: files must exist and be readable,
//! keys must parse, folders must differ, and a consent prompt must not change without a new
//! version. `serve` and `check-config` share them.

use std::path::{Path, PathBuf};

use super::consent_service::read_text_files;
use super::key_files::{CookieKeyFile, GrantKeyFile};
use super::mail_service;
use crate::cluster::check_tls_files;
use crate::config::{Config, LoadedConfig};
use crate::consent::texts::TextCatalog;
use crate::consent::versions::find_new_version;
use crate::enrich::{CountryDatabase, DataCentreNetworks};
use crate::http::PlatformTokenVerifier;
use crate::ledger::{self, PromptVersions};
use crate::mail::ReaderClassifier;
use crate::store::tls;
use crate::telemetry;

/// A configuration key, and the problem of the file or folder that it names.
type CheckFailure = (&'static str, String);

/// Adds the errors found here to those of the configuration. Changes nothing on disk.
pub fn check_config(reading: &mut LoadedConfig) {
    let config = &reading.config;
    let refused = [
        check_signing_keys(config),
        check_texts(config),
        check_mail(config),
        check_cluster(config),
        check_data_files(config),
        check_folders(config),
    ]
    .concat();
    for (key, reason) in refused {
        reading.add_error(key, reason);
    }

    // The prompt depends on other keys, so it is checked only if those are valid.
    if reading.errors.is_empty()
        && let Err(reason) = check_prompt_version(&reading.config)
    {
        reading.add_error("consent.version", reason);
    }
}

fn check_signing_keys(config: &Config) -> Vec<CheckFailure> {
    let mut refused = Vec::new();
    let platform = &config.platform;
    if PlatformTokenVerifier::new(platform).is_err() {
        let key = if platform.token_key_file.is_empty() {
            "platform.token_key"
        } else {
            "platform.token_key_file"
        };
        let algorithm = platform.token_algorithm.name();
        refused.push((
            key,
            format!("must be a key of platform.token_algorithm, which is {algorithm}"),
        ));
    }

    if let Err(error) = GrantKeyFile::from_config(config).check_readable() {
        refused.push(("consent.key_file", format!("{error:#}")));
    }

    if let Err(error) = CookieKeyFile::from_config(config).check_readable() {
        refused.push(("access.key_file", format!("{error:#}")));
    }

    if let Err(error) = ledger::check_key(&config.ledger.dir, &config.ledger.key_file) {
        refused.push(("ledger.key_file", error.to_string()));
    }

    refused
}

fn check_texts(config: &Config) -> Vec<CheckFailure> {
    let mut refused = Vec::new();
    let (dir, tiers) = (&config.consent.texts_dir, &config.consent.tiers);

    let loaded = read_text_files(dir).and_then(|own| Ok(TextCatalog::from_files(&own, tiers)?));
    if let Err(error) = loaded {
        let key = if dir.is_empty() {
            "consent.tiers"
        } else {
            "consent.texts_dir"
        };
        refused.push((key, format!("{error:#}")));
    }

    let policy = &config.policy.file;
    if !policy.is_empty()
        && let Err(error) = std::fs::read(policy)
    {
        refused.push(("policy.file", format!("{policy}: {error}")));
    }

    refused
}

fn check_mail(config: &Config) -> Vec<CheckFailure> {
    let mail = &config.mail;
    if !mail.enabled {
        return Vec::new();
    }

    let mut refused = Vec::new();
    if let Err(error) = mail_service::check_key_file(&mail.key_file) {
        refused.push(("mail.key_file", format!("{error:#}")));
    }

    for key in ["mail.agents_file", "mail.networks_file"] {
        let mut alone = mail.clone();
        let other = if key == "mail.agents_file" {
            &mut alone.networks_file
        } else {
            &mut alone.agents_file
        };
        other.clear();
        if let Err(error) = ReaderClassifier::new(&alone) {
            refused.push((key, error.to_string()));
        }
    }

    refused
}

fn check_cluster(config: &Config) -> Vec<CheckFailure> {
    // A key without a file has an error of its own.
    let cluster = &config.cluster;
    let files = [&cluster.ca_file, &cluster.cert_file, &cluster.key_file];
    if !cluster.is_enabled() || files.iter().any(|file| file.is_empty()) {
        return Vec::new();
    }
    check_tls_files(cluster).err().into_iter().collect()
}

fn check_data_files(config: &Config) -> Vec<CheckFailure> {
    let mut refused = Vec::new();
    if let Err(error) = telemetry::parse_log_filter(&config.log.filter) {
        refused.push(("log.filter", error));
    }

    let countries = &config.data.countries;
    if !countries.is_empty()
        && let Err(error) = CountryDatabase::open(countries)
    {
        refused.push(("data.countries", error.to_string()));
    }

    let networks = &config.data.datacenter_networks;
    if !networks.is_empty()
        && let Err(error) = DataCentreNetworks::open(networks)
    {
        refused.push(("data.datacenter_networks", error.to_string()));
    }
    let (library, embedded) = (&config.store.library, config.store.is_embedded());
    if embedded && !library.is_empty() && !Path::new(library).is_file() {
        refused.push(("store.library", format!("{library}: there is no such file")));
    }

    if config.store.has_tls()
        && let Some(file) = super::store_options::store_ca_file(config)
        && let Err(reason) = tls::read_root_certificates(&file)
    {
        let told = if config.store.ca_file.is_empty() {
            "SSL_CERT_FILE, used in its place, is "
        } else {
            ""
        };
        refused.push((
            "store.ca_file",
            format!("{told}{}: {reason}", file.display()),
        ));
    }

    refused
}

fn check_folders(config: &Config) -> Vec<CheckFailure> {
    let embedded = config
        .store
        .is_embedded()
        .then_some(("store.dir", &config.store.dir));
    let own = [
        ("journal.dir", &config.journal.dir),
        ("ledger.dir", &config.ledger.dir),
    ];
    let all: Vec<_> = own.into_iter().chain(embedded).collect();

    let mut refused = Vec::new();
    for (place, (key, dir)) in all.iter().enumerate() {
        let file = dir
            .ancestors()
            .find(|part| part.exists())
            .filter(|part| !part.is_dir());
        if let Some(file) = file {
            refused.push((
                *key,
                format!("must be a folder, and {} is not one", file.display()),
            ));
        }
        if let Some((other, _)) = all[..place]
            .iter()
            .find(|(_, other)| resolve_path(other) == resolve_path(dir))
        {
            refused.push((*key, format!("must not be the folder of {other}")));
        }
    }
    refused
}

/// The path with links resolved, as far as it exists.
fn resolve_path(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let exists = absolute
        .ancestors()
        .find_map(|part| Some((part, part.canonicalize().ok()?)));
    let Some((part, real)) = exists else {
        return absolute;
    };
    absolute
        .strip_prefix(part)
        .map_or_else(|_| absolute.clone(), |rest| real.join(rest))
}

/// The register of processing belongs to the version of the prompt.
fn check_prompt_version(config: &Config) -> Result<(), String> {
    let versions = PromptVersions::open(&config.ledger.dir).map_err(|error| error.to_string())?;
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    find_new_version(&versions.versions, config, today)
        .map(drop)
        .map_err(|drift| drift.to_string())
}
