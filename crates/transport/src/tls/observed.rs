//! What rustls's callbacks saw during one handshake.
//!
//! Invariant: a handshake runs only inside [`Observed::during`], on one thread and without a yield,
//! so the callbacks of a shared configuration find the connection that they are called for.

use portway_security::ChainError;
use std::cell::RefCell;

/// Facts that rustls tells its callbacks and nobody else.
#[derive(Default)]
pub(super) struct Observed {
    /// The server name in the client hello (server only).
    pub(super) server_name: Option<String>,
    /// The client offered no application protocol though one is demanded (server only).
    pub(super) is_alpn_missing: bool,
    /// The server asked for a certificate (client only).
    pub(super) is_certificate_requested: bool,
    /// Why the peer's chain was refused.
    pub(super) chain_error: Option<ChainError>,
}

impl Observed {
    /// Runs `work` with `self` within reach of [`Observed::note`].
    pub(super) fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        CURRENT.with_borrow_mut(|current| *current = Some(std::mem::take(self)));
        let result = work();
        *self = CURRENT.with_borrow_mut(Option::take).unwrap_or_default();
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
