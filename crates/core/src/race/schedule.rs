//! When the next attempt may start, and from which group.
//!
//! Invariant: a group takes part once it is the first one, once the groups before it are
//! exhausted, or once an attempt delay has shown that nothing answers them.

use super::config::RaceConfig;
use super::event::{Group, OpenReason, StartReason};
use super::io::Leaf;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The timers and turns of a race.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    /// When the next attempt starts if nothing happens before.
    pub(super) next_at: Option<Time>,
    /// Whether a failure brought `next_at` forward.
    pub(super) follows_failure: bool,
    opened: BTreeSet<Group>,
    last: Option<Group>,
    /// The time at which silence of a group lets the next one start.
    silent_at: BTreeMap<Group, Time>,
}

impl Schedule {
    /// Why an attempt may start now, if it may.
    pub(super) fn reason(&self, now: Time, running: usize) -> Option<StartReason> {
        let is_due = self.next_at.is_some_and(|at| at <= now);
        if is_due && self.follows_failure && (running > 0 || self.next_at == Some(now)) {
            Some(StartReason::AttemptFailed)
        } else if running == 0 {
            Some(StartReason::NothingRunning)
        } else {
            is_due.then_some(StartReason::DelayPassed)
        }
    }

    /// The group whose turn it is. `groups` are those with something to start, in order;
    /// `answering` those in which a running attempt was answered.
    pub(super) fn turn(
        &mut self,
        now: Time,
        groups: &BTreeSet<Group>,
        answering: &BTreeSet<Group>,
    ) -> Option<(Group, Option<OpenReason>)> {
        let newly = self.open_next(now, groups, answering);
        let mut open = groups.iter().filter(|group| self.opened.contains(group));
        let after_last = open
            .clone()
            .find(|group| self.last.is_some_and(|last| **group > last));
        let turn = *after_last.or_else(|| open.next())?;
        let reason = newly.and_then(|(group, reason)| (group == turn).then_some(reason));
        Some((turn, reason))
    }

    /// Opens at most one more group.
    fn open_next(
        &mut self,
        now: Time,
        groups: &BTreeSet<Group>,
        answering: &BTreeSet<Group>,
    ) -> Option<(Group, OpenReason)> {
        let next = *groups.iter().find(|group| !self.opened.contains(group))?;
        let mut before = self.opened.range(..next).peekable();
        let reason = if before.peek().is_none() {
            OpenReason::Preferred
        } else if before.clone().all(|group| !groups.contains(group)) {
            OpenReason::Exhausted
        } else {
            // Our rule, which the draft leaves open: silence for one attempt delay.
            let is_silent = before.all(|group| {
                let is_due = self.silent_at.get(group).is_some_and(|at| *at <= now);
                is_due && !answering.contains(group)
            });
            if !is_silent {
                return None;
            }
            OpenReason::NothingAnswered
        };
        self.opened.insert(next);
        Some((next, reason))
    }

    /// Notes the start of an attempt.
    pub(super) fn started(&mut self, group: Group, now: Time, delay: Duration) {
        self.last = Some(group);
        self.silent_at.entry(group).or_insert(now + delay);
        self.next_at = Some(now + delay);
        self.follows_failure = false;
    }

    /// Notes a failure: the next attempt starts at once.
    pub(super) fn failed(&mut self, now: Time) {
        self.next_at = Some(now);
        self.follows_failure = true;
    }

    /// Gives an attempt that moves on more time; the new time if it is later.
    pub(super) fn postpone(&mut self, until: Time) -> Option<Time> {
        if self.follows_failure || self.next_at.is_none_or(|at| at >= until) {
            return None;
        }
        self.next_at = Some(until);
        self.next_at
    }
}

/// The time from the start of an attempt to the start of the next one.
pub(super) fn attempt_delay(config: &RaceConfig, leaf: &Leaf) -> Duration {
    match config.history.rtts.get(&leaf.remote.ip()) {
        // RFC 6298 §2.2: the first timeout after one sample is three times its value.
        Some(rtt) => estimate(config, *rtt),
        None => bounded(
            config.timing.attempt_delay,
            ABSOLUTE_FLOOR,
            config.timing.attempt_delay_max,
        ),
    }
}

/// About three round trips, within the bounds of attempt delays.
pub(super) fn estimate(config: &RaceConfig, rtt: Duration) -> Duration {
    bounded(
        rtt.saturating_mul(3),
        config.timing.attempt_delay_min,
        config.timing.attempt_delay_max,
    )
}

/// Happy Eyeballs v3 §6: never under 10 ms, whatever the configuration says.
fn bounded(delay: Duration, min: Duration, max: Duration) -> Duration {
    delay.min(max).max(min).max(ABSOLUTE_FLOOR)
}

const ABSOLUTE_FLOOR: Duration = Duration::from_millis(10);
