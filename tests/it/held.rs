//! No visit log at rest: the attributes of a single visit are in no file, and none is lost by a
//! kill. Also which visitors attributes count.

use std::fs;
use std::path::PathBuf;

use crate::canary::{files, holds};
use crate::support::{DAY, Engine, NOON, SITES, Server, grant_of, hit, signed};

/// The first moment at which all rows of the tests' day may be published.
const DAY_OVER: i64 = NOON + 43_200_000 + 5_000;
const K: u64 = 5;

fn with_engine(settings: &[&str]) -> (tempfile::TempDir, Engine, Server) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(&dir.path().join("clickhouse"));
    let url = format!("store.url=\"{}\"", engine.url());
    // Counts that were collected leave at the next closing of a segment, not minutes later.
    let settings = [&[url.as_str(), "journal.attribute_secs=0"], settings].concat();
    let server = Server::start_with(SITES, &settings);
    (dir, engine, server)
}

/// A view by a visitor from a network of their own, with their own consent.
fn view_of(server: &Server, person: u8, at: i64, source: &str) {
    let body =
        format!(r#"{{"kind":"view","url":"https://pages.example/u/mia?utm_source={source}"}}"#);
    let (address, now, cookie) = (
        format!("10.1.{person}.7"),
        at.to_string(),
        grant_of(u128::from(person) + 1),
    );
    let own = [
        ("X-Forwarded-For", &*address),
        ("X-Footfall-Now", &*now),
        ("Cookie", &*cookie),
    ];
    assert_eq!(hit(&mut server.client(), &body, &own).status, 202);
}

/// `(visitors, visits, networks)` of a value, `%` for any, among the counts that wait to be
/// published.
fn cell(engine: &Engine, subject: &str, dim: &str, value: &str) -> (u64, u64, u64) {
    let sql = format!(
        "SELECT sum(visitors), sum(visits), sum(networks) FROM unpublished \
         WHERE site != 0 AND subject = '{subject}' AND dim = '{dim}' AND value LIKE '{value}' FORMAT TSV"
    );
    let numbers: Vec<u64> = engine
        .sql(&sql)
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    (numbers[0], numbers[1], numbers[2])
}

/// Sets the clock past the end of the day and has all its counts stored.
fn end_the_day(server: &Server) {
    let (host, now) = (server.address().to_string(), DAY_OVER.to_string());
    let headers = [("Host", host.as_str()), ("X-Footfall-Now", now.as_str())];
    assert_eq!(
        server
            .client()
            .ask("GET", "/healthz", &headers, crate::support::Body::None)
            .unwrap()
            .status,
        200
    );
    server.flush();
}

fn key_file(server: &Server) -> PathBuf {
    let collector = fs::read_to_string(server.dir().join("data/journal/collector")).unwrap();
    PathBuf::from(format!("/dev/shm/footfall-{}.key", collector.trim()))
}

/// P16: on a quiet collector, each visit was a segment and a part of its own, with all its
/// attributes beside the millisecond of a file.
#[test]
fn lone_visits_of_a_quiet_collector_are_in_no_file_until_there_are_enough_or_the_day_is_over() {
    const VISITS: u8 = 32;
    let (_dir, engine, server) = with_engine(&[]);
    let source = |person: u8| format!("canary{person:02}");
    for person in 0..VISITS {
        view_of(
            &server,
            person,
            NOON + i64::from(person) * 60_000,
            &source(person),
        );
        server.flush();

        // Totals are visible at once.
        assert_eq!(
            server.report("mia", DAY)["totals"]["visits"],
            u64::from(person) + 1
        );
        let parts = "SELECT min(visits) FROM (SELECT _part, site, segment, sum(visits) AS visits FROM unpublished \
                     WHERE site != 0 AND subject = 'site' AND dim = 'source' GROUP BY _part, site, segment) FORMAT TSV";
        let fewest: u64 = engine.sql(parts).trim().parse().unwrap();
        assert!(
            fewest == 0 && person < 4 || fewest >= K,
            "a part of {fewest} visits after visit {person}"
        );

        // Nor is it readable in a file: attributes that wait are encrypted.
        let waiting = (person + 1) % K as u8;
        let all = files(&server.dir().join("data"));
        assert!(
            all.iter()
                .any(|(path, _)| path.extension().is_some_and(|e| e == "open"))
        );
        for waits in person + 1 - waiting..=person {
            for (path, bytes) in &all {
                assert!(
                    !holds(bytes, source(waits).as_bytes()),
                    "{} tells of visit {waits}",
                    path.display()
                );
            }
        }
    }
    let released = u64::from(VISITS) / K * K;
    let all = "SELECT sum(visits) FROM unpublished WHERE site != 0 AND subject = 'site' AND dim = 'source' FORMAT TSV";
    assert_eq!(engine.sql(all).trim(), released.to_string());
    end_the_day(&server);
    assert_eq!(
        engine.sql(all).trim(),
        VISITS.to_string(),
        "the day is over: the last two come as well"
    );
}

/// The same while a segment is open: of the hit, the file contains its page but not its source.
#[test]
fn the_open_segment_holds_the_page_of_a_lone_visit_in_clear_and_its_source_and_country_not() {
    let server = Server::start_with(SITES, &["journal.segment_secs=3600"]);
    view_of(&server, 1, NOON, "canarysource");
    let all = files(&server.dir().join("data/journal"));
    let (_, open) = all
        .iter()
        .find(|(path, _)| path.extension().is_some_and(|e| e == "open"))
        .expect("an open segment");
    assert!(holds(open, b"/u/mia"), "the search works");
    for text in [
        "canarysource",
        "(unknown)",
        "Chrome",
        "desktop",
        "Linux",
        "UTC",
    ] {
        assert!(!holds(open, text.as_bytes()), "{text}");
    }
}

#[test]
fn a_killed_collector_finds_its_key_and_loses_no_attribute_and_without_it_only_attributes() {
    let (_dir, engine, mut server) = with_engine(&["journal.segment_secs=3600"]);
    (0..3).for_each(|person| view_of(&server, person, NOON, "letter"));
    assert!(key_file(&server).is_file());
    for _ in 0..3 {
        server.kill();
        server.restart();
    }
    view_of(&server, 3, NOON, "letter");
    server.kill();
    server.restart();
    end_the_day(&server);
    assert_eq!(cell(&engine, "site", "source", "letter"), (4, 4, 4));
    assert_eq!(server.metric("footfall_attribute_rows_lost_total"), 0);

    // A power cut: memory is lost, including the key.
    let later = DAY_OVER + 60_000;
    (10..13).for_each(|person| view_of(&server, person, later, "late"));
    server.kill();
    fs::remove_file(key_file(&server)).unwrap();
    server.restart();
    // Eight rows of the site and two of the page from each; some of them are equal.
    let lost = server.metric("footfall_attribute_rows_lost_total");
    assert!((10..=30).contains(&lost), "{lost}");
    assert!(
        server
            .log()
            .contains("attribute rows of segments that were not sealed are lost"),
        "{}",
        server.log()
    );
    server.flush();
    let next_day = "from=2026-03-11&to=2026-03-11";
    assert_eq!(server.report("mia", next_day)["totals"]["visits"], 3);
    assert_eq!(cell(&engine, "site", "source", "late"), (0, 0, 0));
    assert_eq!(server.stop(), Some(0));
    assert!(
        !key_file(&server).exists(),
        "a stop leaves nothing that is encrypted, and no key"
    );
}

#[test]
fn where_the_key_cannot_lie_in_memory_the_log_says_so_and_all_is_counted() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let key_dir = format!("journal.key_dir=\"{}\"", dir.path().display());
    let (_dir, engine, server) = with_engine(&[&key_dir]);
    assert!(server.log().contains("it is no tmpfs"), "{}", server.log());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    view_of(&server, 1, NOON, "letter");
    end_the_day(&server);
    assert_eq!(cell(&engine, "site", "source", "letter"), (1, 1, 1));
}

