//! A protocol that resides in a connection, such as HTTP/3: the driver runs it under the
//! connection's lock, between the packets that came and those that go.
//!
//! Invariant: a resident sees every event of its connection, in order, and nothing that it calls
//! waits or takes a lock; wakers run when no lock is held. What a packet causes is written before
//! the next packet is made, so that neither a task nor a second lock stands between them.

use super::connection::{ConnectionRef, ConnectionState, EarlyData, Phase, Told};
use super::identifiers::Clock;
use super::{Connection, ConnectionError, Side, StreamId, StreamKind, VarInt};
use bytes::Bytes;
use quinn_proto::{Dir, FinishError, ReadError, WriteError};
use std::any::Any;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// A protocol that resides in a connection.
pub trait Resident: Any + Send {
    /// Something happened; [`Host::poll_event`] says what. It runs under the connection's lock:
    /// it must not block, call application code, or touch the connection but through `host`.
    fn on_events(&mut self, host: &mut Host<'_>);

    /// When it is to be run although nothing has happened.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The last handle is gone. What the application has finished may still be on its way, so that
    /// the resident closes the connection, now or later.
    fn on_abandoned(&mut self, host: &mut Host<'_>);
}

/// What happened on the connection of a [`Resident`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostEvent {
    /// A stream has bytes, its end or a reset to read. Streams of the peer begin so.
    Readable(StreamId),
    /// A stream takes bytes again.
    Writable(StreamId),
    /// The peer wants no more of what is sent on a stream, which has been reset therefore.
    Stopped(StreamId, VarInt),
    /// The peer has acknowledged everything up to the end of a stream.
    Finished(StreamId),
    /// The peer allows more streams of this kind.
    Available(StreamKind),
    /// A datagram arrived.
    Datagram,
    /// There is room for datagrams again.
    DatagramRoom,
    /// The handshake has ended; whether early data was accepted, if any was sent.
    Established(Option<bool>),
    /// The connection has ended.
    Closed(ConnectionError),
}

/// Why a read gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRead {
    /// There is nothing now; [`HostEvent::Readable`] follows.
    Blocked,
    /// The peer reset the stream.
    Reset(VarInt),
    /// The stream is over, or was never there.
    Ended,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// The peer wants no more.
    Stopped(VarInt),
    /// The stream is over, or was never there.
    Ended,
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostWritten {
    /// How many bytes were taken.
    pub bytes: usize,
    /// Whether all was taken and the stream has ended.
    pub is_finished: bool,
    /// Whether the stream takes no more; [`HostEvent::Writable`] follows.
    pub is_blocked: bool,
}

/// The residence of a protocol, in the state of its connection.
#[derive(Default)]
pub(in crate::quic) struct Residence {
    resident: Option<Box<dyn Resident>>,
    events: Option<VecDeque<HostEvent>>,
}

impl Residence {
    /// Keeps an event, if anybody resides here; false when nobody does.
    pub(in crate::quic) fn tell(&mut self, event: HostEvent) -> bool {
        match &mut self.events {
            Some(events) => {
                events.push_back(event);
                true
            }
            None => false,
        }
    }

    /// Keeps that a stream is readable, once for packets that have come together: whoever looks
    /// then finds what all of them have brought.
    pub(in crate::quic) fn tell_readable(&mut self, stream: StreamId) {
        let event = HostEvent::Readable(stream);
        if let Some(events) = &mut self.events
            && events.back() != Some(&event)
        {
            events.push_back(event);
        }
    }

