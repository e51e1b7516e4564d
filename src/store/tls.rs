//! The authorities that sign the certificate of a ClickHouse server, where they are not public ones.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

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
