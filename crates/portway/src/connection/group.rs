//! The state of one connection, behind one lock (DESIGN: who owns a send).
//!
//! ```text
//! Establishing ──install──▶ Established ──close, final handle──▶ Closing ──acknowledged──▶ Closed
//!       └────────────────────────┴──── failure, abort ───────────────┴───────────────────────▲
//! ```
//!
//! Invariant: every method is called with the lock held and never waits.

use super::Siblings;
use super::inbound::{Fill, Inbound};
use super::link::{Link, LinkStart};
use super::outbound::{Flush, Outbound, SendFailure};
use super::shared::Shared;
use super::waiters::{Place, Waiters};
use crate::error::{ReceiveError, SendError};
use crate::event::{ConnectionEvent, EventHub, Events};
use crate::preconnection::{ConnectionLimits, Defaults, Preconnection};
use crate::receipt::Receipt;
use bytes::BytesMut;
use portway_core::framer::{Demand, Pipeline};
use portway_core::message::{Message, ReceivedMessage};
use portway_core::property::{
    Action, ConnectionProperties, ConnectionState, Direction, TransportProperties,
};
use portway_core::race::Recording;
use portway_core::security::Protection;
use portway_core::send_queue::QueueLimits;
use portway_core::{Failure, FailureKind, Origin, StackId, Time};
use portway_transport::context::RaceId;
use portway_transport::failure_map::failure_from_io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(crate) struct Group {
    state: ConnectionState,
    pub(super) link: Option<Link>,
    pub(super) pipeline: Pipeline,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) sending: Sending,
    pub(super) writer: Writer,
    pub(super) writer_task: WriterTask,
    /// Nobody holds a handle any more; what is left to be sent holds the connection until the
    /// end.
    orphan: Option<Box<Orphan>>,
    /// Everything but the last words was acknowledged when they were said.
    is_delivered: bool,
    /// A closing task runs.
    pub(super) has_closer: bool,
    pub(super) waiters: Waiters,
    events: EventHub,
    ending: Option<Box<Ending>>,
    pub(super) details: Box<Details>,
}

/// What is seldom needed.
pub(super) struct Details {
    pub(super) action: Action,
    pub(super) selection: Arc<TransportProperties>,
    pub(super) properties: ConnectionProperties,
    /// `direction` among `selection`, which every send and receive asks for.
    pub(super) direction: Direction,
    /// What the connection started with.
    pub(super) defaults: Arc<Defaults>,
    pub(super) limits: Arc<ConnectionLimits>,
    pub(super) stack: Option<StackId>,
    pub(super) protection: Option<Protection>,
    /// What a sibling is opened with; `None` once the connection has ended.
    pub(super) preconnection: Option<Preconnection>,
    /// The group that the connection is in, until it has ended.
    pub(super) siblings: Option<Arc<Siblings>>,
    pub(super) race: Option<RaceId>,
    pub(super) recording: Option<Box<Recording>>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In an orderly way; everything was acknowledged where the protocol tells.
    Closed,
    /// The peer did not acknowledge everything in time.
    CloseTimedOut { unacknowledged: usize },
    /// By a failure or an abort.
    Failed(Failure),
}

impl Ending {
    /// Whether it was asked for here.
    fn is_ours(&self) -> bool {
        match self {
            Ending::Closed | Ending::CloseTimedOut { .. } => true,
            Ending::Failed(failure) => {
                failure.origin == Origin::Local && failure.kind == FailureKind::Cancelled
            }
        }
    }
}

/// Where the sending direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// Messages are taken.
    Open,
    /// Held back while the protection changes.
    Held,
    /// The last words are on their way.
    Finishing,
    /// The end was sent.
    Shut,
}

/// A connection that nobody holds, and that holds itself while something accepted is not sent.
struct Orphan {
    _shared: Arc<Shared>,
    /// Until when it waits for its peer to take something, and how much was left then.
    lingering: Option<(Time, usize)>,
}

/// Who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// Whoever has something to write.
    Anybody,
    /// The writer's task holds the token.
    Task,
}

/// What the group knows of its writer's task.
#[derive(Default)]
pub(super) struct WriterTask {
    pub(super) exists: bool,
    /// Wakes it when it has work, an earlier message to expire, or nothing more to wait for.
    pub(super) waker: Option<Waker>,
    /// When it wakes by itself.
    pub(super) armed_for: Option<Time>,
}

