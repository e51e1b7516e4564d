//! Processes that die in the middle of an upgrade, and upgrades that are refused. One of the two
//! goes on, and no answered hit is lost.

use std::time::Duration;

use rustix::process::Signal;

use super::{totals, view_at};
use crate::support::{NOON, SITES, Server, hit, program, until, view, wait_for_state};

/// A hit that arrives while an upgrade is under way is answered: by whichever process goes on.
fn view_meanwhile(server: &Server, meanwhile: impl FnOnce()) {
    std::thread::scope(|scope| {
        let mut client = server.client();
        let now = (NOON + 1000).to_string();
        let waiting = scope.spawn(move || {
            let answer = hit(&mut client, &view("/u/mia"), &[("X-Footfall-Now", &now)]);
            answer.status
        });
        meanwhile();
        assert_eq!(waiting.join().unwrap(), 202, "{}", server.log());
    });
}

#[test]
fn a_new_process_that_is_killed_before_it_has_the_state_leaves_the_old_one_as_it_was() {
    let server = Server::start(SITES);
    let mut client = server.client();
    view_at(&mut client, "/u/mia", NOON);
    for step in ["offered", "received"] {
        let mut upgrade = server.begin_upgrade(&[&format!("test.upgrade_stop={step}")]);
        upgrade.stops();
        view_meanwhile(&server, || upgrade.kill());
        // The same connection is served on.
        view_at(&mut client, "/u/mia/kept", NOON + 2000);
    }
    server.flush();
    assert_eq!(totals(&server)[..3], [5, 1, 1], "{}", server.log());
    assert!(
        server.log().contains("this one continues"),
        "{}",
        server.log()
    );
}

#[test]
fn a_new_process_that_is_killed_once_it_has_the_state_loses_no_hit_and_the_old_one_says_so() {
    for (old_stops, new_stops) in [("leaving", "taken"), ("released", "free")] {
        let old_stops = format!("test.upgrade_stop={old_stops}");
        let mut server = Server::start_with(SITES, &[&old_stops]);
        let mut client = server.client();
        view_at(&mut client, "/u/mia", NOON);
        view_at(&mut client, "/u/mia", NOON + 1000);
        let mut upgrade = server.begin_upgrade(&[&format!("test.upgrade_stop={new_stops}")]);
        wait_for_state(server.pid(), "T");
        upgrade.stops();
        upgrade.kill();
        server.signal(Signal::CONT);
        // With an error, so that a service manager starts a collector again.
        let ended = server.ended_within(Duration::from_secs(40));
        assert_eq!(ended, Some(Some(1)), "{new_stops}: {}", server.log());
        server.set(&["test.upgrade_stop="]);
        server.restart();
        server.flush();
        assert_eq!(totals(&server)[0], 2, "{new_stops}: {}", server.log());
    }
}

#[test]
fn an_old_process_that_is_killed_before_the_new_one_has_the_state_ends_both() {
    for step in ["frozen", "written"] {
        let mut server = Server::start_with(SITES, &[&format!("test.upgrade_stop={step}")]);
        let mut client = server.client();
        view_at(&mut client, "/u/mia", NOON);
        let mut upgrade = server.begin_upgrade(&["test.upgrade_stop="]);
        wait_for_state(server.pid(), "T");
        server.kill();
        assert!(!upgrade.serves());
        assert_eq!(upgrade.ended(), Some(1), "{step}");
        server.set(&["test.upgrade_stop="]);
        server.restart();
        server.flush();
        assert_eq!(totals(&server)[0], 1, "{step}: {}", server.log());
    }
}

