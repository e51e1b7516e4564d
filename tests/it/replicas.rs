//! Shards with replicas, each a real engine process: whatever happens to one of them, all have the
//! same rows in the end, and a report is never read from one that is behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::program::{self, fail};
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
            since.elapsed() < Duration::from_secs(6),
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
fn what_is_published_is_equal_on_a_replica_that_was_away_and_nothing_new_is_begun_without_it() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&["journal.attribute_secs=0"]);
    count_views(&server, 0..40);
    server.flush();
    let published = |engine: &Engine| {
        engine
            .sql("SELECT count() FROM published")
            .trim()
            .to_owned()
    };

    // Nothing is decided while one is away.
    replicas.engines[1].kill();
    until(
        || server.metric("footfall_replicas_unavailable") == 1,
        "it is missed",
    );
    assert_ne!(publish(&server, NOON + DAY_LONG), 200);
    assert_eq!(published(&replicas.engines[0]), "0");
    assert_eq!(server.metric("footfall_publication_overdue_seconds"), 0);
    replicas.engines[1].restart();
    until(
        || server.metric("footfall_replicas_unavailable") == 0,
        "it is back",
    );

    // One fails in the middle: the other is ahead, and is the one that is read.
    replicas.engines[1].sql("RENAME TABLE published TO published_hidden");
    assert_ne!(publish(&server, NOON + DAY_LONG), 200);
    assert_ne!(published(&replicas.engines[0]), "0");
    let sources = |server: &Server| {
        let answer = get(server, &format!("/api/v1/sites/mia/report?{DAY}"));
        let report: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, report["dimensions"]["device"].clone())
    };
    until(
        || sources(&server).1["rows"][0]["visitors"] == json!(40),
        "the first is read",
    );
    let whole = sources(&server);
    replicas.engines[0].kill();
    until(|| sources(&server).0 == 503, "the second is behind");
    replicas.engines[1].sql("RENAME TABLE published_hidden TO published");

    // It continues by itself, from the row that it has, and then says the same.
    assert_ne!(publish(&server, NOON + DAY_LONG), 200, "the first is away");
    until(|| sources(&server) == whole, "the second has the same lots");

    replicas.engines[0].restart();
    until(
        || server.metric("footfall_replicas_unavailable") == 0,
        "it is back",
    );
    assert_eq!(publish(&server, NOON + DAY_LONG), 200);
    replicas.until_equal("both have the same tables");

    // The next day, both from one decision.
    count_views(&server, 40..60);
    server.publish(NOON + 2 * DAY_LONG);
    replicas.until_equal("so they have after the next day");
    let units = "SELECT count(), countIf(done = 1) FROM publications FINAL FORMAT TSV";
    let [one, two] = replicas.engines.each_ref().map(|engine| engine.sql(units));
    assert_eq!(one, two);
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
fn upgrades_under_load_and_with_a_replica_away_send_every_segment_once() {
    let mut replicas = Replicas::start();
    let mut server = replicas.server(&["journal.attribute_secs=0"]);
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

#[test]
fn a_lost_replica_is_refused_and_filled_from_its_sibling_under_load() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&["journal.attribute_secs=0"]);
    count_views(&server, 0..40);
    server.publish(NOON + DAY_LONG);
    count_views(&server, 100..110);

    // The machine is replaced by a new one at the same address.
    let data = replicas.dir.path().join("two");
    replicas.engines[1].kill();
    std::fs::remove_dir_all(&data).unwrap();
    replicas.engines[1].restart();
    until(
        || server.log().contains("store rebuild-replica"),
        "it is told what to do",
    );
    let (over, counted) = (AtomicBool::new(false), AtomicU64::new(0));

    let [one, two] = replicas.engines.each_ref().map(Engine::url);
    let told = fail(&server, &replicas.store_command("rebuild-replica", &one), 1);
    assert!(told.contains("holds rows"), "{told}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1000;
            while !over.load(Ordering::Relaxed) {
                if count_view(&server, number % 20, u128::from(number)) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                number += 1;
            }
        });
        sleep(Duration::from_millis(700));
        let told = said(program::run(
            &server,
            &replicas.store_command("rebuild-replica", &two),
        ));
        sleep(Duration::from_millis(700));
        over.store(true, Ordering::Relaxed);
        assert!(told.contains("copied from"), "{told}");
    });

    server.flush();
    replicas.until_equal("both have the same tables");
    let hits = "SELECT toUInt64(sum(hits)) FROM daily WHERE subject = 'page' AND site != 0";
    let expected = 50 + counted.load(Ordering::Relaxed);
    assert_eq!(replicas.engines[1].sql(hits).trim(), expected.to_string());
    server.publish(NOON + 3 * DAY_LONG);
    replicas.until_equal("so they have after a publication");
}

