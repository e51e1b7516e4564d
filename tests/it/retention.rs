//! Retention: days over their site's limit are not shown, from the moment they are, and are deleted
//! from every table.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Answer, Body, Engine, NOON, Server, grant_of, hit, until};

const MILLIS_PER_DAY: i64 = 86_400_000;

/// `ally-…` are kept for 50 days by their rule, `mia` and `tom` as long as the default says.
const SITES: &str = r#"
[[profiles]]
host = "pages.example"
path = "/u/{profile}"
zone = "UTC"

[[profiles]]
host = "ally.example"
path = "/u/{profile}"
site = "ally-{profile}"
zone = "UTC"
keep_days = 50
"#;

/// Tables of counts with a site, and the day of a row.
const TABLES: [(&str, &str); 8] = [
    ("daily", "day"),
    ("hourly", "toDate(hour, 'UTC')"),
    ("activity", "day"),
    ("money", "day"),
    ("vitals", "day"),
    ("faults", "day"),
    ("published", "day"),
    ("pending", "since"),
];

struct Scene {
    server: Server,
    engine: Engine,
    _dir: tempfile::TempDir,
}

fn day(ago: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(NOON - ago * MILLIS_PER_DAY).unwrap();
    at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

fn ask(server: &Server, method: &str, path: &str, body: &str, at: i64) -> Answer {
    let (host, now) = (server.address().to_string(), at.to_string());
    let headers = [("Host", &*host), ("X-Footfall-Now", &*now)];
    let body = if body.is_empty() {
        Body::None
    } else {
        Body::Sized(body.as_bytes())
    };
    server.client().ask(method, path, &headers, body).unwrap()
}

fn read(server: &Server, path: &str) -> (u16, Value) {
    let answer = ask(server, "GET", path, "", NOON);
    let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    (answer.status, body)
}

/// Everything that is counted of a visit, by 12 visitors of one source and one of another.
fn visits(server: &Server, host: &str, profile: &str, at: i64) {
    let url = format!("https://{host}/u/{profile}");
    let (origin, now) = (format!("https://{host}"), at.to_string());
    let mut client = server.client();
    for person in 1..=13 {
        let (cookie, address) = (grant_of(person), format!("198.51.{person}.7"));
        let source = if person < 13 { "blog" } else { "rare" };
        let bodies = [
            json!({"kind": "view", "url": url, "referrer": format!("https://{source}.example/")}),
            json!({"kind": "click", "url": url, "name": "shop"}),
            json!({"kind": "event", "url": url, "name": "tip", "value": 5, "currency": "EUR"}),
            json!({"kind": "vital", "url": url, "metric": "LCP", "value": 4500}),
            json!({"kind": "fault", "url": url, "fault": "script", "name": "TypeError", "source": "/a.js", "line": 1}),
        ];
        for body in bodies {
            let more = [
                ("Cookie", &*cookie),
                ("Host", host),
                ("Origin", &*origin),
                ("X-Forwarded-For", &*address),
                ("X-Footfall-Now", &*now),
            ];
            assert_eq!(hit(&mut client, &body.to_string(), &more).status, 202);
        }
    }
    server.flush();
}

/// `mia`, `tom` and `ally-mia` with visits 60, 2, 1 and 0 days before noon. The first day is
/// published, and `mia` and `tom` have a share link to it.
fn scene() -> (Scene, [String; 2]) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let first = NOON - 60 * MILLIS_PER_DAY;
    let settings = [
        format!("store.url={}", engine.url()),
        format!("test.start_millis={first}"),
    ];
    let server = Server::start_with(SITES, &settings.each_ref().map(String::as_str));
    server.flush();

    let mut secrets = Vec::new();
    for ago in [60, 2, 1, 0] {
        let at = NOON - ago * MILLIS_PER_DAY;
        visits(&server, "pages.example", "mia", at);
        visits(&server, "pages.example", "tom", at);
        visits(&server, "ally.example", "mia", at);
        if ago == 60 {
            let next = at + MILLIS_PER_DAY;
            server.publish(next);
            for name in ["mia", "tom"] {
                let body = json!({"from": day(60), "to": day(60)}).to_string();
                let path = format!("/api/v1/sites/{name}/shares");
                let made = ask(&server, "POST", &path, &body, next);
                assert_eq!(made.status, 201, "{}", made.text());
                let made: Value = serde_json::from_slice(&made.body).unwrap();
                secrets.push(made["url"].as_str().unwrap().replace("/share/", ""));
            }
        }
    }
    server.publish(NOON);
    // Names of new sites reach the store with the registry's next round.
    let path = format!("/api/v1/platform/sites?from={0}&to={0}", day(1));
    let are_named =
        |rows: &Vec<Value>| rows.len() == 3 && rows.iter().all(|row| row["site"].is_string());
    until(
        || {
            read(&server, &path).1["rows"]
                .as_array()
                .is_some_and(are_named)
        },
        "the sites have names",
    );
    let scene = Scene {
        server,
        engine,
        _dir: dir,
    };
    (scene, secrets.try_into().unwrap())
}

