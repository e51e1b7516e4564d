//! What supervisors and balancers ask: `/healthz`, `/readyz`, `/version`, `footfall healthcheck`,
//! and what systemd is told.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Body, DAY, Engine, NOON, SITES, Server, grant_of, hit, until, view};

const HOUR: i64 = 3_600_000;
const DAY_LONG: i64 = 24 * HOUR;

/// Status and answer of `/readyz`; it is this moment.
fn asked_at(server: &Server, now: i64) -> (u16, Value) {
    let (host, now) = (server.address().to_string(), now.to_string());
    let headers = [("Host", host.as_str()), ("X-Footfall-Now", now.as_str())];
    let answer = server
        .client()
        .ask("GET", "/readyz", &headers, Body::None)
        .expect("an answer");
    let body = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()));
    (answer.status, body)
}

/// Status and code.
pub fn ready_at(server: &Server, now: i64) -> (u16, String) {
    let (status, body) = asked_at(server, now);
    (status, body["code"].as_str().expect("a code").to_owned())
}

fn check(server: &Server, now: i64, name: &str) -> Value {
    let (_, body) = asked_at(server, now);
    let checks = body["checks"].as_array().expect("checks").clone();
    checks
        .into_iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no {name} in {body}"))
}

/// Status of the answer of a hook for tests, at this moment.
fn hook(server: &Server, path: &str, now: i64) -> u16 {
    let (host, now) = (server.address().to_string(), now.to_string());
    let headers = [("Host", host.as_str()), ("X-Footfall-Now", now.as_str())];
    let answer = server.client().ask("POST", path, &headers, Body::None);
    answer.unwrap().status
}

/// A collector that is ready at noon.
fn started(settings: &[&str]) -> Server {
    let start = format!("test.start_millis={NOON}");
    let server = Server::start_with(SITES, &[&[start.as_str()], settings].concat());
    server.flush();
    until(
        || check(&server, NOON, "store")["code"] == "answers",
        "the store was asked",
    );
    until(|| ready_at(&server, NOON) == said("ready"), "it is ready");
    server
}

fn said(code: &str) -> (u16, String) {
    (if code == "ready" { 200 } else { 503 }, code.to_owned())
}

#[test]
fn a_collector_that_is_well_says_so_check_by_check_and_tells_its_version() {
    let server = started(&[]);
    until(
        || check(&server, NOON, "store")["code"] == "answers",
        "the store was asked",
    );
    let (status, body) = asked_at(&server, NOON);
    let ok = |name: &str, code: &str| json!({"name": name, "ok": true, "code": code});
    let checks = json!([
        ok("port", "open"),
        ok("journal", "writable"),
        ok("keys", "current"),
        ok("store", "answers"),
        ok("publication", "on_time"),
        ok("retention", "on_time"),
        ok("ledger", "verified"),
        ok("clock", "sane"),
    ]);
    assert_eq!(
        (status, &body),
        (
            200,
            &json!({"status": "ready", "code": "ready", "checks": checks})
        )
    );

    let get = |path: &str| {
        let answer = server.client().get(path).unwrap();
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, Some("no-store")),
            "{path}"
        );
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    assert_eq!(get("/healthz"), json!({"status": "ok", "code": "alive"}));
    let version = get("/version");
    let expected = json!({"name": "footfall", "version": env!("CARGO_PKG_VERSION"), "schema": footfall::store::schema::NEWEST_SCHEMA});
    assert_eq!(version, expected);

    let page = server.client().get("/api/v1/platform/health").unwrap();
    let page: Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!(page["checks"], checks, "the operator's page tells the same");
}

#[test]
fn a_store_that_is_away_is_a_reason_beyond_its_bound_and_hits_are_taken_all_the_same() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let server = started(&[
        &url,
        "health.store_check_secs=1",
        "health.store_unavailable_secs=7200",
    ]);
    let store = |now: i64| check(&server, now, "store");
    until(|| store(NOON)["code"] == "answers", "the store was asked");

    engine.kill();
    until(
        || store(NOON)["code"] == "unavailable_within_bound",
        "the store is missed",
    );
    let later = NOON + 2 * HOUR;
    assert_eq!(
        ready_at(&server, later),
        said("ready"),
        "exactly at the bound"
    );
    assert_eq!(ready_at(&server, later + 1000), said("store_unavailable"));
    assert_eq!(store(later)["ok"], false);
    let mut client = server.client();
    let taken = (0..20)
        .filter(|n| hit(&mut client, &view(&format!("/u/mia/{n}")), &[]).status == 202)
        .count();
    assert_eq!(taken, 20);
    assert_eq!(
        client.get("/healthz").unwrap().status,
        200,
        "a restart would not bring the store back"
    );

    engine.restart();
    until(
        || ready_at(&server, later) == said("ready"),
        "the store is back",
    );
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 20);
}

