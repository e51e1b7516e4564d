//! The ingest edge over HTTP: drop reasons, invalid bodies, size limits, timeouts and metrics.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::consent::set_cookies;
use crate::support::{ABSENT, Answer, Body, DAY, SITES, Server, hit, signed, view};

const ID: &str = "00112233445566778899aabbccddeeff";

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

/// Body, header fields, and the reason it is dropped for.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);

#[test]
fn each_reason_of_the_gate_is_counted_in_its_order_and_answered_like_a_count() {
    let server = Server::start(SITES);
    let mut client = server.client();
    let counted = seen(&hit(&mut client, &view("/u/mia"), &[]));
    assert_eq!(counted.0, 202);
    assert!(counted.2.is_empty());
    assert!(
        !counted
            .1
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
    );

    let old = format!("ff_consent={}", signed("footfall", 1, "analytics", ID));
    let page = view("/u/mia");
    let elsewhere = page.replace("pages.example", "other.example");
    let driven = page.replace('}', r#","webdriver":true}"#);
    let cases: [Case<'_>; 29] = [
        (&elsewhere, &[], Some("unknown_site")),
        (&view("/about"), &[], Some("unknown_site")),
        (
            &page,
            &[("Origin", "https://evil.example")],
            Some("unknown_site"),
        ),
        (&page, &[("Origin", "null")], Some("unknown_site")),
        (
            &page,
            &[("Sec-Fetch-Site", "cross-site")],
            Some("unknown_site"),
        ),
        (
            &page,
            &[("X-Forwarded-Host", "other.example")],
            Some("unknown_site"),
        ),
        (&page, &[("Sec-Purpose", "prefetch")], Some("not_a_view")),
        (
            &page,
            &[("Sec-Purpose", "prefetch;prerender")],
            Some("not_a_view"),
        ),
        (&page, &[("Purpose", "prefetch")], Some("not_a_view")),
        (&page, &[("X-Moz", "prefetch")], Some("not_a_view")),
        (
            &page,
            &[(
                "User-Agent",
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            )],
            Some("not_a_view"),
        ),
        (&page, &[("User-Agent", ABSENT)], Some("not_a_view")),
        (&driven, &[], Some("not_a_view")),
        (&page, &[("Sec-GPC", "1")], Some("gpc")),
        (&page, &[("Sec-GPC", "0"), ("Sec-GPC", "1")], Some("gpc")),
        (&page, &[("Sec-GPC", "0")], None),
        (&page, &[("Sec-GPC", "true")], None),
        (&page, &[("DNT", "1")], Some("dnt")),
        (&page, &[("DNT", "1xyz")], Some("dnt")),
        (&page, &[("DNT", "0"), ("DNT", "1")], Some("dnt")),
        (&page, &[("DNT", "0")], None),
        (&page, &[("DNT", "")], None),
        (&page, &[("Cookie", ABSENT)], Some("no_consent")),
        (
            &page,
            &[("Cookie", "ff_consent=2.none")],
            Some("no_consent"),
        ),
        (&page, &[("Cookie", &old)], Some("no_consent")),
        (
            &page,
            &[("Cookie", "ff_consent=2.analytics")],
            Some("no_consent"),
        ),
        // `DNT: 0` is not consent; of two reasons, the earlier one is counted.
        (
            &page,
            &[("Cookie", ABSENT), ("DNT", "0")],
            Some("no_consent"),
        ),
        (
            &page,
            &[("Sec-GPC", "1"), ("DNT", "1"), ("Cookie", ABSENT)],
            Some("gpc"),
        ),
        (
            &elsewhere,
            &[("Sec-GPC", "1"), ("X-Moz", "prefetch")],
            Some("unknown_site"),
        ),
    ];
    let mut views = 1;
    for (body, headers, reason) in &cases {
        let before = reason.map(|reason| refusals(&server, reason));
        let answer = hit(&mut client, body, headers);
        assert_eq!(seen(&answer), counted, "{headers:?} {body}");
        match reason {
            Some(reason) => assert_eq!(
                refusals(&server, reason),
                before.unwrap() + 1,
                "{reason}: {headers:?} {body}"
            ),
            None => views += 1,
        }
    }
    server.flush();
    let report = server.report("mia", DAY);
    assert_eq!(report["totals"]["hits"], views);
    assert_eq!(report["totals"]["visitors"], 1);
}

#[test]
fn a_refused_hit_leaves_no_site_behind_and_the_stored_drops_name_only_hour_and_reason() {
    let server = Server::start_with(SITES, &["journal.segment_secs=3600"]);
    let mut client = server.client();
    (0..50).for_each(|_| drop(hit(&mut client, &view("/u/mia"), &[("DNT", "1")])));
    server.flush();
    assert_eq!(refusals(&server, "dnt"), 50);
    // One row of drops, and no other row.
    assert_eq!(server.metric("footfall_rows_inserted_total"), 1);
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 0);
}

