//! When a connection leaves others a turn before it sends.
//!
//! What those who were woken have to say then goes into the same packets as the acknowledgement of
//! what has woken them. Invariant: nothing waits longer than [`HELD_MAX`], [`LOOK_WAIT`] and
//! [`LOOK_SLACK`] together, and a connection on which that was in vain does not wait so for a
//! while.

use super::slot::{Slot, Stage};
use crate::quic::connection::{Awaited, ConnectionState};
use std::time::{Duration, Instant};

/// What a connection leaves to others.
#[derive(Default)]
pub(super) struct Patience {
    /// How many turns it has left to those whom its last packets have woken.
    turns: u8,
    /// While they are waited for.
    hold: Option<Hold>,
    /// For how many batches it does not wait, since somebody did not come.
    skipped: u32,
    /// How often in a row somebody did not come.
    misses: u8,
    /// The frames of streams that have come so far, or whom a resident has told.
    came: u64,
}

/// Waiting for those who were woken.
struct Hold {
    /// When the next one must have looked.
    until: Instant,
    /// How many had looked when the wait for the next one began.
    looks: u32,
    /// When something could be sent last.
    sent: Instant,
    /// How many packets have come since then.
    packets: usize,
}

/// What a round has brought for a connection.
pub(super) struct Brought {
    pub(super) now: Instant,
    pub(super) packets: usize,
    pub(super) has_woken: bool,
    /// Whether the application has acted on it.
    pub(super) has_acted: bool,
}

/// Whether to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    No,
    /// Others run first.
    Turn,
    /// The last of those who were woken calls the driver, or the time is over. What there is may
    /// be sent nevertheless.
    Until {
        time: Instant,
        sends: bool,
    },
}

impl Wait {
    /// The same, but so much longer at most.
    fn later(self, slack: Duration) -> Wait {
        match self {
            Wait::Until { time, sends } => Wait::Until {
                time: time + slack,
                sends,
            },
            other => other,
        }
    }

    /// The same, but what there is goes now.
    fn at_once(self) -> Wait {
        match self {
            Wait::No | Wait::Turn => Wait::No,
            Wait::Until { time, .. } => Wait::Until { time, sends: true },
        }
    }
}

impl Slot {
    /// Whether to leave others a turn before sending. What goes on a new path first does not wait.
    pub(super) fn waits(
        &mut self,
        state: &mut ConnectionState,
        brought: &Brought,
        has_workers: bool,
    ) -> Wait {
        let wait = self.waits_for_others(state, brought, has_workers);
        match self.has_moved {
            true => wait.at_once(),
            false => wait,
        }
    }

    fn waits_for_others(
        &mut self,
        state: &mut ConnectionState,
        brought: &Brought,
        has_workers: bool,
    ) -> Wait {
        let came = match brought.packets {
            0 => self.patience.came,
            // What a resident's own streams bring is no message.
            _ if state.residence.is_taken() => state.streams.awaited.told,
            _ => state.proto.stats().frame_rx.stream,
        };
        let came = came.wrapping_sub(std::mem::replace(&mut self.patience.came, came));
        // A single message is not acknowledged at once; whoever answers it calls the driver.
        let is_little = brought.packets <= 1 && came <= 1 && self.stage == Stage::Running;
        state.streams.awaited.is_driver_waiting = false;
        if state.error().is_some() {
            self.patience.hold = None;
            return Wait::No;
        }
        // Where other threads take tasks over, a turn is of no use: the driver runs beside those
        // whom it has woken, sends whatever the first one has written, and calls a thread for it.
        if has_workers {
            let begins = brought.has_woken && !is_little;
            // What answers through a resident takes as long as it takes: one does not delay others.
            let slack = match state.residence.is_taken() {
                true => Duration::ZERO,
                false => LOOK_SLACK,
            };
            let awaited = &mut state.streams.awaited;
            let wait = self.patience.hold(awaited, brought, begins);
            return wait.later(slack);
        }
        match self.patience.leaves_turn(brought, is_little) {
            true => Wait::Turn,
            false => Wait::No,
        }
    }
}