impl WriterTask {
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Group {
    pub(super) fn new(preconnection: &Preconnection, action: Action) -> Self {
        let needs = &*preconnection.needs;
        let defaults = needs.defaults(action);
        let limits = needs.limits.clone();
        let queue = QueueLimits::new(limits.send_queue_bytes, limits.send_queue_messages);
        Group {
            state: ConnectionState::Establishing,
            link: None,
            pipeline: Pipeline::empty(),
            inbound: Inbound::unconnected(),
            outbound: Outbound::new(queue),
            sending: Sending::Open,
            writer: Writer::Anybody,
            writer_task: WriterTask::default(),
            orphan: None,
            is_delivered: false,
            has_closer: false,
            waiters: Waiters::default(),
            events: EventHub::default(),
            ending: None,
            details: Box::new(Details {
                action,
                selection: needs.properties.clone(),
                properties: defaults.properties.clone(),
                direction: needs.properties.direction(),
                defaults: defaults.clone(),
                limits,
                stack: None,
                protection: None,
                preconnection: Some(preconnection.clone()),
                siblings: None,
                race: None,
                recording: None,
            }),
        }
    }

    pub(crate) fn state(&self) -> ConnectionState {
        self.state
    }

    pub(crate) fn subscribe(&mut self) -> Events {
        self.events.subscribe()
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.events.has_listeners()
    }

    pub(crate) fn emit(&mut self, event: ConnectionEvent) {
        self.events.emit(event);
    }

    pub(super) fn install(
        &mut self,
        start: LinkStart,
        race: Option<RaceId>,
        recording: Option<Box<Recording>>,
    ) {
        if self.state != ConnectionState::Establishing {
            return;
        }
        self.pipeline = start.pipeline;
        self.inbound = start.inbound;
        self.inbound
            .set_message_bytes_max(self.details.limits.receive_message_bytes);
        self.outbound.set_pipeline(&self.pipeline, &start.link);
        super::properties::carry_out_changes(&self.details, &start.link);
        self.link = Some(start.link);
        self.details.stack = Some(start.stack);
        self.details.protection = start.protection;
        self.details.siblings = start.siblings;
        self.details.direction = start.direction;
        self.details.race = race;
        self.details.recording = recording;
        self.state = ConnectionState::Established;
        self.emit(ConnectionEvent::Ready);
        self.wake_waiters();
    }

    /// Puts what waits into the order of its priorities, where messages may change theirs.
    pub(super) fn reorder(&mut self) {
        if let Some(link) = &self.link {
            self.outbound.set_reorders(&self.pipeline, link);
        }
    }

    /// Makes the connection a member of a group, unless it has ended.
    pub(super) fn join(&mut self, siblings: &Arc<Siblings>) {
        if self.state != ConnectionState::Closed {
            self.details.siblings = Some(siblings.clone());
        }
    }

    pub(super) fn keep_race(&mut self, race: Option<RaceId>) {
        self.details.race = race;
    }

    /// Accepts a message; `None` when there is no room, and then `message` is still there.
    pub(super) fn send(
        &mut self,
        now: impl Fn() -> Time,
        message: &mut Option<Message>,
    ) -> Option<Result<Receipt, SendError>> {
        if let Err(error) = self.check_open().and_then(|()| self.check(message)) {
            return Some(Err(error));
        }
        if self.may_write()
            && let Some(link) = &mut self.link
            && let Some(result) = self
                .outbound
                .send_directly(message, link, &mut self.pipeline)
        {
            self.tell_soft_error();
            return Some(self.after_direct_send(result));
        }
        if !self.outbound.queue.has_room(message.as_ref()?.data.len()) {
            return None;
        }
        // A framer that has stepped aside since the last send tells no messages apart.
        self.reorder();
        let now = now();
        match self.outbound.enqueue(now, message.take()?) {
            Ok(receipt) => {
                self.pump(now);
                Some(Ok(receipt))
            }
            Err(error) => Some(Err(super::outbound::refused(error))),
        }
    }

    pub(super) fn after_direct_send(
        &mut self,
        result: Result<(Receipt, Flush), SendFailure>,
    ) -> Result<Receipt, SendError> {
        self.look_again();
        match result {
            Ok((receipt, Flush::Done)) => Ok(receipt),
            Ok((receipt, Flush::Blocked)) => {
                self.is_blocked();
                Ok(receipt)
            }
            Err(SendFailure::Refused(error)) => Err(error),
            Err(SendFailure::Broken(failure)) => {
                self.hear_out();
                self.end(Ending::Failed(failure.clone()));
                Err(SendError::Failed(failure))
            }
        }
    }

    /// Lets who receives look at what is there once more: a framer that keeps the order may have
    /// waited for a message to leave.
    fn look_again(&mut self) {
        if self.pipeline.keeps_order() && self.inbound.unread_bytes() > 0 {
            self.inbound.wake_reader();
        }
    }

    /// Whether the application may send.
    pub(super) fn check_open(&self) -> Result<(), SendError> {
        match self.state {
            ConnectionState::Establishing | ConnectionState::Established => {}
            ConnectionState::Closing | ConnectionState::Closed => {
                return Err(SendError::Closed(self.ending_failure()));
            }
        }
        if self.outbound.ends() {
            return Err(SendError::Closed(Failure::new(
                Origin::Local,
                FailureKind::Closed,
                "the sending direction has ended",
            )));
        }
        match self.details.direction.can_send() {
            true => Ok(()),
            false => Err(SendError::InconsistentProperties(
                "the direction of this connection is to receive only".to_owned(),
            )),
        }
    }

    pub(super) fn check(&self, message: &mut Option<Message>) -> Result<(), SendError> {
        let Some(message) = message else {
            return Ok(());
        };
        super::properties::check_message(message, &self.details, self.link.as_ref())?;
        if let Some(Link::Datagrams(link)) = &self.link {
            let may_fragment = !super::properties::forbids_fragments(message);
            let max = link.socket.payload_max(link.peer, may_fragment);
            let size = message.data.len();
            if size > max {
                return Err(SendError::TooLarge { size, max });
            }
        }
        Ok(())
    }

    /// Whether the caller may write: the writer token is free and nothing holds writes back.
    fn may_write(&self) -> bool {
        self.writer == Writer::Anybody && self.sending == Sending::Open
    }

    /// Writes what can be written, unless the writer's task does.
    pub(super) fn pump(&mut self, now: Time) {
        if self.writer == Writer::Anybody {
            self.write(now);
        }
    }

    /// Writes what can be written; returns whether the carrier blocks.
    pub(super) fn write(&mut self, now: Time) -> Flush {
        if self.sending == Sending::Held {
            return Flush::Done;
        }
        let before = self.progress();
        let flushed = self.flush(now);
        self.look_again();
        match flushed {
            Ok(Flush::Done) => {
                self.shut_when_flushed();
                // Waiters write too, so waking them for nothing would never end.
                if self.progress() != before {
                    self.wake_waiters();
                }
                Flush::Done
            }
            Ok(Flush::Blocked) => {
                if self.outbound.queue.has_room(1) {
                    self.wake_waiters();
                }
                self.is_blocked();
                Flush::Blocked
            }
            Err(failure) => {
                self.end_by(failure);
                Flush::Done
            }
        }
    }

    fn flush(&mut self, now: Time) -> Result<Flush, Failure> {
        let flushed = self.flush_link(now);
        self.tell_soft_error();
        flushed
    }

    fn flush_link(&mut self, now: Time) -> Result<Flush, Failure> {
        let Some(link) = &mut self.link else {
            return Ok(Flush::Done);
        };
        let flushed = self.outbound.pump(now, link, &mut self.pipeline)?;
        // RFC 9622 §9.1.3.5: a final message ends the sending direction.
        let is_due = self.outbound.ends() && self.outbound.is_flushed();
        if flushed == Flush::Done && is_due && self.sending == Sending::Open {
            self.finish_sending();
            let Some(link) = &mut self.link else {
                return Ok(Flush::Done);
            };
            return self.outbound.pump(now, link, &mut self.pipeline);
        }
        Ok(flushed)
    }

    /// Tells an error that did not end the connection, if one was met.
    fn tell_soft_error(&mut self) {
        let Some(Link::Datagrams(link)) = &self.link else {
            return;
        };
        if let Some(failure) = link.soft_error.take() {
            self.emit(ConnectionEvent::SoftError(*failure));
        }
    }

    /// What waiters wait for: room in the queue, everything written, the end of the direction.
    fn progress(&self) -> (usize, usize, bool, Sending) {
        let queue = &self.outbound.queue;
        let is_flushed = self.outbound.is_flushed();
        (
            queue.queued_sends(),
            queue.queued_bytes(),
            is_flushed,
            self.sending,
        )
    }

    /// Expires what is due, whoever may write.
    pub(super) fn expire(&mut self, now: Time) {
        self.outbound.queue.expire(now);
        if self.outbound.complete() {
            self.wake_waiters();
        }
    }

    /// Hands the writer token to the task, which whoever holds the `Shared` starts.
    fn is_blocked(&mut self) {
        // A task that writes and blocks again waits for the carrier, not for itself.
        if self.writer == Writer::Anybody {
            self.writer = Writer::Task;
            self.writer_task.wake();
        }
    }

    /// The writer's task has nothing left to do.
    pub(super) fn rest_writer(&mut self) {
        self.writer = Writer::Anybody;
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.outbound.is_flushed()
    }

    /// Sends the last words and then the end of the stream, once everything else is out.
    pub(super) fn finish_sending(&mut self) {
        if self.sending != Sending::Open {
            return;
        }
        let Some(link) = &mut self.link else { return };
        self.sending = Sending::Finishing;
        self.is_delivered = match link {
            Link::Bytes(link) => link.socket.unacknowledged().is_ok_and(|bytes| bytes == 0),
            Link::Datagrams(_) => true,
        };
        if let Err(failure) = self.outbound.say_goodbye(link, &mut self.pipeline) {
            self.end(Ending::Failed(failure));
        }
    }

    fn shut_when_flushed(&mut self) {
        if self.sending != Sending::Finishing || !self.outbound.is_flushed() {
            return;
        }
        self.sending = Sending::Shut;
        if let Some(Link::Bytes(link)) = &self.link
            && let Err(error) = link.socket.shutdown_write()
        {
            self.end_by(failure_from_io(&error, "cannot end the stream"));
        }
    }

    /// Drops what was received and not delivered, before the end.
    pub(super) fn forget_received(&mut self) {
        self.inbound.forget();
        // The framers may be in the middle of what is gone.
        self.pipeline = Pipeline::empty();
    }

    /// Ends both directions of the carrier at once.
    pub(super) fn reset(&mut self) {
        if let Some(Link::Bytes(link)) = &self.link {
            link.socket.abort();
        }
    }

    /// Holds writes back, if nothing else does; whether it did.
    pub(super) fn hold(&mut self) -> bool {
        let is_open = self.sending == Sending::Open;
        if is_open {
            self.sending = Sending::Held;
        }
        is_open
    }

    pub(super) fn is_sent_to_the_end(&self) -> bool {
        self.sending == Sending::Shut || matches!(self.link, Some(Link::Datagrams(_)))
    }

    pub(super) fn begin_closing(&mut self) {
        if self.state == ConnectionState::Established {
            self.state = ConnectionState::Closing;
            self.wake_all();
        }
    }

    /// Nobody holds a handle any more, and the connection is not at its end.
    pub(super) fn orphan(&mut self, shared: Arc<Shared>) {
        if self.state != ConnectionState::Closed {
            self.orphan = Some(Box::new(Orphan {
                _shared: shared,
                lingering: None,
            }));
            self.writer_task.wake();
        }
    }

    pub(super) fn is_orphaned(&self) -> bool {
        self.orphan.is_some()
    }

    /// When a connection that nobody holds is given up, unless its peer takes something before.
    pub(super) fn linger_deadline(&mut self, now: Time) -> Option<Time> {
        let orphan = self.orphan.as_mut()?;
        let left = self.outbound.left_bytes();
        match orphan.lingering {
            Some((deadline, before)) if left >= before => Some(deadline),
            _ => {
                let deadline = now + self.details.limits.linger;
                orphan.lingering = Some((deadline, left));
                Some(deadline)
            }
        }
    }

    /// Gives a connection up that nobody holds and whose peer takes nothing.
    pub(super) fn give_up(&mut self) {
        self.reset();
        self.end(Ending::Failed(Failure::new(
            Origin::Local,
            FailureKind::TimedOut,
            "the peer took nothing of what was left when the connection was dropped",
        )));
    }

    /// The carrier failed. A peer that has everything may well be gone when the last words come.
    pub(super) fn end_by(&mut self, failure: Failure) {
        self.hear_out();
        let is_delivered = self.is_delivered && self.state == ConnectionState::Closing;
        self.end(match is_delivered {
            true => Ending::Closed,
            false => Ending::Failed(failure),
        });
    }

    /// Takes what the peer sent before the carrier failed: it is not lost with our own words, and
    /// it may say why, such as a TLS alert. The system's buffer bounds it.
    fn hear_out(&mut self) {
        if let Some(link @ Link::Bytes(_)) = &mut self.link {
            let mut answers = BytesMut::new();
            while !self.inbound.has_ended() && self.inbound.fill(link, &mut answers) == Fill::More {
            }
        }
    }

    /// The end: everything open completes, and nothing follows.
    pub(super) fn end(&mut self, ending: Ending) {
        if self.state == ConnectionState::Closed {
            return;
        }
        self.state = ConnectionState::Closed;
        let failure = match &ending {
            Ending::Failed(failure) => failure.clone(),
            other => closed(other),
        };
        self.outbound.fail(&failure);
        // RFC 9622 §11: nothing follows an end that was asked for here. What came before a failure
        // is still there to be received.
        if ending.is_ours() {
            self.forget_received();
        }
        self.inbound.fail(failure.clone());
        self.emit(match &ending {
            Ending::Closed => ConnectionEvent::Closed,
            _ => ConnectionEvent::ConnectionError(failure),
        });
        self.ending = Some(Box::new(ending));
        self.link = None;
        self.details.preconnection = None;
        // The last one to leave a group closes the transport that it shares.
        self.details.siblings = None;
        // Whoever called holds the connection, so this is not the last reference.
        self.orphan = None;
        self.inbound.wake_reader();
        self.writer = Writer::Anybody;
        self.writer_task.wake();
        self.wake_all();
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending.as_deref().cloned()
    }

    pub(super) fn ending_failure(&self) -> Failure {
        match self.ending.as_deref() {
            Some(Ending::Failed(failure)) => failure.clone(),
            Some(other) => closed(other),
            None => Failure::new(
                Origin::Local,
                FailureKind::Closed,
                "the connection is closing",
            ),
        }
    }

    /// The next message or part, or registers `context` for when there may be one.
    pub(super) fn poll_receive(
        &mut self,
        now: impl Fn() -> Time,
        demand: Demand,
        place: &mut Place,
        context: &mut Context<'_>,
    ) -> Poll<Result<ReceivedMessage, ReceiveError>> {
        if self.state == ConnectionState::Establishing {
            self.wait(place, context.waker());
            return Poll::Pending;
        }
        if !self.details.direction.can_receive() {
            return Poll::Ready(Err(ReceiveError::Finished));
        }
        let mut lacks_bytes = self.inbound.is_awaited_by(place);
        for _ in 0..FILLS_PER_POLL {
            if !lacks_bytes {
                match self.inbound.next(&mut self.pipeline, demand) {
                    Ok(Some(message)) => return Poll::Ready(Ok(message)),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(self.after_receive_error(error))),
                }
            }
            let Some(link) = &mut self.link else {
                return Poll::Ready(Err(ReceiveError::Closed(self.ending_failure())));
            };
            let Poll::Ready(readable) = self.inbound.poll_carrier(link, context) else {
                self.inbound.keep_reader(place, context.waker());
                return Poll::Pending;
            };
            let filled = self.inbound.fill(link, &mut self.outbound.sealed);
            lacks_bytes = filled == Fill::WouldBlock;
            match (filled, readable) {
                (Fill::More, _) => {
                    self.tell_soft_error();
                    self.answer(&now);
                }
                (Fill::WouldBlock, Ok(())) => {}
                // Only a carrier whose runtime is gone fails here, and it never recovers.
                (Fill::WouldBlock, Err(error)) => {
                    self.end(Ending::Failed(failure_from_io(&error, "cannot receive")));
                    lacks_bytes = false;
                }
            }
        }
        // A peer that sends much and completes nothing must not keep the lock and the thread.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends what the layer wants to say in answer to what it read.
    fn answer(&mut self, now: impl Fn() -> Time) {
        if !self.outbound.sealed.is_empty() {
            self.pump(now());
        }
    }

    fn after_receive_error(&mut self, error: ReceiveError) -> ReceiveError {
        let is_stream = matches!(self.link, Some(Link::Bytes(_)));
        match &error {
            ReceiveError::Failed(failure) if self.link.is_some() => {
                self.end(Ending::Failed(failure.clone()));
            }
            // The rest of a stream whose framing is lost has no meaning; the next datagram has.
            ReceiveError::Framer(failure) if is_stream => {
                self.end(Ending::Failed(failure.clone()));
            }
            ReceiveError::Failed(failure) if self.ending().is_some_and(|end| end.is_ours()) => {
                return ReceiveError::Closed(failure.clone());
            }
            _ => {}
        }
        error
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.writer_task.wake();
        self.wake_all();
    }
}

/// The failure of a connection whose task was dropped before its work was done.
pub(super) fn runtime_gone() -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::Cancelled,
        "the runtime of the connection was shut down",
    )
}

fn closed(ending: &Ending) -> Failure {
    match ending {
        Ending::CloseTimedOut { unacknowledged } => Failure::new(
            Origin::Local,
            FailureKind::TimedOut,
            format!("the last {unacknowledged} bytes were not acknowledged before the time-out"),
        ),
        _ => Failure::new(
            Origin::Local,
            FailureKind::Closed,
            "the connection was closed",
        ),
    }
}

/// Reads of one poll before others get their turn.
const FILLS_PER_POLL: usize = 64;
