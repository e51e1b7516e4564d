//! The order of events: rounds in rotation, then half load, then what lies at rest, then the check
//! that all was counted.
//!
//! The collector's windows begin and end with nothing waiting for the engine, and its CPU is read
//! after the last insert: no hit of a window is paid for outside it.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::ask::{Metrics, ask, metrics};
use super::drive::{Driver, Pace, Window};
use super::port::Port;
use super::requests::{self, Request, Wish};
use super::table::{Row, Sample, median, ratio};
use super::target::{Listens, Target, installed, nginx};
use super::threads::ThreadTimes;
use super::{Options, collector};

const NGINX: usize = 0;
pub const BARE: usize = 1;
pub const COUNTED: usize = 2;
pub const DROPPED: usize = 3;
pub const KNOWN: usize = 4;
pub const OPENED: usize = 5;
pub const BARE_MANY: usize = 6;
pub const COUNTED_MANY: usize = 7;
pub const TOGETHER: usize = 8;
const ROWS: usize = 9;
/// Connections of the rows that show what more of them cost.
const MANY_CONNECTIONS: usize = 512;
const WARM_UP: Duration = Duration::from_secs(1);

pub struct Bench<'o> {
    options: &'o Options,
    /// nginx, bare, collector; a target that cannot run leaves its reason in its rows.
    targets: [Option<Target>; 3],
    pub rows: [Row; ROWS],
    counted: Vec<Request>,
    together: Vec<Request>,
    dropped: Vec<Request>,
    opened: Vec<Request>,
    pub tally: Tally,
    /// CPU time of the collector's windows by kind of thread, and their hits.
    pub threads: ThreadTimes,
    pub thread_hits: u64,
}

/// All hits ever sent to be counted, warm-up and half load included: what the report must show at
/// the end.
#[derive(Default)]
pub struct Tally {
    pub hits: u64,
    pub views: u64,
    pub mails: u64,
    pub lost: u64,
    pub refused: u64,
    /// What the report on mails says.
    pub mails_reported: Option<u64>,
    /// What the reports of all sites say; `None` without a collector.
    pub reported: Option<u64>,
}

