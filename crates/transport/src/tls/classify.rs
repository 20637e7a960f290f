//! TLS failures in portway's classification.
//!
//! Invariant: the code is the alert that was sent or received, as a number; the detail says in
//! words which side objected to what.

use super::observed::Observed;
use portway_core::{Advice, Failure, FailureKind, Origin};
use portway_security::ChainError;
use rustls::{AlertDescription, Error, PeerIncompatible, PeerMisbehaved};

/// Which side of TLS a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The side that connects.
    Client,
    /// The side that accepts.
    Server,
}

/// A failure before any connection: the parameters cannot be used.
pub(super) fn configuration(error: &Error) -> Failure {
    let detail = match error {
        Error::InconsistentKeys(_) => "the private key does not belong to the certificate".into(),
        other => format!("the TLS parameters cannot be used: {other}"),
    };
    Failure::new(Origin::Local, FailureKind::InvalidRequest, detail)
}

/// A failure of a connection. `is_ready` says whether the handshake was complete.
pub(super) fn connection(
    error: &Error,
    role: Role,
    observed: &Observed,
    is_ready: bool,
) -> Failure {
    match error {
        Error::AlertReceived(alert) => {
            alert_received(*alert, role, observed.is_certificate_requested)
        }
        Error::InvalidCertificate(reason) => {
            let detail = match (&observed.distrust, &observed.chain_error) {
                (Some(why), _) => format!("the application does not trust the peer: {why}"),
                (None, Some(error)) => error.to_string(),
                (None, None) => format!("the peer's certificate is not acceptable: {reason}"),
            };
            tls(FailureKind::CertificateRejected, detail)
                .with_code(code(AlertDescription::from(reason.clone())))
        }
        Error::NoCertificatesPresented => tls(
            FailureKind::CredentialRequired,
            "the peer gave no certificate though one is required",
        )
        .with_code(code(AlertDescription::CertificateRequired))
        .with_advice(Advice::Fatal),
        Error::NoApplicationProtocol => alpn("no application protocol of the peer is ours"),
        Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
            alpn("the peer chose an application protocol that was not offered")
        }
        Error::PeerIncompatible(reason) => incompatible(reason),
        Error::PeerMisbehaved(reason) => tls(
            FailureKind::ProtocolViolation,
            format!("the peer broke the rules of TLS: {reason:?}"),
        ),
        Error::DecryptError if is_ready => tls(
            FailureKind::ProtocolViolation,
            "a TLS record does not decrypt: it was damaged or forged on the way",
        )
        .with_code(code(AlertDescription::BadRecordMac)),
        Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes => {
            Failure::new(Origin::System, FailureKind::Other, error.to_string())
        }
        other => tls(
            FailureKind::ProtocolViolation,
            format!("the peer broke the rules of TLS: {other}"),
        ),
    }
}

/// The peer's certificates are not acceptable; `alert` is what it is told.
pub(super) fn chain(error: &ChainError, alert: AlertDescription) -> Failure {
    tls(FailureKind::CertificateRejected, error.to_string()).with_code(code(alert))
}

/// The peer took no part in ALPN though this side demands it (RFC 7301 §3.2 leaves the reaction
/// to whoever demands).
pub(super) fn alpn_missing(role: Role) -> Failure {
    alpn(match role {
        Role::Client => "the peer chose none of the application protocols offered",
        Role::Server => "the peer offers no application protocol though one is demanded",
    })
}

/// The peer speaks something else. `first` is what it sent first.
pub(super) fn not_tls(first: &[u8]) -> Failure {
    let shown = first[..first.len().min(FIRST_BYTES_SHOWN)].escape_ascii();
    tls(
        FailureKind::ProtocolViolation,
        format!("the peer does not speak TLS: it sent \"{shown}\""),
    )
}

/// More than a handshake may take came before it was complete.
pub(super) fn handshake_too_long(bytes_max: usize) -> Failure {
    tls(
        FailureKind::LimitReached,
        format!("the TLS handshake is not complete after {bytes_max} bytes"),
    )
}

/// The carrier ended without the peer's close_notify.
pub(super) fn cut(is_ready: bool) -> Failure {
    // RFC 8446 §6.1: an end without close_notify may be an attacker's truncation.
    let detail = if is_ready {
        "the connection ended without the peer's close_notify: data may be missing"
    } else {
        "the peer ended the connection during the TLS handshake"
    };
    tls(FailureKind::Reset, detail)
}

