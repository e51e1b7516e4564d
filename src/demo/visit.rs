//! One visit, from the first page to the last hit.

use std::sync::Arc;

use serde_json::json;

use super::beacon::{Act, Beacon, Begins, Kind, Request};
use super::creator::{Creator, Page, Source};
use super::people::{Person, Said};
use super::random::Random;
use super::speed::measured;
use crate::event::{Millis, Refusal};

/// The instants at which requests of past visits are sent, in milliseconds from the start of the
/// visit. Each instant costs a sync of the journal, so there are only these. Other instants are
/// rounded up or down at random, so that the average length of visits is preserved.
const STEPS: [f64; 4] = [0.0, 15_000.0, 60_000.0, 240_000.0];
const LONGEST: f64 = STEPS[STEPS.len() - 1];

const MOST_PAGES: usize = 7;
const WITHDRAWS: f64 = 0.05;
/// The probability of another click after returning from a link that leads away.
const COMES_BACK: f64 = 0.22;
/// The share of views whose browser reports metrics; pages that are closed at once report none.
const MEASURES: f64 = 0.4;
const SCRIPT_FAILS: f64 = 0.004;
const LINK_IS_DEAD: f64 = 0.006;
const YEN: f64 = 165.0;

/// Where the pages are, and what their consent prompt asks.
pub(super) struct Stage {
    /// Scheme, host and port.
    pub(super) origin: String,
    pub(super) version: u32,
    pub(super) tier: String,
    /// Creates the consent cookie of a visitor who consented earlier, from a consent id.
    pub(super) sign: Box<dyn Fn(&str) -> String + Send + Sync>,
}

pub(super) struct Visit<'a> {
    pub(super) stage: &'a Stage,
    pub(super) creator: &'a Creator,
    pub(super) number: usize,
    pub(super) person: Arc<Person>,
    pub(super) source: Source,
    pub(super) landing: usize,
    pub(super) begins: Begins,
    /// Use exact instants, rather than `STEPS`.
    pub(super) exact: bool,
}

/// A visit in progress.
struct Script<'a> {
    visit: &'a Visit<'a>,
    random: &'a mut Random,
    /// The same for the whole visit, so that requests stay in order.
    rounding: f64,
    /// Milliseconds since the start of the visit.
    now: f64,
    begins: Begins,
    requests: Vec<(Millis, Request)>,
}

impl Visit<'_> {
    /// Its requests in order, with milliseconds since the start of the visit.
    pub(super) fn requests(&self, random: &mut Random) -> Vec<(Millis, Request)> {
        let rounding = random.unit();
        let mut script = Script { visit: self, random, rounding, now: 0.0, begins: self.begins, requests: Vec::new() };
        script.play();
        script.requests.sort_by_key(|(at, _)| *at);
        script.requests
    }

    fn url(&self, page: &Page) -> String {
        let host = match self.person.said {
            Said::Refused(Refusal::UnknownSite) => "http://copied.example",
            _ => &self.stage.origin,
        };
        format!("{host}/u/{}{}", self.creator.id, page.path)
    }

    fn choice(&self, act: &str) -> String {
        let path = format!("/u/{}", self.creator.id);
        let mut choice =
            json!({"version": self.stage.version, "act": act, "lang": "en", "layer": "first", "path": path});
        if act == "grant" {
            choice["tiers"] = json!({ &self.stage.tier: true });
        }
        choice.to_string()
    }
}

