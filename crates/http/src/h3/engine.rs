//! The protocol's state as it resides in the QUIC connection, and who waits for what.
//!
//! Invariant: a slot exists exactly as long as a half of its stream is held by the application and
//! not complete.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use portway_h3::error::{Code, ConnectionError, StreamError};
use portway_h3::message::{RequestHead, ResponseHead};
use portway_h3::{
    Connection, Direction, Event, Finish, Incoming, Role, SendError, StreamId, StreamMap,
};
use portway_transport::quic::{
    self, Host, Hosted, OpenQueue, Place, Resident, Side, StreamKind, Told, WaitList, keep_waker,
};

use super::carrier::{Carrier, News, number};
use super::options::{NotAttached, Options};
use super::pushes::Pushes;
use super::server::Accepted;
use super::statistics::Counters;

/// HTTP/3 in its QUIC connection.
pub(super) struct Engine {
    pub(super) http: Connection,
    slots: StreamMap<Slot>,
    /// Who waits to open a stream: bidirectional, unidirectional.
    opening: [OpenQueue<StreamId>; 2],
    /// Requests that nobody has accepted yet.
    requests: VecDeque<(StreamId, Told)>,
    pub(super) accepting: WaitList,
    /// Waits for news of the connection: settings, pushes, GOAWAY, its end.
    pub(super) watching: WaitList,
    pub(super) pushes: Pushes,
    pub(super) counters: Counters,
    life: Life,
    began: Option<Instant>,
}

/// How far the connection's end is, and what outlives it.
#[derive(Default)]
struct Life {
    /// The server's handle is gone: nobody accepts requests.
    is_abandoned: bool,
    /// Nothing is in flight after a shutdown.
    is_drained: bool,
    /// No handle is left, those of streams included.
    is_orphaned: bool,
    /// An event was answered with something that QUIC has not got yet.
    has_answered: bool,
    remembered: Option<Bytes>,
}

/// A stream of the application.
#[derive(Default)]
pub(super) struct Slot {
    reader: Option<Waker>,
    writer: Option<Waker>,
    datagrams: Option<Waker>,
    /// Whoever has the stream was told of something and has not acted on it since.
    told: Option<Told>,
    /// Why the peer wants no more of what is sent.
    stopped: Option<Box<StreamError>>,
    has_receiver: bool,
    has_sender: bool,
}

impl Slot {
    /// Waits for what comes in.
    pub(super) fn keep_reader(&mut self, waker: &Waker) {
        keep_waker(&mut self.reader, waker);
    }

    /// Its application has acted, or will not.
    fn on_acted(&mut self, host: &mut Host<'_>) {
        if let Some(told) = self.told.take() {
            host.on_acted(told);
        }
    }

    fn wake_reader(&mut self, host: &mut Host<'_>) {
        if let Some(waker) = self.reader.take() {
            host.wake(waker);
            if self.told.is_none() {
                self.told = Some(host.on_told());
            }
        }
    }

    fn wake_all(&mut self, host: &mut Host<'_>) {
        for waker in [&mut self.reader, &mut self.writer, &mut self.datagrams] {
            if let Some(waker) = waker.take() {
                host.wake(waker);
            }
        }
    }
}

impl Resident for Engine {
    fn on_events(&mut self, host: &mut Host<'_>) {
        let now = host.now();
        let began = *self.began.get_or_insert(now);
        let mut news = News::default();
        let mut carrier = Carrier {
            host,
            news: &mut news,
            began: Some(began),
        };
        self.http
            .drive(&mut carrier, now.saturating_duration_since(began));
        self.dispatch(host);
        self.learn(news, host);
        self.rest();
        if (self.life.is_drained || self.life.is_orphaned) && self.is_acknowledged(host) {
            self.watching.drain(host.wakers());
            self.end_orphaned(host);
        }
    }

    fn on_abandoned(&mut self, host: &mut Host<'_>) {
        self.life.is_orphaned = true;
        self.end_orphaned(host);
    }

    fn deadline(&self) -> Option<Instant> {
        // One that is due is looked at a moment later, since not every look ends it.
        let due = self.http.poll_timeout()?;
        Some(self.began? + due.saturating_add(Duration::from_millis(1)))
    }
}

