//! Segments of forged hits, with paths of maximal length from many networks, do not stop the counts
//! of all sites from reaching the store.

use std::fs;

use crate::support::{
    AGENT, Body, Client, DAY, Engine, NOON, SITES, Server, grant, hit, until, view,
};

/// Views in one body.
const VIEWS_OF_A_BODY: usize = 13;

/// A path of about 500 bytes, made of words, because parts that look like ids would be cut.
fn long_path(site: u32, view: u32) -> String {
    format!("/u/p{site:02}/{view:05}-{}", "abcdefgh-".repeat(53))
}

/// Sends bodies one after the other, each from a network of its own.
fn send_from_many_networks(client: &mut Client, bodies: &[String]) {
    let (cookie, now) = (grant(), NOON.to_string());
    for (network, body) in bodies.iter().enumerate() {
        let address = format!("10.{}.{}.9", network / 250, network % 250);
        let headers = [
            ("Host", "pages.example"),
            ("User-Agent", AGENT),
            ("X-Forwarded-For", address.as_str()),
            ("Cookie", cookie.as_str()),
            ("X-Footfall-Now", now.as_str()),
        ];
        client
            .send("POST", "/ff/hit", &headers, Body::Sized(body.as_bytes()))
            .unwrap();
        assert_eq!(client.receive().unwrap().status, 202);
    }
}

/// 12 000 of them, with an eighth of the engine's usual memory. The limit of a segment is an eighth
/// of the usual one too, or practically absent.
fn forged_views_are_stored(segment_bytes: &str, segments: std::ops::RangeInclusive<u64>) -> Server {
    const FORGED_SITES: u32 = 12;
    const VIEWS: u32 = 1_000;
    let settings = [
        "store.query_memory_bytes=67108864",
        "journal.segment_secs=3600",
        "limits.visitors_per_grant=1000000",
        segment_bytes,
        "limits.memory_bytes=8589934592",
    ];
    let server = Server::start_with(SITES, &settings);
    let one = |site, n| {
        format!(
            r#"{{"kind":"view","url":"https://pages.example{}"}}"#,
            long_path(site, n)
        )
    };
    let views: Vec<String> = (0..FORGED_SITES)
        .flat_map(|site| (0..VIEWS).map(move |n| one(site, n)))
        .collect();
    let bodies: Vec<String> = views
        .chunks(VIEWS_OF_A_BODY)
        .map(|views| format!("[{}]", views.join(",")))
        .collect();

    send_from_many_networks(&mut server.client(), &bodies);
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    server.flush();

    let hits = |site: &str| server.report(site, DAY)["totals"]["hits"].as_u64().unwrap();
    let stored: u64 = (0..FORGED_SITES)
        .map(|site| hits(&format!("p{site:02}")))
        .sum();
    assert_eq!((stored, hits("mia")), (u64::from(FORGED_SITES * VIEWS), 1));
    let sent = server.metric("footfall_segments_inserted_total");
    assert!(segments.contains(&sent), "{sent} segments");
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
    assert_eq!(
        server.metric("footfall_insert_failures_total"),
        0,
        "{}",
        server.log()
    );
    server
}

#[test]
fn forged_views_of_long_paths_make_segments_that_the_store_can_take() {
    let server = forged_views_are_stored("journal.segment_bytes=4194304", 2..=8);
    assert!(!server.log().contains("sent in halves"), "{}", server.log());
}

#[test]
fn a_segment_that_is_too_large_for_the_store_is_sent_in_halves() {
    let server = forged_views_are_stored("journal.segment_bytes=100000000", 1..=2);
    assert!(server.log().contains("sent in halves"), "{}", server.log());
}

#[test]
fn a_stop_with_more_open_visits_than_a_segment_holds_writes_how_all_of_them_ended() {
    const OPEN_SITES: u32 = 3;
    const VISITS: u32 = 600;
    let settings = [
        "journal.segment_secs=3600",
        "journal.segment_rows=1000",
        "limits.visitors_per_grant=1000000",
    ];
    let mut server = Server::start_with(SITES, &settings);
    let views: Vec<String> = (0..OPEN_SITES)
        .flat_map(|site| (0..VISITS).map(move |n| view(&long_path(site, n))))
        .collect();
    send_from_many_networks(&mut server.client(), &views);
    assert_eq!(server.stop(), Some(0), "{}", server.log());

    server.restart();
    server.flush();
    for site in 0..OPEN_SITES {
        let totals = &server.report(&format!("p{site:02}"), DAY)["totals"];
        assert_eq!(
            [&totals["visits"], &totals["bounces"]],
            [VISITS, VISITS],
            "{}",
            server.log()
        );
    }
}

#[test]
fn a_segment_that_the_store_refuses_is_set_aside_and_those_behind_it_are_sent() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(&dir.path().join("clickhouse"));
    let url = format!("store.url=\"{}\"", engine.url());
    let mut server = Server::start_with(SITES, &[&url, "journal.segment_secs=1"]);
    server.flush();
    engine.sql("RENAME TABLE vitals TO vitals_away");
    let vital =
        r#"{"kind":"vital","url":"https://pages.example/u/mia","metric":"LCP","value":900}"#;
    assert_eq!(
        hit(
            &mut server.client(),
            &format!("[{vital},{}]", view("/u/mia")),
            &[]
        )
        .status,
        202
    );
    until(
        || server.metric("footfall_segments_waiting") == 1,
        "the segment of the measurement is sealed",
    );

    // Without another segment it cannot be decided whether the segment or the store is the cause.
    until(
        || server.metric("footfall_insert_failures_total") >= 5,
        "it is tried again",
    );
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
    assert_eq!(hit(&mut server.client(), &view("/u/tom"), &[]).status, 202);
    until(
        || server.metric("footfall_segments_quarantined_total") == 1,
        "it is set aside",
    );
    server.flush();
    assert_eq!(server.report("tom", DAY)["totals"]["hits"], 1);
    let health: serde_json::Value = {
        let answer = server.client().get("/api/v1/platform/health").unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    };
    assert_eq!(health["flush"]["quarantined"], 1);

    // When it is put back, the missing blocks are added and nothing twice.
    engine.sql("RENAME TABLE vitals_away TO vitals");
    assert_eq!(server.stop(), Some(0));
    let journal = server.dir().join("data/journal");
    for kept in fs::read_dir(journal.join("quarantine")).unwrap().flatten() {
        fs::rename(kept.path(), journal.join(kept.file_name())).unwrap();
    }
    server.restart();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
    let measured = engine.sql("SELECT sum(hits) FROM vitals WHERE metric = 'LCP' FORMAT TSV");
    assert_eq!(measured.trim(), "1");
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
}
