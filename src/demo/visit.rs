//! One visit, from the first page to the last hit.

use std::sync::Arc;

use serde_json::json;

use super::creator_profile::{CreatorProfile, ProfilePage, TrafficSource};
use super::random::SeededRandom;
use super::request::{
    RequestPurpose, SimulatedHit, SimulatedHitKind, SimulatedRequest, VisitStart,
};
use super::visitors::{SimulatedVisitor, VisitorChoice};
use super::vitals::measure_vitals;
use crate::calendar::Millis;
use crate::event::DropReason;

/// The instants at which requests of past visits are sent, in milliseconds from the start of the
/// visit. Each instant costs a sync of the journal, so there are only these. Other instants are
/// rounded up or down at random, so that the average length of visits is preserved.
const STEP_MILLIS: [f64; 4] = [0.0, 15_000.0, 60_000.0, 240_000.0];
const MAX_VISIT_MILLIS: f64 = STEP_MILLIS[STEP_MILLIS.len() - 1];

const MAX_PAGES: usize = 7;
const WITHDRAW_PROBABILITY: f64 = 0.05;
/// The probability of another click after returning from a link that leads away.
const RETURN_FROM_LINK_PROBABILITY: f64 = 0.22;
/// The share of views whose browser reports metrics; pages that are closed at once report none.
const VITALS_SHARE: f64 = 0.4;
const SCRIPT_FAULT_PROBABILITY: f64 = 0.004;
const DEAD_LINK_PROBABILITY: f64 = 0.006;
const YEN_PER_EURO: f64 = 165.0;

/// The origin of the pages and the parameters of their consent prompt.
pub(super) struct PageContext {
    /// Scheme, host and port.
    pub(super) origin: String,
    pub(super) version: u32,
    pub(super) tier: String,
    /// Creates the consent cookie of a visitor who consented earlier, from a consent id.
    pub(super) sign: Box<dyn Fn(&str) -> String + Send + Sync>,
}

pub(super) struct PlannedVisit<'a> {
    pub(super) context: &'a PageContext,
    pub(super) creator: &'a CreatorProfile,
    pub(super) creator_index: usize,
    pub(super) visitor: Arc<SimulatedVisitor>,
    pub(super) source: TrafficSource,
    pub(super) landing: usize,
    pub(super) visit_start: VisitStart,
    /// Use exact instants instead of [`STEP_MILLIS`].
    pub(super) is_exact: bool,
}

/// A visit in progress.
struct VisitScript<'a> {
    visit: &'a PlannedVisit<'a>,
    random: &'a mut SeededRandom,
    /// The same for the whole visit, so that requests stay in order.
    rounding: f64,
    /// Milliseconds since the start of the visit.
    elapsed_millis: f64,
    visit_start: VisitStart,
    requests: Vec<(Millis, SimulatedRequest)>,
}

impl PlannedVisit<'_> {
    /// Its requests in order, with milliseconds since the start of the visit.
    pub(super) fn build_requests(
        &self,
        random: &mut SeededRandom,
    ) -> Vec<(Millis, SimulatedRequest)> {
        let rounding = random.next_unit();
        let mut script = VisitScript {
            visit: self,
            random,
            rounding,
            elapsed_millis: 0.0,
            visit_start: self.visit_start,
            requests: Vec::new(),
        };
        script.play_visit();
        script.requests.sort_by_key(|(at, _)| *at);
        script.requests
    }

    fn page_url(&self, page: &ProfilePage) -> String {
        let host = match self.visitor.choice {
            VisitorChoice::Dropped(DropReason::UnknownSite) => "http://copied.example",
            _ => &self.context.origin,
        };
        format!("{host}/u/{}{}", self.creator.id, page.path)
    }

    fn choice_body(&self, act: &str) -> String {
        let path = format!("/u/{}", self.creator.id);
        let mut choice = json!({"version": self.context.version, "act": act, "lang": "en", "layer": "first", "path": path});
        if act == "grant" {
            choice["tiers"] = json!({ &self.context.tier: true });
        }
        choice.to_string()
    }
}

