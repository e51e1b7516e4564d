//! TLS between collectors: each side proves with a certificate of the cluster's authority which
//! collector it is.

use std::path::Path;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::ClusterConfig;

/// A key of the configuration, and what is wrong with its file.
pub type TlsFileError = (&'static str, String);

/// Both sides of connections between collectors.
pub(super) struct ClusterTls {
    pub(super) connector: TlsConnector,
    pub(super) acceptor: TlsAcceptor,
}

/// Checks the files of the configuration.
///
/// # Errors
///
/// A file cannot be read or is not PEM, the key is not the certificate's, or the certificate does
/// not name this collector.
pub fn check_tls_files(config: &ClusterConfig) -> Result<(), TlsFileError> {
    read_tls_files(config).map(drop)
}

pub(super) fn read_tls_files(config: &ClusterConfig) -> Result<ClusterTls, TlsFileError> {
    let roots = Arc::new(read_authority(&config.ca_file)?);
    let (cert_key, key_key) = ("cluster.cert_file", "cluster.key_file");
    let chain = read_certificates(cert_key, &config.cert_file)?;
    let key = || {
        PrivateKeyDer::from_pem_file(Path::new(&config.key_file))
            .map_err(|error| (key_key, describe_pem_error(&config.key_file, &error)))
    };
    if !names_collector(&chain[0], &config.name) {
        let reason = format!("must hold a certificate for the DNS name {}", config.name);
        return Err((cert_key, reason));
    }

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let wrong_key = |_| (key_key, "must be the key of cluster.cert_file".to_owned());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| ("cluster.ca_file", error.to_string()))?;
    let versions = [&rustls::version::TLS13];
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .expect("the provider has TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key()?)
        .map_err(wrong_key)?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key()?)
        .map_err(wrong_key)?;

    Ok(ClusterTls {
        connector: TlsConnector::from(Arc::new(client)),
        acceptor: TlsAcceptor::from(Arc::new(server)),
    })
}

/// Whether a certificate, which is trusted already, is of the collector with this name.
pub(super) fn names_collector(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let (Ok(parsed), Ok(name)) = (
        ParsedCertificate::try_from(certificate),
        ServerName::try_from(name),
    ) else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

fn read_authority(file: &str) -> Result<RootCertStore, TlsFileError> {
    let key = "cluster.ca_file";
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(key, file)? {
        let reason = |_| {
            (
                key,
                format!("{file}: holds a certificate that cannot be read"),
            )
        };
        roots.add(certificate).map_err(reason)?;
    }
    Ok(roots)
}

fn read_certificates(
    key: &'static str,
    file: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let read = CertificateDer::pem_file_iter(Path::new(file))
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| (key, describe_pem_error(file, &error)))?;
    match read.is_empty() {
        true => Err((key, format!("{file}: holds no certificate in PEM"))),
        false => Ok(read),
    }
}

fn describe_pem_error(file: &str, error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => format!("{file}: {error}"),
        _ => format!("{file}: is no PEM"),
    }
}
