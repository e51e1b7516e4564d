//! What the log says of a store that cannot be used: what, where, what to do, and once as long as
//! the reason is the same. Hits are answered throughout.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{DAY, Engine, Port, SITES, Server, until, view_pages};

fn times(server: &Server, text: &str) -> usize {
    server.log().matches(text).count()
}

/// Starts a collector with these settings and expects the text once, after several attempts.
fn expect_once(settings: &[&str], texts: &[&str]) {
    let server = Server::start_with(SITES, settings);
    for text in texts {
        until(|| server.log().contains(text), text);
    }
    // Attempts after 250, 750 and 1750 ms.
    until(
        || server.metric("footfall_insert_failures_total") >= 3,
        "it is tried again",
    );
    view_pages(&server, 0..2);
    for text in texts {
        assert_eq!(times(&server, text), 1, "{text}\n{}", server.log());
    }
}

#[test]
fn a_server_that_cannot_be_reached_or_does_not_let_in_is_named_once_with_what_to_do() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let url = engine.url();
    let at = |url: &str| format!("store.url={url}");
    let place = format!("footfall at {url}");

    expect_once(
        &[&at("http://clickhouse.invalid:8123")],
        &[
            "the host's name was not found: check the host in store.url",
            "footfall at http://clickhouse.invalid:8123",
        ],
    );
    expect_once(
        &[&at("http://127.0.0.1:1")],
        &[
            "connection refused: is the server running",
            "footfall at http://127.0.0.1:1",
        ],
    );
    expect_once(
        &[&at(&url), "store.user=nobody"],
        &["code 516 AUTHENTICATION_FAILED: check store.user", &place],
    );
    expect_once(
        &[&at(&url), "store.user=reader"],
        &[
            "code 497 ACCESS_DENIED: the user of the store lacks the right CREATE DATABASE",
            &place,
        ],
    );

    // Something else that answers HTTP, and something that does not.
    let other = answer_with("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnginx");
    expect_once(
        &[&at(&format!("http://{other}"))],
        &["an HTTP error without a code: does store.url lead to ClickHouse"],
    );
    let other = answer_with("SSH-2.0-OpenSSH_9.2\r\n");
    expect_once(
        &[&at(&format!("http://{other}"))],
        &["no HTTP answer: is the port in store.url"],
    );
    assert_eq!(
        engine.sql_in(
            "default",
            "SELECT count() FROM system.databases WHERE name = 'footfall'"
        ),
        "0\n"
    );
}

#[test]
fn each_new_reason_is_logged_and_the_same_one_is_not() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let server = Server::start_with(SITES, &[&url]);
    view_pages(&server, 0..3);
    server.flush();

    engine.kill();
    view_pages(&server, 3..6);
    until(|| server.log().contains("connection refused"), "it is away");
    engine.restart();
    engine.sql("RENAME DATABASE footfall TO aside");
    view_pages(&server, 6..9);
    let gone = "code 81 UNKNOWN_DATABASE: the database of the store is gone";
    until(|| server.log().contains(gone), "its database is gone");
    sleep(Duration::from_secs(1));
    // Once by what sends segments; readers of other tables say so for themselves.
    let log = server.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("a segment could not be sent"));
    let lines = lines.filter(|line| line.contains(gone));
    assert_eq!(lines.count(), 1, "{log}");
    engine.sql_in("default", "RENAME DATABASE aside TO footfall");
    server.flush();
    let report = server.report("mia", DAY);
    assert_eq!(report["totals"]["hits"], 9);
}

