//! Identities and certificates from the bytes of files, PEM or DER.
//!
//! Invariant: a private key never appears in an error.

use portway_core::security::Identity;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no certificate in the bytes.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// There is no private key in the bytes.
    #[error("there is no private key in it")]
    NoPrivateKey,
    /// The PEM armour is broken.
    #[error("it is not well-formed PEM")]
    Malformed,
}

/// The certificates in `bytes`: every one of a PEM file, or the one that a DER file is.
///
/// # Errors
/// There is none, or the PEM is broken.
pub fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    if is_der(bytes) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let certificates = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| IdentityError::Malformed)?;
    if certificates.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    Ok(certificates)
}

/// The first private key in `bytes`: PKCS#8, PKCS#1 or SEC 1, PEM or DER.
///
/// # Errors
/// There is none, or the PEM is broken.
pub fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    if is_der(bytes) {
        return PrivateKeyDer::try_from(bytes.to_vec()).map_err(|_| IdentityError::NoPrivateKey);
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => IdentityError::NoPrivateKey,
        _ => IdentityError::Malformed,
    })
}

/// A chain and its key.
///
/// # Errors
/// As [`certificates`] and [`private_key`].
pub fn identity(chain: &[u8], key: &[u8]) -> Result<Identity, IdentityError> {
    Ok(Identity::new(certificates(chain)?, private_key(key)?))
}

/// DER starts with a SEQUENCE of a long form length; PEM is text.
fn is_der(bytes: &[u8]) -> bool {
    let is_whole = |length: u8| length >= 0x80 || usize::from(length) + 2 == bytes.len();
    matches!(bytes, [0x30, length, ..] if is_whole(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_pem_has_no_certificate_and_no_key() {
        assert_eq!(certificates(b"hello"), Err(IdentityError::NoCertificate));
        assert_eq!(
            private_key(b"hello").unwrap_err(),
            IdentityError::NoPrivateKey
        );
    }

    #[test]
    fn broken_armour_is_malformed() {
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert_eq!(certificates(pem), Err(IdentityError::Malformed));
    }
}
