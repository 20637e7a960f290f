//! The send queue of a connection group.
//!
//! Invariant: each send is in exactly one place: queued in a lane, in flight between queue and
//! wire, or complete. A message expires only while none of its parts has left the queue.

use super::lane::{Entry, Lane, Load, QueuedSend};
use super::{
    Aborted, Completion, ConnectionId, EndOfMessage, OpenMessage, Outcome, PartialSends,
    QueueError, SendId,
};
use crate::message::{Chunks, Message, MessageContext};
use crate::{Failure, FailureKind, Origin, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Decides which message of a group goes next, within bounds, and completes every send once.
///
/// `R` is what the caller wants back with the completion, such as the sender of a receipt.
#[derive(Debug)]
pub struct SendQueue<R> {
    lanes: Vec<Lane<R>>,
    policy: Policy,
    limits: QueueLimits,
    /// What is queued, in flight or reserved.
    load: Load,
    next_id: u64,
    /// Messages that take more parts.
    open: BTreeMap<OpenMessage, Open>,
    /// When messages expire, as long as they can.
    deadlines: BTreeSet<(Time, OpenMessage)>,
    completions: VecDeque<Completion<R>>,
}

/// Which connection of a group is served next (RFC 9622 §9.2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// In the order of the calls to send.
    #[default]
    FirstComeFirstServed,
    /// The lowest connPriority first, among equals the lowest msgPriority of the messages that
    /// are next, then in order.
    // RFC 9622 §9.2.6: connPriority goes before msgPriority.
    StrictPriority,
}

/// The bounds of a group's queue. They count what is not complete, be it queued or in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueLimits {
    /// The most bytes. A single message may exceed them when nothing else is there.
    pub bytes_max: usize,
    /// The most sends.
    pub sends_max: usize,
}

impl QueueLimits {
    /// Both bounds; at least one send is always possible.
    pub const fn new(bytes_max: usize, sends_max: usize) -> Self {
        QueueLimits {
            bytes_max,
            sends_max,
        }
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        QueueLimits::new(1024 * 1024, 4096)
    }
}

/// Room that was set aside. Give it back with [`SendQueue::release`] just before the push that
/// uses it, or when it is not needed.
#[derive(Debug)]
#[must_use = "room stays set aside until it is released"]
pub struct Reservation {
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    connection: ConnectionId,
    context: MessageContext,
    deadline: Option<Time>,
    /// What is left of the length with which it was begun.
    unsent: Option<u64>,
    has_expired: bool,
}

impl<R> SendQueue<R> {
    /// An empty queue for a group without connections.
    pub fn new(policy: Policy, limits: QueueLimits) -> Self {
        SendQueue {
            lanes: Vec::new(),
            policy,
            limits,
            load: Load::default(),
            next_id: 0,
            open: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            completions: VecDeque::new(),
        }
    }

    /// Adds a connection with its connPriority; one that is already there keeps its messages.
    pub fn add_connection(&mut self, connection: ConnectionId, priority: u32) {
        match self.lane_mut(connection) {
            Ok(lane) => lane.priority = priority,
            Err(_) => {
                // Most groups have one connection and never grow.
                self.lanes.reserve_exact(1);
                self.lanes.push(Lane::new(connection, priority));
            }
        }
    }

    /// Takes a connection out and fails what it has not sent.
    pub fn remove_connection(&mut self, connection: ConnectionId, failure: &Failure) {
        if let Some(index) = self.index_of(connection) {
            self.fail_lane(index, failure);
            self.lanes.remove(index);
        }
    }

    /// Says how a connection sends messages whose parts come one by one. For messages that were
    /// not begun yet; set it when the framers are known.
    ///
    /// # Errors
    /// The connection is unknown.
    pub fn set_partial_sends(
        &mut self,
        connection: ConnectionId,
        partial_sends: PartialSends,
    ) -> Result<(), QueueError> {
        self.lane_mut(connection)?.partial_sends = partial_sends;
        Ok(())
    }

