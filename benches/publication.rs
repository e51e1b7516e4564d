//! What a publication costs with millions of pending cells in the embedded engine, and whether one
//! that is killed publishes every visitor once.
//!
//! `cargo bench --bench publication -- --rows 20000000 --kills 50`. The engine has 512 MiB. The
//! last lines are for machines: seconds of a publication that nobody disturbed, kills, and visitors
//! lost or doubled over all rounds.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use footfall::calendar::Day;
use footfall::publication::{ClosedPeriod, CoinKey, LotPolicy};
use footfall::store::{EngineLimits, PublicationUnit, Store, StoreOptions};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the engine may use, in bytes.
const ENGINE_MEMORY: u64 = 512 << 20;
/// Cells of one site.
const CELLS: u64 = 40;
/// Of so many cells one gets counts on a day.
const QUIET: u64 = 10;
const FIRST_DAY: u16 = 20_500;
const K: u64 = 5;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-publication");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;

    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fill", rows] => runtime.block_on(fill(&dir, rows.parse()?)),
        ["count", day, rows] => runtime.block_on(count(&dir, day.parse()?, rows.parse()?)),
        ["publish", day] => runtime.block_on(publish(&dir, day.parse()?)),
        ["check"] => runtime.block_on(check(&dir)),
        _ => measure(
            &dir,
            argument(&arguments, "--rows", 20_000_000)?,
            argument(&arguments, "--kills", 50)?,
        ),
    }
}

fn argument(arguments: &[String], name: &str, usual: u64) -> Outcome<u64> {
    let place = arguments.iter().position(|argument| argument == name);
    match place.and_then(|place| arguments.get(place + 1)) {
        Some(value) => Ok(value.parse()?),
        None => Ok(usual),
    }
}

/// Fills, publishes a day undisturbed, then days that are killed at random moments until the kills
/// are used up.
fn measure(dir: &Path, rows: u64, kills: u64) -> Outcome<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)?;
    }
    std::fs::create_dir_all(dir)?;
    run(&["fill", &rows.to_string()])?;

    let mut day = FIRST_DAY;
    run(&["count", &day.to_string(), &rows.to_string()])?;
    let counted = checked()?;
    let started = Instant::now();
    let peak = watched(&["publish", &day.to_string()])?;
    let seconds = started.elapsed().as_secs_f64();
    let (mut lost, mut doubled) = difference(counted, checked()?);
    println!(
        "{rows} pending cells: {seconds:.1} s, {} MiB resident, collector and engine",
        peak >> 20
    );

    let mut killed = 0;
    let mut rounds = 0;
    while killed < kills {
        day += 1;
        run(&["count", &day.to_string(), &rows.to_string()])?;
        let counted = checked()?;
        while killed < kills {
            let mut child = child(&["publish", &day.to_string()])?;
            let share = f64::from(u16::from_le_bytes(random())) / f64::from(u16::MAX);
            std::thread::sleep(Duration::from_secs_f64(seconds * share));
            if child.try_wait()?.is_some() {
                break;
            }
            child.kill()?;
            child.wait()?;
            killed += 1;
        }
        run(&["publish", &day.to_string()])?;
        let (less, more) = difference(counted, checked()?);
        (lost, doubled, rounds) = (lost + less, doubled + more, rounds + 1);
        println!("day {rounds}: {killed} kills so far, {less} lost, {more} doubled");
    }

    println!("publication_seconds={seconds:.1}");
    println!("publication_kills={killed}");
    println!("lost={lost}");
    println!("doubled={doubled}");
    Ok(())
}

fn difference(before: u64, after: u64) -> (u64, u64) {
    (before.saturating_sub(after), after.saturating_sub(before))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's random generator works");
    bytes
}

fn child(arguments: &[&str]) -> Outcome<Child> {
    Ok(Command::new(std::env::current_exe()?)
        .args(arguments)
        .spawn()?)
}

fn run(arguments: &[&str]) -> Outcome<()> {
    match child(arguments)?.wait()?.success() {
        true => Ok(()),
        false => Err(format!("{} failed", arguments.join(" ")).into()),
    }
}

