//! rustls's verifiers, backed by the chain policy of `portway-security`.
//!
//! Invariant: even when anybody is trusted, the peer must prove that it holds the key of its
//! certificate.

use super::observed::Observed;
use portway_security::chain::Presented;
use portway_security::{ChainError, ChainPolicy, Purpose};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// Judges the chain of the peer in either role.
#[derive(Debug)]
pub(super) struct PolicyVerifier {
    policy: ChainPolicy,
    algorithms: WebPkiSupportedAlgorithms,
    is_mandatory: bool,
    authorities: Vec<DistinguishedName>,
}

impl PolicyVerifier {
    /// A verifier of servers.
    pub(super) fn of_servers(policy: ChainPolicy, provider: &CryptoProvider) -> Self {
        PolicyVerifier {
            policy,
            algorithms: provider.signature_verification_algorithms,
            is_mandatory: true,
            authorities: Vec::new(),
        }
    }

    /// A verifier of clients, which are told the names of at most [`AUTHORITIES_MAX`] authorities.
    pub(super) fn of_clients(
        policy: ChainPolicy,
        provider: &CryptoProvider,
        is_mandatory: bool,
    ) -> Self {
        let names: Vec<_> = policy
            .anchor_names()
            .take(AUTHORITIES_MAX + 1)
            .map(DistinguishedName::in_sequence)
            .collect();
        // RFC 8446 §4.2.4: the list is a hint; a platform's whole store would bloat the flight.
        let authorities = if names.len() > AUTHORITIES_MAX {
            Vec::new()
        } else {
            names
        };
        PolicyVerifier {
            policy,
            algorithms: provider.signature_verification_algorithms,
            is_mandatory,
            authorities,
        }
    }

    fn check(
        &self,
        presented: Presented<'_>,
        purpose: Purpose,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Error> {
        self.policy
            .verify(presented, purpose, name, now, self.algorithms.all)
            .map_err(|reason| {
                let error = Error::InvalidCertificate(for_alert(&reason));
                Observed::note(|observed| observed.chain_error = Some(reason));
                error
            })
    }
}

impl ServerCertVerifier for PolicyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = Presented {
            end_entity,
            intermediates,
        };
        self.check(
            presented,
            Purpose::ServerAuthentication,
            Some(server_name),
            now,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PolicyVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.authorities
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let presented = Presented {
            end_entity,
            intermediates,
        };
        self.check(presented, Purpose::ClientAuthentication, None, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// More names than this are not sent to clients as hints.
const AUTHORITIES_MAX: usize = 16;

/// The error from which rustls derives the alert; the reason itself travels in [`Observed`].
fn for_alert(reason: &ChainError) -> CertificateError {
    match reason {
        ChainError::Expired { .. } => CertificateError::Expired,
        ChainError::NotYetValid { .. } => CertificateError::NotValidYet,
        ChainError::NameMismatch { .. } => CertificateError::NotValidForName,
        ChainError::UnknownAuthority { .. } | ChainError::NoAnchors => {
            CertificateError::UnknownIssuer
        }
        ChainError::WrongPurpose { .. } => CertificateError::InvalidPurpose,
        ChainError::BadSignature => CertificateError::BadSignature,
        ChainError::Revoked => CertificateError::Revoked,
        ChainError::Malformed(_) => CertificateError::BadEncoding,
        other => CertificateError::Other(OtherError(Arc::new(other.clone()))),
    }
}