#[test]
fn a_journal_whose_folder_is_gone_is_a_reason_until_it_is_back() {
    let server = started(&[]);
    let (journal, away) = (
        server.dir().join("data/journal"),
        server.dir().join("data/away"),
    );
    fs::rename(&journal, &away).unwrap();
    assert_eq!(ready_at(&server, NOON), said("journal_not_writable"));
    fs::rename(&away, &journal).unwrap();
    assert_eq!(ready_at(&server, NOON), said("ready"));
}

#[test]
fn a_key_that_outlives_its_day_is_a_reason_until_it_is_wiped() {
    let server = started(&[]);
    // The writer wipes it within 200 ms of the jump; the question comes in the same moment.
    let told = (0..4).filter(|day| {
        let now = NOON + day * DAY_LONG;
        let at = now.to_string();
        assert_eq!(
            hit(
                &mut server.client(),
                &view("/u/mia"),
                &[("X-Footfall-Now", &at)]
            )
            .status,
            202
        );
        let told = ready_at(&server, now + DAY_LONG) == said("day_key_overdue");
        until(
            || ready_at(&server, now + DAY_LONG) == said("ready"),
            "the key is wiped",
        );
        told
    });
    assert!(told.count() >= 2);
}

#[test]
fn a_clock_that_was_never_set_is_a_reason() {
    let server = Server::start_with(SITES, &["test.start_millis=0"]);
    server.flush();
    until(
        || check(&server, 0, "store")["code"] == "answers",
        "the store was asked",
    );
    let in_2026 = 1_767_225_600_000;
    assert_eq!(ready_at(&server, in_2026 - 1), said("clock_not_set"));
    assert_eq!(ready_at(&server, in_2026), said("ready"));
}

#[test]
fn a_publication_that_is_late_is_a_reason_beyond_its_bound_and_its_lateness_grows_while_it_fails() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let server = started(&[
        &url,
        "health.publication_overdue_secs=100000",
        "report.publish_delay_secs=100",
    ]);
    let publish_at = |now: i64| hook(&server, "/test/publish", now);
    assert_eq!(publish_at(NOON), 200, "{}", server.log());
    for person in 0..12 {
        let (address, cookie) = (format!("198.51.{person}.7"), grant_of(person));
        let fields = [("X-Forwarded-For", &*address), ("Cookie", &*cookie)];
        assert_eq!(
            hit(&mut server.client(), &view("/u/mia"), &fields).status,
            202
        );
    }

    // Due 100 s after midnight; what is published has nowhere to go.
    engine.sql("RENAME TABLE published TO elsewhere");
    let (next, due) = (NOON + DAY_LONG, NOON + 12 * HOUR + 100_000);
    assert_eq!(publish_at(next), 503, "{}", server.log());
    assert_eq!(
        server.metric("footfall_publication_overdue_seconds"),
        12 * 3600 - 100
    );
    let within = json!({"name": "publication", "ok": true, "code": "overdue_within_bound"});
    assert_eq!(check(&server, next, "publication"), within);
    assert_eq!(
        ready_at(&server, due + 100_000_000),
        said("ready"),
        "exactly at the bound"
    );
    assert_eq!(
        ready_at(&server, due + 100_001_000),
        said("publication_overdue")
    );
    assert_eq!(
        server.metric("footfall_publication_overdue_seconds"),
        100_001
    );

    engine.sql("RENAME TABLE elsewhere TO published");
    assert_eq!(publish_at(due + 100_001_000), 200, "{}", server.log());
    assert_eq!(ready_at(&server, due + 100_001_000), said("ready"));
    assert_eq!(server.metric("footfall_publication_overdue_seconds"), 0);
}

#[test]
fn a_publication_that_cannot_ask_the_store_is_late_from_then_on_and_so_is_the_store() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let server = started(&[&url, "health.store_check_secs=1"]);
    let late = || server.metric("footfall_publication_overdue_seconds");
    let away = || server.metric("footfall_store_unavailable_seconds");
    assert_eq!(hook(&server, "/test/publish", NOON), 200);
    let published = server.metric("footfall_publication_last_success_timestamp_seconds");
    assert_eq!((late(), away(), published), (0, 0, NOON as u64 / 1000));

    engine.kill();
    until(
        || check(&server, NOON, "store")["code"] == "unavailable_within_bound",
        "the store is missed",
    );
    assert_eq!(hook(&server, "/test/publish", NOON + HOUR), 503);
    assert_eq!((late(), away()), (0, 3600));
    assert_eq!(hook(&server, "/test/publish", NOON + 2 * HOUR), 503);
    assert_eq!((late(), away()), (3600, 7200));
    assert_eq!(server.metric("footfall_publication_failures_total"), 2);
    assert_eq!(
        server.metric("footfall_publication_last_success_timestamp_seconds"),
        published
    );

    engine.restart();
    until(|| away() == 0, "the store is back");
    assert_eq!(hook(&server, "/test/publish", NOON + 2 * HOUR), 200);
    assert_eq!(late(), 0);
}

