//! The collector as a target: `footfall serve --config FILE`, on an empty directory of the disk the build lies on.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::Options;
use super::target::Target;

/// In the configuration, the directory of this run.
const DIRECTORY: &str = "@DIRECTORY@";
const LISTEN: &str = "@LISTEN@";

pub fn start(options: &Options, dir: &Path) -> Result<Target> {
    let text = fs::read_to_string(&options.config)
        .with_context(|| format!("the collector's configuration {}", options.config.display()))?;
    let address = options.collector_address;
    let data = dir.join("data");
    fs::create_dir_all(&data)?;
    let config = dir.join("collector.toml");
    fs::write(&config, text.replace(DIRECTORY, &data.to_string_lossy()).replace(LISTEN, &address.to_string()))?;
    let mut command = Command::new(&options.collector);
    command.arg("serve").arg("--config").arg(config);
    Target::start(command, address, dir.join("collector.log"))
}

/// Yesterday and tomorrow in UTC: a range that holds today in any zone and a midnight during the run.
pub fn days_around_today() -> Result<(String, String)> {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    Ok((today.yesterday()?.to_string(), today.tomorrow()?.to_string()))
}
