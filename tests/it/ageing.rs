//! Ageing: after hours were dropped and days became months, every report has the same numbers, by
//! day instead of by hour.

use serde_json::{Value, json};

use crate::support::{Answer, Body, Engine, NOON, Server, grant_of, hit, until, view};

const MILLIS_PER_DAY: i64 = 86_400_000;

const SITES: &str = r#"
[[profiles]]
host = "pages.example"
path = "/u/{profile}"
zone = "Pacific/Auckland"
"#;

/// Days before noon with hits, and how many `mia` has; `tom` has one each day. In Auckland, the
/// first two are in October, and the next two in November.
const VISITS: [(i64, u8); 7] = [
    (150, 6),
    (140, 2),
    (130, 3),
    (101, 4),
    (2, 1),
    (1, 2),
    (0, 1),
];

fn day(ago: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(NOON - ago * MILLIS_PER_DAY).unwrap();
    let zone = jiff::tz::TimeZone::get("Pacific/Auckland").unwrap();
    at.to_zoned(zone).date().to_string()
}

fn ask(server: &Server, method: &str, path: &str, at: i64) -> Answer {
    let (host, now) = (server.address().to_string(), at.to_string());
    let headers = [("Host", &*host), ("X-Footfall-Now", &*now)];
    server
        .client()
        .ask(method, path, &headers, Body::None)
        .unwrap()
}

fn read(server: &Server, path: &str) -> (u16, Value) {
    let answer = ask(server, "GET", path, NOON);
    let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    (answer.status, body)
}

fn visits(server: &Server, profile: &str, ago: i64, people: u8) {
    let now = (NOON - ago * MILLIS_PER_DAY).to_string();
    for person in 1..=people {
        let (cookie, address) = (grant_of(person.into()), format!("198.51.{person}.7"));
        let more = [
            ("Cookie", &*cookie),
            ("X-Forwarded-For", &*address),
            ("X-Footfall-Now", &*now),
        ];
        let body = view(&format!("/u/{profile}"));
        assert_eq!(hit(&mut server.client(), &body, &more).status, 202);
    }
}

/// Reports that no ageing may change: of days, of a year, compared, and over all sites.
fn reports(server: &Server) -> Vec<Value> {
    let mut paths = Vec::new();
    for (from, to) in [(150, 150), (150, 130), (140, 0), (101, 101), (2, 0)] {
        let range = format!("from={}&to={}", day(from), day(to));
        paths.push(format!("/api/v1/sites/mia/report?interval=day&{range}"));
        paths.push(format!("/api/v1/platform/sites?{range}"));
        paths.push(format!("/api/v1/platform/report?interval=week&{range}"));
    }
    // October, and September before it; and a part of October.
    for range in [
        "from=2025-10-01&to=2025-10-31",
        "from=2025-10-12&to=2025-11-30",
        "range=year",
        "range=12mo",
    ] {
        paths.push(format!("/api/v1/platform/sites?{range}"));
        paths.push(format!(
            "/api/v1/sites/mia/report?{range}&interval=month&compare=previous"
        ));
    }
    let answers = paths.iter().map(|path| {
        let (status, answer) = read(server, path);
        assert_eq!(status, 200, "{path}: {answer}");
        // How far attributes are published may change meanwhile.
        let mut answer = answer;
        let fields = answer.as_object_mut().unwrap();
        fields.retain(|name, _| !["attributes", "final"].contains(&name.as_str()));
        answer
    });
    answers.collect()
}

/// Does something until it is so, some times at most.
fn repeat(is_so: impl Fn() -> bool, work: impl Fn()) {
    for _ in 0..10 {
        if is_so() {
            return;
        }
        work();
    }
    assert!(is_so());
}

