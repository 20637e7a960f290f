//! The protocol's state as it resides in the QUIC connection, and who waits for what.
//!
//! Invariant: a slot exists exactly as long as a half of its stream is held by the application and
//! not complete.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use portway_h3::error::{Code, ConnectionError, StreamError};
use portway_h3::{Connection, Event, Incoming, Role, SendError, StreamId, StreamMap};
use portway_transport::quic::{Host, Resident};

use super::carrier::Carrier;
use super::opening::Opening;
use super::options::Options;
use super::server::Accepted;
use super::waiting::{WaitList, keep};

/// HTTP/3 in its QUIC connection.
pub(super) struct Engine {
    pub(super) http: Connection,
    slots: StreamMap<Slot>,
    pub(super) opening: Opening,
    /// Requests that nobody has accepted yet.
    requests: VecDeque<StreamId>,
    pub(super) accepting: WaitList,
    /// Waits for news of the connection: settings, GOAWAY, its end.
    pub(super) watching: WaitList,
    life: Life,
    began: Option<Instant>,
}

/// How far the connection's end is.
#[derive(Default)]
struct Life {
    /// The server's handle is gone: nobody accepts requests.
    is_abandoned: bool,
    /// Nothing is in flight after a shutdown.
    is_drained: bool,
}

/// A stream of the application.
#[derive(Default)]
struct Slot {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Why the peer wants no more of what is sent.
    stopped: Option<StreamError>,
    has_receiver: bool,
    has_sender: bool,
}

impl Slot {
    fn new(has_receiver: bool, has_sender: bool) -> Self {
        Slot {
            has_receiver,
            has_sender,
            ..Slot::default()
        }
    }
}

impl Resident for Engine {
    fn on_events(&mut self, host: &mut Host<'_>) {
        let now = host.now();
        let began = *self.began.get_or_insert(now);
        let mut can_open = false;
        let mut carrier = Carrier {
            host,
            can_open: &mut can_open,
        };
        self.http
            .drive(&mut carrier, now.saturating_duration_since(began));
        self.dispatch(host);
        if can_open {
            self.grant(host);
        }
        if self.life.is_drained && self.is_acknowledged(host) {
            wake_all(host, self.watching.drain());
        }
    }
}

impl Engine {
    pub(super) fn new(role: Role, options: &Options) -> Self {
        Engine {
            http: Connection::new(role, options.http.clone()),
            slots: StreamMap::default(),
            opening: Opening::default(),
            requests: VecDeque::new(),
            accepting: WaitList::default(),
            watching: WaitList::default(),
            life: Life::default(),
            began: None,
        }
    }

    /// Gives QUIC what the application's call has made, and tells what follows.
    pub(super) fn flush(&mut self, host: &mut Host<'_>) {
        let mut can_open = false;
        self.http.flush(&mut Carrier {
            host,
            can_open: &mut can_open,
        });
        self.dispatch(host);
    }

    /// Wakes whom the protocol's news concern.
    fn dispatch(&mut self, host: &mut Host<'_>) {
        while let Some(event) = self.http.poll_event() {
            match event {
                Event::Request(stream) => self.on_request(stream, host),
                Event::Readable(stream) => {
                    if let Some(slot) = self.slots.get_mut(&stream)
                        && let Some(waker) = slot.reader.take()
                    {
                        host.wake(waker);
                    }
                }
                Event::Writable(stream) => self.wake_writer(stream, host),
                Event::Stopped(stream, error) => {
                    if let Some(slot) = self.slots.get_mut(&stream) {
                        slot.stopped = Some(error);
                    }
                    self.wake_writer(stream, host);
                }
                Event::GoAway { .. } => {
                    wake_all(host, self.opening.drain());
                    wake_all(host, self.watching.drain());
                }
                Event::Drained => {
                    self.life.is_drained = true;
                    wake_all(host, self.accepting.drain());
                    wake_all(host, self.watching.drain());
                }
                Event::Closed(_) => self.on_closed(host),
                _ => wake_all(host, self.watching.drain()),
            }
        }
    }

    fn on_request(&mut self, stream: StreamId, host: &mut Host<'_>) {
        if self.life.is_abandoned {
            self.refuse(stream);
            return;
        }
        self.requests.push_back(stream);
        wake_all(host, self.accepting.drain());
    }

    fn on_closed(&mut self, host: &mut Host<'_>) {
        for slot in self.slots.values_mut() {
            slot.reader.take().into_iter().for_each(|it| host.wake(it));
            slot.writer.take().into_iter().for_each(|it| host.wake(it));
        }
        wake_all(host, self.opening.drain());
        wake_all(host, self.accepting.drain());
        wake_all(host, self.watching.drain());
    }

    fn wake_writer(&mut self, stream: StreamId, host: &mut Host<'_>) {
        if let Some(slot) = self.slots.get_mut(&stream)
            && let Some(waker) = slot.writer.take()
        {
            host.wake(waker);
        }
    }

    /// Opens streams for those who wait.
    pub(super) fn grant(&mut self, host: &mut Host<'_>) {
        let mut woken = Vec::new();
        self.opening.grant(|| open(host), |waker| woken.push(waker));
        wake_all(host, woken);
    }

