//! A hanging store, which accepts connections and never answers: reports end with an error in time,
//! and hits and metrics are not affected.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Body, DAY, Engine, SITES, Server, hit, view};

const SITE: &str = r#"{"hosts":["mia.example"],"zone":"Europe/Berlin"}"#;

#[test]
fn a_store_that_hangs_holds_up_no_reader_no_metrics_and_no_hit() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let server = Server::start_with(
        SITES,
        &[
            &url,
            "registry.refresh_secs=1",
            "limits.response_timeout_millis=4500",
        ],
    );
    server.flush();
    let (mut client, host) = (server.client(), server.address().to_string());
    assert_eq!(hit(&mut client, &view("/u/mia/before"), &[]).status, 202);
    server.flush();

    engine.hang();
    let report = format!("/api/v1/sites/mia/report?{DAY}");
    let asked = [
        ("GET", report.as_str(), ""),
        (
            "GET",
            "/api/v1/sites/mia/vitals?from=2026-03-10&to=2026-03-10",
            "",
        ),
        (
            "GET",
            "/api/v1/sites/mia/export?table=page&from=2026-03-10&to=2026-03-10",
            "",
        ),
        (
            "GET",
            "/api/v1/platform/report?from=2026-03-10&to=2026-03-10",
            "",
        ),
        ("GET", "/api/v1/audit", ""),
        ("GET", "/metrics", ""),
        ("GET", "/api/v1/platform/health", ""),
        ("PUT", "/api/v1/sites/mia.shop", SITE),
    ];
    let answers: Vec<(u16, Duration, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = asked
            .iter()
            .map(|(method, target, body)| {
                let (server, host) = (&server, &host);
                scope.spawn(move || {
                    let (mut client, start) = (server.client(), Instant::now());
                    let answer = client
                        .ask(
                            method,
                            target,
                            &[("Host", host)],
                            Body::Sized(body.as_bytes()),
                        )
                        .unwrap();
                    let code = serde_json::from_slice(&answer.body)
                        .map(|problem: Value| problem["code"].as_str().unwrap_or("").to_owned());
                    (answer.status, start.elapsed(), code.unwrap_or_default())
                })
            })
            .collect();
        let start = Instant::now();
        for n in 0..20 {
            assert_eq!(
                hit(&mut client, &view(&format!("/u/mia/{n}")), &[]).status,
                202
            );
        }
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "hits waited {:?}",
            start.elapsed()
        );
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let statuses: Vec<u16> = answers.iter().map(|(status, _, _)| *status).collect();
    assert_eq!(
        statuses,
        [503, 503, 503, 503, 503, 200, 200, 503],
        "{answers:?}"
    );
    let slowest = answers.iter().map(|(_, took, _)| *took).max().unwrap();
    let [.., metrics, health, change] = &answers[..] else {
        panic!("eight answers")
    };
    println!(
        "hung_store_slowest_reader_ms={} hung_store_metrics_ms={}",
        slowest.as_millis(),
        metrics.1.as_millis()
    );
    assert!(
        answers[..5]
            .iter()
            .all(|(_, took, code)| code == "store_unavailable" && *took < Duration::from_secs(15)),
        "{answers:?}"
    );
    assert!(
        metrics.1 < Duration::from_secs(4) && health.1 < Duration::from_secs(4),
        "{answers:?}"
    );
    assert!(
        change.2 == "change_unconfirmed" && change.1 < Duration::from_secs(20),
        "{answers:?}"
    );

    // Nothing waits behind the calls that hung.
    engine.wake();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 21);
    let put = client
        .ask(
            "PUT",
            "/api/v1/sites/mia.shop",
            &[("Host", &host)],
            Body::Sized(SITE.as_bytes()),
        )
        .unwrap();
    assert_eq!(put.status, 204, "{}", put.text());

    // An error before the change was begun says so, and so does one after it.
    let refuse = |table| format!("ALTER TABLE {table} ADD CONSTRAINT never CHECK 0");
    for (table, code) in [
        ("sites", "change_unconfirmed"),
        ("audit", "store_unavailable"),
    ] {
        engine.sql(&refuse(table));
        let headers = [("Host", &*host)];
        let gone = client.ask("DELETE", "/api/v1/sites/mia.shop", &headers, Body::None);
        let gone = gone.unwrap();
        let problem: Value = serde_json::from_slice(&gone.body).unwrap();
        assert_eq!(
            (gone.status, &problem["code"]),
            (503, &code.into()),
            "{table}: {problem}"
        );
    }
}
