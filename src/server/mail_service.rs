//! Builds the mail service: its key file, created if missing, and the HTTP service that counts
//! mails.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::calendar::ZoneTable;
use crate::config::{Config, Secret};
use crate::consent::Gate;
use crate::disk;
use crate::http::TrustedProxies;
use crate::ingest::IngestService;
use crate::ingest::mail::MailIngestService;
use crate::journal::Journal;
use crate::mail::{LinkSigner, MailKeys, MailService, OpenedQueue, SignedValues};

/// `None` if `mail.enabled` is false. `key` must be random and not outlive the process.
pub(super) fn build_mail_service(
    config: &Config,
    zones: &ZoneTable,
    key: [u8; 32],
    opened: Arc<OpenedQueue>,
) -> anyhow::Result<Option<Arc<MailService>>> {
    if !config.mail.enabled {
        return Ok(None);
    }
    let desk = MailService::new(
        &config.mail,
        (build_link_signer(config)?, open_signed_values(config)),
        zones.intern_zone(&config.mail.zone),
        key,
        opened,
    )
    .context("mail.agents_file or mail.networks_file")?;
    let (agents, networks, stretches) = desk.classifier.list_dates();
    tracing::info!(
        agents,
        networks,
        stretches,
        "loaded the lists that classify mail readers"
    );
    Ok(Some(Arc::new(desk)))
}

pub(super) fn build_mail_ingest(
    config: &Config,
    hits: &IngestService,
    gate: Gate,
    desk: Option<Arc<MailService>>,
    journal: Journal,
) -> MailIngestService {
    // Opens and clicks are counted under the same day keys, rates and sites as hits.
    MailIngestService {
        clock: hits.clock.clone(),
        directory: Arc::clone(&hits.directory),
        proxies: TrustedProxies::new(&config.proxy.trusted),
        rates: Arc::clone(&hits.rates),
        enricher: Arc::clone(&hits.enricher),
        gate,
        keys: Arc::clone(&hits.keys),
        journal,
        mode: hits.mode,
        mail_service: desk,
        prefix: config.server.prefix.clone(),
        body_timeout: hits.body_timeout,
        cluster: hits.cluster.clone(),
    }
}

/// Signs mails with the keys of `mail.key_file`, which is created if missing.
///
/// # Errors
///
/// The key file cannot be read, created or parsed.
pub fn build_link_signer(config: &Config) -> anyhow::Result<LinkSigner> {
    let path = &config.mail.key_file;
    let file =
        read_or_create_keys(path).with_context(|| format!("mail.key_file: {}", path.display()))?;
    let keys =
        MailKeys::parse(&file).with_context(|| format!("mail.key_file: {}", path.display()))?;
    Ok(LinkSigner::new(&config.mail, &config.server.prefix, keys))
}

/// The values signed in the batches of the last days.
pub fn open_signed_values(config: &Config) -> SignedValues {
    SignedValues::open(&config.journal.dir, config.mail.links_per_template as usize)
}

/// Checks that the keys can be read if the file exists; creates nothing.
pub(super) fn check_key_file(path: &Path) -> anyhow::Result<()> {
    let read = || match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        text => anyhow::Ok(MailKeys::parse(&Secret::new(text?)).map(drop)?),
    };
    read().with_context(|| path.display().to_string())
}

fn read_or_create_keys(path: &Path) -> std::io::Result<Secret> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => create_key_file(path)?,
        read => return read.map(Secret::new),
    }
    fs::read_to_string(path).map(Secret::new)
}

/// Created once, also if several processes start at the same time.
fn create_key_file(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(disk::parent_folder(path))?;
    disk::create_secret_once(
        path,
        MailKeys::generate_line("k1").expose_secret().as_bytes(),
    )
}
