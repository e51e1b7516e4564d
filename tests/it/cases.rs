//! Regression cases: requests that were once lost, misnamed or counted twice. Each file of
//! `tests/cases` has a title, requests and the expected counts.
//!
//! All requests are sent to one collector, in the order of the file names; the counts are queried
//! afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::{ABSENT, Answer, Client, NOON, Server, ask, grant_of, hit, view};

const CONFIG: &str = r#"
[[profiles]]
host = "links.example"
path = "/u/{profile}"
zone = "UTC"

[[sites]]
id = "hers"
hosts = ["hers.example", "www.hers.example", "shop.hers.example"]
zone = "UTC"

[[sites]]
id = "shop6"
hosts = ["shop6.example"]
zone = "UTC"

[[compatible]]
sites = ["*"]
accept = ["plausible", "umami", "goatcounter"]
basis = "consent_cookie"
"#;

const DAYS: &str = "from=2026-03-10&to=2026-03-11&limit=1000";
const PUBLISHED: i64 = NOON + 13 * 3_600_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    title: String,
    requests: Vec<Request>,
    /// By site: `hits`, and lists of `page`, `link`, `event` (hits), `source`, `campaign`,
    /// `language` (visitors of published cells).
    #[serde(default)]
    sites: BTreeMap<String, Map<String, Value>>,
    /// How much each drop reason's counter rose; reasons that are not listed must not have risen.
    #[serde(default)]
    refusals: BTreeMap<String, u64>,
    /// Requested when everything is counted.
    #[serde(default)]
    afterwards: Vec<Request>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// `POST /ff/hit` by default.
    #[serde(default)]
    to: Option<String>,
    /// Pairs of a name and a value; a name may appear twice. `{grant}` is the consent cookie of the
    /// sender, `{absent}` removes a field.
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<Value>,
    /// Views of these pages, each a request of its own.
    #[serde(default)]
    views: Vec<String>,
    /// A body that is not JSON, or must be exactly this JSON.
    #[serde(default)]
    text: Option<String>,
    /// The number of visitors who send it, each from a network of their own.
    #[serde(default = "one")]
    people: u8,
    /// The number of the first of them.
    #[serde(default)]
    first: u8,
    #[serde(default)]
    status: Option<u16>,
    /// Text that the answer's JSON must contain.
    #[serde(default)]
    answer: Option<Value>,
    #[serde(default)]
    starts_with: Option<String>,
}

fn one() -> u8 {
    1
}

