//! Erasure: a site is removed from tables, journal, registry and audit log, and nothing else is.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use footfall::event::SiteId;
use serde_json::{Value, json};

use crate::support::program;
use crate::support::{Answer, Body, Engine, NOON, SITES, Server, grant_of, hit, until};

const NAME: &str = "qxmia";
const ALIAS: &str = "qxmia-new";
const MILLIS_PER_DAY: i64 = 86_400_000;
const OPERATOR: &str = "operator-operator-operator";

struct Scene {
    server: Server,
    engine: Engine,
    dir: tempfile::TempDir,
    share: String,
    token: String,
}

fn ask(server: &Server, method: &str, path: &str, body: &str, at: i64, token: &str) -> Answer {
    let (host, now) = (server.address().to_string(), at.to_string());
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Host", &*host),
        ("X-Footfall-Now", &*now),
        ("Authorization", &*bearer),
    ];
    let body = if body.is_empty() {
        Body::None
    } else {
        Body::Sized(body.as_bytes())
    };
    server.client().ask(method, path, &headers, body).unwrap()
}

fn change(server: &Server, method: &str, path: &str, body: &Value, at: i64) -> Value {
    let answer = ask(server, method, path, &body.to_string(), at, OPERATOR);
    let text = answer.text();
    assert!((200..300).contains(&answer.status), "{path}: {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

/// Everything that is counted of a visit, by these people.
fn visits(server: &Server, profile: &str, people: std::ops::Range<u128>, at: i64) {
    let url = format!("https://pages.example/u/{profile}");
    let now = at.to_string();
    let mut client = server.client();
    for person in people {
        let (cookie, address) = (grant_of(person), format!("198.51.{person}.7"));
        for body in [
            json!({"kind": "view", "url": url, "referrer": "https://blog.example/"}),
            json!({"kind": "event", "url": url, "name": "tip", "value": 5, "currency": "EUR"}),
            json!({"kind": "vital", "url": url, "metric": "LCP", "value": 4500}),
            json!({"kind": "fault", "url": url, "fault": "script", "name": "TypeError", "source": "/a.js", "line": 1}),
        ] {
            let more = [
                ("Cookie", &*cookie),
                ("X-Forwarded-For", &*address),
                ("X-Footfall-Now", &*now),
            ];
            assert_eq!(hit(&mut client, &body.to_string(), &more).status, 202);
        }
    }
}

/// The site and `tom` with a published day, pending cells, an alias, a token, a share link, a void,
/// an open segment and held attributes.
fn scene() -> Scene {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let first = NOON - MILLIS_PER_DAY;
    let settings = [
        format!("store.url={}", engine.url()),
        format!("test.start_millis={first}"),
        format!("report.token={OPERATOR}"),
    ];
    let server = Server::start_with(SITES, &settings.each_ref().map(String::as_str));
    server.flush();
    for profile in [NAME, "tom"] {
        visits(&server, profile, 1..14, first);
    }
    server.publish(NOON);
    let site = format!("/api/v1/sites/{NAME}");
    let put = json!({"hosts": [], "zone": "UTC", "keep_days": 90});
    change(&server, "PUT", &site, &put, NOON);
    change(
        &server,
        "PUT",
        &format!("/api/v1/aliases/{ALIAS}"),
        &json!({"site": NAME}),
        NOON,
    );
    let day = "2026-03-09";
    let link = json!({"from": day, "to": day, "name": format!("for {NAME}")});
    let made = change(&server, "POST", &format!("{site}/shares"), &link, NOON);
    let share = made["url"].as_str().unwrap().replace("/share/", "");
    let token = json!({"name": format!("reads {NAME}"), "scopes": ["read"], "site": NAME});
    let made = change(&server, "POST", "/api/v1/tokens", &token, NOON);
    let token = made["token"].as_str().unwrap().to_owned();
    let void = json!({"id": "v", "from": day, "to": day, "event": "tip", "currency": "EUR"});
    change(&server, "POST", &format!("{site}/money/void"), &void, NOON);
    // Three visitors of today: too few for their attributes to leave the journal.
    for profile in [NAME, ALIAS, "tom"] {
        visits(&server, profile, 1..4, NOON);
    }
    Scene {
        server,
        engine,
        dir,
        share,
        token,
    }
}

impl Scene {
    fn erase(&self) -> Output {
        Command::new(env!("CARGO_BIN_EXE_footfall"))
            .args(["site", "erase", NAME, "--set"])
            .arg(format!("report.token={OPERATOR}"))
            .args(["--address", &self.server.address().to_string()])
            .output()
            .unwrap()
    }

    /// Rows of the site and its alias in all tables that have a column for it.
    fn rows(&self) -> u64 {
        let tables = "SELECT table, type FROM system.columns \
                      WHERE database = 'footfall' AND name = 'site' FORMAT TSV";
        let tables = self.engine.sql(tables);
        let count = |line: &str| -> u64 {
            let (table, kind) = line.split_once('\t').unwrap();
            let values = [NAME, ALIAS].map(|name| match kind {
                "String" => format!("'{name}'"),
                _ => format!("'{}'", SiteId::from_key(name).as_u128()),
            });
            let sql = format!(
                "SELECT count() FROM {table} WHERE toString(site) IN ({})",
                values.join(", ")
            );
            self.engine.sql(&sql).trim().parse().unwrap()
        };
        tables.lines().map(count).sum()
    }

    /// Files below the engine's and the journal's folder with the site's name or id.
    fn files_with_site(&self) -> Vec<String> {
        let ids = [NAME, ALIAS].map(SiteId::from_key);
        let mut needles: Vec<Vec<u8>> = vec![NAME.into()];
        for id in ids {
            needles.push(id.as_u128().to_le_bytes().to_vec());
            needles.push(id.to_string().into_bytes());
            needles.push(id.as_u128().to_string().into_bytes());
        }
        let mut found = Vec::new();
        search(self.dir.path(), &needles, &mut found);
        search(&self.server.dir().join("data"), &needles, &mut found);
        found
    }

    fn report_of_tom(&self) -> Value {
        let path = "/api/v1/sites/tom/report?from=2026-03-09&to=2026-03-09&limit=100";
        serde_json::from_str(&ask(&self.server, "GET", path, "", NOON, OPERATOR).text()).unwrap()
    }

    fn assert_erased(&mut self) {
        assert_eq!(self.rows(), 0);
        // Parts that are not active go after eight minutes; here after a second.
        let tables = "SELECT name FROM system.tables WHERE database = 'footfall' FORMAT TSV";
        for table in self.engine.sql(tables).lines() {
            self.engine.sql(&format!(
                "ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1, \
                 cleanup_delay_period = 1, cleanup_delay_period_random_add = 0"
            ));
        }
        // A start looks for them at once.
        self.engine.kill();
        self.engine.restart();
        until(|| self.files_with_site().is_empty(), "no byte of it");
        self.server.flush();
    }
}

fn search(folder: &Path, needles: &[Vec<u8>], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(&path, needles, found);
        } else if let Ok(bytes) = fs::read(&path)
            && needles.iter().any(|needle| contains(&bytes, needle))
        {
            found.push(path.display().to_string());
        }
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[test]
fn an_erased_site_is_in_no_table_journal_registry_or_audit_entry() {
    let mut scene = scene();
    let tom = scene.report_of_tom();
    let before = scene.files_with_site();
    let held = |part: &str| before.iter().any(|file| file.contains(part));
    assert!(
        held("journal") && held("registry.json") && held("/store/"),
        "{before:?}"
    );
    assert!(scene.rows() > 0);

    let output = scene.erase();
    let printed = String::from_utf8(output.stdout).unwrap();
    let failed = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success(),
        "{printed}{failed}\n{}",
        scene.server.log()
    );
    for table in [
        "activity",
        "aliases",
        "audit",
        "daily",
        "faults",
        "hourly",
        "money",
        "money_voids",
        "names",
        "published",
        "shares",
        "sites",
        "tokens",
        "unpublished",
        "vitals",
    ] {
        let has_rows = printed
            .lines()
            .any(|line| line.starts_with(&format!("{table} ")));
        assert!(has_rows, "{table}: {printed}");
    }
    assert!(printed.contains("every backup"), "{printed}");

    scene.assert_erased();
    assert_eq!(scene.report_of_tom(), tom);
    let server = &scene.server;
    let share = format!("/api/v1/shares/{}/report", scene.share);
    assert_eq!(ask(server, "GET", &share, "", NOON, OPERATOR).status, 404);
    let report = format!("/api/v1/sites/{NAME}/report");
    assert_eq!(
        ask(server, "GET", &report, "", NOON, &scene.token).status,
        401
    );
    let audit = ask(server, "GET", "/api/v1/audit", "", NOON, OPERATOR).text();
    assert!(
        !audit.contains(NAME) && audit.contains("erase_site"),
        "{audit}"
    );

    // The visits that were open leave nothing behind when they end.
    let later = NOON + 40 * 60_000;
    ask(server, "GET", "/readyz", "", later, OPERATOR);
    visits(server, "tom", 30..31, later);
    server.flush();
    assert_eq!(scene.rows(), 0);

    // A hit that comes now is counted anew, under the rule for profiles.
    visits(server, NAME, 40..41, later);
    server.flush();
    let again: Value =
        serde_json::from_str(&ask(server, "GET", &report, "", later, OPERATOR).text()).unwrap();
    assert_eq!(again["totals"]["hits"], 1, "{again}");
    assert_eq!(again["totals"]["visitors"], 1, "{again}");
}

#[test]
fn an_erasure_that_was_killed_half_way_finishes_when_it_is_repeated() {
    let mut scene = scene();
    for wait in [30, 120, 400] {
        let address = scene.server.address().to_string();
        let mut erasing = Command::new(env!("CARGO_BIN_EXE_footfall"))
            .args(["site", "erase", NAME, "--set"])
            .arg(format!("report.token={OPERATOR}"))
            .args(["--address", &address])
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(wait));
        scene.server.kill();
        let _ = erasing.wait();
        scene.server.restart();
        scene.server.flush();
    }
    let output = scene.erase();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    scene.assert_erased();
    assert_eq!(scene.report_of_tom()["totals"]["hits"], 13);
}