impl Engine {
    /// Begins HTTP/3 on a connection, which has to be at this end.
    pub(super) fn attach(
        connection: &quic::Connection,
        options: &Options,
        role: Role,
    ) -> Result<Hosted<Self>, NotAttached> {
        let side = match role {
            Role::Client => Side::Client,
            Role::Server => Side::Server,
        };
        if connection.side() != side {
            return Err(NotAttached::WrongSide);
        }
        let hosted = connection.host(Engine::new(role, options));
        let hosted = hosted.ok_or(NotAttached::InUse)?;
        hosted.with(|engine, host| engine.flush(host));
        Ok(hosted)
    }

    fn new(role: Role, options: &Options) -> Self {
        Engine {
            http: Connection::new(role, options.http.clone()),
            slots: StreamMap::default(),
            opening: Default::default(),
            requests: VecDeque::new(),
            accepting: WaitList::default(),
            watching: WaitList::default(),
            pushes: Pushes::default(),
            counters: Counters::default(),
            life: Life::default(),
            began: None,
        }
    }

    /// Gives QUIC what the application's call has made, and tells what follows.
    pub(super) fn flush(&mut self, host: &mut Host<'_>) {
        self.over(host, |http, carrier| http.flush(carrier));
        self.dispatch(host);
    }

    /// Sends a request on a stream of its own, and gives it to QUIC. [`Engine::dispatch`] follows.
    pub(super) fn send_request(
        &mut self,
        stream: StreamId,
        head: &RequestHead,
        content: Bytes,
        finish: Finish,
        host: &mut Host<'_>,
    ) -> Result<&mut Slot, SendError> {
        self.over(host, |http, carrier| {
            http.send_request_over(carrier, stream, head, content, finish)
        })?;
        self.counters.requests += 1;
        Ok(self.keep_stream(stream, true, finish == Finish::Later))
    }

    /// Sends the final response on a stream, and gives it to QUIC. [`Engine::dispatch`] follows.
    pub(super) fn send_response(
        &mut self,
        stream: StreamId,
        head: &ResponseHead,
        content: Bytes,
        finish: Finish,
        host: &mut Host<'_>,
    ) -> Result<(), SendError> {
        self.over(host, |http, carrier| {
            http.send_response_over(carrier, stream, head, content, finish)
        })
    }

    /// Lets the protocol act on QUIC itself.
    #[inline]
    fn over<T>(
        &mut self,
        host: &mut Host<'_>,
        act: impl FnOnce(&mut Connection, &mut Carrier<'_, '_>) -> T,
    ) -> T {
        let mut news = News::default();
        let mut carrier = Carrier {
            host,
            news: &mut news,
            began: self.began,
        };
        let result = act(&mut self.http, &mut carrier);
        self.learn(news, host);
        result
    }

    /// Sends a datagram of a request, of which nothing else follows.
    pub(super) fn send_datagram(
        &mut self,
        stream: StreamId,
        context: u64,
        payload: &[u8],
        host: &mut Host<'_>,
    ) -> Result<(), SendError> {
        let sent = self.over(host, |http, carrier| {
            http.send_datagram_over(carrier, stream, context, payload)
        });
        sent.map_err(|error| self.explain(stream, error))
    }

    /// Takes note of what the transport told.
    #[inline]
    fn learn(&mut self, news: News, host: &mut Host<'_>) {
        if let Some(blob) = news.remembered {
            self.life.remembered = Some(blob);
        }
        if news.can_open != [false; 2] {
            for direction in [Direction::Bidirectional, Direction::Unidirectional] {
                if news.can_open[direction as usize] {
                    self.grant(direction, host);
                }
            }
        }
    }

    /// Wakes whom the protocol's news concern.
    #[inline]
    pub(super) fn dispatch(&mut self, host: &mut Host<'_>) {
        if self.http.has_events() || self.life.has_answered {
            self.dispatch_all(host);
        }
    }

