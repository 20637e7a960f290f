//! The sends of one connection, in order.
//!
//! Invariant: the parts of a message stand together. A message overtakes another only while both
//! wait whole, and one of the two gave up its order; a final message, after which nothing is
//! accepted, stays the last one (RFC 9622 §9.1.3.5).
//! Priority is strict: waiting makes no message more urgent, so those that gave up their order can
//! delay less urgent ones for as long as they keep coming.

use super::{Completion, ConnectionId, OpenMessage, Outcome, PartialSends, SendId};
use crate::Time;
use crate::framer::Outgoing;
use crate::message::{Chunks, MessageContext};
use std::collections::VecDeque;

/// A send, or a part of one, that is to be framed now.
#[derive(Debug)]
pub struct QueuedSend {
    /// Which send.
    pub id: SendId,
    /// The connection that it goes over.
    pub connection: ConnectionId,
    /// The message's context.
    pub context: MessageContext,
    /// The bytes.
    pub data: Chunks,
    /// Whether the message begins here.
    pub is_start: bool,
    /// Whether the message ends here.
    pub is_end: bool,
    /// The length of the whole message, where it is known.
    pub length: Option<u64>,
}

impl QueuedSend {
    /// The bytes, taken out, as framers want them.
    pub fn part(&mut self) -> Outgoing<'_> {
        Outgoing::part(
            std::mem::take(&mut self.data),
            &self.context,
            (self.is_start, self.is_end),
            self.length,
        )
    }

    /// Whether the connection's sending direction ends after this.
    pub fn ends_direction(&self) -> bool {
        self.is_end && self.context.is_final()
    }
}

/// A queued send with its receipt.
#[derive(Debug)]
pub(super) struct Entry<R> {
    pub(super) send: QueuedSend,
    pub(super) message: OpenMessage,
    pub(super) deadline: Option<Time>,
    pub(super) receipt: R,
}

impl<R> Entry<R> {
    /// Whether this message goes before one that was accepted earlier.
    fn overtakes(&self, earlier: &Entry<R>) -> bool {
        // RFC 9622 §9.1.3.3: those that did not give up their order keep it among themselves.
        let may_change = self.is_unordered() || earlier.is_unordered();
        let is_urgent = self.send.context.priority() < earlier.send.context.priority();
        may_change && is_urgent && self.is_movable() && earlier.is_movable()
    }

    /// Messages in parts keep their place: a sender may wait for the rest of the one that is first.
    fn is_movable(&self) -> bool {
        self.send.is_start && self.send.is_end && !self.send.context.is_final()
    }

    fn is_unordered(&self) -> bool {
        let properties = self.send.context.properties();
        properties.is_some_and(|properties| properties.is_ordered() == Some(false))
    }
}

/// A send that has left the queue and not yet the wire buffer.
#[derive(Debug)]
struct InFlight<R> {
    id: SendId,
    bytes: usize,
    receipt: R,
}

/// What the lane gives back to the group's bounds when sends complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) sends: usize,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Lane<R> {
    pub(super) connection: ConnectionId,
    pub(super) priority: u32,
    pub(super) partial_sends: PartialSends,
    pub(super) is_blocked: bool,
    pub(super) is_broken: bool,
    /// Whether messages may leave in another order than that of the sends.
    reorders: bool,
    /// The final message that was accepted.
    pub(super) last: Option<OpenMessage>,
    /// The message of which the start has left the queue and the end has not.
    pub(super) on_wire: Option<OpenMessage>,
    entries: VecDeque<Entry<R>>,
    in_flight: VecDeque<InFlight<R>>,
}

