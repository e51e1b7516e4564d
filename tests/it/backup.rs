//! Backups of the real program: made under load, killed at any moment, restored into an empty
//! folder and beside a journal that is newer or older than they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::support::program::{command, fail, succeed};
use crate::support::{DAY, Engine, SITES, Server, ask, view_pages};

/// Hits stay in the open segment until a test flushes them.
const LONG_SEGMENTS: &str = "journal.segment_secs=3600";

fn names(server: &Server) -> Vec<String> {
    let list = succeed(server, &["backup", "list"]);
    let name = |line: &str| line.split_whitespace().next().unwrap().to_owned();
    list.lines().map(name).collect()
}

fn manifest(server: &Server, name: &str) -> Value {
    let path = server
        .dir()
        .join("backups")
        .join(name)
        .join("manifest.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Pages and hits of the report.
fn counted(server: &Server) -> (usize, u64) {
    server.flush();
    let report = server.report("mia", DAY);
    (
        report["subjects"]["page"]["rows"].as_array().unwrap().len(),
        report["totals"]["hits"].as_u64().unwrap(),
    )
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A consent and a registered site, so that the ledger and the registry hold something.
fn write_ledger_and_registry(server: &Server) {
    let mut client = server.client();
    let choice = r#"{"version":2,"act":"grant","tiers":{"analytics":true},"lang":"en","layer":"first","path":"/u/mia"}"#;
    let of_page = [
        ("Content-Type", "application/json"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    let granted = ask(&mut client, "POST", "/ff/consent", choice, &of_page);
    assert_eq!(granted.status, 200, "{}", granted.text());
    let host = server.address().to_string();
    let own = [
        ("Host", &*host),
        ("Origin", crate::support::ABSENT),
        ("X-Forwarded-For", crate::support::ABSENT),
    ];
    let site = r#"{"hosts":["tom.example"],"zone":"UTC"}"#;
    let put = ask(&mut client, "PUT", "/api/v1/sites/tom", site, &own);
    assert_eq!(put.status, 204, "{}", put.text());
}

#[test]
fn a_backup_is_restored_beside_a_newer_an_older_and_no_journal_and_each_hit_counts_once() {
    let mut server = Server::start_with(SITES, &[LONG_SEGMENTS]);
    server.flush();
    write_ledger_and_registry(&server);
    view_pages(&server, 0..40);
    let (journal, former) = (
        server.dir().join("data/journal"),
        server.dir().join("former"),
    );
    // The journal as it was before the first segment was closed.
    copy_folder(&journal, &former);
    assert_eq!(counted(&server), (40, 40));

    let passphrase = server.dir().join("passphrase");
    fs::write(&passphrase, "correct horse battery\n").unwrap();
    let with_keys = ["--with-keys", "--passphrase-file"];
    let file = passphrase.to_str().unwrap();
    succeed(
        &server,
        &["backup", "create", with_keys[0], with_keys[1], file],
    );
    view_pages(&server, 40..50);
    // Restored later: these 10 are in the journal's open segment only.
    succeed(&server, &["backup", "create", "--incremental"]);
    let made = names(&server);
    assert_eq!(made.len(), 2, "{made:?}");
    assert_eq!(manifest(&server, &made[1])["base"], made[0].as_str());
    let checked = succeed(&server, &["backup", "verify", "latest"]);
    assert!(checked.contains("ledger       1 records\n"), "{checked}");

    let running = fail(&server, &["backup", "restore", "latest", "--replace"], 1);
    assert!(
        running.contains("the collector must be stopped"),
        "{running}"
    );
    server.kill();
    let filled = fail(&server, &["backup", "restore", "latest"], 1);
    assert!(filled.contains("--replace"), "{filled}");

    // Beside the newer journal, whose open segment has 10 hits.
    succeed(&server, &["backup", "restore", "latest", "--replace"]);
    server.restart();
    assert_eq!(counted(&server), (50, 50));

    // Beside the older journal, whose open segment has what the tables hold.
    server.kill();
    fs::remove_dir_all(&journal).unwrap();
    copy_folder(&former, &journal);
    succeed(&server, &["backup", "restore", &made[1], "--replace"]);
    server.restart();
    assert_eq!(counted(&server), (40, 40));

    // Without anything else than the backups and the configuration.
    server.kill();
    server.forget_key();
    fs::remove_dir_all(server.dir().join("data")).unwrap();
    let restore = [
        "backup",
        "restore",
        &made[0],
        with_keys[0],
        with_keys[1],
        file,
    ];
    succeed(&server, &restore);
    let verified = succeed(&server, &["ledger", "verify"]);
    assert!(verified.contains("records      1\n"), "{verified}");
    server.restart();
    assert_eq!(counted(&server), (40, 40));
    let sites = server.client().get("/api/v1/sites").unwrap().text();
    assert!(sites.contains("tom"), "{sites}");
}

#[test]
fn a_backup_moves_the_tables_to_a_server_and_back() {
    let mut server = Server::start_with(SITES, &[LONG_SEGMENTS]);
    server.flush();
    write_ledger_and_registry(&server);
    view_pages(&server, 0..20);
    assert_eq!(counted(&server), (20, 20));
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    succeed(&server, &["backup", "create"]);

    // Its backups.allowed_path is the folder of the backups.
    let engine = Engine::start(&server.dir().join("clickhouse"));
    let url = format!("store.url={}", engine.url());
    succeed(&server, &["backup", "restore", "latest", "--set", &url]);
    server.set(&[&url]);
    server.restart();
    view_pages(&server, 20..30);
    assert_eq!(counted(&server), (30, 30));

    succeed(&server, &["backup", "create"]);
    succeed(&server, &["backup", "verify", "latest", "--set", &url]);
    let made = names(&server);
    let stores = made
        .iter()
        .map(|name| manifest(&server, name)["store"].clone());
    assert_eq!(stores.collect::<Vec<_>>(), ["embedded", "server"]);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    assert_eq!(
        engine.sql("SELECT count() FROM system.databases WHERE name LIKE '%beside%'"),
        "0\n",
        "no scratch database is left"
    );
    succeed(&server, &["backup", "restore", "latest", "--replace"]);
    server.set(&["store.url="]);
    server.restart();
    assert_eq!(counted(&server), (30, 30));
}

#[test]
fn a_backup_that_was_changed_is_named_and_not_restored() {
    let mut server = Server::start_with(SITES, &[LONG_SEGMENTS]);
    view_pages(&server, 0..5);
    assert_eq!(counted(&server), (5, 5));
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    // Without a collector the command opens the store itself.
    succeed(&server, &["backup", "create"]);
    let made = names(&server);
    let digests = manifest(&server, &made[0]);
    let largest = digests["files"].as_object().unwrap().iter();
    let (name, _) = largest
        .filter(|(name, _)| name.contains("/daily/") && name.ends_with("data.bin"))
        .max_by_key(|(_, file)| file["bytes"].as_u64())
        .expect("a part of daily");
    let path = server.dir().join("backups").join(&made[0]).join(name);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();

    for command in [
        &["backup", "verify", "latest"][..],
        &["backup", "restore", "latest", "--replace"],
    ] {
        let error = fail(&server, command, 1);
        assert!(error.contains(name.as_str()), "{error}");
    }
    server.restart();
    assert_eq!(counted(&server), (5, 5));
}

/// Kills the command, and every third time the collector, while hits are sent; a backup that is
/// listed is whole each time.
fn torment(kills: u64) {
    let mut server = Server::start(SITES);
    server.flush();
    let mut sent = 0;
    let mut state = 7_u64;
    for round in 0..kills {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let moment = Duration::from_millis((state >> 33) % 1500);
        let (over, first) = (AtomicBool::new(false), sent);
        let collector = round % 3 == 2;
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
            let mut create: Child = command(server, &["backup", "create"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            sleep(moment);
            over.store(true, Ordering::Relaxed);
            let sent = sender.join().unwrap();
            if !collector {
                let _ = create.kill();
            } else {
                server.signal(rustix::process::Signal::KILL);
            }
            create.wait().unwrap();
            sent
        });
        if collector {
            server.kill();
            server.restart();
        }
        for name in names(&server) {
            assert_eq!(manifest(&server, &name)["name"], name.as_str());
        }
    }

    // The store is there again.
    server.flush();
    let before = names(&server).len();
    succeed(&server, &["backup", "create"]);
    let made = names(&server);
    assert_eq!(made.len(), before + 1);
    let folders = fs::read_dir(server.dir().join("backups"))
        .unwrap()
        .flatten();
    let folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    let folders = folders.iter().filter(|path| path.is_dir());
    assert_eq!(folders.count(), made.len(), "what was not finished is gone");
    succeed(&server, &["backup", "verify", "latest"]);
    // Each segment is in all tables or in none: a page view is one hit of each.
    let tables = manifest(&server, made.last().unwrap())["tables"].clone();
    let hits = |table: &str, column: &str| -> u64 {
        let sum = tables[table]["sums"][column].as_str().unwrap();
        sum.parse().unwrap()
    };
    // A view is counted once in the totals of sites, and in the hour of its site and of the platform.
    assert_eq!(hits("activity", "hits"), sent as u64);
    assert_eq!(counted(&server).1, sent as u64);
    println!("backup_kills={kills} backups={} hits={sent}", made.len());
}

#[test]
fn a_kill_leaves_a_whole_backup_or_none() {
    torment(3);
}

#[test]
#[ignore = "20 kills take a minute"]
fn twenty_kills_leave_whole_backups_or_none() {
    torment(20);
}
