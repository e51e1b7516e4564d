//! Upgrades that meet a stop, and those that could not be finished: whoever is told to stop stops,
//! and a process that cannot continue finds out before it has taken over.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;

use super::{totals, view_at};
use crate::support::{
    Body, Client, DAY, NOON, SITES, Server, hit, send, until, view, wait_for_state,
};

const PATIENCE: Duration = Duration::from_secs(40);

/// Connections beside which the new process's limit leaves no room for its own files.
const CONNECTIONS: usize = 150;

#[test]
fn a_limit_of_open_files_below_the_connections_is_refused_and_nothing_changes() {
    let server = Server::start(SITES);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.client()).collect();
    for client in &mut clients {
        view_at(client, "/u/mia", NOON);
    }

    let output = std::process::Command::new("prlimit")
        .args(["--nofile=200", env!("CARGO_BIN_EXE_footfall"), "upgrade"])
        .arg("--config")
        .arg(server.dir().join("footfall.toml"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let output = output.expect("prlimit starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("ulimit -n"), "{error}");

    for client in &mut clients {
        view_at(client, "/u/mia", NOON + 1000);
    }
    server.flush();
    assert_eq!(totals(&server)[..2], [2 * CONNECTIONS as u64, 1]);
}

#[test]
fn a_stop_of_the_old_process_during_an_upgrade_stops_the_new_one_too() {
    let mut server = Server::start(SITES);
    view_at(&mut server.client(), "/u/mia", NOON);
    let mut upgrade = server.begin_upgrade(&["test.upgrade_stop=received"]);
    upgrade.stops();
    server.signal(Signal::TERM);
    until(|| server.log().contains("stopping"), "it is told to stop");

    upgrade.signal(Signal::CONT);
    let ended = [server.ended_within(PATIENCE).flatten(), upgrade.ended()];
    assert_eq!(ended, [Some(0), Some(0)], "{}", server.log());
    server.set(&["test.upgrade_stop="]);
    server.restart();
    server.flush();
    assert_eq!(totals(&server)[..2], [1, 1], "{}", server.log());
}

#[test]
fn a_collector_that_is_stopping_refuses_an_upgrade() {
    let mut server = Server::start_with(SITES, &["server.drain_secs=30"]);
    view_at(&mut server.client(), "/u/mia", NOON);
    server.signal(Signal::TERM);
    until(|| server.log().contains("stopping"), "it is told to stop");
    let mut upgrade = server.begin_upgrade(&[]);
    assert_eq!(upgrade.ended(), Some(1));
    assert!(
        server.log().contains("the collector is stopping"),
        "{}",
        server.log()
    );
    server.signal(Signal::TERM);
    assert_eq!(server.ended_within(PATIENCE), Some(Some(0)));
}

#[test]
fn a_new_process_that_is_told_to_stop_before_it_serves_stops_in_order() {
    let mut server = Server::start(SITES);
    view_at(&mut server.client(), "/u/mia", NOON);
    let mut upgrade = server.begin_upgrade(&["test.upgrade_stop=taken"]);
    upgrade.stops();
    upgrade.signal(Signal::TERM);
    upgrade.signal(Signal::CONT);
    assert_eq!(upgrade.ended(), Some(0), "{}", server.log());
    assert_eq!(server.ended_within(PATIENCE), Some(Some(0)));
    server.set(&["test.upgrade_stop="]);
    server.restart();
    server.flush();
    assert_eq!(totals(&server)[..2], [1, 1], "{}", server.log());
}

/// The old process still sends segments, and then closes the store.
#[test]
fn an_erasure_that_is_asked_for_while_the_store_changes_hands_waits_for_it() {
    let mut server = Server::start_with(SITES, &["test.upgrade_stop=released"]);
    let mut client = server.client();
    assert_eq!(hit(&mut client, &view("/u/mia"), &[]).status, 202);
    server.flush();
    let mut upgrade = server.begin_upgrade(&["test.upgrade_stop="]);
    assert!(upgrade.serves());
    wait_for_state(server.pid(), "T");

    let host = server.address().to_string();
    let mut operator = server.client();
    let path = "/api/v1/sites/mia/erase";
    operator
        .send("POST", path, &[("Host", &host)], Body::None)
        .unwrap();
    server.signal(Signal::CONT);
    assert_eq!(server.replace(upgrade), Some(0), "{}", server.log());
    assert_eq!(operator.receive().unwrap().status, 200);
}

/// The HTTP library ends a connection that waits too long for a request. It must not look at the
/// time while no request is read: one may be in the socket.
#[test]
fn what_is_sent_while_nothing_is_read_is_answered_however_long_that_takes() {
    let settings = [
        "server.keep_alive_secs=1",
        "limits.read_timeout_millis=1000",
        "test.upgrade_stop=frozen",
    ];
    let mut server = Server::start_with(SITES, &settings);
    let upgrade = server.begin_upgrade(&["test.upgrade_stop=offered"]);
    upgrade.stops();
    let mut unused = server.client().never_reconnecting();
    let mut kept = server.client().never_reconnecting();
    view_at(&mut kept, "/u/mia", NOON);
    upgrade.signal(Signal::CONT);
    wait_for_state(server.pid(), "T");

    let body = view("/u/mia");
    for client in [&mut unused, &mut kept] {
        send(client, "POST", "/ff/hit", Body::Sized(body.as_bytes()), &[]);
    }
    std::thread::sleep(Duration::from_millis(1500));
    server.signal(Signal::CONT);
    assert_eq!(server.adopt(upgrade), Some(0), "{}", server.log());
    for client in [&mut unused, &mut kept] {
        assert_eq!(client.receive().unwrap().status, 202, "{}", server.log());
    }
    server.flush();
    assert_eq!(totals(&server)[..3], [3, 1, 1]);
}

/// A new connection has less time for its first request than one that was used has for its next.
#[test]
fn a_connection_waits_for_its_next_request_as_long_as_before_through_two_upgrades() {
    // An upgrade may take seconds on a slow machine, in which the connection is idle.
    let patient = [
        "limits.read_timeout_millis=1000",
        "server.keep_alive_secs=60",
    ];
    let mut server = Server::start_with(SITES, &patient);
    server.flush();
    let mut kept = server.client().never_reconnecting();
    view_at(&mut kept, "/u/mia", NOON);
    for page in 0..2 {
        server.upgrade();
        server.upgrade();
        std::thread::sleep(Duration::from_millis(1500));
        view_at(&mut kept, &format!("/u/mia/{page}"), NOON);
    }
    server.flush();
    assert_eq!(totals(&server)[..3], [3, 1, 1], "{}", server.log());
}

/// The name of a site is stored at the next poll of the registry, which may come after the process.
#[test]
fn the_name_of_a_site_that_is_new_is_stored_before_another_process_takes_over() {
    let mut server = Server::start_with(SITES, &["registry.refresh_secs=300"]);
    server.flush();
    view_at(&mut server.client(), "/u/tom", NOON);
    server.upgrade();
    server.flush();
    let path = format!("/api/v1/platform/sites?{DAY}");
    let is_listed = || server.client().get(&path).unwrap().text().contains("tom");
    until(is_listed, "the platform's list has its name");
}

/// A response may be sent before the request's body. Neither process may take the rest of the body
/// for a request.
#[test]
fn a_body_that_goes_on_after_its_response_is_no_request_to_the_new_process() {
    let mut server = Server::start(SITES);
    let request = "GET /healthz HTTP/1.1\r\nHost: pages.example\r\n";
    let begun: Vec<TcpStream> = ["Transfer-Encoding: chunked", "Content-Length: 900000"]
        .into_iter()
        .map(|length| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream
                .write_all(format!("{request}{length}\r\n\r\n").as_bytes())
                .unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 200");
            stream
        })
        .collect();

    server.upgrade();
    for mut stream in begun {
        // The connection may have ended.
        let _ = stream.write_all(format!("{request}\r\n").as_bytes());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        let rest = String::from_utf8(rest).unwrap();
        assert!(rest.contains("\r\nconnection: close\r\n"), "{rest}");
        assert!(!rest.contains("HTTP/1.1"), "{rest}");
    }
    // They ended in time: clients that send nothing more do not hold an upgrade up.
    let log = server.log();
    assert!(!log.contains("cut off"), "{log}");
}
