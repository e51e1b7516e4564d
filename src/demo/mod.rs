//! `footfall demo`: a collector filled with simulated visits to fictitious creators, for
//! evaluation.
//!
//! No data bypass the collector. The visits are sent as real ones would be: hits over HTTP on
//! loopback, through the gate, the journal and the store, with a clock that is moved forward
//! ([`crate::config::Test`]). If the collector's counts differ from what was sent, the demo fails.

mod agents;
mod beacon;
mod cast;
mod creator;
mod folder;
mod people;
mod plan;
mod random;
mod rhythm;
mod sender;
mod speed;
mod tally;
mod tell;
mod visit;

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use hyper::Method;

use crate::clock::Clock;
use crate::config::{Config, Sources, is_variable, load};
use crate::event::Millis;
use cast::CREATORS;
use folder::Folder;
use people::Places;
use plan::{HOUR, MINUTE, Plan, Site};
use sender::Sender;
use tell::Teller;
use visit::Stage;

pub use tally::Told;

/// The length of a day in milliseconds.
const DAY: u64 = 24 * HOUR.unsigned_abs();

const CONFIG: &str = include_str!("../../config/demo.toml");

/// The options of a demo.
pub struct Options {
    /// The demo's own folder. It must be empty or left by an earlier demo.
    pub dir: PathBuf,
    /// Where the collector listens. Must be 127.0.0.1 with a port other than 0.
    pub listen: SocketAddr,
    /// The number of days to simulate, including the last one; at least 1.
    pub days: u16,
    /// The seed of the random numbers. The same seed, days and time give the same visits.
    pub seed: u64,
    /// The end of the simulation, at which the clock stops; `None` for the present, with a running
    /// clock. Milliseconds since the Unix epoch.
    pub now: Option<Millis>,
    /// The environment. Only the paths of the engine and of the country file are used, because a
    /// demo must not reach a real store. Misspelt names are errors.
    pub environment: Vec<(OsString, OsString)>,
}

/// A demo that is ready to start and holds its folder.
pub struct Demo {
    options: Options,
    config: Config,
    _folder: Folder,
}

impl Demo {
    /// Reads the configuration and takes the folder, whose earlier data are deleted.
    ///
    /// # Errors
    ///
    /// An option or a variable is wrong, the folder is neither empty nor a demo's, or another demo
    /// is running in it. Data are deleted only once the options are valid and the folder is locked.
    pub fn new(options: Options) -> anyhow::Result<Demo> {
        let read = |path: &str| std::fs::read_to_string(path);
        let sources = |set: Vec<(String, String)>| {
            let taken = ["FOOTFALL__STORE__LIBRARY", "FOOTFALL__DATA__COUNTRIES"];
            let is_taken = |name: &OsStr| taken.iter().any(|taken| name == *taken) || !is_variable(name);
            let environment = options.environment.iter().filter(|(name, _)| is_taken(name)).cloned();
            let listen = ("server.listen".to_owned(), options.listen.to_string());
            Sources {
                file: Some(("config/demo.toml".into(), CONFIG.into())),
                environment: environment.collect(),
                set: set.into_iter().chain([listen]).collect(),
                ..Sources::default()
            }
        };
        // Errors of the command line must be reported before the folder is touched.
        load(sources(Vec::new()), read)?;
        // The pages of the demo have this address; see config/demo.toml.
        let named = options.listen.ip() == Ipv4Addr::LOCALHOST && options.listen.port() != 0;
        ensure!(named, "--listen must be 127.0.0.1 and a port, not {}", options.listen);

        let folder = Folder::claim(&options.dir)?;
        let config = load(sources(folder.settings().collect()), read)?;
        Ok(Demo { options, config, _folder: folder })
    }

    /// The configuration of the log.
    pub fn log(&self) -> &crate::config::Log {
        &self.config.log
    }

    /// Serves until the process receives a signal to stop. `progress` receives milliseconds of
    /// simulated time, done and in total; `told` is called once the past has been simulated.
    ///
    /// # Errors
    ///
    /// The collector does not start or fails, a request is not answered as expected, or the counts
    /// of the collector differ from what was sent.
    pub async fn run(mut self, progress: &mut dyn FnMut(u64, u64), told: impl FnOnce(&Told)) -> anyhow::Result<()> {
        let begun = Instant::now();
        let now = self.options.now.unwrap_or_else(|| Clock::System.now());
        let sites = self.sites(now)?;
        let days = sites[0].days();
        let from = sites.iter().map(Site::begin).min().unwrap_or(now).div_euclid(HOUR) * HOUR;
        self.config.test.start_millis = from;
        let mut teller = self.teller(sites)?;
        let still = self.options.now.is_some();
        // The creators' days start at different instants; progress is shown in the days that were
        // asked for.
        let all = u64::from(self.options.days) * DAY;
        let mut told_of = |done: u64, of: u64| progress((done as f64 / of as f64 * all as f64) as u64, all);

        let telling = async {
            teller.sender.wait().await?;
            teller.past(from, now, &mut told_of).await?;
            teller.tally.must_agree(&teller.sender.ask(Method::GET, "/metrics", None).await?)?;
            let (tally, origin) = (std::mem::take(&mut teller.tally), teller.sender.origin().to_owned());
            told(&Told { tally, days, seconds: begun.elapsed().as_secs_f64(), origin });
            if still { Ok(()) } else { teller.present((now / MINUTE + 1) * MINUTE).await }
        };
        let mut nothing = |_, _| ();
        let serving = crate::server::run(self.config, &mut nothing);
        tokio::pin!(serving);
        tokio::select! {
            biased;
            ended = &mut serving => return ended,
            // The collector receives the signal as well and rejects further requests; that is not a
            // failure.
            _ = crate::server::signal() => {}
            failed = telling => failed?,
        }
        serving.await
    }

    fn teller(&self, sites: Vec<Site>) -> anyhow::Result<Teller> {
        let (config, seed) = (&self.config, self.options.seed);
        let sender = Sender::new(config.server.listen, &config.server.prefix, &config.consent.cookie.name);
        let (version, tier) = (config.consent.version, config.consent.analytics_tier.clone());
        let sign = Box::new(crate::server::signer(config)?);
        let stage = Stage { origin: sender.origin().to_owned(), version, tier, sign };
        let places = Places::find(&crate::server::countries(config)?, seed);
        Ok(Teller::new(Plan { seed, stage, places, sites }, sender))
    }

    /// The creators' sites, with the time zones of the configuration.
    fn sites(&self, now: Millis) -> anyhow::Result<Vec<Site>> {
        let site = |creator: &creator::Creator| {
            let rule = self.config.sites.iter().find(|rule| rule.id == creator.id);
            let zone = &rule.with_context(|| format!("config/demo.toml has no site {}", creator.id))?.zone;
            Ok(Site::new(jiff::tz::TimeZone::get(zone)?, now, self.options.days))
        };
        CREATORS.iter().map(site).collect()
    }
}