    /// Whether somebody resides here.
    pub(in crate::quic) fn is_taken(&self) -> bool {
        self.events.is_some()
    }
}

/// A handle of a connection and of the protocol that resides in it.
pub struct Hosted<R> {
    reference: Arc<ConnectionRef>,
    resident: PhantomData<fn() -> R>,
}

impl<R> Clone for Hosted<R> {
    fn clone(&self) -> Self {
        Hosted {
            reference: Arc::clone(&self.reference),
            resident: PhantomData,
        }
    }
}

impl<R: Resident> Hosted<R> {
    /// Acts on the protocol and on its connection, under the one lock of both. `act` must not
    /// block nor touch the connection but through the host.
    pub fn with<T>(&self, act: impl FnOnce(&mut R, &mut Host<'_>) -> T) -> T {
        let clock = &self.reference.endpoint.clock;
        self.reference.act_and_wake(|state, wakers| {
            let taken = state.residence.resident.take();
            let mut taken = taken.expect("it was put there, and nobody else takes it for good");
            let any: &mut dyn Any = &mut *taken;
            let resident = any.downcast_mut::<R>().expect("the handle knows its type");
            let mut host = Host {
                state,
                wakers,
                clock,
                now: None,
            };
            let result = act(resident, &mut host);
            state.residence.resident = Some(taken);
            result
        })
    }

    /// The connection.
    pub fn connection(&self) -> Connection {
        Connection::from_reference(Arc::clone(&self.reference))
    }
}

impl Connection {
    /// Lets a protocol reside in the connection. It gets everything from now on, what has arrived
    /// and was not accepted included, so that the connection's and its streams' own functions are
    /// not to be used any more. When the last handle is gone, it closes the connection.
    ///
    /// `None` when another one resides there.
    pub fn host<R: Resident>(&self, resident: R) -> Option<Hosted<R>> {
        let hosted = Hosted {
            reference: self.reference(),
            resident: PhantomData,
        };
        let clock = &self.shared().endpoint.clock;
        self.shared().act_and_wake(|state, wakers| {
            if state.residence.is_taken() {
                return None;
            }
            state.residence.resident = Some(Box::new(resident));
            state.residence.events = Some(VecDeque::new());
            state.tell_what_came();
            state.run_resident(clock, None, wakers);
            Some(hosted)
        })
    }
}

impl ConnectionState {
    /// Tells a new resident what came before it.
    fn tell_what_came(&mut self) {
        for kind in [Dir::Uni, Dir::Bi] {
            self.tell_opened(kind);
        }
        if self.phase == Phase::Established {
            // Early data that was refused before it came was not its own.
            let decided = self.decided_early_data().filter(|accepted| *accepted);
            self.residence.tell(HostEvent::Established(decided));
        }
        // A datagram cannot be asked for without taking it.
        self.residence.tell(HostEvent::Datagram);
        if let Phase::Closed(error) = &self.phase {
            self.residence.tell(HostEvent::Closed(error.clone()));
        }
    }

    /// Tells the resident that the last handle is gone; false when nobody resides here.
    pub(in crate::quic) fn tell_abandoned(
        &mut self,
        clock: &Clock,
        wakers: &mut Vec<Waker>,
    ) -> bool {
        let Some(mut resident) = self.residence.resident.take() else {
            return false;
        };
        resident.on_abandoned(&mut Host {
            state: self,
            wakers,
            clock,
            now: None,
        });
        self.residence.resident = Some(resident);
        true
    }

    pub(in crate::quic) fn decided_early_data(&self) -> Option<bool> {
        match self.early {
            EarlyData::Open => None,
            EarlyData::Accepted => Some(true),
            EarlyData::Rejected => Some(false),
        }
    }

    /// Tells the resident which streams the peer has opened.
    pub(in crate::quic) fn tell_opened(&mut self, kind: Dir) {
        while let Some(arrived) = self.streams.arrived[kind as usize].pop_front() {
            self.residence.tell(HostEvent::Readable(arrived.id.into()));
        }
        while let Some(id) = self.proto.streams().accept(kind) {
            self.residence.tell(HostEvent::Readable(id.into()));
        }
    }

    /// Runs the resident if anything happened or its time has come, and says when it is to be run
    /// next although nothing has happened.
    pub(in crate::quic) fn run_resident(
        &mut self,
        clock: &Clock,
        now: Option<Instant>,
        wakers: &mut Vec<Waker>,
    ) -> Option<Instant> {
        if self.residence.events.as_ref()?.is_empty() {
            let deadline = self.residence.resident.as_ref()?.deadline();
            let is_due = deadline.is_some_and(|at| now.is_some_and(|now| at <= now));
            if !is_due {
                return deadline;
            }
        }
        let mut resident = self.residence.resident.take()?;
        resident.on_events(&mut Host {
            state: self,
            wakers,
            clock,
            now,
        });
        let deadline = resident.deadline();
        self.residence.resident = Some(resident);
        deadline
    }
}

/// A connection, as the protocol that resides in it uses it. Nothing here waits.
pub struct Host<'a> {
    state: &'a mut ConnectionState,
    wakers: &'a mut Vec<Waker>,
    clock: &'a Clock,
    now: Option<Instant>,
}

impl Host<'_> {
    /// The next thing that happened.
    #[inline]
    pub fn poll_event(&mut self) -> Option<HostEvent> {
        self.state.residence.events.as_mut()?.pop_front()
    }

