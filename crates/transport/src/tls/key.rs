//! Private keys as rustls wants them: its own, or a module's that only signs.
//!
//! Invariant: no key signs with an algorithm that is not allowed.

use super::algorithm::{self, Allowed};
use super::classify;
use super::observed::{Observed, Refusal};
use portway_core::security::{Identity, IdentityKey, SignatureAlgorithm, SigningKey};
use portway_core::{Failure, FailureKind, Origin};
use rustls::sign::{CertifiedKey, Signer};
use rustls::{AlertDescription, Error, SignatureScheme};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// An identity, ready for handshakes.
pub(super) fn certified(identity: &Identity, allowed: &Allowed) -> Result<CertifiedKey, Failure> {
    let invalid = |detail: &str| Failure::new(Origin::Local, FailureKind::InvalidRequest, detail);
    if identity.chain.is_empty() {
        return Err(invalid("the identity has no certificate"));
    }
    let mut certified = match &identity.key {
        IdentityKey::Der(key) => {
            CertifiedKey::from_der(identity.chain.clone(), key.clone_key(), &allowed.provider)
                .map_err(|error| classify::configuration(&error))?
        }
        IdentityKey::Signing(key) => {
            let key = Arc::new(ModuleKey(Arc::clone(key)));
            CertifiedKey::new(identity.chain.clone(), key)
        }
        _ => return Err(invalid("the identity's key is of an unknown kind")),
    };
    if certified.key.choose_scheme(&allowed.schemes).is_none() {
        return Err(invalid(
            "the identity's key can sign with none of the signature algorithms that are allowed",
        ));
    }
    certified.key = Arc::new(RestrictedKey {
        key: certified.key,
        allowed: allowed.clone(),
    });
    Ok(certified)
}

/// The identities that a callback has chosen lately, so that each is prepared once.
#[derive(Debug, Default)]
pub(super) struct KeyCache(Mutex<VecDeque<Prepared>>);

#[derive(Debug)]
struct Prepared {
    identity: Arc<Identity>,
    key: Arc<CertifiedKey>,
}

impl KeyCache {
    /// As [`certified`], but remembers; two identities are the same when their `Arc` is.
    pub(super) fn certified(
        &self,
        identity: &Arc<Identity>,
        allowed: &Allowed,
    ) -> Result<Arc<CertifiedKey>, Failure> {
        // A panic while holding the lock leaves a cache that is merely incomplete.
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = recent.iter().find(|it| Arc::ptr_eq(&it.identity, identity)) {
            return Ok(Arc::clone(&known.key));
        }
        let key = Arc::new(certified(identity, allowed)?);
        recent.truncate(PREPARED_MAX - 1);
        recent.push_front(Prepared {
            identity: Arc::clone(identity),
            key: Arc::clone(&key),
        });
        Ok(key)
    }
}

/// Keeps a key from signing with what is not allowed.
#[derive(Debug)]
struct RestrictedKey {
    key: Arc<dyn rustls::sign::SigningKey>,
    allowed: Allowed,
}

impl rustls::sign::SigningKey for RestrictedKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.key.choose_scheme(&self.allowed.schemes_of(offered))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.key.public_key()
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        self.key.algorithm()
    }
}

/// A key that stays in its module.
struct ModuleKey(Arc<dyn SigningKey>);

impl fmt::Debug for ModuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModuleKey")
    }
}

impl rustls::sign::SigningKey for ModuleKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let algorithm = self
            .0
            .algorithms()
            .iter()
            .copied()
            .find(|it| offered.contains(&algorithm::scheme(*it)))?;
        Some(Box::new(ModuleSigner {
            key: Arc::clone(&self.0),
            algorithm,
        }))
    }

    /// What cipher suites of TLS 1.2 the key fits.
    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        use SignatureAlgorithm as A;
        match self.0.algorithms().first() {
            Some(A::EcdsaSecp256r1Sha256 | A::EcdsaSecp384r1Sha384 | A::EcdsaSecp521r1Sha512) => {
                rustls::SignatureAlgorithm::ECDSA
            }
            Some(A::Ed25519) => rustls::SignatureAlgorithm::ED25519,
            Some(
                A::RsaPssRsaeSha256
                | A::RsaPssRsaeSha384
                | A::RsaPssRsaeSha512
                | A::RsaPkcs1Sha256
                | A::RsaPkcs1Sha384
                | A::RsaPkcs1Sha512,
            ) => rustls::SignatureAlgorithm::RSA,
            // The others are of TLS 1.3 alone, which does not ask.
            _ => rustls::SignatureAlgorithm::Unknown(0),
        }
    }
}

struct ModuleSigner {
    key: Arc<dyn SigningKey>,
    algorithm: SignatureAlgorithm,
}

impl fmt::Debug for ModuleSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleSigner({})", self.algorithm)
    }
}

impl Signer for ModuleSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.key.sign(self.algorithm, message).map_err(|failure| {
            Observed::note(|observed| {
                observed.refusal = Some(Refusal {
                    failure,
                    alert: AlertDescription::InternalError,
                });
            });
            Error::General("the key's module did not sign".into())
        })
    }

    fn scheme(&self) -> SignatureScheme {
        algorithm::scheme(self.algorithm)
    }
}

/// More identities than this are prepared again when they are chosen again.
const PREPARED_MAX: usize = 16;
