//! Classifies the client of a hit: browser, system, class of device, bot, app. Closed lists only;
//! no version, no model.
//!
//! Parsing a user agent costs about ten microseconds and few are in use at a time, so up to
//! [`MAX_CACHED_AGENTS`] results are cached. The cache key is a hash under a key of this process;
//! user agents are not kept. Client hints are applied to the cached result for each request.

mod agent_patterns;
mod bots;
mod browser;
mod device;
mod hints;

use std::thread;

use quick_cache::sync::Cache;
use serde::Deserialize;
use ua_parser::{os, user_agent};

pub use browser::Browser;
pub use device::{Device, Os};

use super::sources::{self, ListedSource};
use crate::event::{ClientHints, UserAgent};
use bots::BotDetector;

const MAX_CACHED_AGENTS: usize = 16_384;

/// The number of bytes of a user agent that are parsed. Real ones are far shorter; the bound limits
/// the cost of the expressions.
const MAX_AGENT_BYTES: usize = 1024;

/// What is known about the client of a hit. Eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientClass {
    /// The browser family, or the app for in-app browsers.
    pub browser: Browser,
    /// The operating system.
    pub os: Os,
    /// The class of device.
    pub device: Device,
    /// Whether it is a bot or another program.
    pub bot: bool,
    /// The app whose in-app browser shows the page.
    pub app: Option<ListedSource>,
}

/// The compiled rules, and a cache of their results.
pub struct AgentClassifier {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
    bots: BotDetector,
    key: [u8; 32],
    cache: Cache<[u8; 16], ClientClass>,
}

#[derive(Deserialize)]
struct AgentExpressions {
    user_agent_parsers: Vec<user_agent::Parser<'static>>,
    os_parsers: Vec<os::Parser<'static>>,
}

impl AgentClassifier {
    /// Compiles the expressions, on three threads; done once, at the start. `key` is random and
    /// lives as long as the process.
    pub fn new(key: [u8; 32]) -> AgentClassifier {
        const DATA_COMPILES: &str = "agents.json is part of the binary and a test compiles it";
        let file: AgentExpressions =
            serde_json::from_str(include_str!("../../../data/agents.json")).expect(DATA_COMPILES);
        let (browsers, systems, bots) = thread::scope(|scope| {
            let systems = scope.spawn(|| {
                os::Builder::new()
                    .push_all(file.os_parsers)
                    .expect(DATA_COMPILES)
                    .build()
                    .expect(DATA_COMPILES)
            });
            let bots = scope.spawn(BotDetector::load_lists);
            sources::source_list();
            let browsers = user_agent::Builder::new()
                .push_all(file.user_agent_parsers)
                .expect(DATA_COMPILES)
                .build()
                .expect(DATA_COMPILES);
            (
                browsers,
                systems.join().expect(DATA_COMPILES),
                bots.join().expect(DATA_COMPILES),
            )
        });
        AgentClassifier {
            browsers,
            systems,
            bots,
            key,
            cache: Cache::new(MAX_CACHED_AGENTS),
        }
    }

    /// Patterns of the bot lists that are not used, because they match people.
    pub fn rejected_patterns(&self) -> &[String] {
        self.bots.rejected_patterns()
    }

    /// The client with this user agent and these hints. Thread-safe.
    pub fn classify(&self, agent: &UserAgent<'_>, hints: &ClientHints<'_>) -> ClientClass {
        let text = agent.expose();
        let mut name = [0; 16];

        name.copy_from_slice(&blake3::keyed_hash(&self.key, text.as_bytes()).as_bytes()[..16]);
        let client = self.cache.get(&name).unwrap_or_else(|| {
            let client = self.parse_agent(text);
            self.cache.insert(name, client);
            client
        });

        apply_hints(client, hints)
    }

    fn parse_agent(&self, agent: &str) -> ClientClass {
        let agent = &agent[..agent.floor_char_boundary(MAX_AGENT_BYTES)];
        let app = sources::source_list().find_by_agent(agent);
        let browser = app
            .map(Browser::from_app)
            .or_else(|| Browser::from_token(agent));
        let browser = browser.unwrap_or_else(|| {
            self.browsers
                .extract(agent)
                .map_or(Browser::Other, |found| Browser::from_family(&found.family))
        });
        let os = Os::from_token(agent).unwrap_or_else(|| {
            self.systems
                .extract(agent)
                .map_or(Os::Other, |found| Os::from_family(&found.os, agent))
        });
        ClientClass {
            browser,
            os,
            device: Device::from_os(os, agent),
            bot: self.bots.is_bot(agent),
            app,
        }
    }
}

/// Applies the hints, which are accurate where user agents are frozen. In an in-app browser the
/// hints name the engine's brand, which is less specific than the app, so the app is kept.
fn apply_hints(client: ClientClass, hints: &ClientHints<'_>) -> ClientClass {
    if hints.brands.is_none() && hints.mobile.is_none() && hints.platform.is_none() {
        return client;
    }
    let told = hints::parse_hints(hints);
    let os = told.platform.map_or(client.os, |platform| {
        client.os.refined_by_platform(platform)
    });
    ClientClass {
        browser: told
            .browser
            .filter(|_| client.app.is_none())
            .unwrap_or(client.browser),
        os,
        device: client.device.refined_by_mobile(os, told.mobile),
        bot: client.bot || told.headless,
        app: client.app,
    }
}

#[cfg(test)]
mod tests;
