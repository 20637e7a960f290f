//! A congestion window that leaves room for the end of a handshake.
//!
//! Invariant: until the handshake is confirmed, or more is acknowledged than handshakes have, the
//! window is not smaller than it was at first; afterwards it is the controller's own. A path that
//! is new begins anew.

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

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

    fn is_over(&self) -> bool {
        match self {
            Until::Confirmed(confirmed) => confirmed.is_set(),
            Until::Acknowledged(bytes) => *bytes == 0,
        }
    }
}

/// A factory of controllers with the window of another one.
pub(in crate::quic) type Factory = Arc<dyn ControllerFactory + Send + Sync>;

/// Makes controllers whose window does not shrink at first.
pub(in crate::quic) struct EarlyFactory {
    pub(in crate::quic) inner: Factory,
    pub(in crate::quic) until: Until,
}

impl ControllerFactory for EarlyFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(EarlyWindow {
            inner: Arc::clone(&self.inner).build(now, current_mtu),
            until: self.until.clone(),
        })
    }
}

struct EarlyWindow {
    inner: Box<dyn Controller>,
    until: Until,
}

impl Controller for EarlyWindow {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        if let Until::Acknowledged(rest) = &mut self.until {
            *rest = rest.saturating_sub(bytes);
        }
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        let window = self.inner.window();
        match self.until.is_over() {
            true => window,
            false => window.max(self.inner.initial_window()),
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        if !self.until.is_over() {
            let initial = self.inner.initial_window();
            metrics.congestion_window = metrics.congestion_window.max(initial);
        }
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(EarlyWindow {
            inner: self.inner.clone_box(),
            until: self.until.clone(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
