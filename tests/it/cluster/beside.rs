//! What one collector is told holds at all of them before it is answered.

use std::ops::Range;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Cluster, address, wait_for_collectors};
use crate::access::{Caller, SECRET, claims, hand_over, sign};
use crate::consent::{ACCEPT, WITHDRAW, ask, choose, cookie, ledger};
use crate::support::{AGENT, DAY, Server, hit, until, view, wait_for_state};

/// A platform that hands creators over, and a registry that is not polled.
fn start() -> Cluster {
    start_with(&[])
}

fn start_with(more: &[&str]) -> Cluster {
    let key = format!("platform.token_key=\"{SECRET}\"");
    let (folder, process) = (env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let session_keys = format!("access.key_file=\"{folder}/cluster-{process}.keys\"");
    let settings = [
        "platform.token_algorithm=HS256",
        "registry.refresh_secs=300",
        &key,
        &session_keys,
    ];
    let cluster = Cluster::start(2, "", &[&settings, more].concat());
    // A change needs the store at each of them, and a session what was signed out there: until that
    // is read, a wrong token is answered 503.
    cluster.flush();
    let wrong = Caller::bearer("ff_0123456789012345678901234567890123456789abc");
    for server in &cluster.servers {
        let status = || wrong.ask(server, "GET", "/api/v1/sites", "").status;
        until(|| status() == 401, "the registry is read");
    }
    cluster
}

fn register(server: &Server, site: &str, host: &str) {
    let body = json!({"hosts": [host], "zone": "UTC"}).to_string();
    let path = format!("/api/v1/sites/{site}");
    let answer = Caller::default().ask(server, "PUT", &path, &body);
    assert_eq!(answer.status, 204, "{}\n{}", answer.text(), server.log());
}

/// Views of 20 people on this host.
fn visit_host(server: &Server, host: &str) {
    let (origin, url) = (format!("https://{host}"), format!("https://{host}/"));
    let body = json!({"kind": "view", "url": url}).to_string();
    let mut client = server.client();
    for person in 0..20 {
        let address = address(person);
        let who = [
            ("Host", host),
            ("Origin", origin.as_str()),
            ("X-Forwarded-For", address.as_str()),
        ];
        assert_eq!(hit(&mut client, &body, &who).status, 202);
    }
}

fn of_site(server: &Server, site: &str, what: &str) -> Value {
    Caller::default().json(server, "GET", &format!("/api/v1/sites/{site}/{what}"), "")
}

#[test]
fn sites_tokens_and_live_numbers_are_those_of_the_cluster() {
    let cluster = start();
    let (here, there) = (&cluster.servers[0], &cluster.servers[1]);
    register(here, "mia", "mia.example");
    visit_host(there, "mia.example");
    register(there, "tom", "tom.example");
    visit_host(here, "tom.example");
    assert_eq!(
        cluster.drops("unknown_site"),
        0,
        "a host counts from the answer on"
    );
    for server in &cluster.servers {
        for site in ["mia", "tom"] {
            assert_eq!(of_site(server, site, "live")["visitors"], 20);
        }
    }
    cluster.flush();
    for site in ["mia", "tom"] {
        let totals = of_site(here, site, &format!("report?{DAY}"))["totals"].clone();
        assert_eq!(
            (&totals["hits"], &totals["visitors"]),
            (&json!(20), &json!(20))
        );
    }
    let removed = Caller::default().ask(here, "DELETE", "/api/v1/sites/mia", "");
    assert_eq!(removed.status, 204);
    visit_host(there, "mia.example");
    assert_eq!(cluster.drops("unknown_site"), 20);

    let order = json!({"name": "x", "scopes": ["read"], "site": "tom", "expires": null});
    let made = Caller::default().json(here, "POST", "/api/v1/tokens", &order.to_string());
    let (id, text) = (
        made["id"].as_str().unwrap(),
        made["token"].as_str().unwrap(),
    );
    let reads = |server: &Server| {
        let caller = Caller::bearer(text);
        caller
            .ask(server, "GET", "/api/v1/sites/tom/report", "")
            .status
    };
    assert_eq!((reads(here), reads(there)), (200, 200));
    let revoked = Caller::default().ask(there, "DELETE", &format!("/api/v1/tokens/{id}"), "");
    assert_eq!(revoked.status, 204);
    assert_eq!((reads(here), reads(there)), (401, 401));
}

/// None of these tokens signs anybody in.
fn assert_used(server: &Server, numbers: Range<usize>, token: impl Fn(usize) -> String) {
    for number in numbers {
        let again = hand_over(server, &token(number));
        assert_eq!(again.status, 401, "{number}: {}", again.text());
    }
}

#[test]
fn a_handover_token_is_used_once_also_after_a_collector_died_and_a_sign_out_holds_everywhere() {
    let mut cluster = start();
    let token = |number: usize| sign(&claims(&["mia"], &format!("token-{number}")));
    for number in 0..8 {
        let (first, second) = (number % 2, 1 - number % 2);
        let used = hand_over(&cluster.servers[first], &token(number));
        assert_eq!(used.status, 303, "{}", used.text());
        for place in [second, first] {
            let again = hand_over(&cluster.servers[place], &token(number));
            assert_eq!(again.status, 401, "{}", again.text());
        }
    }

    let signed_in = hand_over(&cluster.servers[0], &token(20));
    let session = Caller::signed_in(&cluster.servers[0], &signed_in);
    let roles = || {
        let of = |server: &Server| session.ask(server, "GET", "/api/v1/session", "").text();
        let all = cluster.servers.iter().map(of);
        all.filter(|text| text.contains("creator")).count()
    };
    assert_eq!(roles(), 2);
    let origin = format!("http://{}", cluster.servers[1].address());
    let here = session.clone().with("Origin", &origin);
    let signed_out = here.ask(&cluster.servers[1], "DELETE", "/api/v1/session", "");
    assert_eq!((signed_out.status, roles()), (204, 0));

    cluster.servers[1].kill();
    assert_used(&cluster.servers[0], 0..8, token);
    // Those who come now are signed in.
    assert_eq!(hand_over(&cluster.servers[0], &token(8)).status, 303);

    // One that starts anew remembers nothing, and decides about some of them.
    cluster.servers[1].restart();
    for server in &cluster.servers {
        wait_for_collectors(server, 2);
    }
    for server in &cluster.servers {
        assert_used(server, 0..9, token);
    }
}

/// The collector that decides about some of the tokens hangs during the call.
#[test]
fn a_handover_token_of_a_collector_that_hangs_is_used_after_a_second() {
    let cluster = start();
    let token = |number: usize| sign(&claims(&["mia"], &format!("hang-{number}")));
    cluster.servers[1].signal(Signal::STOP);
    wait_for_state(cluster.servers[1].pid(), "T");
    for number in 0..8 {
        let used = hand_over(&cluster.servers[0], &token(number));
        assert_eq!(used.status, 303, "{}", used.text());
    }

    // Also at once: it has heard nothing for long, and must not take the other one for dead.
    cluster.servers[1].signal(Signal::CONT);
    assert_used(&cluster.servers[1], 0..8, token);
    for server in &cluster.servers {
        wait_for_collectors(server, 2);
        assert_used(server, 0..8, token);
    }
}

/// One that was away is told what was used meanwhile, so that it knows when it is alone.
#[test]
fn a_handover_token_is_used_once_also_after_both_collectors_were_away_in_turn() {
    let mut cluster = start_with(&["cluster.dead_after_millis=5000"]);
    let token = |number: usize| sign(&claims(&["mia"], &format!("turn-{number}")));
    let sign_in = |server: &Server, numbers: Range<usize>| {
        for number in numbers {
            let used = hand_over(server, &token(number));
            assert_eq!(used.status, 303, "{}", used.text());
        }
    };

    let calls = |server: &Server| server.metric("footfall_cluster_received_calls_total");

    cluster.servers[1].kill();
    sign_in(&cluster.servers[0], 0..8);
    cluster.servers[1].restart();
    until(|| calls(&cluster.servers[1]) > 0, "it is told");
    cluster.servers[0].kill();
    assert_used(&cluster.servers[1], 0..8, token);

    cluster.servers[0].restart();
    until(|| calls(&cluster.servers[0]) > 0, "it is told");
    let told = calls(&cluster.servers[0]);
    cluster.servers[0].signal(Signal::STOP);
    wait_for_collectors(&cluster.servers[1], 1);
    sign_in(&cluster.servers[1], 8..16);
    cluster.servers[0].signal(Signal::CONT);
    until(|| calls(&cluster.servers[0]) > told, "it is told");
    cluster.servers[1].kill();
    assert_used(&cluster.servers[0], 0..16, token);
}

#[test]
fn a_withdrawal_holds_everywhere_and_receipts_and_the_visitors_page_are_of_the_cluster() {
    let cluster = start();
    let (here, there) = (&cluster.servers[0], &cluster.servers[1]);
    let dropped = || cluster.drops("no_consent");
    for person in 0..6 {
        let address = address(person);
        let kept = cookie(&choose(here, ACCEPT, &[]));
        let who = [
            ("X-Forwarded-For", address.as_str()),
            ("Cookie", kept.as_str()),
            ("User-Agent", AGENT),
        ];
        let before = dropped();
        for server in &cluster.servers {
            assert_eq!(hit(&mut server.client(), &view("/u/mia"), &who).status, 202);
        }
        assert_eq!(dropped(), before);

        // Whoever counted the visitor, each says so; and each gives the receipt.
        let line = ledger(here).pop().unwrap();
        for server in &cluster.servers {
            let mut client = server.client();
            let page = "/u/mia/ff/me?page=/u/mia&lang=en";
            let page = ask(&mut client, "GET", page, "", &who).text();
            let known = "You were counted as a visitor of this site today already";
            assert!(page.contains(known), "{page}");
            let receipt = ask(&mut client, "GET", "/ff/consent/receipt", "", &who);
            let receipt: Value = serde_json::from_slice(&receipt.body).unwrap();
            assert_eq!(receipt["records"], json!([line]));
        }

        // The grant is on record at one collector, its withdrawal at the other.
        assert_eq!(choose(there, WITHDRAW, &who[1..2]).status, 200);
        let record = ledger(there).pop().unwrap();
        assert_eq!(
            (&record["act"], &record["id"]),
            (&json!("withdraw"), &line["id"])
        );
        for server in &cluster.servers {
            assert_eq!(hit(&mut server.client(), &view("/u/mia"), &who).status, 202);
        }
        assert_eq!(dropped(), before + 2, "from the very next hit");
    }
}
