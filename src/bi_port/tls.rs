//! TLS of the BI port, by a certificate of the operator's.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::BiPortConfig;

/// Reads the certificate and its key; `None` if none is configured.
///
/// # Errors
///
/// A file cannot be read or is no PEM, or the key is not the certificate's.
pub(super) fn read_acceptor(config: &BiPortConfig) -> anyhow::Result<Option<TlsAcceptor>> {
    if config.cert_file.is_empty() {
        return Ok(None);
    }
    let chain = CertificateDer::pem_file_iter(Path::new(&config.cert_file))
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| anyhow!("{error}"))
        .context("bi_port.cert_file cannot be read as PEM")?;
    let key = PrivateKeyDer::from_pem_file(Path::new(&config.key_file))
        .map_err(|error| anyhow!("{error}"))
        .context("bi_port.key_file cannot be read as PEM")?;

    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let server = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .context("the TLS provider lacks a protocol version")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("bi_port.key_file is not the key of bi_port.cert_file")?;
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}
