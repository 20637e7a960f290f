//! rustls's algorithms behind the names that portway gives them.
//!
//! Invariant: what is not allowed is neither offered nor accepted, by either side.

use super::key_share;
use portway_core::security::{Algorithms, SignatureAlgorithm};
use rustls::SignatureScheme;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls_pki_types::SignatureVerificationAlgorithm;
use std::sync::{Arc, LazyLock};

/// What a configuration may use.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    /// Groups and cipher suites, and everything else of the library.
    pub(super) provider: Arc<CryptoProvider>,
    /// How handshakes may be signed, the preferred scheme first.
    pub(super) schemes: Arc<[SignatureScheme]>,
    /// How certificates may be signed.
    pub(super) in_chains: Arc<[&'static dyn SignatureVerificationAlgorithm]>,
}

impl Allowed {
    pub(super) fn of(algorithms: &Algorithms) -> Allowed {
        if algorithms.is_automatic() {
            return EVERYTHING.clone();
        }
        Allowed::by_lists(algorithms)
    }

    fn by_lists(algorithms: &Algorithms) -> Allowed {
        let everything = &*EVERYTHING;
        let mut provider = (*everything.provider).clone();
        if !algorithms.groups.is_empty() {
            let codes = algorithms.groups.iter().map(|group| group.code());
            let of_code = |code| {
                let mut all = aws_lc_rs::ALL_KX_GROUPS.iter().copied();
                all.find(|group| u16::from(group.name()) == code)
            };
            let groups = codes.filter_map(of_code);
            provider.kx_groups = groups.map(key_share::stocked).collect();
        }
        if !algorithms.cipher_suites.is_empty() {
            let codes = algorithms.cipher_suites.iter().map(|suite| suite.code());
            let of_code = |code| {
                let mut all = aws_lc_rs::ALL_CIPHER_SUITES.iter().copied();
                all.find(|suite| u16::from(suite.suite()) == code)
            };
            provider.cipher_suites = codes.filter_map(of_code).collect();
        }
        let mapping = provider.signature_verification_algorithms.mapping;
        let (mut schemes, mut in_chains) = (Vec::new(), Vec::new());
        for algorithm in &algorithms.signature_algorithms {
            let entry = mapping.iter().find(|(it, _)| *it == scheme(*algorithm));
            if let Some((scheme, verifying)) = entry {
                schemes.push(*scheme);
                in_chains.extend_from_slice(verifying);
            }
        }
        if algorithms.signature_algorithms.is_empty() {
            Allowed {
                provider: Arc::new(provider),
                ..everything.clone()
            }
        } else {
            Allowed {
                provider: Arc::new(provider),
                schemes: schemes.into(),
                in_chains: in_chains.into(),
            }
        }
    }

    /// The schemes among `offered` that are allowed, in the order of `offered`.
    pub(super) fn schemes_of(&self, offered: &[SignatureScheme]) -> Vec<SignatureScheme> {
        let mut schemes = offered.to_vec();
        schemes.retain(|scheme| self.schemes.contains(scheme));
        schemes
    }
}

pub(super) fn scheme(algorithm: SignatureAlgorithm) -> SignatureScheme {
    SignatureScheme::from(algorithm.code())
}

/// Those of `schemes` that have a name here.
pub(super) fn named(schemes: &[SignatureScheme]) -> Vec<SignatureAlgorithm> {
    let codes = schemes.iter().map(|scheme| u16::from(*scheme));
    codes.filter_map(SignatureAlgorithm::from_code).collect()
}

static EVERYTHING: LazyLock<Allowed> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    for group in &mut provider.kx_groups {
        *group = key_share::stocked(*group);
    }
    let algorithms = provider.signature_verification_algorithms;
    Allowed {
        schemes: algorithms.supported_schemes().into(),
        in_chains: algorithms.all.into(),
        provider: Arc::new(provider),
    }
});

#[cfg(test)]
mod tests {
    use super::*;
    use portway_core::security::{CipherSuite, Group, TlsVersion};
    use rustls::ProtocolVersion;

    fn everything() -> Algorithms {
        let mut all = Algorithms::default();
        all.groups = Group::ALL.to_vec();
        all.cipher_suites = CipherSuite::ALL.to_vec();
        all.signature_algorithms = SignatureAlgorithm::ALL.to_vec();
        all
    }

    #[test]
    fn every_value_that_is_listed_is_the_librarys_and_the_other_way_round() {
        let allowed = Allowed::of(&everything());
        assert_eq!(allowed.provider.kx_groups.len(), Group::ALL.len());
        assert_eq!(Group::ALL.len(), aws_lc_rs::ALL_KX_GROUPS.len());
        assert_eq!(allowed.provider.cipher_suites.len(), CipherSuite::ALL.len());
        assert_eq!(CipherSuite::ALL.len(), aws_lc_rs::ALL_CIPHER_SUITES.len());
        assert_eq!(allowed.schemes.len(), SignatureAlgorithm::ALL.len());
        assert_eq!(allowed.schemes.len(), EVERYTHING.schemes.len());
        assert_eq!(named(&allowed.schemes), SignatureAlgorithm::ALL);
    }

    #[test]
    fn core_and_library_agree_on_versions() {
        let allowed = Allowed::of(&everything());
        for (version, theirs) in [
            (TlsVersion::Tls12, ProtocolVersion::TLSv1_2),
            (TlsVersion::Tls13, ProtocolVersion::TLSv1_3),
        ] {
            for (group, rustls) in Group::ALL.iter().zip(&allowed.provider.kx_groups) {
                assert_eq!(group.is_usable(version), rustls.usable_for_version(theirs));
            }
            for (suite, rustls) in CipherSuite::ALL.iter().zip(&allowed.provider.cipher_suites) {
                assert_eq!(
                    suite.version() == version,
                    rustls.version().version == theirs
                );
            }
        }
    }
}
