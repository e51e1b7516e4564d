//! The tables are moved to a server and back by the real program: live and stopped, killed at any
//! moment, and refused where the target is not theirs to fill.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::support::program::{command, fail, run, succeed};
use crate::support::{ABSENT, DAY, Engine, SITES, Server, ask, until, view_pages};

/// Hits stay in the open segment until a test flushes them.
const LONG_SEGMENTS: &str = "journal.segment_secs=3600";

/// Pages and hits of the report.
fn counted(server: &Server) -> (usize, u64) {
    server.flush();
    let report = server.report("mia", DAY);
    (
        report["subjects"]["page"]["rows"].as_array().unwrap().len(),
        report["totals"]["hits"].as_u64().unwrap(),
    )
}

/// Registers a site, so that the registry holds something.
fn register_site(server: &Server, name: &str) -> u16 {
    let host = server.address().to_string();
    let own = [
        ("Host", &*host),
        ("Origin", ABSENT),
        ("X-Forwarded-For", ABSENT),
    ];
    let site = format!(r#"{{"hosts":["{name}.example"],"zone":"UTC"}}"#);
    let path = format!("/api/v1/sites/{name}");
    ask(&mut server.client(), "PUT", &path, &site, &own).status
}

/// Rows and a hash of all their columns of each table, by a statement of this test's own, so that a
/// fault in the program's sums is seen. The state of moves and of the schema belongs to each store.
fn table_sums(engine: &Engine) -> BTreeMap<String, String> {
    let tables = engine.sql(
        "SELECT name, engine FROM system.tables WHERE database = 'footfall' AND engine LIKE '%MergeTree' \
         AND name NOT IN ('migrations', 'transfers', 'transferred_partitions') FORMAT TSV",
    );
    let mut sums = BTreeMap::new();
    for line in tables.lines() {
        let (name, kind) = line.split_once('\t').unwrap();
        let fold = if kind == "MergeTree" { "" } else { "FINAL" };
        let sum = engine.sql(&format!(
            "SELECT count(), sum(sipHash64(*)) FROM {name} {fold} FORMAT TSV"
        ));
        sums.insert(name.to_owned(), sum.trim().to_owned());
    }
    sums
}

/// The tables of a stopped collector's embedded engine: another process opens its folder.
fn embedded_sums(server: &Server, copy: &str) -> BTreeMap<String, String> {
    let copied = server.dir().join(copy);
    copy_folder(&server.dir().join("data/store"), &copied);
    table_sums(&Engine::start(&copied))
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

#[test]
fn tables_are_moved_to_a_server_and_back_and_every_sum_is_equal() {
    let mut server = Server::start_with(SITES, &[LONG_SEGMENTS]);
    server.flush();
    assert_eq!(register_site(&server, "tom"), 204);
    view_pages(&server, 0..30);
    assert_eq!(counted(&server), (30, 30));
    // These are in the journal's open segment when the tables are moved.
    view_pages(&server, 30..35);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let before = embedded_sums(&server, "before");
    assert!(before["daily"] != "0\t0" && before["sites"] != "0\t0");

    let engine = Engine::start(&server.dir().join("clickhouse"));
    let url = engine.url();
    let moved = succeed(&server, &["migrate", "--to", &url]);
    assert!(moved.contains("store.url = \"http://127.0.0.1:"), "{moved}");
    assert_eq!(table_sums(&engine), before);
    let again = succeed(&server, &["migrate", "--to", &url]);
    assert_eq!(again, moved, "it is done already");

    let setting = format!("store.url={url}");
    server.set(&[&setting]);
    server.restart();
    assert_eq!(counted(&server), (35, 35));
    view_pages(&server, 35..40);
    assert_eq!(counted(&server), (40, 40));
    let sites = server.client().get("/api/v1/sites").unwrap().text();
    assert!(sites.contains("tom"), "{sites}");
    assert_eq!(server.stop(), Some(0), "{}", server.log());

    // Back, to the store that the tables came from.
    let on_server = table_sums(&engine);
    succeed(&server, &["migrate", "--to", "embedded", "--set", &setting]);
    assert_eq!(embedded_sums(&server, "after"), on_server);
    server.set(&["store.url="]);
    server.restart();
    assert_eq!(counted(&server), (40, 40));
    view_pages(&server, 40..42);
    assert_eq!(counted(&server), (42, 42));
}

#[test]
fn a_live_move_counts_each_answered_hit_once_and_the_old_store_is_not_written_again() {
    let mut server = Server::start(SITES);
    server.flush();
    view_pages(&server, 0..20);
    assert_eq!(counted(&server), (20, 20));
    let mut engine = Engine::start(&server.dir().join("clickhouse"));
    let url = engine.url();
    // A new store that is away changes nothing for the collector.
    engine.kill();
    let error = fail(&server, &["migrate", "--to", &url], 1);
    assert!(error.contains("connection refused"), "{error}");
    assert_eq!(counted(&server), (20, 20));
    engine.restart();

    let over = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let (server, over) = (&server, &over);
        let sender = scope.spawn(move || {
            let mut pages = 20;
            while !over.load(Ordering::Relaxed) {
                view_pages(server, pages..pages + 1);
                pages += 1;
            }
            pages
        });
        sleep(Duration::from_millis(300));
        let moved = succeed(server, &["migrate", "--to", &url]);
        assert!(moved.contains("and restart the collector"), "{moved}");
        sleep(Duration::from_millis(1500));
        over.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });

    // Reports are still answered from the old store, which takes no changes.
    until(
        || server.log().contains("restart the collector"),
        "the log says what to do",
    );
    let frozen = server.report("mia", DAY)["totals"]["hits"]
        .as_u64()
        .unwrap();
    assert!(frozen >= 20 && frozen < sent as u64, "{frozen} of {sent}");
    assert_eq!(register_site(&server, "tom"), 503);

    // With the old store the collector takes hits and counts nothing.
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    server.restart();
    view_pages(&server, sent..sent + 3);
    until(
        || server.log().contains("were moved to footfall at http://"),
        "the log says where the tables are",
    );
    server.kill();

    server.set(&[&format!("store.url={url}")]);
    server.restart();
    let sent = sent as u64 + 3;
    assert_eq!(counted(&server).1, sent);
    println!("live_move_hits={sent} held_back={}", sent - frozen);
    assert_eq!(register_site(&server, "tom"), 204);
}

