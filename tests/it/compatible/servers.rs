//! Claims about a visitor's address and user agent are accepted only from a server that holds the
//! site's token.

use serde_json::{Value, json};

use super::{refusals, seen, start, totals};
use crate::canary::{files, holds};
use crate::support::{ABSENT, AGENT, Answer, Client, SITES, Server, ask};

const TOKEN: &str = "a token of tom's server";
const NODE: &str = "Mozilla/5.0 Umami/v22.4.0";

/// Headers of a server's request to the collector's own host.
const FROM_SERVER: [(&str, &str); 4] = [
    ("X-Forwarded-Host", "collector.internal"),
    ("Origin", ABSENT),
    ("Cookie", ABSENT),
    ("User-Agent", NODE),
];

/// As `@umami/node` sends it: from a server, to the collector's own host, without a cookie.
fn from_server(client: &mut Client, payload: &Value, more: &[(&str, &str)]) -> Answer {
    let kept = FROM_SERVER
        .into_iter()
        .chain([("X-Forwarded-For", "203.0.113.5")])
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let headers: Vec<(&str, &str)> = kept.chain(more.iter().copied()).collect();
    let body = json!({"type": "event", "payload": payload}).to_string();
    ask(client, "POST", "/api/send", &body, &headers)
}

fn told(website: &str, ip: &str, agent: &str) -> Value {
    json!({"website": website, "hostname": "pages.example", "url": "/u/tom", "ip": ip, "userAgent": agent, "timestamp": 1})
}

const BEARER: (&str, &str) = ("Authorization", "Bearer a token of tom's server");

#[test]
fn a_strangers_claims_change_nothing() {
    let server = start();
    let mut client = server.client();
    let mut send = |ip: &str, agent: &str, more: &[(&str, &str)]| {
        let payload = json!({
            "website": "x", "url": "https://pages.example/u/mia", "ip": ip, "userAgent": agent, "timestamp": 86_400,
            "browser": "x", "os": "x", "device": "x",
        });
        let body = json!({"type": "event", "payload": payload}).to_string();
        assert_eq!(
            ask(&mut client, "POST", "/ff/api/send", &body, more).status,
            200
        );
    };
    send("192.0.2.1", "Firefox", &[]);
    send("192.0.2.2", "Safari", &[]);
    send("not an address", "Googlebot", &[]);
    send(
        "192.0.2.3",
        "Firefox",
        &[
            ("X-Plausible-IP", "192.0.2.4"),
            ("CF-Connecting-IP", "192.0.2.5"),
        ],
    );
    send(
        "192.0.2.6",
        "Firefox",
        &[("Authorization", "Bearer a token of nobody's server")],
    );
    send("192.0.2.7", "Firefox", &[("CF-IPCountry", "FR"), BEARER]);
    server.flush();
    // All of them today, of one visitor; tom's token has no effect on mia's site.
    assert_eq!(totals(&server, "mia")[..3], [6, 1, 1]);
}

#[test]
fn a_server_with_the_token_speaks_for_its_visitors() {
    let server = start();
    let mut client = server.client();
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    for (website, ip, agent, more) in [
        (TOKEN, "198.51.100.1", AGENT, &[][..]),
        (TOKEN, "198.51.100.2", AGENT, &[]),
        (TOKEN, "198.51.100.2", firefox, &[]),
        ("x", "198.51.100.2", firefox, &[BEARER]),
        (
            "x",
            "198.51.100.1",
            AGENT,
            &[BEARER, ("X-Forwarded-For", "203.0.113.77")],
        ),
    ] {
        assert_eq!(
            from_server(&mut client, &told(website, ip, agent), more).status,
            200
        );
    }
    server.flush();
    assert_eq!(totals(&server, "tom")[..3], [5, 3, 3]);
    assert_eq!(refusals(&server, "not_a_view"), 0);
}