/// Runs to the end; the most memory that it and its engine had together, in bytes.
fn watched(arguments: &[&str]) -> Outcome<u64> {
    let mut child = child(arguments)?;
    let mut peak = 0;
    loop {
        let engines: u64 = children(child.id()).into_iter().map(resident).sum();
        peak = peak.max(resident(child.id()) + engines);

        match child.try_wait()? {
            Some(status) if status.success() => return Ok(peak),
            Some(_) => return Err(format!("{} failed", arguments.join(" ")).into()),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The anonymous memory of a process, in bytes; 0 if it ended.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap_or_default();
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .unwrap_or(0)
        * 1024
}

/// The processes that any thread of a process started.
fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let lists = threads.into_iter().flatten().flatten();
    lists
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            let pids: Vec<u32> = list
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect();
            pids
        })
        .collect()
}

/// Visitors in all three tables.
fn checked() -> Outcome<u64> {
    let output = Command::new(std::env::current_exe()?)
        .arg("check")
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("check failed".into());
    }

    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

async fn open(dir: &Path, memory: u64) -> Outcome<Store> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("node_modules/@chdb/lib-linux-x64-gnu/libchdb.so");
    let limits = EngineLimits {
        server_memory: memory,
        query_memory: memory,
        query_seconds: 600,
        ..EngineLimits::default()
    };
    let program = PathBuf::from(env!("CARGO_BIN_EXE_footfall"));
    let options = StoreOptions {
        limits,
        ..StoreOptions::embedded(PathBuf::from(dir), program, library)
    };
    Ok(Store::connect(&options).await?)
}

/// Cells with one to four visitors, forty of each site.
async fn fill(dir: &Path, rows: u64) -> Outcome<()> {
    let store = open(dir, 4 << 30).await?;
    let sql = format!(
        "INSERT INTO pending (site, subject, item, dim, value, zone, visitors, visits, networks, since, counted, lot) \
         SELECT reinterpretAsUInt128(sipHash128(intDiv(number, {CELLS}))), if(number % {CELLS} < 20, 'site', 'page'), \
         if(number % {CELLS} < 20, '', '/u/page'), 'source', concat('source-', toString(number % 20)), 'UTC', \
         n, n, n, toDate({FIRST_DAY} - 7), if(number % {CELLS} < 20, n + 50, 0), 0 \
         FROM (SELECT number, 1 + cityHash64(number) % 4 AS n FROM numbers({rows}))"
    );
    store.raw_client().query(&sql).execute().await?;
    Ok(())
}

/// A day's counts of every tenth cell.
async fn count(dir: &Path, day: u16, rows: u64) -> Outcome<()> {
    let store = open(dir, 4 << 30).await?;
    let sql = format!(
        "INSERT INTO unpublished (site, zone, day, subject, item, dim, value, segment, visitors, visits, networks) \
         SELECT reinterpretAsUInt128(sipHash128(intDiv(number, {CELLS}))), 'UTC', toDate({day}), \
         if(number % {CELLS} < 20, 'site', 'page'), if(number % {CELLS} < 20, '', '/u/page'), 'source', \
         concat('source-', toString(number % 20)), {day} * 100 + number % 97, n, n, n \
         FROM (SELECT number * {QUIET} + {day} % {QUIET} AS number, 1 + cityHash64(number, {day}) % 8 AS n FROM numbers({}))",
        rows / QUIET
    );
    store.raw_client().query(&sql).execute().await?;
    Ok(())
}

async fn publish(dir: &Path, day: u16) -> Outcome<()> {
    let store = open(dir, ENGINE_MEMORY).await?;
    let at = (u32::from(day) + 1) * 86_400;
    let unit = PublicationUnit {
        zone: "UTC".into(),
        day: Day::from_number(day),
        ended_at: at,
        occasion: ClosedPeriod::Day,
    };
    store
        .publish_unit(&unit, &LotPolicy::new(K, CoinKey::new([1; 32])))
        .await?;
    Ok(())
}

async fn check(dir: &Path) -> Outcome<()> {
    let store = open(dir, 8 << 30).await?;
    let mut sum = 0;
    for sql in [
        "SELECT sum(visitors) FROM unpublished",
        "SELECT sum(visitors) FROM pending FINAL",
        "SELECT sum(visitors) FROM published FINAL",
    ] {
        sum += store.raw_client().query(sql).fetch_one::<u64>().await?;
    }
    println!("{sum}");
    Ok(())
}
