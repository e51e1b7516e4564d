//! API tokens are shown once and work until they expire or are revoked; every change and sign-in is
//! in the audit log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Caller, creator, nobody, operator, share, start, token};
use crate::support::{Engine, NOON, SITES, Server, until};

fn audited(server: &Server) -> Vec<(String, String, String)> {
    let rows = operator().json(server, "GET", "/api/v1/audit?limit=1000", "")["rows"].clone();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| (text(row, "actor"), text(row, "action"), text(row, "target")))
        .collect()
}

#[test]
fn a_token_is_shown_once_and_opens_until_it_is_revoked_or_expires() {
    let server = start(&[]);
    let (id, text) = token(&server, &["read"], Some("mia"));
    assert!(text.starts_with("ff_") && text.len() == 46, "{text}");
    let listed = operator().ask(&server, "GET", "/api/v1/tokens", "");
    assert!(!listed.text().contains(&text));
    let row = json!({"id": id, "name": "of a test", "scopes": ["read"], "site": "mia", "expires": null, "created": "2026-03-10", "revoked": false});
    assert_eq!(
        serde_json::from_slice::<Value>(&listed.body).unwrap(),
        json!({ "rows": [row] })
    );

    let reads = |caller: &Caller| {
        caller
            .ask(&server, "GET", "/api/v1/sites/mia/report", "")
            .status
    };
    assert_eq!(reads(&Caller::bearer(&text)), 200);
    for guess in [
        &text[..45],
        &format!("{text}A"),
        &text[3..],
        "ff_",
        &id,
        "operator",
    ] {
        assert_eq!(reads(&Caller::bearer(guess)), 401, "{guess}");
    }
    assert_eq!(
        operator()
            .ask(&server, "DELETE", &format!("/api/v1/tokens/{id}"), "")
            .status,
        204
    );
    assert_eq!(reads(&Caller::bearer(&text)), 401);
    assert_eq!(
        operator().json(&server, "GET", "/api/v1/tokens", "")["rows"][0]["revoked"],
        true
    );
    assert_eq!(
        operator().refused(&server, "DELETE", "/api/v1/tokens/nothing", ""),
        (404, "unknown_token".into())
    );

    let body = r#"{"name":"of March","scopes":["read"],"expires":"2026-03-11"}"#;
    let text = operator().json(&server, "POST", "/api/v1/tokens", body)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let on_day = |days: i64| {
        Caller::bearer(&text).with("X-Footfall-Now", &(NOON + days * 86_400_000).to_string())
    };
    assert_eq!([0, 1, 2].map(|day| reads(&on_day(day))), [200, 200, 401]);
}

