//! Invalid hits of other products' trackers are answered in each product's own error format; size
//! limits are those of native hits.

use serde_json::{Value, json};

use super::{PAGE, ask, start, totals};
use crate::support::{Body, grant};

/// A view of a profile's page at each of the four addresses: method, target, body.
pub fn view_of(profile: &str) -> [(&'static str, String, String); 4] {
    let page = format!("https://pages.example/u/{profile}");
    let envelope = json!({"type": "event", "payload": {"website": "x", "url": page}});
    let in_query = profile.replace(' ', "%20");
    [
        (
            "POST",
            "/ff/api/event".into(),
            json!({"n": "pageview", "u": page, "d": "pages.example"}).to_string(),
        ),
        ("POST", "/ff/api/send".into(), envelope.to_string()),
        (
            "POST",
            "/ff/api/batch".into(),
            json!([envelope]).to_string(),
        ),
        ("GET", format!("/ff/count?p=/u/{in_query}"), String::new()),
    ]
}

#[test]
fn what_plausible_cannot_read_is_an_error_under_its_field() {
    let server = start();
    let mut client = server.client();
    for (body, field) in [
        (String::new(), "request"),
        ("{".into(), "request"),
        ("[]".into(), "request"),
        ("[".repeat(4000), "request"),
        (json!({"u": PAGE}).to_string(), "name"),
        (json!({"n": true, "u": PAGE}).to_string(), "name"),
        (json!({"n": 1.5, "u": PAGE}).to_string(), "name"),
        (json!({"n": " ", "u": PAGE}).to_string(), "name"),
        (json!({"n": "pageview"}).to_string(), "url"),
        (json!({"n": "pageview", "u": ""}).to_string(), "url"),
        (json!({"n": "pageview", "u": 7}).to_string(), "url"),
        (
            json!({"n": "pageview", "u": "data:text/html,x"}).to_string(),
            "url",
        ),
        (json!({"n": "pageview", "u": "/u/mia"}).to_string(), "url"),
        (
            json!({"n": "pageview", "u": "https://user:pw@pages.example/u/mia"}).to_string(),
            "url",
        ),
        (
            json!({"n": "pageview", "u": PAGE, "d": 5}).to_string(),
            "domain",
        ),
        (
            json!({"n": "pageview", "u": PAGE, "r": {}}).to_string(),
            "referrer",
        ),
        (
            json!({"n": "pageview", "u": PAGE, "p": 5}).to_string(),
            "props",
        ),
        (
            json!({"n": "x", "u": PAGE, "i": "no"}).to_string(),
            "interactive",
        ),
        (json!({"n": "x", "u": PAGE, "$": 5}).to_string(), "revenue"),
        (
            json!({"n": "engagement", "u": PAGE, "e": 1.5}).to_string(),
            "e",
        ),
        (
            json!({"n": "engagement", "u": PAGE, "e": "soon"}).to_string(),
            "e",
        ),
    ] {
        let answer = ask(&mut client, "POST", "/ff/api/event", &body, &[]);
        assert_eq!(answer.status, 400, "{body:.80}");
        let errors: Value = serde_json::from_slice(&answer.body).unwrap();
        let errors = errors["errors"].as_object().unwrap();
        assert_eq!(errors.keys().collect::<Vec<_>>(), [field], "{body:.80}");
        assert!(
            errors[field][0].as_str().unwrap().starts_with("must "),
            "{body:.80}"
        );
    }
    server.flush();
    assert_eq!(totals(&server, "mia"), [0; 4]);
}

#[test]
fn what_umami_cannot_read_is_an_error_with_a_message() {
    let server = start();
    let mut client = server.client();
    let event = |payload: Value| json!({"type": "event", "payload": payload}).to_string();
    let page = |key: &str, value: Value| {
        let mut payload = json!({"website": "x", "url": PAGE});
        payload[key] = value;
        payload
    };
    let speed = |key: &str, value: Value| {
        json!({"type": "performance", "payload": page(key, value)}).to_string()
    };
    let good = json!({"type": "event", "payload": {"url": PAGE}});
    for (target, body, word) in [
        ("send", String::new(), "body"),
        ("send", "[]".into(), "body"),
        ("send", "{}".into(), "payload"),
        (
            "send",
            json!({"type": "record", "payload": {}}).to_string(),
            "type",
        ),
        (
            "send",
            json!({"type": 5, "payload": {}}).to_string(),
            "type",
        ),
        (
            "send",
            json!({"type": "event", "payload": "x"}).to_string(),
            "payload",
        ),
        ("send", event(page("website", json!(5))), "website"),
        ("send", event(page("url", json!(5))), "url"),
        ("send", event(page("url", json!("/u/mia"))), "url"),
        (
            "send",
            event(page("url", json!("https://u:p@pages.example/"))),
            "url",
        ),
        (
            "send",
            event(page("hostname", json!("x".repeat(101)))),
            "hostname",
        ),
        ("send", event(page("referrer", json!([]))), "referrer"),
        ("send", event(page("ip", json!(16_843_009))), "ip"),
        ("send", event(page("userAgent", json!({}))), "userAgent"),
        ("send", speed("lcp", json!("fast")), "lcp"),
        ("send", speed("inp", json!(60_001)), "inp"),
        ("send", speed("cls", json!(-1)), "cls"),
        ("batch", good.to_string(), "body"),
        ("batch", "[]".into(), "body"),
        ("batch", json!(vec![&good; 21]).to_string(), "body"),
        (
            "batch",
            json!([{"type": "event", "payload": {"url": 5}}, {"type": 1}]).to_string(),
            "url",
        ),
    ] {
        let answer = ask(
            &mut client,
            "POST",
            &format!("/ff/api/{target}"),
            &body,
            &[],
        );
        assert_eq!(answer.status, 400, "{body:.80}");
        let error: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (&error["error"]["code"], &error["error"]["status"]),
            (&json!("bad-request"), &json!(400))
        );
        assert!(
            error["error"]["message"]
                .as_str()
                .unwrap()
                .starts_with(word),
            "{body:.80}: {error}"
        );
    }
    server.flush();
    assert_eq!(totals(&server, "mia"), [0; 4]);
}

