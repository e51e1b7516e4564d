//! Shards with replicas, each a real engine process: whatever happens to one of them, all have the
//! same rows in the end, and a report is never read from one that is behind.

mod publication;
mod rebuild;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    ABSENT, Answer, Body, Client, DAY, Engine, NOON, SITES, Server, ask, grant_of, hit,
    start_two_engines, until, view,
};

const DAY_LONG: i64 = 86_400_000;
const OPERATOR: &str = "report.token=operator-operator-operator";
/// After this time a segment that was seen in part has been stored and is known to be.
const SETTLED_AFTER: Duration = Duration::from_secs(8);
/// Tables and columns that differ between replicas that have the same rows.
const LOCAL_TABLES: [&str; 4] = [
    "migrations",
    "replica_sets",
    "transfers",
    "transferred_partitions",
];

/// Two engines, and the setting that makes them the replicas of the only shard.
struct Replicas {
    engines: [Engine; 2],
    dir: tempfile::TempDir,
}

impl Replicas {
    fn start() -> Replicas {
        let (engines, dir) = start_two_engines();
        Replicas { engines, dir }
    }

    fn setting(&self) -> String {
        let [one, two] = self.engines.each_ref().map(Engine::url);
        format!("store.shards=[[\"{one}\", \"{two}\"]]")
    }

    fn settings(&self) -> [String; 2] {
        [self.setting(), "store.replication=collector".to_owned()]
    }

    fn server(&self, more: &[&str]) -> Server {
        let own = self.settings();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let settings = [&own[..], &["health.store_check_secs=1"], more].concat();
        Server::start_with(SITES, &settings)
    }

    /// The arguments of a command on one of them, with the settings of their server.
    fn store_command(&self, command: &str, url: &str) -> Vec<String> {
        let settings = self.settings().into_iter();
        let settings = settings.flat_map(|pair| ["--set".to_owned(), pair]);
        let words = ["store", command, url].map(str::to_owned);
        words.into_iter().chain(settings).collect()
    }

    /// Replaces the second engine by one without a database.
    fn lose_second(&mut self) {
        self.engines[1].kill();
        std::fs::remove_dir_all(self.dir.path().join("two")).unwrap();
        self.engines[1].restart();
    }

    /// Makes a database of the second one that holds nothing but this name and URLs of a set, in SQL.
    fn record_set_of_second(&self, record: &str) {
        for statement in [
            "CREATE DATABASE footfall",
            "CREATE TABLE footfall.replica_sets (name String, urls Array(String), at \
             DateTime64(6, 'UTC') DEFAULT now64(6)) ENGINE = MergeTree ORDER BY at",
            &format!("INSERT INTO footfall.replica_sets (name, urls) VALUES ({record})"),
        ] {
            self.engines[1].sql_in("default", statement);
        }
    }

    /// Waits until both have the same tables.
    fn until_equal(&self, what: &str) {
        let both = || [tables(&self.engines[0]), tables(&self.engines[1])];
        let is_equal = || matches!(both(), [one, two] if one == two);
        until(is_equal, &format!("{what}: {:?}", both()));
    }
}

/// The rows of every table as a reader sees them: their number and the sum of a hash of each.
fn tables(engine: &Engine) -> BTreeMap<String, String> {
    let names = engine.sql(
        "SELECT t.name, arrayStringConcat(groupArray(c.name), ', '), t.engine LIKE '%ing%' \
         FROM system.tables AS t INNER JOIN system.columns AS c ON c.table = t.name AND \
         c.database = t.database WHERE t.database = 'footfall' AND c.name != 'finished' \
         GROUP BY t.name, t.engine FORMAT TSV",
    );
    let table = |line: &str| {
        let [name, columns, folds] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        if LOCAL_TABLES.contains(&name) {
            return None;
        }
        let rows = if folds == "1" { " FINAL" } else { "" };
        let sum = engine.sql(&format!(
            "SELECT count(), sum(cityHash64({columns})) FROM {name}{rows} FORMAT TSV"
        ));
        Some((name.to_owned(), sum))
    };
    names.lines().filter_map(table).collect()
}

fn get(server: &Server, path: &str) -> Answer {
    server.client().get(path).unwrap()
}

