//! What a dashboard costs with 100 million rows of `daily` in the embedded engine: every panel of a
//! large, a median and a small site, whole dashboards, and the platform's view, through HTTP from
//! the collector as it is shipped.
//!
//! `make bench-report`. The rows are generated once and kept in the build folder (`--fresh` makes
//! them anew); the last three lines are for machines.

mod fill;
mod measure;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The last day that holds counts; the collector's clock stands on it.
const LAST_DAY: &str = "2026-06-30";

fn main() -> Outcome<()> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-report");
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        // The engine keeps its directory for as long as its process lives: filling is a process of
        // its own.
        Some("fill") => fill::fill(&dir.join("store"), &library()),
        given => {
            if given == Some("--fresh") && dir.exists() {
                std::fs::remove_dir_all(&dir)?;
            }
            std::fs::create_dir_all(&dir)?;
            let filled = Command::new(std::env::current_exe()?)
                .arg("fill")
                .status()?;
            if !filled.success() {
                return Err("the tables could not be filled".into());
            }
            measure::measure(&dir)
        }
    }
}

fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@chdb/lib-linux-x64-gnu/libchdb.so")
}
