//! What rustls's callbacks saw during one handshake.
//!
//! Invariant: a handshake runs only inside [`Observed::during`], on one thread and without a yield,
//! so the callbacks of a shared configuration find the connection that they are called for.

use portway_core::Failure;
use portway_security::ChainError;
use rustls::AlertDescription;
use std::cell::RefCell;

/// Facts that rustls tells its callbacks and nobody else.
#[derive(Default)]
pub(super) struct Observed {
    /// The server name in the client hello (server only).
    pub(super) server_name: Option<String>,
    /// The server asked for a certificate (client only).
    pub(super) is_certificate_requested: bool,
    /// A client that names no application protocol is taken (server only).
    pub(super) may_lack_alpn: bool,
    /// Why the peer's chain was refused.
    pub(super) chain_error: Option<ChainError>,
    /// Why the application does not trust the peer.
    pub(super) distrust: Option<String>,
    /// Why this side ends the handshake.
    pub(super) refusal: Option<Refusal>,
}

/// An end that rustls has no words for.
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// What the peer is told where an alert can be sent.
    pub(super) alert: AlertDescription,
}

impl Observed {
    /// Runs `work` with `self` within reach of [`Observed::note`].
    pub(super) fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        // A callback of the application's may run a handshake of its own.
        let outer = CURRENT.replace(Some(std::mem::take(self)));
        let result = work();
        *self = CURRENT.replace(outer).unwrap_or_default();
        result
    }

    /// Called by the callbacks.
    pub(super) fn note(change: impl FnOnce(&mut Observed)) {
        CURRENT.with_borrow_mut(|current| current.as_mut().map(change));
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Observed>> = const { RefCell::new(None) };
}
