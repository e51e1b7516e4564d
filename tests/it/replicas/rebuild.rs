//! Replicas that are lost, restored or of another store: what is used, what is refused, and how a new
//! one is filled.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use super::{DAY_LONG, Replicas, count_view, count_views, reported};
use crate::support::program::{self, fail};
use crate::support::{Engine, NOON, SITES, Server, hit, until, view};

#[test]
fn a_lost_replica_is_refused_and_filled_from_its_sibling_under_load() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&["journal.attribute_secs=0"]);
    count_views(&server, 0..40);
    server.publish(NOON + DAY_LONG);
    count_views(&server, 100..110);

    // The machine is replaced by a new one at the same address.
    replicas.lose_second();
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
    replicas.lose_second();
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

#[test]
fn a_store_that_was_moved_to_a_server_gets_a_replica() {
    let replicas = Replicas::start();
    let mut server = Server::start(SITES);
    count_views(&server, 0..5);
    server.flush();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let [one, two] = replicas.engines.each_ref().map(Engine::url);
    program::succeed(&server, &["migrate", "--to", &one]);

    let [shards, replication] = replicas.settings();
    server.set(&[&shards, &replication]);
    server.restart();
    count_views(&server, 5..9);
    until(
        || server.log().contains("store rebuild-replica"),
        "the empty one is refused",
    );
    until(|| reported(&server) == Ok(9), "the other one has joined");
    let rebuild = replicas.store_command("rebuild-replica", &two);
    let told = said(program::run(&server, &rebuild));
    assert!(told.contains("copied from"), "{told}");

    server.flush();
    replicas.until_equal("both have the same tables");
}

#[test]
fn a_foreign_database_at_a_replicas_address_does_not_end_a_collector_that_runs() {
    let mut replicas = Replicas::start();
    let server = replicas.server(&[]);
    count_views(&server, 0..5);
    server.flush();
    replicas.lose_second();
    replicas.record_set_of_second("'another', ['http://elsewhere']");
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