#[test]
fn without_an_address_or_an_agent_a_servers_hit_has_no_visitor() {
    let server = start();
    let mut client = server.client();
    for payload in [
        json!({"website": TOKEN, "hostname": "pages.example", "url": "/u/tom"}),
        json!({"website": TOKEN, "hostname": "pages.example", "url": "/u/tom", "ip": "198.51.100.1"}),
        json!({"website": TOKEN, "hostname": "pages.example", "url": "/u/tom", "userAgent": AGENT}),
        told(TOKEN, "nonsense", AGENT),
        told(TOKEN, "198.51.100.1", "  "),
    ] {
        assert_eq!(from_server(&mut client, &payload, &[]).status, 200);
    }
    let view = json!({"n": "pageview", "u": "https://pages.example/u/tom"}).to_string();
    let server_of_tom = [
        ("X-Forwarded-Host", "collector.internal"),
        ("Origin", ABSENT),
        ("User-Agent", "node"),
        BEARER,
    ];
    assert_eq!(
        ask(&mut client, "POST", "/api/event", &view, &server_of_tom).status,
        202
    );
    server.flush();
    assert_eq!(totals(&server, "tom"), [6, 0, 0, 0]);
}

#[test]
fn what_a_server_may_not_do_is_answered_like_a_count() {
    let server = start();
    let mut client = server.client();
    let googlebot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    let visitor = told(TOKEN, "198.51.100.1", AGENT);
    let counted = seen(&from_server(&mut client, &visitor, &[]));
    let elsewhere = json!({"website": TOKEN, "url": "https://pages.example/u/mia", "ip": "198.51.100.1", "userAgent": AGENT});
    for (payload, more, reason) in [
        // The visitor is a robot, sends a signal, or refused: the server forwards their header
        // fields.
        (
            told(TOKEN, "198.51.100.1", googlebot),
            &[][..],
            "not_a_view",
        ),
        (visitor, &[("DNT", "1")], "dnt"),
        (
            told(TOKEN, "198.51.100.1", AGENT),
            &[("Sec-GPC", "1")],
            "gpc",
        ),
        (
            told(TOKEN, "198.51.100.1", AGENT),
            &[("Cookie", "ff_consent=2.none")],
            "no_consent",
        ),
        // Without the token, or with another site's, it is a program at a host that is not the
        // page's.
        (told("x", "198.51.100.1", AGENT), &[], "unknown_site"),
        (
            told("x", "198.51.100.1", AGENT),
            &[("X-Forwarded-Host", "pages.example")],
            "not_a_view",
        ),
        (
            told("a token of tom's serve", "198.51.100.1", AGENT),
            &[],
            "unknown_site",
        ),
        (elsewhere, &[], "unknown_site"),
        // A token that was leaked into a page of another origin.
        (
            told(TOKEN, "198.51.100.1", AGENT),
            &[("Origin", "https://evil.example")],
            "unknown_site",
        ),
        (
            told(TOKEN, "198.51.100.1", AGENT),
            &[("Sec-Fetch-Site", "cross-site")],
            "unknown_site",
        ),
    ] {
        let before = refusals(&server, reason);
        assert_eq!(
            seen(&from_server(&mut client, &payload, more)),
            counted,
            "{reason} {more:?}"
        );
        assert_eq!(refusals(&server, reason), before + 1, "{reason} {more:?}");
    }
    server.flush();
    assert_eq!(
        (totals(&server, "tom")[..2].to_vec(), totals(&server, "mia")),
        (vec![1, 1], [0; 4])
    );
}

#[test]
fn a_batch_speaks_of_several_visitors_and_each_hit_keeps_its_own() {
    let server = start();
    let mut client = server.client();
    let envelope = |ip: &str| json!({"type": "event", "payload": told(TOKEN, ip, AGENT)});
    let speed = json!({"type": "performance", "payload": {"website": TOKEN, "hostname": "pages.example", "url": "/u/tom",
                       "lcp": 100, "cls": 0, "ip": "198.51.100.9", "userAgent": AGENT}});
    let batch = json!([
        envelope("198.51.100.1"),
        speed,
        envelope("198.51.100.2"),
        envelope("198.51.100.1")
    ]);
    assert_eq!(
        ask(
            &mut client,
            "POST",
            "/ff/api/batch",
            &batch.to_string(),
            &FROM_SERVER
        )
        .status,
        200
    );
    server.flush();
    assert_eq!(totals(&server, "tom")[..2], [3, 2]);
}

