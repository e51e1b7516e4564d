//! What a dashboard costs with 100 million rows of `daily` in the embedded engine: every panel of a
//! large, a median and a small site, whole dashboards, and the platform's view, through HTTP from
//! the collector as it is shipped.
//!
//! `make bench-report`. The rows are generated once and kept in the build folder (`--fresh` makes
//! them anew); the last three lines are for machines. `cargo bench --bench report -- --shards 2`
//! spreads the same sites over two ClickHouse servers, and `--shards 1` has all of them on one.

mod fill;
mod measure;
#[path = "../../tests/it/support/open_server.rs"]
mod open_server;
#[path = "../../tests/it/support/port.rs"]
mod port;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The last day that holds counts; the collector's clock stands on it.
const LAST_DAY: &str = "2026-06-30";

#[derive(Parser)]
#[command(about = "Dashboards over many rows, through HTTP")]
struct Options {
    /// ClickHouse servers that hold some of the sites each; without it, the embedded engine.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    shards: Option<u32>,
    /// Days with counts; the reports ask for up to 90.
    #[arg(long, default_value_t = 90)]
    days: u32,
    /// Generate the rows anew.
    #[arg(long)]
    fresh: bool,
    /// Fill the store of this shard, counted from 0 (started by the benchmark itself).
    #[arg(long, hide = true)]
    fill: Option<u32>,
    /// Passed by cargo; means nothing here.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn dir(&self) -> PathBuf {
        let name = match self.shards {
            None => "bench-report".to_owned(),
            Some(count) => format!("bench-report-{count}"),
        };
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
    }
}

/// One of the store's shards, counted from 0.
#[derive(Clone, Copy)]
struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    fn all(count: u32) -> impl Iterator<Item = Shard> {
        (0..count).map(move |index| Shard { index, count })
    }

    /// The data directory of its engine.
    fn data_dir(self, dir: &Path) -> PathBuf {
        match self.index {
            0 => dir.join("store"),
            index => dir.join(format!("store-{index}")),
        }
    }
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    let dir = options.dir();
    // The engine keeps its directory for as long as its process lives: filling is a process of its
    // own.
    let count = options.shards.unwrap_or(1);
    if let Some(index) = options.fill {
        let shard = Shard { index, count };
        return fill::fill(&dir, shard, options.days, &library());
    }

    if options.fresh && dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    for index in 0..count {
        let filled = Command::new(std::env::current_exe()?)
            .args(std::env::args().skip(1).filter(|given| given != "--fresh"))
            .arg(format!("--fill={index}"))
            .status()?;
        if !filled.success() {
            return Err("the tables could not be filled".into());
        }
    }
    measure::measure(&dir, options.shards)
}

fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@chdb/lib-linux-x64-gnu/libchdb.so")
}
