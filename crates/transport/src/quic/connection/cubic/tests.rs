//! CUBIC, acknowledgement by acknowledgement.

use super::*;

const MTU: f64 = 1000.0;
const RTT: Duration = Duration::from_millis(50);

/// A window in congestion avoidance whose packets are acknowledged one after the other.
struct Scene {
    cubic: Cubic,
    now: Instant,
}

impl Scene {
    /// So many packets were in flight when one was lost for the first time.
    fn after_loss_at(packets: f64) -> Self {
        let mut cubic = Cubic::new(MTU as u16);
        cubic.window = packets * MTU;
        let mut scene = Scene {
            cubic,
            now: Instant::now(),
        };
        scene.lose();
        scene
    }

    fn lose(&mut self) {
        self.now += RTT;
        self.cubic.on_lost(self.now, self.now, false);
    }

    /// The window is acknowledged once.
    fn pass_round_trip(&mut self) {
        let packets = self.packets().floor();
        for _ in 0..packets as usize {
            self.now += RTT.div_f64(packets);
            self.cubic.on_acknowledged(self.now, MTU, RTT);
        }
    }

    fn packets(&self) -> f64 {
        self.cubic.window / MTU
    }
}

fn assert_near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.1, "{found} for {expected}");
}

#[test]
fn slow_start_adds_what_was_acknowledged() {
    let mut cubic = Cubic::new(1200);
    cubic.on_acknowledged(Instant::now(), 3000.0, RTT);
    assert_eq!(cubic.window(), 15_000);
}

#[test]
fn a_loss_takes_three_tenths() {
    let scene = Scene::after_loss_at(20.0);
    assert_near(scene.packets(), 14.0);
    assert_eq!(scene.cubic.window_max, 20.0 * MTU);
}

#[test]
fn what_was_lost_of_the_same_flight_takes_nothing_more() {
    let mut scene = Scene::after_loss_at(20.0);
    let (before, now) = (scene.now - RTT, scene.now);
    scene.cubic.on_lost(now + RTT / 2, before, false);
    scene.cubic.on_lost(now + RTT / 2, now, false);
    assert_near(scene.packets(), 14.0);
    scene
        .cubic
        .on_lost(now + RTT / 2, now + Duration::from_millis(1), false);
    assert_near(scene.packets(), 9.8);
}

#[test]
fn a_flow_that_shrinks_again_leaves_room_for_others() {
    let mut scene = Scene::after_loss_at(20.0);
    scene.lose();
    assert_near(scene.packets(), 9.8);
    assert_near(scene.cubic.window_max / MTU, 14.0 * 0.85);
}

#[test]
fn a_small_window_grows_as_reno_would_and_as_fast_once_it_is_what_it_was() {
    let mut scene = Scene::after_loss_at(10.0);
    for round in 1..=5 {
        scene.pass_round_trip();
        // Each acknowledgement divides by a window that has grown since the round trip began.
        assert_near(scene.packets(), 7.0 + f64::from(round) * 0.49);
    }
    while scene.packets() < 10.0 {
        scene.pass_round_trip();
    }
    let before = scene.packets();
    scene.pass_round_trip();
    assert_near(scene.packets() - before, 0.95);
}

#[test]
fn the_estimate_of_reno_begins_at_the_window_after_fast_convergence() {
    let mut scene = Scene::after_loss_at(12.0);
    scene.lose();
    let before = scene.packets();
    scene.pass_round_trip();
    assert_near(scene.packets() - before, 0.5);
}

#[test]
fn a_large_window_follows_the_curve() {
    // K is the cube root of 300 / 0.4: a window of 1000 packets comes back after 9.1 seconds.
    let mut scene = Scene::after_loss_at(1000.0);
    let start = scene.now;
    while scene.now - start < Duration::from_millis(4_500) {
        scene.pass_round_trip();
    }
    let t = (scene.now - start).as_secs_f64() - 750f64.cbrt();
    let expected = 1000.0 + 0.4 * t.powi(3);
    let found = scene.packets();
    assert!((found - expected).abs() < 5.0, "{found} for {expected}");
    while scene.now - start < Duration::from_millis(9_000) {
        scene.pass_round_trip();
    }
    let found = scene.packets();
    assert!((found - 1000.0).abs() < 2.0, "{found}");
}

#[test]
fn a_round_trip_adds_a_half_of_the_window_at_most() {
    let mut scene = Scene::after_loss_at(10.0);
    scene.pass_round_trip();
    // Nothing was sent for long, and nobody said so.
    scene.now += Duration::from_secs(3600);
    let before = scene.packets();
    scene.cubic.on_acknowledged(scene.now, MTU, RTT);
    assert!(scene.packets() <= before + 0.51);
}

#[test]
fn time_in_which_the_application_left_the_window_unused_does_not_count() {
    let mut idle = Scene::after_loss_at(100.0);
    let mut busy = Scene::after_loss_at(100.0);
    idle.pass_round_trip();
    busy.pass_round_trip();
    idle.cubic.unused_since = Some(idle.now);
    idle.now += Duration::from_secs(60);
    idle.pass_round_trip();
    busy.pass_round_trip();
    assert_near(idle.packets(), busy.packets());
}

#[test]
fn persistent_congestion_leaves_two_packets_and_slow_start_follows() {
    let mut scene = Scene::after_loss_at(20.0);
    let sent = scene.now + RTT;
    scene.cubic.on_lost(sent + RTT, sent, true);
    assert_eq!(scene.packets(), 2.0);
    scene.cubic.on_acknowledged(sent + RTT * 2, MTU, RTT);
    assert_eq!(scene.packets(), 3.0);
    assert_near(scene.cubic.slow_start_until / MTU, 9.8);
}

#[test]
fn the_window_is_never_below_two_packets() {
    let mut scene = Scene::after_loss_at(2.5);
    assert_eq!(scene.packets(), 2.0);
    scene.lose();
    assert_eq!(scene.packets(), 2.0);
    scene.cubic.on_mtu_update(1400);
    assert_eq!(scene.cubic.window(), 2800);
}
