//! Checks that the configuration's text alone cannot make: files that must exist and be readable,
//! keys that must parse, folders that must differ, a consent prompt that changed without a new
//! version. `serve` and `check-config` share them.

use std::path::{Path, PathBuf};

use super::asking::own_texts;
use super::granting::GrantKeyFile;
use super::mailing;
use crate::config::{Config, Reading};
use crate::consent::texts::Texts;
use crate::consent::versions::new_version;
use crate::enrich::{Countries, DataCentres};
use crate::http::Tokens;
use crate::ledger::{self, Versions};
use crate::mail::Judge;
use crate::store::tls;
use crate::telemetry;

/// A configuration key, and what is wrong with the file or folder it names.
type Refused = (&'static str, String);

/// Adds the errors found here to those of the configuration. Changes nothing on disk.
pub fn check(reading: &mut Reading) {
    let config = &reading.config;
    let refused = [signing(config), texts(config), mail(config), data(config), folders(config)].concat();
    for (key, reason) in refused {
        reading.refuse(key, reason);
    }

    // The prompt depends on other keys, so it is checked only if those are right.
    if reading.errors.is_empty()
        && let Err(reason) = same_question(&reading.config)
    {
        reading.refuse("consent.version", reason);
    }
}

fn signing(config: &Config) -> Vec<Refused> {
    let mut refused = Vec::new();
    let platform = &config.platform;
    if Tokens::new(platform).is_err() {
        let key = if platform.token_key_file.is_empty() { "platform.token_key" } else { "platform.token_key_file" };
        let algorithm = <&str>::from(platform.token_algorithm);
        refused.push((key, format!("must be a key of platform.token_algorithm, which is {algorithm}")));
    }

    if let Err(error) = GrantKeyFile::of(config).check() {
        refused.push(("consent.key_file", format!("{error:#}")));
    }

    if let Err(error) = ledger::check_key(&config.ledger.dir, &config.ledger.key_file) {
        refused.push(("ledger.key_file", error.to_string()));
    }

    refused
}

fn texts(config: &Config) -> Vec<Refused> {
    let mut refused = Vec::new();
    let (dir, tiers) = (&config.consent.texts_dir, &config.consent.tiers);

    let loaded = own_texts(dir).and_then(|own| Ok(Texts::load(&own, tiers)?));
    if let Err(error) = loaded {
        let key = if dir.is_empty() { "consent.tiers" } else { "consent.texts_dir" };
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

fn mail(config: &Config) -> Vec<Refused> {
    let mail = &config.mail;
    if !mail.enabled {
        return Vec::new();
    }

    let mut refused = Vec::new();
    if let Err(error) = mailing::check_keys(&mail.key_file) {
        refused.push(("mail.key_file", format!("{error:#}")));
    }

    for key in ["mail.agents_file", "mail.networks_file"] {
        let mut alone = mail.clone();
        let other = if key == "mail.agents_file" { &mut alone.networks_file } else { &mut alone.agents_file };
        other.clear();
        if let Err(error) = Judge::new(&alone) {
            refused.push((key, error.to_string()));
        }
    }

    refused
}

fn data(config: &Config) -> Vec<Refused> {
    let mut refused = Vec::new();
    if let Err(error) = telemetry::filter(&config.log.filter) {
        refused.push(("log.filter", error));
    }

    let countries = &config.data.countries;
    if !countries.is_empty()
        && let Err(error) = Countries::open(countries)
    {
        refused.push(("data.countries", error.to_string()));
    }

    let networks = &config.data.datacenter_networks;
    if !networks.is_empty()
        && let Err(error) = DataCentres::open(networks)
    {
        refused.push(("data.datacenter_networks", error.to_string()));
    }
    let (library, embedded) = (&config.store.library, config.store.url.is_empty());
    if embedded && !library.is_empty() && !Path::new(library).is_file() {
        refused.push(("store.library", format!("{library}: there is no such file")));
    }

    if config.store.url.starts_with("https://")
        && let Some(file) = super::ca_file(config)
        && let Err(reason) = tls::roots(&file)
    {
        let told = if config.store.ca_file.is_empty() { "SSL_CERT_FILE, which stands for it, is " } else { "" };
        refused.push(("store.ca_file", format!("{told}{}: {reason}", file.display())));
    }

    refused
}

fn folders(config: &Config) -> Vec<Refused> {
    let embedded = config.store.url.is_empty().then_some(("store.dir", &config.store.dir));
    let own = [("journal.dir", &config.journal.dir), ("ledger.dir", &config.ledger.dir)];
    let all: Vec<_> = own.into_iter().chain(embedded).collect();

    let mut refused = Vec::new();
    for (place, (key, dir)) in all.iter().enumerate() {
        let file = dir.ancestors().find(|part| part.exists()).filter(|part| !part.is_dir());
        if let Some(file) = file {
            refused.push((*key, format!("must be a folder, and {} is none", file.display())));
        }
        if let Some((other, _)) = all[..place].iter().find(|(_, other)| resolved(other) == resolved(dir)) {
            refused.push((*key, format!("must not be the folder of {other}")));
        }
    }
    refused
}

/// The path with links resolved, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let exists = absolute.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    let Some((part, real)) = exists else { return absolute };
    absolute.strip_prefix(part).map_or_else(|_| absolute.clone(), |rest| real.join(rest))
}

/// The register of processing is bound to the version of the prompt.
fn same_question(config: &Config) -> Result<(), String> {
    let versions = Versions::open(&config.ledger.dir).map_err(|error| error.to_string())?;
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    new_version(&versions.known, config, today).map(drop).map_err(|drift| drift.to_string())
}
