//! rustls's verifiers, backed by the chain policy of `portway-security`.
//!
//! Invariant: even when anybody is trusted, the peer must prove that it holds the key of its
//! certificate.

use super::algorithm::Allowed;
use super::classify;
use super::observed::Observed;
use portway_core::security::{TrustCallback, TrustDecision, TrustQuestion};
use portway_security::accepted::AcceptedChains;
use portway_security::chain::Presented;
use portway_security::{ChainError, ChainPolicy, Purpose};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, Error,
    OtherError, PeerMisbehaved, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Judges the chain of the peer in either role, then lets the application judge.
#[derive(Debug)]
pub(super) struct PolicyVerifier {
    policy: ChainPolicy,
    /// Of this policy and the allowed algorithms.
    accepted: Mutex<AcceptedChains>,
    callback: Option<TrustCallback>,
    allowed: Allowed,
    is_mandatory: bool,
    authorities: Vec<DistinguishedName>,
}

impl PolicyVerifier {
    /// A verifier of servers.
    pub(super) fn of_servers(
        policy: ChainPolicy,
        callback: Option<TrustCallback>,
        allowed: Allowed,
        accepted_chains_max: usize,
    ) -> Self {
        PolicyVerifier {
            policy,
            accepted: Mutex::new(AcceptedChains::new(accepted_chains_max)),
            callback,
            allowed,
            is_mandatory: true,
            authorities: Vec::new(),
        }
    }

    /// A verifier of clients, which are told the names of at most [`AUTHORITIES_MAX`] authorities.
    pub(super) fn of_clients(
        policy: ChainPolicy,
        callback: Option<TrustCallback>,
        allowed: Allowed,
        accepted_chains_max: usize,
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
            accepted: Mutex::new(AcceptedChains::new(accepted_chains_max)),
            callback,
            allowed,
            is_mandatory,
            authorities,
        }
    }

    fn check(
        &self,
        presented: Presented<'_>,
        purpose: Purpose,
        name: Option<&ServerName<'_>>,
        stapled_ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let result = self.judge(presented, purpose, name, now);
        if let Some(callback) = &self.callback {
            let failure = result
                .as_ref()
                .err()
                .map(|reason| classify::chain(reason, AlertDescription::from(for_alert(reason))));
            let chain_result = failure.as_ref().map_or(Ok(()), Err);
            let name = name.map(ServerName::to_str);
            let mut question = TrustQuestion::new(presented.end_entity, chain_result);
            question.intermediates = presented.intermediates;
            question.server_name = name.as_deref();
            question.stapled_ocsp = (!stapled_ocsp.is_empty()).then_some(stapled_ocsp);
            match callback.ask(&question) {
                TrustDecision::Accept => return Ok(()),
                TrustDecision::Reject(why) => {
                    Observed::note(|observed| observed.distrust = Some(why));
                    return Err(CertificateError::ApplicationVerificationFailure.into());
                }
                // The chain's result stands.
                _ => {}
            }
        }
        result.map_err(|reason| {
            let error = Error::InvalidCertificate(for_alert(&reason));
            Observed::note(|observed| observed.chain_error = Some(reason));
            error
        })
    }

    /// What the policy says of a chain, without the arithmetic when it has accepted the same one.
    fn judge(
        &self,
        presented: Presented<'_>,
        purpose: Purpose,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), ChainError> {
        if self.accepted().contain(presented, purpose, name, now) {
            return Ok(());
        }
        let algorithms = &self.allowed.in_chains;
        self.policy
            .verify(presented, purpose, name, now, algorithms)?;
        if matches!(self.policy, ChainPolicy::Anchors(_)) {
            self.accepted().insert(presented, purpose, name);
        }
        Ok(())
    }

    fn accepted(&self) -> MutexGuard<'_, AcceptedChains> {
        // A panic while holding the lock leaves a list that is merely incomplete.
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// RFC 8446 §4.4.3: a signature is of an algorithm that was offered.
    fn is_offered(&self, signature: &DigitallySignedStruct) -> Result<(), Error> {
        if self.allowed.schemes.contains(&signature.scheme) {
            return Ok(());
        }
        Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
    }

    fn check_tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.is_offered(signature)?;
        let algorithms = &self.allowed.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn check_tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.is_offered(signature)?;
        let algorithms = &self.allowed.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }
}

impl ServerCertVerifier for PolicyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        stapled_ocsp: &[u8],
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
            stapled_ocsp,
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
        self.check_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.allowed.schemes.to_vec()
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
        self.check(presented, Purpose::ClientAuthentication, None, &[], now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.allowed.schemes.to_vec()
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
