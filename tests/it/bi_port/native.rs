//! The native protocol, by a client of a hundred lines that speaks an old revision of it; and both
//! protocols behind TLS.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{fill, make_token, operator, port_of, query, start};

/// Without client information, settings as text, and other things of later revisions.
const REVISION: u64 = 50_264;
/// After this time without a byte an answer is over.
const SILENCE: Duration = Duration::from_millis(400);

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

struct NativeClient(Box<dyn Duplex>);

impl NativeClient {
    /// Logs in; the answer to the login.
    fn login(stream: Box<dyn Duplex>, user: &str, password: &str) -> (NativeClient, String) {
        let mut hello = vec![0];
        push_text(&mut hello, "a test");
        for number in [1, 1, REVISION] {
            push_number(&mut hello, number);
        }
        for text in ["", user, password] {
            push_text(&mut hello, text);
        }
        let mut client = NativeClient(stream);
        let answer = client.send(&hello);
        (client, answer)
    }

    fn query(&mut self, statement: &str) -> String {
        let mut packet = vec![1];
        push_text(&mut packet, "");
        // No settings, complete processing, no compression.
        packet.extend([0, 2, 0]);
        push_text(&mut packet, statement);
        // An empty block: no external tables.
        packet.extend([2, 0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]);
        self.send(&packet)
    }

    /// The bytes of the answer as text, and `closed` at its end where the connection was.
    fn send(&mut self, packet: &[u8]) -> String {
        if self
            .0
            .write_all(packet)
            .and_then(|()| self.0.flush())
            .is_err()
        {
            return "closed".to_owned();
        }
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            match self.0.read(&mut buffer) {
                Ok(0) => {
                    answer.extend(b"closed");
                    break;
                }
                Ok(count) => answer.extend(&buffer[..count]),
                Err(_) if answer.is_empty() => {}
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn push_number(packet: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        packet.push(number as u8 | 0x80);
        number >>= 7;
    }
    packet.push(number as u8);
}

fn push_text(packet: &mut Vec<u8>, text: &str) {
    push_number(packet, text.len() as u64);
    packet.extend(text.as_bytes());
}

fn plain(port: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(port).unwrap();
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream
}

const TOTALS: &str = "SELECT site, sum(hits) FROM daily_totals GROUP BY site";

#[test]
fn the_native_port_is_for_tokens_too_and_the_engines_own_port_for_nobody_else() {
    let server = start(&["bi_port.native_listen=127.0.0.1:0"]);
    fill(&server);
    let port = port_of(&server, "native");
    let (_, platform) = make_token(&server, &["bi"], None);
    let (mia_id, mia) = make_token(&server, &["bi"], Some("mia"));

    let (mut all, hello) = NativeClient::login(Box::new(plain(port)), "anybody", &platform);
    assert!(hello.contains("ClickHouse"), "{hello}");
    let answer = all.query(TOTALS);
    assert!(answer.contains("mia") && answer.contains("tom"), "{answer}");
    let (mut own, _) = NativeClient::login(Box::new(plain(port)), "mia", &mia);
    let answer = own.query(TOTALS);
    assert!(
        answer.contains("mia") && !answer.contains("tom"),
        "{answer}"
    );
    for (statement, code) in [
        ("SELECT count() FROM footfall.daily", "497"),
        (
            "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
            "497",
        ),
        ("SELECT 1 SETTINGS readonly = 0", "READONLY"),
        ("SELECT * FROM system.users", "497"),
        ("KILL QUERY WHERE 1", "497"),
    ] {
        for client in [&mut all, &mut own] {
            let answer = client.query(statement);
            assert!(
                answer.contains("Not enough privileges") || answer.contains(code),
                "{answer}"
            );
        }
    }

    // The function that the engine lets everybody have.
    for statement in [
        "SELECT file('/etc/passwd')",
        r"SELECT `f\x69le`('/etc/passwd')",
    ] {
        let (mut client, _) = NativeClient::login(Box::new(plain(port)), "", &platform);
        let answer = client.query(statement);
        assert!(
            answer.contains("ACCESS_DENIED") && answer.ends_with("closed"),
            "{answer}"
        );
        assert!(!answer.contains("root:"), "{answer}");
    }

    for (user, password) in [
        ("default", ""),
        ("collector", ""),
        ("bi_1", ""),
        ("bi_views", "x"),
    ] {
        let (_, answer) = NativeClient::login(Box::new(plain(port)), user, password);
        assert!(answer.contains("AUTHENTICATION_FAILED"), "{user}: {answer}");
        for own in engine_ports(&server) {
            let (mut client, answer) = NativeClient::login(Box::new(plain(own)), user, password);
            let answer = answer + &client.query("SELECT 'got' || 'in'");
            assert!(
                !answer.contains("gotin"),
                "{user} at the engine's own port: {answer}"
            );
        }
    }
    assert_eq!(engine_ports(&server).len(), 2);

    // An open connection ends with its token.
    let path = format!("/api/v1/tokens/{mia_id}");
    assert_eq!(operator(&server, "DELETE", &path, "").status, 204);
    let revoked = Instant::now();
    let mut ended = || {
        let mut end = Vec::new();
        matches!(own.0.read_to_end(&mut end), Ok(0))
    };
    while !ended() {
        assert!(
            revoked.elapsed() < Duration::from_secs(5),
            "the connection goes on"
        );
    }
    let answer = all.query(TOTALS);
    assert!(answer.contains("tom"), "{answer}");
}

/// Where the embedded engine itself listens.
fn engine_ports(server: &crate::support::Server) -> Vec<SocketAddr> {
    let mut inodes = HashSet::new();
    for child in server.children() {
        for file in fs::read_dir(format!("/proc/{child}/fd")).unwrap().flatten() {
            let target = fs::read_link(file.path()).unwrap_or_default();
            let target = target.to_string_lossy().into_owned();
            if let Some(inode) = target.strip_prefix("socket:[") {
                inodes.insert(inode.trim_end_matches(']').to_owned());
            }
        }
    }
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut ports: Vec<SocketAddr> = sockets
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[3] == "0A" && inodes.contains(fields[9]))
        .map(|fields| {
            let (_, port) = fields[1].split_once(':').unwrap();
            let port = u16::from_str_radix(port, 16).unwrap();
            SocketAddr::from(([127, 0, 0, 1], port))
        })
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/tls")
        .join(name)
}

fn encrypted(port: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(file("authority.pem")).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, plain(port))
}