#[test]
fn the_live_value_of_every_promise_is_answered() {
    let scene = scene();
    let server = &scene.server;
    let text = ask(server, "GET", "/api/v1/compliance", "", NOON, OPERATOR).text();
    let kept: Value = serde_json::from_str(&text).unwrap();
    let at = |path: &str| {
        kept.pointer(path)
            .unwrap_or_else(|| panic!("{path}: {kept}"))
            .clone()
    };
    for (path, value) in [
        ("/retention/keep_days", json!(761)),
        ("/retention/sites", json!({ NAME: 90 })),
        ("/retention/oldest_day", json!("2026-03-09")),
        ("/publication/k", json!(5)),
        ("/publication/last", json!("2026-03-10T12:00:00Z")),
        ("/consent/basis", json!("opt_in")),
        ("/consent/version", json!(2)),
        (
            "/signals",
            json!({"gpc": "deny", "dnt": "deny", "gpc_obeyed": true}),
        ),
        ("/ledger/records", json!(0)),
        ("/day_keys/overdue", json!(0)),
    ] {
        assert_eq!(at(path), value, "{path}");
    }
    assert!(at("/day_keys/held").as_u64().unwrap() >= 1);
    server.flush();
}

#[test]
fn an_erasure_names_the_backups_that_hold_the_site_and_no_others() {
    let server = Server::start_with(SITES, &[&format!("test.start_millis={NOON}")]);
    server.flush();
    visits(&server, NAME, 1..3, NOON);
    server.flush();
    program::succeed(&server, &["backup", "create"]);
    let later = NOON + 30 * MILLIS_PER_DAY;
    visits(&server, "tom", 1..3, later);
    server.flush();
    let address = server.address().to_string();
    let list = program::succeed(&server, &["backup", "list"]);
    let backup = list.split_whitespace().next().unwrap();
    let line = format!("may still hold it: backup {backup} in ");

    // The backup is of a day on which nobody had seen tom's page.
    let erase_tom = ["site", "erase", "tom", "--address", &address];
    let printed = program::succeed(&server, &erase_tom);
    assert!(!printed.contains("may still hold it: backup"), "{printed}");

    // A copy elsewhere is named where its folder is told.
    let copies = server.dir().join("copies");
    fs::create_dir_all(copies.join(backup)).unwrap();
    for file in ["manifest.json", "registry.json"] {
        let from = server.dir().join("backups").join(backup).join(file);
        if from.exists() {
            fs::copy(from, copies.join(backup).join(file)).unwrap();
        }
    }
    let folder = copies.to_str().unwrap();
    let erase = [
        "site",
        "erase",
        NAME,
        "--address",
        &address,
        "--backups",
        folder,
    ];
    let printed = program::succeed(&server, &erase);
    let of_collector = format!("{line}{}/backups\n", server.dir().display());
    assert!(printed.contains(&of_collector), "{of_collector}{printed}");
    assert!(printed.contains(&format!("{line}{folder}\n")), "{printed}");

    let get = |path: &str| {
        let host = [("Host", address.as_str())];
        server.client().ask("GET", path, &host, Body::None).unwrap()
    };
    let audit = get("/api/v1/audit").text();
    let says = format!("backups that may hold it: {backup}");
    assert!(
        audit.contains(&says) && audit.contains("no backup holds it"),
        "{audit}"
    );
    assert!(!audit.contains(NAME), "{audit}");
}