#[test]
fn what_goatcounter_cannot_read_is_a_pixel_that_says_why_in_our_words() {
    let server = start();
    let mut client = server.client();
    for (query, word) in [
        ("", "p"),
        ("p=", "p"),
        ("p=/u/mia&e=maybe-ann%0d%0aX-Evil:1", "e"),
        ("p=/u/mia&s=wide", "s"),
        ("p=/u/mia&s=1,x", "s"),
        ("p=/u/mia&b=1", "b"),
        ("p=/u/mia&b=149", "b"),
        ("p=/u/mia&b=bot", "b"),
    ] {
        let answer = ask(&mut client, "GET", &format!("/ff/count?{query}"), "", &[]);
        assert_eq!((answer.status, answer.body.len()), (400, 43), "{query:.40}");
        let why = answer.header("x-goatcounter").unwrap();
        assert!(
            why.starts_with(word) && !why.contains("ann"),
            "{query:.40}: {why}"
        );
    }
    // A robot that their script detected is not a view, and gets no explanation.
    assert_eq!(
        ask(&mut client, "GET", "/ff/count?p=/u/mia&b=150", "", &[]).status,
        200
    );
    server.flush();
    assert_eq!(totals(&server, "mia"), [0; 4]);
}

#[test]
fn limits_of_size_are_those_of_a_native_hit_and_the_connection_serves_the_next() {
    let server = start();
    let mut client = server.client();
    for (method, target, sent) in &view_of("mia") {
        let padded = format!("{sent}{}", " ".repeat(8193 - sent.len()));
        let huge = "x".repeat(70_000);
        let wide = "x".repeat(17_000);
        assert_eq!(
            ask(&mut client, method, target, &padded, &[]).status,
            413,
            "{target}"
        );
        assert_eq!(
            ask(
                &mut client,
                method,
                target,
                sent,
                &[("Content-Encoding", "gzip")]
            )
            .status,
            415,
            "{target}"
        );
        assert_eq!(
            ask(&mut client, method, target, sent, &[("X-Wide", &wide)]).status,
            431,
            "{target}"
        );
        let fine = if target.ends_with("event") { 202 } else { 200 };
        assert_eq!(
            ask(&mut client, method, target, sent, &[]).status,
            fine,
            "{target}"
        );
        let cookie = grant();
        let headers = [("Host", "pages.example"), ("Cookie", cookie.as_str())];
        let chunks: Vec<&[u8]> = huge.as_bytes().chunks(1000).collect();
        let answer = server
            .client()
            .ask(method, target, &headers, Body::Chunked(&chunks))
            .unwrap();
        assert_eq!(answer.status, 413, "{target}");
    }
    server.flush();
    assert_eq!(totals(&server, "mia")[0], 4);
}