#[test]
fn a_replica_that_lacks_what_the_journal_no_longer_has_is_refused() {
    let replicas = Replicas::start();
    let mut server = replicas.server(&[]);
    count_views(&server, 0..5);
    server.flush();
    assert_eq!(server.stop(), Some(0));

    // It is taken out of the list, so the journal does not wait for it.
    let [one, _] = replicas.engines.each_ref().map(Engine::url);
    server.set(&[&format!("store.shards=[[\"{one}\"]]")]);
    server.restart();
    count_views(&server, 5..9);
    server.flush();
    assert_eq!(server.stop(), Some(0));

    // Listed again as it was.
    server.set(&[&replicas.setting()]);
    server.restart();
    until(
        || server.log().contains("the journal does not hold any more"),
        "it is refused",
    );
    until(|| reported(&server) == Ok(9), "the other one is read");
    assert_eq!(server.metric("footfall_replicas_unavailable"), 1);
}

#[test]
fn a_replica_that_rejects_a_segment_and_takes_the_next_is_used_and_accepted_at_the_next_start() {
    let replicas = Replicas::start();
    let mut server = replicas.server(&["journal.segment_secs=1"]);
    server.flush();
    replicas.engines[1].sql("ALTER TABLE vitals ADD CONSTRAINT never CHECK hits = 0");
    let vital =
        r#"{"kind":"vital","url":"https://pages.example/u/mia","metric":"LCP","value":900}"#;
    let both = format!("[{vital},{}]", view("/u/mia"));
    assert_eq!(hit(&mut server.client(), &both, &[]).status, 202);
    until(
        || server.metric("footfall_insert_failures_total") >= 5,
        "it is tried again",
    );
    assert_eq!(hit(&mut server.client(), &view("/u/tom"), &[]).status, 202);
    until(
        || server.metric("footfall_segments_quarantined_total") == 1,
        "it is set aside",
    );
    server.flush();
    assert_eq!(server.metric("footfall_replicas_unavailable"), 0);

    // Put back, it is added to the replica that lacks it.
    replicas.engines[1].sql("ALTER TABLE vitals DROP CONSTRAINT never");
    assert_eq!(server.stop(), Some(0));
    let journal = server.dir().join("data/journal");
    for kept in std::fs::read_dir(journal.join("quarantine")).unwrap() {
        let kept = kept.unwrap();
        std::fs::rename(kept.path(), journal.join(kept.file_name())).unwrap();
    }
    server.restart();
    server.flush();
    replicas.until_equal("both have the same tables");
    let told = "the journal does not hold any more";
    assert!(!server.log().contains(told), "{}", server.log());
}