    /// Says whether messages of a connection may leave in another order than that of the sends:
    /// a more urgent one (msgPriority) then overtakes those that wait, as long as either of the
    /// two gave up its order (msgOrdered). Messages in parts keep their place.
    ///
    /// For wires and framers that keep messages apart; without them what is received would have
    /// no meaning.
    ///
    /// # Errors
    /// The connection is unknown.
    // RFC 9622 §9.1.3.2: the priority is relative to other messages of the connection.
    pub fn set_reorders(
        &mut self,
        connection: ConnectionId,
        reorders: bool,
    ) -> Result<(), QueueError> {
        self.lane_mut(connection)?.set_reorders(reorders);
        Ok(())
    }

    /// Keeps a connection from being served while its wire takes no more bytes.
    ///
    /// # Errors
    /// The connection is unknown.
    pub fn set_blocked(
        &mut self,
        connection: ConnectionId,
        is_blocked: bool,
    ) -> Result<(), QueueError> {
        self.lane_mut(connection)?.is_blocked = is_blocked;
        Ok(())
    }

    /// Whether a message of `bytes` would be accepted as far as the bounds go.
    pub fn has_room(&self, bytes: usize) -> bool {
        fits(self.load, bytes, self.limits)
    }

    /// Whether another part of `bytes` would be accepted as far as the bounds go. The message
    /// that everything else waits for has the bounds to itself: the queue could not empty
    /// otherwise.
    pub fn has_room_for_part(&self, message: OpenMessage, bytes: usize) -> bool {
        if self.has_room(bytes) {
            return true;
        }
        let open = self.open.get(&message);
        let lane = open.and_then(|open| self.lane(open.connection));
        lane.is_some_and(|lane| {
            lane.is_first(message) && fits(lane.load_of(message), bytes, self.limits)
        })
    }

    /// Sets room aside for one send of `bytes`.
    pub fn reserve(&mut self, bytes: usize) -> Option<Reservation> {
        self.has_room(bytes).then(|| {
            self.load.sends += 1;
            self.load.bytes += bytes;
            Reservation { bytes }
        })
    }

    /// Gives reserved room back.
    pub fn release(&mut self, reservation: Reservation) {
        self.load.sends -= 1;
        self.load.bytes -= reservation.bytes;
    }

    /// Queues a whole message.
    ///
    /// # Errors
    /// It is refused, and then it has no completion.
    pub fn push(
        &mut self,
        now: Time,
        connection: ConnectionId,
        message: Message,
        receipt: R,
    ) -> Result<SendId, QueueError> {
        let index = self.check_new(connection, message.data.len())?;
        let deadline = message.context.lifetime().map(|lifetime| now + lifetime);
        let length = message.data.len() as u64;
        Ok(self.enqueue_new(
            index,
            message,
            Some(length),
            deadline,
            (receipt, EndOfMessage::Yes),
        ))
    }

    /// Queues the first part of a message. `length` is that of the whole message, where it is
    /// known: framers that need it then do not wait for the end.
    ///
    /// # Errors
    /// It is refused, and then it has no completion.
    pub fn begin(
        &mut self,
        now: Time,
        connection: ConnectionId,
        message: Message,
        length: Option<u64>,
        receipt: R,
    ) -> Result<(OpenMessage, SendId), QueueError> {
        let here = message.data.len();
        let index = self.check_new(connection, here)?;
        let unsent = check_length(length, here, EndOfMessage::No)?;
        self.check_assembly(index, length, here)?;
        let deadline = message.context.lifetime().map(|lifetime| now + lifetime);
        let context = message.context.clone();
        let id = self.enqueue_new(
            index,
            message,
            length,
            deadline,
            (receipt, EndOfMessage::No),
        );
        let open = Open {
            connection,
            context,
            deadline,
            unsent,
            has_expired: false,
        };
        self.open.insert(OpenMessage(id), open);
        Ok((OpenMessage(id), id))
    }