#[test]
fn reports_are_the_same_after_hours_are_dropped_and_days_became_months() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let settings = [
        format!("store.url={}", engine.url()),
        format!("test.start_millis={}", NOON - 151 * MILLIS_PER_DAY),
        "retention.hourly_days=100".to_owned(),
        "retention.activity_days=93".to_owned(),
    ];
    let mut server = Server::start_with(SITES, &settings.each_ref().map(String::as_str));
    // The collector's own run is over before there is anything to age.
    let has_run = || server.metric("footfall_retention_last_success_timestamp_seconds") > 0;
    until(has_run, "retention has run");
    for (ago, people) in VISITS {
        visits(&server, "mia", ago, people);
        visits(&server, "tom", ago, 1);
    }
    server.flush();
    let path = format!("/api/v1/platform/sites?from={0}&to={0}", day(0));
    let are_named = || {
        let (_, answer) = read(&server, &path);
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        rows.len() == 2 && rows.iter().all(|row| row["site"].is_string())
    };
    until(are_named, "the sites have names");

    // By hour as long as hours are kept, whatever is on disk.
    let old = format!("from={0}&to={0}", day(101));
    let report = |more: &str| read(&server, &format!("/api/v1/sites/mia/report?{more}"));
    let (_, answer) = report(&old);
    assert_eq!(
        (&answer["interval"], &answer["totals"]["hits"]),
        (&json!("day"), &json!(4))
    );
    let (_, answer) = report(&format!("from={0}&to={0}", day(2)));
    assert_eq!(answer["interval"], "hour");
    let hours: u64 = answer["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hour| hour["hits"].as_u64().unwrap())
        .sum();
    assert_eq!(hours, 1);
    let compared = format!("from={0}&to={0}&compare_from={1}", day(0), day(101));
    for asked in [
        format!("{old}&interval=hour"),
        format!("{compared}&interval=hour"),
    ] {
        let (status, problem) = report(&asked);
        let detail = problem["detail"].as_str().unwrap().to_owned();
        let says = format!(
            "interval must be day, week or month for days before {}",
            day(100)
        );
        assert_eq!((status, detail.contains(&says)), (400, true), "{detail}");
    }
    let (_, answer) = report(&compared);
    assert_eq!(answer["interval"], "day");
    assert_eq!(answer["compared"]["totals"]["hits"], 4, "{answer}");

    let before = reports(&server);
    let (_, told) = read(&server, "/api/v1/retention");
    let months = |table: &str| -> Vec<String> {
        let rows = told["ageing"].as_array().unwrap().iter();
        rows.filter(|row| row["table"] == table)
            .map(|row| row["month"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(months("hourly"), ["2025-10"]);
    assert_eq!(months("activity"), ["2025-10", "2025-11"]);

    // One month in each run, and once more if its parts were merged meanwhile.
    let summed_months =
        || engine.sql("SELECT uniqExact(month) FROM activity_months WHERE site = 0 FORMAT TSV");
    let run = || assert_eq!(ask(&server, "POST", "/test/retention", NOON).status, 200);
    run();
    assert_eq!(summed_months().trim(), "1");
    assert_eq!(reports(&server), before);
    repeat(|| summed_months().trim() == "2", run);
    assert_eq!(reports(&server), before);

    // The days are dropped a quarter of an hour later.
    let old_days = || {
        let sql = "SELECT uniqExact(day, site) FROM activity WHERE day < '2025-12-01' AND site < \
                   340282366610943488905431440803018342400 FORMAT TSV";
        engine.sql(sql).trim().to_owned()
    };
    assert_eq!(old_days(), "8");
    repeat(
        || old_days() == "0",
        || {
            engine.sql(
                "ALTER TABLE activity_months UPDATE finished = finished - 900 WHERE site = 0 \
                 SETTINGS mutations_sync = 2",
            );
            run();
        },
    );
    assert_eq!(
        engine
            .sql("SELECT count() FROM hourly WHERE hour < '2025-11-01 00:00:00' FORMAT TSV")
            .trim(),
        "0"
    );
    assert_eq!(reports(&server), before);
    assert_eq!(read(&server, "/api/v1/retention").1["ageing"], json!([]));

    // Hits of an old day come late, from a journal that was away.
    server.stop();
    server.set(&[&format!(
        "test.start_millis={}",
        NOON - 151 * MILLIS_PER_DAY
    )]);
    server.restart();
    visits(&server, "mia", 145, 5);
    server.flush();
    let october = "/api/v1/platform/sites?from=2025-10-01&to=2025-10-31";
    assert_eq!(ask(&server, "POST", "/test/retention", NOON).status, 200);
    assert_eq!(read(&server, october).1["rows"][0]["hits"], 6 + 2 + 5);
}