    fn dispatch_all(&mut self, host: &mut Host<'_>) {
        while let Some(event) = self.http.poll_event() {
            match event {
                Event::Request(stream) => self.on_request(stream, host),
                Event::Readable(stream) => {
                    if let Some(slot) = self.slots.get_mut(stream) {
                        slot.wake_reader(host);
                    }
                }
                Event::Writable(stream) => self.wake(stream, |slot| slot.writer.take(), host),
                Event::Datagram(stream) => self.wake(stream, |slot| slot.datagrams.take(), host),
                Event::Stopped(stream, error) => {
                    self.counters.stopped += 1;
                    self.wake(
                        stream,
                        |slot| {
                            slot.stopped = Some(Box::new(error));
                            slot.writer.take()
                        },
                        host,
                    );
                }
                Event::PushPromised { stream, push_id } => {
                    self.counters.pushes += u64::from(self.pushes.on_promised(push_id, stream));
                    self.watching.drain(host.wakers());
                }
                Event::Push { push_id, stream } => self.on_push(push_id, stream, host),
                Event::PushCancelled(push_id) => {
                    self.pushes.on_cancelled(push_id);
                    self.watching.drain(host.wakers());
                }
                Event::GoAway { .. } => {
                    for opening in &mut self.opening {
                        opening.drain(host.wakers());
                    }
                    self.watching.drain(host.wakers());
                }
                Event::Drained => {
                    self.life.is_drained = true;
                    self.accepting.drain(host.wakers());
                    self.watching.drain(host.wakers());
                }
                Event::Closed(_) => self.on_closed(host),
                _ => self.watching.drain(host.wakers()),
            }
        }
        if std::mem::take(&mut self.life.has_answered) {
            self.flush(host);
        }
    }

    fn wake(
        &mut self,
        stream: StreamId,
        which: impl FnOnce(&mut Slot) -> Option<Waker>,
        host: &mut Host<'_>,
    ) {
        if let Some(waker) = self.slots.get_mut(stream).and_then(which) {
            host.wake(waker);
        }
    }

    fn on_request(&mut self, stream: StreamId, host: &mut Host<'_>) {
        if self.life.is_abandoned {
            self.refuse(stream);
            return;
        }
        self.requests.push_back((stream, host.on_told()));
        self.accepting.drain(host.wakers());
    }

    fn on_push(&mut self, push_id: u64, stream: StreamId, host: &mut Host<'_>) {
        match self.pushes.on_stream(push_id, stream) {
            true => {
                self.keep_stream(stream, true, false);
                self.watching.drain(host.wakers());
            }
            // Its handle was dropped.
            false => {
                self.http.cancel_push(push_id);
                self.life.has_answered = true;
            }
        }
    }

    fn on_closed(&mut self, host: &mut Host<'_>) {
        for slot in self.slots.values_mut() {
            slot.wake_all(host);
        }
        for opening in &mut self.opening {
            opening.drain(host.wakers());
        }
        self.accepting.drain(host.wakers());
        self.watching.drain(host.wakers());
        // What ended HTTP/3 without QUIC's doing, such as early data that was refused, ends QUIC.
        if host.error().is_none() {
            host.close(number(Code::H3_NO_ERROR), b"");
        }
    }

    /// Those who wait to open streams of this direction.
    pub(super) fn opening(&mut self, direction: Direction) -> &mut OpenQueue<StreamId> {
        &mut self.opening[direction as usize]
    }

    /// Closes a connection of which no handle is left, as soon as the peer has everything that was
    /// finished.
    fn end_orphaned(&mut self, host: &mut Host<'_>) {
        if self.life.is_orphaned && self.is_acknowledged(host) {
            self.close(Code::H3_NO_ERROR, "", host);
        }
    }

    /// Opens streams for those who wait.
    fn grant(&mut self, direction: Direction, host: &mut Host<'_>) {
        let mut woken = Vec::new();
        self.opening[direction as usize].grant(&mut woken, || open(direction, host));
        host.wakers().append(&mut woken);
    }

    /// Forgets who waited for a stream; one that was opened for it goes to the next.
    pub(super) fn forget_opening(
        &mut self,
        direction: Direction,
        place: Place,
        host: &mut Host<'_>,
    ) {
        self.opening(direction).forget(place);
        self.grant(direction, host);
    }

