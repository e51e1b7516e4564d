//! TLS to a ClickHouse server whose certificate a private authority signed: `store.ca_file` and
//! `SSL_CERT_FILE`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{DAY, Engine, SITES, Server, hit, until, view};

/// Terminates TLS for a server that speaks plain HTTP.
struct Door {
    address: SocketAddr,
    entered: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

impl Door {
    fn open(to: SocketAddr) -> Door {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (entered, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));

        let (acceptor, counts) = (acceptor(), (Arc::clone(&entered), Arc::clone(&refused)));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, (entered, refused)) = (acceptor.clone(), counts.clone());
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(stream).await else {
                        refused.fetch_add(1, Ordering::Relaxed);
                        return;
                    };
                    entered.fetch_add(1, Ordering::Relaxed);
                    let mut server = TcpStream::connect(to).await.unwrap();
                    // Either side may hang up.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Door {
            address,
            entered,
            refused,
            _runtime: runtime,
        }
    }

    fn counts(&self) -> (u64, u64) {
        (
            self.entered.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        )
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/tls")
        .join(name)
}

fn acceptor() -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(file("server.pem"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    TlsAcceptor::from(Arc::new(
        config
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap(),
    ))
}

#[test]
fn a_server_is_believed_by_the_authority_that_is_named_and_by_no_other() {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let engine = Engine::start(data.path());
    let door = Door::open(engine.url().trim_start_matches("http://").parse().unwrap());
    let url = format!("store.url=https://{}", door.address);
    let ca = |name: &str| format!("store.ca_file={}", file(name).display());
    let (own, other) = (
        file("authority.pem").display().to_string(),
        file("other.pem").display().to_string(),
    );

    // Three ways to trust the server; the configuration wins over the environment.
    for (settings, environment) in [
        (vec![url.clone(), ca("authority.pem")], None),
        (vec![url.clone()], Some(&own)),
        (vec![url.clone(), ca("authority.pem")], Some(&other)),
    ] {
        let (before, refused_before) = door.counts();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|file| ("SSL_CERT_FILE", file.as_str()))
            .collect();
        let mut server = Server::start_in(SITES, &settings, &environment);
        let hits = |server: &Server| {
            server.report("mia", DAY)["totals"]["hits"]
                .as_u64()
                .unwrap()
        };
        server.flush();
        let known = hits(&server);
        assert_eq!(hit(&mut server.client(), &view("/u/mia"), &[]).status, 202);
        server.flush();
        assert_eq!(
            (
                hits(&server),
                server.metric("footfall_insert_failures_total")
            ),
            (known + 1, 0)
        );
        let (entered, refused) = door.counts();
        assert!(entered > before);
        assert_eq!(refused, refused_before);
        // A handshake that the stop breaks off counts as refused.
        assert_eq!(server.stop(), Some(0));
    }

    // Neither another authority nor the public ones are trusted.
    for settings in [vec![url.clone(), ca("other.pem")], vec![url.clone()]] {
        let (entered, refused) = door.counts();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let server = Server::start_with(SITES, &settings);
        until(|| door.counts().1 > refused, "a handshake is broken off");
        let says = "TLS refused, the certificate is of no trusted authority: name the authority's certificate in store.ca_file";
        until(|| server.log().contains(says), "the log says why");
        assert_eq!(
            hit(&mut server.client(), &view("/u/mia"), &[]).status,
            202,
            "hits do not wait for the store"
        );
        assert_eq!(door.counts().0, entered);
    }

    // TLS where there is none, and the other way round.
    let plain = engine.url().replacen("http://", "https://", 1);
    for (url, says) in [
        (plain, "TLS refused, the answer is not TLS"),
        (format!("http://{}", door.address), "could not be reached"),
    ] {
        let server = Server::start_with(SITES, &[&format!("store.url={url}")]);
        until(|| server.log().contains(says), says);
    }
    assert_eq!(
        engine
            .sql("SELECT sum(hits) FROM daily WHERE subject = 'site' AND site != 0")
            .trim(),
        "3"
    );
}

#[test]
fn a_file_without_certificates_does_not_start() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (name, text, said) in [
        ("empty.pem", "", "holds no certificate in PEM"),
        (
            "key.pem",
            include_str!("tls/server.key"),
            "holds no certificate in PEM",
        ),
        ("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB", "is no PEM"),
        (
            "bad.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be read",
        ),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let told = crate::config::refused(
            &format!("[store]\nurl = \"https://c\"\nca_file = {path:?}\n"),
            &[],
        );
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("footfall.toml:3: store.ca_file: ") && told[0].contains(said),
            "{told:?}"
        );
    }
    let missing = crate::config::refused(
        "[store]\nurl = \"https://c\"\nca_file = \"/nonexistent\"\n",
        &[],
    );
    assert!(
        missing[0].contains("/nonexistent: No such file"),
        "{missing:?}"
    );
    let plain = crate::config::refused(
        "[store]\nurl = \"http://c\"\nca_file = \"/nonexistent\"\n",
        &[],
    );
    assert!(plain[0].contains("begins with https://"), "{plain:?}");
    let variable = crate::config::refused(
        "[store]\nurl = \"https://c\"\n",
        &[("SSL_CERT_FILE", "/nonexistent")],
    );
    assert!(variable[0].contains("SSL_CERT_FILE"), "{variable:?}");
}
