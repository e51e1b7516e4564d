//! Consent over HTTP: the prompt, grants, refusals and withdrawals, their records, and whether a
//! hit counts afterwards.

mod around;
mod collectors;
mod grants;
mod links;
mod record;

use std::fs;

use serde_json::{Value, json};

use crate::support::{ABSENT, Answer, Body, Client, DAY, NOON, SITES, Server, hit, view};

/// The grant of all tiers of the default configuration's prompt.
pub const ACCEPT: &str = r#"{"version":2,"act":"grant","tiers":{"analytics":true},"lang":"en","layer":"first","path":"/u/mia"}"#;
pub const REFUSE: &str =
    r#"{"version":2,"act":"refuse","lang":"en","layer":"first","path":"/u/mia"}"#;
pub const WITHDRAW: &str =
    r#"{"version":2,"act":"withdraw","lang":"en","layer":"panel","path":"/u/mia"}"#;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// Body, header fields, and the status, code and a word of the detail with which it is rejected.
type Refused<'a> = (&'a str, Fields<'a>, u16, &'a str, &'a str);

/// Sends a request as a page of `pages.example` does; `more` replaces or adds header fields.
pub fn ask(
    client: &mut Client,
    method: &str,
    path: &str,
    body: &str,
    more: &[(&str, &str)],
) -> Answer {
    let now = NOON.to_string();
    let usual = [
        ("Host", "pages.example"),
        ("Origin", "https://pages.example"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/json"),
        ("X-Footfall-Now", &now),
    ];
    let kept = usual.into_iter().filter(|(name, _)| {
        !more
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
    });
    let headers: Vec<(&str, &str)> = kept
        .chain(more.iter().copied().filter(|(_, value)| *value != ABSENT))
        .collect();
    client
        .ask(method, path, &headers, Body::Sized(body.as_bytes()))
        .expect("the question is answered")
}

pub fn choose(server: &Server, body: &str, more: &[(&str, &str)]) -> Answer {
    ask(&mut server.client(), "POST", "/ff/consent", body, more)
}

pub fn state(server: &Server, more: &[(&str, &str)]) -> Value {
    let answer = ask(&mut server.client(), "GET", "/ff/consent?lang=en", "", more);
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, Some("no-store")),
        "{}",
        answer.text()
    );
    serde_json::from_slice(&answer.body).unwrap()
}

/// `name=value` of the first cookie an answer sets, as a browser sends it back.
pub fn cookie(answer: &Answer) -> String {
    let set = answer
        .header("set-cookie")
        .unwrap_or_else(|| panic!("a cookie is set: {answer:?}"));
    set.split(';').next().unwrap().to_owned()
}

/// The consent id in a grant's cookie.
pub fn id_of(cookie: &str) -> &str {
    cookie
        .split('.')
        .nth(2)
        .unwrap_or_else(|| panic!("no grant: {cookie}"))
}

pub fn set_cookies(answer: &Answer) -> Vec<&str> {
    answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, v)| &**v)
        .collect()
}

/// The lines of the ledger's file on disk.
pub fn ledger(server: &Server) -> Vec<Value> {
    let text = fs::read_to_string(server.dir().join("data/ledger/acts.ledger")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn problem(answer: &Answer) -> (u16, String, String) {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    (answer.status, text("code"), text("detail"))
}

fn granted(state: &Value) -> Vec<&str> {
    let tiers = state["tiers"].as_array().unwrap().iter();
    tiers
        .filter(|tier| tier["granted"] == true)
        .map(|tier| tier["name"].as_str().unwrap())
        .collect()
}

fn no_consent(server: &Server) -> u64 {
    server.metric("footfall_drops_total{reason=\"no_consent\"}")
}

#[test]
fn nothing_is_granted_until_somebody_says_so_and_no_cookie_comes_with_the_question() {
    let server = Server::start(SITES);
    let answer = ask(
        &mut server.client(),
        "GET",
        "/ff/consent?lang=de-AT",
        "",
        &[],
    );
    assert_eq!(set_cookies(&answer), Vec::<&str>::new());
    let asked: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        [
            &asked["version"],
            &asked["ask"],
            &asked["choice"],
            &asked["signal"],
            &asked["lang"],
            &asked["receipt"]
        ],
        [
            &json!(2),
            &json!(true),
            &Value::Null,
            &Value::Null,
            &json!("de"),
            &Value::Null
        ]
    );
    assert_eq!(granted(&asked), ["necessary"]);
    assert_eq!(asked["texts"]["accept"], "Annehmen");
    assert_eq!(answer.header("tk"), Some("N"));
    assert!(ledger(&server).is_empty());
}

#[test]
fn a_grant_is_on_record_before_it_is_answered_and_the_next_hit_counts() {
    let server = Server::start(SITES);
    let answer = choose(
        &server,
        ACCEPT,
        &[("X-Footfall-Now", &(NOON + 34 * 60_000).to_string())],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (granted(&said), &said["ask"]),
        (vec!["necessary", "analytics"], &json!(false))
    );
    assert_eq!(
        said["choice"],
        json!({"version":2,"tiers":["analytics"],"outdated":false})
    );
    let records = ledger(&server);
    assert_eq!(records.len(), 1);
    assert_eq!(said["receipt_record"], records[0]);
    let of = |key: &str| records[0][key].clone();
    assert_eq!(
        [of("act"), of("site"), of("version"), of("refers")],
        [json!("grant"), json!("footfall"), json!(2), Value::Null]
    );
    assert_eq!(of("purposes"), json!({"analytics":true}));
    assert_eq!(of("at"), "2026-03-10T12:00Z", "rounded to the hour");

    let sent = cookie(&answer);
    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &sent)]);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
    assert_eq!(
        granted(&state(&server, &[("Cookie", &sent)])),
        ["necessary", "analytics"]
    );
}

