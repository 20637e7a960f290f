//! Who this side is: certificates with a key that is held here or never leaves its module.
//!
//! Invariant: nothing here shows what a key is.

use super::SignatureAlgorithm;
use crate::failure::Failure;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;

/// A certificate chain with its private key.
#[non_exhaustive]
pub struct Identity {
    /// End entity first, then intermediates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the end entity.
    pub key: IdentityKey,
}

impl Identity {
    /// An identity of a chain, end entity first, and a key: a [`PrivateKeyDer`] or an `Arc` of a
    /// [`SigningKey`].
    pub fn new(chain: Vec<CertificateDer<'static>>, key: impl Into<IdentityKey>) -> Self {
        Identity {
            chain,
            key: key.into(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({} certificates)", self.chain.len())
    }
}

/// Where the private key of an identity is.
#[non_exhaustive]
pub enum IdentityKey {
    /// Here.
    Der(PrivateKeyDer<'static>),
    /// In a module that signs and gives the key to nobody (RFC 9622 §6.3.2).
    Signing(Arc<dyn SigningKey>),
}

impl IdentityKey {
    /// Whether both are the same key; modules are compared by handle.
    pub fn is_same(&self, other: &IdentityKey) -> bool {
        match (self, other) {
            (IdentityKey::Der(a), IdentityKey::Der(b)) => a == b,
            (IdentityKey::Signing(a), IdentityKey::Signing(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IdentityKey::Der(_) => "Der",
            IdentityKey::Signing(_) => "Signing",
        })
    }
}

impl From<PrivateKeyDer<'static>> for IdentityKey {
    fn from(key: PrivateKeyDer<'static>) -> Self {
        IdentityKey::Der(key)
    }
}

impl From<Arc<dyn SigningKey>> for IdentityKey {
    fn from(key: Arc<dyn SigningKey>) -> Self {
        IdentityKey::Signing(key)
    }
}

impl<K: SigningKey + 'static> From<Arc<K>> for IdentityKey {
    fn from(key: Arc<K>) -> Self {
        IdentityKey::Signing(key)
    }
}

/// A private key that signs where it is, such as in a hardware security module.
///
/// The handshake waits for a signature, and so does everything else on its thread: what takes
/// longer than a signature usually does must not be done here.
pub trait SigningKey: Send + Sync {
    /// How the key can sign, the preferred algorithm first. All are of one kind of key.
    fn algorithms(&self) -> &[SignatureAlgorithm];

    /// Signs a message, which is not hashed yet, in the form that TLS gives to signatures of this
    /// algorithm.
    ///
    /// # Errors
    /// The module cannot or will not sign; the connection then fails with this.
    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, Failure>;
}

/// A key that both sides know beforehand, with the identity by which the peer finds it
/// (RFC 9622 §6.3.7).
#[derive(Clone, PartialEq, Eq)]
pub struct PreSharedKey {
    identity: Vec<u8>,
    key: Vec<u8>,
}

impl PreSharedKey {
    /// A key with its identity.
    pub fn new(identity: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        PreSharedKey {
            identity: identity.into(),
            key: key.into(),
        }
    }

    /// The identity.
    pub fn identity(&self) -> &[u8] {
        &self.identity
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PreSharedKey({})", self.identity.escape_ascii())
    }
}