/// The keys may not protect any more data, and TLS 1.2 cannot change them.
pub(super) fn keys_exhausted() -> Failure {
    tls(
        FailureKind::LimitReached,
        "the keys of this connection have protected all the data that they may",
    )
}

/// The peer has sent this alert. `is_certificate_requested` says of a client whether the server
/// has asked for its certificate.
pub(super) fn alert_received(
    alert: AlertDescription,
    role: Role,
    is_certificate_requested: bool,
) -> Failure {
    use AlertDescription as A;
    use FailureKind as K;
    let is_unanswered = is_certificate_requested;
    let kind = match alert {
        A::NoApplicationProtocol => K::AlpnMismatch,
        A::CertificateRequired => K::CredentialRequired,
        A::AccessDenied if role == Role::Client => K::CredentialRequired,
        // RFC 5246 §7.4.6: a server of TLS 1.2 that misses a certificate says handshake_failure.
        A::HandshakeFailure if is_unanswered => K::CredentialRequired,
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
            if role == Role::Client =>
        {
            K::CredentialRequired
        }
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::BadCertificateStatusResponse
        | A::BadCertificateHashValue => K::CertificateRejected,
        A::HandshakeFailure | A::ProtocolVersion | A::InsufficientSecurity => K::Unsupported,
        A::UnrecognisedName => K::Refused,
        A::UserCanceled | A::CloseNotify => K::Closed,
        A::InternalError | A::AccessDenied => K::Other,
        _ => K::ProtocolViolation,
    };
    let objection = words(alert);
    let detail = match kind {
        K::CredentialRequired
            if alert == A::CertificateRequired || alert == A::HandshakeFailure =>
        {
            format!("the peer requires a certificate: {objection}")
        }
        K::CredentialRequired | K::CertificateRejected => {
            format!("the peer did not accept our certificate: {objection}")
        }
        _ => format!("the peer ended TLS with an alert: {objection}"),
    };
    tls(kind, detail).with_code(code(alert))
}

fn incompatible(reason: &PeerIncompatible) -> Failure {
    use PeerIncompatible as P;
    let (detail, alert) = match reason {
        P::ServerTlsVersionIsDisabledByOurConfig
        | P::ServerDoesNotSupportTls12Or13
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled
        | P::SupportedVersionsExtensionRequired => (
            "the peer and this side have no TLS version in common".to_owned(),
            AlertDescription::ProtocolVersion,
        ),
        P::NoCipherSuitesInCommon => (
            "the peer and this side have no cipher suite in common".to_owned(),
            AlertDescription::HandshakeFailure,
        ),
        P::NoKxGroupsInCommon => (
            "the peer and this side have no key exchange group in common".to_owned(),
            AlertDescription::HandshakeFailure,
        ),
        P::NoSignatureSchemesInCommon | P::NoCertificateRequestSignatureSchemesInCommon => (
            "the peer and this side have no signature algorithm in common".to_owned(),
            AlertDescription::HandshakeFailure,
        ),
        other => (
            format!("the peer's TLS lacks what this side needs: {other:?}"),
            AlertDescription::HandshakeFailure,
        ),
    };
    tls(FailureKind::Unsupported, detail).with_code(code(alert))
}

fn alpn(detail: &str) -> Failure {
    tls(FailureKind::AlpnMismatch, detail).with_code(code(AlertDescription::NoApplicationProtocol))
}

fn tls(kind: FailureKind, detail: impl Into<String>) -> Failure {
    Failure::new(Origin::Tls, kind, detail)
}

fn code(alert: AlertDescription) -> i64 {
    u8::from(alert).into()
}

/// The alert's registered name in words.
fn words(alert: AlertDescription) -> String {
    let mut words = String::new();
    let mut was_upper = true;
    for c in format!("{alert:?}").chars() {
        if c.is_ascii_uppercase() && !was_upper {
            words.push(' ');
        }
        was_upper = c.is_ascii_uppercase();
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// What is shown of a peer that does not speak TLS.
const FIRST_BYTES_SHOWN: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_read_as_words() {
        assert_eq!(words(AlertDescription::UnknownCA), "unknown ca");
        assert_eq!(
            words(AlertDescription::CertificateExpired),
            "certificate expired"
        );
    }

    #[test]
    fn foreign_bytes_are_escaped_and_cut() {
        let failure = not_tls(&[b"HTTP/1.1 400\r\n\x1b".as_slice(), &[b'x'; 100]].concat());
        assert!(failure.detail.contains("HTTP/1.1 400\\r\\n\\x1bxxx"));
        assert!(failure.detail.len() < 120, "{}", failure.detail);
    }
}
