//! The deadlines of all connections in one heap.
//!
//! Invariant: each connection with a deadline has an entry that is not later. An entry that is too
//! early, or of a connection that is gone, is found out when it comes up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Deadlines by connection.
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize, u32)>>,
}

/// The deadline of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deadline {
    /// When it is due.
    pub(super) at: Option<Instant>,
    /// The entry that counts for it; others are stale.
    queued: Option<Instant>,
}

impl Timers {
    /// Sets when a connection is due. A later time costs nothing: its entry is moved when it
    /// comes up.
    pub(super) fn set(
        &mut self,
        deadline: &mut Deadline,
        at: Option<Instant>,
        index: usize,
        generation: u32,
    ) {
        deadline.at = at;
        let Some(at) = at else { return };
        if deadline.queued.is_none_or(|queued| at < queued) {
            deadline.queued = Some(at);
            self.heap.push(Reverse((at, index, generation)));
        }
    }

    /// The time of the next entry.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next entry that has come up by `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, usize, u32)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Handles the entry `came_up` of a connection; true when the connection is due by `now`.
    pub(super) fn is_due(
        &mut self,
        deadline: &mut Deadline,
        came_up: (Instant, usize, u32),
        now: Instant,
    ) -> bool {
        if deadline.queued != Some(came_up.0) {
            return false;
        }
        deadline.queued = None;
        let at = deadline.at;
        if at.is_some_and(|at| at <= now) {
            return true;
        }
        self.set(deadline, at, came_up.1, came_up.2);
        false
    }

    /// Whether stale entries outnumber what `connections` need.
    pub(super) fn is_bloated(&self, connections: usize) -> bool {
        self.heap.len() > connections * 4 + 64
    }

    /// Keeps only the entries that count.
    pub(super) fn rebuild<'a>(
        &mut self,
        deadlines: impl Iterator<Item = (usize, u32, &'a mut Deadline)>,
    ) {
        self.heap.clear();
        for (index, generation, deadline) in deadlines {
            deadline.queued = None;
            let at = deadline.at;
            self.set(deadline, at, index, generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_deadline_that_moves_back_keeps_its_entry_and_comes_up_once() {
        let (mut timers, mut deadline) = (Timers::default(), Deadline::default());
        let start = Instant::now();
        let second = Duration::from_secs(1);
        timers.set(&mut deadline, Some(start + second), 0, 0);
        timers.set(&mut deadline, Some(start + second * 3), 0, 0);
        assert_eq!(timers.heap.len(), 1);
        let entry = timers.pop(start + second).unwrap();
        assert!(!timers.is_due(&mut deadline, entry, start + second));
        let entry = timers.pop(start + second * 3).unwrap();
        assert!(timers.is_due(&mut deadline, entry, start + second * 3));
        assert!(timers.pop(start + second * 9).is_none());
    }

    #[test]
    fn a_deadline_that_moves_forward_leaves_an_entry_that_counts_no_more() {
        let (mut timers, mut deadline) = (Timers::default(), Deadline::default());
        let start = Instant::now();
        let second = Duration::from_secs(1);
        timers.set(&mut deadline, Some(start + second * 2), 0, 0);
        timers.set(&mut deadline, Some(start + second), 0, 0);
        let early = timers.pop(start + second).unwrap();
        assert!(timers.is_due(&mut deadline, early, start + second));
        timers.set(&mut deadline, None, 0, 0);
        let stale = timers.pop(start + second * 2).unwrap();
        assert!(!timers.is_due(&mut deadline, stale, start + second * 2));
        assert!(timers.next().is_none());
    }

    #[test]
    fn stale_entries_are_cleared_when_they_pile_up() {
        let (mut timers, mut deadline) = (Timers::default(), Deadline::default());
        let start = Instant::now() + Duration::from_secs(1000);
        for step in 0..100 {
            timers.set(&mut deadline, Some(start - Duration::from_secs(step)), 0, 0);
        }
        assert!(timers.is_bloated(1));
        timers.rebuild([(0, 0, &mut deadline)].into_iter());
        assert_eq!(timers.heap.len(), 1);
        assert_eq!(timers.next(), Some(start - Duration::from_secs(99)));
    }
}
