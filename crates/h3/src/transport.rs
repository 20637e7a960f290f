//! The seam between HTTP/3 and QUIC: streams in chunks, datagrams, and what a session remembers.
//!
//! Invariant: bytes pass by handle, never by copy, and a stream is read only while the connection
//! wants it, so that flow control reaches from the application to the peer.

use std::time::Duration;

use bytes::Bytes;

use crate::connection::Connection;
use crate::error::{Code, ConnectionError};
use crate::event::{Action, Chunk, Written};
use crate::stream::{Direction, StreamId};

/// What HTTP/3 needs of a QUIC connection. No method waits.
pub trait Transport {
    /// The next thing that happened, if anything did.
    fn poll_event(&mut self) -> Option<TransportEvent>;

    /// Opens a stream; `None` while the peer allows no more, and then
    /// [`TransportEvent::Available`] follows.
    fn open(&mut self, direction: Direction) -> Option<StreamId>;

    /// Takes the next chunk of a stream. After [`ReadError::Blocked`],
    /// [`TransportEvent::Readable`] follows.
    ///
    /// # Errors
    /// Why there is no chunk.
    fn read(&mut self, stream: StreamId) -> Result<Chunk, ReadError>;

    /// Gives `take` chunks of a stream, up to the last one or until it wants no more, which it says
    /// by `false`.
    ///
    /// # Errors
    /// Why there is no chunk although one is wanted.
    fn read_each(
        &mut self,
        stream: StreamId,
        mut take: impl FnMut(Chunk) -> bool,
    ) -> Result<(), ReadError> {
        loop {
            let chunk = self.read(stream)?;
            let is_last = chunk.fin;
            if !take(chunk) || is_last {
                return Ok(());
            }
        }
    }

    /// Whether the peer reset a stream, told once and without reading what came before. It is
    /// asked when a stream that is not to be read becomes readable.
    fn take_reset(&mut self, stream: StreamId) -> Option<Code>;

    /// Writes what it can of `chunks`, in order, advancing each by what was taken, and ends the
    /// stream if everything was taken and `fin` is set. After [`Written::is_blocked`],
    /// [`TransportEvent::Writable`] follows.
    ///
    /// # Errors
    /// When the stream takes nothing any more.
    fn write(
        &mut self,
        stream: StreamId,
        chunks: &mut [Bytes],
        fin: bool,
    ) -> Result<Written, WriteError>;

    /// Abruptly ends what is sent on a stream.
    fn reset(&mut self, stream: StreamId, code: Code);

    /// Asks the peer to end what it sends on a stream, and drops what arrives.
    fn stop(&mut self, stream: StreamId, code: Code);

    /// Sends a stream before those with a smaller number. What it does is up to the transport.
    fn prioritize(&mut self, stream: StreamId, priority: i32);

    /// Queues a datagram; `false` when it was dropped.
    fn send_datagram(&mut self, datagram: Bytes) -> bool;

    /// The largest datagram that can be sent now; `None` when the peer takes none.
    fn max_datagram_len(&mut self) -> Option<usize>;

    /// How many bidirectional streams the peer may have open at a time, if the transport knows.
    fn peer_streams_max(&self) -> Option<u64> {
        None
    }

    /// Takes the next datagram that arrived.
    fn receive_datagram(&mut self) -> Option<Bytes>;

    /// Keeps bytes with the session: a client beside its tickets, a server inside of them.
    fn remember(&mut self, blob: Bytes);

    /// Ends the connection.
    fn close(&mut self, code: Code, reason: &str);

    /// The time as [`Connection::drive`] is told it, if the transport knows. It is asked when a
    /// stream blocks: [`Connection::flush`] may come long after the last drive.
    fn now(&mut self) -> Option<Duration> {
        None
    }
}

/// Something happened on the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportEvent {
    /// A stream has bytes, its end or a reset to read; streams that the peer opens begin so.
    Readable(StreamId),
    /// A stream that had blocked takes bytes again.
    Writable(StreamId),
    /// The peer wants no more of what we send on a stream.
    Stopped(StreamId, Code),
    /// Streams of this direction can be opened again.
    Available(Direction),
    /// Datagrams arrived.
    Datagrams,
    /// The server decided about our 0-RTT data.
    EarlyData(EarlyData),
    /// The connection is over.
    Closed(ConnectionError),
}

/// What became of 0-RTT data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyData {
    /// The server took it.
    Accepted,
    /// The server ignored it; the transport forgot every stream.
    Rejected,
}

/// Why a stream gave no chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// There is nothing now.
    Blocked,
    /// The peer reset the stream.
    Reset(Code),
    /// The stream is over, or was never there.
    Closed,
}

/// Why a stream took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// The peer wants no more.
    Stopped(Code),
    /// The stream is over, or was never there.
    Closed,
}

