//! Shutdown and signals: SIGTERM ends the process in time whatever fails, SIGHUP reloads files,
//! other signals end nothing.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{CONSENT_KEYS, DAY, Engine, SITES, Server, hit, until, view};

#[test]
fn hangup_reads_files_again_and_says_what_and_user_signals_end_nothing() {
    let mut server = Server::start(SITES);
    let looked = |server: &Server| server.log().matches("SIGHUP: files were looked at").count();
    server.signal(Signal::HUP);
    until(|| looked(&server) == 1, "SIGHUP is answered");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("SIGHUP")).unwrap();
    assert!(line.contains("grant_keys=\"unchanged\""), "{line}");
    assert!(line.contains("cookie_keys=\"unchanged\""), "{line}");

    fs::write(
        server.dir().join("consent.keys"),
        format!("next YSBrZXkgZm9yIHRlc3RzLCBhIHNlY3JldCBmb3Igbm8\n{CONSENT_KEYS}"),
    )
    .unwrap();
    server.signal(Signal::HUP);
    until(|| looked(&server) == 2, "SIGHUP is answered again");
    let log = server.log();
    let line = log.lines().rfind(|line| line.contains("SIGHUP")).unwrap();
    assert!(line.contains("grant_keys=\"read again\""), "{line}");

    for signal in [Signal::USR1, Signal::USR2] {
        server.signal(signal);
    }
    for name in ["SIGUSR1", "SIGUSR2"] {
        until(|| server.log().contains(name), "the signal is logged");
    }
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
}

#[test]
fn a_stop_with_the_store_away_does_not_wait_for_it_and_loses_nothing() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let mut server = Server::start_with(SITES, &[&url, "server.shutdown_secs=20"]);
    server.flush();
    engine.kill();
    for n in 0..20 {
        assert_eq!(
            hit(&mut server.client(), &view(&format!("/u/mia/{n}")), &[]).status,
            202
        );
    }
    until(
        || server.metric("footfall_insert_failures_total") > 0,
        "the store is missed",
    );

    let start = Instant::now();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    println!("stop_without_store_ms={}", start.elapsed().as_millis());
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert!(
        server.log().contains("sent at the next start"),
        "{}",
        server.log()
    );

    engine.restart();
    server.restart();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 20);
}

/// The threads that serve requests end before the last segments are sent.
#[test]
fn a_stop_while_reports_are_read_sends_every_segment_and_warns_of_nothing() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let mut server = Server::start_with(SITES, &[&url, "registry.refresh_secs=1"]);
    for round in 0..10 {
        server.flush();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let mut client = server.client();
                let report = format!("/api/v1/sites/mia/report?{DAY}");
                scope.spawn(move || while client.get(&report).is_ok() {});
            }
            for page in 0..100 {
                let view = view(&format!("/u/mia/{round}/{page}"));
                assert_eq!(hit(&mut server.client(), &view, &[]).status, 202);
            }
            server.signal(Signal::TERM);
        });
        let ended = server.ended_within(Duration::from_secs(60));
        assert_eq!(ended, Some(Some(0)), "{}", server.log());

        let log = server.log();
        assert!(!log.contains("WARN"), "round {round}: {log}");
        server.restart();
    }
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 1000);
}

#[test]
fn a_stop_while_the_store_is_being_opened_does_not_wait_for_it_and_loses_nothing() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    engine.hang();
    let mut server = Server::start_with(SITES, &[&url, "server.shutdown_secs=20"]);
    for n in 0..20 {
        let path = format!("/u/mia/{n}");
        assert_eq!(hit(&mut server.client(), &view(&path), &[]).status, 202);
    }

    let start = Instant::now();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let stopped = start.elapsed();
    println!("stop_while_opening_ms={}", stopped.as_millis());
    assert!(stopped < Duration::from_secs(5), "{stopped:?}");
    let log = server.log();
    assert!(log.contains("sent at the next start"), "{log}");

    engine.wake();
    server.restart();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 20);
}

#[test]
fn a_stop_ends_in_time_though_no_segment_can_be_sealed_and_the_log_says_it_once() {
    let mut server = Server::start_with(SITES, &["server.shutdown_secs=10"]);
    server.flush();
    let journal = server.dir().join("data/journal");
    // An obstacle where a closed segment would be written.
    let in_the_way: Vec<_> = (0..20)
        .map(|number| journal.join(format!("{number:016}.sealing")))
        .collect();
    in_the_way
        .iter()
        .for_each(|path| fs::create_dir(path).unwrap());
    for n in 0..20 {
        assert_eq!(
            hit(&mut server.client(), &view(&format!("/u/mia/{n}")), &[]).status,
            202
        );
    }
    until(
        || server.log().contains("cannot be sealed"),
        "a segment is due",
    );
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(
        server.log().matches("cannot be sealed").count(),
        1,
        "{}",
        server.log()
    );

    let start = Instant::now();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    println!("stop_without_seal_ms={}", start.elapsed().as_millis());
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    in_the_way
        .iter()
        .for_each(|path| fs::remove_dir(path).unwrap());
    server.restart();
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 20);
    assert_eq!(
        server.metric("footfall_attribute_rows_lost_total"),
        0,
        "the key was kept"
    );
}

#[test]
fn a_stop_in_the_moment_the_port_opens_is_an_orderly_one() {
    let mut server = Server::start(SITES);
    let listening = |server: &Server| server.log().matches("listening address=").count();
    for start in 1..=5 {
        assert_eq!(server.stop(), Some(0), "{}", server.log());
        server.spawn_again();
        let deadline = Instant::now() + Duration::from_secs(30);
        while listening(&server) == start {
            assert!(Instant::now() < deadline, "{}", server.log());
            std::hint::spin_loop();
        }
    }
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    assert_eq!(
        server.log().matches(" stopped").count(),
        6,
        "{}",
        server.log()
    );
}