#[test]
fn a_table_that_is_gone_is_made_again_where_its_counts_are_in_another_one() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(dir.path());
    let url = format!("store.url={}", engine.url());
    let mut server = Server::start_with(SITES, &[&url]);
    view_pages(&server, 0..5);
    server.flush();
    let activity = || {
        engine.sql("SELECT sum(hits), sum(visitors) FROM activity WHERE site < 340282366610943488905431440803018342400 FORMAT TSV")
    };
    let before = activity();
    assert!(before.starts_with("5\t"), "{before}");

    engine.sql("DROP TABLE activity SYNC");
    view_pages(&server, 5..8);
    server.flush();
    assert!(activity().starts_with("8\t"), "{}", activity());
    assert!(server.log().contains("it was created again"));

    // At a start, too.
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    engine.sql("DROP TABLE activity SYNC");
    server.restart();
    server.flush();
    assert!(activity().starts_with("8\t"), "{}", activity());

    // What only the table held is lost: it is named, and hits wait.
    let columns = engine.sql("SHOW CREATE TABLE vitals FORMAT TSVRaw");
    engine.sql("RENAME TABLE vitals TO vitals_aside");
    view_pages(&server, 8..10);
    let says = "tables are gone that held counts or the registry: vitals; restore a backup";
    // Only a segment with vitals needs the table; a start looks at all of them.
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    server.restart();
    view_pages(&server, 10..12);
    until(|| server.log().contains(says), "the log names the table");
    engine.sql("RENAME TABLE vitals_aside TO vitals");
    server.flush();
    assert_eq!(server.report("mia", DAY)["totals"]["hits"], 12);
    assert_eq!(
        engine.sql("SHOW CREATE TABLE vitals FORMAT TSVRaw"),
        columns
    );
    assert_eq!(server.stop(), Some(0), "{}", server.log());

    // A database of a later version is left alone.
    engine.sql("INSERT INTO migrations (number, name) VALUES (9000, 'later')");
    server.spawn_again();
    assert_eq!(server.ended_within(Duration::from_secs(20)), Some(Some(1)));
    assert!(
        server
            .log()
            .contains("the database has schema 9000 and this binary knows schemas up to"),
        "{}",
        server.log()
    );
}

/// What ClickHouse 18.16.1 of Debian 12 answers to `SELECT version()`. With a real one it is tested
/// below, where it is installed.
const OLD_ANSWER: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/tab-separated-values; charset=UTF-8\r\nContent-Length: 8\r\n\r\n18.16.1\n";

#[test]
fn a_server_that_is_too_old_is_named_with_its_version() {
    let old = answer_with(OLD_ANSWER);
    let says = format!("ClickHouse 18.16 at http://{old} is too old: 24.8 or later is needed");
    expect_once(&[&format!("store.url=http://{old}")], &[&says]);

    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let port = Port::hold();
    let Some(mut child) = start_old_server(dir.path(), port.address()) else {
        eprintln!("ClickHouse 18.16 is not installed (apt-get install clickhouse-server)");
        return;
    };
    let says = format!(
        "ClickHouse 18.16 at http://{} is too old: 24.8 or later is needed",
        port.address()
    );
    expect_once(&[&format!("store.url=http://{}", port.address())], &[&says]);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts Debian's server, or the one that a variable names; `None` where there is none, or a later
/// one, which does not read this configuration.
fn start_old_server(dir: &Path, address: SocketAddr) -> Option<Child> {
    let named = std::env::var_os("CLICKHOUSE_18_16").map(PathBuf::from);
    let debian = ["/usr/sbin/clickhouse-server", "/usr/bin/clickhouse-server"].map(PathBuf::from);
    let program = named.into_iter().chain(debian).find(|path| path.exists())?;
    let mut child = spawn_old_server(&program, dir, address);
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        if child.try_wait().unwrap().is_some() || Instant::now() > deadline {
            let _ = child.kill();
            child.wait().unwrap();
            return None;
        }
        sleep(Duration::from_millis(20));
    }
    Some(child)
}

fn spawn_old_server(program: &Path, dir: &Path, address: SocketAddr) -> Child {
    let shown = dir.display();
    let config = format!(
        "<yandex><logger><level>none</level></logger><http_port>{}</http_port><listen_host>{}</listen_host>\
         <path>{shown}/data/</path><tmp_path>{shown}/tmp/</tmp_path><users_config>{shown}/users.xml</users_config>\
         <default_profile>default</default_profile><default_database>default</default_database>\
         <mark_cache_size>5368709</mark_cache_size></yandex>",
        address.port(),
        address.ip()
    );
    let users = "<yandex><profiles><default></default></profiles><users><default><password></password>\
        <networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>\
        <quotas><default></default></quotas></yandex>";
    std::fs::write(dir.join("config.xml"), config).unwrap();
    std::fs::write(dir.join("users.xml"), users).unwrap();

    Command::new(program)
        .arg(format!("--config-file={shown}/config.xml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Something that gives each connection the same answer, whatever it asks.
fn answer_with(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // The other side may hang up at any time.
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}
