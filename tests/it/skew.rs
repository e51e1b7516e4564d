//! The system's clock is wrong: for a moment, or at a start. The real program, without a test
//! clock: what the system tells it is moved.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{Server, grant_of, hit, until, view};

const DAY_SECS: i64 = 86_400;

/// The library that moves the clock, and the file that says how far.
struct Skew {
    dir: tempfile::TempDir,
}

impl Skew {
    fn new() -> Skew {
        let skew = Skew {
            dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/skew/clock.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(skew.library())
            .arg(source)
            .status();
        assert!(
            built
                .expect("a C compiler, as the build needs one")
                .success()
        );
        skew.set(0);
        skew
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("clock.so")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ahead")
    }

    /// Whole or not at all: the program may read it at any moment.
    fn set(&self, secs: i64) {
        let beside = self.dir.path().join("beside");
        fs::write(&beside, secs.to_string()).unwrap();
        fs::rename(&beside, self.file()).unwrap();
    }

    fn start(&self) -> Server {
        let (library, file) = (
            self.library().display().to_string(),
            self.file().display().to_string(),
        );
        let sites = format!(
            "[[profiles]]\nhost = \"pages.example\"\npath = \"/u/{{profile}}\"\nzone = \"{}\"\n",
            zone_at_noon()
        );
        let settings = [
            "test.clock=false",
            "test.whole_lots=false",
            "journal.attribute_secs=0",
        ];
        let server = Server::start_in(
            &sites,
            &settings,
            &[("LD_PRELOAD", &library), ("SKEW_FILE", &file)],
        );
        until(|| has_store(&server), "the store is there");
        server
    }
}

/// A zone in which it is about noon now, so that no test meets the end of a day.
fn zone_at_noon() -> String {
    match 12
        - i64::from(
            jiff::Timestamp::now()
                .to_zoned(jiff::tz::TimeZone::UTC)
                .hour(),
        ) {
        0 => "UTC".into(),
        // The names say how far Greenwich is ahead.
        ahead if ahead > 0 => format!("Etc/GMT-{ahead}"),
        behind => format!("Etc/GMT+{}", -behind),
    }
}

/// A view by each of these people.
fn views(server: &Server, people: std::ops::Range<u32>) {
    for person in people {
        let (address, cookie) = (format!("198.51.{person}.7"), grant_of(u128::from(person)));
        let own = [
            ("X-Forwarded-For", address.as_str()),
            ("Cookie", cookie.as_str()),
        ];
        assert_eq!(hit(&mut server.client(), &view("/u/mia"), &own).status, 202);
    }
}

fn ask(server: &Server, path: &str) -> Value {
    let answer = server.client().get(path).unwrap();
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

fn has_store(server: &Server) -> bool {
    ask(server, "/api/v1/platform/health")["store_ready"] == true
}

/// (hits, visitors) of each day that counted any.
fn days(server: &Server) -> Vec<(u64, u64)> {
    let report = ask(server, "/api/v1/sites/mia/report?range=all&interval=day");
    let rows = report["series"].as_array().cloned().unwrap_or_default();
    let pair = |row: &Value| {
        (
            row["hits"].as_u64().unwrap(),
            row["visitors"].as_u64().unwrap(),
        )
    };
    rows.iter()
        .map(pair)
        .filter(|(hits, _)| *hits > 0)
        .collect()
}

/// The same of one day, whatever the server takes for today.
fn on(server: &Server, day: &str) -> (u64, u64) {
    let totals = ask(
        server,
        &format!("/api/v1/sites/mia/report?from={day}&to={day}"),
    )["totals"]
        .clone();
    (
        totals["hits"].as_u64().unwrap_or(0),
        totals["visitors"].as_u64().unwrap_or(0),
    )
}

fn today(server: &Server) -> Value {
    ask(server, "/api/v1/sites/mia/report?range=today")["totals"]["hits"].clone()
}

fn ahead(server: &Server) -> [i64; 2] {
    let health = ask(server, "/api/v1/platform/health")["clock_ahead_secs"]
        .as_i64()
        .unwrap();
    [server.metric("footfall_clock_ahead_seconds") as i64, health]
}

/// 1 594 of 1 908 hits after such a moment were counted on a day that had not come.
#[test]
fn a_clock_two_days_ahead_for_a_moment_changes_the_day_of_no_hit() {
    let skew = Skew::new();
    let server = skew.start();
    views(&server, 0..5);
    until(|| days(&server) == [(5, 5)], "the first hits are stored");

    skew.set(2 * DAY_SECS);
    let two_days = |secs: i64| (secs - 2 * DAY_SECS).abs() <= 3;
    until(
        || ahead(&server).into_iter().all(two_days),
        "the jump is seen, by the metric and by health",
    );
    // Known visitors again, and new ones.
    views(&server, 3..10);
    until(
        || days(&server) == [(12, 10)],
        "hits during the jump count on the day they belong to",
    );
    skew.set(0);
    until(|| ahead(&server) == [0, 0], "it is over");
    views(&server, 8..15);
    until(|| days(&server) == [(19, 15)], "and so do those after it");

    assert_eq!(today(&server), 19);
    let report = ask(&server, "/api/v1/sites/mia/report?range=today");
    assert_eq!(
        report["attributes"]["through"],
        Value::Null,
        "nothing is published on the word of such a clock"
    );
    for (metric, expected) in [
        ("footfall_publications_total", 0),
        ("footfall_segments_quarantined_total", 0),
        ("footfall_journal_full", 0),
    ] {
        assert_eq!(server.metric(metric), expected, "{metric}");
    }
    for said in [
        "the system's clock jumped",
        "the system's clock is right again",
    ] {
        assert_eq!(
            server.log().matches(said).count(),
            1,
            "{said}: {}",
            server.log()
        );
    }
}

/// A start at 800 days ahead dropped every month without a word.
#[test]
fn a_start_at_forty_and_at_eight_hundred_days_ahead_drops_and_publishes_nothing() {
    let skew = Skew::new();
    let mut server = skew.start();
    views(&server, 0..12);
    until(|| days(&server) == [(12, 12)], "the hits are stored");
    let day = ask(&server, "/api/v1/sites/mia/report?range=today")["from"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(server.stop(), Some(0), "{}", server.log());

    for (ahead, said) in [(40, 0), (800, 1)] {
        skew.set(ahead * DAY_SECS);
        server.restart();
        until(|| has_store(&server), "the store is there");
        let told = || {
            server
                .log()
                .matches("the clock is far ahead of what was counted")
                .count()
        };
        until(|| told() == said, "months are judged by what was counted");
        assert_eq!(
            on(&server, &day),
            (12, 12),
            "{ahead} days ahead: {}",
            server.log()
        );
        assert_eq!(
            (today(&server), server.metric("footfall_publications_total")),
            (0.into(), 0),
            "{ahead} days"
        );
        assert_eq!(server.stop(), Some(0), "{}", server.log());
    }

    skew.set(0);
    server.restart();
    views(&server, 10..15);
    until(
        || days(&server) == [(17, 17)],
        "the day goes on where it was; a restart knows nobody of before",
    );
    assert_eq!(today(&server), 17);
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
}