#[test]
fn each_case_is_counted_as_its_file_says() {
    let server = Server::start(CONFIG);
    let mut client = server.client();
    let cases = cases();
    assert!(cases.len() >= 15, "{} cases", cases.len());

    let mut wrong = Vec::new();
    for (name, case) in &cases {
        let before = refusals(&server);
        for request in &case.requests {
            wrong.extend(
                send(&mut client, request)
                    .into_iter()
                    .map(|what| format!("{name}: {what}")),
            );
        }
        let raised = raised(&before, &refusals(&server));
        if raised != case.refusals {
            wrong.push(format!(
                "{name}: refused {raised:?}, expected {:?}",
                case.refusals
            ));
        }
    }
    server.publish(PUBLISHED);
    for (name, case) in &cases {
        for (site, expected) in &case.sites {
            let report = server.report(site, DAYS);
            for (list, expected) in expected {
                let got = figures(&report, list);
                if got != *expected {
                    wrong.push(format!(
                        "{name} ({}): {list} of {site} is {got}, expected {expected}",
                        case.title
                    ));
                }
            }
        }
        for request in &case.afterwards {
            wrong.extend(
                send(&mut client, request)
                    .into_iter()
                    .map(|what| format!("{name}: {what}")),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// Sites beyond the limit of a day are counted together, and the platform's sum includes them all.
#[test]
fn hits_of_sites_beyond_the_cap_are_counted_under_a_site_of_the_rest() {
    let server = Server::start_with(CONFIG, &["limits.sites=3"]);
    let mut client = server.client();
    for n in 0..10 {
        let body = view(&format!("/u/site{n}")).replace("pages.example", "links.example");
        let headers = [
            ("Host", "links.example"),
            ("Origin", "https://links.example"),
        ];
        assert_eq!(hit(&mut client, &body, &headers).status, 202);
    }
    server.flush();
    let hits = |site: &str| {
        server.report(site, DAYS)["totals"]["hits"]
            .as_u64()
            .unwrap()
    };
    assert_eq!([hits("site0"), hits("site2"), hits("site3")], [1, 1, 0]);
    assert_eq!(server.metric("footfall_over_limit_sites_total"), 7);
    let platform = server
        .client()
        .get(&format!("/api/v1/platform/report?{DAYS}"))
        .unwrap();
    let platform: Value = serde_json::from_slice(&platform.body).unwrap();
    assert_eq!(platform["totals"]["hits"], 10, "{platform}");
}

/// One network makes up fifty profiles. It gets half of the sites; what it sends of the rest is
/// counted together. A site that another network visits, or that is configured, counts as always.
#[test]
fn a_flood_of_made_up_profiles_makes_half_of_the_sites_at_most() {
    let settings = ["limits.network_new_sites_per_day=5", "limits.sites=20"];
    let server = Server::start_with(CONFIG, &settings);
    let mut client = server.client();
    let mut send = |site: u32, address: &str| {
        let body = view(&format!("/u/site{site}")).replace("pages.example", "links.example");
        let headers = [
            ("Host", "links.example"),
            ("Origin", "https://links.example"),
            ("X-Forwarded-For", address),
        ];
        assert_eq!(hit(&mut client, &body, &headers).status, 202);
    };
    for site in 0..50 {
        send(site, &format!("198.51.100.{site}"));
    }
    send(17, "203.0.113.7");
    send(17, "198.51.100.7");
    send(3, "198.51.100.7");
    let registered = view("/").replace("pages.example", "shop6.example");
    let headers = [
        ("Host", "shop6.example"),
        ("Origin", "https://shop6.example"),
        ("X-Forwarded-For", "198.51.100.7"),
    ];
    assert_eq!(hit(&mut client, &registered, &headers).status, 202);

    server.flush();
    let hits = |site: &str| server.report(site, DAYS)["totals"]["hits"].as_u64();
    let counted = [
        "site0", "site3", "site9", "site10", "site17", "site49", "shop6",
    ]
    .map(hits);
    assert_eq!(counted, [1, 2, 1, 0, 2, 0, 1].map(Some));
    assert_eq!(server.metric("footfall_over_limit_new_sites_total"), 40);
    assert_eq!(server.metric("footfall_over_limit_sites_total"), 0);

    let sites = format!("/api/v1/platform/sites?{DAYS}");
    let sites: Value = serde_json::from_slice(&server.client().get(&sites).unwrap().body).unwrap();
    let rows = sites["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 13, "ten, site17, shop6 and (other): {sites}");
}

fn cases() -> BTreeMap<String, Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let case = serde_json::from_slice(&fs::read(&path).unwrap());
        (
            name,
            case.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        )
    };
    files
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(read)
        .collect()
}

/// Sends it as each of its visitors; returns what was not as expected.
fn send(client: &mut Client, request: &Request) -> Vec<String> {
    let mut wrong = Vec::new();
    let (method, target) = request
        .to
        .as_deref()
        .unwrap_or("POST /ff/hit")
        .split_once(' ')
        .unwrap();
    let mut bodies: Vec<String> = request
        .views
        .iter()
        .map(|url| format!(r#"{{"kind":"view","url":"{url}"}}"#))
        .collect();
    bodies.extend(
        request
            .text
            .clone()
            .or_else(|| request.body.as_ref().map(Value::to_string)),
    );
    if bodies.is_empty() {
        bodies.push(String::new());
    }
    for person in request.first..request.first + request.people {
        for body in &bodies {
            let answer = send_as(client, request, person, (method, target), body);
            let expected = request.status.unwrap_or(202);
            if answer.status != expected {
                wrong.push(format!(
                    "{} instead of {expected} to {body:.120}: {}",
                    answer.status,
                    answer.text()
                ));
            }
            if let Some(expected) = &request.answer {
                let got = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
                if !holds(&got, expected) {
                    wrong.push(format!("{got} does not hold {expected}"));
                }
            }
            if let Some(start) = &request.starts_with
                && !answer.text().starts_with(start.as_str())
            {
                wrong.push(format!("{:?} does not start with {start:?}", answer.text()));
            }
        }
    }
    wrong
}

fn send_as(
    client: &mut Client,
    request: &Request,
    person: u8,
    (method, target): (&str, &str),
    body: &str,
) -> Answer {
    let cookie = grant_of(1000 + u128::from(person));
    let address = format!("203.0.{person}.7");
    // The host is the page's, if there is a page.
    let page = ["\"url\":\"https://", "\"u\":\"https://"]
        .into_iter()
        .find_map(|key| body.split_once(key));
    let host = page
        .and_then(|(_, url)| url.split(['/', '"', '?']).next())
        .unwrap_or("links.example")
        .to_owned();
    let origin = format!("https://{host}");
    let filled: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.clone(),
                value
                    .replace("{grant}", &cookie)
                    .replace("{absent}", ABSENT),
            )
        })
        .collect();
    let mut headers: Vec<(&str, &str)> = filled
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    for (name, value) in [
        ("Host", &host),
        ("Origin", &origin),
        ("Cookie", &cookie),
        ("X-Forwarded-For", &address),
    ] {
        if !headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            headers.push((name, value));
        }
    }
    ask(client, method, target, body, &headers)
}

/// The count of each row of a list: hits of items, visitors of values.
fn figures(report: &Value, list: &str) -> Value {
    let rows = |rows: &Value, name: &str, figure: &str| {
        let rows = rows.as_array().into_iter().flatten();
        Value::Object(
            rows.map(|row| (row[name].as_str().unwrap().to_owned(), row[figure].clone()))
                .collect(),
        )
    };
    match list {
        "page" | "link" | "event" => rows(&report["subjects"][list]["rows"], "item", "hits"),
        "seconds" => Value::Object(
            report["subjects"]["page"]["rows"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|row| {
                    (
                        row["item"].as_str().unwrap().to_owned(),
                        row["seconds"].clone(),
                    )
                })
                .collect(),
        ),
        dimension if report["dimensions"].get(dimension).is_some() => rows(
            &report["dimensions"][dimension]["rows"],
            "value",
            "visitors",
        ),
        total => report["totals"][total].clone(),
    }
}

fn holds(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Object(got), Value::Object(expected)) => expected
            .iter()
            .all(|(key, value)| got.get(key).is_some_and(|got| holds(got, value))),
        (Value::Array(got), Value::Array(expected)) => {
            got.len() == expected.len()
                && got
                    .iter()
                    .zip(expected)
                    .all(|(got, expected)| holds(got, expected))
        }
        _ => got == expected,
    }
}

fn refusals(server: &Server) -> BTreeMap<String, u64> {
    let metrics = server.client().get("/metrics").unwrap().text();
    let lines = metrics.lines().filter_map(|line| {
        line.strip_prefix("footfall_drops_total{reason=\"")?
            .split_once("\"} ")
    });
    lines
        .map(|(reason, n)| (reason.to_owned(), n.trim().parse::<f64>().unwrap() as u64))
        .collect()
}

fn raised(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more = after
        .iter()
        .map(|(reason, n)| (reason.clone(), n - before.get(reason).unwrap_or(&0)));
    more.filter(|(_, n)| *n > 0).collect()
}