    /// Whether the peer has acknowledged everything but what our critical streams may still say.
    pub(super) fn is_acknowledged(&self, host: &mut Host<'_>) -> bool {
        host.error().is_some() || host.send_streams() <= CRITICAL_STREAMS
    }

    /// Whether nothing is in flight after a shutdown.
    pub(super) fn is_drained(&self) -> bool {
        self.life.is_drained
    }

    /// Keeps a stream's halves.
    pub(super) fn keep_stream(&mut self, stream: StreamId, has_sender: bool) {
        self.slots.insert(stream, Slot::new(true, has_sender));
    }

    /// The next request that nobody has accepted.
    pub(super) fn accept(&mut self) -> Option<Accepted> {
        while let Some(stream) = self.requests.pop_front() {
            // A client that has given up meanwhile is not answered.
            let Some(Ok(Incoming::Request(head))) = self.http.receive(stream) else {
                self.http.release(stream);
                continue;
            };
            self.keep_stream(stream, true);
            let ahead = self.http.receive(stream);
            if ahead.as_ref().is_some_and(is_last) {
                self.end_receiver(stream);
            }
            return Some(Accepted {
                stream,
                head: (*head).into(),
                ahead,
            });
        }
        None
    }

    /// Nobody will accept requests any more: those that wait and those that come are refused.
    pub(super) fn abandon(&mut self, host: &mut Host<'_>) {
        self.life.is_abandoned = true;
        while let Some(stream) = self.requests.pop_front() {
            self.refuse(stream);
        }
        self.flush(host);
    }

    fn refuse(&mut self, stream: StreamId) {
        if self.http.reject(stream).is_err() {
            self.http.release(stream);
        }
    }

    /// The next thing that came in on a stream, and what follows it if that is there, too.
    pub(super) fn receive(
        &mut self,
        stream: StreamId,
        context: &mut Context<'_>,
        host: &mut Host<'_>,
    ) -> (Poll<Received>, Option<Received>) {
        let Some(next) = self.http.receive(stream) else {
            if let Some(slot) = self.slots.get_mut(&stream) {
                keep(&mut slot.reader, context.waker());
            }
            return (Poll::Pending, None);
        };
        let ahead = match is_last(&next) {
            true => None,
            false => self.http.receive(stream),
        };
        if is_last(&next) || ahead.as_ref().is_some_and(is_last) {
            self.end_receiver(stream);
        }
        let is_data = |received: &Received| matches!(received, Ok(Incoming::Data(_)));
        if is_data(&next) || ahead.as_ref().is_some_and(is_data) {
            // There is room for what the peer has sent meanwhile.
            self.flush(host);
        }
        (Poll::Ready(next), ahead)
    }

    /// Waits for room to send on a stream.
    pub(super) fn keep_writer(&mut self, stream: StreamId, waker: &Waker) {
        if let Some(slot) = self.slots.get_mut(&stream) {
            keep(&mut slot.writer, waker);
        }
    }

    /// Why the peer stopped a stream, if it did.
    pub(super) fn stopped(&self, stream: StreamId) -> Option<StreamError> {
        self.slots.get(&stream)?.stopped
    }

    /// What a failed call means: a stream that was stopped and is forgotten says why.
    pub(super) fn explain(&self, stream: StreamId, error: SendError) -> SendError {
        match (error, self.stopped(stream), self.http.error()) {
            (SendError::UnknownStream, Some(stopped), _) => SendError::Stream(stopped),
            (SendError::UnknownStream, None, Some(closed)) => SendError::Connection(closed),
            (error, _, _) => error,
        }
    }

    /// The application will not send on a stream any more.
    pub(super) fn end_sender(&mut self, stream: StreamId) {
        if let Some(slot) = self.slots.get_mut(&stream) {
            slot.has_sender = false;
            slot.writer = None;
            if !slot.has_receiver {
                self.slots.remove(&stream);
            }
        }
    }

    /// The application will not receive from a stream any more.
    pub(super) fn end_receiver(&mut self, stream: StreamId) {
        if let Some(slot) = self.slots.get_mut(&stream) {
            slot.has_receiver = false;
            slot.reader = None;
            if !slot.has_sender {
                self.slots.remove(&stream);
            }
        }
    }

    /// How many streams the application holds.
    pub(super) fn held(&self) -> usize {
        self.slots.len()
    }

    /// The end of the connection as HTTP/3 knows it.
    pub(super) fn closed(&self) -> Option<ConnectionError> {
        self.http.error()
    }

    /// Closes the connection.
    pub(super) fn close(&mut self, code: Code, reason: &'static str, host: &mut Host<'_>) {
        self.http.close(code, reason);
        self.flush(host);
    }
}

/// What comes in on a stream, or why nothing more does.
pub(super) type Received = Result<Incoming, StreamError>;

/// Whether nothing follows.
pub(super) fn is_last(received: &Received) -> bool {
    matches!(received, Err(_) | Ok(Incoming::End))
}

/// Opens a stream for a request.
pub(super) fn open(host: &mut Host<'_>) -> Option<StreamId> {
    let stream = host.open(portway_transport::quic::StreamKind::Bidirectional)?;
    StreamId::new(stream.get())
}

fn wake_all(host: &mut Host<'_>, wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| host.wake(waker));
}

/// Control, encoder and decoder stream.
const CRITICAL_STREAMS: usize = 3;