#[test]
fn after_a_withdrawal_the_very_next_hit_is_dropped_even_with_a_copy_of_the_old_cookie() {
    let server = Server::start(SITES);
    let granted_cookie = cookie(&choose(&server, ACCEPT, &[]));
    hit(
        &mut server.client(),
        &view("/u/mia"),
        &[("Cookie", &granted_cookie)],
    );
    let withdrawn = choose(&server, WITHDRAW, &[("Cookie", &granted_cookie)]);
    assert_eq!(
        (withdrawn.status, cookie(&withdrawn)),
        (200, "ff_consent=2.none".to_owned())
    );
    let records = ledger(&server);
    assert_eq!(
        (records.len(), &records[1]["act"], &records[1]["refers"]),
        (2, &json!("withdraw"), &json!(1))
    );
    assert_eq!(
        (&records[1]["id"], &records[1]["purposes"]),
        (&records[0]["id"], &json!({"analytics":false}))
    );

    for kept in [&cookie(&withdrawn), &granted_cookie] {
        let before = no_consent(&server);
        hit(&mut server.client(), &view("/u/mia"), &[("Cookie", kept)]);
        assert_eq!(no_consent(&server), before + 1, "{kept}");
    }
    assert_eq!(
        granted(&state(&server, &[("Cookie", &granted_cookie)])),
        ["necessary"]
    );
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
}

#[test]
fn a_withdrawal_holds_over_a_kill_and_a_restart() {
    let mut server = Server::start(SITES);
    let first = cookie(&choose(&server, ACCEPT, &[]));
    let second = cookie(&choose(&server, ACCEPT, &[]));
    choose(&server, WITHDRAW, &[("Cookie", &first)]);
    server.kill();
    server.restart();
    hit(&mut server.client(), &view("/u/mia"), &[("Cookie", &first)]);
    assert_eq!(no_consent(&server), 1);
    hit(
        &mut server.client(),
        &view("/u/mia"),
        &[("Cookie", &second)],
    );
    assert_eq!(no_consent(&server), 1);
}

#[test]
fn narrowing_a_grant_withdraws_it_for_a_smaller_one_and_widening_is_a_new_grant_of_the_same_id() {
    let server = Server::start_with(
        SITES,
        &["consent.tiers=[\"necessary\",\"preferences\",\"analytics\"]"],
    );
    let grant = |preferences: bool, analytics: bool| {
        let tiers = format!(r#"{{"preferences":{preferences},"analytics":{analytics}}}"#);
        format!(
            r#"{{"version":2,"act":"grant","tiers":{tiers},"lang":"en","layer":"panel","path":"/u/mia"}}"#
        )
    };
    let mut kept = cookie(&choose(&server, &grant(true, true), &[]));
    for (preferences, analytics) in [(true, false), (true, true)] {
        kept = cookie(&choose(
            &server,
            &grant(preferences, analytics),
            &[("Cookie", &kept)],
        ));
    }
    let records = ledger(&server);
    let acts: Vec<(&str, &Value)> = records
        .iter()
        .map(|r| (r["act"].as_str().unwrap(), &r["refers"]))
        .collect();
    assert_eq!(
        acts,
        [
            ("grant", &Value::Null),
            ("withdraw", &json!(1)),
            ("grant", &Value::Null),
            ("grant", &json!(3))
        ]
    );
    let ids: Vec<&Value> = records.iter().map(|record| &record["id"]).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2] && ids[2] == ids[3]);
    assert_eq!(
        records[1]["purposes"],
        json!({"preferences":false,"analytics":false})
    );
    assert_eq!(
        records[2]["purposes"],
        json!({"preferences":true,"analytics":false})
    );
}