    /// Takes a stream back that nothing was sent on, for the next who waits.
    pub(super) fn return_stream(
        &mut self,
        direction: Direction,
        stream: StreamId,
        host: &mut Host<'_>,
    ) {
        self.opening(direction).give_back(stream);
        self.grant(direction, host);
    }

    /// Whether the peer has acknowledged everything but what our critical streams may still say.
    pub(super) fn is_acknowledged(&self, host: &mut Host<'_>) -> bool {
        host.error().is_some() || host.send_streams() <= CRITICAL_STREAMS
    }

    /// Whether nothing is in flight after a shutdown.
    pub(super) fn is_drained(&self) -> bool {
        self.life.is_drained
    }

    /// What is to be kept with the session.
    pub(super) fn remembered(&self) -> Option<Bytes> {
        self.life.remembered.clone()
    }

    /// Keeps a stream's halves, those that it has.
    pub(super) fn keep_stream(
        &mut self,
        stream: StreamId,
        has_receiver: bool,
        has_sender: bool,
    ) -> &mut Slot {
        let slot = Slot {
            has_receiver,
            has_sender,
            ..Slot::default()
        };
        self.slots.insert(stream, slot)
    }

    /// The next request that nobody has accepted.
    pub(super) fn accept(&mut self, host: &mut Host<'_>) -> Option<Accepted> {
        while let Some((stream, told)) = self.requests.pop_front() {
            // A client that has given up meanwhile is not answered.
            let Some((Ok(Incoming::Request(head)), content, is_end)) =
                self.http.receive_with_content(stream)
            else {
                self.http.release(stream);
                host.on_acted(told);
                continue;
            };
            self.counters.requests += 1;
            let ahead = Ahead { content, is_end };
            let slot = self.keep_stream(stream, !ahead.is_end, true);
            slot.told = Some(told);
            return Some(Accepted {
                stream,
                head,
                ahead,
            });
        }
        None
    }

