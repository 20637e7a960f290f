//! Identities from files, and self-signed ones.
//!
//! Invariant: an error names the file and never shows what a key file holds.

use portway_core::security::Identity;
use portway_core::{Failure, FailureKind, Origin};
use portway_security::identity as parse;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::Path;

/// Reads a chain and its key from files, PEM or DER. One PEM file may hold both.
///
/// # Errors
/// A file cannot be read, or does not hold what it should.
pub fn load_identity(chain: &Path, key: &Path) -> Result<Identity, Failure> {
    let chain = load_certificates(chain)?;
    let key = parse::private_key(&read(key)?).map_err(|error| bad(key, &error))?;
    Ok(Identity::new(chain, key))
}

/// Reads certificates from a file, PEM (any number) or DER (one).
///
/// # Errors
/// The file cannot be read or holds no certificate.
pub fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    parse::certificates(&read(path)?).map_err(|error| bad(path, &error))
}

/// A fresh key with a certificate that it signs itself, for these DNS names and IP addresses.
///
/// # Errors
/// A name cannot stand in a certificate.
pub fn self_signed(names: &[String]) -> Result<Identity, Failure> {
    let certified = rcgen::generate_simple_self_signed(names).map_err(|error| {
        Failure::new(
            Origin::Local,
            FailureKind::InvalidRequest,
            format!("no certificate for {}: {error}", names.join(", ")),
        )
    })?;
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let chain = vec![certified.cert.der().clone()];
    Ok(Identity::new(chain, PrivateKeyDer::Pkcs8(key)))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        let failure = Failure::new(
            Origin::System,
            FailureKind::InvalidRequest,
            format!("cannot read {}: {error}", path.display()),
        );
        match error.raw_os_error() {
            Some(code) => failure.with_code(code.into()),
            None => failure,
        }
    })
}

fn bad(path: &Path, error: &parse::IdentityError) -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::InvalidRequest,
        format!("{}: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named_with_its_errno() {
        let path = Path::new("/nonexistent/portway.pem");
        let failure = load_certificates(path).unwrap_err();
        assert_eq!(failure.code, Some(libc::ENOENT.into()));
        assert!(failure.detail.contains("/nonexistent/portway.pem"));
    }

    #[test]
    fn a_self_signed_certificate_can_be_used_and_a_bad_name_cannot() {
        let names = ["host.example".to_owned(), "127.0.0.1".to_owned()];
        let identity = self_signed(&names).unwrap();
        assert_eq!(identity.chain.len(), 1);
        let failure = self_signed(&["h\u{f6}st".to_owned()]).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InvalidRequest);
    }
}