impl<R> Lane<R> {
    pub(super) fn new(connection: ConnectionId, priority: u32) -> Self {
        Lane {
            connection,
            priority,
            partial_sends: PartialSends::Stream,
            is_blocked: false,
            is_broken: false,
            reorders: false,
            last: None,
            on_wire: None,
            entries: VecDeque::new(),
            in_flight: VecDeque::new(),
        }
    }

    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.in_flight.is_empty() && self.on_wire.is_none()
    }

    /// Adds a message, or the first part of one, behind the last that it does not overtake.
    pub(super) fn push(&mut self, entry: Entry<R>) {
        let is_before = |earlier: &Entry<R>| !self.reorders || !entry.overtakes(earlier);
        let behind = self.entries.iter().rposition(is_before);
        self.entries
            .insert(behind.map_or(0, |last| last + 1), entry);
    }

    /// Lets messages overtake one another from now on, those that wait included, or no longer.
    pub(super) fn set_reorders(&mut self, reorders: bool) {
        if std::mem::replace(&mut self.reorders, reorders) == reorders {
            return;
        }
        for entry in std::mem::take(&mut self.entries) {
            self.push(entry);
        }
    }

    /// Adds a part behind the last part of its message.
    pub(super) fn insert(&mut self, entry: Entry<R>) {
        let message = entry.message;
        // Without a queued part the message is the one on the wire, which goes before all others.
        let behind = self.entries.iter().rposition(|e| e.message == message);
        self.entries
            .insert(behind.map_or(0, |last| last + 1), entry);
    }

    /// Whether `message` is the one that everything else in this lane waits for.
    pub(super) fn is_first(&self, message: OpenMessage) -> bool {
        match self.on_wire {
            Some(on_wire) => on_wire == message,
            None => self.entries.front().is_some_and(|e| e.message == message),
        }
    }

    /// What of `message` is queued, and everything that is in flight.
    pub(super) fn load_of(&self, message: OpenMessage) -> Load {
        let queued = self.entries.iter().filter(|e| e.message == message);
        let queued = queued.map(|entry| entry.send.data.len());
        let mut load = Load::default();
        for bytes in queued.chain(self.in_flight.iter().map(|send| send.bytes)) {
            load.sends += 1;
            load.bytes += bytes;
        }
        load
    }

    /// How many parts of a message are queued.
    pub(super) fn queued_parts(&self, message: OpenMessage) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.message == message)
            .count()
    }

    /// The bytes of `message` that wait here.
    pub(super) fn queued_bytes(&self, message: OpenMessage) -> usize {
        let parts = self.entries.iter().filter(|e| e.message == message);
        parts.map(|entry| entry.send.data.len()).sum()
    }

    /// The send that could be framed next, if any.
    pub(super) fn head(&self) -> Option<&Entry<R>> {
        if self.is_blocked || self.is_broken {
            return None;
        }
        let head = self.entries.front()?;
        // Nothing overtakes an unfinished message: neither one on the wire nor one that waits.
        let may_go = match self.on_wire {
            Some(on_wire) => on_wire == head.message,
            None => match self.partial_sends {
                PartialSends::Stream => true,
                PartialSends::Assemble => self.is_length_known(head),
                PartialSends::Whole => self.first_length().is_some(),
            },
        };
        may_go.then_some(head)
    }

    fn is_length_known(&self, head: &Entry<R>) -> bool {
        head.send.length.is_some() || self.first_length().is_some()
    }

    /// The length of the first message, when all of it is here.
    fn first_length(&self) -> Option<u64> {
        let is_whole = self.first_parts().any(|entry| entry.send.is_end);
        is_whole.then(|| self.first_parts().map(|e| e.send.data.len() as u64).sum())
    }

    fn first_parts(&self) -> impl Iterator<Item = &Entry<R>> {
        let first = self.entries.front().map(|entry| entry.message);
        self.entries
            .iter()
            .take_while(move |entry| Some(entry.message) == first)
    }

    /// Takes [`Lane::head`] out and counts it as in flight.
    pub(super) fn pop(&mut self) -> Option<QueuedSend> {
        let head = &self.head()?.send;
        let length = match head.length {
            None if head.is_start => self.first_length(),
            length => length,
        };
        let mut entry = self.entries.pop_front()?;
        entry.send.length = length;
        self.on_wire = (!entry.send.is_end).then_some(entry.message);
        self.track(entry.send.id, entry.send.data.len(), entry.receipt);
        Some(entry.send)
    }

    /// Counts a send as in flight.
    pub(super) fn track(&mut self, id: SendId, bytes: usize, receipt: R) {
        self.in_flight.push_back(InFlight { id, bytes, receipt });
    }

    /// Completes the first send in flight.
    pub(super) fn complete_first(&mut self, outcome: Outcome) -> Option<(Completion<R>, usize)> {
        let send = self.in_flight.pop_front()?;
        Some(self.complete(send, outcome))
    }

    /// Completes the last send in flight.
    pub(super) fn complete_last(&mut self, outcome: Outcome) -> Option<(Completion<R>, usize)> {
        let send = self.in_flight.pop_back()?;
        Some(self.complete(send, outcome))
    }

    fn complete(&self, send: InFlight<R>, outcome: Outcome) -> (Completion<R>, usize) {
        let completion = Completion {
            id: send.id,
            connection: self.connection,
            receipt: send.receipt,
            outcome,
        };
        (completion, send.bytes)
    }

    /// Takes out the entries that `is_taken` selects, in order.
    pub(super) fn take_entries(
        &mut self,
        mut is_taken: impl FnMut(&Entry<R>) -> bool,
    ) -> Vec<Entry<R>> {
        let mut taken = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            match is_taken(&entry) {
                true => taken.push(entry),
                false => self.entries.push_back(entry),
            }
        }
        taken
    }
}
