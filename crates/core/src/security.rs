//! Security parameters (RFC 9622 §6.3) as data, and the class that keeps a race honest.
//!
//! Invariant: two leaves race only when their [`SecurityClass`] values are equal (RFC 9621 §3.3),
//! unless the application asked for opportunistic security. The class itself is in `class.rs`.

mod algorithm;
mod callback;
mod check;
mod class;
mod identity;

pub use algorithm::{Algorithms, CipherSuite, Group, SignatureAlgorithm, UnknownAlgorithm};
pub use callback::{
    ChallengeCallback, IdentityChallenge, TrustCallback, TrustDecision, TrustQuestion,
};
pub use class::SecurityClass;
pub use identity::{Identity, IdentityKey, PreSharedKey, SigningKey};

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    ///
    /// The peer need not prove who it is (RFC 9622 §6.3): a check that may be escaped into
    /// cleartext protects nobody, and without it more connections are encrypted.
    pub fn opportunistic() -> Self {
        SecurityParameters::Opportunistic(TlsParameters {
            trust: Trust::DangerousAnyone,
            ..TlsParameters::default()
        })
    }

    /// Changes the TLS parameters; without effect when protection is disabled, which has none.
    ///
    /// ```
    /// use portway_core::security::{SecurityParameters, TlsVersion};
    ///
    /// let security = SecurityParameters::tls()
    ///     .with_tls(|tls| tls.with_alpn(["h2"]).with_min_version(TlsVersion::Tls13));
    /// assert_eq!(security.tls_parameters().unwrap().alpn, [b"h2"]);
    /// ```
    #[must_use]
    pub fn with_tls(self, change: impl FnOnce(TlsParameters) -> TlsParameters) -> Self {
        match self {
            SecurityParameters::Disabled => SecurityParameters::Disabled,
            SecurityParameters::Opportunistic(tls) => {
                SecurityParameters::Opportunistic(change(tls))
            }
            SecurityParameters::Required(tls) => SecurityParameters::Required(change(tls)),
        }
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

/// Shortcuts for [`SecurityParameters::with_tls`], likewise without effect when protection is
/// disabled.
impl SecurityParameters {
    /// See [`TlsParameters::with_alpn`].
    #[must_use]
    pub fn with_alpn<P: Into<Vec<u8>>>(self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.with_tls(|tls| tls.with_alpn(protocols))
    }

    /// See [`TlsParameters::with_min_version`].
    #[must_use]
    pub fn with_min_version(self, version: TlsVersion) -> Self {
        self.with_tls(|tls| tls.with_min_version(version))
    }

    /// See [`TlsParameters::with_max_version`].
    #[must_use]
    pub fn with_max_version(self, version: TlsVersion) -> Self {
        self.with_tls(|tls| tls.with_max_version(version))
    }

    /// See [`TlsParameters::with_trust`].
    #[must_use]
    pub fn with_trust(self, trust: Trust) -> Self {
        self.with_tls(|tls| tls.with_trust(trust))
    }

    /// See [`TlsParameters::with_roots`].
    #[must_use]
    pub fn with_roots(self, roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        self.with_tls(|tls| tls.with_roots(roots))
    }

    /// See [`TlsParameters::with_identity`].
    #[must_use]
    pub fn with_identity(self, identity: impl Into<Arc<Identity>>) -> Self {
        self.with_tls(|tls| tls.with_identity(identity))
    }

    /// See [`TlsParameters::with_further_identity`].
    #[must_use]
    pub fn with_further_identity(self, identity: impl Into<Arc<Identity>>) -> Self {
        self.with_tls(|tls| tls.with_further_identity(identity))
    }

    /// See [`TlsParameters::with_trust_callback`].
    #[must_use]
    pub fn with_trust_callback(self, callback: TrustCallback) -> Self {
        self.with_tls(|tls| tls.with_trust_callback(callback))
    }

    /// See [`TlsParameters::with_challenge_callback`].
    #[must_use]
    pub fn with_challenge_callback(self, callback: ChallengeCallback) -> Self {
        self.with_tls(|tls| tls.with_challenge_callback(callback))
    }

    /// See [`TlsParameters::with_server_name`].
    #[must_use]
    pub fn with_server_name(self, name: impl Into<String>) -> Self {
        self.with_tls(|tls| tls.with_server_name(name))
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
    /// What the application makes of the peer's certificates, after the chain was judged.
    pub trust_callback: Option<TrustCallback>,
    /// Certificate chain and key for this side; a server needs one or a challenge callback.
    pub identity: Option<Arc<Identity>>,
    /// What is shown in its place to peers that it does not suit: see
    /// [`TlsParameters::with_further_identity`].
    pub further_identities: Vec<Arc<Identity>>,
    /// Chooses an identity when the peer asks for one.
    pub challenge_callback: Option<ChallengeCallback>,
    /// A key from outside. It is not supported: see [`TlsParameters::check`].
    pub pre_shared_key: Option<PreSharedKey>,
    /// Groups, cipher suites and signature algorithms that may be used.
    pub algorithms: Algorithms,
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
    /// Accepted certificate chains that are kept, so that the same chain for the same purpose and
    /// name need not be verified again while all of it is valid; zero verifies each time.
    pub accepted_chains_max: usize,
}

impl Default for TlsParameters {
    fn default() -> Self {
        TlsParameters {
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            trust: Trust::Platform,
            trust_callback: None,
            identity: None,
            further_identities: Vec::new(),
            challenge_callback: None,
            pre_shared_key: None,
            algorithms: Algorithms::default(),
            alpn: Vec::new(),
            server_name: None,
            client_authentication: ClientAuthentication::None,
            resumption: Resumption::default(),
            key_log: false,
            accepted_chains_max: ACCEPTED_CHAINS_MAX,
        }
    }
}

/// Builders.
impl TlsParameters {
    /// Offers these application protocols, the preferred one first.
    #[must_use]
    pub fn with_alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Accepts no version below this one.
    #[must_use]
    pub fn with_min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Offers no version above this one.
    #[must_use]
    pub fn with_max_version(mut self, version: TlsVersion) -> Self {
        self.max_version = version;
        self
    }

    /// Believes in these and nobody else.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Believes peers that one of these roots vouches for.
    #[must_use]
    pub fn with_roots(self, roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        self.with_trust(Trust::Roots(roots.into_iter().collect()))
    }

    /// Believes peers with one of these certificates of their own.
    #[must_use]
    pub fn with_pinned(
        self,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        self.with_trust(Trust::Pinned(certificates.into_iter().collect()))
    }

    /// Shows this certificate chain to peers that ask for one.
    #[must_use]
    pub fn with_identity(mut self, identity: impl Into<Arc<Identity>>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// Adds a certificate chain to choose from (RFC 9622 §6.3.1).
    ///
    /// A server shows the first chain that is for the name which the client asks for, a client the
    /// first that an authority vouches for which the server names; both only one whose key can sign
    /// as the peer wants. Where no chain suits, the first that can sign is shown. A challenge
    /// callback comes before all of them.
    #[must_use]
    pub fn with_further_identity(mut self, identity: impl Into<Arc<Identity>>) -> Self {
        let identity = identity.into();
        match &self.identity {
            None => self.identity = Some(identity),
            Some(_) => self.further_identities.push(identity),
        }
        self
    }

    /// Asks the application about every peer that shows certificates.
    #[must_use]
    pub fn with_trust_callback(mut self, callback: TrustCallback) -> Self {
        self.trust_callback = Some(callback);
        self
    }

    /// Asks the application for an identity when the peer asks for one.
    #[must_use]
    pub fn with_challenge_callback(mut self, callback: ChallengeCallback) -> Self {
        self.challenge_callback = Some(callback);
        self
    }

    /// Demands a key from outside, which fails: see [`TlsParameters::check`].
    #[must_use]
    pub fn with_pre_shared_key(mut self, key: PreSharedKey) -> Self {
        self.pre_shared_key = Some(key);
        self
    }

    /// Allows only these groups, the preferred one first.
    ///
    /// In TLS 1.2 a client thereby also says of which curves it takes ECDSA certificates (RFC 8422
    /// §5.1.1), and some servers heed that.
    #[must_use]
    pub fn with_groups(mut self, groups: impl IntoIterator<Item = Group>) -> Self {
        self.algorithms.groups = groups.into_iter().collect();
        self
    }

    /// Allows only these cipher suites, the preferred one first.
    #[must_use]
    pub fn with_cipher_suites(mut self, suites: impl IntoIterator<Item = CipherSuite>) -> Self {
        self.algorithms.cipher_suites = suites.into_iter().collect();
        self
    }

    /// Allows only these signature algorithms, the preferred one first: for the handshake's
    /// signatures of both sides and for those in the peer's certificates (RFC 8446 §4.2.3).
    #[must_use]
    pub fn with_signature_algorithms(
        mut self,
        algorithms: impl IntoIterator<Item = SignatureAlgorithm>,
    ) -> Self {
        self.algorithms.signature_algorithms = algorithms.into_iter().collect();
        self
    }

    /// Sends and checks this name instead of the remote endpoint's.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// As a server, asks clients for this.
    #[must_use]
    pub fn with_client_authentication(mut self, demand: ClientAuthentication) -> Self {
        self.client_authentication = demand;
        self
    }

    /// Sets how many accepted certificate chains are kept; zero verifies each time.
    #[must_use]
    pub fn with_accepted_chains_max(mut self, accepted_chains_max: usize) -> Self {
        self.accepted_chains_max = accepted_chains_max;
        self
    }

    /// Sets whether and how many sessions are kept for resumption.
    #[must_use]
    pub fn with_resumption(mut self, resumption: Resumption) -> Self {
        self.resumption = resumption;
        self
    }

    /// Writes secrets to the file that `SSLKEYLOGFILE` names.
    #[must_use]
    pub fn with_key_log(mut self) -> Self {
        self.key_log = true;
        self
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

impl TlsVersion {
    /// Every supported version, the oldest first.
    pub const ALL: &'static [TlsVersion] = &[TlsVersion::Tls12, TlsVersion::Tls13];
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsVersion::Tls12 => "TLS 1.2",
            TlsVersion::Tls13 => "TLS 1.3",
        })
    }
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

/// The chains that are kept unless said otherwise.
const ACCEPTED_CHAINS_MAX: usize = 32;

/// Session resumption (RFC 9622 §6.3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumption {
    /// Sessions kept for each context; zero switches resumption off.
    pub sessions_max: usize,
    /// How long after its handshake a session may be resumed; `None` leaves that to the server
    /// and, on a server, to the twelve hours that its ticket keys last.
    ///
    /// This is a bound, and others hold as well: a server's own lifetime, those twelve hours, and
    /// the seven days of RFC 8446 §4.6.1. Each resumption makes a session of its own.
    pub lifetime: Option<Duration>,
}

impl Resumption {
    /// No session is resumed.
    pub fn disabled() -> Self {
        Resumption {
            sessions_max: 0,
            lifetime: None,
        }
    }

    /// Keeps so many sessions.
    #[must_use]
    pub fn with_sessions_max(mut self, sessions_max: usize) -> Self {
        self.sessions_max = sessions_max;
        self
    }

    /// Resumes no session that is older.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }
}

impl Default for Resumption {
    fn default() -> Self {
        Resumption {
            sessions_max: 256,
            lifetime: None,
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
