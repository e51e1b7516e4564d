//! Classifies the client of a hit: browser, system, class of device, bot, app. Closed lists only;
//! no version, no model.
//!
//! Parsing a user agent costs about ten microseconds and few are in use at a time, so up to
//! [`MOST_KEPT`] results are cached. The cache key is a hash under a key of this process; user
//! agents are not kept. Client hints are applied to the cached result for each request.

mod bots;
mod browser;
pub(super) mod closed;
mod device;
mod hints;
mod names;

use std::thread;

use quick_cache::sync::Cache;
use serde::Deserialize;
use ua_parser::{os, user_agent};

pub use browser::Browser;
pub use device::{Device, Os};

use super::sources::{self, Listed};
use crate::event::{Agent, Hints};
use bots::Bots;

const MOST_KEPT: usize = 16_384;

/// The number of bytes of a user agent that are parsed. Real ones are far shorter; the bound limits
/// the cost of the expressions.
const MOST_READ: usize = 1024;

/// What is known about the client of a hit. Eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// The browser family, or the app for in-app browsers.
    pub browser: Browser,
    /// The operating system.
    pub os: Os,
    /// The class of device.
    pub device: Device,
    /// Whether it is a bot or another program.
    pub bot: bool,
    /// The app whose in-app browser shows the page.
    pub app: Option<Listed>,
}

/// The compiled rules, and a cache of their results.
pub struct Classifier {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
    bots: Bots,
    key: [u8; 32],
    known: Cache<[u8; 16], Client>,
}

#[derive(Deserialize)]
struct Expressions {
    user_agent_parsers: Vec<user_agent::Parser<'static>>,
    os_parsers: Vec<os::Parser<'static>>,
}

impl Classifier {
    /// Compiles the expressions, on three threads; done once, at the start. `key` is random and
    /// lives as long as the process.
    pub fn new(key: [u8; 32]) -> Classifier {
        const READ: &str = "agents.json is part of the binary and a test compiles it";
        let file: Expressions = serde_json::from_str(include_str!("../../../data/agents.json")).expect(READ);
        let (browsers, systems, bots) = thread::scope(|scope| {
            let systems =
                scope.spawn(|| os::Builder::new().push_all(file.os_parsers).expect(READ).build().expect(READ));
            let bots = scope.spawn(Bots::load);
            sources::list();
            let browsers =
                user_agent::Builder::new().push_all(file.user_agent_parsers).expect(READ).build().expect(READ);
            (browsers, systems.join().expect(READ), bots.join().expect(READ))
        });
        Classifier { browsers, systems, bots, key, known: Cache::new(MOST_KEPT) }
    }

    /// Patterns of the bot lists that are not used, because they match people.
    pub fn refused_patterns(&self) -> &[String] {
        self.bots.refused()
    }

    /// The client with this user agent and these hints. Thread-safe.
    pub fn classify(&self, agent: &Agent<'_>, hints: &Hints<'_>) -> Client {
        let text = agent.expose();
        let mut name = [0; 16];

        name.copy_from_slice(&blake3::keyed_hash(&self.key, text.as_bytes()).as_bytes()[..16]);
        let client = self.known.get(&name).unwrap_or_else(|| {
            let client = self.read(text);
            self.known.insert(name, client);
            client
        });

        told(client, hints)
    }

    fn read(&self, agent: &str) -> Client {
        let agent = &agent[..agent.floor_char_boundary(MOST_READ)];
        let app = sources::list().in_app(agent);
        let browser = app.map(Browser::of_app).or_else(|| Browser::of_token(agent));
        let browser = browser.unwrap_or_else(|| {
            self.browsers.extract(agent).map_or(Browser::Other, |found| Browser::of_family(&found.family))
        });
        let os = Os::of_token(agent)
            .unwrap_or_else(|| self.systems.extract(agent).map_or(Os::Other, |found| Os::of_family(&found.os, agent)));
        Client { browser, os, device: Device::of(os, agent), bot: self.bots.caught(agent), app }
    }
}

/// Applies the hints, which are accurate where user agents are frozen. In an in-app browser the
/// hints name the engine's brand, which says less than the app, so the app is kept.
fn told(client: Client, hints: &Hints<'_>) -> Client {
    if hints.brands.is_none() && hints.mobile.is_none() && hints.platform.is_none() {
        return client;
    }
    let told = hints::read(hints);
    let os = told.platform.map_or(client.os, |platform| client.os.refined(platform));
    Client {
        browser: told.browser.filter(|_| client.app.is_none()).unwrap_or(client.browser),
        os,
        device: client.device.refined(os, told.mobile),
        bot: client.bot || told.headless,
        app: client.app,
    }
}

#[cfg(test)]
mod tests;