/// The hits in the report of the profile mia; the status where it is not answered.
fn reported(server: &Server) -> Result<u64, u16> {
    let answer = get(server, &format!("/api/v1/sites/mia/report?{DAY}"));
    let report: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match answer.status {
        200 => Ok(report["totals"]["hits"].as_u64().unwrap()),
        status => Err(status),
    }
}

fn count_view(server: &Server, page: u64, person: u128) -> bool {
    let (cookie, address) = (grant_of(person), format!("198.51.{}.7", person % 250));
    let fields = [("Cookie", &*cookie), ("X-Forwarded-For", &*address)];
    let body = view(&format!("/u/mia/{page}"));
    hit(&mut server.client(), &body, &fields).status == 202
}

fn count_views(server: &Server, people: std::ops::Range<u128>) {
    for person in people {
        assert!(count_view(server, 1, person));
    }
}

/// As the operator.
fn operate(server: &Server, method: &str, path: &str, body: &str) -> Answer {
    let host = server.address().to_string();
    let own = [
        ("Host", &*host),
        ("Origin", ABSENT),
        ("Cookie", ABSENT),
        ("X-Forwarded-For", ABSENT),
        ("Authorization", "Bearer operator-operator-operator"),
    ];
    ask(&mut server.client(), method, path, body, &own)
}

/// Publishes what is due at this moment; the status of the answer.
fn publish(server: &Server, at: i64) -> u16 {
    let (host, now) = (server.address().to_string(), at.to_string());
    let headers = [("Host", host.as_str()), ("X-Footfall-Now", now.as_str())];
    let answer = server
        .client()
        .ask("POST", "/test/publish", &headers, Body::None);
    answer.unwrap().status
}

#[test]
fn a_replica_that_is_killed_under_load_and_comes_back_has_the_same_tables() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&[]);
    server.flush();
    let (over, counted) = (AtomicBool::new(false), AtomicU64::new(0));
    let load = || {
        let mut number = 0;
        while !over.load(Ordering::Relaxed) {
            if count_view(&server, number % 20, u128::from(number % 1000)) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            number += 1;
        }
    };
    // While one is away, the other answers, and with nothing less than before, up to a segment that
    // was on its way.
    let watch = || {
        let mut seen: Vec<(Instant, u64)> = Vec::new();
        let (mut right, mut longest, mut since) = (0_u64, Duration::ZERO, Instant::now());
        while !over.load(Ordering::Relaxed) {
            match reported(&server) {
                Ok(hits) => {
                    let settled = seen.iter().filter(|(at, _)| at.elapsed() > SETTLED_AFTER);
                    let most = settled.map(|(_, hits)| *hits).max().unwrap_or(0);
                    assert!(hits >= most, "{hits} after {most}");
                    seen.push((Instant::now(), hits));
                    right += 1;
                    longest = longest.max(since.elapsed());
                    since = Instant::now();
                }
                Err(status) => assert_eq!(status, 503),
            }
        }
        (right, longest)
    };

    let (right, longest) = std::thread::scope(|scope| {
        scope.spawn(load);
        let watching = scope.spawn(watch);
        for away in [1, 0, 1] {
            sleep(Duration::from_millis(1200));
            replicas.engines[away].kill();
            sleep(Duration::from_millis(1800));
            replicas.engines[away].restart();
            // The other one must not go before this one has what it lacks.
            until(
                || tables(&replicas.engines[away]).contains_key("daily"),
                "it is open",
            );
            sleep(Duration::from_millis(1500));
        }
        over.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    });
    let counted = counted.load(Ordering::Relaxed);
    assert!(counted > 100 && right > 20, "{counted} {right}");
    // Not while the one that returned is sent what it lacks.
    assert!(longest < Duration::from_secs(20), "{longest:?}");

    server.flush();
    let hits = "SELECT toUInt64(sum(hits)) FROM daily WHERE subject = 'page' AND site != 0";
    for engine in &replicas.engines {
        assert_eq!(
            engine.sql(hits).trim(),
            counted.to_string(),
            "lost or doubled"
        );
    }
    replicas.until_equal("both have the same tables");
    until(|| reported(&server) == Ok(counted), "all is reported");
    assert_eq!(server.metric("footfall_segments_waiting"), 0);
}

