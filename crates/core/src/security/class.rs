//! The class that keeps a race honest: equal parameters give equal classes, and only those.
//!
//! Trust and identity are compared by fingerprints of their certificates; private keys never
//! take part.

use super::{
    Algorithms, ClientAuthentication, Identity, SecurityParameters, TlsParameters, TlsVersion,
    Trust,
};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The strength that every leaf of one race shares: version floor, trust, identity and peer name.
///
/// ALPN is not part of it.
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
        /// A fingerprint of [`Trust`], readable by people.
        trust: String,
        /// A fingerprint of the identity offered, if any.
        identity: Option<String>,
        /// The name that the peer must prove; what several equivalent peers must prove is joined
        /// by "or", each leaf having its own host name.
        peer_name: Option<String>,
        /// Whether the client hello must be encrypted.
        ech_required: bool,
        /// The algorithms that are allowed, if they are restricted.
        #[serde(default)]
        algorithms: Option<Box<Algorithms>>,
    },
}

impl SecurityClass {
    /// The class of an active open to a peer of this name; cleartext when protection is disabled.
    ///
    /// A server name among the parameters takes the place of `peer_name`.
    pub fn of(parameters: &SecurityParameters, peer_name: Option<&str>) -> Self {
        let Some(tls) = parameters.tls_parameters() else {
            return SecurityClass::Cleartext;
        };
        // A pinned certificate and belief in anybody leave no name to be compared with.
        let is_name_checked =
            matches!(tls.trust, Trust::Platform | Trust::Roots(_)) || tls.trust_callback.is_some();
        let peer_name = tls.server_name.as_deref().or(peer_name);
        SecurityClass::protected(
            tls,
            describe(&tls.trust),
            peer_name.filter(|_| is_name_checked),
        )
    }

    /// The class of a passive open; cleartext when protection is disabled.
    pub fn of_server(parameters: &SecurityParameters) -> Self {
        let Some(tls) = parameters.tls_parameters() else {
            return SecurityClass::Cleartext;
        };
        let clients = match &tls.client_authentication {
            ClientAuthentication::None => "any client".to_owned(),
            ClientAuthentication::Optional(trust) => {
                format!("clients may show certificates of {}", describe(trust))
            }
            ClientAuthentication::Required(trust) => {
                format!("clients must show certificates of {}", describe(trust))
            }
        };
        SecurityClass::protected(tls, clients, None)
    }

    fn protected(tls: &TlsParameters, trust: String, peer_name: Option<&str>) -> Self {
        let trust = match &tls.trust_callback {
            Some(callback) => format!("{trust}, {callback}"),
            None => trust,
        };
        let own = tls.identity.iter().chain(&tls.further_identities);
        let own = own
            .map(|identity| fingerprint(identity))
            .reduce(|one, other| format!("{one} or {other}"));
        let identity = match (&tls.challenge_callback, own) {
            (Some(callback), Some(own)) => Some(format!("the choice of {callback}, else {own}")),
            (Some(callback), None) => Some(format!("the choice of {callback}")),
            (None, own) => own,
        };
        let algorithms = &tls.algorithms;
        SecurityClass::Protected {
            floor: tls.min_version,
            trust,
            identity,
            peer_name: peer_name.map(|name| name.to_ascii_lowercase()),
            ech_required: false,
            algorithms: (!algorithms.is_automatic()).then(|| Box::new(algorithms.clone())),
        }
    }

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
                identity,
                peer_name,
                ech_required,
                algorithms,
            } => {
                write!(f, "{floor} or later, {trust}")?;
                if let Some(identity) = identity {
                    write!(f, ", shows {identity}")?;
                }
                if let Some(name) = peer_name {
                    write!(f, ", peer {name}")?;
                }
                if *ech_required {
                    f.write_str(", encrypted client hello")?;
                }
                if let Some(algorithms) = algorithms {
                    write!(f, ", only {algorithms}")?;
                }
                Ok(())
            }
        }
    }
}

fn describe(trust: &Trust) -> String {
    match trust {
        Trust::Platform => "platform roots".to_owned(),
        Trust::Roots(roots) => count(roots, "own root"),
        Trust::Pinned(certificates) => count(certificates, "pinned certificate"),
        Trust::DangerousAnyone => "any peer".to_owned(),
    }
}

