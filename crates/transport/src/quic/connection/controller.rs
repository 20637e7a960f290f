//! The congestion controller of a path: an algorithm, and what goes for each of them.
//!
//! Invariant: the algorithm hears of everything; only the window that is told may be another one.

use super::bursts::Bursts;
use super::early_window::Until;
use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// A factory of algorithms.
pub(in crate::quic) type Factory = Arc<dyn ControllerFactory + Send + Sync>;

/// Makes the controllers of one connection's paths.
pub(in crate::quic) struct PathFactory {
    pub(in crate::quic) algorithm: Factory,
    /// How long the window does not shrink.
    pub(in crate::quic) until: Until,
    /// How many packets leave together.
    pub(in crate::quic) burst_packets: u8,
}

impl ControllerFactory for PathFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(PathController {
            algorithm: Arc::clone(&self.algorithm).build(now, current_mtu),
            until: self.until.clone(),
            bursts: Bursts::new(self.burst_packets, current_mtu),
        })
    }
}

pub(super) struct PathController {
    pub(super) algorithm: Box<dyn Controller>,
    pub(super) until: Until,
    pub(super) bursts: Bursts,
}

impl PathController {
    /// The window, which at first is not smaller than the initial one.
    fn widened(&self, window: u64) -> u64 {
        match self.until.is_over() {
            true => window,
            false => window.max(self.algorithm.initial_window()),
        }
    }
}

impl Controller for PathController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.algorithm.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.until.on_acknowledged(bytes);
        self.bursts.on_acknowledged(sent);
        self.algorithm.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.algorithm
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
        self.bursts.decide(&*self.algorithm, in_flight, app_limited);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.bursts.on_lost(now);
        self.algorithm
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.bursts.on_mtu_update(new_mtu);
        self.algorithm.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.widened(match self.bursts.is_held() {
            true => 0,
            false => self.algorithm.window(),
        })
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.algorithm.metrics();
        metrics.congestion_window = self.widened(metrics.congestion_window);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(PathController {
            algorithm: self.algorithm.clone_box(),
            until: self.until.clone(),
            bursts: self.bursts.on_another_path(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.algorithm.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
