//! What a hit costs in a cluster of two collectors: where it is sent to its owner, and where it is
//! passed on in half of the cases.
//!
//! All collectors run on the same core and use a ClickHouse server of their own, whose CPU time is
//! not theirs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::LoadOptions;
use super::ask::ask;
use super::collector;
use super::drive::{Driver, Pace};
use super::open_server;
use super::port::Port;
use super::requests::{self, Chance, Owner, Request, Wish};
use super::rounds::wait_until_stored;
use super::table::{line, median};
use super::target::Target;

const NAMES: [&str; 2] = ["a", "b"];
const WARM_UP: Duration = Duration::from_secs(1);
/// Before the collectors know each other, each owns all networks.
const JOIN_PATIENCE: Duration = Duration::from_secs(20);
const SEED: u64 = 7;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    load: LoadOptions,
    /// Seconds of one window.
    #[arg(long, default_value = "5", value_parser = super::seconds)]
    seconds: Duration,
}

/// One collector, or several that know each other, and what they answered.
struct Side {
    collectors: Vec<Target>,
    views: u64,
    lost: u64,
}

impl Side {
    /// Drives one of the collectors, and returns the CPU seconds of all of them per million hits.
    fn measure(
        &mut self,
        place: usize,
        requests: &mut [Request],
        options: &Options,
    ) -> Result<f64> {
        let address = self.collectors[place].address;
        let mut driver = Driver::connect(
            address,
            options.load.connections,
            requests,
            options.load.fresh,
        )?;
        let warm = driver.run(WARM_UP, Pace::Closed)?;
        self.settle(options)?;
        let before = self.cpu()?;
        let window = driver.run(options.seconds, Pace::Closed)?;
        self.settle(options)?;
        let used = self.cpu()? - before;

        for window in [&warm, &window] {
            self.views += window.views;
            self.lost += window.lost;
            if window.refused > 0 {
                bail!("{} hits were answered outside 2xx", window.refused);
            }
        }
        Ok(used.as_secs_f64() * 1e6 / window.accepted as f64)
    }

    fn settle(&self, options: &Options) -> Result<()> {
        self.collectors
            .iter()
            .try_for_each(|collector| wait_until_stored(collector, options.load.flush))
    }

    fn cpu(&self) -> Result<Duration> {
        self.collectors.iter().map(Target::cpu).sum()
    }

    /// The reports hold the views that were answered.
    fn check_reports(&self) -> Result<()> {
        let (from, to) = collector::days_around_today()?;
        let mut views = 0;
        for site in requests::sites() {
            let path = format!("/api/v1/sites/{site}/report?from={from}&to={to}");
            let (_, body) = ask(self.collectors[0].address, "GET", &path)?;
            let report: serde_json::Value = serde_json::from_str(&body)?;
            views += report["totals"]["hits"].as_u64().context("no totals")?;
        }
        println!("views_answered={} views_reported={views}", self.views);
        if !(self.views..=self.views + self.lost).contains(&views) {
            bail!("the reports do not hold what was answered");
        }
        Ok(())
    }
}

pub fn run(options: &Options) -> Result<()> {
    let (dir, about) = super::prepare()?;

    let ports = [Port::hold(), Port::hold()];
    let mut engines = Vec::new();
    for (port, name) in ports.iter().zip(["engine-one", "engine-two"]) {
        engines.push(open_server::start(
            &dir.path().join(name),
            port.address(),
            &[],
        ));
    }
    let urls = ports
        .each_ref()
        .map(|port| format!("store.url=http://{}", port.address()));
    let mut one = start_one(options, dir.path(), &urls[0])?;
    let mut two = start_two(options, dir.path(), &urls[1])?;

    let mut anybody = requests::build(Wish::Counted);
    let mut chance = Chance::new(SEED);
    let mut of_owners = [0, 1].map(|place| {
        let mut requests = requests::build(Wish::Counted);
        let owner = Owner {
            place,
            collectors: 2,
        };
        requests
            .iter_mut()
            .for_each(|request| request.send_to_owner(owner, &mut chance));
        requests
    });

    let (mut alone, mut owned, mut passed_on) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.load.rounds {
        let place = round % 2;
        alone.push(one.measure(0, &mut anybody, options)?);
        owned.push(two.measure(place, &mut of_owners[place], options)?);
        passed_on.push(two.measure(place, &mut anybody, options)?);
        eprintln!(
            "round {}: one {:.1}, two by owner {:.1}, two by chance {:.1} CPU s per million",
            round + 1,
            alone[round],
            owned[round],
            passed_on[round]
        );
    }

    println!("{}", about.join("\n"));
    one.check_reports()?;
    two.check_reports()?;
    let ratio = |of: &[f64]| median(of.iter().zip(&alone).map(|(of, one)| of / one));
    println!(
        "{}",
        line("cpu_s_per_million_one", median(alone.iter().copied()), 2)
    );
    println!("{}", line("cpu_ratio_two_by_owner", ratio(&owned), 3));
    println!("{}", line("cpu_ratio_two_by_chance", ratio(&passed_on), 3));
    drop((one, two));
    for mut engine in engines {
        let _ = engine.kill();
        let _ = engine.wait();
    }
    Ok(())
}

fn start_one(options: &Options, dir: &Path, store: &str) -> Result<Side> {
    let dir = dir.join("one");
    std::fs::create_dir(&dir)?;
    let settings = [store.to_owned()];
    let collector = collector::start_with(
        &options.load.collector,
        &options.load.config,
        &dir,
        &settings,
    )?;
    Ok(Side {
        collectors: vec![collector],
        views: 0,
        lost: 0,
    })
}

/// Two collectors that know each other, with the certificates of the tests.
fn start_two(options: &Options, dir: &Path, store: &str) -> Result<Side> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cluster");
    let fixture = |name: &str| fixtures.join(name).display().to_string();
    let ports = [Port::hold(), Port::hold()];
    let addresses: Vec<String> = NAMES
        .iter()
        .zip(&ports)
        .map(|(name, port)| format!("{name}={}", port.address()))
        .collect();

    let mut collectors = Vec::new();
    for (name, port) in NAMES.iter().zip(&ports) {
        let dir = dir.join(name);
        std::fs::create_dir(&dir)?;
        let settings = [
            store.to_owned(),
            format!("cluster.name={name}"),
            format!("cluster.listen={}", port.address()),
            format!("cluster.collectors={}", addresses.join(",")),
            format!("cluster.ca_file={}", fixture("authority.pem")),
            format!("cluster.cert_file={}", fixture(&format!("{name}.pem"))),
            format!("cluster.key_file={}", fixture("key.pem")),
            format!("access.key_file={}", fixture("access.keys")),
        ];
        collectors.push(collector::start_with(
            &options.load.collector,
            &options.load.config,
            &dir,
            &settings,
        )?);
    }
    for collector in &collectors {
        wait_for_other(collector)?;
    }
    Ok(Side {
        collectors,
        views: 0,
        lost: 0,
    })
}

fn wait_for_other(collector: &Target) -> Result<()> {
    let until = std::time::Instant::now() + JOIN_PATIENCE;
    loop {
        let (_, page) = ask(collector.address, "GET", "/metrics")?;
        if page
            .lines()
            .any(|line| line == "footfall_cluster_collectors 2")
        {
            return Ok(());
        }
        if std::time::Instant::now() >= until {
            bail!("the collectors do not reach each other");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