#[test]
fn both_protocols_speak_tls_by_the_files_that_are_named() {
    let (cert, key) = (file("server.pem"), file("server.key"));
    let server = start(&[
        "bi_port.native_listen=127.0.0.1:0",
        &format!("bi_port.cert_file={}", cert.display()),
        &format!("bi_port.key_file={}", key.display()),
    ]);
    fill(&server);
    let (_, token) = make_token(&server, &["bi"], None);
    let native = port_of(&server, "native");
    let (mut client, hello) = NativeClient::login(Box::new(encrypted(native)), "me", &token);
    assert!(hello.contains("ClickHouse"), "{hello}");
    let answer = client.query(TOTALS);
    assert!(answer.contains("mia") && answer.contains("tom"), "{answer}");

    let http = port_of(&server, "http");
    let mut stream = encrypted(http);
    let request = format!(
        "GET /?query=SELECT%20sum(hits)%20FROM%20daily_totals HTTP/1.1\r\nHost: bi.example\r\n\
         X-ClickHouse-User: me\r\nX-ClickHouse-Key: {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !answer.ends_with(b"0\r\n\r\n") && Instant::now() < deadline {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend(&buffer[..count]),
            Err(_) => {}
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("31\n"),
        "{answer}"
    );

    // Without TLS there is nothing.
    let (_, answer) = NativeClient::login(Box::new(plain(native)), "me", &token);
    assert!(!answer.contains("ClickHouse"), "{answer}");
    let refused = std::panic::catch_unwind(|| query(http, &token, "SELECT 1"));
    assert!(refused.is_err(), "{refused:?}");
}