#[test]
fn a_report_is_read_from_the_sibling_within_a_second_and_never_from_a_replica_that_is_behind() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&[]);
    count_views(&server, 0..30);
    server.flush();
    until(|| reported(&server) == Ok(30), "counted");

    // One hangs: the kernel takes connections and nothing answers.
    for hanging in [0, 1] {
        replicas.engines[hanging].hang();
        let since = Instant::now();
        assert_eq!(reported(&server), Ok(30));
        // 0.7 s on a quiet machine. A statement would wait 20 s for the one that hangs.
        assert!(
            since.elapsed() < Duration::from_secs(12),
            "{:?}",
            since.elapsed()
        );
        until(
            || {
                let health = get(&server, "/api/v1/platform/health").text();
                health.contains(&format!("\"replica\":{}", hanging + 1))
            },
            "it is missed",
        );
        assert_eq!(server.metric("footfall_replicas_unavailable"), 1);
        replicas.engines[hanging].wake();
        until(
            || server.metric("footfall_replicas_unavailable") == 0,
            "it is back",
        );
    }

    // The second lacks counts that the first has. Alone, it is not read.
    replicas.engines[1].kill();
    count_views(&server, 30..50);
    until(|| reported(&server) == Ok(50), "the first has all");
    // It is not sent what it lacks: its table is under another name.
    replicas.engines[1].restart();
    let hidden = "RENAME TABLE daily TO daily_hidden";
    replicas.engines[1].sql(hidden);
    replicas.engines[0].kill();
    until(
        || reported(&server) == Err(503),
        "none that is whole responds",
    );
    for _ in 0..20 {
        assert_eq!(
            reported(&server),
            Err(503),
            "a smaller number, or an old one"
        );
        sleep(Duration::from_millis(50));
    }
    replicas.engines[1].sql("RENAME TABLE daily_hidden TO daily");
    until(|| reported(&server) == Ok(50), "it has what the first has");
    replicas.engines[0].restart();
    server.flush();
    replicas.until_equal("both have the same tables");
}

#[test]
fn a_change_is_on_every_replica_or_refused_and_what_the_collector_notes_follows() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&["registry.refresh_secs=1", OPERATOR]);
    count_views(&server, 0..3);
    server.flush();
    let register = |name: &str| {
        let body = json!({"hosts": [format!("{name}.example")], "zone": "UTC"}).to_string();
        operate(&server, "PUT", &format!("/api/v1/sites/{name}"), &body).status
    };
    until(|| register("shop") == 204, "both replicas are here");
    for engine in &replicas.engines {
        assert_eq!(
            engine.sql("SELECT name, removed FROM sites FINAL"),
            "shop\tfalse\n"
        );
    }
    // A name that was noted while the other replica was still being opened is copied to it.
    replicas.until_equal("both have the same tables");

    replicas.engines[0].kill();
    let is_away = || {
        let page = operate(&server, "GET", "/metrics", "").text();
        page.contains("footfall_replicas_unavailable 1")
    };
    until(is_away, "it is missed");
    assert_eq!(register("other"), 503);
    assert_eq!(
        replicas.engines[1].sql("SELECT count() FROM sites FINAL"),
        "1\n"
    );
    // A name of a new site needs no answer.
    let (cookie, body) = (grant_of(9), view("/u/tom/1"));
    let fields = [("Cookie", &*cookie), ("X-Forwarded-For", "198.51.9.7")];
    assert_eq!(hit(&mut server.client(), &body, &fields).status, 202);
    let names = |engine: &Engine| engine.sql("SELECT count() FROM names FINAL");
    until(
        || names(&replicas.engines[1]) == "2\n",
        "the name is stored",
    );
    assert_eq!(
        operate(&server, "POST", "/api/v1/sites/tom/erase", "").status,
        503,
        "a part of it would stay"
    );

    replicas.engines[0].restart();
    until(|| names(&replicas.engines[0]) == "2\n", "it gets the name");
    until(|| register("other") == 204, "changes are taken again");
    until(
        || operate(&server, "POST", "/api/v1/sites/tom/erase", "").status == 200,
        "so are erasures",
    );
    for engine in &replicas.engines {
        assert_eq!(names(engine), "1\n");
    }
    server.flush();
    replicas.until_equal("both have the same tables");
}

