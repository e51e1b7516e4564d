//! A collector of its own for an attack, with a calendar: days are sent to it, ended and published.

use serde_json::Value;

use crate::support::{Answer, Body, Client, SITES, Server};

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;
/// Monday, 2026-02-02T00:00Z.
pub const FIRST: i64 = 1_769_990_400_000;
/// How long after its end a day or hour is published, and a little more.
pub const PUBLISHED_AFTER: i64 = 130_000;

/// Requests that are under way at once.
const LANES: usize = 48;

pub struct Stage {
    pub server: Server,
    lanes: Vec<Client>,
    asking: Client,
}

/// A request of a visitor.
pub struct Sent<'a> {
    pub body: &'a str,
    pub address: &'a str,
    pub agent: &'a str,
    pub language: &'a str,
}

/// The day so many days after the first, as the API spells it.
pub fn date(day: usize) -> String {
    let at = jiff::Timestamp::from_millisecond(FIRST + DAY * day as i64)
        .expect("a moment of this century");
    at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

pub fn range(from: usize, to: usize) -> String {
    format!("from={}&to={}&limit=1000", date(from), date(to))
}

impl Stage {
    /// Everybody counts who does not object, so that an attack need not hand out grants.
    pub fn start(settings: &[&str]) -> Stage {
        let settings: Vec<&str> = ["consent.basis=exempt_opt_out", "test.whole_lots=false"]
            .iter()
            .chain(settings)
            .copied()
            .collect();
        let server = Server::start_with(SITES, &settings);
        server.flush();
        let asking = server.client();
        Stage {
            server,
            lanes: Vec::new(),
            asking,
        }
    }

    /// Sends all of it at one moment.
    pub fn send(&mut self, now: i64, all: &[Sent<'_>]) {
        while self.lanes.len() < all.len().min(LANES) {
            self.lanes.push(self.server.client());
        }
        let now = now.to_string();
        for some in all.chunks(LANES) {
            for (sent, lane) in some.iter().zip(&mut self.lanes) {
                let fields = [
                    ("Host", "pages.example"),
                    ("Origin", "https://pages.example"),
                    ("User-Agent", sent.agent),
                    ("Accept-Language", sent.language),
                    ("X-Forwarded-For", sent.address),
                    ("X-Footfall-Now", &now),
                ];
                lane.send(
                    "POST",
                    "/ff/hit",
                    &fields,
                    Body::Sized(sent.body.as_bytes()),
                )
                .expect("a hit is sent");
            }
            for lane in &mut self.lanes[..some.len()] {
                assert_eq!(lane.receive().expect("a hit is answered").status, 202);
            }
        }
    }

    /// Publishes whatever is due at `now`.
    pub fn publish(&mut self, now: i64) {
        self.server.flush();
        let answer = self.ask(
            "POST",
            "/test/publish",
            &[("X-Footfall-Now", &now.to_string())],
            "",
        );
        assert_eq!(
            answer.status,
            200,
            "{}\n{}",
            answer.text(),
            self.server.log()
        );
    }

    /// Ends the day so many days after the first.
    pub fn end(&mut self, day: usize) {
        self.publish(FIRST + DAY * (day as i64 + 1) + PUBLISHED_AFTER);
    }

    pub fn ask(&mut self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let host = self.server.address().to_string();
        let fields: Vec<(&str, &str)> = [("Host", &*host)]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        self.asking
            .ask(method, path, &fields, Body::Sized(body.as_bytes()))
            .expect("an answer")
    }

    pub fn report(&mut self, site: &str, query: &str) -> Value {
        let answer = self.ask(
            "GET",
            &format!("/api/v1/sites/{site}/report?{query}"),
            &[],
            "",
        );
        assert_eq!(
            answer.status,
            200,
            "{query}: {}\n{}",
            answer.text(),
            self.server.log()
        );
        serde_json::from_slice(&answer.body).expect("a report is JSON")
    }
}

/// Visitors by value of one list of a report.
pub fn rows(report: &Value, dim: &str) -> Vec<(String, u64)> {
    let rows = report["dimensions"][dim]["rows"].as_array();
    let row = |row: &Value| {
        (
            row["value"].as_str().expect("a value").to_owned(),
            visitors(row),
        )
    };
    rows.into_iter().flatten().map(row).collect()
}

pub fn visitors(counts: &Value) -> u64 {
    counts["visitors"].as_u64().expect("a number of visitors")
}
