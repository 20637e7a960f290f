//! What can be said of TLS parameters before any packet.
//!
//! Invariant: a parameter that cannot act is refused here with its reason, never passed over.

use super::{TlsParameters, TlsVersion};
use crate::failure::{Failure, FailureKind, Origin};

impl TlsParameters {
    /// Whether the parameters can be used together.
    ///
    /// # Errors
    /// What is wrong, the first thing only.
    pub fn check(&self) -> Result<(), Failure> {
        if let Some(key) = &self.pre_shared_key {
            let identity = key.identity().escape_ascii();
            return Err(Failure::new(
                Origin::Local,
                FailureKind::Unsupported,
                format!(
                    "the pre-shared key {identity} cannot be used: the TLS library knows only keys \
                     from its own earlier sessions"
                ),
            ));
        }
        if self.usable_versions().next().is_some() {
            return Ok(());
        }
        let bounds = format!("from {} to {}", self.min_version, self.max_version);
        let detail = match self.versions_in_bounds().next_back() {
            None => format!("there is no TLS version {bounds}"),
            Some(newest) => {
                let restricted = self.algorithms.obstacle(newest).unwrap_or("algorithms");
                format!("no TLS version {bounds} works with the {restricted} that are allowed")
            }
        };
        Err(Failure::new(
            Origin::Local,
            FailureKind::InvalidRequest,
            detail,
        ))
    }

    /// The versions within the bounds for which every list of algorithms has something to offer,
    /// the oldest first.
    pub fn usable_versions(&self) -> impl DoubleEndedIterator<Item = TlsVersion> + '_ {
        self.versions_in_bounds()
            .filter(|version| self.algorithms.obstacle(*version).is_none())
    }

    fn versions_in_bounds(&self) -> impl DoubleEndedIterator<Item = TlsVersion> + '_ {
        TlsVersion::ALL
            .iter()
            .copied()
            .filter(|version| (self.min_version..=self.max_version).contains(version))
    }
}

#[cfg(test)]
mod tests {
    use crate::failure::FailureKind;
    use crate::security::{
        CipherSuite, Group, PreSharedKey, SignatureAlgorithm, TlsParameters, TlsVersion,
    };

    fn versions(parameters: &TlsParameters) -> Vec<TlsVersion> {
        parameters.usable_versions().collect()
    }

    #[test]
    fn algorithms_narrow_the_versions() {
        let tls = TlsParameters::default;
        assert_eq!(versions(&tls()), TlsVersion::ALL);
        for narrowed in [
            tls().with_groups([Group::X25519MlKem768, Group::MlKem1024]),
            tls().with_cipher_suites([CipherSuite::Aes128GcmSha256]),
            tls().with_signature_algorithms([SignatureAlgorithm::MlDsa65]),
        ] {
            assert_eq!(versions(&narrowed), [TlsVersion::Tls13]);
        }
        for narrowed in [
            tls().with_cipher_suites([CipherSuite::EcdheRsaAes128GcmSha256]),
            tls().with_signature_algorithms([SignatureAlgorithm::RsaPkcs1Sha256]),
        ] {
            assert_eq!(versions(&narrowed), [TlsVersion::Tls12]);
        }
        let both = tls().with_groups([Group::X25519MlKem768, Group::X25519]);
        assert_eq!(versions(&both), TlsVersion::ALL);
    }

    #[test]
    fn what_leaves_no_version_is_refused_by_name() {
        let tls12 = TlsParameters::default().with_max_version(TlsVersion::Tls12);
        for (parameters, named) in [
            (tls12.clone().with_groups([Group::MlKem768]), "groups"),
            (
                tls12
                    .clone()
                    .with_cipher_suites([CipherSuite::Aes128GcmSha256]),
                "cipher suites",
            ),
            (
                tls12.with_signature_algorithms([SignatureAlgorithm::MlDsa44]),
                "signature algorithms",
            ),
        ] {
            let failure = parameters.check().unwrap_err();
            assert_eq!(failure.kind, FailureKind::InvalidRequest);
            assert_eq!(
                failure.detail,
                format!(
                    "no TLS version from TLS 1.2 to TLS 1.2 works with the {named} that are allowed"
                )
            );
        }
    }

    #[test]
    fn a_pre_shared_key_is_refused_and_stays_secret() {
        let key = PreSharedKey::new("device 7", "hush");
        let parameters = TlsParameters::default().with_pre_shared_key(key);
        let failure = parameters.check().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unsupported);
        assert!(failure.detail.contains("device 7"), "{failure}");
        assert!(!failure.detail.contains("hush"), "{failure}");
        assert!(!format!("{parameters:?}").contains("hush"));
    }
}
