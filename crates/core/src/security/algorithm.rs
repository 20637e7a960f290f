//! Groups, cipher suites and signature algorithms by their registered names (RFC 9622 §6.3.5).
//!
//! Invariant: a value exists only for what portway really speaks, so `ALL` lists what is supported.

use super::TlsVersion;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which algorithms a handshake may use, the preferred ones first; an empty list leaves the choice
/// to portway.
///
/// A server follows its client's order of preference among those that it allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Algorithms {
    /// The key exchange groups.
    pub groups: Vec<Group>,
    /// The cipher suites.
    pub cipher_suites: Vec<CipherSuite>,
    /// The algorithms of signatures, of either side's and of those in the peer's certificates.
    pub signature_algorithms: Vec<SignatureAlgorithm>,
}

impl Algorithms {
    /// Whether nothing is restricted.
    pub fn is_automatic(&self) -> bool {
        self.groups.is_empty()
            && self.cipher_suites.is_empty()
            && self.signature_algorithms.is_empty()
    }

    /// What is restricted that makes this version impossible, if anything.
    pub(super) fn obstacle(&self, version: TlsVersion) -> Option<&'static str> {
        let is_out = |mut allowed: Box<dyn Iterator<Item = bool> + '_>| {
            let first = allowed.next();
            first == Some(false) && !allowed.any(|is_usable| is_usable)
        };
        if is_out(Box::new(self.groups.iter().map(|g| g.is_usable(version)))) {
            Some("groups")
        } else if is_out(Box::new(
            self.cipher_suites.iter().map(|s| s.version() == version),
        )) {
            Some("cipher suites")
        } else if is_out(Box::new(
            self.signature_algorithms
                .iter()
                .map(|a| a.is_usable(version)),
        )) {
            Some("signature algorithms")
        } else {
            None
        }
    }
}

impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_automatic() {
            return f.write_str("any algorithm");
        }
        let mut separator = "";
        for (noun, names) in [
            ("groups", names(&self.groups)),
            ("cipher suites", names(&self.cipher_suites)),
            ("signature algorithms", names(&self.signature_algorithms)),
        ] {
            if !names.is_empty() {
                write!(f, "{separator}{noun} {names}")?;
                separator = "; ";
            }
        }
        Ok(())
    }
}

fn names<T: fmt::Display>(values: &[T]) -> String {
    let names: Vec<String> = values.iter().map(ToString::to_string).collect();
    names.join(" ")
}