#[test]
fn what_is_no_http_is_a_metric_and_no_line_in_the_log_whatever_its_filter() {
    for filter in ["info", "trace"] {
        let server = Server::start_with(SITES, &[&format!("log.filter={filter}")]);
        server.flush();
        let before = server
            .log()
            .lines()
            .filter(|line| line.contains("ERROR"))
            .count();
        for n in 0..60 {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let request = match n % 4 {
                0 => "POST /ff/hit HTTP/1.1\r\nHost: a\r\nContent-Length: CANARY7\r\n\r\n",
                1 => "POST /ff/hit HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CANARY7\r\n\r\n",
                2 => "CANARY7\0\r\n\r\n",
                _ => {
                    "POST /ff/hit HTTP/1.1\r\nHost: a\r\nContent-Length: 7, 8\r\nX-A: CANARY7\r\n\r\n"
                }
            };
            stream.write_all(request.as_bytes()).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let log = server.log();
        assert_eq!(log.matches("CANARY7").count(), 0, "{filter}");
        assert_eq!(
            log.lines().filter(|line| line.contains("ERROR")).count(),
            before,
            "{filter}"
        );
        assert_eq!(
            server.metric("footfall_malformed_requests_total"),
            60,
            "{filter}"
        );
    }
}

#[test]
fn over_the_rate_of_a_network_hits_are_dropped_in_silence() {
    let server = Server::start_with(
        SITES,
        &["limits.network_hits_per_sec=1", "limits.network_burst=10"],
    );
    let mut client = server.client();
    let counted = seen(&hit(&mut client, &view("/u/mia"), &[]));
    for last in 2..=255 {
        let address = format!("203.0.113.{last}");
        assert_eq!(
            seen(&hit(
                &mut client,
                &view("/u/mia"),
                &[("X-Forwarded-For", &address)]
            )),
            counted
        );
    }
    server.flush();
    let hits = server.report("mia", DAY)["totals"]["hits"]
        .as_u64()
        .unwrap();
    let limited = refusals(&server, "limited");
    assert_eq!(hits + limited, 255);
    // The burst of 10 of the second network, one of the first, and what the limiter gave back
    // during a second or two.
    assert!((11..=40).contains(&hits), "{hits} counted");
}

#[test]
fn bad_bodies_are_answered_400_with_a_code_and_nothing_of_them_counts() {
    let server = Server::start(SITES);
    let mut client = server.client();
    let good = view("/u/mia");
    for (body, code) in [
        (String::new(), "bad_json"),
        ("nonsense".into(), "bad_json"),
        (format!("[{good},{{]"), "bad_json"),
        (
            r#"[{"kind":"view","url":"https://pages.example/u/mia","extra":1}]"#.into(),
            "bad_value",
        ),
        (
            r#"{"kind":"view","url":"ftp://pages.example/u/mia"}"#.into(),
            "bad_value",
        ),
        (
            r#"[{"kind":"view","url":"https://user:pw@pages.example/u/mia"},{"kind":"view"}]"#
                .into(),
            "bad_value",
        ),
        (
            r#"{"kind":"view","kind":"view","url":"https://pages.example/u/mia"}"#.into(),
            "bad_value",
        ),
        (
            format!("[{}]", vec![good.as_str(); 21].join(",")),
            "bad_beacon",
        ),
        ("[".repeat(4000), "bad_json"),
        ("{\"kind\":".repeat(900), "bad_json"),
        (
            format!("{}{}", "[".repeat(4000), "]".repeat(4000)),
            "bad_value",
        ),
    ] {
        let start = Instant::now();
        let answer = hit(&mut client, &body, &[]);
        assert!(start.elapsed() < Duration::from_secs(2));
        assert_eq!(answer.status, 400, "{body:.80}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["code"], code, "{body:.80}: {problem}");
    }
    let bytes = [
        b"{\"kind\":\"view\",\"url\":\"".as_slice(),
        &[0xff, 0xfe],
        b"\"}",
    ]
    .concat();
    let answer = client
        .ask(
            "POST",
            "/ff/hit",
            &[("Host", "pages.example")],
            Body::Sized(&bytes),
        )
        .unwrap();
    assert_eq!(answer.status, 400);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 0);
    assert_eq!(
        hit(&mut client, &format!("[{good},{good}]"), &[]).status,
        202
    );
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 2);
}