impl Connection {
    /// Does everything that can be done now: takes what the transport reports, and gives it what
    /// is to be sent. Call it when the transport has events and after calls of the application.
    pub fn drive(&mut self, transport: &mut impl Transport, now: Duration) {
        self.set_clock(now);
        if self.needs_datagram_len() {
            self.set_datagram_len(transport.max_datagram_len());
        }
        self.set_peer_streams_max(transport.peer_streams_max());
        while let Some(event) = transport.poll_event() {
            match event {
                TransportEvent::Readable(stream) => self.read(transport, stream),
                TransportEvent::Writable(stream) => self.on_writable(stream),
                TransportEvent::Stopped(stream, code) => self.on_stop_sending(stream, code),
                TransportEvent::Available(_) => {}
                TransportEvent::Datagrams => {
                    while let Some(datagram) = transport.receive_datagram() {
                        self.on_datagram(datagram);
                    }
                }
                TransportEvent::EarlyData(decided) => {
                    self.on_early_data_decided(decided == EarlyData::Accepted);
                }
                TransportEvent::Closed(error) => self.on_closed(error),
            }
        }
        self.flush(transport);
        // A peer that has just moved has not stalled, however late it is looked at.
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.expire();
            self.flush(transport);
        }
    }

    /// Gives the transport what is to be sent, and reads the streams that have room again.
    #[inline]
    pub fn flush(&mut self, transport: &mut impl Transport) {
        // It is asked after everything that happens, often for nothing.
        if !self.is_settled() {
            self.flush_all(transport);
        }
    }

    /// Whether the transport has everything that it can have now.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        !self.may_transmit()
            && !self.has_actions()
            && !self.has_resumed()
            && !self.wants_unidirectional()
            && self.error().is_none()
    }

    fn flush_all(&mut self, transport: &mut impl Transport) {
        while let Some(stream) = self.poll_resumed() {
            self.read(transport, stream);
        }
        while self.wants_unidirectional() {
            let Some(stream) = transport.open(Direction::Unidirectional) else {
                break;
            };
            self.on_unidirectional_opened(stream);
        }
        self.act_on(transport);
        while self.may_transmit()
            && let Some(transmit) = self.poll_transmit()
        {
            let stream = transmit.stream;
            let written = transport.write(stream, transmit.chunks, transmit.fin);
            self.on_write(transport, stream, written);
        }
        self.act_on(transport);
        if let Some(error) = self.poll_close() {
            transport.close(error.code, error.reason);
        }
    }

    /// Takes note of what became of a write.
    pub(crate) fn on_write(
        &mut self,
        transport: &mut impl Transport,
        stream: StreamId,
        written: Result<Written, WriteError>,
    ) {
        match written {
            Ok(written) => {
                if written.is_blocked
                    && let Some(now) = transport.now()
                {
                    self.set_clock(now);
                }
                self.on_transmitted(stream, written);
            }
            Err(WriteError::Stopped(code)) => self.on_stop_sending(stream, code),
            Err(WriteError::Closed) => self.on_stop_sending(stream, Code::H3_NO_ERROR),
        }
    }

    /// Gives the transport everything but what is written on streams: all that follows from
    /// [`Connection::send_datagram`].
    #[inline]
    pub fn act_on(&mut self, transport: &mut impl Transport) {
        // It is asked after every write, mostly for nothing.
        if self.has_actions() {
            self.act_on_all(transport);
        }
    }

    fn act_on_all(&mut self, transport: &mut impl Transport) {
        while let Some(action) = self.poll_action() {
            match action {
                Action::Reset(stream, code) => transport.reset(stream, code),
                Action::Stop(stream, code) => transport.stop(stream, code),
                Action::Prioritize(stream, priority) => transport.prioritize(stream, priority),
                Action::Datagram(datagram) => {
                    transport.send_datagram(datagram);
                }
                Action::Remember(blob) => transport.remember(blob),
            }
        }
    }

    fn read(&mut self, transport: &mut impl Transport, stream: StreamId) {
        if self.wants_read(stream) {
            let mut has_ended = false;
            let read = transport.read_each(stream, |chunk| {
                has_ended = chunk.fin;
                self.on_stream_data(stream, chunk.bytes, chunk.fin);
                !has_ended && self.wants_read(stream)
            });
            match read {
                // Nothing follows the end, no reset either.
                Ok(()) if has_ended => return,
                Ok(()) => {}
                Err(ReadError::Blocked | ReadError::Closed) => return,
                Err(ReadError::Reset(code)) => return self.on_reset(stream, code),
            }
        }
        // A stream that waits for QPACK or for its application can still be given up.
        if let Some(code) = transport.take_reset(stream) {
            self.on_reset(stream, code);
        }
    }
}