#[test]
fn an_old_process_that_is_killed_once_the_new_one_has_the_state_is_succeeded_by_it() {
    for step in ["sent", "leaving", "released"] {
        let mut server = Server::start_with(SITES, &[&format!("test.upgrade_stop={step}")]);
        let mut client = server.client();
        view_at(&mut client, "/u/mia", NOON);
        let upgrade = server.begin_upgrade(&["test.upgrade_stop="]);
        wait_for_state(server.pid(), "T");
        server.kill_without_closing();
        assert_eq!(server.adopt(upgrade), None, "{step}: {}", server.log());
        let mut client = server.client();
        view_at(&mut client, "/u/mia", NOON + 1000);
        server.flush();
        assert_eq!(totals(&server)[..3], [2, 1, 1], "{step}: {}", server.log());
    }
}

#[test]
fn a_wrong_configuration_changes_nothing() {
    let server = Server::start(SITES);
    let mut client = server.client();
    view_at(&mut client, "/u/mia", NOON);
    let cases = [
        ("limits.visitors=1", 2, "limits.visitors"),
        ("server.listen=127.0.0.1:1", 1, "server.listen differs"),
        ("visitor.mode=none", 1, "visitor.mode differs"),
        (
            "journal.dir=/nonexistent/journal",
            1,
            "/nonexistent/journal",
        ),
    ];
    for (setting, code, says) in cases {
        let error = program::fail(&server, &["upgrade", "--set", setting], code);
        assert!(error.contains(says), "{setting}: {error}");
    }
    view_at(&mut client, "/u/mia", NOON + 1000);
    server.flush();
    assert_eq!(totals(&server)[..3], [2, 1, 1]);
}

#[test]
fn without_a_running_collector_there_is_nothing_to_take_over_whatever_a_dead_one_left() {
    let mut server = Server::start(SITES);
    let socket = server.dir().join("data/journal/upgrade.sock");
    until(|| socket.exists(), "it can be taken over from");
    server.kill();
    let error = program::fail(&server, &["upgrade"], 1);
    assert!(error.contains("no running collector"), "{error}");
    let error = program::fail(&server, &["upgrade", "--background"], 1);
    assert!(error.contains("no running collector"), "{error}");
}

#[test]
fn of_two_upgrades_at_once_one_is_refused() {
    let mut server = Server::start(SITES);
    let mut client = server.client();
    view_at(&mut client, "/u/mia", NOON);
    let first = server.begin_upgrade(&["test.upgrade_stop=offered"]);
    first.stops();
    let error = program::fail(&server, &["upgrade"], 1);
    assert!(error.contains("another upgrade is under way"), "{error}");
    first.signal(Signal::CONT);
    assert_eq!(server.adopt(first), Some(0), "{}", server.log());
    view_at(&mut client, "/u/mia", NOON + 1000);
    server.flush();
    assert_eq!(totals(&server)[..3], [2, 1, 1]);
}

#[test]
fn another_user_cannot_take_over() {
    let server = Server::start(SITES);
    let binary = env!("CARGO_BIN_EXE_footfall");
    let config = server.dir().join("footfall.toml");
    // The user of another namespace is `nobody` to this one.
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "--", binary, "upgrade"])
        .arg("--config")
        .arg(&config)
        .output();
    let output = output.expect("setpriv starts");
    assert!(!output.status.success());
    assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
}

#[test]
fn systemd_follows_the_new_process_and_a_command_outside_of_the_unit_is_refused() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let mut server = Server::start_in(SITES, &[], &environment);
    let error = program::fail(&server, &["upgrade"], 1);
    assert!(error.contains("systemctl reload"), "{error}");

    server.upgrade();
    let main = format!("MAINPID={}", server.pid());
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut bytes = [0; 512];
    let mut told = Vec::new();
    while told.len() < 3 {
        let length = socket.recv(&mut bytes).expect("three messages come");
        let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if message.contains("READY=1") || message.contains("MAINPID=") {
            told.push(message);
        }
    }
    assert!(
        told[0].contains("READY=1") && told[1].contains(&main) && told[2].contains("READY=1"),
        "ready, then the new process, then ready: {told:?}"
    );
}