#[test]
fn limits_of_size_are_answered_and_the_connection_serves_the_next_hit() {
    let server = Server::start(SITES);
    let mut client = server.client();
    let padded = |bytes: usize| {
        format!(
            "{}{}",
            view("/u/mia"),
            " ".repeat(bytes - view("/u/mia").len())
        )
    };
    let mut sized = |body: &str| hit(&mut client, body, &[]).status;
    assert_eq!(sized(&padded(8192)), 202);
    assert_eq!(sized(&padded(8193)), 413);
    assert_eq!(sized(&padded(8192)), 202, "the next one is served");

    let chunk = vec![b' '; 3000];
    let chunks: Vec<&[u8]> = vec![&chunk; 3];
    let chunked = client
        .ask(
            "POST",
            "/ff/hit",
            &[("Host", "pages.example")],
            Body::Chunked(&chunks),
        )
        .unwrap();
    assert_eq!(chunked.status, 413);

    let names: Vec<String> = (0..70).map(|n| format!("X-Field-{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(hit(&mut client, &view("/u/mia"), &many).status, 431);
    let long = "x".repeat(17_000);
    assert_eq!(
        hit(&mut client, &view("/u/mia"), &[("X-Long", &long)]).status,
        431
    );
    assert_eq!(
        hit(
            &mut client,
            &view("/u/mia"),
            &[("Content-Encoding", "gzip")]
        )
        .status,
        415
    );
    assert_eq!(
        hit(
            &mut client,
            &view("/u/mia"),
            &[("Content-Type", "text/plain")]
        )
        .status,
        202,
        "any content type"
    );
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 3);
}

#[test]
fn paths_that_do_not_want_a_body_read_it_all_the_same() {
    let server = Server::start(SITES);
    let mut client = server.client();
    let body = view("/u/mia");
    for (method, target, status) in [
        ("POST", "/nowhere", 404),
        ("PUT", "/ff/hit", 405),
        ("POST", "/healthz", 405),
        ("GET", "/ff/hit", 405),
        ("POST", "/", 405),
    ] {
        // If the body had not been read, the server would take it for the next request, or close.
        for _ in 0..3 {
            let answer = client
                .ask(
                    method,
                    target,
                    &[("Host", "pages.example")],
                    Body::Sized(body.as_bytes()),
                )
                .unwrap();
            assert_eq!(answer.status, status, "{method} {target}");
            assert_ne!(answer.header("connection"), Some("close"));
        }
    }
}

#[test]
fn idle_half_sent_and_bodiless_connections_are_closed_within_ten_seconds() {
    let server = Server::start_with(
        SITES,
        &[
            "limits.read_timeout_millis=1500",
            "server.keep_alive_secs=2",
        ],
    );
    let half_header = "POST /ff/hit HTTP/1.1\r\nHost: pages.ex";
    let half_body =
        "POST /ff/hit HTTP/1.1\r\nHost: pages.example\r\nContent-Length: 100\r\n\r\n{\"kind\"";
    let connect = |bytes: &str| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    };
    let start = Instant::now();
    let mut streams: Vec<TcpStream> = ["", half_header, half_body]
        .iter()
        .flat_map(|b| (0..50).map(|_| connect(b)))
        .collect();
    for stream in &mut streams {
        let mut rest = Vec::new();
        stream
            .read_to_end(&mut rest)
            .expect("closed by the server, not by our patience");
    }
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
}

#[test]
fn an_unknown_site_and_an_unlisted_profile_name_get_the_same_answer() {
    let server =
        Server::start("[[sites]]\nid = \"shop\"\nhosts = [\"shop.example\"]\nzone = \"UTC\"\n");
    server.flush();
    let mut client = server.client();
    let bodies: Vec<Vec<u8>> = ["nobody", "mia", "%2F", "a%20b"]
        .map(|site| {
            let answer = client.get(&format!("/api/v1/sites/{site}/report")).unwrap();
            assert_eq!(answer.status, 404, "{site}");
            answer.body
        })
        .to_vec();
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(client.get("/api/v1/sites/shop/report").unwrap().status, 200);
}

#[test]
fn reports_and_metrics_need_the_token_or_this_machine() {
    let open = Server::start(SITES);
    open.flush();
    let ask = |server: &Server, target: &str, headers: &[(&str, &str)]| {
        server
            .client()
            .ask("GET", target, headers, Body::None)
            .unwrap()
            .status
    };
    for target in ["/metrics", "/api/v1/sites/mia/report"] {
        assert_eq!(ask(&open, target, &[("Host", "localhost")]), 200);
        assert_eq!(
            ask(
                &open,
                target,
                &[("Host", "localhost"), ("X-Forwarded-For", "198.51.100.7")]
            ),
            401,
            "{target}"
        );
    }
    let closed = Server::start_with(SITES, &["report.token=\"correct horse battery\""]);
    closed.flush();
    for target in ["/metrics", "/api/v1/sites/mia/report"] {
        assert_eq!(ask(&closed, target, &[("Host", "x")]), 401);
        assert_eq!(
            ask(
                &closed,
                target,
                &[("Host", "x"), ("Authorization", "Bearer wrong")]
            ),
            401
        );
        assert_eq!(
            ask(
                &closed,
                target,
                &[
                    ("Host", "x"),
                    ("Authorization", "Bearer correct horse battery")
                ]
            ),
            200
        );
    }
}