#[test]
fn a_token_that_means_nothing_is_not_made() {
    let server = start(&[]);
    for (body, status, word) in [
        (r#"{"name":"","scopes":["read"]}"#, 400, "name"),
        (r#"{"name":"<script>","scopes":["read"]}"#, 400, "name"),
        (r#"{"name":"a\nb","scopes":["read"]}"#, 400, "name"),
        (r#"{"name":"a","scopes":[]}"#, 400, "scopes"),
        (r#"{"name":"a","scopes":["read","read"]}"#, 400, "scopes"),
        (r#"{"name":"a","scopes":["write"]}"#, 400, "scopes"),
        (
            r#"{"name":"a","scopes":["read"],"site":"ghost"}"#,
            404,
            "No such site",
        ),
        (
            r#"{"name":"a","scopes":["read"],"expires":"2026-03-09"}"#,
            400,
            "today",
        ),
        (
            r#"{"name":"a","scopes":["read"],"expires":"soon"}"#,
            400,
            "",
        ),
        (
            r#"{"name":"a","scopes":["read"],"owner":"me"}"#,
            400,
            "owner",
        ),
        ("{", 400, "EOF"),
    ] {
        let answer = operator().ask(&server, "POST", "/api/v1/tokens", body);
        assert_eq!(
            (answer.status, answer.text().contains(word)),
            (status, true),
            "{body}: {}",
            answer.text()
        );
    }
    assert_eq!(
        operator().json(&server, "GET", "/api/v1/tokens", ""),
        json!({"rows": []})
    );
}

#[test]
fn every_change_and_sign_in_is_on_record() {
    let mut server = start(&[]);
    let before = audited(&server);
    let entry =
        |who: &str, act: &str, what: &str| (who.to_owned(), act.to_owned(), what.to_owned());
    assert!(
        before.contains(&entry("operator", "put_site", "tom")) && before.len() == 2,
        "{before:?}"
    );

    let at = std::cell::Cell::new(NOON + 1000);
    assert_eq!(
        nobody()
            .with("X-Footfall-Now", &at.get().to_string())
            .ask(&server, "GET", "/healthz", "")
            .status,
        200
    );
    // A second between actions, because entries of one moment have no order.
    let later = |caller: &Caller| {
        at.set(at.get() + 1000);
        caller.clone().with("X-Footfall-Now", &at.get().to_string())
    };
    let (id, text) = token(&server, &["manage"], None);
    let manager = Caller::bearer(&text);
    let done = |caller: &Caller, method: &str, path: &str, body: &str| {
        assert_eq!(
            later(caller).ask(&server, method, path, body).status,
            204,
            "{method} {path}"
        );
    };
    done(
        &manager,
        "PUT",
        "/api/v1/aliases/mia-new",
        r#"{"site":"mia"}"#,
    );
    done(&manager, "DELETE", "/api/v1/aliases/mia-new", "");
    let mia = creator(&server, &["mia"]);
    at.set(at.get() + 1000);
    let body = r#"{"from":"2026-03-01","to":"2026-03-02"}"#;
    let made = later(&mia).json(&server, "POST", "/api/v1/sites/mia/shares", body)["id"]
        .as_str()
        .unwrap()
        .to_owned();
    done(
        &mia,
        "DELETE",
        &format!("/api/v1/sites/mia/shares/{made}"),
        "",
    );
    done(&mia, "DELETE", "/api/v1/session", "");
    done(&operator(), "DELETE", &format!("/api/v1/tokens/{id}"), "");
    done(&operator(), "DELETE", "/api/v1/sites/tom", "");
    // A rejected request is not a change.
    assert_eq!(
        later(&operator())
            .ask(&server, "DELETE", "/api/v1/sites/tom", "")
            .status,
        404
    );
    let link = format!("mia {made}");
    let expected = [
        entry("operator", "remove_site", "tom"),
        entry("operator", "revoke_token", "of a test"),
        entry("creator", "sign_out", "mia"),
        entry("creator", "revoke_share", &link),
        entry("creator", "make_share", &link),
        entry("token of a test", "remove_alias", "mia-new"),
        entry("creator", "sign_in", "mia"),
        entry("token of a test", "put_alias", "mia-new"),
        entry("operator", "make_token", "of a test"),
    ];
    let mut found = audited(&server);
    found.truncate(expected.len());
    let sorted = |mut rows: Vec<_>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(found.clone()), sorted(expected.to_vec()));
    assert_eq!(found[..5], expected[..5], "newest first");
    let first = operator().json(&server, "GET", "/api/v1/audit?limit=1", "");
    assert_eq!(first["rows"].as_array().unwrap().len(), 1);
    assert_eq!(first["rows"][0]["at"], "2026-03-10T12:00:09Z");
    for limit in ["limit=0", "limit=1001", "limit=1&limit=2", "who=me"] {
        assert_eq!(
            operator()
                .ask(&server, "GET", &format!("/api/v1/audit?{limit}"), "")
                .status,
            400,
            "{limit}"
        );
    }

    // Sign-ins wait in memory for a moment; an orderly stop stores them.
    server.stop();
    server.restart();
    server.flush();
    assert_eq!(audited(&server).len(), expected.len() + before.len());
}

#[test]
fn what_one_collector_revokes_the_other_of_the_same_database_refuses_within_seconds() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let settings = [&*url, "registry.refresh_secs=1"];
    let one = start(&settings);
    let two = Server::start_with(SITES, &[&settings[..], &[super::REPORT_TOKEN]].concat());
    two.flush();
    let (id, text) = token(&one, &["read"], None);
    let status = || {
        Caller::bearer(&text)
            .ask(&two, "GET", "/api/v1/drops", "")
            .status
    };
    until(|| status() == 200, "the token opens");
    assert_eq!(
        operator()
            .ask(&one, "DELETE", &format!("/api/v1/tokens/{id}"), "")
            .status,
        204
    );
    until(|| status() == 401, "the token no longer opens");
}

#[test]
fn with_the_store_away_changes_and_tokens_are_an_error_and_not_a_hang() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let mut server = start(&[&format!("store.url={}", engine.url())]);
    let (_, text) = token(&server, &["read"], None);
    let (_, secret) = share(&server, "mia", json!({}));
    let mia = creator(&server, &["mia"]);
    let report = format!("/api/v1/shares/{secret}/report");
    engine.kill();

    let began = Instant::now();
    let body = r#"{"from":"2026-03-01","to":"2026-03-02"}"#;
    let mut found = BTreeMap::new();
    for (name, caller, method, path, body) in [
        ("a link's report", &nobody(), "GET", &*report, ""),
        (
            "a token's report",
            &Caller::bearer(&text),
            "GET",
            "/api/v1/sites/mia/report",
            "",
        ),
        ("a new link", &mia, "POST", "/api/v1/sites/mia/shares", body),
        (
            "a new token",
            &operator(),
            "POST",
            "/api/v1/tokens",
            r#"{"name":"n","scopes":["read"]}"#,
        ),
        ("the audit log", &operator(), "GET", "/api/v1/audit", ""),
        ("the sites", &operator(), "GET", "/api/v1/sites", ""),
    ] {
        found.insert(name, caller.refused(&server, method, path, body));
    }
    assert!(
        found
            .values()
            .all(|refused| *refused == (503, "store_unavailable".into())),
        "{found:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        creator(&server, &["mia"])
            .ask(&server, "GET", "/api/v1/session", "")
            .status,
        200,
        "signing in goes on"
    );

    // A collector that never reached the store does not say that a token is unknown.
    server.kill();
    server.restart();
    for (caller, path) in [
        (&Caller::bearer(&text), "/api/v1/sites/mia/report"),
        (&nobody(), &*report),
    ] {
        assert_eq!(
            caller.refused(&server, "GET", path, ""),
            (503, "store_unavailable".into()),
            "{path}"
        );
    }
    assert_eq!(
        operator()
            .ask(&server, "GET", "/api/v1/platform/health", "")
            .status,
        200
    );
    engine.restart();
    server.flush();
    let opens = || {
        Caller::bearer(&text)
            .ask(&server, "GET", "/api/v1/drops", "")
            .status
            == 200
    };
    until(opens, "the token opens");
}
