//! A congestion window that opens for several packets at once.
//!
//! Invariant: nothing is held back but while two thirds of the window are in flight, whose
//! acknowledgements decide anew, and never in slow start or while losses are repaired. Decision
//! 0022.

use super::early_window::Factory;
use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};
use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

/// Makes controllers with the window of another one.
pub(in crate::quic) struct BurstFactory {
    pub(in crate::quic) inner: Factory,
    /// How many packets leave together.
    pub(in crate::quic) packets: u8,
}

impl ControllerFactory for BurstFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Bursts {
            inner: Arc::clone(&self.inner).build(now, current_mtu),
            packets: self.packets.into(),
            mtu: current_mtu.into(),
            is_held: false,
            reduced: None,
        })
    }
}

struct Bursts {
    inner: Box<dyn Controller>,
    packets: u64,
    mtu: u64,
    /// Whether what is there to be sent waits for more room.
    is_held: bool,
    /// When the window shrank, until something is acknowledged that was sent after it.
    reduced: Option<Instant>,
}

impl Bursts {
    /// Whether to wait for more room than there is.
    fn holds(&self, in_flight: u64, app_limited: bool) -> bool {
        if app_limited || self.reduced.is_some() {
            return false;
        }
        let metrics = self.inner.metrics();
        let window = metrics.congestion_window;
        let avoids = metrics.ssthresh.is_some_and(|it| window >= it);
        let burst = (self.packets * self.mtu).min(window / 3);
        avoids && window.saturating_sub(in_flight) <= burst
    }
}

impl Controller for Bursts {
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
        self.reduced.take_if(|reduced| sent > *reduced);
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
        self.is_held = self.holds(in_flight, app_limited);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.reduced = Some(now);
        self.is_held = false;
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu.into();
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        match self.is_held {
            true => 0,
            false => self.inner.window(),
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Bursts {
            inner: self.inner.clone_box(),
            // On another path nothing is in flight.
            is_held: false,
            ..*self
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic::connection::CubicFactory;
    use std::time::Duration;

    const MTU: u64 = 1200;

    /// A window of ten packets, which shrinks to seven by a loss.
    fn bursts(packets: u8) -> Box<dyn Controller> {
        let inner: Factory = Arc::new(CubicFactory);
        Arc::new(BurstFactory { inner, packets }).build(Instant::now(), MTU as u16)
    }

    /// In congestion avoidance, with what was lost repaired.
    fn after_loss(packets: u8) -> Bursts {
        let start = Instant::now();
        let mut inner: Box<dyn Controller> = Arc::new(CubicFactory).build(start, MTU as u16);
        inner.on_congestion_event(start, start, false, MTU);
        Bursts {
            inner,
            packets: packets.into(),
            mtu: MTU,
            is_held: false,
            reduced: None,
        }
    }

    fn acknowledge(controller: &mut dyn Controller, in_flight_packets: u64, app_limited: bool) {
        controller.on_end_acks(Instant::now(), in_flight_packets * MTU, app_limited, None);
    }

    #[test]
    fn a_full_window_opens_when_a_burst_has_room() {
        let mut bursts = after_loss(2);
        acknowledge(&mut bursts, 6, false);
        assert_eq!(bursts.window(), 0);
        acknowledge(&mut bursts, 5, false);
        assert_eq!(
            bursts.window(),
            0,
            "the window is never filled to the last byte"
        );
        acknowledge(&mut bursts, 4, false);
        assert_eq!(bursts.window(), 7 * MTU);
    }

    #[test]
    fn a_third_of_the_window_is_waited_for_at_most() {
        let mut bursts = after_loss(100);
        acknowledge(&mut bursts, 5, false);
        assert_eq!(bursts.window(), 0);
        acknowledge(&mut bursts, 4, false);
        assert_eq!(bursts.window(), 7 * MTU);
    }

    #[test]
    fn the_metrics_tell_the_window_while_it_is_held() {
        let mut bursts = after_loss(3);
        acknowledge(&mut bursts, 6, false);
        assert_eq!(bursts.window(), 0);
        assert_eq!(bursts.metrics().congestion_window, 7 * MTU);
    }

    #[test]
    fn an_application_that_leaves_room_is_not_held_up() {
        let mut bursts = after_loss(3);
        acknowledge(&mut bursts, 6, true);
        assert_eq!(bursts.window(), 7 * MTU);
    }

    #[test]
    fn slow_start_holds_nothing() {
        let mut bursts = bursts(3);
        acknowledge(&mut *bursts, 9, false);
        assert_eq!(bursts.window(), 10 * MTU);
    }

    #[test]
    fn what_was_lost_is_sent_as_soon_as_there_is_room() {
        let mut bursts = after_loss(3);
        acknowledge(&mut bursts, 6, false);
        let lost = Instant::now() + Duration::from_millis(1);
        bursts.on_congestion_event(lost, lost, false, MTU);
        assert!(bursts.window() > 0);
        acknowledge(&mut bursts, 4, false);
        assert!(
            bursts.window() > 0,
            "until what was sent afterwards is acknowledged"
        );
        bursts.reduced = None;
        acknowledge(&mut bursts, 4, false);
        assert_eq!(bursts.window(), 0);
    }

    #[test]
    fn another_path_begins_open() {
        let mut bursts = after_loss(3);
        acknowledge(&mut bursts, 6, false);
        assert_eq!(bursts.clone_box().window(), 7 * MTU);
    }
}