#[test]
fn the_flag_cookie_is_one_value_for_everybody_and_never_extended() {
    let server = Server::start_with(SITES, &["preset=\"alllinks\""]);
    let mut client = server.client();
    let grant = format!(
        "al_cookie_consent={}",
        signed("alllinks", 2, "preferences+analytics", ID)
    );
    let mut cookies = Vec::new();
    for person in 0..1000 {
        let address = format!("10.{}.{}.1", person / 250, person % 250);
        let answer = hit(
            &mut client,
            &view("/u/mia"),
            &[("Cookie", &grant), ("X-Forwarded-For", &address)],
        );
        cookies.push(
            answer
                .header("set-cookie")
                .expect("a new visitor")
                .to_owned(),
        );
    }
    cookies.dedup();
    assert_eq!(
        cookies,
        ["al_visit=1; Max-Age=86400; Secure; HttpOnly; SameSite=Lax; Path=/u/mia"]
    );
    let again = hit(
        &mut client,
        &view("/u/mia/shop"),
        &[("Cookie", &format!("{grant}; al_visit=1"))],
    );
    assert_eq!((again.status, again.header("set-cookie")), (202, None));
    server.flush();
    let totals = server.report("mia", DAY)["totals"].clone();
    assert_eq!(
        (totals["hits"].as_u64(), totals["visitors"].as_u64()),
        (Some(1001), Some(1000))
    );
}

#[test]
fn a_body_of_several_sites_sets_or_deletes_the_visit_cookie_of_each() {
    let server = Server::start_with(SITES, &["visitor.mode=flag_cookie"]);
    let mut client = server.client();
    let body = format!(
        "[{0},{1},{0},{2},{1}]",
        view("/u/mia"),
        view("/u/tom"),
        view("/u/tom/shop")
    );
    let set = "ff_visit=1; Max-Age=86400; Secure; HttpOnly; SameSite=Lax; Path=/u/";
    assert_eq!(
        set_cookies(&hit(&mut client, &body, &[])),
        [format!("{set}mia"), format!("{set}tom")]
    );

    // The browser says no more to be counted: each site's cookie is deleted.
    let refused = hit(
        &mut client,
        &body,
        &[("Cookie", "ff_consent=2.none; ff_visit=1")],
    );
    let deleted = "ff_visit=; Max-Age=0; Path=/u/";
    let own = set_cookies(&refused);
    assert_eq!(own.len(), 2, "{own:?}");
    for (cookie, site) in own.iter().zip(["mia", "tom"]) {
        assert!(cookie.starts_with(&format!("{deleted}{site};")), "{cookie}");
    }

    server.flush();
    for (site, hits) in [("mia", 2), ("tom", 3)] {
        let totals = server.report(site, DAY)["totals"].clone();
        assert_eq!(
            (totals["hits"].as_u64(), totals["visitors"].as_u64()),
            (Some(hits), Some(1)),
            "{site}"
        );
    }
}

#[test]
fn without_visitors_views_clicks_and_events_still_count() {
    let server = Server::start_with(SITES, &["visitor.mode=\"none\""]);
    let mut client = server.client();
    let page = "\"url\":\"https://pages.example/u/mia\"";
    let body = format!(
        "[{0},{0},{{\"kind\":\"click\",{page},\"name\":\"shop\",\"engaged\":2500}},{{\"kind\":\"event\",{page},\"name\":\"play\"}},\
         {{\"kind\":\"leave\",{page},\"engaged\":9000}}]",
        view("/u/mia")
    );
    assert_eq!(hit(&mut client, &body, &[]).status, 202);
    server.flush();
    let report = server.report("mia", DAY);
    let totals =
        serde_json::json!({"hits": 2, "visitors": 0, "visits": 0, "bounces": 0, "seconds": 0});
    assert_eq!(report["totals"], totals);
    assert_eq!(report["subjects"]["page"]["rows"][0]["seconds"], 9);
    assert_eq!(report["subjects"]["link"]["rows"][0]["seconds"], 3);
    assert_eq!(report["subjects"]["event"]["rows"][0]["hits"], 1);
    assert_eq!(
        report["dimensions"]["country"],
        serde_json::json!({"published": 0, "pending": 0, "rows": []})
    );
}