    /// Whether [`Host::poll_event`] has something.
    #[inline]
    pub fn has_events(&self) -> bool {
        let events = self.state.residence.events.as_ref();
        events.is_some_and(|events| !events.is_empty())
    }

    /// Wakes a task when the lock is released.
    #[inline]
    pub fn wake(&mut self, waker: Waker) {
        self.wakers.push(waker);
    }

    /// Where tasks are put that are to be woken when the lock is released.
    #[inline]
    pub fn wakers(&mut self) -> &mut Vec<Waker> {
        self.wakers
    }

    /// Notes that somebody was told of something that has come, and is about to act: what goes out
    /// may wait for it, so that it goes together. [`Host::on_acted`] follows, after however long.
    #[inline]
    pub fn on_told(&mut self) -> Told {
        self.state.streams.awaited.on_told_by_resident()
    }

    /// Whoever was told has acted, or will not.
    #[inline]
    pub fn on_acted(&mut self, told: Told) {
        self.state.streams.awaited.on_acted(told);
    }

    /// The time, on the environment's clock.
    #[inline]
    pub fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(|| self.clock.now())
    }

    /// Which end this is.
    pub fn side(&self) -> Side {
        match self.state.proto.side() {
            quinn_proto::Side::Client => Side::Client,
            quinn_proto::Side::Server => Side::Server,
        }
    }

    /// Why the connection has ended, if it has.
    pub fn error(&self) -> Option<&ConnectionError> {
        self.state.error()
    }

    /// Opens a stream, if the peer allows one now; otherwise [`HostEvent::Available`] follows.
    pub fn open(&mut self, kind: StreamKind) -> Option<StreamId> {
        if self.state.error().is_some() {
            return None;
        }
        let id = self.state.proto.streams().open(kind.proto())?;
        Some(id.into())
    }

    /// Takes the next piece of a stream, and says whether the stream ends with it. The piece is
    /// empty only at the end.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read(&mut self, stream: StreamId) -> Result<(Bytes, bool), NotRead> {
        let mut first = None;
        self.read_each(stream, |piece, is_last| {
            first = Some((piece, is_last));
            false
        })?;
        Ok(first.expect("without a piece there is an error"))
    }

    /// Gives `take` the pieces of a stream, each with whether the stream is known to end with it,
    /// up to the last one or until it wants no more, which it says by `false`. A piece is empty
    /// only at the end.
    ///
    /// # Errors
    /// Why there is no piece although one is wanted.
    pub fn read_each(
        &mut self,
        stream: StreamId,
        mut take: impl FnMut(Bytes, bool) -> bool,
    ) -> Result<(), NotRead> {
        let mut receiving = self.state.proto.recv_stream(stream.proto());
        let Ok(mut chunks) = receiving.read(true) else {
            return Err(NotRead::Ended);
        };
        let mut bytes = 0;
        let read = loop {
            let (piece, is_last) = match chunks.next(usize::MAX) {
                // Asking for nothing tells whether anything follows. Of a long content the end may
                // come by itself.
                Ok(Some(piece)) => {
                    let is_last = bytes == 0 && matches!(chunks.next(0), Ok(None));
                    (piece.bytes, is_last)
                }
                Ok(None) => (Bytes::new(), true),
                Err(ReadError::Blocked) => break Err(NotRead::Blocked),
                Err(ReadError::Reset(code)) => break Err(NotRead::Reset(code.into())),
            };
            bytes += piece.len();
            if !take(piece, is_last) || is_last {
                break Ok(());
            }
        };
        if chunks.finalize().should_transmit() {
            self.state.touch();
        }
        if bytes > 0 {
            self.state.on_read(bytes, self.clock);
        }
        read
    }

    /// Whether the peer reset a stream, told once, without reading what came before.
    pub fn take_reset(&mut self, stream: StreamId) -> Option<VarInt> {
        let mut receiving = self.state.proto.recv_stream(stream.proto());
        receiving.received_reset().ok()?.map(VarInt::from)
    }

    /// Writes what there is room for, advancing `chunks` by it, and ends the stream if all was
    /// taken and `fin` is set.
    ///
    /// # Errors
    /// The stream takes nothing any more.
    pub fn write(
        &mut self,
        stream: StreamId,
        chunks: &mut [Bytes],
        fin: bool,
    ) -> Result<HostWritten, NotWritten> {
        let mut written = HostWritten {
            bytes: 0,
            is_finished: false,
            is_blocked: false,
        };
        let mut sending = self.state.proto.send_stream(stream.proto());
        let mut left: usize = chunks.iter().map(Bytes::len).sum();
        while left > 0 {
            match sending.write_chunks(chunks) {
                Ok(taken) if taken.bytes > 0 => {
                    written.bytes += taken.bytes;
                    left -= taken.bytes;
                }
                Ok(_) | Err(WriteError::Blocked) => {
                    written.is_blocked = true;
                    break;
                }
                Err(WriteError::Stopped(code)) => return Err(NotWritten::Stopped(code.into())),
                Err(WriteError::ClosedStream) => return Err(NotWritten::Ended),
            }
        }
        if fin && !written.is_blocked {
            match sending.finish() {
                Ok(()) => {
                    written.is_finished = true;
                    self.state.streams.unsent.on_message(written.bytes);
                }
                Err(FinishError::Stopped(code)) => return Err(NotWritten::Stopped(code.into())),
                Err(FinishError::ClosedStream) => return Err(NotWritten::Ended),
            }
        }
        self.state.touch();
        Ok(written)
    }

    /// Ends what is sent on a stream abruptly. A stream that has ended stays as it is.
    pub fn reset(&mut self, stream: StreamId, code: VarInt) {
        let mut sending = self.state.proto.send_stream(stream.proto());
        if sending.reset(code.proto()).is_ok() {
            self.state.touch();
        }
    }

    /// Asks the peer to end what it sends on a stream, and forgets what has arrived. A stream that
    /// has ended stays as it is.
    pub fn stop(&mut self, stream: StreamId, code: VarInt) {
        let mut receiving = self.state.proto.recv_stream(stream.proto());
        if receiving.stop(code.proto()).is_ok() {
            self.state.touch();
        }
    }

    /// Sends a stream before those of lower priority; all start at zero.
    pub fn set_priority(&mut self, stream: StreamId, priority: i32) {
        let mut sending = self.state.proto.send_stream(stream.proto());
        // A stream that is over has no order any more.
        let _ = sending.set_priority(priority);
    }

    /// The most bytes that a datagram can have now; `None` when the peer takes none.
    pub fn datagram_size_max(&mut self) -> Option<usize> {
        self.state.proto.datagrams().max_size()
    }

    /// Queues a datagram; false, and it is dropped, when there is no room or the peer takes none.
    pub fn send_datagram(&mut self, data: Bytes) -> bool {
        let is_queued = self.state.proto.datagrams().send(data, false).is_ok();
        if is_queued {
            self.state.datagrams.queued += 1;
            self.state.touch();
        }
        is_queued
    }

    /// Takes the next datagram that arrived.
    pub fn receive_datagram(&mut self) -> Option<Bytes> {
        self.state.proto.datagrams().recv()
    }

    /// How many streams have bytes to send or bytes that the peer has not acknowledged, or may
    /// have some later.
    pub fn send_streams(&mut self) -> usize {
        self.state.proto.streams().send_streams()
    }

    /// The smoothed round-trip time.
    pub fn rtt(&self) -> Duration {
        self.state.proto.rtt()
    }

    /// Closes the connection at once.
    pub fn close(&mut self, code: VarInt, reason: &[u8]) {
        let now = self.now();
        let reason = Bytes::copy_from_slice(reason);
        self.state.close(now, code, reason, self.wakers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_one_stream_that_come_together_are_told_once() {
        let stream = |number| StreamId::new(number).expect("62 bits");
        let mut residence = Residence::default();
        residence.tell_readable(stream(0));
        assert!(residence.events.is_none(), "nobody resides here");
        residence.events = Some(VecDeque::new());
        for number in [0, 0, 4, 0, 0] {
            residence.tell_readable(stream(number));
        }
        let told = residence.events.expect("it was put there").into_iter();
        let readable = [0, 4, 0].map(|number| HostEvent::Readable(stream(number)));
        assert!(told.eq(readable));
    }
}