    /// Queues another part of a message. A part of a message that has expired is accepted and
    /// expires at once.
    ///
    /// # Errors
    /// It is refused, and then it has no completion.
    pub fn append(
        &mut self,
        message: OpenMessage,
        data: Chunks,
        end: EndOfMessage,
        receipt: R,
    ) -> Result<SendId, QueueError> {
        let here = data.len();
        let open = self.open.get(&message).ok_or(QueueError::MessageEnded)?;
        let (connection, has_expired) = (open.connection, open.has_expired);
        let (context, deadline) = (open.context.clone(), open.deadline);
        if has_expired {
            if end == EndOfMessage::Yes {
                self.open.remove(&message);
            }
            let id = self.next_id();
            self.completions.push_back(Completion {
                id,
                connection,
                receipt,
                outcome: Outcome::Expired,
            });
            return Ok(id);
        }
        let unsent = check_length(open.unsent, here, end)?;
        let is_length_known = open.unsent.is_some();
        let index = self.index_or_error(connection)?;
        if self.lanes[index].is_broken {
            return Err(QueueError::StreamBroken);
        }
        let is_waiting = self.lanes[index].on_wire != Some(message);
        if is_waiting && self.waits_for_end(index, is_length_known) {
            let waiting = self.lanes[index].queued_bytes(message) + here;
            self.check_assembly(index, None, waiting)?;
            self.check_parts(index, message)?;
        }
        if !self.has_room_for_part(message, here) {
            return Err(self.full());
        }
        match end {
            EndOfMessage::Yes => drop(self.open.remove(&message)),
            EndOfMessage::No => {
                if let Some(open) = self.open.get_mut(&message) {
                    open.unsent = unsent;
                }
            }
        }
        let id = self.next_id();
        self.add_load(here);
        self.lanes[index].insert(Entry {
            send: QueuedSend {
                id,
                connection,
                context,
                data,
                is_start: false,
                is_end: end == EndOfMessage::Yes,
                length: None,
            },
            message,
            deadline,
            receipt,
        });
        Ok(id)
    }

    /// Withdraws a message that was begun: its queued parts fail with `failure`. Without effect
    /// on one that has ended.
    // A partial send that is dropped must not look like the end of a message, so a stream on
    // which a part may be is broken.
    pub fn abort(&mut self, message: OpenMessage, failure: &Failure) -> Aborted {
        let Some(open) = self.open.remove(&message) else {
            return Aborted::Withdrawn;
        };
        let Some(index) = self.index_of(open.connection) else {
            return Aborted::Withdrawn;
        };
        self.drop_message(index, message, failure);
        let lane = &mut self.lanes[index];
        if lane.on_wire != Some(message) {
            return Aborted::Withdrawn;
        }
        lane.is_broken = true;
        Aborted::StreamBroken
    }

    /// Whether a whole message may go to the wire without being queued, because nothing of its
    /// connection is queued or in flight and it is not the final one. If so it counts as accepted:
    /// the caller frames and writes it at once, and calls [`SendQueue::track`] if not all of it
    /// could be written.
    ///
    /// # Errors
    /// A message would be refused.
    pub fn may_send_directly(
        &self,
        connection: ConnectionId,
        context: &MessageContext,
    ) -> Result<bool, QueueError> {
        let lane = &self.lanes[self.check_open_lane(connection)?];
        Ok(lane.is_idle() && !lane.is_blocked && !context.is_final())
    }

    /// Whether [`SendQueue::may_send_directly`] says so of a message about which nothing is said.
    #[inline(always)]
    pub fn is_idle_for(&self, connection: ConnectionId) -> bool {
        let mut lanes = self.lanes.iter();
        let lane = lanes.find(|lane| lane.connection == connection);
        lane.is_some_and(|lane| {
            lane.is_idle() && !lane.is_blocked && !lane.is_broken && lane.last.is_none()
        })
    }