impl Patience {
    /// Whether to leave a turn. A second one is for whom the first ones have started, unless
    /// somebody has acted by then.
    fn leaves_turn(&mut self, brought: &Brought, is_little: bool) -> bool {
        let leaves = match self.turns {
            0 => brought.packets > 0 && brought.has_woken && !is_little,
            1 => !brought.has_acted,
            _ => false,
        };
        self.turns = match leaves {
            true => self.turns + 1,
            false => 0,
        };
        leaves
    }

    /// Whether to wait until all have looked who were woken.
    fn hold(&mut self, awaited: &mut Awaited, brought: &Brought, begins: bool) -> Wait {
        let now = brought.now;
        if awaited.count() == 0 {
            if self.hold.take().is_some() {
                self.misses = 0;
            }
            return Wait::No;
        }
        if begins && self.hold.is_none() {
            if self.skipped > 0 {
                self.skipped -= 1;
                return Wait::No;
            }
            self.hold = Some(Hold {
                until: now + LOOK_WAIT,
                sent: now,
                looks: awaited.looks,
                packets: 0,
            });
        }
        let Some(hold) = &mut self.hold else {
            return Wait::No;
        };
        hold.packets += brought.packets;
        let mut sends = hold.packets >= HELD_PACKETS_MAX;
        if hold.until <= now {
            if hold.looks == awaited.looks {
                self.hold = None;
                awaited.give_up_residents();
                self.misses = (self.misses + 1).min(MISSES_MAX);
                self.skipped = 1 << self.misses;
                return Wait::No;
            }
            hold.looks = awaited.looks;
            hold.until = now + LOOK_WAIT;
            sends |= hold.sent + HELD_MAX <= now;
        }
        if sends {
            (hold.sent, hold.packets) = (now, 0);
        }
        awaited.is_driver_waiting = true;
        Wait::Until {
            time: hold.until,
            sends,
        }
    }
}