#[test]
fn a_change_that_takes_too_long_on_the_first_replica_is_on_the_other_one_too() {
    let replicas = Replicas::start();
    let quick = [
        "limits.response_timeout_millis=500",
        "limits.read_timeout_millis=500",
    ];
    let server = replicas.server(&[&[OPERATOR], &quick[..]].concat());
    server.flush();
    // Replicas that were just opened are compared, which would hide what is tested.
    sleep(Duration::from_secs(2));
    for engine in &replicas.engines {
        engine.sql(
            "CREATE MATERIALIZED VIEW slow_sites ENGINE = Null AS SELECT sleep(2.9) FROM sites",
        );
    }

    let body = json!({"hosts": ["shop.example"], "zone": "UTC"}).to_string();
    let register = || operate(&server, "PUT", "/api/v1/sites/shop", &body);
    let is_unconfirmed = || {
        let answer = register();
        answer.status == 503 && answer.text().contains("change_unconfirmed")
    };
    until(is_unconfirmed, "it takes longer than its caller waits");
    let names = |engine: &Engine| engine.sql("SELECT DISTINCT name FROM sites");
    until(
        || replicas.engines.each_ref().map(names) == ["shop\n", "shop\n"],
        "both have it",
    );
}

/// A collector that dies before it has told all replicas leaves one of them with the set on record.
#[test]
fn a_first_start_that_dies_half_way_leaves_no_replica_that_is_refused() {
    let mut replicas = Replicas::start();
    replicas.engines[0].kill();
    replicas.record_set_of_second("'new', []");

    let server = replicas.server(&[]);
    count_views(&server, 0..5);
    until(
        || server.log().contains("not known until all respond"),
        "the second one takes no rows before the first one has the set",
    );
    replicas.engines[0].restart();
    server.flush();

    until(|| reported(&server) == Ok(5), "they are read");
    replicas.until_equal("both have the same tables");
    for engine in &replicas.engines {
        assert_eq!(
            engine.sql("SELECT DISTINCT name FROM replica_sets").trim(),
            "new"
        );
    }
}

#[test]
fn upgrades_under_load_and_with_a_replica_away_send_every_segment_once() {
    let mut replicas = Replicas::start();
    let mut server = replicas.server(&["journal.attribute_secs=0"]);
    server.flush();
    let (over, counted) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let address = server.address();
        let (over, counted) = (&over, &counted);
        scope.spawn(move || {
            let mut client = Client::connect(address).unwrap();
            while !over.load(Ordering::Relaxed) {
                let number = counted.load(Ordering::Relaxed);
                let (cookie, person) = (grant_of(u128::from(number)), number % 250);
                let address = format!("198.51.{person}.7");
                let fields = [("Cookie", &*cookie), ("X-Forwarded-For", &*address)];
                let answer = hit(&mut client, &view(&format!("/u/mia/{number}")), &fields);
                assert_eq!(answer.status, 202, "{}", answer.text());
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });

        server.upgrade();
        replicas.engines[0].kill();
        let is_away = || server.metric("footfall_replicas_unavailable") >= 1;
        until(is_away, "it is missed");
        server.upgrade();
        // What the replica lacks stays in the journal through this upgrade and the next one.
        server.upgrade();
        replicas.engines[0].restart();
        server.upgrade();
        over.store(true, Ordering::Relaxed);
    });

    let hits = counted.load(Ordering::Relaxed);
    until(|| reported(&server) == Ok(hits), "all are counted once");
    server.flush();
    server.publish(NOON + DAY_LONG);
    replicas.until_equal("both have the same tables");
    for engine in &replicas.engines {
        let sql = "SELECT sum(hits) FROM daily WHERE subject = 'site' AND site != 0";
        assert_eq!(engine.sql(sql).trim(), hits.to_string());
    }

    // A list that differs is refused before anything changes hands.
    let [one, two] = replicas.engines.each_ref().map(Engine::url);
    let other = format!("store.shards=[[\"{two}\", \"{one}\"]]");
    let mut refused = server.begin_upgrade(&[&other]);
    assert_eq!(refused.ended(), Some(1));
    assert!(
        server.log().contains("store.shards or store.replication"),
        "{}",
        server.log()
    );
    assert!(count_view(&server, 0, 1));
}
