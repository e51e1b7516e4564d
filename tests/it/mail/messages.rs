//! Single messages, if enabled: the platform learns whether a message was opened and on which day,
//! and nothing more.

use serde_json::{Value, json};

use super::{GMAIL, PERSON, load, nothing_counted, start};
use crate::support::{Body, Engine, Server, until};

fn ask(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let host = server.address().to_string();
    let answer = server
        .client()
        .ask(
            method,
            path,
            &[("Host", &host)],
            Body::Sized(body.as_bytes()),
        )
        .unwrap();
    (
        answer.status,
        serde_json::from_slice(&answer.body).unwrap_or_default(),
    )
}

/// The token of a new message.
pub fn make(server: &Server) -> String {
    make_as(server, "welcome")
}

fn make_as(server: &Server, template: &str) -> String {
    let new = format!(r#"{{"template":"{template}","consent":true}}"#);
    let (status, made) = ask(server, "POST", "/api/v1/mail/messages", &new);
    assert_eq!(status, 201, "{made}");
    made["messages"][0]["token"].as_str().unwrap().to_owned()
}

fn opened(server: &Server, token: &str) -> Value {
    let (status, message) = ask(server, "GET", &format!("/api/v1/mail/messages/{token}"), "");
    assert_eq!(status, 200, "{message}");
    message["opened"].clone()
}

fn follow_messages(more: &[&str]) -> Server {
    let own = ["mail.mode=per_message", "registry.refresh_secs=1"];
    let server = start(
        &own.into_iter()
            .chain(more.iter().copied())
            .collect::<Vec<_>>(),
    );
    // The clock begins at noon.
    load(
        &mut server.client(),
        "/ff/o/",
        ("198.51.100.7", PERSON),
        0,
        &[],
    );
    server.flush();
    server
}

fn pixel(token: &str) -> String {
    format!("/ff/o/m.{token}.gif")
}

/// Waits until `witness`, opened last, is recorded, so that all openings before it were processed.
fn settle(server: &Server) {
    settle_as(server, "welcome");
}

fn settle_as(server: &Server, template: &str) {
    let witness = make_as(server, template);
    load(
        &mut server.client(),
        &pixel(&witness),
        ("198.51.100.250", PERSON),
        0,
        &[],
    );
    until(
        || opened(server, &witness) != Value::Null,
        "an opening is kept",
    );
}

#[test]
fn a_message_says_that_it_was_opened_and_on_which_day_and_no_more() {
    let server = follow_messages(&[]);
    let [read, unread, by_proxy] = [(); 3].map(|()| make(&server));
    let mut client = server.client();
    load(&mut client, &pixel(&read), ("198.51.100.7", PERSON), 0, &[]);
    load(
        &mut client,
        &pixel(&by_proxy),
        ("66.249.84.11", GMAIL),
        0,
        &[],
    );
    settle(&server);
    // Opened again the next day: the first day stays.
    load(
        &mut client,
        &pixel(&read),
        ("198.51.100.7", PERSON),
        86_400_000,
        &[],
    );
    settle(&server);
    assert_eq!(
        (opened(&server, &read), opened(&server, &by_proxy)),
        (json!("2026-03-10"), json!("2026-03-10"))
    );
    assert_eq!(opened(&server, &unread), Value::Null);
    let (_, message) = ask(&server, "GET", &format!("/api/v1/mail/messages/{read}"), "");
    assert_eq!(
        message,
        json!({"template": "welcome", "opened": "2026-03-10", "revoked": false})
    );
    nothing_counted(&server);
}

#[test]
fn a_template_off_the_list_stops_counting_messages_that_were_sent() {
    let mut server = follow_messages(&[]);
    let (before, after) = (make(&server), make(&server));
    load(
        &mut server.client(),
        &pixel(&before),
        ("198.51.100.7", PERSON),
        0,
        &[],
    );
    settle(&server);
    server.kill();
    server.set(&["mail.templates=[\"billing_receipt\"]"]);
    server.restart();
    server.flush();
    load(
        &mut server.client(),
        &pixel(&after),
        ("198.51.100.7", PERSON),
        0,
        &[],
    );
    settle_as(&server, "billing_receipt");
    assert_eq!(
        (opened(&server, &before), opened(&server, &after)),
        (json!("2026-03-10"), Value::Null)
    );
}

#[test]
fn software_and_whoever_sends_a_signal_opens_no_message() {
    let server = follow_messages(&[]);
    let tokens = [(); 4].map(|()| make(&server));
    let mut client = server.client();
    load(
        &mut client,
        &pixel(&tokens[0]),
        ("104.28.28.7", "Mozilla/5.0"),
        0,
        &[],
    );
    load(
        &mut client,
        &pixel(&tokens[1]),
        ("198.51.100.7", PERSON),
        0,
        &[("DNT", "1")],
    );
    load(
        &mut client,
        &pixel(&tokens[2]),
        ("198.51.100.7", PERSON),
        0,
        &[("Sec-GPC", "1")],
    );
    load(
        &mut client,
        &pixel(&tokens[3]),
        ("198.51.100.7", PERSON),
        0,
        &[("Sec-Purpose", "prefetch")],
    );
    settle(&server);
    assert_eq!(
        tokens.map(|token| opened(&server, &token)),
        [(); 4].map(|()| Value::Null)
    );
}

#[test]
fn a_revoked_message_tells_nothing_and_what_it_told_is_forgotten() {
    let mut server = follow_messages(&[]);
    let [read, unread] = [(); 2].map(|()| make(&server));
    let mut client = server.client();
    load(&mut client, &pixel(&read), ("198.51.100.7", PERSON), 0, &[]);
    settle(&server);
    assert_eq!(opened(&server, &read), json!("2026-03-10"));
    for token in [&read, &unread] {
        assert_eq!(
            ask(
                &server,
                "DELETE",
                &format!("/api/v1/mail/messages/{token}"),
                ""
            )
            .0,
            204
        );
        // The mail that was sent long ago.
        assert_eq!(
            load(&mut client, &pixel(token), ("198.51.100.7", PERSON), 0, &[])
                .body
                .len(),
            43
        );
    }
    settle(&server);
    server.kill();
    server.restart();
    server.flush();
    for token in [&read, &unread] {
        let (_, message) = ask(
            &server,
            "GET",
            &format!("/api/v1/mail/messages/{token}"),
            "",
        );
        assert_eq!(
            message,
            json!({"template": "welcome", "opened": null, "revoked": true})
        );
    }
}

#[test]
fn a_message_is_gone_after_its_days_and_unknown_ones_are_not_there() {
    let server = follow_messages(&["mail.message_days=30"]);
    let token = make(&server);
    let path = format!("/api/v1/mail/messages/{token}");
    load(
        &mut server.client(),
        "/ff/o/",
        ("198.51.100.7", PERSON),
        30 * 86_400_000,
        &[],
    );
    assert_eq!(ask(&server, "GET", &path, "").0, 200);
    load(
        &mut server.client(),
        "/ff/o/",
        ("198.51.100.7", PERSON),
        31 * 86_400_000,
        &[],
    );
    assert_eq!(ask(&server, "GET", &path, "").0, 404);
    for unknown in ["AAAAAAAAAAAAAAAAAAAAAA", "x", "AAAAAAAAAAAAAAAAAAAAAAA"] {
        let (status, problem) = ask(
            &server,
            "GET",
            &format!("/api/v1/mail/messages/{unknown}"),
            "",
        );
        assert_eq!(
            (status, &problem["code"]),
            (404, &json!("unknown_message")),
            "{unknown}"
        );
    }
}

#[test]
fn without_the_switch_there_are_no_messages() {
    let server = start(&[]);
    server.flush();
    let new = r#"{"template":"welcome","consent":true}"#;
    let (status, problem) = ask(&server, "POST", "/api/v1/mail/messages", new);
    assert_eq!((status, &problem["code"]), (409, &json!("aggregate_only")));
    let server = follow_messages(&[]);
    for (body, status) in [
        (r#"{"template":"newsletter","consent":true}"#, 422),
        (r#"{"template":"welcome","consent":false}"#, 400),
        (r#"{"template":"welcome","consent":true,"count":1001}"#, 400),
    ] {
        assert_eq!(
            ask(&server, "POST", "/api/v1/mail/messages", body).0,
            status,
            "{body}"
        );
    }
}

/// It waits for the store at the process before, which ends.
#[test]
fn a_message_that_is_opened_during_an_outage_of_the_store_is_opened_also_after_an_upgrade() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let mut server = follow_messages(&[&format!("store.url={}", engine.url())]);
    let [read, unread] = [(); 2].map(|()| make(&server));

    engine.kill();
    let mut client = server.client();
    load(&mut client, &pixel(&read), ("198.51.100.9", PERSON), 0, &[]);
    server.upgrade();
    engine.restart();
    server.flush();
    until(|| opened(&server, &read) != Value::Null, "it is stored");
    assert_eq!(opened(&server, &read), "2026-03-10");
    assert_eq!(opened(&server, &unread), Value::Null);
}
