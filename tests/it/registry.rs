//! The registry: sites, hosts and aliases registered while the collector runs take effect, survive
//! restarts, and reach other collectors.

use serde_json::{Value, json};

use crate::support::{Answer, Body, DAY, Engine, SITES, Server, hit, until};

fn ask(server: &Server, method: &str, path: &str, body: &str, more: &[(&str, &str)]) -> Answer {
    let host = server.address().to_string();
    let headers: Vec<(&str, &str)> = [("Host", &*host)]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    server
        .client()
        .ask(method, path, &headers, Body::Sized(body.as_bytes()))
        .unwrap()
}

fn put(server: &Server, path: &str, body: &str) -> (u16, Value) {
    let answer = ask(server, "PUT", path, body, &[]);
    (
        answer.status,
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null),
    )
}

fn detail((status, problem): (u16, Value)) -> (u16, String, String) {
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("detail"))
}

/// Nothing can be registered before the store is connected, and a flush waits for that.
fn start(more: &str, settings: &[&str]) -> Server {
    let server = Server::start_with(more, settings);
    server.flush();
    server
}

/// A view of a page on any host, by a visitor of its own.
fn view(server: &Server, url: &str, address: &str) {
    let host = url.split('/').nth(2).unwrap();
    let origin = format!("https://{host}");
    let body = format!(r#"{{"kind":"view","url":"{url}"}}"#);
    let own = [
        ("Host", host),
        ("Origin", &*origin),
        ("X-Forwarded-For", address),
    ];
    assert_eq!(hit(&mut server.client(), &body, &own).status, 202);
}

fn counted(server: &Server, site: &str) -> (u64, u64) {
    let report = server.report(site, DAY);
    (
        report["totals"]["hits"].as_u64().unwrap(),
        report["totals"]["visitors"].as_u64().unwrap(),
    )
}

const MIA: &str = r#"{"hosts":["mia.example","www.mia.example"],"zone":"Europe/Berlin"}"#;

#[test]
fn a_registered_host_counts_from_the_next_hit_after_a_restart_and_with_the_store_away() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let mut server = start(SITES, &[&format!("store.url={}", engine.url())]);
    view(&server, "https://mia.example/tour", "198.51.100.1");
    assert_eq!(
        server.metric("footfall_drops_total{reason=\"unknown_site\"}"),
        1
    );
    assert_eq!(put(&server, "/api/v1/sites/mia.shop", MIA).0, 204);
    view(&server, "https://mia.example/tour", "198.51.100.1");
    view(&server, "https://www.mia.example/", "198.51.100.2");
    server.flush();
    assert_eq!(counted(&server, "mia.shop"), (2, 2));

    // A hit that arrives before the store is connected must not be dropped: its site is known from
    // the copy beside the journal.
    server.kill();
    engine.kill();
    server.restart();
    view(&server, "https://mia.example/tour", "198.51.100.3");
    engine.restart();
    server.flush();
    assert_eq!(counted(&server, "mia.shop"), (3, 3));
    assert_eq!(server.report("mia.shop", DAY)["zone"], "Europe/Berlin");
}