    /// Whether a final message was accepted and neither refused, withdrawn nor expired.
    pub fn has_final(&self, connection: ConnectionId) -> bool {
        self.lane(connection)
            .is_some_and(|lane| lane.last.is_some())
    }

    /// Counts a message that went to the wire directly, and not wholly, as in flight.
    ///
    /// # Errors
    /// The connection is unknown.
    pub fn track(
        &mut self,
        connection: ConnectionId,
        bytes: usize,
        receipt: R,
    ) -> Result<SendId, QueueError> {
        let index = self.index_or_error(connection)?;
        let id = self.next_id();
        self.add_load(bytes);
        self.lanes[index].track(id, bytes, receipt);
        Ok(id)
    }

    /// Takes out the send that is next, after expiring what is due. It is then in flight: frame
    /// it, mark the wire buffer, and report with [`SendQueue::on_sent`] or
    /// [`SendQueue::refuse`].
    pub fn pop(&mut self, now: Time) -> Option<QueuedSend> {
        self.expire(now);
        let policy = self.policy;
        let heads = self.lanes.iter_mut().filter_map(|lane| {
            let rank = rank(policy, lane.priority, lane.head()?);
            Some((rank, lane))
        });
        let (_, lane) = heads.min_by_key(|(rank, _)| *rank)?;
        let head = lane.head()?;
        if let Some(deadline) = head.deadline {
            self.deadlines.remove(&(deadline, head.message));
        }
        lane.pop()
    }

    /// The first `count` sends in flight of a connection have left the wire buffer.
    pub fn on_sent(&mut self, connection: ConnectionId, count: usize) {
        let Some(index) = self.index_of(connection) else {
            return;
        };
        for _ in 0..count {
            let done = self.lanes[index].complete_first(Outcome::Sent);
            debug_assert!(
                done.is_some(),
                "more sends left the wire than were in flight"
            );
            self.complete(done);
        }
    }

    /// The send that [`SendQueue::pop`] returned last for this connection could not be framed:
    /// it fails, with what is queued of its message. When bytes of it are in the wire buffer,
    /// the stream is broken and nothing more is sent on it.
    pub fn refuse(&mut self, send: &QueuedSend, failure: &Failure, is_stream_broken: bool) {
        let Some(index) = self.index_of(send.connection) else {
            return;
        };
        let failed = self.lanes[index].complete_last(Outcome::Failed(failure.clone()));
        self.complete(failed);
        let lane = &mut self.lanes[index];
        lane.is_broken |= is_stream_broken;
        if let Some(message) = lane.on_wire.take() {
            self.open.remove(&message);
            self.drop_message(index, message, failure);
        }
        if send.context.is_final() {
            self.lanes[index].last = None;
        }
    }

    /// Expires the messages whose lifetime has passed and of which nothing has left the queue.
    pub fn expire(&mut self, now: Time) {
        if self.next_expiry().is_none_or(|first| first > now) {
            return;
        }
        for index in 0..self.lanes.len() {
            let on_wire = self.lanes[index].on_wire;
            let is_due = |entry: &Entry<R>| {
                Some(entry.message) != on_wire && entry.deadline.is_some_and(|due| due <= now)
            };
            let expired = self.lanes[index].take_entries(is_due);
            for entry in expired {
                if let Some(open) = self.open.get_mut(&entry.message) {
                    open.has_expired = true;
                }
                self.complete_entry(index, entry, Outcome::Expired);
            }
        }
    }

    /// When the next message expires, if none of it leaves the queue before.
    pub fn next_expiry(&self) -> Option<Time> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Fails everything that a connection has not sent, what is in flight first, and refuses
    /// its further parts. The connection stays in the group.
    pub fn fail_connection(&mut self, connection: ConnectionId, failure: &Failure) {
        if let Some(index) = self.index_of(connection) {
            self.fail_lane(index, failure);
        }
    }