#[test]
fn a_move_is_refused_where_it_would_lose_something_and_says_why() {
    let mut server = Server::start_with(SITES, &[LONG_SEGMENTS]);
    view_pages(&server, 0..5);
    assert_eq!(counted(&server), (5, 5));
    assert_eq!(server.stop(), Some(0), "{}", server.log());

    for (to, code, says) in [
        ("ftp://127.0.0.1:1", 2, "must be http(s)://host:port"),
        ("http://user:secret@127.0.0.1:1", 2, "without user"),
        ("http://127.0.0.1:1", 1, "connection refused"),
        ("embedded", 1, "are the same database"),
    ] {
        let error = fail(&server, &["migrate", "--to", to], code);
        assert!(error.contains(says), "{to}: {error}");
    }
    let nothing = fail(&server, &["migrate", "--cancel"], 1);
    assert!(nothing.contains("were not moved"), "{nothing}");

    // A server with another collector's counts.
    let engine = Engine::start(&server.dir().join("clickhouse"));
    let url = engine.url();
    let mut other = Server::start_with(SITES, &[&format!("store.url={url}")]);
    view_pages(&other, 0..3);
    assert_eq!(counted(&other), (3, 3));
    assert_eq!(other.stop(), Some(0), "{}", other.log());
    let before = table_sums(&engine);
    let error = fail(&server, &["migrate", "--to", &url], 1);
    assert!(error.contains("holds other data (table "), "{error}");
    assert_eq!(table_sums(&engine), before);

    // Another database there is empty. One that is not complete must not be used.
    succeed(
        &server,
        &["migrate", "--to", &url, "--to-database", "second"],
    );
    engine.sql(
        "INSERT INTO second.transfers (revision, state, place) SELECT max(revision) + 1, \
         'receiving', 'elsewhere' FROM second.transfers",
    );
    let refused = fail(
        &server,
        &["migrate", "--to", &url, "--to-database", "second"],
        1,
    );
    assert!(
        refused.contains("is being filled from another store"),
        "{refused}"
    );
    other.set(&["store.database=second"]);
    other.restart();
    until(
        || {
            other
                .log()
                .contains("a move from elsewhere is not finished")
        },
        "the log says what is missing",
    );

    // The move is given up: the old store is used again.
    let cancelled = succeed(&server, &["migrate", "--cancel"]);
    assert!(cancelled.contains("second at http://"), "{cancelled}");
    server.restart();
    assert_eq!(counted(&server), (5, 5));
}

/// Kills the command while hits are sent, every third time the collector too, and moves the tables
/// to and fro. Each hit is counted once.
fn torment(kills: u64, back_every: u64) {
    let mut server = Server::start(SITES);
    server.flush();
    let engine = Engine::start(&server.dir().join("clickhouse"));
    let url = engine.url();
    let setting = format!("store.url={url}");
    let (mut sent, mut on_server, mut state) = (0, false, 7_u64);
    let mut moves = 0;
    for round in 1..=kills {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let moment = Duration::from_millis((state >> 33) % 1200);
        let to: Vec<&str> = match on_server {
            true => vec!["migrate", "--to", "embedded", "--set", &setting],
            false => vec!["migrate", "--to", &url],
        };

        let (over, first) = (AtomicBool::new(false), sent);
        sent = std::thread::scope(|scope| {
            let (server, over) = (&server, &over);
            let sender = scope.spawn(move || {
                let mut pages = first;
                while !over.load(Ordering::Relaxed) {
                    view_pages(server, pages..pages + 1);
                    pages += 1;
                    sleep(Duration::from_millis(5));
                }
                pages
            });
            let mut moving = command(server, &to)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            sleep(moment);
            let _ = moving.kill();
            moving.wait().unwrap();
            over.store(true, Ordering::Relaxed);
            sender.join().unwrap()
        });
        if round % 3 == 0 {
            server.kill();
            server.restart();
        }
        if round % back_every != 0 {
            continue;
        }

        // The same command to its end, with the collector stopped: it may be one that has no store.
        server.kill();
        let output = run(&server, &to);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        moves += 1;
        on_server = !on_server;
        server.set(&[if on_server { &setting } else { "store.url=" }]);
        server.restart();
        assert_eq!(counted(&server).1, sent as u64);
    }
    println!("migrate_kills={kills} moves={moves} hits={sent}");
}

#[test]
fn a_kill_at_any_moment_loses_and_doubles_nothing() {
    torment(2, 1);
}

#[test]
#[ignore = "20 kills take minutes"]
fn twenty_kills_lose_and_double_nothing() {
    torment(20, 4);
}
