//! A congestion window that leaves room for the end of a handshake.
//!
//! Invariant: until the handshake is confirmed, or more is acknowledged than handshakes have, the
//! window is not smaller than it was at first; afterwards it is the controller's own. A path that
//! is new begins anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the handshake of one connection is confirmed.
// A client cannot read the acknowledgements of its early data before the handshake has ended, and
// the server does not repeat them. Losses meanwhile would shrink the window below what is in
// flight, and the client's last flight would wait for ever: only probes go out then.
#[derive(Clone, Default)]
pub(in crate::quic) struct Confirmed(Arc<AtomicBool>);

impl Confirmed {
    pub(in crate::quic) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long a window does not shrink.
#[derive(Clone)]
pub(in crate::quic) enum Until {
    /// Until the handshake is confirmed.
    Confirmed(Confirmed),
    /// Until so many bytes more are acknowledged.
    // Losses of a handshake could leave its first flight to be sent again with nothing of it in
    // flight, while probes of its second flight fill the window: RFC 9002 §6.2.4 has probes of all
    // flights go out together, quinn-proto sends those of one, and the handshake stands still.
    Acknowledged(u64),
}

impl Until {
    /// Until more is acknowledged than the handshakes of most have: some certificates are large.
    pub(in crate::quic) const HANDSHAKE: Until = Until::Acknowledged(16 << 10);

    pub(super) fn on_acknowledged(&mut self, bytes: u64) {
        if let Until::Acknowledged(rest) = self {
            *rest = rest.saturating_sub(bytes);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Until::Confirmed(confirmed) => confirmed.is_set(),
            Until::Acknowledged(bytes) => *bytes == 0,
        }
    }
}
