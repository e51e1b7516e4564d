//! The BI port behind TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{fill, make_token, port_of, query, start};

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
    StreamOwned::new(connection, TcpStream::connect(port).unwrap())
}

#[test]
fn the_port_speaks_tls_by_the_files_that_are_named_and_nothing_else() {
    let (cert, key) = (file("server.pem"), file("server.key"));
    let server = start(&[
        &format!("bi_port.cert_file={}", cert.display()),
        &format!("bi_port.key_file={}", key.display()),
    ]);
    fill(&server);
    let (_, token) = make_token(&server, &["bi"], None);
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
        answer.starts_with("HTTP/1.1 200") && answer.contains("36\n"),
        "{answer}"
    );

    // Without TLS there is nothing.
    let refused = std::panic::catch_unwind(|| query(http, &token, "SELECT 1"));
    assert!(refused.is_err(), "{refused:?}");
}