impl VisitScript<'_> {
    fn play_visit(&mut self) {
        match self.visit.visitor.choice {
            VisitorChoice::RefusesNow => return self.push_choice(RequestPurpose::Refuse, "refuse"),
            VisitorChoice::Dropped(_) => return self.view_uncounted(),
            VisitorChoice::ConsentsNow => self.push_choice(RequestPurpose::Grant, "grant"),
            VisitorChoice::ConsentedBefore => {}
        }

        if self.random.random_bool(DEAD_LINK_PROBABILITY) {
            self.report_dead_link();
        }

        let (mut page, mut query) = (self.visit.landing, self.utm_query());
        let mut referrer = self.pick_referrer();
        for _ in 0..MAX_PAGES {
            let url = self.visit.page_url(&self.visit.creator.pages[page]) + &query;
            let Some(next) = self.view_page(page, &url, referrer.as_deref()) else {
                break;
            };
            (page, query, referrer) = (next, String::new(), Some(url));
        }

        if self.visit.visitor.choice == VisitorChoice::ConsentsNow
            && self.random.random_bool(WITHDRAW_PROBABILITY)
        {
            self.push_choice(RequestPurpose::Withdraw, "withdraw");
        }
    }

    /// One page: viewed, used, left. Returns the page that follows.
    fn view_page(&mut self, number: usize, url: &str, referrer: Option<&str>) -> Option<usize> {
        let page = &self.visit.creator.pages[number];
        let (came, reading) = (
            self.elapsed_millis,
            self.random
                .log_normal(page.reading_secs, 0.8)
                .clamp(1.0, 900.0)
                * 1000.0,
        );
        self.push_hits(
            0.0,
            &[SimulatedHit {
                kind: SimulatedHitKind::View,
                url,
                referrer,
                ..SimulatedHit::default()
            }],
        );

        if self.random.random_bool(SCRIPT_FAULT_PROBABILITY) {
            let broken = SimulatedHit {
                kind: SimulatedHitKind::Fault,
                fault: Some("script"),
                name: Some("TypeError"),
                url,
                ..SimulatedHit::default()
            };
            self.push_hits(
                400.0,
                &[SimulatedHit {
                    source: Some("/assets/embed.js"),
                    line: Some(88),
                    ..broken
                }],
            );
        }

        let (mut next, mut touched) = (None, self.send_page_events(page, url, reading));
        while let Some(link) = self.pick_link(page) {
            touched = true;
            let after = self.random.log_normal(6500.0, 0.75).min(reading);
            let engaged = Some(after as u32);
            self.push_hits(
                after,
                &[SimulatedHit {
                    kind: SimulatedHitKind::Click,
                    name: Some(page.links[link].id),
                    engaged,
                    url,
                    ..SimulatedHit::default()
                }],
            );
            next = page.links[link].target_page;
            if next.is_some() || !self.random.random_bool(RETURN_FROM_LINK_PROBABILITY) {
                break;
            }
        }

        self.leave_page(page, url, reading, touched);
        self.elapsed_millis = came + reading;
        next
    }

    /// Sends the page's own events. Returns whether one of them was an action of the visitor.
    fn send_page_events(&mut self, page: &ProfilePage, url: &str, reading: f64) -> bool {
        let mut touched = false;
        for event in page.events {
            if !self.random.random_bool(event.probability) {
                continue;
            }
            touched |= !event.passive;
            let yen = self.visit.visitor.country == "JP";
            let amount = event
                .median_euros
                .map(|worth| self.random.log_normal(worth, 0.5));
            let value = amount.map(|euros| {
                if yen {
                    (euros * YEN_PER_EURO / 10.0).round() * 10.0
                } else {
                    (euros * 100.0).round() / 100.0
                }
            });
            let currency = value.map(|_| if yen { "JPY" } else { "EUR" });
            let passive = event.passive.then_some(true);
            let after = reading * self.random.next_unit();
            self.push_hits(
                after,
                &[SimulatedHit {
                    kind: SimulatedHitKind::Event,
                    name: Some(event.name),
                    value,
                    currency,
                    passive,
                    url,
                    ..SimulatedHit::default()
                }],
            );
        }
        touched
    }

    fn pick_link(&mut self, page: &ProfilePage) -> Option<usize> {
        let mut left = self.random.next_unit();
        page.links.iter().position(|link| {
            left -= link.click_probability;
            left < 0.0
        })
    }

    fn leave_page(&mut self, page: &ProfilePage, url: &str, reading: f64, touched: bool) {
        let mut last = vec![SimulatedHit {
            kind: SimulatedHitKind::Leave,
            engaged: Some(reading as u32),
            url,
            ..SimulatedHit::default()
        }];
        if self.random.random_bool(VITALS_SHARE) {
            for (metric, value) in measure_vitals(
                self.visit.visitor.agent,
                page.load_factor,
                touched,
                self.random,
            ) {
                let (metric, value) = (Some(metric), Some(value));
                last.push(SimulatedHit {
                    kind: SimulatedHitKind::Vital,
                    metric,
                    value,
                    url,
                    ..SimulatedHit::default()
                });
            }
        }
        self.push_hits(reading, &last);
    }

    /// The requests of a page whose visitor must not be counted. A bot sends no `Leave`.
    fn view_uncounted(&mut self) {
        let url = self
            .visit
            .page_url(&self.visit.creator.pages[self.visit.landing])
            + &self.utm_query();
        let referrer = self.pick_referrer();
        self.push_hits(
            0.0,
            &[SimulatedHit {
                kind: SimulatedHitKind::View,
                url: &url,
                referrer: referrer.as_deref(),
                ..SimulatedHit::default()
            }],
        );
        if self.visit.visitor.choice != VisitorChoice::Dropped(DropReason::NotAView) {
            let reading = self.random.log_normal(9000.0, 0.8).min(MAX_VISIT_MILLIS);
            self.push_hits(
                reading,
                &[SimulatedHit {
                    kind: SimulatedHitKind::Leave,
                    engaged: Some(reading as u32),
                    url: &url,
                    ..SimulatedHit::default()
                }],
            );
        }
    }

    /// Reports a missing page before the visitor finds the right one.
    fn report_dead_link(&mut self) {
        let url = format!(
            "{}/u/{}/spring-2024",
            self.visit.context.origin, self.visit.creator.id
        );
        self.push_hits(
            0.0,
            &[SimulatedHit {
                kind: SimulatedHitKind::Fault,
                fault: Some("not_found"),
                url: &url,
                ..SimulatedHit::default()
            }],
        );
    }

    fn utm_query(&self) -> String {
        match self.visit.source {
            TrafficSource::UtmTagged(query) => format!("?{query}"),
            _ => String::new(),
        }
    }

    fn pick_referrer(&mut self) -> Option<String> {
        const FIRST: [&str; 10] = [
            "quiet", "north", "paper", "harbour", "slow", "little", "moss", "blue", "late",
            "garden",
        ];
        const SECOND: [&str; 6] = ["notes", "kitchen", "review", "letters", "shelf", "weekly"];
        match self.visit.source {
            TrafficSource::Referrer(url) => Some(url.to_owned()),
            TrafficSource::RandomWebsite => {
                let words = (
                    FIRST[self.random.random_index(FIRST.len())],
                    SECOND[self.random.random_index(SECOND.len())],
                );
                Some(format!("https://{}-{}.example/", words.0, words.1))
            }
            TrafficSource::Direct
            | TrafficSource::InAppBrowser(_)
            | TrafficSource::UtmTagged(_) => None,
        }
    }

    fn push_hits(&mut self, after: f64, beacons: &[SimulatedHit<'_>]) {
        let holds = beacons.iter().map(|beacon| beacon.kind).collect();
        let mut id = || format!("{:016x}", self.random.next_u64());
        let beacons = beacons.iter().map(|beacon| SimulatedHit {
            id: id(),
            ..*beacon
        });
        let body: Vec<String> = beacons
            .map(|beacon| serde_json::to_string(&beacon).expect("a beacon is JSON"))
            .collect();
        self.push_request(after, RequestPurpose::Hit, body.join(","), holds);
    }

    fn push_choice(&mut self, act: RequestPurpose, word: &str) {
        self.push_request(0.0, act, self.visit.choice_body(word), Vec::new());
    }

    fn push_request(
        &mut self,
        after: f64,
        act: RequestPurpose,
        body: String,
        holds: Vec<SimulatedHitKind>,
    ) {
        let counted = matches!(
            self.visit.visitor.choice,
            VisitorChoice::ConsentedBefore | VisitorChoice::ConsentsNow
        );
        let begins = if counted && holds.contains(&SimulatedHitKind::View) {
            std::mem::take(&mut self.visit_start)
        } else {
            VisitStart::NotFirst
        };
        let at = self.request_millis(self.elapsed_millis + after);
        let (person, creator) = (Arc::clone(&self.visit.visitor), self.visit.creator_index);
        self.requests.push((
            at,
            SimulatedRequest {
                visitor: person,
                creator_index: creator,
                purpose: act,
                body,
                hit_kinds: holds,
                visit_start: begins,
            },
        ));
    }

    fn request_millis(&self, at: f64) -> Millis {
        let at = at.min(MAX_VISIT_MILLIS);
        let at = if self.visit.is_exact {
            at
        } else {
            round_to_step(at, self.rounding)
        };
        at as Millis
    }
}

/// Rounds to one of the two neighbouring steps. Over all values of `rounding` from 0 to 1, the mean
/// is `at`.
fn round_to_step(at: f64, rounding: f64) -> f64 {
    let above = STEP_MILLIS
        .iter()
        .position(|step| *step > at)
        .unwrap_or(STEP_MILLIS.len() - 1);
    let (low, high) = (STEP_MILLIS[above - 1], STEP_MILLIS[above]);
    if (at - low) / (high - low) > rounding {
        high
    } else {
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_right_on_average_and_keep_the_order() {
        let all = || (0..1000).map(|n| f64::from(n) / 1000.0);
        for at in [
            0.0,
            1.0,
            7_400.0,
            15_000.0,
            22_000.0,
            100_000.0,
            239_000.0,
            MAX_VISIT_MILLIS,
        ] {
            let mean = all()
                .map(|rounding| round_to_step(at, rounding))
                .sum::<f64>()
                / 1000.0;
            assert!((mean - at).abs() <= 180.0, "{at}: {mean}");
            assert!(all().all(|rounding| round_to_step(at, rounding)
                <= round_to_step((at + 900.0).min(MAX_VISIT_MILLIS), rounding)));
        }
    }
}
