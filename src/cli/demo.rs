//! `footfall demo`: the command line of the demo.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::out::print_or_exit;
use super::progress::{DAYS, ProgressBar};
use super::{block_on_runtime, report_outcome, report_usage_error};
use crate::demo::{Demo, DemoOptions};

/// The options of the demo.
#[derive(Args)]
pub struct DemoArgs {
    /// The demo's own folder, emptied at each start.
    #[arg(long, value_name = "DIR", default_value = "var/demo")]
    dir: PathBuf,
    /// Where to listen; on this machine only.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The number of days to simulate, including today.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=700))]
    days: u16,
    /// The same seed, days and time give the same visits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Simulate up to this time instead of the present, and stop the clock there; for screenshots
    /// and tests.
    #[arg(long, value_name = "RFC 3339")]
    now: Option<Timestamp>,
}

impl DemoArgs {
    /// Runs the demo until it is stopped. Exit code 1 if it fails, 2 if an option is wrong.
    pub fn run(self) -> ExitCode {
        let options = DemoOptions {
            dir: self.dir,
            listen: self.listen,
            days: self.days,
            seed: self.seed,
            now: self.now.map(Timestamp::as_millisecond),
            environment: std::env::vars_os().collect(),
        };

        let demo = match Demo::new(options) {
            Ok(demo) => demo,
            Err(error) => return report_usage_error(&error),
        };

        if let Err(reason) = crate::telemetry::init_logging(demo.log_config()) {
            return report_usage_error(&anyhow::anyhow!(reason));
        }

        let bar = std::cell::RefCell::new(Some(ProgressBar::new(DAYS)));
        let mut show = |done, of| {
            bar.borrow_mut()
                .iter_mut()
                .for_each(|bar| bar.show_progress(done, of))
        };
        report_outcome(block_on_runtime(demo.run(&mut show, |told| {
            drop(bar.take());
            print_or_exit!("{told}");
        })))
    }
}
