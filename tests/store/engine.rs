//! The embedded engine as a library: start, end, crash and limits.

use std::path::Path;

use footfall::event::{Dimension, Subject};
use footfall::store::engine::{Engine, client};

use crate::support::{
    Builder, Process, at, embedded, engine_dir, engine_options, failing_start, hits, library, number,
};

#[tokio::test]
async fn a_token_sent_again_after_a_kill_and_a_restart_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sums = Builder::default()
        .daily(1, "2026-03-01", Subject::Site, "", Dimension::Total, "", hits(10))
        .daily(1, "2026-04-01", Subject::Site, "", Dimension::Total, "", hits(10))
        .build();
    let first = Process::start(dir.path(), None);
    at(&first.url, "footfall").await.insert("c-1-1", &sums).await.unwrap();
    first.kill();
    let second = Process::start(dir.path(), None);
    let store = at(&second.url, "footfall").await;
    assert_eq!(number(&store, "SELECT sum(hits) FROM daily").await, 20);
    store.insert("c-1-1", &sums).await.unwrap();
    assert_eq!(number(&store, "SELECT sum(hits) FROM daily").await, 20);
}

#[tokio::test]
async fn a_second_process_on_a_directory_is_told_that_it_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Process::start(dir.path(), None);
    let said = failing_start(dir.path(), &library());
    assert!(said.contains("another collector uses this directory"), "{said}");
}

/// Unloading the library while its threads run is a segmentation fault: exit code 139.
#[tokio::test]
async fn a_process_with_the_engine_ends_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), None);
    at(&process.url, "footfall").await;
    assert_eq!(process.end(), Some(0));
}

/// The library's destructors while its threads run are a segmentation fault too. A test process of
/// this suite died of it after its last test, each time.
#[tokio::test]
async fn a_process_that_exits_with_the_engine_at_work_ends_with_its_own_code() {
    for _ in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::start(dir.path(), None);
        let store = at(&process.url, "footfall").await;
        for n in 0..30 {
            let sums =
                Builder::default().daily(n, "2026-03-01", Subject::Site, "", Dimension::Total, "", hits(1)).build();
            store.insert(&format!("c-1-{n}"), &sums).await.unwrap();
        }
        assert_eq!(process.exit(), Some(3));
    }
}

/// The engine would handle the signal itself if its handlers were installed.
#[tokio::test]
async fn an_interrupt_reaches_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), None);
    assert_eq!(process.interrupt(), Some(0));
}

#[test]
fn a_missing_library_says_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let said = failing_start(dir.path(), Path::new("/nonexistent/libchdb.so"));
    assert!(said.contains("npm ci") && said.contains("store.url"), "{said}");
}

#[test]
fn a_library_without_streaming_inserts_is_refused_by_the_symbol_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let said = failing_start(dir.path(), Path::new("libm.so.6"));
    assert!(said.contains("lacks chdb_") && said.contains("26.7.3"), "{said}");
}

#[tokio::test]
async fn limits_are_set_and_hold() {
    let store = embedded("limits_are_set_and_hold").await;
    let server = "SELECT toUInt64(value) FROM system.server_settings WHERE name = 'max_server_memory_usage'";
    assert_eq!(number(&store, server).await, 1 << 30);
    assert_eq!(number(&store, "SELECT toUInt64(getSetting('max_execution_time'))").await, 60);
    let query = "SELECT length(groupArray(number)) FROM numbers(500000000)";
    let error = store.client().query(query).fetch_one::<u64>().await.unwrap_err().to_string();
    assert!(error.contains("Code: 241"), "{error}");
    // The engine holds a large result in a format that cannot be streamed, so it has to count too.
    let query = store.client().query("SELECT repeat('x', 1000000) AS x FROM numbers(2000)");
    let mut bytes = query.fetch_bytes("JSON").unwrap();
    let result = loop {
        match bytes.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(result.unwrap_err().to_string().contains("Code: 241"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_statements_at_once_get_their_own_answers() {
    let engine = Engine::open(&engine_options(engine_dir())).unwrap();
    let client = client(&engine);
    let tasks: Vec<_> = (0..200_u64)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let sum: u64 =
                    client.query("SELECT sum(number + ?) FROM numbers(1000)").bind(n).fetch_one().await.unwrap();
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
    let engine = Engine::open(&engine_options(engine_dir())).unwrap();
    let lost = client(&engine).with_database("nowhere");
    let error = lost.query("SELECT 1").fetch_one::<u8>().await.unwrap_err().to_string();
    assert!(error.contains("Code: 81"), "{error}");
}
