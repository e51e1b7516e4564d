//! What the numbers were measured on, and what may have spoilt them.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

const TMPFS: i64 = 0x0102_1994;

/// One line each for the machine, its load and its disk.
pub fn describe(dir: &Path) -> Result<Vec<String>> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu =
        first_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut lines = vec![
        format!("machine: {cpu}, {cores} cores, Linux {}", kernel.trim()),
        format!("load average at the start: {}", load_average()),
        format!(
            "disk of the journal: fdatasync of a 4 KiB append {:.2} ms (median of 101)",
            sync_ms(dir)?
        ),
    ];
    if rustix::fs::statfs(dir)?.f_type as i64 == TMPFS {
        lines.push(
            "WARNING: that disk is memory (tmpfs): syncing costs nothing here, the collector's rows are too good"
                .to_owned(),
        );
    }
    if cores < 2 {
        lines.push(
            "WARNING: one core for target and generator: every rate is less than half of the truth"
                .to_owned(),
        );
    }
    Ok(lines)
}

pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn first_of(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn sync_ms(dir: &Path) -> Result<f64> {
    let path = dir.join("sync-probe");
    let mut file = File::create(&path).context("creating a file to sync")?;
    let mut times = Vec::new();
    for _ in 0..101 {
        let start = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    fs::remove_file(&path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