impl Scene {
    /// Rows of a site older than 50 days, by table; only tables that have some.
    fn old_rows(&self, site: &str) -> Vec<(&'static str, u64)> {
        let id = footfall::event::SiteId::from_key(site).as_u128();
        let count = |(table, column): (&'static str, &'static str)| {
            let sql = format!(
                "SELECT count() FROM {table} WHERE site = toUInt128('{id}') AND {column} < toDate('{}')",
                day(50)
            );
            (table, self.engine.sql(&sql).trim().parse().unwrap())
        };
        TABLES
            .map(count)
            .into_iter()
            .filter(|(_, rows)| *rows > 0)
            .collect()
    }
}

fn busy_sites(server: &Server, from: &str) -> Vec<String> {
    let (_, rows) = read(
        server,
        &format!("/api/v1/platform/sites?from={from}&to={from}"),
    );
    let rows = rows["rows"].as_array().unwrap();
    let mut names: Vec<String> = rows
        .iter()
        .map(|row| row["site"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn days_over_a_sites_limit_are_not_shown_at_once_and_deleted_from_every_table() {
    let (mut scene, [of_mia, of_tom]) = scene();
    let server = &scene.server;
    let old = day(60);
    let whole = format!("from={old}&to={}", day(0));
    let report = |site: &str| read(server, &format!("/api/v1/sites/{site}/report?{whole}")).1;
    let share = |secret: &str| read(server, &format!("/api/v1/shares/{secret}/report")).0;

    // Without a limit of its own, mia shows everything. The rule's limit holds for ally-mia.
    assert_eq!(report("mia")["totals"]["hits"], 52);
    assert_eq!(report("ally-mia")["totals"]["hits"], 39);
    assert_eq!(report("ally-mia")["from"], day(50));
    assert_eq!((share(&of_mia), share(&of_tom)), (200, 200));
    assert_eq!(busy_sites(server, &old), ["mia", "tom"]);
    assert_eq!(
        read(server, "/api/v1/sites?search=ally").1["rows"][0]["keep_days"],
        50
    );

    // From the change on, no question reads the old day.
    let limited = r#"{"hosts":[],"zone":"UTC","keep_days":40}"#;
    assert_eq!(
        ask(server, "PUT", "/api/v1/sites/mia", limited, NOON).status,
        204
    );
    let shown = report("mia");
    assert_eq!(shown["totals"]["hits"], 39);
    assert_eq!(shown["from"], day(40));
    let money: u64 = shown["money"][0]["hits"].as_u64().unwrap();
    assert_eq!(money, 39);
    let (status, problem) = read(
        server,
        &format!("/api/v1/sites/mia/report?from={old}&to={old}"),
    );
    assert_eq!(status, 400);
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains(&format!("to must be {} or later", day(40))),
        "{detail}"
    );
    for path in [
        format!("/api/v1/sites/mia/vitals?from={old}&to={old}"),
        format!("/api/v1/sites/mia/faults?from={old}&to={old}"),
        format!("/api/v1/sites/mia/export?table=series&from={old}&to={old}"),
    ] {
        assert_eq!(read(server, &path).0, 400, "{path}");
    }
    for table in ["series", "page", "money", "source", "vitals", "faults"] {
        let path = format!("/api/v1/sites/mia/export?table={table}&{whole}");
        let text = ask(server, "GET", &path, "", NOON).text();
        assert!(!text.contains(&old), "{table}: {text}");
    }
    let compared = format!(
        "/api/v1/sites/mia/report?from={}&to={}&compare_from={old}",
        day(1),
        day(0)
    );
    assert_eq!(read(server, &compared).1["compared"], Value::Null);
    assert_eq!((share(&of_mia), share(&of_tom)), (404, 200));
    assert_eq!(busy_sites(server, &old), ["tom"]);
    let again = json!({"from": old, "to": old}).to_string();
    let made = ask(server, "POST", "/api/v1/sites/mia/shares", &again, NOON);
    assert_eq!(
        (made.status, made.text().contains("from must be")),
        (400, true)
    );

    // What would go is told before, by table and site, and then goes.
    // Rows with the same key are merged now, not between two of the counts below.
    for (table, _) in TABLES {
        scene.engine.sql(&format!("OPTIMIZE TABLE {table} FINAL"));
    }
    let counted = [scene.old_rows("mia"), scene.old_rows("ally-mia")];
    let names = |rows: &[(&'static str, u64)]| rows.iter().map(|row| row.0).collect::<Vec<_>>();
    let all: Vec<&str> = TABLES.map(|table| table.0).to_vec();
    assert_eq!(names(&counted[0]), all);
    let (_, told) = read(server, "/api/v1/retention");
    let told_of = |site: &str| -> Vec<(&'static str, u64)> {
        let rows = told["expired"].as_array().unwrap().iter();
        let rows: Vec<&Value> = rows.filter(|row| row["site"] == site).collect();
        let find = |table: &'static str| {
            let row = rows.iter().find(|row| row["table"] == table)?;
            Some((table, row["rows"].as_u64().unwrap()))
        };
        TABLES.iter().filter_map(|(table, _)| find(table)).collect()
    };
    assert_eq!(told_of("mia"), counted[0]);
    assert_eq!(told_of("ally-mia"), counted[1]);
    assert_eq!(told_of("tom"), []);
    let printed = Command::new(env!("CARGO_BIN_EXE_footfall"))
        .args([
            "retention",
            "--dry-run",
            "--address",
            &server.address().to_string(),
        ])
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let (table, rows) = counted[0][0];
    let line = printed
        .lines()
        .find(|line| line.starts_with(table) && line.contains(" mia "));
    assert!(
        line.is_some_and(|line| line.contains(&format!(" {rows} "))),
        "{printed}"
    );

    let kept = scene.old_rows("tom");
    assert_eq!(names(&kept), all);
    scene.server.stop();
    scene.server.set(&[&format!("test.start_millis={NOON}")]);
    scene.server.restart();
    let scene = &scene;
    crate::support::until(
        || scene.old_rows("mia").is_empty() && scene.old_rows("ally-mia").is_empty(),
        "old rows are deleted",
    );
    crate::support::until(
        || read(&scene.server, "/api/v1/retention").1["expired"] == json!([]),
        "nothing is over its limit",
    );
    assert_eq!(scene.old_rows("tom"), kept);
    let shares = scene.engine.sql("SELECT DISTINCT site FROM shares");
    assert_eq!(shares.trim(), "tom");
    assert_eq!(
        read(&scene.server, &format!("/api/v1/sites/mia/report?{whole}")).1["totals"]["hits"],
        39
    );
}
