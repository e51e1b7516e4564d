//! Sessions end after inactivity, after their lifetime and at sign-out; changes made with a session
//! need its CSRF token and our own origin.

use super::{Caller, creator, nobody, operator, start};
use crate::support::{NOON, Server};

const MINUTE: i64 = 60_000;

/// Whether the session is valid at that minute. Keeps the renewed cookie, as a browser does.
fn role_at(server: &Server, caller: &mut Caller, minute: i64) -> bool {
    let at = (NOON + minute * MINUTE).to_string();
    let answer =
        caller
            .clone()
            .with("X-Footfall-Now", &at)
            .ask(server, "GET", "/api/v1/session", "");
    if answer.header("Set-Cookie").is_some() {
        *caller = caller.clone().with("Cookie", &super::cookie_of(&answer));
    }
    let session: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    session["role"] == "creator"
}

#[test]
fn a_session_ends_after_half_an_hour_of_quiet_or_twelve_hours() {
    let server = start(&[]);
    let mut mia = creator(&server, &["mia"]);
    assert!(
        [10, 39, 68]
            .iter()
            .all(|minute| role_at(&server, &mut mia, *minute)),
        "never quiet for half an hour"
    );
    assert!(!role_at(&server, &mut mia, 98), "quiet for half an hour");

    let settings = [
        "access.idle_timeout_secs=600",
        "access.absolute_timeout_secs=1800",
    ];
    let short = start(&settings);
    let mut mia = creator(&short, &["mia"]);
    assert!(
        (1..30)
            .step_by(5)
            .all(|minute| role_at(&short, &mut mia, minute))
    );
    assert!(
        !role_at(&short, &mut mia, 30),
        "busy all the time, and over"
    );
}