/// P6: four forged hits from one address, with user agents that differ in a digit, beside the
/// person who was sent the link.
#[test]
fn four_forged_visitors_of_one_address_beside_a_real_one_are_two_networks() {
    let (_dir, engine, server) = with_engine(&[]);
    let letter = r#"[{"kind":"view","url":"https://pages.example/u/mia?utm_campaign=alice"},
                     {"kind":"click","url":"https://pages.example/u/mia?utm_campaign=alice","name":"shop"}]"#;
    assert_eq!(
        hit(
            &mut server.client(),
            letter,
            &[("X-Forwarded-For", "198.51.100.7")]
        )
        .status,
        202
    );
    for digit in 0..4 {
        let agent = format!(
            "Mozilla/5.0 (X11; Linux x86_64; rv:13{digit}.0) Gecko/20100101 Firefox/13{digit}.0"
        );
        let forged = [("X-Forwarded-For", "203.0.113.9"), ("User-Agent", &agent)];
        assert_eq!(hit(&mut server.client(), letter, &forged).status, 202);
    }
    end_the_day(&server);
    assert_eq!(cell(&engine, "site", "campaign", "alice"), (5, 5, 2));
    assert_eq!(cell(&engine, "link", "campaign", "alice"), (5, 5, 2));
}

/// P17: a visitor who rejects the visit cookie is new with each view; in attributes they are one
/// visitor for each visit.
#[test]
fn six_views_without_the_visit_cookie_in_one_visit_are_one_visitor_of_a_country() {
    let (_dir, engine, server) = with_engine(&["preset=\"alllinks\""]);
    let grant = format!(
        "al_cookie_consent={}",
        signed(
            "alllinks",
            2,
            "preferences+analytics",
            &format!("{:032x}", 7)
        )
    );
    for page in [
        "/u/mia", "/u/mia/a", "/u/mia/a", "/u/mia/b", "/u/mia/b", "/u/mia/c",
    ] {
        let body = crate::support::view(page);
        assert_eq!(
            hit(&mut server.client(), &body, &[("Cookie", &grant)]).status,
            202
        );
    }
    end_the_day(&server);
    let totals = &server.report("mia", DAY)["totals"];
    assert_eq!([&totals["visitors"], &totals["visits"]], [6, 1]);
    assert_eq!(cell(&engine, "site", "country", "%"), (1, 1, 1));
    assert_eq!(cell(&engine, "site", "campaign", "(none)"), (1, 1, 1));
    assert_eq!(
        cell(&engine, "page", "country", "%"),
        (4, 4, 4),
        "one of each of four pages"
    );
}

#[test]
fn one_consent_that_fifty_visitors_show_makes_ten_of_them() {
    let server = Server::start_with(SITES, &["limits.visitors_per_grant=10"]);
    let copied = grant_of(1);
    for n in 0..50 {
        let address = format!("10.2.{n}.7");
        let more = [("X-Forwarded-For", &*address), ("Cookie", &*copied)];
        assert_eq!(
            hit(&mut server.client(), &crate::support::view("/u/mia"), &more).status,
            202
        );
    }
    assert_eq!(
        hit(
            &mut server.client(),
            &crate::support::view("/u/mia"),
            &[("Cookie", &grant_of(2))]
        )
        .status,
        202
    );
    server.flush();
    let totals = &server.report("mia", DAY)["totals"];
    assert_eq!(
        [&totals["hits"], &totals["visitors"], &totals["visits"]],
        [51, 11, 11]
    );
    assert_eq!(server.metric("footfall_over_limit_grants_total"), 40);
}
