//! The embedded engine as a process: who reaches it, starting, ending, its limits.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use clickhouse::Client;
use footfall::event::{Dimension, Subject};
use footfall::store::engine::{Engine, EngineError};
use footfall::store::{Store, StoreOptions};
use rustix::process::Signal;

use crate::support::{
    Builder, Process, at, embedded, engine, engine_dir, engine_options, failing_start, hits,
    library, number, options,
};

#[tokio::test]
async fn a_token_sent_again_after_a_kill_and_a_restart_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sums = Builder::default()
        .daily(
            1,
            "2026-03-01",
            Subject::Site,
            "",
            Dimension::Total,
            "",
            hits(10),
        )
        .daily(
            1,
            "2026-04-01",
            Subject::Site,
            "",
            Dimension::Total,
            "",
            hits(10),
        )
        .build();
    let first = Process::start(dir.path());
    at(&first.url, "footfall")
        .await
        .insert_segment("c-1-1", &sums)
        .await
        .unwrap();
    first.kill();
    let second = Process::start(dir.path());
    let store = at(&second.url, "footfall").await;
    assert_eq!(number(&store, "SELECT sum(hits) FROM daily").await, 20);
    store.insert_segment("c-1-1", &sums).await.unwrap();
    assert_eq!(number(&store, "SELECT sum(hits) FROM daily").await, 20);
}

/// This engine knows no cluster, so that every statement for all nodes of one fails, as on a cluster
/// of which a node is away.
#[tokio::test]
async fn a_start_on_a_cluster_sends_no_statement_to_all_nodes_where_nothing_is_to_be_done() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    drop(at(&process.url, "footfall").await);
    let on_cluster = |database: &str| StoreOptions {
        url: Some(process.url.clone()),
        cluster: Some("prod".to_owned()),
        ..options(database)
    };
    let made = Store::connect(&on_cluster("other")).await;
    assert!(made.is_err(), "its tables are made on all nodes");
    let again = Store::connect(&on_cluster("footfall")).await;
    assert!(again.is_ok(), "{:?}", again.err());
}

#[tokio::test]
async fn a_second_process_on_a_directory_is_told_that_it_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Process::start(dir.path());
    let said = failing_start(dir.path(), &library()).await;
    assert!(
        said.contains("another collector uses this directory"),
        "{said}"
    );
}

/// A directory that is opened again at once: after a kill it is still locked for a moment.
#[tokio::test]
async fn a_directory_whose_engine_was_just_killed_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(dir.path());
    first.signal(Signal::KILL);
    let engine = Engine::open(&engine_options(dir.path())).await.unwrap();
    engine.close().await;
}

#[tokio::test]
async fn two_openings_of_a_directory_share_one_engine() {
    let first = engine().await;
    let second = Engine::open(&engine_options(engine_dir())).await.unwrap();
    assert_eq!(first.address(), second.address());
}

/// A service manager signals the whole service, and the last segments are sent after that.
#[tokio::test]
async fn signals_do_not_end_it_and_the_end_of_its_input_does() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path());
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        process.signal(signal);
    }
    let store = at(&process.url, "footfall").await;
    assert_eq!(number(&store, "SELECT toUInt64(1)").await, 1);
    assert_eq!(process.end(), Some(0));
}

#[tokio::test]
async fn a_missing_library_says_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let said = failing_start(dir.path(), Path::new("/nonexistent/libchdb.so")).await;
    assert!(
        said.contains("npm ci") && said.contains("store.url"),
        "{said}"
    );
}

#[tokio::test]
async fn a_library_without_a_server_is_refused_by_the_symbol_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let said = failing_start(dir.path(), Path::new("libm.so.6")).await;
    assert!(
        said.contains("lacks chdb_") && said.contains("26.7.3"),
        "{said}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_opened_is_named_with_the_engines_code() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("metadata")).unwrap();
    std::fs::write(dir.path().join("metadata/broken.sql"), "no statement").unwrap();
    let said = failing_start(dir.path(), &library()).await;
    assert!(
        said.contains(&dir.path().display().to_string()) && said.contains("code 62 SYNTAX_ERROR"),
        "{said}"
    );
}

#[tokio::test]
async fn limits_are_set_and_hold() {
    let store = embedded("limits_are_set_and_hold").await;
    let server =
        "SELECT toUInt64(value) FROM system.server_settings WHERE name = 'max_server_memory_usage'";
    assert_eq!(number(&store, server).await, 1 << 30);
    assert_eq!(
        number(&store, "SELECT toUInt64(getSetting('max_execution_time'))").await,
        60
    );
    let query = "SELECT length(groupArray(number)) FROM numbers(500000000)";
    let error = store
        .raw_client()
        .query(query)
        .fetch_one::<u64>()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("Code: 241"), "{error}");
}