#[test]
fn a_retention_that_fails_is_a_reason_beyond_its_bound_and_its_lateness_grows_until_it_works() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let server = started(&[&url, "health.retention_overdue_secs=7200"]);
    let figures = || {
        [
            "failures_total",
            "last_success_timestamp_seconds",
            "overdue_seconds",
        ]
        .map(|name| server.metric(&format!("footfall_retention_{name}")))
    };
    let noon = NOON as u64 / 1000;
    until(
        || figures() == [0, noon, 0],
        "the first one of the start has run",
    );

    engine.sql("RENAME TABLE faults TO elsewhere");
    let next = NOON + HOUR;
    assert_eq!(hook(&server, "/test/retention", next), 503);
    assert_eq!(figures(), [1, noon, 0], "due now");
    assert_eq!(hook(&server, "/test/retention", next + HOUR), 503);
    assert_eq!(figures(), [2, noon, 3600]);
    let within = json!({"name": "retention", "ok": true, "code": "overdue_within_bound"});
    assert_eq!(check(&server, next + HOUR, "retention"), within);
    assert_eq!(ready_at(&server, next + 2 * HOUR), said("ready"), "bound");
    let late = next + 2 * HOUR + 1000;
    assert_eq!(ready_at(&server, late), said("retention_overdue"));
    assert_eq!(figures(), [2, noon, 7201]);
    let page = server.client().get("/api/v1/platform/health").unwrap();
    let page: Value = serde_json::from_slice(&page.body).unwrap();
    let shown = json!({"failures": 2, "last_success_secs": noon, "overdue_secs": 7201});
    assert_eq!(page["retention"], shown);

    engine.sql("RENAME TABLE elsewhere TO faults");
    assert_eq!(hook(&server, "/test/retention", late), 200);
    assert_eq!(figures(), [2, late as u64 / 1000, 0]);
    assert_eq!(ready_at(&server, late + HOUR), said("ready"));
    assert_eq!(figures()[2], 0, "due now");
}

#[test]
fn an_engine_that_is_killed_is_a_restart_in_the_metrics() {
    let server = started(&[]);
    let restarts = || server.metric("footfall_engine_restarts_total");
    assert_eq!(restarts(), 0);
    for count in 1..=2 {
        for child in server.children() {
            let pid = rustix::process::Pid::from_raw(child as i32).unwrap();
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
        }
        until(|| restarts() == count, "it is counted");
        until(
            || server.client().get("/api/v1/sites").unwrap().status == 200,
            "the engine is back",
        );
    }
}

#[test]
fn a_stop_is_told_to_balancers_first_and_takes_every_hit_until_the_port_closes() {
    let mut server = started(&["server.drain_secs=8"]);
    let start = Instant::now();
    server.signal(Signal::TERM);
    until(
        || ready_at(&server, NOON) == said("draining"),
        "readiness goes",
    );
    let told = start.elapsed();

    let (mut taken, mut closing) = (0, 0);
    while start.elapsed() < Duration::from_secs(5) {
        let mut client = server.client();
        let answer = hit(&mut client, &view(&format!("/u/mia/{taken}")), &[]);
        assert_eq!(answer.status, 202, "while it drains");
        taken += 1;
        closing += usize::from(answer.header("connection") == Some("close"));
    }
    assert_eq!(closing, taken, "connections are not kept open");
    assert_eq!(
        server.ended_within(Duration::from_secs(40)),
        Some(Some(0)),
        "{}",
        server.log()
    );
    let took = start.elapsed();
    println!(
        "drain_told_ms={} drain_taken={taken} stop_ms={}",
        told.as_millis(),
        took.as_millis()
    );
    assert!(
        taken > 10 && told < Duration::from_secs(4) && took >= Duration::from_secs(8),
        "{took:?}"
    );

    server.restart();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], taken);
}

#[test]
fn a_second_signal_ends_the_drain_and_ctrl_c_has_none() {
    let mut server = started(&["server.drain_secs=600"]);
    server.signal(Signal::TERM);
    until(
        || ready_at(&server, NOON) == said("draining"),
        "readiness goes",
    );
    server.signal(Signal::TERM);
    assert_eq!(
        server.ended_within(Duration::from_secs(20)),
        Some(Some(0)),
        "{}",
        server.log()
    );

    server.restart();
    server.signal(Signal::INT);
    assert_eq!(
        server.ended_within(Duration::from_secs(20)),
        Some(Some(0)),
        "{}",
        server.log()
    );
}

