//! What strangers make segments of: paths as long as they may be, from many networks. Whatever they send, the counts of all sites go on to
//! the store.

use crate::support::{AGENT, Body, Client, DAY, NOON, SITES, Server, grant, hit, view};

/// Views in one body.
const VIEWS_OF_A_BODY: usize = 13;

/// A path of some 500 bytes, of words: what looks like an id would be cut.
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
        client.send("POST", "/ff/hit", &headers, Body::Sized(body.as_bytes())).unwrap();
        assert_eq!(client.receive().unwrap().status, 202);
    }
}

/// 12 000 of them, with an eighth of the engine's usual memory and of the usual bound.
#[test]
fn forged_views_of_long_paths_make_segments_that_the_store_can_take() {
    const FORGED_SITES: u32 = 12;
    const VIEWS: u32 = 1_000;
    let settings = [
        "store.query_memory_bytes=67108864",
        "journal.segment_bytes=4194304",
        "journal.segment_secs=3600",
        "limits.visitors_per_grant=1000000",
    ];
    let server = Server::start_with(SITES, &settings);
    let one = |site, n| format!(r#"{{"kind":"view","url":"https://pages.example{}"}}"#, long_path(site, n));
    let views: Vec<String> = (0..FORGED_SITES).flat_map(|site| (0..VIEWS).map(move |n| one(site, n))).collect();
    let bodies: Vec<String> = views.chunks(VIEWS_OF_A_BODY).map(|views| format!("[{}]", views.join(","))).collect();

    send_from_many_networks(&mut server.client(), &bodies);
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    server.flush();

    let hits = |site: &str| server.report(site, DAY)["totals"]["hits"].as_u64().unwrap();
    let stored: u64 = (0..FORGED_SITES).map(|site| hits(&format!("p{site:02}"))).sum();
    assert_eq!((stored, hits("mia")), (u64::from(FORGED_SITES * VIEWS), 1));
    let sent = server.metric("footfall_segments_inserted_total");
    assert!((2..=8).contains(&sent), "{sent} segments");
    assert_eq!(server.metric("footfall_segments_quarantined_total"), 0);
    assert_eq!(server.metric("footfall_insert_failures_total"), 0, "{}", server.log());
}

#[test]
fn a_stop_with_more_open_visits_than_a_segment_holds_writes_how_all_of_them_ended() {
    const OPEN_SITES: u32 = 3;
    const VISITS: u32 = 600;
    let settings = ["journal.segment_secs=3600", "journal.segment_rows=1000", "limits.visitors_per_grant=1000000"];
    let mut server = Server::start_with(SITES, &settings);
    let views: Vec<String> =
        (0..OPEN_SITES).flat_map(|site| (0..VISITS).map(move |n| view(&long_path(site, n)))).collect();
    send_from_many_networks(&mut server.client(), &views);
    assert_eq!(server.stop(), Some(0), "{}", server.log());

    server.restart();
    server.flush();
    for site in 0..OPEN_SITES {
        let totals = &server.report(&format!("p{site:02}"), DAY)["totals"];
        assert_eq!([&totals["visits"], &totals["bounces"]], [VISITS, VISITS], "{}", server.log());
    }
}
