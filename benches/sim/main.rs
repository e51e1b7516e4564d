//! What a platform of a given size needs: collectors, cores, journal, store, and what a failover
//! costs. Arithmetic over figures that were measured; docs/operate/SCALING.md explains each of them.
//!
//! `cargo bench --bench footfall-sim -- --hits-per-day 1e9 --sites 1e6`

mod model;
mod rows;

use clap::Parser;

use model::{Measured, Needs, Platform};

/// What a platform of a given size needs.
#[derive(Parser)]
#[command(name = "footfall-sim")]
struct Options {
    /// Hits a day: views, clicks and events.
    #[arg(long, default_value_t = 1e9, value_parser = positive)]
    hits_per_day: f64,
    /// Sites with at least one hit on some day of a month.
    #[arg(long, default_value_t = 1e6, value_parser = positive)]
    sites: f64,
    /// Exponent of Zipf's law: how hits are spread over sites. 0 gives each the same number.
    #[arg(long, default_value_t = 0.9)]
    skew: f64,
    /// Hits of one visitor on a day.
    #[arg(long, default_value_t = 4.0, value_parser = positive)]
    hits_per_visitor: f64,
    /// Hits per second at the busiest moment, as a multiple of the day's mean.
    #[arg(long, default_value_t = 3.0, value_parser = positive)]
    peak: f64,
    /// Years that counts are kept.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    years: f64,
    /// Days after which hours become days (`retention.hourly_days`).
    #[arg(long, default_value_t = 400.0)]
    hourly_days: f64,
    /// Days after which the platform's list of sites goes by month (`retention.activity_days`).
    #[arg(long, default_value_t = 761.0)]
    activity_days: f64,
    /// Cores of a machine that runs one collector.
    #[arg(long, default_value_t = 16.0, value_parser = positive)]
    cores: f64,
    /// Share of its cores that a collector may use at the busiest moment.
    #[arg(long, default_value_t = 0.5, value_parser = positive)]
    load: f64,
    /// CPU seconds per million hits, the embedded engine or the insert client included.
    #[arg(long, default_value_t = Measured::default().cpu_seconds_per_million, value_parser = positive)]
    cpu_seconds_per_million: f64,
    /// Copies of each row in the store.
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    replicas: f64,
    /// Bytes on disk that one server of the store may hold, in terabytes.
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    server_terabytes: f64,
    /// Passed by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn platform(&self) -> Platform {
        Platform {
            hits_per_day: self.hits_per_day,
            sites: self.sites,
            skew: self.skew,
            hits_per_visitor: self.hits_per_visitor,
            peak: self.peak,
            days: self.years * 365.25,
            hourly_days: self.hourly_days,
            activity_days: self.activity_days,
            cores: self.cores,
            load: self.load,
            replicas: self.replicas,
            server_bytes: self.server_terabytes * 1e12,
        }
    }

    fn measured(&self) -> Measured {
        Measured {
            cpu_seconds_per_million: self.cpu_seconds_per_million,
            ..Measured::default()
        }
    }
}

/// Reads a number above 0.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("must be a number above 0".into()),
    }
}

fn main() {
    let options = Options::parse();
    let needs = Needs::compute(&options.platform(), &options.measured());
    for (name, value) in needs.lines() {
        println!("{name}={value}");
    }
}
