//! Compatibility: hits of the trackers of Plausible, Umami and GoatCounter are counted like native
//! ones, and counted and dropped hits get the same answer.
//!
//! What their published packages actually send is tested in tests/e2e/compatible.spec.js.

use serde_json::{Value, json};

use crate::support::{ABSENT, Answer, Client, DAY, SITES, Server, ask, grant, signed};

const ID: &str = "00112233445566778899aabbccddeeff";

mod forms;
mod servers;

/// mia counts by our cookie, tom by the operator's declaration, ann not at all.
const ACCEPT: &str = r#"
[[compatible]]
sites = ["mia"]
accept = ["plausible", "umami", "goatcounter"]
basis = "consent_cookie"

[[compatible]]
sites = ["tom"]
accept = ["plausible", "umami", "goatcounter"]
basis = "declared"
declared = "The page loads the script only after its own consent platform said yes."
stored_refusals = "unseen"
token = "a token of tom's server"
"#;

const PAGE: &str = "https://pages.example/u/mia/shop";

fn start() -> Server {
    Server::start(&format!("{SITES}{ACCEPT}"))
}

fn refusals(server: &Server, reason: &str) -> u64 {
    server.metric(&format!("footfall_drops_total{{reason=\"{reason}\"}}"))
}

/// Everything a client can see of an answer, except its date.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
    (
        answer.status,
        headers.cloned().collect(),
        answer.body.clone(),
    )
}

fn plausible(client: &mut Client, body: &Value) -> Answer {
    ask(
        client,
        "POST",
        "/ff/api/event",
        &body.to_string(),
        &[("Content-Type", "text/plain")],
    )
}

fn umami(client: &mut Client, kind: &str, payload: &Value) -> Answer {
    ask(
        client,
        "POST",
        "/ff/api/send",
        &json!({"type": kind, "payload": payload}).to_string(),
        &[],
    )
}