#[test]
fn a_renamed_profile_keeps_its_history_and_is_one_site_under_both_names() {
    let server = start(SITES, &[]);
    view(&server, "https://pages.example/u/mia", "198.51.100.1");
    assert_eq!(
        put(&server, "/api/v1/aliases/mia-new", r#"{"site":"mia"}"#).0,
        204
    );
    view(&server, "https://pages.example/u/mia-new", "198.51.100.2");
    server.flush();
    assert_eq!(counted(&server, "mia"), (2, 2));
    assert_eq!(counted(&server, "mia-new"), (2, 2));

    assert_eq!(
        ask(&server, "DELETE", "/api/v1/aliases/mia-new", "", &[]).status,
        204
    );
    view(&server, "https://pages.example/u/mia-new", "198.51.100.3");
    server.flush();
    assert_eq!(
        (counted(&server, "mia"), counted(&server, "mia-new")),
        ((2, 2), (1, 1))
    );
}

#[test]
fn a_removed_site_is_counted_no_more_and_its_counts_stay() {
    let server = start(SITES, &[]);
    assert_eq!(put(&server, "/api/v1/sites/mia.shop", MIA).0, 204);
    view(&server, "https://mia.example/", "198.51.100.1");
    assert_eq!(
        ask(&server, "DELETE", "/api/v1/sites/mia.shop", "", &[]).status,
        204
    );
    view(&server, "https://mia.example/", "198.51.100.2");
    assert_eq!(
        server.metric("footfall_drops_total{reason=\"unknown_site\"}"),
        1
    );
    assert_eq!(
        ask(&server, "DELETE", "/api/v1/sites/mia.shop", "", &[]).status,
        404
    );
    assert_eq!(put(&server, "/api/v1/sites/mia.shop", MIA).0, 204);
    server.flush();
    assert_eq!(counted(&server, "mia.shop"), (1, 1));
}

#[test]
fn what_would_count_a_page_twice_or_cut_days_anew_is_refused_by_name_and_changes_nothing() {
    let fixed = "\n[[sites]]\nid = \"fixed\"\nhosts = [\"fixed.example\"]\nzone = \"UTC\"\n";
    let server = start(&format!("{SITES}{fixed}"), &[]);
    assert_eq!(put(&server, "/api/v1/sites/mia.shop", MIA).0, 204);
    assert_eq!(
        put(&server, "/api/v1/aliases/mia-new", r#"{"site":"mia"}"#).0,
        204
    );
    let listed = || {
        serde_json::from_slice::<Value>(&ask(&server, "GET", "/api/v1/sites", "", &[]).body)
            .unwrap()
    };
    let before = listed();
    let of = |hosts: &str, zone: &str| format!(r#"{{"hosts":{hosts},"zone":"{zone}"}}"#);
    let cases = [
        (
            "sites/tom.shop",
            of(r#"["mia.example"]"#, "UTC"),
            409,
            "mia.example belongs to another site",
        ),
        (
            "sites/tom.shop",
            of(r#"["pages.example"]"#, "UTC"),
            409,
            "pages.example belongs to another site",
        ),
        (
            "sites/fixed",
            of(r#"["b.example"]"#, "UTC"),
            409,
            "stands in the configuration",
        ),
        (
            "sites/mia.shop",
            of(r#"["mia.example"]"#, "UTC"),
            409,
            "counts in another zone",
        ),
        (
            "sites/mia-new",
            of(r#"["b.example"]"#, "UTC"),
            409,
            "another name of a site",
        ),
        (
            "sites/tom.shop",
            of(r#"["B.example"]"#, "UTC"),
            400,
            "lower case",
        ),
        (
            "sites/tom.shop",
            of(r#"["b.example"]"#, "Atlantis"),
            400,
            "tz database",
        ),
        (
            "sites/tom%20x",
            of(r#"["b.example"]"#, "UTC"),
            400,
            "letters, digits",
        ),
        (
            "sites/tom.shop",
            r#"{"hosts":["b.example"],"zone":"UTC","owner":"ann"}"#.to_owned(),
            400,
            "owner",
        ),
        ("sites/tom.shop", "{".to_owned(), 400, "EOF"),
        (
            "sites/tom.shop",
            r#"{"hosts":[],"zone":"UTC","embed":["https://*.example"]}"#.to_owned(),
            400,
            "origin",
        ),
        (
            "aliases/x",
            r#"{"site":"mia-new"}"#.to_owned(),
            409,
            "name the site it stands for",
        ),
        (
            "aliases/mia",
            r#"{"site":"tom"}"#.to_owned(),
            409,
            "other names of its own",
        ),
        (
            "aliases/fixed",
            r#"{"site":"mia"}"#.to_owned(),
            409,
            "hosts of its own",
        ),
        ("aliases/x", r#"{"site":"x"}"#.to_owned(), 409, "itself"),
        (
            "aliases/x",
            r#"{"site":"a b"}"#.to_owned(),
            400,
            "letters, digits",
        ),
    ];
    for (path, body, status, word) in &cases {
        let (found, code, said) = detail(put(&server, &format!("/api/v1/{path}"), body));
        assert_eq!(
            (found, said.contains(word)),
            (*status, true),
            "{path} {body}: {code}: {said}"
        );
    }
    assert_eq!(listed(), before);
    let rows = [
        json!({"site":"fixed","zone":"UTC","hosts":["fixed.example"],"aliases":[],"alias_count":0,"embed":[],"max_amount":null,"keep_days":761}),
        json!({"site":"mia","zone":"UTC","hosts":[],"aliases":["mia-new"],"alias_count":1,"embed":[],"max_amount":null,"keep_days":761}),
        json!({"site":"mia.shop","zone":"Europe/Berlin","hosts":["mia.example","www.mia.example"],"aliases":[],"alias_count":0,"embed":[],"max_amount":null,"keep_days":761}),
    ];
    assert_eq!(before, json!({ "rows": rows, "next": null }));
    let alias: Value =
        serde_json::from_slice(&ask(&server, "GET", "/api/v1/aliases/mia-new", "", &[]).body)
            .unwrap();
    assert_eq!(alias, json!({"alias":"mia-new","site":"mia"}));
}

#[test]
fn only_the_operator_may_look_or_change() {
    let server = start(SITES, &["report.token=s3cret-s3cret-s3cret"]);
    let asks = [
        ("GET", "/api/v1/sites", ""),
        ("PUT", "/api/v1/sites/mia.shop", MIA),
        ("DELETE", "/api/v1/sites/mia.shop", ""),
        ("PUT", "/api/v1/aliases/x", r#"{"site":"mia"}"#),
        ("DELETE", "/api/v1/aliases/x", ""),
    ];
    for (method, path, body) in asks {
        assert_eq!(
            ask(&server, method, path, body, &[]).status,
            401,
            "{method} {path}"
        );
        assert_eq!(
            ask(
                &server,
                method,
                path,
                body,
                &[("Authorization", "Bearer guess")]
            )
            .status,
            401,
            "{method} {path}"
        );
        let allowed = ask(
            &server,
            method,
            path,
            body,
            &[("Authorization", "Bearer s3cret-s3cret-s3cret")],
        );
        assert!(
            [200, 204].contains(&allowed.status),
            "{method} {path}: {}",
            allowed.status
        );
    }
}

#[test]
fn without_a_token_a_name_from_elsewhere_that_points_here_is_not_answered() {
    let server = start(SITES, &[]);
    let by = |host: &str| {
        server
            .client()
            .ask("GET", "/api/v1/sites", &[("Host", host)], Body::None)
            .unwrap()
            .status
    };
    let found = [
        "127.0.0.1:1",
        "localhost",
        "[::1]:8080",
        "evil.example",
        "127.0.0.1.evil.example",
        "",
    ]
    .map(by);
    assert_eq!(found, [200, 200, 200, 401, 401, 401]);
}

#[test]
fn two_collectors_of_one_database_know_what_either_was_told() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let server = || start(SITES, &[&url, "registry.refresh_secs=1"]);
    let (one, two) = (server(), server());
    assert_eq!(put(&one, "/api/v1/sites/mia.shop", MIA).0, 204);
    let listed = || {
        let listed: Value =
            serde_json::from_slice(&ask(&two, "GET", "/api/v1/sites", "", &[]).body).unwrap();
        listed["rows"][0]["site"] == "mia.shop"
    };
    until(listed, "the second collector hears of it");
    assert_eq!(
        detail(put(&two, "/api/v1/sites/tom.shop", MIA)).0,
        409,
        "what the other one registered is taken here too"
    );
}