#[test]
fn a_replica_that_is_put_back_from_a_backup_while_the_collector_runs_is_refused() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&[]);
    count_views(&server, 0..5);
    server.flush();
    let [data, backup] = ["two", "backup"].map(|name| replicas.dir.path().join(name));
    replicas.engines[1].kill();
    copy_folder(&data, &backup);
    replicas.engines[1].restart();
    count_views(&server, 5..9);
    server.flush();

    replicas.engines[1].kill();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&backup, &data).unwrap();
    replicas.engines[1].restart();
    count_views(&server, 9..11);
    until(
        || server.log().contains("the journal does not hold any more"),
        "it is refused",
    );
    until(|| reported(&server) == Ok(11), "the other one is read");
    until(
        || server.metric("footfall_replicas_unavailable") == 1,
        "it counts as away",
    );
}

/// An operator's connection breaks, and the command goes on without them; they run it again.
#[test]
fn of_two_commands_that_fill_a_replica_at_once_the_first_ends() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&[]);
    count_views(&server, 0..20);
    server.flush();
    replicas.engines[1].kill();
    std::fs::remove_dir_all(replicas.dir.path().join("two")).unwrap();
    replicas.engines[1].restart();
    let two = &replicas.engines[1];
    two.sql_in("default", "CREATE DATABASE footfall");
    // Each partition that is copied takes three seconds.
    two.sql(
        "CREATE TABLE transferred_partitions (name String, partition String, fingerprint String, \
         revision UInt64, CONSTRAINT slow CHECK sleepEachRow(2.9) = 0) ENGINE = \
         ReplacingMergeTree(revision) ORDER BY (name, partition)",
    );

    let arguments = replicas.store_command("rebuild-replica", &two.url());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| program::run(&server, &arguments));
        let copied = "SELECT count() FROM system.tables WHERE database = 'footfall' AND name = \
                      'segment_progress'";
        until(|| two.sql(copied) == "1\n", "the first one copies");
        two.sql("ALTER TABLE transferred_partitions DROP CONSTRAINT slow");
        let second = program::run(&server, &arguments);
        assert!(second.status.success(), "{second:?}");
        let first = first.join().unwrap();
        let told = String::from_utf8_lossy(&first.stderr);
        assert_eq!(first.status.code(), Some(1), "{told}");
        assert!(told.contains("filled by another process"), "{told}");
    });
    count_views(&server, 20..25);
    server.flush();
    replicas.until_equal("both have the same tables");
}

/// Both replicas are put back from backups, of different times.
#[test]
fn a_shard_of_which_no_replica_is_complete_goes_on_with_one_that_is_accepted() {
    let mut replicas = Replicas::start();
    let mut server = replicas.server(&[]);
    count_views(&server, 0..5);
    server.flush();
    let folder = |name: &str| replicas.dir.path().join(name);
    let [one, two] = ["one", "two"].map(folder);
    let [old_one, old_two] = ["old-one", "old-two"].map(folder);
    replicas.engines[1].kill();
    copy_folder(&two, &old_two);
    replicas.engines[1].restart();
    count_views(&server, 5..9);
    server.flush();
    replicas.engines[0].kill();
    copy_folder(&one, &old_one);
    replicas.engines[0].restart();
    count_views(&server, 9..11);
    server.flush();
    assert_eq!(server.stop(), Some(0));

    replicas.engines.iter_mut().for_each(Engine::kill);
    for (data, backup) in [(&one, &old_one), (&two, &old_two)] {
        std::fs::remove_dir_all(data).unwrap();
        std::fs::rename(backup, data).unwrap();
    }
    replicas.engines.iter_mut().for_each(Engine::restart);
    let urls = replicas.engines.each_ref().map(Engine::url);
    let store = |command: &str, url: &str| {
        let ended = program::run(&server, &replicas.store_command(command, url));
        (ended.status.code(), said(ended))
    };
    let (code, told) = store("accept-replica", "http://127.0.0.1:1");
    assert!(
        code == Some(1) && told.contains("is not a URL of"),
        "{told}"
    );
    let (code, told) = store("accept-replica", &urls[0]);
    assert!(
        code == Some(0) && told.contains("is used as it is"),
        "{told}"
    );
    let (code, told) = store("accept-replica", &urls[0]);
    assert!(code == Some(0) && told.contains("lacks nothing"), "{told}");

    replicas.engines[1].sql_in("default", "DROP DATABASE footfall SYNC");
    let (code, told) = store("rebuild-replica", &urls[1]);
    assert!(code == Some(0) && told.contains("copied from"), "{told}");
    server.restart();
    count_views(&server, 11..14);
    server.flush();
    until(|| reported(&server) == Ok(9 + 3), "both are used again");
    assert_eq!(server.metric("footfall_replicas_unavailable"), 0);
    replicas.until_equal("both have the same tables");
}