#[test]
fn what_is_not_read_of_a_hit_spoils_neither_the_hit_nor_its_batch() {
    let server = start();
    let mut client = server.client();
    let envelope = |person: usize, more: &str| {
        let ip = format!("198.51.100.{person}");
        let payload = told(TOKEN, &ip, AGENT).to_string();
        let payload = payload.replacen('{', &format!("{{{more}"), 1);
        format!(r#"{{"type":"event","payload":{payload}}}"#)
    };
    let mut send = |path: &str, body: &str| ask(&mut client, "POST", path, body, &FROM_SERVER);
    let deep = format!(r#""data":{}{},"#, "[".repeat(300), "]".repeat(300));
    let cases = [
        (r#""data":{"price":1e999},"#, 200),
        (&*deep, 200),
        (r#""title":"\ud83d","#, 200),
        (r#""name":1e999,"#, 400),
        (r#""name":{"a":[1e999]},"#, 400),
    ];
    let mut counted = 0;
    for (more, status) in cases {
        let odd = envelope(9, more);
        assert_eq!(send("/api/send", &odd).status, status, "{more}");

        let batch = format!("[{},{odd},{}]", envelope(1, ""), envelope(2, ""));
        let answer: Value = serde_json::from_str(&send("/api/batch", &batch).text()).unwrap();
        let errors = u64::from(status == 400);
        assert_eq!(
            (answer["processed"].as_u64(), answer["errors"].as_u64()),
            (Some(3 - errors), Some(errors)),
            "{more}: {answer}"
        );
        counted += 2 + 2 * (1 - errors);
    }
    server.flush();
    assert_eq!(totals(&server, "tom")[..2], [counted, 3]);
}

#[test]
fn in_flag_cookie_mode_a_server_sets_no_cookie_and_has_no_visitors() {
    let server = Server::start_with(
        &format!("{SITES}{}", super::ACCEPT),
        &["visitor.mode=flag_cookie"],
    );
    let mut client = server.client();
    let answer = from_server(&mut client, &told(TOKEN, "198.51.100.1", AGENT), &[]);
    assert_eq!(answer.header("set-cookie"), None);
    server.flush();
    assert_eq!(totals(&server, "tom"), [1, 0, 0, 0]);
}

#[test]
fn nothing_of_what_is_read_and_forgotten_is_in_any_byte_the_collector_leaves() {
    let mut server = Server::start_with(
        &format!("{SITES}{}", super::ACCEPT),
        &["log.filter=\"trace\"", "journal.segment_secs=3600"],
    );
    let mut client = server.client();
    let agent = "Mozilla/5.0 (X11; Linux x86_64; CANARYAGENT) Gecko/20100101 Firefox/131.0";
    for (website, last) in [(TOKEN, "kept"), ("CANARYWEBSITE", "stranger")] {
        let mut payload = told(website, "203.0.113.177", agent);
        let more = json!({
            "url": format!("/u/tom/{last}?x=CANARYQUERY"), "referrer": "https://blog.example/CANARYPATH", "title": "CANARYTITLE", "id": "CANARYID",
            "data": {"CANARYKEY": "CANARYDATA"}, "tag": "CANARYTAG", "screen": "CANARYSIZE", "language": "CANARYLANG",
        });
        payload
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert_eq!(from_server(&mut client, &payload, &[]).status, 200);
        payload["ip"] = json!(["CANARYLIST"]);
        assert_eq!(from_server(&mut client, &payload, &[]).status, 400);
    }
    let props = json!({"n": "signup", "u": "https://pages.example/u/tom?CANARY=1", "d": "CANARYDOMAIN", "p": {"CANARY": "CANARY"}});
    assert_eq!(
        ask(
            &mut client,
            "POST",
            "/ff/api/event",
            &props.to_string(),
            &[]
        )
        .status,
        202
    );
    let pixel = "/ff/count?p=/u/tom&t=CANARYTITLE&r=CANARYREFERRER&q=CANARY&rnd=CANARY&s=1";
    assert_eq!(ask(&mut client, "GET", pixel, "", &[]).status, 200);
    // All of it is in the open segment, which is not compressed.
    server.kill();
    let all = files(server.dir());
    assert!(
        all.iter().any(|(_, bytes)| holds(bytes, b"/u/tom/kept")),
        "what may be kept is found: the search works"
    );
    // The token is only in the configuration.
    let written = all
        .iter()
        .filter(|(path, _)| !path.ends_with("footfall.toml"));
    for (path, bytes) in written {
        for needle in ["CANARY", "203.0.113.177", TOKEN] {
            assert!(
                !holds(bytes, needle.as_bytes()),
                "{} holds {needle}",
                path.display()
            );
        }
    }
}