#[test]
fn all_refusals_are_one_value_without_an_id_and_each_is_on_record() {
    let server = Server::start(SITES);
    let values: Vec<String> = (0..20)
        .map(|_| cookie(&choose(&server, REFUSE, &[])))
        .collect();
    assert!(values.iter().all(|value| value == "ff_consent=2.none"));
    let records = ledger(&server);
    assert_eq!(records.len(), 20);
    assert!(
        records
            .iter()
            .all(|r| r["act"] == "refuse" && r["id"] == Value::Null && r["refers"] == Value::Null)
    );
    let asked = state(&server, &[("Cookie", "ff_consent=2.none")]);
    assert_eq!(
        (&asked["ask"], granted(&asked)),
        (&json!(false), vec!["necessary"])
    );
    assert_eq!(
        state(&server, &[])["ask"],
        true,
        "nothing but the cookie remembers the answer"
    );
}

#[test]
fn signals_are_read_by_the_letter_of_the_standards_and_outweigh_every_choice() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    let cases: [(Fields<'_>, Option<&str>); 11] = [
        (&[("DNT", "1")], Some("dnt")),
        (&[("DNT", "1xyz")], Some("dnt")),
        (&[("DNT", "0")], None),
        (&[("DNT", "")], None),
        (&[("DNT", "0"), ("DNT", "1")], Some("dnt")),
        (&[("Sec-GPC", "1")], Some("gpc")),
        (&[("Sec-GPC", "0")], None),
        (&[("Sec-GPC", "true")], None),
        (&[("Sec-GPC", "0"), ("Sec-GPC", "1")], Some("gpc")),
        (&[("Sec-GPC", "1"), ("DNT", "1")], Some("gpc")),
        (&[], None),
    ];
    let mut counted = 0;
    for (signals, expected) in cases {
        let more: Vec<(&str, &str)> = signals
            .iter()
            .copied()
            .chain([("Cookie", &*kept)])
            .collect();
        let with = state(&server, &more);
        assert_eq!(with["signal"], json!(expected), "{signals:?}");
        let holds = if expected.is_some() {
            vec!["necessary"]
        } else {
            vec!["necessary", "analytics"]
        };
        assert_eq!(granted(&with), holds, "{signals:?}");
        assert_eq!(
            state(&server, signals)["ask"],
            expected.is_none(),
            "{signals:?}: with a signal nobody is asked"
        );
        let refused = choose(&server, ACCEPT, signals);
        match expected {
            Some(_) => assert_eq!(
                (refused.status, problem(&refused).1),
                (409, "signal".into()),
                "{signals:?}"
            ),
            None => assert_eq!(refused.status, 200, "{signals:?}"),
        }
        hit(&mut server.client(), &view("/u/mia"), &more);
        counted += u64::from(expected.is_none());
    }
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], counted);
    assert_eq!(
        ledger(&server).len() as u64,
        1 + counted,
        "what a signal forbids is not on record"
    );
}