fn healthcheck(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_footfall"));
    command
        .arg("healthcheck")
        .args(arguments)
        .envs(environment.iter().copied());
    command.output().expect("the program runs")
}

#[test]
fn the_command_asks_the_configured_address_and_answers_by_its_exit_code() {
    let mut server = started(&[]);
    let config = server.dir().join("footfall.toml").display().to_string();
    let listen = format!("server.listen=\"{}\"", server.address());
    let everywhere = format!("0.0.0.0:{}", server.address().port());
    let (at, of_env) = (
        server.address().to_string(),
        [("FOOTFALL__SERVER__LISTEN", &*everywhere)],
    );
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = healthcheck(arguments, environment);
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let well = (Some(0), String::new());

    assert_eq!(run(&["--config", &config, "--set", &listen], &[]), well);
    assert_eq!(run(&["--set", &listen, "--live"], &[]), well);
    assert_eq!(run(&[], &of_env), well, "a server that listens everywhere");
    assert_eq!(run(&["--address", &at], &[]), well);
    let (code, why) = run(&["--config", &config], &[]);
    assert!(
        code == Some(1) && why.contains("--address"),
        "{code:?} {why}"
    );

    let (journal, away) = (
        server.dir().join("data/journal"),
        server.dir().join("data/away"),
    );
    fs::rename(&journal, &away).unwrap();
    let (code, why) = run(&["--address", &at], &[]);
    assert_eq!(
        (code, why.trim()),
        (
            Some(1),
            &*format!("footfall: http://{at}/readyz: 503 journal: journal_not_writable")
        )
    );
    assert_eq!(run(&["--address", &at, "--live"], &[]), well);
    fs::rename(&away, &journal).unwrap();

    // It accepts, as the kernel does that, and answers nothing.
    server.signal(Signal::STOP);
    let start = Instant::now();
    let (code, why) = run(&["--address", &at, "--timeout", "1"], &[]);
    assert!(
        code == Some(1) && why.contains("no response in 1s"),
        "{code:?} {why}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    server.signal(Signal::CONT);
    assert_eq!(server.stop(), Some(0));
    let (code, why) = run(&["--address", &at], &[]);
    assert!(
        code == Some(1) && why.contains("cannot be reached"),
        "{code:?} {why}"
    );
}

/// What systemd is told: one datagram each.
struct Supervisor {
    socket: UnixDatagram,
}

impl Supervisor {
    fn at(path: &Path) -> Supervisor {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Supervisor { socket }
    }

    fn next(&self) -> String {
        let mut bytes = [0; 512];
        let length = self.socket.recv(&mut bytes).expect("a datagram");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Fills the socket's queue: the next sender waits until something is read.
    fn stop_reading(&self, path: &Path) {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        while sender.send_to(b"X", path).is_ok() {}
    }
}

#[test]
fn systemd_is_told_when_it_is_ready_alive_and_stopping() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("notify");
    let supervisor = Supervisor::at(&path);
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let mut server = Server::start_in(SITES, &[], &environment);

    let mut messages = vec![supervisor.next()];
    let start = Instant::now();
    let count = |messages: &[String], line: &str| {
        messages
            .iter()
            .filter(|message| message.lines().any(|told| told == line))
            .count()
    };
    let mut times = Vec::new();
    while times.len() < 10 {
        messages.push(supervisor.next());
        if count(&messages[messages.len() - 1..], "WATCHDOG=1") > 0 {
            times.push(start.elapsed());
        }
    }
    let intervals = times.windows(2).map(|two| two[1] - two[0]);
    let (took, shortest) = (times[9], intervals.min().unwrap());
    println!("ten_watchdogs_ms={}", took.as_millis());
    assert_eq!(count(&messages, "READY=1"), 1, "{messages:?}");
    // A busy machine makes some of them late.
    assert!(
        took > Duration::from_millis(300) && shortest < Duration::from_millis(150),
        "every 100 ms: {times:?}"
    );
    assert_eq!(count(&messages, "STOPPING=1"), 0, "{messages:?}");

    // A supervisor that does not read holds up nothing.
    supervisor.stop_reading(&path);
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1);
    supervisor.socket.set_nonblocking(true).unwrap();
    while supervisor.socket.recv(&mut [0; 512]).is_ok() {}

    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let mut bytes = [0; 512];
    let rest: Vec<String> = std::iter::from_fn(|| {
        let length = supervisor.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    })
    .collect();
    assert_eq!(count(&rest, "STOPPING=1"), 1, "{rest:?}");
}
