//! A congestion window that opens for several packets at once.
//!
//! Invariant: nothing is held back but while two thirds of the window are in flight, whose
//! acknowledgements decide anew, and never in slow start or while losses are repaired. Decision
//! 0022.

use quinn_proto::congestion::Controller;
use std::time::Instant;

/// What holds back a window that is full.
pub(super) struct Bursts {
    /// How many packets leave together.
    packets: u64,
    mtu: u64,
    /// Whether what is there to be sent waits for more room.
    is_held: bool,
    /// When the window shrank, until something is acknowledged that was sent after it.
    reduced: Option<Instant>,
}

impl Bursts {
    pub(super) fn new(packets: u8, mtu: u16) -> Self {
        Bursts {
            packets: packets.into(),
            mtu: mtu.into(),
            is_held: false,
            reduced: None,
        }
    }

    /// Something is acknowledged that was sent then.
    pub(super) fn on_acknowledged(&mut self, sent: Instant) {
        self.reduced.take_if(|reduced| sent > *reduced);
    }

    pub(super) fn on_lost(&mut self, now: Instant) {
        self.reduced = Some(now);
        self.is_held = false;
    }

    pub(super) fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu.into();
    }

    /// Holds the window back or opens it, with so many bytes in flight.
    pub(super) fn decide(&mut self, algorithm: &dyn Controller, in_flight: u64, app_limited: bool) {
        self.is_held = self.holds(algorithm, in_flight, app_limited);
    }

    /// Whether to wait for more room than there is.
    fn holds(&self, algorithm: &dyn Controller, in_flight: u64, app_limited: bool) -> bool {
        if self.packets < 2 || app_limited || self.reduced.is_some() {
            return false;
        }
        let metrics = algorithm.metrics();
        let window = metrics.congestion_window;
        let avoids = metrics.ssthresh.is_some_and(|it| window >= it);
        let burst = (self.packets * self.mtu).min(window / 3);
        avoids && window.saturating_sub(in_flight) <= burst
    }

    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    /// The same where nothing is in flight.
    pub(super) fn on_another_path(&self) -> Self {
        Bursts {
            is_held: false,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic::connection::CubicFactory;
    use crate::quic::connection::controller::PathController;
    use crate::quic::connection::early_window::Until;
    use quinn_proto::congestion::ControllerFactory;
    use std::sync::Arc;
    use std::time::Duration;

    const MTU: u64 = 1200;

    /// A window of ten packets, which shrinks to seven by a loss.
    fn bursts(packets: u8) -> PathController {
        PathController {
            algorithm: Arc::new(CubicFactory).build(Instant::now(), MTU as u16),
            until: Until::Acknowledged(0),
            bursts: Bursts::new(packets, MTU as u16),
        }
    }

    /// In congestion avoidance, with what was lost repaired.
    fn after_loss(packets: u8) -> PathController {
        let mut controller = bursts(packets);
        let start = Instant::now();
        controller.on_congestion_event(start, start, false, MTU);
        controller.bursts.reduced = None;
        controller
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
    fn one_packet_is_no_burst() {
        for packets in [0, 1] {
            let mut bursts = after_loss(packets);
            acknowledge(&mut bursts, 7, false);
            assert_eq!(bursts.window(), 7 * MTU);
        }
    }

    #[test]
    fn slow_start_holds_nothing() {
        let mut bursts = bursts(3);
        acknowledge(&mut bursts, 9, false);
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
        bursts.bursts.reduced = None;
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
