//! TLS to a ClickHouse server whose certificate was not signed by a public authority.

use std::path::Path;
use std::time::Duration;

use clickhouse::Client;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::{Client as HttpClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// How long an idle connection is kept, as in the `clickhouse` crate: the server closes it after
/// three seconds.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// The idle time before TCP keep-alive probes, as in the `clickhouse` crate.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);

/// The certificates of a PEM file. A server is trusted if one of them signed its certificate.
///
/// # Errors
///
/// The file cannot be read, is not PEM, or contains no usable certificate. The text does not
/// contain the file's name.
pub fn read_root_certificates(file: &Path) -> Result<RootCertStore, String> {
    let read = |error: rustls::pki_types::pem::Error| match error {
        rustls::pki_types::pem::Error::Io(error) => error.to_string(),
        _ => "is no PEM".to_owned(),
    };

    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(read)? {
        roots
            .add(certificate.map_err(read)?)
            .map_err(|_| "holds a certificate that cannot be read")?;
    }
    if roots.is_empty() {
        Err("holds no certificate in PEM".to_owned())
    } else {
        Ok(roots)
    }
}

/// A client that trusts these authorities and no others.
pub(super) fn client_with_roots(roots: RootCertStore) -> Client {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("the provider has the versions it was built with")
        .with_root_certificates(roots)
        .with_no_client_auth();

    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(KEEP_ALIVE_IDLE));
    connector.enforce_http(false);

    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);

    let http = HttpClient::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .build(connector);
    Client::with_http_client(http)
}