/// Gives an enumeration the names and numbers of its values in the TLS registries.
macro_rules! registered {
    (
        $(#[$about:meta])*
        $type:ident, $noun:literal {
            $($(#[$what:meta])* $variant:ident = $code:literal $name:literal),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[non_exhaustive]
        pub enum $type {
            $($(#[$what])* #[serde(rename = $name)] $variant),+
        }

        impl $type {
            /// Every supported value.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The names of every supported value, in the same order as `ALL`.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name in the registry.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($type::$variant => $name),+
                }
            }

            /// The number in the registry.
            pub const fn code(self) -> u16 {
                match self {
                    $($type::$variant => $code),+
                }
            }

            /// The supported value with this number.
            pub const fn from_code(code: u16) -> Option<$type> {
                match code {
                    $($code => Some($type::$variant),)+
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownAlgorithm;

            /// Letter case does not matter.
            fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| value.as_str().eq_ignore_ascii_case(name))
                    .ok_or_else(|| UnknownAlgorithm {
                        name: name.to_owned(),
                        noun: $noun,
                        supported: Self::NAMES,
                    })
            }
        }
    };
}

registered! {
    /// A key exchange group.
    Group, "group" {
        /// X25519 together with ML-KEM-768.
        X25519MlKem768 = 0x11ec "X25519MLKEM768",
        /// P-256 together with ML-KEM-768.
        Secp256r1MlKem768 = 0x11eb "SecP256r1MLKEM768",
        /// X25519.
        X25519 = 0x001d "x25519",
        /// P-256.
        Secp256r1 = 0x0017 "secp256r1",
        /// P-384.
        Secp384r1 = 0x0018 "secp384r1",
        /// ML-KEM-768 alone.
        MlKem768 = 0x0201 "MLKEM768",
        /// ML-KEM-1024 alone.
        MlKem1024 = 0x0202 "MLKEM1024",
    }
}

impl Group {
    /// Whether this version of TLS has the group; those with ML-KEM came with TLS 1.3.
    pub const fn is_usable(self, version: TlsVersion) -> bool {
        match version {
            TlsVersion::Tls12 => {
                matches!(self, Group::X25519 | Group::Secp256r1 | Group::Secp384r1)
            }
            TlsVersion::Tls13 => true,
        }
    }
}

registered! {
    /// A cipher suite. Each is one of a single version of TLS.
    CipherSuite, "cipher suite" {
        /// AES-256-GCM in TLS 1.3.
        Aes256GcmSha384 = 0x1302 "TLS_AES_256_GCM_SHA384",
        /// AES-128-GCM in TLS 1.3.
        Aes128GcmSha256 = 0x1301 "TLS_AES_128_GCM_SHA256",
        /// ChaCha20-Poly1305 in TLS 1.3.
        Chacha20Poly1305Sha256 = 0x1303 "TLS_CHACHA20_POLY1305_SHA256",
        /// AES-256-GCM in TLS 1.2 with an ECDSA or EdDSA certificate.
        EcdheEcdsaAes256GcmSha384 = 0xc02c "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        /// AES-128-GCM in TLS 1.2 with an ECDSA or EdDSA certificate.
        EcdheEcdsaAes128GcmSha256 = 0xc02b "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        /// ChaCha20-Poly1305 in TLS 1.2 with an ECDSA or EdDSA certificate.
        EcdheEcdsaChacha20Poly1305Sha256 = 0xcca9
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        /// AES-256-GCM in TLS 1.2 with an RSA certificate.
        EcdheRsaAes256GcmSha384 = 0xc030 "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        /// AES-128-GCM in TLS 1.2 with an RSA certificate.
        EcdheRsaAes128GcmSha256 = 0xc02f "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        /// ChaCha20-Poly1305 in TLS 1.2 with an RSA certificate.
        EcdheRsaChacha20Poly1305Sha256 = 0xcca8 "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    }
}

impl CipherSuite {
    /// The only version of TLS that has the suite.
    pub const fn version(self) -> TlsVersion {
        match self {
            CipherSuite::Aes256GcmSha384
            | CipherSuite::Aes128GcmSha256
            | CipherSuite::Chacha20Poly1305Sha256 => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        }
    }
}

registered! {
    /// A signature algorithm, which the protocol calls a signature scheme.
    SignatureAlgorithm, "signature algorithm" {
        /// ECDSA on P-256 with SHA-256.
        EcdsaSecp256r1Sha256 = 0x0403 "ecdsa_secp256r1_sha256",
        /// ECDSA on P-384 with SHA-384.
        EcdsaSecp384r1Sha384 = 0x0503 "ecdsa_secp384r1_sha384",
        /// ECDSA on P-521 with SHA-512.
        EcdsaSecp521r1Sha512 = 0x0603 "ecdsa_secp521r1_sha512",
        /// Ed25519.
        Ed25519 = 0x0807 "ed25519",
        /// RSA-PSS with SHA-256 and a plain RSA key.
        RsaPssRsaeSha256 = 0x0804 "rsa_pss_rsae_sha256",
        /// RSA-PSS with SHA-384 and a plain RSA key.
        RsaPssRsaeSha384 = 0x0805 "rsa_pss_rsae_sha384",
        /// RSA-PSS with SHA-512 and a plain RSA key.
        RsaPssRsaeSha512 = 0x0806 "rsa_pss_rsae_sha512",
        /// RSA by PKCS #1 version 1.5 with SHA-256.
        RsaPkcs1Sha256 = 0x0401 "rsa_pkcs1_sha256",
        /// RSA by PKCS #1 version 1.5 with SHA-384.
        RsaPkcs1Sha384 = 0x0501 "rsa_pkcs1_sha384",
        /// RSA by PKCS #1 version 1.5 with SHA-512.
        RsaPkcs1Sha512 = 0x0601 "rsa_pkcs1_sha512",
        /// ML-DSA-44.
        MlDsa44 = 0x0904 "mldsa44",
        /// ML-DSA-65.
        MlDsa65 = 0x0905 "mldsa65",
        /// ML-DSA-87.
        MlDsa87 = 0x0906 "mldsa87",
    }
}

impl SignatureAlgorithm {
    /// Whether this version of TLS lets the handshake be signed so.
    pub const fn is_usable(self, version: TlsVersion) -> bool {
        use SignatureAlgorithm as A;
        match version {
            TlsVersion::Tls12 => !matches!(self, A::MlDsa44 | A::MlDsa65 | A::MlDsa87),
            // RFC 8446 §4.2.3: PKCS #1 version 1.5 is left for signatures in certificates only.
            TlsVersion::Tls13 => !matches!(
                self,
                A::RsaPkcs1Sha256 | A::RsaPkcs1Sha384 | A::RsaPkcs1Sha512
            ),
        }
    }
}

/// The text is not the name of an algorithm that is supported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not the name of a supported {noun}; supported are {}", supported.join(", "))]
#[non_exhaustive]
pub struct UnknownAlgorithm {
    /// The text.
    pub name: String,
    /// What it should have named.
    pub noun: &'static str,
    /// The names that are supported.
    pub supported: &'static [&'static str],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_number_leads_back_to_its_value() {
        for group in Group::ALL {
            assert_eq!(group.as_str().to_ascii_uppercase().parse(), Ok(*group));
            assert_eq!(Group::from_code(group.code()), Some(*group));
        }
        for suite in CipherSuite::ALL {
            assert_eq!(suite.as_str().to_ascii_lowercase().parse(), Ok(*suite));
            assert_eq!(CipherSuite::from_code(suite.code()), Some(*suite));
        }
        for algorithm in SignatureAlgorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(*algorithm));
            assert_eq!(
                SignatureAlgorithm::from_code(algorithm.code()),
                Some(*algorithm)
            );
        }
        assert_eq!(Group::from_code(0), None);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_supported_ones() {
        let error = "secp521r1".parse::<Group>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"secp521r1\" is not the name of a supported group; supported are X25519MLKEM768, \
             SecP256r1MLKEM768, x25519, secp256r1, secp384r1, MLKEM768, MLKEM1024"
        );
        assert!(
            "TLS_RSA_WITH_AES_128_CBC_SHA"
                .parse::<CipherSuite>()
                .is_err()
        );
        assert!("rsa_pkcs1_sha1".parse::<SignatureAlgorithm>().is_err());
    }

    #[test]
    fn values_are_serialised_by_name() {
        let text = serde_json::to_string(&[Group::X25519, Group::X25519MlKem768]).unwrap();
        assert_eq!(text, r#"["x25519","X25519MLKEM768"]"#);
        let suite: CipherSuite = serde_json::from_str("\"TLS_AES_128_GCM_SHA256\"").unwrap();
        assert_eq!(suite, CipherSuite::Aes128GcmSha256);
    }

    #[test]
    fn algorithms_read_well() {
        let mut algorithms = Algorithms::default();
        assert_eq!(algorithms.to_string(), "any algorithm");
        algorithms.groups = vec![Group::X25519, Group::Secp256r1];
        algorithms.signature_algorithms = vec![SignatureAlgorithm::Ed25519];
        assert_eq!(
            algorithms.to_string(),
            "groups x25519 secp256r1; signature algorithms ed25519"
        );
    }
}
