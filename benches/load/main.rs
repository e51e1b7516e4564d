//! `make bench`: what a counted hit costs, beside a handler that only parses it and an nginx that
//! only answers.
//!
//! One run measures all targets on the same pinned core with the same bytes, in rotation. README.md
//! says how to read it.

mod answer;
mod ask;
mod bare;
mod cluster;
mod collector;
mod drive;
mod histogram;
mod interrupt;
mod machine;
#[path = "../../tests/it/support/open_server.rs"]
mod open_server;
#[path = "../../tests/it/support/port.rs"]
mod port;
mod requests;
mod rounds;
mod table;
mod target;
mod threads;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use drive::{Driver, Pace};
use requests::Wish;
use rounds::{BARE, Bench, COUNTED, COUNTED_MANY, OPENED, TOGETHER};
use table::line;

/// The collector's own allocator, so that the bare handler is not slower by a worse one. It wipes
/// nothing: that costs the collector alone.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "The collector under load, beside a bare handler and nginx")]
struct Cli {
    #[command(subcommand)]
    task: Option<Task>,
    /// Passed by cargo; means nothing here.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Measure every target and print the table.
    Run(Options),
    /// Be the bare handler (started by `run`).
    Bare { address: SocketAddr },
    /// Measure what a hit costs in a cluster of two, beside one collector.
    Cluster(cluster::Options),
    /// Load any address and print what came back: how the generator itself is measured.
    Aim(Aim),
}

/// What loads a collector in rounds.
#[derive(clap::Args)]
pub struct LoadOptions {
    #[arg(long, default_value = env!("CARGO_BIN_EXE_footfall"))]
    collector: PathBuf,
    #[arg(long, default_value = "benches/collector.toml")]
    config: PathBuf,
    /// Keep-alive connections, one hit in flight on each.
    #[arg(long, default_value_t = 128)]
    connections: usize,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The longest a segment stays open by the collector's configuration, in seconds.
    #[arg(long, default_value = "3", value_parser = seconds)]
    flush: Duration,
    /// Hits of a hundred that come from somebody not seen before.
    #[arg(long, default_value_t = 25)]
    fresh: u64,
}

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    load: LoadOptions,
    /// Seconds of one window; several times the collector's flush interval.
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Measure the pixels of mails only.
    #[arg(long)]
    mails: bool,
    /// Fail unless the promises hold: 45 000 hits/s, at most 1.6 times bare, drops cheaper than
    /// counts, 20 000 pixels/s, every hit counted.
    #[arg(long)]
    gate: bool,
}

