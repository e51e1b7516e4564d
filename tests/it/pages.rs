//! Web vitals and page faults are counted by page, without visitors.

use serde_json::{Value, json};

use crate::support::{ABSENT, Answer, DAY, SITES, Server, hit};

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                      Version/18.5 Mobile/15E148 Safari/604.1";

fn vital(path: &str, metric: &str, value: f64) -> String {
    json!({"kind": "vital", "url": format!("https://pages.example{path}"), "metric": metric, "value": value})
        .to_string()
}

fn get(server: &Server, what: &str) -> Answer {
    server
        .client()
        .get(&format!("/api/v1/sites/mia/{what}"))
        .unwrap()
}

fn asked(server: &Server, what: &str) -> Value {
    let answer = get(server, what);
    assert_eq!(answer.status, 200, "{what}");
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn speed_is_counted_by_page_and_ratings_are_exact() {
    let server = Server::start(SITES);
    let mut client = server.client();
    // Twelve good loads, six at the threshold of poor, two beyond it; four of another page.
    for (n, value) in [(12, 2500.0), (6, 4000.0), (2, 4000.1)] {
        for _ in 0..n {
            assert_eq!(
                hit(&mut client, &vital("/u/mia", "LCP", value), &[]).status,
                202
            );
        }
    }
    for _ in 0..4 {
        assert_eq!(
            hit(
                &mut client,
                &vital("/u/mia/shop", "LCP", 100.0),
                &[("User-Agent", IPHONE)]
            )
            .status,
            202
        );
    }
    assert_eq!(
        hit(&mut client, &vital("/u/mia", "CLS", 0.0), &[]).status,
        202
    );
    server.flush();

    let vitals = asked(&server, &format!("vitals?{DAY}"));
    let lcp = &vitals["metrics"]["LCP"];
    assert_eq!(
        [
            &lcp["hits"],
            &lcp["good"],
            &lcp["needs_improvement"],
            &lcp["poor"]
        ],
        [24, 16, 6, 2]
    );
    let p75 = lcp["p75"].as_f64().unwrap();
    assert!((2500.0..=4000.0).contains(&p75), "{p75}");
    assert_eq!(vitals["metrics"]["CLS"], json!({"fewer_than": 5}));
    assert_eq!(
        vitals["devices"],
        json!({}),
        "nobody of any class is published"
    );
    assert_eq!(vitals["pages"][0]["path"], "/u/mia");
    assert_eq!(vitals["pages"][0]["metrics"]["LCP"]["hits"], 20);
    assert_eq!(
        vitals["pages"][1],
        json!({"path": "/u/mia/shop", "metrics": {"LCP": {"fewer_than": 5}}})
    );

    let page = asked(&server, &format!("vitals?{DAY}&filter=page:/u/mia"));
    assert_eq!(
        (&page["path"], &page["metrics"]["LCP"]["hits"]),
        (&json!("/u/mia"), &json!(20))
    );
    // A measurement is not a visit.
    let totals = &server.report("mia", DAY)["totals"];
    assert_eq!(
        [&totals["hits"], &totals["visitors"], &totals["visits"]],
        [0, 0, 0]
    );
}

#[test]
fn a_fault_is_a_class_and_a_place_and_a_missing_page_its_path() {
    let server = Server::start(SITES);
    let mut client = server.client();
    let url = "https://pages.example/u/mia/shop?token=secret";
    let script = json!({"kind": "fault", "url": url, "fault": "script", "name": "TypeError", "source": "/app.js?v=ann@mail.example", "line": 12});
    let typed = json!({"kind": "fault", "url": url, "fault": "script", "name": "Cannot read ann@mail.example", "source": ""});
    let missing =
        json!({"kind": "fault", "url": "https://pages.example/u/mia/gone/", "fault": "not_found"});
    for (body, times) in [(&script, 3), (&typed, 2), (&missing, 1)] {
        for _ in 0..times {
            assert_eq!(hit(&mut client, &body.to_string(), &[]).status, 202);
        }
    }
    server.flush();
    let faults = asked(&server, &format!("faults?{DAY}"));
    assert_eq!(
        faults["rows"],
        json!([
            {"kind": "script", "fault": "TypeError /app.js:12", "path": "/u/mia/shop", "hits": 3},
            {"kind": "script", "fault": "(other)", "path": "/u/mia/shop", "hits": 2},
            {"kind": "not_found", "fault": "", "path": "/u/mia/gone", "hits": 1},
        ])
    );
}

#[test]
fn measurements_and_faults_pass_the_same_gate_as_views() {
    let server = Server::start(SITES);
    let mut client = server.client();
    let fault =
        json!({"kind": "fault", "url": "https://pages.example/u/mia", "fault": "not_found"})
            .to_string();
    for body in [&vital("/u/mia", "LCP", 1.0), &fault] {
        for (name, value) in [("DNT", "1"), ("Sec-GPC", "1"), ("Cookie", ABSENT)] {
            assert_eq!(hit(&mut client, body, &[(name, value)]).status, 202);
        }
    }
    server.flush();
    assert_eq!(asked(&server, "vitals")["metrics"], json!({}));
    assert_eq!(asked(&server, "faults")["rows"], json!([]));
    for (reason, drops) in [("dnt", 2), ("gpc", 2), ("no_consent", 2)] {
        assert_eq!(
            server.metric(&format!("footfall_drops_total{{reason=\"{reason}\"}}")),
            drops,
            "{reason}"
        );
    }
}

#[test]
fn what_does_not_belong_to_a_kind_is_named() {
    let server = Server::start(SITES);
    let mut client = server.client();
    let url = "https://pages.example/u/mia";
    for (body, word) in [
        (json!({"kind": "vital", "url": url, "value": 1}), "metric"),
        (
            json!({"kind": "vital", "url": url, "metric": "FID", "value": 1}),
            "LCP, INP",
        ),
        (
            json!({"kind": "vital", "url": url, "metric": "LCP"}),
            "value",
        ),
        (
            json!({"kind": "vital", "url": url, "metric": "CLS", "value": 101}),
            "CLS 0 to 100",
        ),
        (
            json!({"kind": "vital", "url": url, "metric": "LCP", "value": -1}),
            "value",
        ),
        (
            json!({"kind": "view", "url": url, "metric": "LCP"}),
            "metric",
        ),
        (json!({"kind": "fault", "url": url}), "script or not_found"),
        (
            json!({"kind": "fault", "url": url, "fault": "script"}),
            "name",
        ),
        (
            json!({"kind": "fault", "url": url, "fault": "not_found", "line": 1}),
            "not_found has none",
        ),
        (
            json!({"kind": "fault", "url": url, "fault": "script", "name": "E", "message": "x"}),
            "message",
        ),
        (
            json!({"kind": "event", "url": url, "name": "x", "source": "/a.js"}),
            "kind fault",
        ),
    ] {
        let answer = hit(&mut client, &body.to_string(), &[]);
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            answer.status == 400 && detail.contains(word),
            "{body}: {} {detail}",
            answer.status
        );
    }
}

#[test]
fn questions_about_pages_say_which_filters_they_take() {
    let server = Server::start(SITES);
    server.flush();
    for (question, word) in [
        ("vitals?filter=source:Google", "page:"),
        ("faults?filter=page:/", "no filter"),
    ] {
        let answer = get(&server, question);
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(
            answer.status == 400 && problem["detail"].as_str().unwrap().contains(word),
            "{question}"
        );
    }
}
