//! The collector as a target: `footfall serve --config FILE`, on an empty directory of the disk the
//! build lies on.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use footfall::config::{ConfigSources, Secret};
use footfall::mail::{LinkSigner, MailKeys, SignRequest};

use super::Options;
use super::requests::CONSENT_KEYS;
use super::target::{Listens, Target};

/// In the configuration, the directory of this run.
const DIRECTORY: &str = "@DIRECTORY@";

/// Signs the mails of the bench.
const KEY: &str = "bench a-secret-that-is-no-secret-at-all!\n";

/// The pixel of a mail sent today.
pub fn pixel() -> Result<String> {
    let set = vec![("mail.templates".to_owned(), "[\"bench\"]".to_owned())];
    let config = footfall::config::load_config(
        ConfigSources {
            overrides: set,
            ..ConfigSources::default()
        },
        |path| fs::read_to_string(path),
    )?;
    let mint = LinkSigner::new(
        &config.mail,
        &config.server.prefix,
        MailKeys::parse(&Secret::new(KEY.to_owned()))?,
    );
    let order = SignRequest {
        template: "bench".into(),
        consent: true,
        batch: None,
        expires: None,
        sent: None,
        links: Vec::new(),
    };
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    mint.sign_mail(&order, today)?
        .pixel
        .context("a mail with consent has a pixel")
}

pub fn start(options: &Options, dir: &Path) -> Result<Target> {
    start_with(&options.load.collector, &options.load.config, dir, &[])
}

/// Starts a collector with settings beside those of its configuration; all its files are in `dir`.
pub fn start_with(
    collector: &Path,
    config: &Path,
    dir: &Path,
    settings: &[String],
) -> Result<Target> {
    let text = fs::read_to_string(config)
        .with_context(|| format!("the collector's configuration {}", config.display()))?;
    let data = dir.join("data");
    fs::create_dir_all(&data)?;
    fs::write(data.join("mail.keys"), KEY)?;
    fs::write(data.join("consent.keys"), CONSENT_KEYS)?;
    let config = dir.join("collector.toml");
    fs::write(&config, text.replace(DIRECTORY, &data.to_string_lossy()))?;
    let mut command = Command::new(collector);
    command.arg("serve").arg("--config").arg(config);
    for setting in settings {
        command.args(["--set", setting]);
    }
    Target::start(command, Listens::Said, dir.join("collector.log"))
}

/// Yesterday and tomorrow in UTC: a range that holds today in any zone and a midnight during the
/// run.
pub fn days_around_today() -> Result<(String, String)> {
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    Ok((
        today.yesterday()?.to_string(),
        today.tomorrow()?.to_string(),
    ))
}
