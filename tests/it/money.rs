//! Revenue: forged amounts do not change the sums, and an operator can void what was booked.

use serde_json::{Value, json};

use crate::support::{Body, DAY, NOON, SITES, Server, hit};

const RANGE: &str = "from=2026-03-10&to=2026-03-12";
const KROESUS: &str = "\n[[sites]]\nid = \"rich\"\nhosts = [\"rich.example\"]\nzone = \"UTC\"\nmax_amount = 1_000_000_000\n";

fn tip(value: &str, currency: &str) -> String {
    let url = "https://pages.example/u/mia";
    format!(
        r#"{{"kind":"event","url":"{url}","name":"tip","value":{value},"currency":"{currency}"}}"#
    )
}

/// The same event `many` times in one body.
fn body(event: &str, many: usize) -> String {
    format!("[{}]", vec![event; many].join(","))
}

fn send(server: &Server, body: &str, day: i64) {
    let now = (NOON + day * 86_400_000).to_string();
    assert_eq!(
        hit(&mut server.client(), body, &[("X-Footfall-Now", &now)]).status,
        202
    );
}

fn money(server: &Server, range: &str) -> Value {
    server.flush();
    server.report("mia", range)["money"].clone()
}

fn earned(currency: &str, hits: u64, over: u64, minor: u64, digits: u32) -> Value {
    json!({"event": "tip", "currency": currency, "hits": hits, "over": over, "minor": minor, "digits": digits})
}

/// An answer to the operator: the status and the body.
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
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null),
    )
}

const VOID: &str = "/api/v1/sites/mia/money/void";
const VOIDS: &str = "/api/v1/sites/mia/money/voids";

fn void(id: &str, (from, to): (&str, &str), event: &str, currency: &str) -> String {
    json!({"id": id, "from": from, "to": to, "event": event, "currency": currency}).to_string()
}

/// One forged hit once added 9 000 000 000 000 EUR to the revenue permanently.
#[test]
fn an_amount_over_the_bound_counts_its_event_and_is_no_money() {
    let server = Server::start(SITES);
    for value in ["9000000000000", "10000.01", "10000", "19.99"] {
        send(&server, &tip(value, "EUR"), 0);
    }
    send(&server, &tip("1000001", "JPY"), 0);
    send(&server, &tip("1000000", "JPY"), 0);
    assert_eq!(
        money(&server, DAY),
        json!([
            earned("EUR", 2, 2, 1_001_999, 2),
            earned("JPY", 1, 1, 1_000_000, 0)
        ])
    );
    let report = server.report("mia", DAY);
    assert_eq!(
        (
            &report["subjects"]["event"]["hits"],
            &report["subjects"]["event"]["rows"][0]["hits"]
        ),
        (&json!(6), &json!(6))
    );
    let csv = server
        .client()
        .get(&format!(
            "/api/v1/sites/mia/export?table=money&format=csv&{DAY}"
        ))
        .unwrap();
    let lines: Vec<String> = csv.text().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "event,currency,digits,hits,minor,over",
            "tip,EUR,2,2,1001999,2",
            "tip,JPY,0,1,1000000,1"
        ]
    );
}

/// The sum of these once wrapped at 2^64 and was shown as 273 255 926 290 448 384.
#[test]
fn two_thousand_forged_events_of_nine_billion_dinars_each_leave_the_sum_as_it_was() {
    let server = Server::start(SITES);
    send(&server, &tip("5", "KWD"), 0);
    for _ in 0..104 {
        send(&server, &body(&tip("9000000000000", "KWD"), 20), 0);
    }
    assert_eq!(
        money(&server, DAY),
        json!([earned("KWD", 1, 2080, 5000, 3)])
    );
}

#[test]
fn a_site_has_a_bound_of_its_own_by_the_configuration_and_by_the_registry() {
    let server = Server::start_with(&format!("{SITES}{KROESUS}"), &["limits.max_amount=20"]);
    server.flush();
    let rich = r#"{"kind":"event","url":"https://rich.example/","name":"tip","value":50,"currency":"EUR"}"#;
    let as_rich = [("Host", "rich.example"), ("Origin", "https://rich.example")];
    assert_eq!(hit(&mut server.client(), rich, &as_rich).status, 202);
    send(&server, &tip("50", "EUR"), 0);
    let own = |bound: &str| {
        ask(
            &server,
            "PUT",
            "/api/v1/sites/mia",
            &format!(r#"{{"hosts":[],"zone":"UTC","max_amount":{bound}}}"#),
        )
    };
    for (bound, status) in [("0", 400), ("1000000001", 400), ("49", 204)] {
        assert_eq!(own(bound).0, status, "{bound}");
    }
    send(&server, &tip("50", "EUR"), 0);
    assert_eq!(own("50").0, 204);
    send(&server, &tip("50", "EUR"), 0);
    assert_eq!(money(&server, DAY), json!([earned("EUR", 1, 2, 5000, 2)]));
    assert_eq!(
        server.report("rich", DAY)["money"],
        json!([earned("EUR", 1, 0, 5000, 2)])
    );
    let rows = ask(&server, "GET", "/api/v1/sites", "").1["rows"].clone();
    let bounds: Vec<(&Value, &Value)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["site"], &row["max_amount"]))
        .collect();
    assert_eq!(
        bounds,
        [
            (&json!("mia"), &json!(50)),
            (&json!("rich"), &json!(1_000_000_000))
        ]
    );
}