fn count(certificates: &[CertificateDer<'static>], noun: &str) -> String {
    // A set has no order, and a certificate given twice is given once.
    let mut sorted: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let plural = if sorted.len() == 1 { "" } else { "s" };
    let mut hasher = DefaultHasher::new();
    sorted.hash(&mut hasher);
    format!("{} {noun}{plural} #{:016x}", sorted.len(), hasher.finish())
}

fn fingerprint(identity: &Identity) -> String {
    let mut hasher = DefaultHasher::new();
    for certificate in &identity.chain {
        certificate.as_ref().hash(&mut hasher);
    }
    format!("certificate #{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{
        ChallengeCallback, CipherSuite, Group, SignatureAlgorithm, TrustCallback, TrustDecision,
    };
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    fn certificate(byte: u8) -> CertificateDer<'static> {
        CertificateDer::from(vec![byte; 3])
    }

    fn roots(bytes: &[u8]) -> SecurityParameters {
        let roots: Vec<_> = bytes.iter().map(|byte| certificate(*byte)).collect();
        SecurityParameters::tls().with_tls(|tls| tls.with_roots(roots))
    }

    fn identity(byte: u8) -> Identity {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(vec![0; 3]));
        Identity::new(vec![certificate(byte)], key)
    }

    fn class(parameters: &SecurityParameters) -> SecurityClass {
        SecurityClass::of(parameters, Some("peer.example"))
    }

    #[test]
    fn equal_parameters_give_equal_classes() {
        assert_eq!(class(&roots(&[1, 2])), class(&roots(&[2, 1, 2])));
        assert_eq!(
            class(&SecurityParameters::tls()),
            class(&SecurityParameters::tls())
        );
    }

    #[test]
    fn whatever_changes_the_strength_changes_the_class() {
        let tls = SecurityParameters::tls;
        let trust_callback = || TrustCallback::new(|_| TrustDecision::AsChain);
        let challenge_callback = || ChallengeCallback::new(|_| None);
        let signature = SignatureAlgorithm::EcdsaSecp256r1Sha256;
        let classes = [
            class(&SecurityParameters::disabled()),
            class(&tls()),
            class(&tls().with_tls(|tls| tls.with_min_version(TlsVersion::Tls13))),
            class(&tls().with_tls(|tls| tls.with_trust(Trust::DangerousAnyone))),
            class(&tls().with_tls(|tls| tls.with_pinned([certificate(1)]))),
            class(&tls().with_tls(|tls| tls.with_identity(identity(1)))),
            class(&tls().with_tls(|tls| tls.with_identity(identity(2)))),
            class(&tls().with_tls(|tls| {
                tls.with_identity(identity(1))
                    .with_further_identity(identity(2))
            })),
            class(&tls().with_tls(|tls| tls.with_server_name("other.example"))),
            class(&tls().with_trust_callback(trust_callback())),
            class(&tls().with_trust_callback(trust_callback())),
            class(&tls().with_challenge_callback(challenge_callback())),
            class(&tls().with_challenge_callback(challenge_callback())),
            class(&tls().with_tls(|tls| tls.with_groups([Group::X25519]))),
            class(&tls().with_tls(|tls| tls.with_groups([Group::Secp256r1]))),
            class(&tls().with_tls(|tls| tls.with_cipher_suites([CipherSuite::Aes128GcmSha256]))),
            class(&tls().with_tls(|tls| tls.with_signature_algorithms([signature]))),
            class(&roots(&[1])),
            class(&roots(&[1, 2])),
            SecurityClass::of(&tls(), None),
        ];
        for (index, first) in classes.iter().enumerate() {
            for second in &classes[index + 1..] {
                assert_ne!(first, second);
            }
        }
    }

    #[test]
    fn application_protocols_do_not_change_the_class() {
        let with_alpn = SecurityParameters::tls().with_tls(|tls| tls.with_alpn(["h2"]));
        assert_eq!(class(&with_alpn), class(&SecurityParameters::tls()));
    }

    #[test]
    fn classes_read_well() {
        let text = |parameters: SecurityParameters| class(&parameters).to_string();
        assert_eq!(text(SecurityParameters::disabled()), "cleartext");
        assert_eq!(
            text(SecurityParameters::tls()),
            "TLS 1.2 or later, platform roots, peer peer.example"
        );
        assert_eq!(
            text(SecurityParameters::opportunistic()),
            "TLS 1.2 or later, any peer"
        );
        assert!(text(roots(&[1])).contains("1 own root #"));
        assert!(text(roots(&[1, 2])).contains("2 own roots #"));
        let shown = SecurityParameters::tls().with_tls(|tls| tls.with_identity(identity(1)));
        assert!(text(shown).contains(", shows certificate #"));
        let narrowed = SecurityParameters::tls().with_tls(|tls| tls.with_groups([Group::X25519]));
        assert!(text(narrowed).ends_with(", peer peer.example, only groups x25519"));
    }

    #[test]
    fn a_servers_class_tells_what_its_clients_show() {
        let text = |demand| {
            let parameters =
                SecurityParameters::tls().with_tls(|tls| tls.with_client_authentication(demand));
            SecurityClass::of_server(&parameters).to_string()
        };
        assert_eq!(
            text(ClientAuthentication::None),
            "TLS 1.2 or later, any client"
        );
        assert_eq!(
            text(ClientAuthentication::Optional(Trust::Platform)),
            "TLS 1.2 or later, clients may show certificates of platform roots"
        );
        assert_eq!(
            text(ClientAuthentication::Required(Trust::Platform)),
            "TLS 1.2 or later, clients must show certificates of platform roots"
        );
        let disabled = SecurityClass::of_server(&SecurityParameters::disabled());
        assert!(!disabled.is_protected());
    }

    #[test]
    fn peer_names_are_compared_without_letter_case() {
        let tls = SecurityParameters::tls();
        assert_eq!(
            SecurityClass::of(&tls, Some("Peer.Example")),
            SecurityClass::of(&tls, Some("peer.example"))
        );
    }

    #[test]
    fn a_change_of_disabled_security_leaves_it_disabled() {
        let disabled = SecurityParameters::disabled().with_tls(|tls| tls.with_alpn(["h2"]));
        assert!(matches!(disabled, SecurityParameters::Disabled));
    }
}
