//! Chooses the stream that is written next.
//!
//! Invariant: a more urgent stream goes before a less urgent one; within an urgency no stream
//! starves, and streams that are not incremental finish one by one in the order of their requests.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::Priority;
use crate::stream::StreamId;

/// The streams that have something to write.
///
/// A stream is in at most once; whoever adds it keeps that.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    /// The only one, if there is only one: it waits in no line.
    alone: Option<(StreamId, Priority)>,
    /// Most connections use one urgency: the others need no memory.
    levels: [Option<Box<Level>>; 8],
    /// Bit n is set when level n has streams.
    occupied: u8,
}

#[derive(Debug, Default)]
struct Level {
    sequential: BinaryHeap<Reverse<StreamId>>,
    incremental: VecDeque<StreamId>,
    /// Whether an incremental stream has the next turn, when there are both.
    turn_incremental: bool,
}

impl Scheduler {
    /// Adds a stream that is not in yet.
    #[inline]
    pub(crate) fn add(&mut self, stream: StreamId, priority: Priority) {
        match self.is_empty() {
            true => self.alone = Some((stream, priority)),
            false => self.add_to_others(stream, priority),
        }
    }

    fn add_to_others(&mut self, stream: StreamId, priority: Priority) {
        if let Some((first, priority)) = self.alone.take() {
            self.put_in_line(first, priority);
        }
        self.put_in_line(stream, priority);
    }

    fn put_in_line(&mut self, stream: StreamId, priority: Priority) {
        let level = &mut self.levels[usize::from(priority.urgency())];
        let level = level.get_or_insert_default();
        if priority.is_incremental() {
            level.incremental.push_back(stream);
        } else {
            level.sequential.push(Reverse(stream));
        }
        self.occupied |= 1 << priority.urgency();
    }

    /// Takes a stream out, wherever it is.
    pub(crate) fn remove(&mut self, stream: StreamId, priority: Priority) {
        if self.alone.is_some_and(|(alone, _)| alone == stream) {
            self.alone = None;
            return;
        }
        let Some(level) = &mut self.levels[usize::from(priority.urgency())] else {
            return;
        };
        if priority.is_incremental() {
            level.incremental.retain(|other| *other != stream);
        } else {
            level.sequential.retain(|other| other.0 != stream);
        }
        self.mark(priority.urgency());
    }

    /// Takes out the stream whose turn it is. If it has more to write, it is added again.
    // RFC 9218 §10: by urgency; those that are not incremental by the order of their requests,
    // the others in turns.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<StreamId> {
        match self.alone.take() {
            Some((stream, _)) => Some(stream),
            None => self.next_in_line(),
        }
    }

    fn next_in_line(&mut self) -> Option<StreamId> {
        if self.occupied == 0 {
            return None;
        }
        let urgency = self.occupied.trailing_zeros() as u8;
        let level = self.levels[usize::from(urgency)].as_mut()?;
        let is_sequential = match (level.sequential.is_empty(), level.incremental.is_empty()) {
            (false, false) => {
                level.turn_incremental = !level.turn_incremental;
                level.turn_incremental
            }
            (is_empty, _) => !is_empty,
        };
        let stream = match is_sequential {
            true => level.sequential.pop().map(|Reverse(stream)| stream),
            false => level.incremental.pop_front(),
        };
        self.mark(urgency);
        stream
    }

    /// Whether no stream is in.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.alone.is_none() && self.occupied == 0
    }

    fn mark(&mut self, urgency: u8) {
        let level = self.levels[usize::from(urgency)].as_ref();
        let is_empty = level.is_none_or(|it| it.sequential.is_empty() && it.incremental.is_empty());
        self.occupied = self.occupied & !(1 << urgency) | u8::from(!is_empty) << urgency;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u64) -> StreamId {
        StreamId::new(value).expect("in range")
    }

    fn priority(urgency: u8, is_incremental: bool) -> Priority {
        Priority::new(urgency, is_incremental).expect("in range")
    }

    #[test]
    fn urgent_streams_go_first_and_others_in_the_order_of_requests() {
        let mut scheduler = Scheduler::default();
        for (stream, urgency) in [(12, 3), (8, 3), (4, 7), (0, 5), (16, 0)] {
            scheduler.add(id(stream), priority(urgency, false));
        }
        let order: Vec<u64> = std::iter::from_fn(|| scheduler.next())
            .map(StreamId::value)
            .collect();
        assert_eq!(order, [16, 8, 12, 0, 4]);
        assert!(scheduler.is_empty());
    }

    #[test]
    fn incremental_streams_take_turns() {
        let mut scheduler = Scheduler::default();
        let priority = priority(3, true);
        scheduler.add(id(0), priority);
        scheduler.add(id(4), priority);
        let mut order = Vec::new();
        for _ in 0..4 {
            let stream = scheduler.next().expect("two are in");
            order.push(stream.value());
            scheduler.add(stream, priority);
        }
        assert_eq!(order, [0, 4, 0, 4]);
    }

    #[test]
    fn neither_kind_starves_the_other() {
        let mut scheduler = Scheduler::default();
        scheduler.add(id(0), priority(3, false));
        scheduler.add(id(4), priority(3, true));
        let mut order = Vec::new();
        for _ in 0..4 {
            let stream = scheduler.next().expect("two are in");
            order.push(stream.value());
            scheduler.add(stream, priority(3, stream == id(4)));
        }
        assert_eq!(order, [0, 4, 0, 4]);
    }

    #[test]
    fn a_stream_can_be_taken_out() {
        let mut scheduler = Scheduler::default();
        scheduler.add(id(0), priority(1, false));
        scheduler.add(id(4), priority(1, true));
        scheduler.remove(id(0), priority(1, false));
        scheduler.remove(id(4), priority(1, true));
        assert!(scheduler.is_empty());
        assert_eq!(scheduler.next(), None);
    }
}
