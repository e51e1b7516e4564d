//! People as creators have them: most from one place, a few from many. What they are is known, so
//! that a guess can be checked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use footfall::event::Subject;
use serde_json::json;

use crate::people::{Dice, Registry};
use crate::values::{AGENTS, Agent};

/// All of a site. A new one that is missing here does not compile.
pub const DIMENSIONS: [&str; Subject::Site.dimensions().len()] = [
    "source", "campaign", "country", "device", "browser", "os", "language", "channel",
];
pub const NONE: &str = "(none)";

/// What one visitor is, in the order of [`DIMENSIONS`].
pub type Vector = [&'static str; DIMENSIONS.len()];

/// How somebody comes: the source it is counted as, the campaign, the referrer, the query; and how
/// often.
struct Way {
    source: &'static str,
    channel: &'static str,
    campaign: &'static str,
    referrer: &'static str,
    query: &'static str,
    weight: u64,
}

const fn way(
    source: &'static str,
    channel: &'static str,
    referrer: &'static str,
    weight: u64,
) -> Way {
    Way {
        source,
        channel,
        campaign: NONE,
        referrer,
        query: "",
        weight,
    }
}

const fn letter(campaign: &'static str, query: &'static str, weight: u64) -> Way {
    Way {
        source: "newsletter",
        channel: "mail",
        campaign,
        referrer: "",
        query,
        weight,
    }
}

/// The sources of the demo's potter (src/demo/creators.rs). Instagram's comes by the app's own browser.
const WAYS: [Way; 13] = [
    way("Instagram", "social", "", 340),
    way("(direct)", "direct", "", 230),
    way("Google", "search", "https://www.google.com/", 100),
    way("Pinterest", "social", "https://www.pinterest.com/", 100),
    letter("letters", "?utm_source=newsletter&utm_campaign=letters", 70),
    letter(
        "autumn-kiln",
        "?utm_source=newsletter&utm_campaign=autumn-kiln",
        20,
    ),
    way("Etsy", "referral", "https://www.etsy.com/", 30),
    way("TikTok", "social", "https://www.tiktok.com/", 30),
    way("DuckDuckGo", "search", "https://duckduckgo.com/", 20),
    way("Bluesky", "social", "https://bsky.app/", 10),
    way(
        "quiet-kitchen.example",
        "referral",
        "https://quiet-kitchen.example/",
        20,
    ),
    way(
        "north-weekly.example",
        "referral",
        "https://north-weekly.example/",
        20,
    ),
    way(
        "moss-letters.example",
        "referral",
        "https://moss-letters.example/",
        10,
    ),
];

/// Sources of each channel: what somebody knows who reads the list of sources.
pub const CHANNELS: [(&str, &[&str]); 5] = [
    ("social", &["Instagram", "Pinterest", "TikTok", "Bluesky"]),
    ("direct", &["(direct)"]),
    ("search", &["Google", "DuckDuckGo"]),
    ("mail", &["newsletter"]),
    (
        "referral",
        &[
            "Etsy",
            "quiet-kitchen.example",
            "north-weekly.example",
            "moss-letters.example",
        ],
    ),
];

/// Country, the language most there speak and what their browsers send, and how often.
const PLACES: [(&str, &str, &str, u64); 12] = [
    ("DE", "de", "de-DE,de;q=0.9,en;q=0.8", 46),
    ("AT", "de", "de-AT,de;q=0.9", 8),
    ("CH", "de", "de-CH,de;q=0.9,en;q=0.8", 7),
    ("GB", "en", "en-GB,en;q=0.9", 7),
    ("US", "en", "en-US,en;q=0.9", 7),
    ("NL", "nl", "nl-NL,nl;q=0.9,en;q=0.8", 5),
    ("FR", "fr", "fr-FR,fr;q=0.9,en;q=0.8", 5),
    ("DK", "da", "da-DK,da;q=0.9", 3),
    ("SE", "sv", "sv-SE,sv;q=0.9", 3),
    ("IT", "it", "it-IT,it;q=0.9", 3),
    ("JP", "ja", "ja,en-US;q=0.9", 3),
    ("PL", "pl", "pl-PL,pl;q=0.9", 3),
];

/// One in so many speaks English wherever they are.
const ENGLISH: u64 = 12;

/// What links the lists by the code of the collector, which is open: these systems are desktops,
/// all others are not.
pub const DESKTOPS: [&str; 4] = ["Windows", "macOS", "Linux", "ChromeOS"];

pub struct Person {
    pub address: String,
    pub agent: &'static Agent,
    pub language: &'static str,
    pub vector: Vector,
    referrer: &'static str,
    query: &'static str,
}

impl Person {
    /// A beacon of a view, click or event on the page at `path` of `pages.example`.
    pub fn beacon(&self, kind: &str, path: &str, name: Option<&str>) -> serde_json::Value {
        let mut beacon =
            json!({"kind": kind, "url": format!("https://pages.example{path}{}", self.query)});
        if !self.referrer.is_empty() {
            beacon["referrer"] = json!(self.referrer);
        }
        if let Some(name) = name {
            beacon["name"] = json!(name);
        }
        beacon
    }
}

/// Makes people. No two that were made since [`Crowd::new_day`] share a network, which is what an
/// attacker would wish for.
pub struct Crowd {
    networks: BTreeMap<&'static str, Vec<[u8; 3]>>,
    given: BTreeMap<&'static str, usize>,
}

impl Crowd {
    /// With networks enough for days of about `most` visitors.
    pub fn new(dice: &mut Dice, most: u64) -> Crowd {
        let registry = Registry::open();
        let all: u64 = PLACES.iter().map(|(.., weight)| weight).sum();
        let needed = |weight: u64| usize::try_from(weight * most * 3 / 2 / all + 20).expect("few");
        let mut networks: BTreeMap<&'static str, Vec<[u8; 3]>> = BTreeMap::new();
        let mut missing = PLACES.len();

        while missing > 0 {
            let [a, b, c, ..] = dice.roll().to_le_bytes();
            let country = registry.country(IpAddr::from([a, b, c, 1]));
            let Some((country, .., weight)) = PLACES.iter().find(|(known, ..)| *known == country)
            else {
                continue;
            };
            let found = networks.entry(country).or_default();
            if found.len() < needed(*weight) && !found.contains(&[a, b, c]) {
                found.push([a, b, c]);
                missing -= usize::from(found.len() == needed(*weight));
            }
        }
        Crowd {
            networks,
            given: BTreeMap::new(),
        }
    }

    /// The networks may be used again: a site and day of its own.
    pub fn new_day(&mut self) {
        self.given.clear();
    }

    pub fn person(&mut self, dice: &mut Dice) -> Person {
        let way = weighted(dice, &WAYS, |way| way.weight);
        let (country, spoken, header, _) = *weighted(dice, &PLACES, |(.., weight)| *weight);
        let english = dice.below(ENGLISH) == 0;
        let (spoken, header) = if english {
            ("en", "en-US,en;q=0.9")
        } else {
            (spoken, header)
        };
        let from_app = way.source == "Instagram";
        let agent = loop {
            let agent = dice.pick_front(&AGENTS);
            if agent.app.is_some() == from_app {
                break agent;
            }
        };
        Person {
            address: self.address(country, dice),
            agent,
            language: header,
            vector: [
                way.source,
                way.campaign,
                country,
                agent.device,
                agent.browser,
                agent.os,
                spoken,
                way.channel,
            ],
            referrer: way.referrer,
            query: way.query,
        }
    }

    fn address(&mut self, country: &'static str, dice: &mut Dice) -> String {
        let networks = &self.networks[country];
        let given = self.given.entry(country).or_default();
        let [a, b, c] = networks[*given % networks.len()];
        *given += 1;
        format!("{a}.{b}.{c}.{}", 1 + dice.below(254))
    }
}

fn weighted<'a, T>(dice: &mut Dice, all: &'a [T], weight: impl Fn(&T) -> u64) -> &'a T {
    let mut left = dice.below(all.iter().map(&weight).sum());
    let found = all.iter().find(|one| {
        let here = left < weight(one);
        left = left.saturating_sub(weight(one));
        here
    });
    found.expect("the number lies below the sum of the weights")
}

/// How many come where `mean` come on average and nobody knows of the others (Poisson).
pub fn count(dice: &mut Dice, mean: f64) -> usize {
    let unit = |dice: &mut Dice| (dice.roll() >> 11) as f64 / (1_u64 << 53) as f64;
    let (mut left, mut count) = (mean, 0);
    while left > 0.0 {
        // In parts: e to the power of a large mean is no number any more.
        let part = left.min(30.0);
        left -= part;
        let (limit, mut product) = ((-part).exp(), unit(dice));
        while product > limit {
            product *= unit(dice);
            count += 1;
        }
    }
    count
}