    /// Whether a request waits to be accepted.
    #[cfg(feature = "server")]
    pub(super) fn has_waiting(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Nobody will accept requests any more: those that wait and those that come are refused.
    pub(super) fn abandon(&mut self, host: &mut Host<'_>) {
        self.life.is_abandoned = true;
        while let Some((stream, told)) = self.requests.pop_front() {
            host.on_acted(told);
            self.refuse(stream);
        }
        self.flush(host);
    }

    fn refuse(&mut self, stream: StreamId) {
        self.counters.refused += 1;
        self.life.has_answered = true;
        if self.http.reject(stream).is_err() {
            self.http.release(stream);
        }
    }

    /// The next thing that came in on a stream; what follows it goes into `ahead` if that is there,
    /// too.
    pub(super) fn receive(
        &mut self,
        stream: StreamId,
        ahead: &mut Ahead,
        context: &mut Context<'_>,
        host: &mut Host<'_>,
    ) -> Poll<Received> {
        // What is there already is taken as well: a short message then needs the lock once.
        let Some((next, content, is_end)) = self.http.receive_with_content(stream) else {
            if let Some(slot) = self.slots.get_mut(stream) {
                slot.keep_reader(context.waker());
                slot.on_acted(host);
            }
            return Poll::Pending;
        };
        *ahead = Ahead { content, is_end };
        match is_end || is_last(&next) {
            true => self.end_receiver(stream, host),
            false => self.on_acted(stream, host),
        }
        match self.http.has_resumed() {
            // There is room for what the peer has sent meanwhile.
            true => self.flush(host),
            false => self.dispatch(host),
        }
        Poll::Ready(next)
    }

    /// Waits for room to send on a stream.
    pub(super) fn keep_writer(&mut self, stream: StreamId, waker: &Waker) {
        if let Some(slot) = self.slots.get_mut(stream) {
            keep_waker(&mut slot.writer, waker);
        }
    }

    /// Waits for a datagram of a stream; false when none will come.
    pub(super) fn keep_datagrams(&mut self, stream: StreamId, waker: &Waker) -> bool {
        match self.slots.get_mut(stream) {
            Some(slot) if self.http.error().is_none() => {
                keep_waker(&mut slot.datagrams, waker);
                true
            }
            _ => false,
        }
    }

    /// Why the peer stopped a stream, if it did.
    pub(super) fn stopped(&self, stream: StreamId) -> Option<StreamError> {
        self.slots.get(stream)?.stopped.as_deref().copied()
    }

    /// What a failed call means: a stream that was stopped and is forgotten says why.
    pub(super) fn explain(&self, stream: StreamId, error: SendError) -> SendError {
        match (error, self.stopped(stream), self.http.error()) {
            (SendError::UnknownStream, Some(stopped), _) => SendError::Stream(stopped),
            (SendError::UnknownStream, None, Some(closed)) => SendError::Connection(closed),
            (error, _, _) => error,
        }
    }

    /// The application has sent something, or tried to, which may have been the end.
    #[inline]
    pub(super) fn on_sent(
        &mut self,
        stream: StreamId,
        result: &Result<(), SendError>,
        finish: Finish,
        host: &mut Host<'_>,
    ) {
        match result.is_ok() && finish == Finish::Now {
            true => self.end_sender(stream, host),
            false => self.on_acted(stream, host),
        }
    }

    /// The application acts on a stream, so that nobody waits for that any more.
    pub(super) fn on_acted(&mut self, stream: StreamId, host: &mut Host<'_>) {
        if let Some(slot) = self.slots.get_mut(stream) {
            slot.on_acted(host);
        }
    }

    /// The application will not send on a stream any more.
    pub(super) fn end_sender(&mut self, stream: StreamId, host: &mut Host<'_>) {
        if let Some(slot) = self.slots.get_mut(stream) {
            slot.on_acted(host);
            slot.has_sender = false;
            slot.writer = None;
            if !slot.has_receiver {
                self.forget(stream, host);
            }
        }
    }

    /// The application will not receive from a stream any more.
    pub(super) fn end_receiver(&mut self, stream: StreamId, host: &mut Host<'_>) {
        if let Some(slot) = self.slots.get_mut(stream) {
            slot.on_acted(host);
            slot.has_receiver = false;
            slot.reader = None;
            if !slot.has_sender {
                self.forget(stream, host);
            }
        }
    }

    fn forget(&mut self, stream: StreamId, host: &mut Host<'_>) {
        if let Some(mut slot) = self.slots.remove(stream) {
            slot.wake_all(host);
        }
        // The last handle may go when nothing happens on the connection any more.
        self.rest();
    }

    /// Keeps no memory for streams where none has been in flight for a while.
    fn rest(&mut self) {
        if self.slots.is_empty() && self.http.is_at_rest() {
            self.slots.shrink();
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

/// What was taken together with what was asked for.
#[derive(Default)]
pub(super) struct Ahead {
    /// Content comes next, unless it is empty.
    content: Bytes,
    /// Whether the message ends behind it.
    pub(super) is_end: bool,
}

impl Ahead {
    /// Takes the next thing.
    pub(super) fn take(&mut self) -> Option<Received> {
        if !self.content.is_empty() {
            return Some(Ok(Incoming::Data(std::mem::take(&mut self.content))));
        }
        std::mem::take(&mut self.is_end).then_some(Ok(Incoming::End))
    }

    /// Takes the rest of the message, if it is known to the end.
    #[inline]
    pub(super) fn take_rest(&mut self) -> Option<Bytes> {
        let is_known = std::mem::take(&mut self.is_end);
        is_known.then(|| std::mem::take(&mut self.content))
    }

    /// Whether the end is next.
    pub(super) fn is_at_end(&self) -> bool {
        self.content.is_empty() && self.is_end
    }
}

/// Whether nothing follows.
pub(super) fn is_last(received: &Received) -> bool {
    matches!(received, Err(_) | Ok(Incoming::End))
}

/// Opens a stream, if the peer allows one.
pub(super) fn open(direction: Direction, host: &mut Host<'_>) -> Option<StreamId> {
    let kind = match direction {
        Direction::Bidirectional => StreamKind::Bidirectional,
        Direction::Unidirectional => StreamKind::Unidirectional,
    };
    let stream = host.open(kind)?;
    StreamId::new(stream.get())
}

/// Control, encoder and decoder stream.
const CRITICAL_STREAMS: usize = 3;