impl<'o> Bench<'o> {
    pub fn start(options: &'o Options, dir: &Path) -> Result<Bench<'o>> {
        let labels = [
            "nginx `return 204`",
            "bare actix handler",
            "footfall",
            "footfall, hits with DNT",
            "footfall, known visitors only",
            "footfall, pixels of mails",
            "bare, 512 connections",
            "footfall, 512 connections",
            "footfall, bodies of 20 hits",
        ];
        let mut rows = labels.map(|label| Row {
            label: label.to_owned(),
            ..Row::default()
        });
        let started = [
            start_nginx(dir),
            start_bare(dir),
            collector::start(options, dir),
        ];
        let mut targets = [None, None, None];
        for (index, target) in started.into_iter().enumerate() {
            match target {
                Ok(target) => {
                    if index == COUNTED {
                        settle(&target, options)?;
                    }
                    rows[index].idle_mib = Some(target.resident_mib()?);
                    target.pause()?;
                    targets[index] = Some(target);
                }
                Err(reason) => rows[index].absent = Some(format!("{reason:#}")),
            }
        }
        let [counted, together, dropped] =
            [Wish::Counted, Wish::CountedTogether, Wish::Dropped].map(requests::build);
        let opened = requests::openings(&collector::pixel()?);
        Ok(Bench {
            options,
            targets,
            rows,
            counted,
            together,
            dropped,
            opened,
            tally: Tally::default(),
            threads: ThreadTimes::default(),
            thread_hits: 0,
        })
    }

    pub fn run(&mut self) -> Result<()> {
        if !self.options.mails {
            self.rotate(&[NGINX, BARE, COUNTED, DROPPED])?;
            self.half_load()?;
            self.at_rest()?;
            self.rotate(&[KNOWN])?;
            self.rotate(&[BARE_MANY, COUNTED_MANY, TOGETHER])?;
            self.tally.reported = self.reported()?;
        }
        self.rotate(&[OPENED])?;
        self.tally.mails_reported = self.mails_reported()?;
        Ok(())
    }

    /// Each round starts with another target, so that none always runs on what another left behind.
    fn rotate(&mut self, order: &[usize]) -> Result<()> {
        for round in 0..self.options.load.rounds {
            for step in 0..order.len() {
                let row = order[(round + step) % order.len()];
                if let Some(sample) = self.saturate(row)? {
                    eprintln!(
                        "round {}: {}: {:.0} hits/s, {:.1} CPU s per million",
                        round + 1,
                        self.rows[row].label,
                        sample.per_second,
                        sample.cpu_per_million
                    );
                    self.rows[row].samples.push(sample);
                }
            }
        }
        Ok(())
    }

    /// One window at saturation.
    fn saturate(&mut self, row: usize) -> Result<Option<Sample>> {
        let Some(target) = self.targets[place(row)].as_ref() else {
            return Ok(None);
        };
        let options = self.options;
        let (requests, fresh) = match row {
            DROPPED => (&mut self.dropped, options.load.fresh),
            KNOWN => (&mut self.counted, 0),
            // The same program again within seconds would be a resend.
            OPENED => (&mut self.opened, 100),
            TOGETHER => (&mut self.together, options.load.fresh),
            _ => (&mut self.counted, options.load.fresh),
        };
        let connections = match row {
            BARE_MANY | COUNTED_MANY => MANY_CONNECTIONS,
            _ => options.load.connections,
        };
        let awake = Awake::new(target)?;
        let mut driver = Driver::connect(target.address, connections, requests, fresh)?;
        let warm = driver.run(WARM_UP, Pace::Closed)?;
        let before = reading(target, row, options)?;
        let threads_before = target.thread_times()?;
        let window = driver.run(options.seconds, Pace::Closed)?;
        let loaded = target.cpu()?;
        let after = reading(target, row, options)?;
        let threads = target.thread_times()?;
        drop((driver, awake));
        if row == COUNTED {
            self.threads.add_difference(&threads_before, &threads);
            self.thread_hits += window.accepted;
        }
        self.note(row, &warm)?;
        self.note(row, &window)?;
        Ok(Some(sample(&window, before, loaded, after)))
    }

    /// The same rate for all: half of what the collector reached, or half of the bare handler's
    /// where there is none.
    fn half_load(&mut self) -> Result<()> {
        let ceiling = |row: &Row| row.median(|sample| sample.per_second);
        let Some(ceiling) = ceiling(&self.rows[COUNTED]).or_else(|| ceiling(&self.rows[BARE]))
        else {
            return Ok(());
        };
        let pace = Pace::Open {
            per_second: ceiling / 2.0,
        };
        for round in 0..self.options.load.rounds {
            for row in [NGINX, BARE, COUNTED] {
                let Some(target) = self.targets[row].as_ref() else {
                    continue;
                };
                let awake = Awake::new(target)?;
                let mut driver = Driver::connect(
                    target.address,
                    self.options.load.connections,
                    &mut self.counted,
                    self.options.load.fresh,
                )?;
                let warm = driver.run(WARM_UP, pace)?;
                let before = reading(target, row, self.options)?.0;
                let window = driver.run(self.options.seconds, pace)?;
                let cpu = reading(target, row, self.options)?.0 - before;
                drop((driver, awake));
                let hits = (window.accepted + window.refused) as f64;
                self.rows[row]
                    .half_load_cpu
                    .push(cpu.as_secs_f64() / hits * 1e6);
                self.note(row, &warm)?;
                self.note(row, &window)?;
                let p99 = window
                    .latencies
                    .quantile_ms(0.99)
                    .context("no hit was answered at half load")?;
                eprintln!(
                    "half load {}: {}: p99 {p99:.2} ms at {:.0} hits/s",
                    round + 1,
                    self.rows[row].label,
                    window.per_second()
                );
                self.rows[row].half_load_p99_ms.push(p99);
            }
        }
        Ok(())
    }

    fn note(&mut self, row: usize, window: &Window) -> Result<()> {
        if window.accepted == 0 {
            bail!(
                "{}: no hit was answered 2xx ({} were refused)",
                self.rows[row].label,
                window.refused
            );
        }
        self.tally.refused += window.refused;
        self.tally.lost += window.lost;
        if row == OPENED {
            self.tally.mails += window.accepted;
        }
        if matches!(row, COUNTED | KNOWN | COUNTED_MANY | TOGETHER) {
            self.tally.hits += window.accepted;
            self.tally.views += window.views;
        }
        Ok(())
    }

    /// Memory, and bytes in the engine once everything is inserted: before later merges, which only
    /// make them fewer.
    fn at_rest(&mut self) -> Result<()> {
        for (index, target) in self.targets.iter().enumerate() {
            let Some(target) = target else { continue };
            self.rows[index].peak_mib = Some(target.peak_mib()?);
            if index == COUNTED {
                let _awake = Awake::new(target)?;
                settle(target, self.options)?;
                let bytes = metrics(target.address)?.store_bytes;
                self.rows[index].bytes_per_hit = bytes.map(|bytes| bytes / self.tally.hits as f64);
            }
            self.rows[index].end_mib = Some(target.resident_mib()?);
        }
        Ok(())
    }

    /// Asks every site's report how many views it holds.
    fn reported(&self) -> Result<Option<u64>> {
        let Some(target) = self.targets[COUNTED].as_ref() else {
            return Ok(None);
        };
        let _awake = Awake::new(target)?;
        settle(target, self.options)?;
        let (from, to) = collector::days_around_today()?;
        let mut views = 0;
        for site in requests::sites() {
            let (status, body) = ask(
                target.address,
                "GET",
                &format!("/api/v1/sites/{site}/report?from={from}&to={to}"),
            )?;
            let report: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
            match report["totals"]["hits"].as_u64() {
                Some(hits) if status == 200 => views += hits,
                _ => bail!("the report of {site} answered {status} without totals"),
            }
        }
        Ok(Some(views))
    }

    /// Asks how many openings the report on mails holds.
    fn mails_reported(&self) -> Result<Option<u64>> {
        let Some(target) = self.targets[COUNTED].as_ref() else {
            return Ok(None);
        };
        let _awake = Awake::new(target)?;
        settle(target, self.options)?;
        let (from, to) = collector::days_around_today()?;
        let (status, body) = ask(
            target.address,
            "GET",
            &format!("/api/v1/mail?from={from}&to={to}"),
        )?;
        let report: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let direct = report["templates"][0]["opens"]["direct"]
            .as_u64()
            .filter(|_| status == 200);
        Ok(Some(direct.with_context(|| {
            format!("the report on mails answered {status} without openings")
        })?))
    }

    pub fn cpu_ratio(&self) -> Option<f64> {
        ratio(&self.rows[COUNTED], &self.rows[BARE])
    }

    /// The same ratio at 512 connections.
    pub fn cpu_ratio_many(&self) -> Option<f64> {
        ratio(&self.rows[COUNTED_MANY], &self.rows[BARE_MANY])
    }

    /// The same ratio at the same rate: nobody's saved wake-ups of a saturated core in it.
    pub fn cpu_ratio_same_rate(&self) -> Option<f64> {
        Some(
            median(self.rows[COUNTED].half_load_cpu.iter().copied())?
                / median(self.rows[BARE].half_load_cpu.iter().copied())?,
        )
    }

    pub fn drop_ratio(&self) -> Option<f64> {
        ratio(&self.rows[DROPPED], &self.rows[COUNTED])
    }

    /// The median hits per second of a row's windows.
    pub fn hits_per_second(&self, row: usize) -> Option<f64> {
        self.rows[row].median(|sample| sample.per_second)
    }
}

/// The target that serves a row's load.
fn place(row: usize) -> usize {
    match row {
        NGINX => NGINX,
        BARE | BARE_MANY => BARE,
        _ => COUNTED,
    }
}

/// Wakes a target for as long as it lives.
struct Awake<'t>(&'t Target);

