//! The port for BI tools: read-only, with the token, and only under this machine's name.

use clickhouse::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use footfall::event::{Dimension, Subject};
use footfall::store::engine::{Access, EngineError, Token, serve_tcp};

use crate::support::{Builder, Tested, embedded, hits};

const TOKEN: &str = "0123456789abcdef";

async fn port(database: &str) -> (Tested, std::net::SocketAddr) {
    let store = embedded(database).await;
    let sums = Builder::default().daily(1, "2026-03-01", Subject::Site, "", Dimension::Total, "", hits(10)).build();
    store.insert("c-1-1", &sums).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let engine = store.engine().unwrap().clone();
    tokio::spawn(serve_tcp(engine, listener, Access::ReadOnly(Token::new(TOKEN).unwrap())));
    (store, address)
}

fn guest(address: std::net::SocketAddr, database: &str) -> Client {
    Client::default().with_url(format!("http://{address}")).with_database(database).with_access_token(TOKEN)
}

#[tokio::test]
async fn a_guest_reads_the_counts() {
    let (_store, address) = port("guest_reads").await;
    let guest = guest(address, "guest_reads");
    assert_eq!(guest.query("SELECT sum(hits) FROM daily").fetch_one::<u64>().await.unwrap(), 10);
    assert_eq!(guest.query("SELECT {x:String}").param("x", "file").fetch_one::<String>().await.unwrap(), "file");
    let by_key = Client::default().with_url(format!("http://{address}")).with_user("metabase").with_password(TOKEN);
    assert_eq!(by_key.query("SELECT toUInt8(1)").fetch_one::<u8>().await.unwrap(), 1);
}

/// Measured: with `readonly = 1` alone, `file()` reads any file, `KILL QUERY` ends inserts and
/// `DESCRIBE url()` connects.
#[tokio::test]
async fn a_guest_changes_nothing_and_reads_no_file() {
    let (store, address) = port("guest_changes_nothing").await;
    let guest = guest(address, "guest_changes_nothing");
    for sql in [
        "INSERT INTO daily (site) VALUES (1)",
        "INSERT INTO daily (site) SELECT 1",
        "TRUNCATE TABLE daily",
        "DROP TABLE daily",
        "CREATE TABLE x (a UInt8) ENGINE = Memory",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT * FROM file('/etc/hostname', LineAsString)",
        "SELECT file('/etc/hostname')",
        "SELECT `\\x66ile`('/etc/hostname')",
        "SELECT * APPLY(file) FROM (SELECT '/etc/hostname')",
        "SELECT * FROM default.`/etc/hostname`",
        "SELECT 1 INTO OUTFILE '/tmp/footfall-guest'",
        "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
        "DESCRIBE TABLE url('http://127.0.0.1:1/')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "KILL QUERY WHERE 1",
        "SYSTEM SHUTDOWN",
    ] {
        let error = guest.query_raw(sql).execute().await.unwrap_err().to_string();
        assert!(error.contains("Code: 164"), "{sql}: {error}");
    }
    let setting = guest.query("SELECT 1").with_setting("max_memory_usage", "0").execute().await.unwrap_err();
    assert!(setting.to_string().contains("Code: 164"), "{setting}");
    assert_eq!(store.client().query("SELECT sum(hits) FROM daily").fetch_one::<u64>().await.unwrap(), 10);
}

#[tokio::test]
async fn a_wrong_token_or_none_reads_nothing() {
    let (_store, address) = port("guest_wrong_token").await;
    let url = format!("http://{address}");
    for client in [
        Client::default().with_url(&url),
        Client::default().with_url(&url).with_access_token("0123456789abcdeX"),
        Client::default().with_url(&url).with_user("x").with_password("0123456789abcde"),
    ] {
        let error = client.query("SELECT 1").execute().await.unwrap_err().to_string();
        assert!(error.contains("Code: 516"), "{error}");
    }
}

async fn raw(address: std::net::SocketAddr, head: String) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A page in a browser may call a loopback port under a host name of its own.
#[tokio::test]
async fn another_machines_name_in_host_is_refused() {
    let (_store, address) = port("guest_host").await;
    let ask = |host: &str| {
        let end = format!("X-ClickHouse-Key: {TOKEN}\r\nConnection: close\r\nContent-Length: 8\r\n\r\nSELECT 1");
        raw(address, format!("POST / HTTP/1.1\r\nHost: {host}\r\n{end}"))
    };
    for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil.example:8123", ""] {
        assert!(ask(host).await.starts_with("HTTP/1.1 401"), "{host}");
    }
    for host in ["127.0.0.1", "localhost:8123", "[::1]:1", "LOCALHOST"] {
        assert!(ask(host).await.starts_with("HTTP/1.1 200"), "{host}");
    }
    let ping = raw(address, "GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned()).await;
    assert!(ping.ends_with("\r\n\r\nOk.\n"), "{ping}");
}

#[tokio::test]
async fn a_port_that_others_can_reach_is_refused() {
    let store = embedded("guest_port").await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let served = serve_tcp(store.engine().unwrap().clone(), listener, Access::Full).await;
    assert!(matches!(served, Err(EngineError::NotLoopback(_))));
}