impl Script<'_> {
    fn play(&mut self) {
        match self.visit.person.said {
            Said::NoNow => return self.choose(Act::Refuse, "refuse"),
            Said::Refused(_) => return self.glance(),
            Said::YesNow => self.choose(Act::Grant, "grant"),
            Said::Yes => {}
        }

        if self.random.chance(LINK_IS_DEAD) {
            self.dead_link();
        }

        let (mut page, mut query) = (self.visit.landing, self.query());
        let mut referrer = self.referrer();
        for _ in 0..MOST_PAGES {
            let url = self.visit.url(&self.visit.creator.pages[page]) + &query;
            let Some(next) = self.look(page, &url, referrer.as_deref()) else { break };
            (page, query, referrer) = (next, String::new(), Some(url));
        }

        if self.visit.person.said == Said::YesNow && self.random.chance(WITHDRAWS) {
            self.choose(Act::Withdraw, "withdraw");
        }
    }

    /// One page: viewed, used, left. Returns the page that follows.
    fn look(&mut self, number: usize, url: &str, referrer: Option<&str>) -> Option<usize> {
        let page = &self.visit.creator.pages[number];
        let (came, reading) = (self.now, self.random.around(page.reading, 0.8).clamp(1.0, 900.0) * 1000.0);
        self.send(0.0, &[Beacon { kind: Kind::View, url, referrer, ..Beacon::default() }]);

        if self.random.chance(SCRIPT_FAILS) {
            let broken =
                Beacon { kind: Kind::Fault, fault: Some("script"), name: Some("TypeError"), url, ..Beacon::default() };
            self.send(400.0, &[Beacon { source: Some("/assets/embed.js"), line: Some(88), ..broken }]);
        }

        let (mut next, mut touched) = (None, self.happen(page, url, reading));
        while let Some(link) = self.follow(page) {
            touched = true;
            let after = self.random.around(6500.0, 0.75).min(reading);
            let engaged = Some(after as u32);
            self.send(
                after,
                &[Beacon { kind: Kind::Click, name: Some(page.links[link].id), engaged, url, ..Beacon::default() }],
            );
            next = page.links[link].to;
            if next.is_some() || !self.random.chance(COMES_BACK) {
                break;
            }
        }

        self.leave(page, url, reading, touched);
        self.now = came + reading;
        next
    }

    /// The page's own events. Returns whether the visitor did something for one of them.
    fn happen(&mut self, page: &Page, url: &str, reading: f64) -> bool {
        let mut touched = false;
        for event in page.events {
            if !self.random.chance(event.likely) {
                continue;
            }
            touched |= !event.passive;
            let yen = self.visit.person.country == "JP";
            let amount = event.worth.map(|worth| self.random.around(worth, 0.5));
            let value = amount
                .map(|euros| if yen { (euros * YEN / 10.0).round() * 10.0 } else { (euros * 100.0).round() / 100.0 });
            let currency = value.map(|_| if yen { "JPY" } else { "EUR" });
            let passive = event.passive.then_some(true);
            let after = reading * self.random.unit();
            self.send(
                after,
                &[Beacon {
                    kind: Kind::Event,
                    name: Some(event.name),
                    value,
                    currency,
                    passive,
                    url,
                    ..Beacon::default()
                }],
            );
        }
        touched
    }

    fn follow(&mut self, page: &Page) -> Option<usize> {
        let mut left = self.random.unit();
        page.links.iter().position(|link| {
            left -= link.pull;
            left < 0.0
        })
    }

    fn leave(&mut self, page: &Page, url: &str, reading: f64, touched: bool) {
        let mut last = vec![Beacon { kind: Kind::Leave, engaged: Some(reading as u32), url, ..Beacon::default() }];
        if self.random.chance(MEASURES) {
            for (metric, value) in measured(self.visit.person.agent, page.weight, touched, self.random) {
                let (metric, value) = (Some(metric), Some(value));
                last.push(Beacon { kind: Kind::Vital, metric, value, url, ..Beacon::default() });
            }
        }
        self.send(reading, &last);
    }

    /// The requests of a page whose visitor must not be counted. A bot does not send a `Leave`.
    fn glance(&mut self) {
        let url = self.visit.url(&self.visit.creator.pages[self.visit.landing]) + &self.query();
        let referrer = self.referrer();
        self.send(0.0, &[Beacon { kind: Kind::View, url: &url, referrer: referrer.as_deref(), ..Beacon::default() }]);
        if self.visit.person.said != Said::Refused(Refusal::NotAView) {
            let reading = self.random.around(9000.0, 0.8).min(LONGEST);
            self.send(
                reading,
                &[Beacon { kind: Kind::Leave, engaged: Some(reading as u32), url: &url, ..Beacon::default() }],
            );
        }
    }

    /// Reports a missing page before the visitor finds the right one.
    fn dead_link(&mut self) {
        let url = format!("{}/u/{}/spring-2024", self.visit.stage.origin, self.visit.creator.id);
        self.send(0.0, &[Beacon { kind: Kind::Fault, fault: Some("not_found"), url: &url, ..Beacon::default() }]);
    }

    fn query(&self) -> String {
        match self.visit.source {
            Source::Tagged(query) => format!("?{query}"),
            _ => String::new(),
        }
    }

    fn referrer(&mut self) -> Option<String> {
        const FIRST: [&str; 10] =
            ["quiet", "north", "paper", "harbour", "slow", "little", "moss", "blue", "late", "garden"];
        const SECOND: [&str; 6] = ["notes", "kitchen", "review", "letters", "shelf", "weekly"];
        match self.visit.source {
            Source::From(url) => Some(url.to_owned()),
            Source::Somewhere => {
                let words = (FIRST[self.random.below(FIRST.len())], SECOND[self.random.below(SECOND.len())]);
                Some(format!("https://{}-{}.example/", words.0, words.1))
            }
            Source::Direct | Source::App(_) | Source::Tagged(_) => None,
        }
    }

    fn send(&mut self, after: f64, beacons: &[Beacon<'_>]) {
        let holds = beacons.iter().map(|beacon| beacon.kind).collect();
        let mut id = || format!("{:016x}", self.random.next());
        let beacons = beacons.iter().map(|beacon| Beacon { id: id(), ..*beacon });
        let body: Vec<String> =
            beacons.map(|beacon| serde_json::to_string(&beacon).expect("a beacon is JSON")).collect();
        self.push(after, Act::Hit, body.join(","), holds);
    }

    fn choose(&mut self, act: Act, word: &str) {
        self.push(0.0, act, self.visit.choice(word), Vec::new());
    }

    fn push(&mut self, after: f64, act: Act, body: String, holds: Vec<Kind>) {
        let counted = matches!(self.visit.person.said, Said::Yes | Said::YesNow);
        let begins =
            if counted && holds.contains(&Kind::View) { std::mem::take(&mut self.begins) } else { Begins::Nothing };
        let at = self.step(self.now + after);
        let (person, creator) = (Arc::clone(&self.visit.person), self.visit.number);
        self.requests.push((at, Request { person, creator, act, body, holds, begins }));
    }

    fn step(&self, at: f64) -> Millis {
        let at = at.min(LONGEST);
        let at = if self.visit.exact { at } else { rounded(at, self.rounding) };
        at as Millis
    }
}

/// Rounds to one of the two neighbouring steps. Over all values of `rounding` from 0 to 1, the mean
/// is `at`.
fn rounded(at: f64, rounding: f64) -> f64 {
    let above = STEPS.iter().position(|step| *step > at).unwrap_or(STEPS.len() - 1);
    let (low, high) = (STEPS[above - 1], STEPS[above]);
    if (at - low) / (high - low) > rounding { high } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_right_on_average_and_keep_the_order() {
        let all = || (0..1000).map(|n| f64::from(n) / 1000.0);
        for at in [0.0, 1.0, 7_400.0, 15_000.0, 22_000.0, 100_000.0, 239_000.0, LONGEST] {
            let mean = all().map(|rounding| rounded(at, rounding)).sum::<f64>() / 1000.0;
            assert!((mean - at).abs() <= 180.0, "{at}: {mean}");
            assert!(all().all(|rounding| rounded(at, rounding) <= rounded((at + 900.0).min(LONGEST), rounding)));
        }
    }
}