/// 9 020 events of a billion dinars are more than 2^53 fils, and 20 000 000 of them would be more
/// than 2^64.
#[test]
fn a_sum_beyond_what_json_says_exactly_is_told_as_the_largest_that_it_does_and_a_metric_says_so() {
    let server = Server::start(&format!(
        "{SITES}\n[[sites]]\nid = \"mia\"\nhosts = []\nzone = \"UTC\"\nmax_amount = 1_000_000_000\n"
    ));
    let twenty = body(&tip("1000000000", "KWD"), 20);
    for _ in 0..450 {
        send(&server, &twenty, 0);
    }
    assert_eq!(
        money(&server, DAY),
        json!([earned("KWD", 9000, 0, 9_000_000_000_000_000, 3)])
    );
    assert_eq!(server.metric("footfall_money_clamped_total"), 0);
    send(&server, &twenty, 0);
    assert_eq!(
        money(&server, DAY),
        json!([earned("KWD", 9020, 0, 9_007_199_254_740_991, 3)])
    );
    assert_eq!(server.metric("footfall_money_clamped_total"), 1);
}

#[test]
fn a_void_takes_out_what_was_booked_by_day_event_and_currency_and_nothing_else() {
    let mut server = Server::start(SITES);
    for day in 0..3 {
        send(&server, &tip("10", "EUR"), day);
        send(&server, &tip("7", "USD"), day);
        send(&server, &tip("90000", "EUR"), day);
    }
    let usd = earned("USD", 3, 0, 2100, 2);
    assert_eq!(
        money(&server, RANGE),
        json!([earned("EUR", 3, 3, 3000, 2), usd])
    );

    let order = void("forged-1", ("2026-03-10", "2026-03-11"), "tip", "EUR");
    let (status, taken) = ask(&server, "POST", VOID, &order);
    assert_eq!(status, 201, "{taken}");
    let at = "2026-03-12T12:00:00Z";
    let row = json!({"id": "forged-1", "from": "2026-03-10", "to": "2026-03-11", "event": "tip", "currency": "EUR",
        "hits": 2, "over": 2, "minor": 2000, "digits": 2, "at": at});
    assert_eq!(taken, row);
    let left = json!([earned("EUR", 1, 1, 1000, 2), usd]);
    assert_eq!(money(&server, RANGE), left);
    assert_eq!(money(&server, DAY), json!([earned("USD", 1, 0, 700, 2)]));

    // Later events stay; the same void again changes nothing.
    send(&server, &tip("3", "EUR"), 2);
    assert_eq!(
        money(&server, RANGE),
        json!([earned("EUR", 2, 1, 1300, 2), usd])
    );
    assert_eq!(ask(&server, "POST", VOID, &order), (200, row.clone()));
    assert_eq!(
        money(&server, RANGE),
        json!([earned("EUR", 2, 1, 1300, 2), usd])
    );
    // Another void over the same days takes only what the first left.
    let (status, more) = ask(
        &server,
        "POST",
        VOID,
        &void("forged-2", ("2026-03-10", "2026-03-12"), "tip", "EUR"),
    );
    assert_eq!(
        (status, &more["hits"], &more["over"], &more["minor"]),
        (201, &json!(2), &json!(1), &json!(1300))
    );
    assert_eq!(money(&server, RANGE), json!([usd]));
    // The event itself stays counted.
    assert_eq!(server.report("mia", RANGE)["subjects"]["event"]["hits"], 10);

    let listed = ask(&server, "GET", VOIDS, "").1["rows"].clone();
    assert_eq!(
        listed
            .as_array()
            .unwrap()
            .iter()
            .map(|row| &row["id"])
            .collect::<Vec<_>>(),
        ["forged-1", "forged-2"]
    );
    let log = ask(&server, "GET", "/api/v1/audit", "").1["rows"].clone();
    let mut acts: Vec<String> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["action"], row["target"]))
        .collect();
    acts.sort();
    assert_eq!(
        acts,
        [
            r#""void_money" "mia forged-1""#,
            r#""void_money" "mia forged-2""#
        ]
    );

    server.kill();
    server.restart();
    assert_eq!(money(&server, RANGE), json!([usd]));
    assert_eq!(ask(&server, "GET", VOIDS, "").1["rows"], listed);
}

#[test]
fn a_void_of_nothing_is_remembered_and_a_bad_one_is_refused_by_name() {
    let server = Server::start(SITES);
    send(&server, &tip("10", "EUR"), 0);
    server.flush();
    let days = ("2026-03-10", "2026-03-10");
    let empty = void("none", days, "tip", "USD");
    let (status, taken) = ask(&server, "POST", VOID, &empty);
    assert_eq!(
        (status, &taken["hits"], &taken["minor"]),
        (201, &json!(0), &json!(0))
    );
    assert_eq!(ask(&server, "POST", VOID, &empty).0, 200);
    for (body, status, word) in [
        (void("none", days, "tip", "EUR"), 409, "another void"),
        (void("a b", days, "tip", "EUR"), 400, "id must"),
        (void("x", ("2026-03-11", "2026-03-10"), "tip", "EUR"), 400, "from not after to"),
        (void("x", days, "", "EUR"), 400, "event must"),
        (void("x", days, "tip", "eur"), 400, "currency must"),
        (r#"{"id":"x","from":"2026-03-10","to":"2026-03-10","event":"tip"}"#.to_owned(), 400, "currency"),
        (
            r#"{"id":"x","from":"2026-03-10","to":"2026-03-10","event":"tip","currency":"EUR","minor":1}"#.to_owned(),
            400,
            "minor",
        ),
    ] {
        let (found, problem) = ask(&server, "POST", VOID, &body);
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert_eq!((found, detail.contains(word)), (status, true), "{body}: {problem}");
    }
    assert_eq!(
        ask(&server, "POST", "/api/v1/sites/a%20b/money/void", &empty).0,
        404
    );
    assert_eq!(money(&server, DAY), json!([earned("EUR", 1, 0, 1000, 2)]));
}