#[test]
fn signing_out_ends_the_session_on_the_server() {
    let server = start(&[]);
    let (mia, other) = (creator(&server, &["mia"]), creator(&server, &["mia"]));
    let answer = mia.ask(&server, "DELETE", "/api/v1/session", "");
    assert_eq!(answer.status, 204);
    assert!(
        answer
            .header("Set-Cookie")
            .unwrap()
            .contains("__Host-footfall=; Path=/; Secure")
    );
    assert!(answer.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(
        mia.ask(&server, "GET", "/api/v1/sites/mia/report", "")
            .status,
        401
    );
    assert_eq!(
        mia.ask(&server, "DELETE", "/api/v1/session", "").status,
        401
    );
    assert_eq!(
        other
            .ask(&server, "GET", "/api/v1/sites/mia/report", "")
            .status,
        200
    );
}

#[test]
fn each_sign_in_has_an_id_of_its_own_and_ends_the_session_before() {
    let server = start(&[]);
    let before = creator(&server, &["mia"]);
    let body =
        serde_json::json!({"token": super::sign(&super::claims(&["mia"], "again"))}).to_string();
    let after = before.ask(&server, "POST", "/handover", &body);
    assert_eq!(after.status, 303);
    let after = Caller::signed_in(&server, &after);
    let status = |caller: &Caller| {
        caller
            .ask(&server, "GET", "/api/v1/sites/mia/report", "")
            .status
    };
    assert_eq!((status(&before), status(&after)), (401, 200));
    for made_up in [
        "__Host-footfall=",
        "__Host-footfall=AAAA",
        &format!("__Host-footfall={}", "A".repeat(43)),
    ] {
        assert_eq!(status(&nobody().with("Cookie", made_up)), 401, "{made_up}");
    }
}

#[test]
fn a_change_made_with_a_session_needs_its_csrf_token_and_comes_from_our_own_page() {
    let server = start(&[]);
    let (mia, other) = (creator(&server, &["mia"]), creator(&server, &["mia"]));
    let csrf_of = |caller: &Caller| {
        caller
            .headers
            .iter()
            .find(|(name, _)| name == "X-CSRF-Token")
            .unwrap()
            .1
            .clone()
    };
    let body = r#"{"from":"2026-03-01","to":"2026-03-02"}"#;
    let make = |caller: &Caller| {
        let (status, code) = caller.refused(&server, "POST", "/api/v1/sites/mia/shares", body);
        format!("{status} {code}")
    };
    for (wrong, caller) in [
        ("none", mia.clone().without("X-CSRF-Token")),
        ("an empty one", mia.clone().with("X-CSRF-Token", "")),
        ("a guess", mia.clone().with("X-CSRF-Token", &"0".repeat(64))),
        (
            "another session's",
            mia.clone().with("X-CSRF-Token", &csrf_of(&other)),
        ),
        (
            "the right one, from another page",
            mia.clone().with("Origin", "https://evil.example"),
        ),
        (
            "the right one, from a sandbox",
            mia.clone().with("Origin", "null"),
        ),
        (
            "the right one, across sites",
            mia.clone().with("Sec-Fetch-Site", "cross-site"),
        ),
        (
            "the right one, from nowhere",
            mia.clone().without("Origin").without("Sec-Fetch-Site"),
        ),
    ] {
        assert_eq!(make(&caller), "403 bad_csrf", "{wrong}");
        // The same for requests that end the session.
        assert_eq!(
            caller.refused(&server, "DELETE", "/api/v1/session", "").0,
            403,
            "{wrong}"
        );
    }
    assert_eq!(make(&mia), "201 ");
    let without_origin = mia.clone().without("Origin");
    assert_eq!(
        make(&without_origin),
        "201 ",
        "an older browser says Sec-Fetch-Site only"
    );
    // A token is not a cookie: no page can make a browser send it.
    assert_eq!(
        operator()
            .ask(&server, "POST", "/api/v1/sites/mia/shares", body)
            .status,
        201
    );
}

#[test]
fn another_page_cannot_use_that_this_machine_is_the_operator() {
    let server = Server::start("");
    server.flush();
    let body = r#"{"name":"n","scopes":["read"]}"#;
    let make = |caller: Caller| caller.ask(&server, "POST", "/api/v1/tokens", body).status;
    assert_eq!(make(nobody()), 201, "a program says nothing of pages");
    assert_eq!(
        make(nobody().with("Origin", &format!("http://{}", server.address()))),
        201
    );
    assert_eq!(make(nobody().with("Origin", "https://evil.example")), 403);
    assert_eq!(
        make(
            nobody()
                .with("Sec-Fetch-Site", "cross-site")
                .with("Content-Type", "text/plain")
        ),
        403
    );
    assert_eq!(
        nobody()
            .with("Host", "evil.example")
            .ask(&server, "GET", "/api/v1/tokens", "")
            .status,
        401
    );
    assert_eq!(
        nobody().json(&server, "GET", "/api/v1/session", "")["role"],
        "operator"
    );
}

#[test]
fn whoever_shows_a_token_is_judged_by_it_alone() {
    let server = start(&[]);
    let both = creator(&server, &["mia"]).with("Authorization", "Bearer ff_guess");
    assert_eq!(
        both.ask(&server, "GET", "/api/v1/sites/mia/report", "")
            .status,
        401
    );
    // The authentication scheme of a proxy is ignored.
    let basic = creator(&server, &["mia"]).with("Authorization", "Basic Zm9vOmJhcg==");
    assert_eq!(
        basic
            .ask(&server, "GET", "/api/v1/sites/mia/report", "")
            .status,
        200
    );
}

#[test]
fn an_open_stream_ends_with_the_session_or_token_it_was_opened_with() {
    let server = start(&[]);
    let (id, text) = super::token(&server, &["read"], None);
    let (mia, reader, other) = (
        creator(&server, &["mia"]),
        Caller::bearer(&text),
        creator(&server, &["mia"]),
    );
    let [signed_out, revoked, idle] = [&mia, &reader, &other].map(|caller| {
        let mut client = server.client();
        caller.send(&mut client, &server, "GET", "/api/v1/sites/mia/events", "");
        let head = client.receive_head().unwrap();
        let first = String::from_utf8(client.receive_chunk().unwrap()).unwrap();
        assert_eq!(
            (head.status, &*first),
            (200, "event: live\ndata: {\"visitors\":0}\n\n")
        );
        (client, head)
    });
    assert_eq!(
        mia.ask(&server, "DELETE", "/api/v1/session", "").status,
        204
    );
    assert_eq!(
        operator()
            .ask(&server, "DELETE", &format!("/api/v1/tokens/{id}"), "")
            .status,
        204
    );
    let began = std::time::Instant::now();
    for (mut client, head) in [signed_out, revoked] {
        let body = client.receive_body(head).unwrap().text();
        // A comment keeps it open while nothing happens.
        let events: Vec<&str> = body.lines().filter(|line| !line.starts_with(':')).collect();
        assert!(events.iter().all(|line| line.is_empty()), "{body}");
    }
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());

    // A caller that only reads a stream is idle.
    let later = (NOON + 31 * MINUTE).to_string();
    assert_eq!(
        nobody()
            .with("X-Footfall-Now", &later)
            .ask(&server, "GET", "/healthz", "")
            .status,
        200
    );
    let (mut client, head) = idle;
    let patience = std::time::Instant::now();
    client.receive_body(head).unwrap();
    assert!(
        patience.elapsed().as_secs() < 15,
        "{:?}",
        patience.elapsed()
    );
}