    /// Fails everything of all connections.
    pub fn fail_all(&mut self, failure: &Failure) {
        for index in 0..self.lanes.len() {
            self.fail_lane(index, failure);
        }
    }

    /// The next completion. Sends that were sent complete in the order in which they were sent.
    pub fn poll_completion(&mut self) -> Option<Completion<R>> {
        self.completions.pop_front()
    }

    /// Whether nothing is queued or in flight on any connection, and no message is unfinished.
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(Lane::is_idle)
    }

    /// Whether nothing of a connection is queued or in flight, and none of its messages is
    /// unfinished.
    pub fn is_connection_idle(&self, connection: ConnectionId) -> bool {
        self.lane(connection).is_none_or(Lane::is_idle)
    }

    /// The bytes that are queued, in flight or reserved.
    pub fn queued_bytes(&self) -> usize {
        self.load.bytes
    }

    /// The sends that are queued, in flight or reserved.
    pub fn queued_sends(&self) -> usize {
        self.load.sends
    }

    fn index_of(&self, connection: ConnectionId) -> Option<usize> {
        self.lanes
            .iter()
            .position(|lane| lane.connection == connection)
    }

    fn index_or_error(&self, connection: ConnectionId) -> Result<usize, QueueError> {
        self.index_of(connection)
            .ok_or(QueueError::UnknownConnection(connection))
    }

    fn lane(&self, connection: ConnectionId) -> Option<&Lane<R>> {
        self.index_of(connection).map(|index| &self.lanes[index])
    }

    fn lane_mut(&mut self, connection: ConnectionId) -> Result<&mut Lane<R>, QueueError> {
        let index = self.index_or_error(connection)?;
        Ok(&mut self.lanes[index])
    }

    fn next_id(&mut self) -> SendId {
        self.next_id += 1;
        SendId(self.next_id)
    }

    fn add_load(&mut self, bytes: usize) {
        self.load.sends += 1;
        self.load.bytes += bytes;
    }

    fn full(&self) -> QueueError {
        QueueError::Full {
            sends: self.load.sends,
            bytes: self.load.bytes,
        }
    }

    /// Whether the connection takes new messages.
    fn check_open_lane(&self, connection: ConnectionId) -> Result<usize, QueueError> {
        let index = self.index_or_error(connection)?;
        if self.lanes[index].is_broken {
            return Err(QueueError::StreamBroken);
        }
        // RFC 9622 §9.1.3.5: nothing is sent after a final message.
        if self.lanes[index].last.is_some() {
            return Err(QueueError::AfterFinal);
        }
        Ok(index)
    }

    fn check_new(&self, connection: ConnectionId, bytes: usize) -> Result<usize, QueueError> {
        let index = self.check_open_lane(connection)?;
        match self.has_room(bytes) {
            true => Ok(index),
            false => Err(self.full()),
        }
    }

    /// Whether a message of which `bytes` wait for its end can ever be complete.
    fn check_assembly(
        &self,
        index: usize,
        length: Option<u64>,
        bytes: usize,
    ) -> Result<(), QueueError> {
        if self.waits_for_end(index, length.is_some()) && bytes > self.limits.bytes_max {
            return Err(QueueError::TooLongToAssemble {
                bytes,
                limit: self.limits.bytes_max,
            });
        }
        Ok(())
    }

    /// Whether the first part of a message waits for the last one.
    fn waits_for_end(&self, index: usize, is_length_known: bool) -> bool {
        match self.lanes[index].partial_sends {
            PartialSends::Stream => false,
            PartialSends::Assemble => !is_length_known,
            PartialSends::Whole => true,
        }
    }

    /// A message that waits for its last part must leave room for it.
    fn check_parts(&self, index: usize, message: OpenMessage) -> Result<(), QueueError> {
        let lane = &self.lanes[index];
        let parts = lane.queued_parts(message) + 1;
        if parts > self.limits.sends_max.max(1) {
            return Err(QueueError::TooManyPartsToAssemble {
                parts,
                limit: self.limits.sends_max,
            });
        }
        Ok(())
    }

    fn enqueue_new(
        &mut self,
        index: usize,
        message: Message,
        length: Option<u64>,
        deadline: Option<Time>,
        (receipt, end): (R, EndOfMessage),
    ) -> SendId {
        let id = self.next_id();
        let key = OpenMessage(id);
        self.add_load(message.data.len());
        if let Some(due) = deadline {
            self.deadlines.insert((due, key));
        }
        let lane = &mut self.lanes[index];
        if message.context.is_final() {
            lane.last = Some(key);
        }
        lane.push(Entry {
            send: QueuedSend {
                id,
                connection: lane.connection,
                context: message.context,
                data: message.data,
                is_start: true,
                is_end: end == EndOfMessage::Yes,
                length,
            },
            message: key,
            deadline,
            receipt,
        });
        id
    }

    /// Fails the queued parts of a message.
    fn drop_message(&mut self, index: usize, message: OpenMessage, failure: &Failure) {
        for entry in self.lanes[index].take_entries(|entry| entry.message == message) {
            self.complete_entry(index, entry, Outcome::Failed(failure.clone()));
        }
    }

    fn fail_lane(&mut self, index: usize, failure: &Failure) {
        let outcome = Outcome::Failed(failure.clone());
        while let Some(done) = self.lanes[index].complete_first(outcome.clone()) {
            self.complete(Some(done));
        }
        for entry in self.lanes[index].take_entries(|_| true) {
            self.complete_entry(index, entry, outcome.clone());
        }
        let lane = &mut self.lanes[index];
        // What was cut off in mid-message cannot go on, so a new message would be taken for
        // its rest.
        lane.is_broken |= lane.on_wire.take().is_some();
        let connection = lane.connection;
        self.open.retain(|_, open| open.connection != connection);
    }

    /// Completes a send that was still queued.
    fn complete_entry(&mut self, index: usize, entry: Entry<R>, outcome: Outcome) {
        if let Some(due) = entry.deadline {
            self.deadlines.remove(&(due, entry.message));
        }
        let lane = &mut self.lanes[index];
        // A final message that was never sent leaves the direction open.
        if lane.last == Some(entry.message) {
            lane.last = None;
        }
        let completion = Completion {
            id: entry.send.id,
            connection: lane.connection,
            receipt: entry.receipt,
            outcome,
        };
        self.complete(Some((completion, entry.send.data.len())));
    }

    fn complete(&mut self, done: Option<(Completion<R>, usize)>) {
        if let Some((completion, bytes)) = done {
            self.load.sends -= 1;
            self.load.bytes -= bytes;
            self.completions.push_back(completion);
        }
    }
}

/// Whether one more send of `bytes` fits; one that is alone always does.
fn fits(load: Load, bytes: usize, limits: QueueLimits) -> bool {
    load.sends == 0
        || (load.sends < limits.sends_max && load.bytes.saturating_add(bytes) <= limits.bytes_max)
}

/// What is left of an announced length after a part.
fn check_length(
    announced: Option<u64>,
    here: usize,
    end: EndOfMessage,
) -> Result<Option<u64>, QueueError> {
    let Some(announced) = announced else {
        return Ok(None);
    };
    let given = here as u64;
    match announced.checked_sub(given) {
        Some(rest) if rest == 0 || end == EndOfMessage::No => Ok(Some(rest)),
        _ => Err(QueueError::LengthMismatch { given, announced }),
    }
}

/// Lower goes first.
fn rank<R>(policy: Policy, priority: u32, head: &Entry<R>) -> (u32, u32, SendId) {
    match policy {
        Policy::FirstComeFirstServed => (0, 0, head.send.id),
        Policy::StrictPriority => (priority, head.send.context.priority(), head.send.id),
    }
}

/// The failure of sends whose message the application dropped before its end.
pub fn dropped_in_mid_message() -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::Cancelled,
        "message dropped before its end",
    )
}
