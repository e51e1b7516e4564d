//! Visitors, repeated hits, visit cookies and openers, when hits of one visitor reach all
//! collectors.

use serde_json::{Value, json};

use super::{Cluster, address, totals};
use crate::canary::{files, holds};
use crate::consent::set_cookies;
use crate::mail::{PERSON, link, load, mail_settings, persons, pixel, report};
use crate::support::{ABSENT, AGENT, Client, NOON, Server, ask, grant_of, hit, until, view};

const COMPATIBLE: &str = r#"
[[compatible]]
sites = ["tom"]
accept = ["plausible", "umami", "goatcounter"]
basis = "declared"
declared = "The page loads the script only after its own consent platform said yes."
stored_refusals = "unseen"
token = "a token of tom's server"
"#;

#[test]
fn a_visitor_of_every_collector_is_one_and_a_hit_sent_to_each_is_one() {
    let cluster = Cluster::start(3, "", &["log.filter=\"trace\""]);
    const PEOPLE: usize = 200;
    let mut clients: Vec<Client> = cluster.servers.iter().map(Server::client).collect();
    let agent =
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 CANARYBROWSER";
    for person in 0..PEOPLE {
        let (address, cookie) = (address(person), grant_of(person as u128 + 7));
        let who = [
            ("X-Forwarded-For", address.as_str()),
            ("User-Agent", agent),
            ("Cookie", &cookie),
        ];
        for (place, client) in clients.iter_mut().enumerate() {
            let repeated = format!(
                r#"{{"kind":"view","url":"https://pages.example/u/mia/1","id":"deadbeefcafebabe{person:016x}"}}"#
            );
            assert_eq!(hit(client, &repeated, &who).status, 202);
            let own = view(&format!("/u/mia/{place}"));
            assert_eq!(hit(client, &own, &who).status, 202);
        }
    }
    cluster.flush();
    for server in &cluster.servers {
        // Before: 600 visitors, and 1200 hits.
        assert_eq!(totals(server, "mia"), (PEOPLE as u64, PEOPLE as u64 * 4));
        // Each counts a share: a hit of its own networks, and two thirds of them are passed on.
        let own = server.metric("footfall_visitors_in_memory");
        assert!((40..=95).contains(&own), "{own}");
    }
    assert_eq!(cluster.sum("footfall_visitors_in_memory"), PEOPLE as u64);
    let passed_on = cluster.sum("footfall_cluster_sent_calls_total");
    assert_eq!(passed_on, PEOPLE as u64 * 4);
    assert_eq!(
        cluster.sum("footfall_cluster_received_calls_total"),
        passed_on
    );
    assert_eq!(cluster.sum("footfall_hits_total"), PEOPLE as u64 * 6);

    // Nothing of a request that was passed on is written or logged, not even at level trace.
    for server in &cluster.servers {
        for (path, bytes) in files(server.dir()) {
            for needle in [
                "CANARYBROWSER",
                "20.0.77.7",
                "deadbeefcafebabe",
                "ff_consent=",
            ] {
                let found = holds(&bytes, needle.as_bytes());
                let is_config = path.ends_with("footfall.toml");
                assert!(is_config || !found, "{needle} is in {}", path.display());
            }
        }
    }
}

/// A body may name visitors of many networks, where a site's server sends it.
#[test]
fn hits_of_other_trackers_go_to_the_owner_of_the_visitor_they_name() {
    let cluster = Cluster::start(2, COMPATIBLE, &["visitor.mode=\"keyed_hash\""]);
    let server_of_tom = [
        ("X-Forwarded-Host", "collector.internal"),
        ("Origin", ABSENT),
        ("Cookie", ABSENT),
        ("User-Agent", "Mozilla/5.0 Umami/v22.4.0"),
        ("X-Forwarded-For", "203.0.113.5"),
        ("Authorization", "Bearer a token of tom's server"),
    ];
    let envelope = |person: usize| {
        json!({"type": "event", "payload": {
            "website": "x", "hostname": "pages.example", "url": "/u/tom", "ip": address(person),
            "userAgent": AGENT,
        }})
    };
    let batch: Vec<Value> = (0..20).map(envelope).collect();
    let batch = Value::from(batch).to_string();
    let wrong =
        json!([{"type": "wrong", "payload": {}}, envelope(3), {"type": "event"}]).to_string();
    for server in &cluster.servers {
        let mut client = server.client();
        let answer = ask(&mut client, "POST", "/api/batch", &batch, &server_of_tom);
        assert_eq!(
            (answer.status, answer.text().contains("\"size\":20")),
            (200, true)
        );
        let answer = ask(&mut client, "POST", "/api/batch", &wrong, &server_of_tom);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains("\"errors\":2"), "{}", answer.text());

        for person in 0..20 {
            let address = address(person);
            let who = [
                ("X-Forwarded-For", address.as_str()),
                ("User-Agent", AGENT),
                ("Cookie", ABSENT),
            ];
            let plausible = r#"{"n":"pageview","u":"https://pages.example/u/tom","d":"x"}"#;
            assert_eq!(
                ask(&mut client, "POST", "/api/event", plausible, &who).status,
                202
            );
            let event = ask(&mut client, "GET", "/u/tom/ff/count?p=/u/tom&e=", "", &who);
            assert_eq!(event.status, 200, "{}", event.text());
        }
    }
    cluster.flush();
    // Twice 20 envelopes, one more beside unreadable ones, and two hits of each browser.
    assert_eq!(totals(&cluster.servers[0], "tom"), (20, 2 * (20 + 1 + 40)));
    // Each browser's hits at one of the two, each batch of many in one call, one of person 3.
    let passed_on = cluster.sum("footfall_cluster_sent_calls_total");
    assert_eq!(passed_on, 2 * 20 + 2 + 1);
}

