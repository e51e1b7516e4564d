//! `footfall demo`: a collector filled with simulated visits to fictitious creators, for
//! evaluation.
//!
//! All data go through the collector. The visits are sent as real ones would be: hits over HTTP on
//! loopback, through the gate, the journal and the store, with a clock that is moved forward
//! ([`crate::config::TestConfig`]). If the collector's counts differ from the simulated ones, the
//! demo fails.

mod agents;
mod counts;
mod creator_profile;
mod creators;
mod folder;
mod random;
mod request;
mod schedule;
mod sender;
mod simulator;
mod traffic;
mod visit;
mod visitors;
mod vitals;

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use hyper::Method;

use crate::calendar::Millis;
use crate::clock::Clock;
use crate::config::{Config, ConfigSources, is_variable, load_config};
use creators::CREATORS;
use folder::DemoFolder;
use schedule::{DemoSite, HOUR, MINUTE, VisitSchedule};
use sender::RequestSender;
use simulator::VisitSimulator;
use visit::PageContext;
use visitors::CountryNetworks;

pub use counts::DemoSummary;

/// The length of a day in milliseconds.
const DAY_MILLIS: u64 = 24 * HOUR.as_millis().unsigned_abs();

const DEMO_CONFIG: &str = include_str!("../../config/demo.toml");

/// The options of a demo.
pub struct DemoOptions {
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

/// A demo that is ready to start and has locked its folder.
pub struct Demo {
    options: DemoOptions,
    config: Config,
    _folder: DemoFolder,
}

impl Demo {
    /// Reads the configuration and locks the folder, whose earlier data are deleted.
    ///
    /// # Errors
    ///
    /// An option or a variable is wrong, the folder is neither empty nor a demo's, or another demo
    /// is running in it. Data are deleted only once the options are valid and the folder is locked.
    pub fn new(options: DemoOptions) -> anyhow::Result<Demo> {
        let read = |path: &str| std::fs::read_to_string(path);
        let sources = |set: Vec<(String, String)>| {
            let taken = ["FOOTFALL__STORE__LIBRARY", "FOOTFALL__DATA__COUNTRIES"];
            let is_taken =
                |name: &OsStr| taken.iter().any(|taken| name == *taken) || !is_variable(name);
            let environment = options
                .environment
                .iter()
                .filter(|(name, _)| is_taken(name))
                .cloned();
            let listen = ("server.listen".to_owned(), options.listen.to_string());
            ConfigSources {
                file: Some(("config/demo.toml".into(), DEMO_CONFIG.into())),
                environment: environment.collect(),
                overrides: set.into_iter().chain([listen]).collect(),
                ..ConfigSources::default()
            }
        };
        // Errors of the command line must be reported before the folder is touched.
        load_config(sources(Vec::new()), read)?;
        // The pages of the demo have this address; see config/demo.toml.
        let named = options.listen.ip() == Ipv4Addr::LOCALHOST && options.listen.port() != 0;
        ensure!(
            named,
            "--listen must be 127.0.0.1 and a port, not {}",
            options.listen
        );

        let folder = DemoFolder::claim_folder(&options.dir)?;
        let config = load_config(sources(folder.dir_settings().collect()), read)?;
        Ok(Demo {
            options,
            config,
            _folder: folder,
        })
    }

    /// The configuration of the log.
    pub fn log_config(&self) -> &crate::config::LogConfig {
        &self.config.log
    }

    /// Serves until the process receives a signal to stop. `progress` receives milliseconds of
    /// simulated time, done and in total; `told` is called once the past has been simulated.
    ///
    /// # Errors
    ///
    /// The collector does not start or fails, a response is unexpected, or the counts of the
    /// collector differ from the simulated ones.
    pub async fn run(
        mut self,
        progress: &mut dyn FnMut(u64, u64),
        told: impl FnOnce(&DemoSummary),
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        let now = self.options.now.unwrap_or_else(|| Clock::System.now());
        let sites = self.build_sites(now)?;
        let days = sites[0].day_range();
        let from = sites
            .iter()
            .map(DemoSite::start_millis)
            .min()
            .unwrap_or(now)
            .div_euclid(HOUR.as_millis())
            * HOUR.as_millis();
        self.config.test.start_millis = from;
        let mut teller = self.build_simulator(sites)?;
        let still = self.options.now.is_some();
        // The creators' days start at different instants; progress is shown in the requested days.
        let all = u64::from(self.options.days) * DAY_MILLIS;
        let mut told_of =
            |done: u64, of: u64| progress((done as f64 / of as f64 * all as f64) as u64, all);

        let telling = async {
            teller.sender.wait_until_ready().await?;
            teller.simulate_past(from, now, &mut told_of).await?;
            teller.counts.ensure_metrics_match(
                &teller
                    .sender
                    .fetch_text(Method::GET, "/metrics", None)
                    .await?,
            )?;
            let (tally, origin) = (
                std::mem::take(&mut teller.counts),
                teller.sender.origin().to_owned(),
            );
            told(&DemoSummary {
                counts: tally,
                days,
                seconds: begun.elapsed().as_secs_f64(),
                origin,
            });
            if still {
                Ok(())
            } else {
                teller
                    .simulate_present((now / MINUTE.as_millis() + 1) * MINUTE.as_millis())
                    .await
            }
        };
        let mut nothing = |_, _| ();
        let serving = crate::server::run(self.config, &mut nothing);
        tokio::pin!(serving);
        tokio::select! {
            biased;
            ended = &mut serving => return ended,
            // The collector receives the signal as well and rejects further requests; that is not a
            // failure.
            _ = crate::server::wait_for_stop_signal() => {}
            failed = telling => failed?,
        }
        serving.await
    }

    fn build_simulator(&self, sites: Vec<DemoSite>) -> anyhow::Result<VisitSimulator> {
        let (config, seed) = (&self.config, self.options.seed);
        let sender = RequestSender::new(
            config.server.listen,
            &config.server.prefix,
            &config.consent.cookie.name,
        );
        let (version, tier) = (
            config.consent.version,
            config.consent.analytics_tier.clone(),
        );
        let sign = Box::new(crate::server::demo_grant_signer(config)?);
        let stage = PageContext {
            origin: sender.origin().to_owned(),
            version,
            tier,
            sign,
        };
        let places = CountryNetworks::find_networks(&crate::server::open_countries(config)?, seed);
        Ok(VisitSimulator::new(
            VisitSchedule {
                seed,
                context: stage,
                networks: places,
                sites,
            },
            sender,
        ))
    }

    /// The creators' sites, with the time zones of the configuration.
    fn build_sites(&self, now: Millis) -> anyhow::Result<Vec<DemoSite>> {
        let site = |creator: &creator_profile::CreatorProfile| {
            let rule = self.config.sites.iter().find(|rule| rule.id == creator.id);
            let zone = &rule
                .with_context(|| format!("config/demo.toml has no site {}", creator.id))?
                .zone;
            Ok(DemoSite::new(
                jiff::tz::TimeZone::get(zone)?,
                now,
                self.options.days,
            ))
        };
        CREATORS.iter().map(site).collect()
    }
}
