//! Security parameters (RFC 9622 §6.3) as data, and the class that keeps a race honest.
//!
//! Invariant: two leaves race only when their [`SecurityClass`] values are equal (RFC 9621 §3.3),
//! unless the application asked for opportunistic security.

use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a connection demands of its protection. There is no insecure default.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SecurityParameters {
    /// No protection at all (`Disabled`, RFC 9622 §6.3).
    Disabled,
    /// TLS where the peer offers it, cleartext where it does not.
    Opportunistic(TlsParameters),
    /// TLS, and nothing weaker.
    Required(TlsParameters),
}

impl SecurityParameters {
    /// TLS 1.2 or later with the platform's trust anchors.
    pub fn tls() -> Self {
        SecurityParameters::Required(TlsParameters::default())
    }

    /// No protection.
    pub fn disabled() -> Self {
        SecurityParameters::Disabled
    }

    /// TLS preferred and unauthenticated cleartext accepted.
    pub fn opportunistic() -> Self {
        SecurityParameters::Opportunistic(TlsParameters::default())
    }

    /// The TLS parameters, unless protection is disabled.
    pub fn tls_parameters(&self) -> Option<&TlsParameters> {
        match self {
            SecurityParameters::Disabled => None,
            SecurityParameters::Opportunistic(tls) | SecurityParameters::Required(tls) => Some(tls),
        }
    }

    /// The TLS parameters for a change, unless protection is disabled.
    pub fn tls_parameters_mut(&mut self) -> Option<&mut TlsParameters> {
        match self {
            SecurityParameters::Disabled => None,
            SecurityParameters::Opportunistic(tls) | SecurityParameters::Required(tls) => Some(tls),
        }
    }
}

/// The parameters of TLS on either role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsParameters {
    /// The lowest version that is accepted.
    pub min_version: TlsVersion,
    /// The highest version that is offered.
    pub max_version: TlsVersion,
    /// Who is believed to vouch for the peer.
    pub trust: Trust,
    /// Certificate chain and key for this side; a server needs one.
    pub identity: Option<Arc<Identity>>,
    /// Application protocols in order of preference; empty sends no ALPN.
    pub alpn: Vec<Vec<u8>>,
    /// The name to send and check instead of the remote endpoint's host name.
    pub server_name: Option<String>,
    /// What a server asks of its clients.
    pub client_authentication: ClientAuthentication,
    /// Whether sessions may be resumed.
    pub resumption: Resumption,
    /// Whether secrets are written to the file that `SSLKEYLOGFILE` names.
    pub key_log: bool,
}

impl Default for TlsParameters {
    fn default() -> Self {
        TlsParameters {
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            trust: Trust::Platform,
            identity: None,
            alpn: Vec::new(),
            server_name: None,
            client_authentication: ClientAuthentication::None,
            resumption: Resumption::default(),
            key_log: false,
        }
    }
}

/// TLS versions that portway speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Who is believed to vouch for the peer.
#[derive(Clone)]
#[non_exhaustive]
pub enum Trust {
    /// The platform's trust store.
    Platform,
    /// Only these roots.
    Roots(Arc<[CertificateDer<'static>]>),
    /// Only peers whose end-entity certificate is one of these (RFC 9622 §6.3.3).
    Pinned(Arc<[CertificateDer<'static>]>),
    /// Anybody. The connection is encrypted and not authenticated.
    DangerousAnyone,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trust::Platform => f.write_str("Platform"),
            Trust::Roots(roots) => write!(f, "Roots({})", roots.len()),
            Trust::Pinned(certificates) => write!(f, "Pinned({})", certificates.len()),
            Trust::DangerousAnyone => f.write_str("DangerousAnyone"),
        }
    }
}

/// A certificate chain with its private key.
pub struct Identity {
    /// End entity first, then intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the end entity.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.chain.len())
    }
}

/// What a server asks of its clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// No certificate is requested.
    None,
    /// A certificate is requested and checked when given.
    Optional(Trust),
    /// A certificate is demanded.
    Required(Trust),
}

/// Session resumption (RFC 9622 §6.3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumption {
    /// Sessions kept for each context; zero switches resumption off.
    pub sessions_max: usize,
}

impl Default for Resumption {
    fn default() -> Self {
        Resumption { sessions_max: 256 }
    }
}

/// The strength that every leaf of one race shares: version floor, trust, identity and peer name.
///
/// ALPN is not part of it. Trust and identity are compared by fingerprints that whoever builds the
/// class assigns, so that equal parameters give equal classes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SecurityClass {
    /// No protection.
    Cleartext,
    /// TLS or QUIC, whose handshakes give the same guarantees.
    Protected {
        /// The lowest version that is accepted.
        floor: TlsVersion,
        /// A fingerprint of [`Trust`].
        trust: String,
        /// A fingerprint of the identity offered, if any.
        identity: Option<String>,
        /// The name that the peer must prove.
        peer_name: Option<String>,
        /// Whether the client hello must be encrypted.
        ech_required: bool,
    },
}

impl SecurityClass {
    /// Whether this class protects what is sent.
    pub fn is_protected(&self) -> bool {
        !matches!(self, SecurityClass::Cleartext)
    }
}

impl fmt::Display for SecurityClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecurityClass::Cleartext => f.write_str("cleartext"),
            SecurityClass::Protected {
                floor,
                trust,
                peer_name,
                ..
            } => {
                let floor = match floor {
                    TlsVersion::Tls12 => "TLS 1.2",
                    TlsVersion::Tls13 => "TLS 1.3",
                };
                write!(f, "{floor} or later, {trust}")?;
                peer_name
                    .iter()
                    .try_for_each(|name| write!(f, ", peer {name}"))
            }
        }
    }
}

/// What was really negotiated (ledger S07), as far as the protocol tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Protection {
    /// The version in use.
    pub version: TlsVersion,
    /// The cipher suite by its IANA name.
    pub cipher_suite: String,
    /// The key exchange group by its IANA name, where known.
    pub group: Option<String>,
    /// The application protocol that was agreed on.
    pub alpn: Option<Vec<u8>>,
    /// The peer's certificates, end entity first.
    pub peer_certificates: Vec<CertificateDer<'static>>,
    /// The server name that was sent (client) or received (server).
    pub server_name: Option<String>,
    /// Whether an earlier session was resumed.
    pub is_resumed: bool,
}

impl Protection {
    /// A protection of which only version and suite are known yet.
    pub fn new(version: TlsVersion, cipher_suite: impl Into<String>) -> Self {
        Protection {
            version,
            cipher_suite: cipher_suite.into(),
            group: None,
            alpn: None,
            peer_certificates: Vec::new(),
            server_name: None,
            is_resumed: false,
        }
    }
}