impl Awake<'_> {
    fn new(target: &Target) -> Result<Awake<'_>> {
        target.resume()?;
        sleep(Duration::from_millis(300));
        Ok(Awake(target))
    }
}

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        let _ = self.0.pause();
    }
}

/// A target's CPU time and counters with nothing left to do.
fn reading(target: &Target, row: usize, options: &Options) -> Result<(Duration, Metrics)> {
    if place(row) != COUNTED {
        return Ok((target.cpu()?, Metrics::default()));
    }
    settle(target, options)?;
    let metrics = metrics(target.address).unwrap_or_default();
    Ok((target.cpu()?, metrics))
}

/// Waits until the collector has sent everything to the engine.
fn settle(target: &Target, options: &Options) -> Result<()> {
    wait_until_stored(target, options.load.flush)
}

/// The same for a collector whose segments close after `flush` at the latest.
pub fn wait_until_stored(target: &Target, flush: Duration) -> Result<()> {
    if matches!(ask(target.address, "POST", "/test/flush"), Ok((200, _))) {
        return Ok(());
    }
    // No test door: the open segment closes by its age, and then waits until the engine has it.
    sleep(flush + Duration::from_millis(500));
    let until = Instant::now() + Duration::from_secs(60);
    while metrics(target.address)?
        .segments_waiting
        .is_some_and(|waiting| waiting > 0.0)
    {
        if Instant::now() >= until {
            bail!("segments still wait for the engine after a minute");
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn sample(
    window: &Window,
    before: (Duration, Metrics),
    loaded: Duration,
    after: (Duration, Metrics),
) -> Sample {
    let hits = (window.accepted + window.refused) as f64;
    let wall = window.wall.as_secs_f64();
    let grown = |of: fn(&Metrics) -> Option<f64>| Some((of(&after.1)? - of(&before.1)?) / hits);
    Sample {
        per_second: window.per_second(),
        p50_ms: window.latencies.quantile_ms(0.5).unwrap_or(f64::NAN),
        p99_ms: window.latencies.quantile_ms(0.99).unwrap_or(f64::NAN),
        cpu_per_million: (after.0 - before.0).as_secs_f64() / hits * 1e6,
        core: (loaded - before.0).as_secs_f64() / wall,
        generator: window.own_cpu.as_secs_f64() / wall,
        journal_per_hit: grown(|metrics| metrics.journal_bytes),
        rows_per_hit: grown(|metrics| metrics.rows_inserted),
    }
}

fn start_nginx(dir: &Path) -> Result<Target> {
    if !installed("nginx") {
        bail!("not installed");
    }
    let port = Port::hold();
    Target::start(
        nginx(port.address(), dir)?,
        Listens::On(port),
        dir.join("nginx.log"),
    )
}

fn start_bare(dir: &Path) -> Result<Target> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bare", "127.0.0.1:0"]);
    Target::start(command, Listens::Said, dir.join("bare.log"))
}