/// As when it is slow, or its memory is used up, for a moment.
#[test]
fn attributes_that_one_replica_was_sent_in_halves_are_published_alike() {
    let replicas = Replicas::start();
    let server = replicas.server(&[]);
    count_views(&server, 0..1);
    server.flush();
    // More than three seconds for a block are TOO_SLOW: that is for more than 500 rows.
    replicas.engines[1]
        .sql("ALTER TABLE unpublished ADD CONSTRAINT slow CHECK sleepEachRow(0.006) = 0");
    // They are released together, when the day is over: some 600 rows.
    for person in 1..300 {
        assert!(count_view(&server, person as u64, person));
    }
    server.publish(NOON + DAY_LONG);
    let log = server.log();
    assert_eq!(log.matches("it is sent in halves").count(), 1, "{log}");

    let left = "SELECT count() FROM unpublished WHERE bitShiftRight(site, 88) != \
                toUInt128(1099511627775)";
    let published = "SELECT count(), sum(cityHash64(*)) FROM published FINAL FORMAT TSV";
    let [one, two] = replicas.engines.each_ref().map(|engine| {
        assert_eq!(engine.sql(left).trim(), "0", "nothing waits");
        engine.sql(published)
    });
    assert_eq!(one, two);
    assert!(!one.starts_with('0'), "{one}");
}

#[test]
fn a_foreign_database_at_a_replicas_address_does_not_end_a_collector_that_runs() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&[]);
    count_views(&server, 0..5);
    server.flush();
    replicas.engines[1].kill();
    std::fs::remove_dir_all(replicas.dir.path().join("two")).unwrap();
    replicas.engines[1].restart();
    for statement in [
        "CREATE DATABASE footfall",
        "CREATE TABLE footfall.replica_sets (name String, urls Array(String), at \
         DateTime64(6, 'UTC') DEFAULT now64(6)) ENGINE = MergeTree ORDER BY at",
        "INSERT INTO footfall.replica_sets (name, urls) VALUES ('another', [])",
    ] {
        replicas.engines[1].sql_in("default", statement);
    }
    count_views(&server, 5..9);
    until(
        || server.log().contains("are no replicas of each other"),
        "the log says why",
    );
    until(|| reported(&server) == Ok(9), "the other one is read");
    assert!(count_view(&server, 1, 20), "hits are counted");
}

#[test]
fn replication_cannot_be_switched_off_for_a_while() {
    let replicas = Replicas::start();
    let mut server = replicas.server(&[]);
    count_views(&server, 0..5);
    server.flush();
    assert_eq!(server.stop(), Some(0));

    let [one, _] = replicas.engines.each_ref().map(Engine::url);
    for address in [
        [
            "store.replication=",
            "store.url=",
            &format!("store.shards=[[\"{one}\"]]"),
        ],
        [
            "store.replication=",
            "store.shards=[]",
            &format!("store.url={one}"),
        ],
    ] {
        server.set(&address);
        let logged = server.log().len();
        server.spawn_again();
        let ended = server.ended_within(Duration::from_secs(20));
        assert!(ended.is_some_and(|code| code != Some(0)), "{ended:?}");
        let log = server.log()[logged..].to_owned();
        assert!(log.contains("this database is a replica"), "{log}");
    }
}

/// What a command printed.
fn said(ended: std::process::Output) -> String {
    String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status();
    assert!(copied.unwrap().success());
}
