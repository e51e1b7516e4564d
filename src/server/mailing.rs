//! Wires the mail module: its key file, made if missing, and the HTTP edge that counts mails.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::config::{Config, Proxies, Secret, Zones};
use crate::consent::Gate;
use crate::disk;
use crate::ingest::Edge;
use crate::ingest::mail::MailEdge;
use crate::journal::Journal;
use crate::mail::{Desk, Keys, Mint, Opened, Signed};

/// `None` where `mail.enabled` is false. `key` must be random and not outlive the process.
pub(super) fn desk(
    config: &Config,
    zones: &Zones,
    key: [u8; 32],
    opened: Arc<Opened>,
) -> anyhow::Result<Option<Arc<Desk>>> {
    if !config.mail.enabled {
        return Ok(None);
    }
    let desk = Desk::new(&config.mail, (mint(config)?, signed(config)), zones.number(&config.mail.zone), key, opened)
        .context("mail.agents_file or mail.networks_file")?;
    let (agents, networks, stretches) = desk.judge.dates();
    tracing::info!(agents, networks, stretches, "who loads mails is judged by lists of these dates");
    Ok(Some(Arc::new(desk)))
}

pub(super) fn edge(config: &Config, hits: &Edge, gate: Gate, desk: Option<Arc<Desk>>, journal: Journal) -> MailEdge {
    // Opens and clicks are counted under the same day keys, rates and sites as hits.
    MailEdge {
        clock: hits.clock.clone(),
        directory: Arc::clone(&hits.directory),
        proxies: Proxies::new(&config.proxy.trusted),
        rates: Arc::clone(&hits.rates),
        enricher: Arc::clone(&hits.enricher),
        gate,
        keys: Arc::clone(&hits.keys),
        journal,
        mode: hits.mode,
        desk,
        prefix: config.server.prefix.clone(),
        deadline: hits.deadline,
    }
}

/// Signs mails with the keys of `mail.key_file`, which is made if missing.
///
/// # Errors
///
/// The key file cannot be read, made or parsed.
pub fn mint(config: &Config) -> anyhow::Result<Mint> {
    let path = &config.mail.key_file;
    let file = read_or_make(path).with_context(|| format!("mail.key_file: {}", path.display()))?;
    let keys = Keys::read(&file).with_context(|| format!("mail.key_file: {}", path.display()))?;
    Ok(Mint::new(&config.mail, &config.server.prefix, keys))
}

/// The values signed in the batches of the last days.
pub fn signed(config: &Config) -> Signed {
    Signed::open(&config.journal.dir, config.mail.links_per_template as usize)
}

/// Checks that the keys can be read if the file exists; creates nothing.
pub(super) fn check_keys(path: &Path) -> anyhow::Result<()> {
    let read = || match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        text => anyhow::Ok(Keys::read(&Secret::new(text?)).map(drop)?),
    };
    read().with_context(|| path.display().to_string())
}

fn read_or_make(path: &Path) -> std::io::Result<Secret> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
        read => return read.map(Secret::new),
    }
    fs::read_to_string(path).map(Secret::new)
}

/// Made once, also if several processes start at the same time.
fn make(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(disk::folder_of(path))?;
    disk::make_once(path, Keys::new_line("k1").expose().as_bytes())
}