/// Four run at once (`Limits::connections`); the others wait for their turn, none is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_statements_at_once_get_their_own_answers() {
    let client = engine().await.create_client();
    let tasks: Vec<_> = (0..200_u64)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let sum: u64 = client
                    .query("SELECT sum(number + ?) FROM numbers(1000)")
                    .bind(n)
                    .fetch_one()
                    .await
                    .unwrap();
                assert_eq!(sum, 499_500 + 1000 * n);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_an_error_of_its_own() {
    let lost = engine().await.create_client().with_database("nowhere");
    let error = lost
        .query("SELECT 1")
        .fetch_one::<u8>()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("Code: 81"), "{error}");
}

#[tokio::test]
async fn nobody_without_the_password_of_this_start_is_answered() {
    let engine = engine().await;
    let (user, password) = engine.login_credentials();
    let client = || Client::default().with_url(format!("http://{}", engine.address()));
    let ask =
        |client: Client| async move { client.query("SELECT toUInt8(1)").fetch_one::<u8>().await };
    assert_eq!(
        ask(client().with_user(user).with_password(password))
            .await
            .unwrap(),
        1
    );
    for refused in [
        client(),
        client().with_user("default"),
        client().with_user("default").with_password(password),
        client().with_user(user),
        client().with_user(user).with_password("wrong"),
        client().with_user(user).with_password(&password[1..]),
        client().with_user(user).with_setting("user", "default"),
        client()
            .with_user(user)
            .with_password(password)
            .with_setting("user", "default"),
        client()
            .with_setting("user", user)
            .with_setting("password", password),
        client().with_access_token(password),
    ] {
        assert!(ask(refused).await.is_err());
    }

    let raw = |headers: &str| {
        let mut stream = TcpStream::connect(engine.address()).unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\nContent-Length: 8\r\n\r\nSELECT 1"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let own = format!("X-ClickHouse-User: {user}\r\n");
    assert!(raw(&format!("{own}X-ClickHouse-Key: {password}\r\n")).contains(" 200 "));
    for headers in [
        format!("{own}X-ClickHouse-User: default\r\n"),
        format!("X-ClickHouse-User: default\r\n{own}"),
        format!("{own}Authorization: Basic ZGVmYXVsdDo=\r\n"),
        "Authorization: Basic ZGVmYXVsdDo=\r\n".to_owned(),
        format!("{own}X-ClickHouse-User: default\r\nX-ClickHouse-Key: \r\n"),
    ] {
        let status = raw(&headers);
        assert!(!status.contains(" 200 "), "{headers}: {status}");
    }
}

#[tokio::test]
async fn its_port_is_this_machines_own() {
    let port = engine().await.address().port();
    let hexadecimal = format!("{port:04X}");
    let mut listens = 0;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table)
            .unwrap_or_default()
            .lines()
            .skip(1)
        {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, of) = fields[1].split_once(':').unwrap();
            // 0A: it listens. 127.0.0.1, as the kernel writes it.
            if of == hexadecimal && fields[3] == "0A" {
                assert_eq!(address, "0100007F");
                listens += 1;
            }
        }
    }
    assert_eq!(listens, 1);
    // Held by us: nobody else can listen there, now or while the engine is away.
    assert!(std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).is_err());
}

#[tokio::test]
async fn an_engine_that_was_closed_can_be_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = Engine::open(&engine_options(dir.path())).await.unwrap();
    first
        .create_client()
        .query("CREATE DATABASE kept")
        .execute()
        .await
        .unwrap();
    first.close().await;
    assert!(
        first
            .create_client()
            .query("SELECT 1")
            .fetch_one::<u8>()
            .await
            .is_err()
    );
    let second = Engine::open(&engine_options(dir.path())).await.unwrap();
    let names = "SELECT toUInt64(count()) FROM system.databases WHERE name = 'kept'";
    assert_eq!(
        second
            .create_client()
            .query(names)
            .fetch_one::<u64>()
            .await
            .unwrap(),
        1
    );
    second.close().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = engine_options(dir.path());
    options.program = "/nonexistent/footfall".into();
    assert!(matches!(
        Engine::open(&options).await,
        Err(EngineError::StartProcess(_))
    ));
}