#[derive(clap::Args)]
struct Aim {
    address: SocketAddr,
    #[arg(long, default_value_t = 128)]
    connections: usize,
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    #[arg(long, default_value_t = 25)]
    fresh: u64,
    /// Hits per second at fixed times; without it, as many as are answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Send `DNT: 1` with every hit.
    #[arg(long)]
    dropped: bool,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().task {
        Some(Task::Run(options)) => run(&options),
        Some(Task::Cluster(options)) => cluster::run(&options).map(|()| ExitCode::SUCCESS),
        Some(Task::Bare { address }) => bare::serve(address).map(|()| ExitCode::SUCCESS),
        Some(Task::Aim(task)) => aim(&task).map(|()| ExitCode::SUCCESS),
        // `cargo bench` and `cargo test --benches` run every bench without arguments: nothing to do
        // unasked for minutes.
        None => {
            println!("make bench, or: cargo bench --bench load -- run");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A folder for what is measured, which is removed at an interrupt too, and a description of the
/// machine. Pins the load's own threads.
fn prepare() -> Result<(tempfile::TempDir, Vec<String>)> {
    // Not in /tmp, which may be memory: the collector syncs to the directory the build lies on.
    let dir = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let about = machine::describe(dir.path())?;
    target::pin(target::OWN_CPU);
    interrupt::clean_up(dir.path().to_owned())?;
    Ok((dir, about))
}

fn run(options: &Options) -> Result<ExitCode> {
    let (dir, about) = prepare()?;
    let mut bench = Bench::start(options, dir.path())?;
    bench.run()?;
    println!("{}", about.join("\n"));
    println!("load average at the end: {}", machine::load_average());
    println!(
        "load: {} connections, {} requests, {} % of the hits by a new visitor, {} rounds of {:?}; targets on CPU {}, generator on CPU {}\n",
        options.load.connections,
        requests::REQUESTS,
        options.load.fresh,
        options.load.rounds,
        options.seconds,
        target::TARGET_CPU,
        target::OWN_CPU
    );
    println!("{}", table::table(&bench.rows));
    Ok(conclude(options, &bench))
}

/// The lines for machines, the six that are promised last, and whether what they say holds.
fn conclude(options: &Options, bench: &Bench<'_>) -> ExitCode {
    let (counted, tally) = (&bench.rows[COUNTED], &bench.tally);
    let (hits, ratio, dropped) = (
        bench.hits_per_second(COUNTED),
        bench.cpu_ratio(),
        bench.drop_ratio(),
    );
    // A hit whose connection broke may or may not have been counted; without such, the numbers are
    // equal or one is wrong.
    let exact = tally
        .reported
        .is_none_or(|views| (tally.views..=tally.views + tally.lost).contains(&views));
    println!(
        "refused={}\nlost={}\nviews_answered={}",
        tally.refused, tally.lost, tally.views
    );
    println!(
        "{}",
        line(
            "views_reported",
            tally.reported.map(|views| views as f64),
            0
        )
    );
    let mails = conclude_mails(bench);
    if options.mails {
        let good = mails.exact && tally.refused == 0 && (mails.kept || !options.gate);
        return if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    println!(
        "{}",
        line(
            "cpu_s_per_million_bare",
            bench.rows[BARE].median(|sample| sample.cpu_per_million),
            2
        )
    );
    println!(
        "{}",
        line(
            "cpu_s_per_million",
            counted.median(|sample| sample.cpu_per_million),
            2
        )
    );
    println!("{}", line("cpu_ratio_dropped", dropped, 3));
    println!(
        "{}",
        line("cpu_ratio_bare_same_rate", bench.cpu_ratio_same_rate(), 3)
    );
    let micros_per_hit = |time: Duration| {
        (bench.thread_hits > 0).then(|| time.as_secs_f64() * 1e6 / bench.thread_hits as f64)
    };
    for (kind, time) in bench.threads.by_name() {
        let name = format!("cpu_us_per_hit_{kind}");
        println!("{}", line(&name, micros_per_hit(time), 2));
    }
    let together = bench.hits_per_second(TOGETHER);
    println!("{}", line("hits_per_s_core_bodies_of_20", together, 0));
    let many = bench.hits_per_second(COUNTED_MANY);
    println!("{}", line("hits_per_s_core_512_connections", many, 0));
    let many_ratio = bench.cpu_ratio_many();
    println!("{}", line("cpu_ratio_bare_512_connections", many_ratio, 3));
    println!("{}", line("hits_per_s_core", hits, 0));
    println!("{}", line("cpu_ratio_bare", ratio, 3));
    println!("{}", line("p99_ms_half_load", counted.half_load_p99(), 2));
    println!("{}", line("rss_idle_mib", counted.idle_mib, 0));
    println!("{}", line("rss_mib", counted.peak_mib, 0));
    println!("{}", line("rss_end_mib", counted.end_mib, 0));
    println!("{}", line("rows_per_hit", counted.rows_per_hit(), 4));
    println!("{}", line("bytes_per_hit", counted.bytes_per_hit, 3));
    let kept = hits.is_some_and(|hits| hits >= 45_000.0)
        && mails.kept
        && ratio.is_some_and(|ratio| ratio <= 1.6)
        && dropped.is_some_and(|dropped| dropped < 1.0);
    if !exact || !mails.exact {
        eprintln!("error: the reports do not hold what was answered");
    }
    if options.gate && !kept {
        eprintln!(
            "error: a promise is not kept (45 000 hits/s, at most 1.6 times bare, drops cheaper than counts, 20 000 pixels/s)"
        );
    }
    if tally.refused > 0 {
        eprintln!("error: {} hits were answered outside 2xx", tally.refused);
    }
    if hits.is_none() {
        eprintln!("error: the collector was not measured");
    }
    let good =
        hits.is_some() && exact && mails.exact && tally.refused == 0 && (kept || !options.gate);
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether the report on mails holds what was answered, and whether enough was.
struct Mails {
    exact: bool,
    kept: bool,
}

fn conclude_mails(bench: &Bench<'_>) -> Mails {
    let (tally, per_second) = (&bench.tally, bench.hits_per_second(OPENED));
    println!("mails_answered={}", tally.mails);
    println!(
        "{}",
        line(
            "mails_reported",
            tally.mails_reported.map(|mails| mails as f64),
            0
        )
    );
    println!("{}", line("mails_per_s_core", per_second, 0));
    // Now and then two of the load's people are the same within seconds: then it was a resend, and
    // counts once.
    let answered = tally.mails - tally.mails / 10_000..=tally.mails + tally.lost;
    Mails {
        exact: tally
            .mails_reported
            .is_none_or(|mails| answered.contains(&mails)),
        kept: per_second.is_some_and(|mails| mails >= 20_000.0),
    }
}

fn aim(task: &Aim) -> Result<()> {
    target::pin(target::OWN_CPU);
    let mut requests = requests::build(if task.dropped {
        Wish::Dropped
    } else {
        Wish::Counted
    });
    let mut driver = Driver::connect(task.address, task.connections, &mut requests, task.fresh)?;
    let pace = task
        .rate
        .map_or(Pace::Closed, |per_second| Pace::Open { per_second });
    let window = driver.run(task.seconds, pace)?;
    println!(
        "{:.0} hits/s, p50 {:.3} ms, p99 {:.3} ms, {} refused, {} lost, generator at {:.0} % of its core",
        window.per_second(),
        window.latencies.quantile_ms(0.5).unwrap_or(f64::NAN),
        window.latencies.quantile_ms(0.99).unwrap_or(f64::NAN),
        window.refused,
        window.lost,
        window.own_cpu.as_secs_f64() / window.wall.as_secs_f64() * 100.0
    );
    Ok(())
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("seconds, from 0.1 to 3600".to_owned()),
    }
}
