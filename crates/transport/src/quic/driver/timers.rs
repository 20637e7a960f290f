//! The deadlines of all connections in one heap.
//!
//! Invariant: each connection with a deadline has an entry that is not later. An entry that is too
//! early, or of a connection that is gone, is found out when it comes up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Deadlines by connection.
#[derive(Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize, u32)>>,
}

/// The deadline of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// When it is due.
    pub(super) at: Option<Instant>,
    /// The entry that counts for it; others are stale.
    queued: Option<Instant>,
    /// What was due when the entry was moved a part of the way.
    moved_for: Option<Instant>,
    /// How long it may take until the next packet comes while there is traffic.
    pause: Duration,
}

impl Default for Deadline {
    fn default() -> Self {
        Deadline {
            at: None,
            queued: None,
            moved_for: None,
            pause: NEAR,
        }
    }
}

impl Deadline {
    /// Traffic comes in bursts with a pause of a round trip at most between them.
    #[inline]
    pub(super) fn set_rtt(&mut self, rtt: Duration) {
        self.pause = rtt.clamp(NEAR, NEAR_MAX);
    }
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

    /// The next entry, if it comes up before long.
    pub(super) fn near(&self, now: Instant) -> Option<(Instant, usize, u32)> {
        let Reverse(entry) = self.heap.peek()?;
        (entry.0 <= now + NEAR_MAX).then_some(*entry)
    }

    /// Moves the next entry, which is `near`, where its connection is not due then; false when it
    /// counts. Each entry that comes up costs a wake of the thread, and this one would come up in
    /// vain: while there is traffic, the thread is awake often enough to see it before.
    pub(super) fn move_near(
        &mut self,
        deadline: Option<&mut Deadline>,
        near: (Instant, usize, u32),
        now: Instant,
    ) -> bool {
        let known = deadline.filter(|deadline| deadline.queued == Some(near.0));
        if let Some(known) = &known
            && known.at.is_some()
            && (known.at == Some(near.0) || near.0 > now + known.pause)
        {
            return false;
        }
        self.heap.pop();
        if let Some(known) = known {
            // Not further than most deadlines are set: one before the others costs a system call
            // to be heard of. Where packets come in bursts that is less than a wake between them.
            // Where nothing has moved since the last time, the connection rests: thousands of
            // those would else be moved for ever while another one is busy.
            let rests = known.moved_for == known.at || known.pause > NEAR;
            known.moved_for = known.at;
            let nearer = |at: Instant| if rests { at } else { at.min(now + FAR) };
            known.queued = known.at.map(nearer);
            let queued = known.queued.map(|at| Reverse((at, near.1, near.2)));
            self.heap.extend(queued);
        }
        true
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

/// How soon an entry is looked at before it comes up, at least.
const NEAR: Duration = Duration::from_millis(15);
/// The same at most, where packets are a round trip away from each other.
const NEAR_MAX: Duration = Duration::from_millis(250);
/// How far entries are moved then at most: the longest that an acknowledgement waits (RFC 9000
/// section 18.2, `max_ack_delay`).
const FAR: Duration = Duration::from_millis(25);

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_entry_that_would_come_up_in_vain_is_moved_before() {
        let (mut timers, mut deadline) = (Timers::default(), Deadline::default());
        let start = Instant::now();
        let millis = |count| start + Duration::from_millis(count);
        timers.set(&mut deadline, Some(millis(30)), 0, 0);
        let near = timers.near(millis(26)).unwrap();
        assert!(!timers.move_near(Some(&mut deadline), near, millis(26)));
        // Its connection is due much later: not further than the next one may have to be heard.
        timers.set(&mut deadline, Some(millis(300)), 0, 0);
        assert!(!timers.move_near(Some(&mut deadline), near, millis(14)));
        assert!(timers.move_near(Some(&mut deadline), near, millis(26)));
        assert_eq!(timers.next(), Some(millis(51)));
        timers.set(&mut deadline, Some(millis(53)), 0, 0);
        let near = timers.near(millis(50)).unwrap();
        assert!(timers.move_near(Some(&mut deadline), near, millis(50)));
        assert_eq!(timers.next(), Some(millis(53)));
        assert_eq!(timers.heap.len(), 1);
        let near = timers.near(millis(52)).unwrap();
        assert!(!timers.move_near(Some(&mut deadline), near, millis(52)));
        let entry = timers.pop(millis(53)).unwrap();
        assert!(timers.is_due(&mut deadline, entry, millis(53)));
    }

    #[test]
    fn an_entry_that_counts_no_more_is_dropped_before_it_comes_up() {
        let (mut timers, mut deadline) = (Timers::default(), Deadline::default());
        let start = Instant::now();
        let second = Duration::from_secs(1);
        timers.set(&mut deadline, Some(start + second), 0, 0);
        timers.set(&mut deadline, None, 0, 0);
        let near = timers.near(start + second).unwrap();
        assert!(timers.move_near(Some(&mut deadline), near, start));
        assert!(timers.next().is_none());
        // That of a connection that is gone.
        timers.set(&mut deadline, Some(start + second), 0, 0);
        assert!(timers.move_near(None, near, start));
        assert!(timers.next().is_none());
    }

    #[test]
    fn an_entry_is_looked_at_a_round_trip_before_it_comes_up() {
        let (mut timers, mut deadline) = (Timers::default(), Deadline::default());
        deadline.set_rtt(Duration::from_millis(50));
        let start = Instant::now();
        let millis = |millis| start + Duration::from_millis(millis);
        timers.set(&mut deadline, Some(millis(100)), 0, 0);
        timers.set(&mut deadline, Some(millis(120)), 0, 0);
        let near = timers.near(millis(40)).unwrap();
        assert!(!timers.move_near(Some(&mut deadline), near, millis(40)));
        let near = timers.near(millis(50)).unwrap();
        assert!(timers.move_near(Some(&mut deadline), near, millis(50)));
        assert_eq!(timers.next(), Some(millis(120)), "all the way");
    }

    #[test]
    fn entries_of_connections_that_rest_are_moved_twice_at_most() {
        let mut timers = Timers::default();
        let mut deadlines = [Deadline::default(); 100];
        let start = Instant::now();
        let idle = start + Duration::from_secs(30);
        for (index, deadline) in deadlines.iter_mut().enumerate() {
            timers.set(deadline, Some(start + NEAR), index, 0);
            timers.set(deadline, Some(idle), index, 0);
        }
        let mut moves = 0;
        // Another connection keeps the driver awake.
        for millis in 0..1000 {
            let now = start + Duration::from_millis(millis);
            while let Some(near) = timers.near(now)
                && timers.move_near(Some(&mut deadlines[near.1]), near, now)
            {
                moves += 1;
            }
        }
        assert!(moves <= 200, "{moves}");
        assert_eq!(timers.next(), Some(idle));
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
