//! Which of several certificate chains suits a peer.
//!
//! Invariant: this is a choice among chains of this side's own and proves nothing; what a peer asks
//! for may be malformed, and then nothing suits.

use crate::der::{Reader, SEQUENCE};
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

/// Whether a certificate is for a server of this name.
pub fn is_for_server(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let name = ServerName::try_from(name);
    let certificate = EndEntityCert::try_from(certificate);
    match (certificate, name) {
        (Ok(certificate), Ok(name)) => certificate.verify_is_valid_for_subject_name(&name).is_ok(),
        _ => false,
    }
}

/// Whether one of these authorities, each a distinguished name in DER, vouches for a chain.
pub fn is_of_authority(chain: &[CertificateDer<'_>], authorities: &[&[u8]]) -> bool {
    let names = || {
        authorities
            .iter()
            .filter_map(|name| Reader(name).expect(SEQUENCE))
    };
    chain.iter().any(|certificate| {
        let certificate = EndEntityCert::try_from(certificate);
        // RFC 8446 §4.2.4: at least one certificate of the chain is issued by one of them.
        certificate.is_ok_and(|it| names().any(|name| name == it.issuer()))
    })
}