fn asked(server: &Server, what: &str) -> Value {
    let answer = server
        .client()
        .get(&format!("/api/v1/sites/mia/{what}?{DAY}"))
        .unwrap();
    assert_eq!(answer.status, 200, "{what}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// The item and hits of each row of a list.
fn rows(report: &Value, subject: &str) -> Vec<(String, u64)> {
    let rows = report["subjects"][subject]["rows"]
        .as_array()
        .unwrap()
        .iter();
    let mut rows: Vec<_> = rows
        .map(|row| {
            (
                row["item"].as_str().unwrap().to_owned(),
                row["hits"].as_u64().unwrap(),
            )
        })
        .collect();
    rows.sort();
    rows
}

fn totals(server: &Server, site: &str) -> [u64; 4] {
    let report = server.report(site, DAY);
    ["hits", "visitors", "visits", "bounces"]
        .map(|counter| report["totals"][counter].as_u64().unwrap())
}

fn list(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter()
        .map(|(item, hits)| ((*item).to_owned(), *hits))
        .collect()
}

/// Later than any visit of the day lasts.
fn close_visits(server: &Server) {
    let later = (crate::support::NOON + 3_600_000).to_string();
    assert_eq!(
        ask(
            &mut server.client(),
            "GET",
            "/healthz",
            "",
            &[("X-Footfall-Now", &later)]
        )
        .status,
        200
    );
    server.flush();
}

#[test]
fn each_kind_of_plausible_is_counted_as_ours() {
    let server = start();
    let mut client = server.client();
    // A shop's query is longer than any link that is stored; the link is stored without it.
    let target = &format!("https://shop.example/mug?sku={}", "1".repeat(1500));
    let hits = [
        json!({"n": "pageview", "u": PAGE, "d": "not-this.example", "r": null, "v": 36, "p": {"author": "ann@mail.example"}}),
        json!({"name": "pageview", "url": "https://pages.example/u/mia#top", "domain": "pages.example"}),
        json!({"n": "pageview", "u": PAGE, "d": "x", "w": 1280, "h": 0}),
        json!({"n": "engagement", "u": PAGE, "d": "x", "e": 3400, "sd": 80}),
        json!({"n": "engagement", "u": PAGE, "d": "x", "e": "5600", "sd": "80"}),
        json!({"n": "signup", "u": PAGE, "d": "x", "p": "{\"plan\":\"gold\"}"}),
        json!({"n": "seen", "u": PAGE, "d": "x", "i": false}),
        json!({"n": "buy", "u": PAGE, "d": "x", "$": {"amount": "19.99", "currency": "EUR"}}),
        json!({"n": "buy", "u": PAGE, "d": "x", "$": {"amount": 0.01, "currency": "EUR"}}),
        json!({"n": "buy", "u": PAGE, "d": "x", "$": {}}),
        json!({"n": "Outbound Link: Click", "u": PAGE, "d": "x", "p": {"url": target}}),
        json!({"n": "File Download", "u": PAGE, "d": "x", "p": {"url": "https://pages.example/price-list.pdf"}}),
        json!({"n": "404", "u": "https://pages.example/u/mia/gone", "d": "x"}),
    ];
    for body in &hits {
        let answer = plausible(&mut client, body);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (202, "ok"),
            "{body}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert!(
            answer.header("x-plausible-dropped").is_none() && answer.header("set-cookie").is_none()
        );
    }
    close_visits(&server);
    assert_eq!(totals(&server, "mia"), [3, 1, 1, 0]);
    let report = server.report("mia", DAY);
    assert_eq!(
        rows(&report, "page"),
        list(&[("/u/mia", 1), ("/u/mia/shop", 2)])
    );
    assert_eq!(
        rows(&report, "event"),
        list(&[("buy", 3), ("seen", 1), ("signup", 1)])
    );
    let links = [
        ("https://pages.example/price-list.pdf", 1),
        ("https://shop.example/mug", 1),
    ];
    assert_eq!(rows(&report, "link"), list(&links));
    assert_eq!(
        report["money"],
        json!([{"event": "buy", "currency": "EUR", "hits": 2, "over": 0, "minor": 2000, "digits": 2}])
    );
    let seconds = &report["subjects"]["page"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["item"] == "/u/mia/shop");
    assert_eq!(seconds.unwrap()["seconds"], 3 + 6);
    assert_eq!(
        asked(&server, "faults")["rows"],
        json!([{"kind": "not_found", "fault": "", "path": "/u/mia/gone", "hits": 1}])
    );
}

#[test]
fn an_event_without_interaction_does_not_end_a_bounce() {
    let server = start();
    let mut client = server.client();
    plausible(&mut client, &json!({"n": "pageview", "u": PAGE}));
    plausible(&mut client, &json!({"n": "seen", "u": PAGE, "i": false}));
    close_visits(&server);
    assert_eq!(totals(&server, "mia"), [1, 1, 1, 1]);
}

/// A refusal stored here wins only where it is seen: umami's tag sends no cookies by itself.
#[test]
fn where_umami_is_declared_the_operator_says_whether_a_stored_refusal_is_seen() {
    let said = |server: &Server| {
        server
            .log()
            .matches("people whose refusal is stored here are counted")
            .count()
    };
    let unseen = start();
    let mut client = unseen.client();
    let tom =
        json!({"type": "event", "payload": {"url": "https://pages.example/u/tom"}}).to_string();
    let no = format!("ff_consent={}.none", crate::support::CONSENT_VERSION);
    for cookie in [ABSENT, no.as_str()] {
        assert_eq!(
            ask(
                &mut client,
                "POST",
                "/ff/api/send",
                &tom,
                &[("Cookie", cookie)]
            )
            .status,
            200
        );
    }
    unseen.flush();
    assert_eq!(
        (
            totals(&unseen, "tom")[0],
            refusals(&unseen, "no_consent"),
            said(&unseen)
        ),
        (1, 1, 1)
    );

    let unsaid = ACCEPT.replace("stored_refusals = \"unseen\"\n", "");
    assert_eq!(
        said(&Server::start(&format!(
            "{SITES}{}",
            ACCEPT.replace("\"unseen\"", "\"sent\"")
        ))),
        0
    );
    let without_umami = unsaid.replace(
        r#"["plausible", "umami", "goatcounter"]"#,
        r#"["plausible"]"#,
    );
    assert_eq!(said(&Server::start(&format!("{SITES}{without_umami}"))), 0);

    // Left open, or said where it is no question, it does not start.
    for (rules, accepted) in [
        (unsaid, "data-fetch-credentials"),
        (
            format!("{without_umami}stored_refusals = \"sent\"\n"),
            "is for basis declared",
        ),
    ] {
        let refused = crate::config::check(&rules, &[], &[]);
        let (key, reason) = ("compatible[1].stored_refusals: ", accepted);
        assert_eq!(refused.code, Some(2), "{rules}");
        assert!(
            refused.err.contains(key) && refused.err.contains(reason),
            "{}",
            refused.err
        );
    }
}

/// A proxy that passes the asked host as `Host`, and adds no field of its own for it, hides
/// nothing.
#[test]
fn behind_a_trusted_proxy_without_a_forwarded_host_the_asked_host_is_checked_all_the_same() {
    let server = start();
    let mut client = server.client();
    for (host, unknown) in [
        ("pages.example", 0),
        ("pages.example:8443", 0),
        ("collector.internal", 0),
        ("other.example", 1),
        ("stats.example", 1),
    ] {
        for (method, target, sent) in &forms::view_of("mia") {
            // GoatCounter names no host: its page is below the asked one.
            let unknown = if target.starts_with("/ff/count") && !host.starts_with("pages.example") {
                1
            } else {
                unknown
            };
            let before = refusals(&server, "unknown_site");
            ask(
                &mut client,
                method,
                target,
                sent,
                &[("Host", host), ("Origin", ABSENT)],
            );
            assert_eq!(
                refusals(&server, "unknown_site") - before,
                unknown,
                "{target} at {host}"
            );
        }
    }
}

#[test]
fn each_kind_of_umami_is_counted_as_ours() {
    let server = start();
    let mut client = server.client();
    let page = |more: Value| {
        let mut payload = json!({
            "website": "b59e0ef7-6f2f-4b4b-9a63-6e3f3e9a3c11", "hostname": "pages.example", "url": PAGE, "referrer": "/u/mia",
            "title": "Mia's shop", "screen": "1920x1080", "language": "de-DE", "id": "ann", "next": {"version": 4},
        });
        payload
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        payload
    };
    let sent = [
        ("event", page(json!({}))),
        ("event", page(json!({"url": "/u/mia"}))),
        (
            "event",
            page(json!({"name": "signup", "data": {"mail": "ann@mail.example"}})),
        ),
        ("identify", page(json!({"data": {"name": "Ann"}}))),
        (
            "performance",
            page(
                json!({"lcp": 2500, "inp": 90.5, "cls": 0.01, "fcp": 900, "ttfb": 100, "duration": 5000}),
            ),
        ),
    ];
    for (kind, payload) in &sent {
        let answer = umami(&mut client, kind, payload);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "{}"),
            "{kind}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let batch: Vec<Value> = sent
        .iter()
        .map(|(kind, payload)| json!({"type": kind, "payload": payload}))
        .collect();
    let answer = ask(
        &mut client,
        "POST",
        "/ff/api/batch",
        &json!(batch).to_string(),
        &[],
    );
    assert_eq!(
        (answer.status, answer.text()),
        (
            200,
            r#"{"details":[],"errors":0,"processed":5,"size":5}"#.to_owned()
        )
    );
    for _ in 0..3 {
        umami(&mut client, "performance", &page(json!({"lcp": 5000})));
    }
    close_visits(&server);
    assert_eq!(totals(&server, "mia"), [4, 1, 1, 0]);
    let report = server.report("mia", DAY);
    assert_eq!(
        rows(&report, "page"),
        list(&[("/u/mia", 2), ("/u/mia/shop", 2)])
    );
    assert_eq!(rows(&report, "event"), list(&[("signup", 2)]));
    let lcp = &asked(&server, "vitals")["metrics"]["LCP"];
    assert_eq!([&lcp["hits"], &lcp["good"], &lcp["poor"]], [5, 2, 3]);
}

#[test]
fn goatcounters_pixel_is_a_view_or_an_event_by_get_and_by_post() {
    let server = start();
    let mut client = server.client();
    let gif = b"GIF89a";
    for (method, target) in [
        (
            "GET",
            "/ff/count?p=%2Fu%2Fmia%2Fshop&t=Mia&s=390,844,3&rnd=abc&r=https%3A%2F%2Fnews.example%2F",
        ),
        ("POST", "/ff/count?p=/u/mia&q=?utm_campaign%3Dtour&s=1280"),
        ("GET", "/count?p=u/mia"),
        ("POST", "/u/mia/ff/count?p=signup&e=true&b=0"),
        ("GET", "/u/mia/shop/ff/count?p=seen&e=1"),
    ] {
        let answer = ask(&mut client, method, target, "", &[]);
        assert_eq!((answer.status, answer.body.len()), (200, 43), "{target}");
        assert!(answer.body.starts_with(gif));
        assert_eq!(answer.header("content-type"), Some("image/gif"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    close_visits(&server);
    assert_eq!(totals(&server, "mia"), [3, 1, 1, 0]);
    let report = server.report("mia", DAY);
    assert_eq!(
        rows(&report, "page"),
        list(&[("/u/mia", 2), ("/u/mia/shop", 1)])
    );
    assert_eq!(rows(&report, "event"), list(&[("seen", 1), ("signup", 1)]));
}

#[test]
fn each_address_lies_at_the_root_below_the_prefix_and_below_a_profile() {
    let server = start();
    let mut client = server.client();
    let view = json!({"n": "pageview", "u": PAGE}).to_string();
    let envelope = json!({"type": "event", "payload": {"url": PAGE}});
    for place in ["", "/ff", "/u/mia/ff", "/u/mia/shop/ff"] {
        let mut status = |path: &str, body: &str| {
            ask(&mut client, "POST", &format!("{place}{path}"), body, &[]).status
        };
        assert_eq!(status("/api/event", &view), 202, "{place}");
        assert_eq!(status("/api/send", &envelope.to_string()), 200, "{place}");
        assert_eq!(
            status("/api/batch", &json!([envelope]).to_string()),
            200,
            "{place}"
        );
        assert_eq!(status("/count?p=/u/mia/shop", ""), 200, "{place}");
    }
    server.flush();
    assert_eq!(
        rows(&server.report("mia", DAY), "page"),
        list(&[("/u/mia/shop", 16)])
    );
}

#[test]
fn every_drop_answers_the_bytes_of_a_count_and_counts_nothing() {
    let server = start();
    let mut client = server.client();
    let old = format!("ff_consent={}", signed("footfall", 1, "analytics", ID));
    let cases: [(&[(&str, &str)], &str); 11] = [
        (&[("Origin", "https://evil.example")], "unknown_site"),
        (&[("Sec-Fetch-Site", "cross-site")], "unknown_site"),
        (&[("X-Forwarded-Host", "other.example")], "unknown_site"),
        (&[("Sec-Purpose", "prefetch;prerender")], "not_a_view"),
        (&[("User-Agent", ABSENT)], "not_a_view"),
        (&[("Sec-GPC", "1")], "gpc"),
        (&[("DNT", "1")], "dnt"),
        (&[("Cookie", ABSENT)], "no_consent"),
        (&[("Cookie", "ff_consent=2.none")], "no_consent"),
        (&[("Cookie", &old)], "no_consent"),
        (&[("Cookie", ABSENT), ("DNT", "0")], "no_consent"),
    ];
    let body = |profile: &str| forms::view_of(profile);
    for endpoint in 0..4 {
        let (method, target, sent) = &body("mia")[endpoint];
        let counted = seen(&ask(&mut client, method, target, sent, &[]));
        for (headers, reason) in &cases {
            let before = refusals(&server, reason);
            assert_eq!(
                seen(&ask(&mut client, method, target, sent, headers)),
                counted,
                "{target} {headers:?}"
            );
            assert_eq!(
                refusals(&server, reason),
                before + 1,
                "{target} {headers:?}"
            );
        }
        // Not enabled; no such page; not a known site.
        for profile in ["ann", "no profile of ours!"] {
            let (method, target, sent) = &body(profile)[endpoint];
            let before = refusals(&server, "unknown_site");
            assert_eq!(
                seen(&ask(&mut client, method, target, sent, &[])),
                counted,
                "{target} {profile}"
            );
            assert_eq!(
                refusals(&server, "unknown_site"),
                before + 1,
                "{target} {profile}"
            );
        }
    }
    server.flush();
    assert_eq!(totals(&server, "mia"), [4, 1, 1, 0]);
    assert_eq!(totals(&server, "ann"), [0; 4]);
}

#[test]
fn what_is_declared_counts_without_our_cookie_and_never_against_a_no() {
    let server = start();
    assert!(
        server
            .log()
            .contains("The page loads the script only after its own consent platform said yes.")
    );
    let mut client = server.client();
    let old_no = "ff_consent=1.none";
    let other_tier = format!("ff_consent={}", signed("footfall", 2, "embeds", ID));
    for (method, target, sent) in &forms::view_of("tom") {
        let counted = seen(&ask(
            &mut client,
            method,
            target,
            sent,
            &[("Cookie", ABSENT)],
        ));
        for (headers, reason) in [
            (&[("Cookie", "ff_consent=2.none")][..], "no_consent"),
            (&[("Cookie", old_no)], "no_consent"),
            (&[("Cookie", &*other_tier)], "no_consent"),
            (&[("Cookie", ABSENT), ("DNT", "1")], "dnt"),
            (&[("Cookie", ABSENT), ("Sec-GPC", "1")], "gpc"),
        ] {
            let before = refusals(&server, reason);
            assert_eq!(
                seen(&ask(&mut client, method, target, sent, headers)),
                counted,
                "{target} {headers:?}"
            );
            assert_eq!(
                refusals(&server, reason),
                before + 1,
                "{target} {headers:?}"
            );
        }
    }
    // Our own hits of the same site still need the cookie.
    let own = r#"{"kind":"view","url":"https://pages.example/u/tom"}"#;
    ask(&mut client, "POST", "/ff/hit", own, &[("Cookie", ABSENT)]);
    server.flush();
    assert_eq!(totals(&server, "tom")[..2], [4, 1]);
}

#[test]
fn another_origin_is_never_allowed_in() {
    let server = start();
    let mut client = server.client();
    for path in ["/api/event", "/ff/api/send", "/ff/api/batch", "/ff/count"] {
        let preflight = [
            ("Origin", "https://evil.example"),
            ("Access-Control-Request-Method", "POST"),
        ];
        let answer = ask(&mut client, "OPTIONS", path, "", &preflight);
        assert!(answer.status >= 400, "{path}: {}", answer.status);
        assert!(
            answer
                .headers
                .iter()
                .all(|(name, _)| !name.to_ascii_lowercase().starts_with("access-control"))
        );
    }
    for (method, target, sent) in &forms::view_of("mia") {
        let answer = ask(
            &mut client,
            method,
            target,
            sent,
            &[("Origin", "https://evil.example")],
        );
        assert!(
            answer
                .headers
                .iter()
                .all(|(name, _)| !name.to_ascii_lowercase().starts_with("access-control"))
        );
    }
}

#[test]
fn in_flag_cookie_mode_a_script_of_the_page_carries_the_visit_cookie() {
    let set = ["visitor.mode=flag_cookie"];
    let server = Server::start_with(&format!("{SITES}{ACCEPT}"), &set);
    let mut client = server.client();
    let view = json!({"n": "pageview", "u": PAGE}).to_string();
    let first = ask(&mut client, "POST", "/u/mia/ff/api/event", &view, &[]);
    assert!(
        first
            .header("set-cookie")
            .is_some_and(|cookie| cookie.starts_with("ff_visit=1; ")),
        "{first:?}"
    );
    let both = format!("{}; ff_visit=1", grant());
    let second = ask(
        &mut client,
        "POST",
        "/u/mia/ff/api/event",
        &view,
        &[("Cookie", &both)],
    );
    assert_eq!(second.header("set-cookie"), None);
    server.flush();
    assert_eq!(totals(&server, "mia")[..2], [2, 1]);
}