/// How long it is waited for the next one to look, of those who were woken.
const LOOK_WAIT: Duration = Duration::from_millis(1);
/// How much later that may be found out. A timer that is nearer than those before it wakes a thread
/// when it is set and another time when it ends, so that one shall do for several batches; and a
/// thread that has lost its processor for a moment comes nevertheless.
const LOOK_SLACK: Duration = Duration::from_millis(4);
/// How long nothing is sent while they look one after the other.
const HELD_MAX: Duration = Duration::from_millis(2);
/// How many packets are received meanwhile without an acknowledgement.
const HELD_PACKETS_MAX: usize = 128;
/// Two to the power of it are the most batches for which a connection does not wait.
const MISSES_MAX: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic::waiting::Receiver;

    /// A connection whose packets have woken so many readers, at a time that is given.
    struct Scene {
        patience: Patience,
        awaited: Awaited,
        readers: Vec<Receiver>,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Scene {
                patience: Patience::default(),
                awaited: Awaited::default(),
                readers: Vec::new(),
                start: Instant::now(),
            }
        }

        fn wake(&mut self, count: usize) {
            for _ in 0..count {
                let mut reader = Receiver::new(false);
                self.awaited.on_told(&mut reader);
                self.readers.push(reader);
            }
        }

        fn look(&mut self) {
            let mut reader = self.readers.pop().unwrap();
            self.awaited.on_looked(&mut reader);
        }

        /// A round so many microseconds from the start, with so many packets.
        fn round(&mut self, micros: u64, packets: usize) -> Option<bool> {
            self.awaited.is_driver_waiting = false;
            let brought = Brought {
                now: self.start + Duration::from_micros(micros),
                packets,
                has_woken: packets > 0,
                has_acted: packets == 0,
            };
            let wait = self.patience.hold(&mut self.awaited, &brought, packets > 0);
            match wait {
                Wait::Until { sends, .. } => {
                    assert!(self.awaited.is_driver_waiting);
                    Some(sends)
                }
                _ => None,
            }
        }
    }

    const HELD: Option<bool> = Some(false);
    const SENDS_ONCE: Option<bool> = Some(true);
    const FREE: Option<bool> = None;

    #[test]
    fn what_is_to_be_sent_waits_until_the_last_one_has_looked() {
        let mut scene = Scene::new();
        scene.wake(2);
        assert_eq!(scene.round(0, 2), HELD);
        scene.look();
        assert_eq!(scene.round(10, 0), HELD);
        scene.look();
        assert_eq!(scene.round(20, 0), FREE);
        scene.wake(1);
        assert_eq!(scene.round(30, 2), HELD);
    }

    #[test]
    fn who_does_not_come_is_waited_for_once_and_then_less_often() {
        let mut scene = Scene::new();
        scene.wake(1);
        assert_eq!(scene.round(0, 2), HELD);
        assert_eq!(scene.round(1_000, 0), FREE);
        for at in 0..2 {
            assert_eq!(scene.round(1_100 + at, 2), FREE);
        }
        assert_eq!(scene.round(1_200, 2), HELD);
        assert_eq!(scene.round(2_200, 0), FREE);
        for at in 0..4 {
            assert_eq!(scene.round(2_300 + at, 2), FREE);
        }
        assert_eq!(scene.round(2_400, 2), HELD);
        scene.look();
        assert_eq!(scene.round(2_500, 0), FREE);
        scene.wake(1);
        assert_eq!(scene.round(2_600, 2), HELD);
    }

    #[test]
    fn whom_a_resident_has_told_is_waited_for_until_it_acts() {
        let mut scene = Scene::new();
        let told = [(); 2].map(|()| scene.awaited.on_told_by_resident());
        assert_eq!((scene.awaited.count(), scene.awaited.told), (2, 2));
        assert_eq!(scene.round(0, 2), HELD);
        scene.awaited.on_acted(told[0]);
        assert_eq!(scene.round(10, 0), HELD);
        scene.awaited.on_acted(told[1]);
        assert_eq!(scene.round(20, 0), FREE);
        assert_eq!((scene.awaited.count(), scene.awaited.told), (0, 2));
    }

    #[test]
    fn who_takes_long_over_what_a_resident_has_told_counts_no_more() {
        let mut scene = Scene::new();
        let slow = scene.awaited.on_told_by_resident();
        assert_eq!(scene.round(0, 2), HELD);
        assert_eq!(scene.round(1_000, 0), FREE);
        assert_eq!(scene.awaited.count(), 0);
        let quick = scene.awaited.on_told_by_resident();
        scene.awaited.on_acted(slow);
        assert_eq!(scene.awaited.count(), 1);
        scene.awaited.on_acted(quick);
        assert_eq!(scene.awaited.count(), 0);
    }

    #[test]
    fn who_comes_one_after_the_other_is_waited_for_and_sent_for_now_and_then() {
        let mut scene = Scene::new();
        scene.wake(10);
        assert_eq!(scene.round(0, 2), HELD);
        scene.look();
        assert_eq!(scene.round(1_000, 0), HELD);
        scene.look();
        assert_eq!(scene.round(2_000, 0), SENDS_ONCE);
        scene.look();
        assert_eq!(scene.round(3_000, 0), HELD);
        assert_eq!(scene.round(4_000, 0), FREE);
    }

    #[test]
    fn many_packets_are_acknowledged_although_somebody_is_waited_for() {
        let mut scene = Scene::new();
        scene.wake(1);
        assert_eq!(scene.round(0, HELD_PACKETS_MAX - 1), HELD);
        assert_eq!(scene.round(10, 1), SENDS_ONCE);
        assert_eq!(scene.round(20, 1), HELD);
    }
}