/// A sender repeats what is answered 503, so a body of which a part was counted is not.
#[test]
fn a_body_that_only_some_owners_could_count_is_not_to_be_sent_again() {
    const JOURNAL_BYTES: u64 = 8 << 20;
    let room = format!("journal.max_bytes={JOURNAL_BYTES}");
    let cluster = Cluster::start(2, COMPATIBLE, &["visitor.mode=\"keyed_hash\"", &room]);
    let server_of_tom = [
        ("X-Forwarded-Host", "collector.internal"),
        ("Origin", ABSENT),
        ("Cookie", ABSENT),
        ("User-Agent", "Mozilla/5.0 Umami/v22.4.0"),
        ("X-Forwarded-For", "203.0.113.5"),
        ("Authorization", "Bearer a token of tom's server"),
    ];
    let envelope = |person: usize| {
        json!({"type": "event", "payload": {
            "website": "x", "hostname": "pages.example", "url": "/u/tom", "ip": address(person),
            "userAgent": AGENT,
        }})
    };
    let batch: Vec<Value> = (0..20).map(envelope).collect();
    let batch = Value::from(batch).to_string();
    let send = |server: &Server| {
        ask(
            &mut server.client(),
            "POST",
            "/api/batch",
            &batch,
            &server_of_tom,
        )
    };
    let full = &cluster.servers[0];
    let ballast = std::fs::File::create(full.dir().join("data/journal/ballast")).unwrap();
    ballast.set_len(JOURNAL_BYTES).unwrap();
    until(
        || full.metric("footfall_journal_full") == 1,
        "the journal is full",
    );

    for server in &cluster.servers {
        let answer = send(server);
        assert_eq!(answer.status, 500, "{}", answer.text());
        assert!(
            answer.text().contains("unknown_outcome"),
            "{}",
            answer.text()
        );
    }
    cluster.servers[1].flush();
    let (visitors, hits) = totals(&cluster.servers[1], "tom");
    assert!(0 < visitors && visitors < 20, "{visitors}");
    assert_eq!(hits, 2 * visitors);
}

#[test]
fn the_visit_cookie_is_set_by_the_owner_and_reaches_the_browser() {
    let cluster = Cluster::start(2, "", &["visitor.mode=\"flag_cookie\""]);
    for person in 0..20 {
        let (address, cookie) = (address(person), grant_of(person as u128 + 7));
        let with_visit = format!("{cookie}; ff_visit=1");
        for (server, cookie, sets) in [
            (&cluster.servers[0], &cookie, true),
            (&cluster.servers[1], &with_visit, false),
        ] {
            let who = [("X-Forwarded-For", address.as_str()), ("Cookie", cookie)];
            let answer = hit(&mut server.client(), &view("/u/mia"), &who);
            let set = answer.header("Set-Cookie").unwrap_or("");
            assert_eq!(answer.status, 202);
            assert_eq!(set.starts_with("ff_visit=1; "), sets, "{set}");
            assert_eq!(set.ends_with("; Path=/u/mia"), sets, "{set}");
        }
    }
    cluster.flush();
    assert_eq!(totals(&cluster.servers[0], "mia"), (20, 40));
}

#[test]
fn the_visit_cookies_of_several_sites_reach_the_browser_from_any_collector() {
    let cluster = Cluster::start(2, "", &["visitor.mode=\"flag_cookie\""]);
    let body = format!("[{0},{1},{0},{1}]", view("/u/mia"), view("/u/tom"));
    for person in 0..20 {
        let (address, cookie) = (address(person), grant_of(person as u128 + 7));
        let who = [("X-Forwarded-For", address.as_str()), ("Cookie", &cookie)];
        let answer = hit(&mut cluster.servers[0].client(), &body, &who);

        let paths: Vec<_> = set_cookies(&answer)
            .into_iter()
            .map(|cookie| cookie.rsplit_once("; Path=").unwrap().1)
            .collect();
        assert_eq!((answer.status, paths), (202, vec!["/u/mia", "/u/tom"]));
    }
    cluster.flush();
    for site in ["mia", "tom"] {
        assert_eq!(totals(&cluster.servers[0], site), (20, 40), "{site}");
    }
}

#[test]
fn an_opener_who_reaches_both_collectors_is_one_and_every_link_works() {
    let settings = mail_settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let cluster = Cluster::start(2, "", &settings);
    let (pixel, target) = (pixel(), "https://elsewhere.example/page");
    let link = link("go", target);
    for (place, server) in cluster.servers.iter().enumerate() {
        let later = 60_000 * (place as i64 + 1);
        // The owner's clock counts.
        cluster.advance(NOON + later);
        for person in persons(0..20) {
            let mut client = server.client();
            let answer = load(&mut client, &pixel, (&person, PERSON), later, &[]);
            assert_eq!((answer.status, answer.body.len()), (200, 43));
            let answer = load(&mut client, &link, (&person, PERSON), later, &[]);
            assert_eq!(
                (answer.status, answer.header("Location")),
                (302, Some(target))
            );
        }
    }
    // Clicks are held for a while; each collector counts its own.
    drop(report(&cluster.servers[1]));
    let row = report(&cluster.servers[0])["templates"][0].clone();
    assert_eq!(
        (
            &row["opens"]["direct"],
            &row["openers"],
            &row["clicks"]["direct"]
        ),
        (&json!(40), &json!(20), &json!(40)),
        "{row}"
    );
    assert_eq!(cluster.sum("footfall_cluster_sent_calls_total"), 40);
}
