//! The two callbacks of a handshake (RFC 9622 §6.3.8), as opaque handles.
//!
//! Invariant: two handles are equal only when one is a clone of the other. A callback stays with
//! its number for the life of the process, so nothing is ever shared between two of them.

use super::{Identity, SignatureAlgorithm};
use crate::failure::Failure;
use rustls_pki_types::CertificateDer;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Asks the application whether it trusts a peer that has shown its certificates.
///
/// The handshake waits for the answer, and so does everything else on its thread: a callback must
/// not block. It is asked on either side, by a server for the certificates of its clients. A
/// session that is resumed was vouched for when it was new and is not asked about again; whoever
/// wants to be asked each time switches resumption off.
#[derive(Clone)]
pub struct TrustCallback {
    number: u64,
    call: Arc<TrustFunction>,
}

type TrustFunction = dyn Fn(&TrustQuestion<'_>) -> TrustDecision + Send + Sync;

impl TrustCallback {
    /// A callback.
    pub fn new(call: impl Fn(&TrustQuestion<'_>) -> TrustDecision + Send + Sync + 'static) -> Self {
        TrustCallback {
            number: next_number(),
            call: Arc::new(call),
        }
    }

    /// Asks.
    pub fn ask(&self, question: &TrustQuestion<'_>) -> TrustDecision {
        (self.call)(question)
    }
}

/// What is known of a peer when its trust is decided.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TrustQuestion<'a> {
    /// What [`Trust`](super::Trust) makes of the certificates, or why they are not acceptable.
    pub chain_result: Result<(), &'a Failure>,
    /// The peer's own certificate.
    pub end_entity: &'a CertificateDer<'a>,
    /// Whatever other certificates it sent, in its order.
    pub intermediates: &'a [CertificateDer<'a>],
    /// The host name or address that a server must prove; a client proves none.
    pub server_name: Option<&'a str>,
    /// The response about revocation that a server sent along (RFC 6066 §8). Nothing has checked
    /// it.
    pub stapled_ocsp: Option<&'a [u8]>,
}

impl<'a> TrustQuestion<'a> {
    /// A question about a peer that showed no more than its own certificate.
    pub fn new(end_entity: &'a CertificateDer<'a>, chain_result: Result<(), &'a Failure>) -> Self {
        TrustQuestion {
            chain_result,
            end_entity,
            intermediates: &[],
            server_name: None,
            stapled_ocsp: None,
        }
    }
}

/// The application's answer to a [`TrustQuestion`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustDecision {
    /// The result of the chain stands.
    AsChain,
    /// The peer is trusted, whatever the result of the chain is.
    Accept,
    /// The peer is not trusted, for this reason.
    Reject(String),
}

/// Asks the application which identity to show to a peer that wants one.
///
/// The handshake waits for the answer, and so does everything else on its thread: a callback must
/// not block. Where it returns `None`, the identity among the parameters is shown, if there is
/// one. A server that corrects its client's choice of a group is asked twice.
#[derive(Clone)]
pub struct ChallengeCallback {
    number: u64,
    call: Arc<ChallengeFunction>,
}

type ChallengeFunction = dyn Fn(&IdentityChallenge<'_>) -> Option<Arc<Identity>> + Send + Sync;

impl ChallengeCallback {
    /// A callback. Identities are prepared once and kept for a while, so it is cheaper to return
    /// clones of the same one than to make it anew each time.
    pub fn new(
        call: impl Fn(&IdentityChallenge<'_>) -> Option<Arc<Identity>> + Send + Sync + 'static,
    ) -> Self {
        ChallengeCallback {
            number: next_number(),
            call: Arc::new(call),
        }
    }

    /// Asks.
    pub fn ask(&self, challenge: &IdentityChallenge<'_>) -> Option<Arc<Identity>> {
        (self.call)(challenge)
    }
}

/// What a peer said when it asked for an identity.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum IdentityChallenge<'a> {
    /// A server asks its client.
    ByServer {
        /// The names of the authorities that it accepts, DER-encoded; empty if it did not say.
        authorities: &'a [&'a [u8]],
        /// How the handshake may be signed, as far as portway knows the algorithms.
        signature_algorithms: &'a [SignatureAlgorithm],
    },
    /// A client asks the server that it connects to.
    ByClient {
        /// The name that it wants to talk to.
        server_name: Option<&'a str>,
        /// The application protocols that it offers.
        alpn: &'a [&'a [u8]],
        /// How the handshake may be signed, as far as portway knows the algorithms.
        signature_algorithms: &'a [SignatureAlgorithm],
    },
}

macro_rules! told_apart_by_number {
    ($($type:ident $noun:literal),+) => {$(
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.number == other.number
            }
        }

        impl Eq for $type {}

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($noun, " #{}"), self.number)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self.number)
            }
        }
    )+};
}

told_apart_by_number!(TrustCallback "trust callback", ChallengeCallback "challenge callback");

/// Numbers rather than addresses: an address may serve again when a callback is gone.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_equals_its_clones_and_nothing_else() {
        let make = || TrustCallback::new(|_| TrustDecision::AsChain);
        let first = make();
        assert_eq!(first, first.clone());
        assert_ne!(first, make());
        let make = || ChallengeCallback::new(|_| None);
        let first = make();
        assert_eq!(first, first.clone());
        assert_ne!(first, make());
    }
}