#[test]
fn bad_input_is_a_clear_4xx_and_leaves_no_record_and_no_cookie() {
    let server = Server::start_with(SITES, &["preset=\"ally\"", "consent.version=2"]);
    let grant = |tiers: &str| {
        format!(
            r#"{{"version":2,"act":"grant","tiers":{tiers},"lang":"en","layer":"first","path":"/u/mia"}}"#
        )
    };
    let both = grant(r#"{"preferences":true,"analytics":true}"#);
    let long = both.replace("/u/mia", &"x".repeat(5000));
    let cases: [Refused<'_>; 21] = [
        (
            &grant(r#"{"preferences":true,"analytics":true,"ads":true}"#),
            &[],
            422,
            "unknown_tier",
            "preferences, analytics",
        ),
        (
            &grant(r#"{"necessary":false,"preferences":true,"analytics":true}"#),
            &[],
            422,
            "necessary",
            "cannot be turned off",
        ),
        (
            &grant(r#"{"preferences":false,"analytics":true}"#),
            &[],
            422,
            "bundled",
            "together or not at all",
        ),
        (
            &grant(r#"{"analytics":true}"#),
            &[],
            422,
            "bad_tiers",
            "preferences is not named",
        ),
        (
            &grant(r#"{"preferences":false,"analytics":false}"#),
            &[],
            422,
            "nothing_granted",
            "refuse",
        ),
        (&grant("{}"), &[], 422, "bad_tiers", "preferences"),
        (
            &both.replace(r#""version":2"#, r#""version":1"#),
            &[],
            409,
            "old_version",
            "version 2",
        ),
        (
            &both.replace(r#""version":2"#, r#""version":3"#),
            &[],
            409,
            "old_version",
            "version 2",
        ),
        (
            &both.replace("grant", "accept"),
            &[],
            400,
            "bad_value",
            "grant",
        ),
        (
            &both.replace("grant", "refuse"),
            &[],
            422,
            "bad_tiers",
            "a grant only",
        ),
        (
            &both.replace(r#""lang":"en""#, r#""lang":"xx""#),
            &[],
            422,
            "bad_lang",
            "offered",
        ),
        (
            &both.replace("first", "third"),
            &[],
            400,
            "bad_value",
            "panel",
        ),
        (
            &both.replace(r#""path""#, r#""visitor":"ann","path""#),
            &[],
            400,
            "bad_value",
            "visitor",
        ),
        ("{", &[], 400, "bad_json", "EOF"),
        ("", &[], 400, "bad_json", "EOF"),
        (&long, &[], 413, "body_too_large", "4096"),
        (
            &both,
            &[("Content-Type", "text/plain")],
            415,
            "not_json",
            "application/json",
        ),
        (
            &both,
            &[("Content-Type", "application/x-www-form-urlencoded")],
            415,
            "not_json",
            "application/json",
        ),
        (
            &both,
            &[
                ("Sec-Fetch-Site", "cross-site"),
                ("Origin", "https://evil.example"),
            ],
            403,
            "foreign_page",
            "origin",
        ),
        (
            &both,
            &[("Sec-Fetch-Site", "same-site")],
            403,
            "foreign_page",
            "origin",
        ),
        (
            &both,
            &[("Sec-Fetch-Site", ABSENT), ("Origin", ABSENT)],
            403,
            "foreign_page",
            "origin",
        ),
    ];
    for (body, more, status, code, word) in cases {
        let answer = choose(&server, body, more);
        let (found, named, detail) = problem(&answer);
        assert_eq!(
            (found, &*named),
            (status, code),
            "{body} {more:?}: {detail}"
        );
        assert!(detail.contains(word), "{body}: {detail}");
        assert_eq!(set_cookies(&answer), Vec::<&str>::new());
    }
    assert_eq!(ledger(&server).len(), 0);
    assert_eq!(choose(&server, &both, &[]).status, 200);
}

#[test]
fn a_network_that_answers_without_end_is_told_to_wait_and_others_are_not() {
    let server = Server::start_with(SITES, &["limits.network_choices_per_min=5"]);
    let from = |address: &str| choose(&server, REFUSE, &[("X-Forwarded-For", address)]).status;
    let flood: Vec<u16> = (0..8).map(|_| from("198.51.100.7")).collect();
    assert_eq!(flood, [200, 200, 200, 200, 200, 429, 429, 429]);
    assert_eq!(from("203.0.113.7"), 200);
    assert_eq!(ledger(&server).len(), 6);
}

#[test]
fn a_path_that_reads_as_another_host_leads_nowhere() {
    let server = Server::start(SITES);
    let kept = cookie(&choose(&server, ACCEPT, &[]));
    for (path, base) in [
        ("/u/mia/ff", "/u/mia/ff"),
        ("//evil.example/ff", "/ff"),
        ("/%5Cevil.example/ff", "/ff"),
    ] {
        let answer = ask(
            &mut server.client(),
            "GET",
            &format!("{path}/consent"),
            "",
            &[("Cookie", &kept)],
        );
        let asked: Value = serde_json::from_slice(&answer.body).unwrap();
        let expected = [
            json!(format!("{base}/me")),
            json!(format!("{base}/consent/receipt")),
        ];
        assert_eq!(
            [&asked["me"], &asked["receipt"]],
            [&expected[0], &expected[1]],
            "{path}"
        );
        let page = ask(
            &mut server.client(),
            "GET",
            &format!("{path}/me"),
            "",
            &[("Cookie", &kept)],
        )
        .text();
        assert!(
            page.contains(&format!("href=\"{base}/me.css\"")) && !page.contains("=\"//"),
            "{path}: {page}"
        );
    }
}
