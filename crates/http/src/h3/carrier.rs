//! The transport of HTTP/3 as QUIC's host gives it.
//!
//! Invariant: every call goes straight to the protocol's state; nothing is buffered here.

use std::time::{Duration, Instant};

use bytes::Bytes;
use portway_h3::error::{Code, ConnectionError};
use portway_h3::{
    Chunk, Direction, EarlyData, ReadError, StreamId, Transport, TransportEvent, WriteError,
    Written,
};
use portway_transport::quic::{self, Host, HostEvent, NotRead, NotWritten, Side, VarInt};

/// A QUIC connection under its lock.
pub(super) struct Carrier<'a, 'h> {
    pub(super) host: &'a mut Host<'h>,
    pub(super) news: &'a mut News,
    /// When the connection's time began.
    pub(super) began: Option<Instant>,
}

/// What the transport told and the protocol's state does not keep.
#[derive(Default)]
pub(super) struct News {
    /// The peer has allowed more streams of a kind: bidirectional, unidirectional.
    pub(super) can_open: [bool; 2],
    /// What is to be kept with the session.
    pub(super) remembered: Option<Bytes>,
}

impl Transport for Carrier<'_, '_> {
    #[inline]
    fn poll_event(&mut self) -> Option<TransportEvent> {
        if !self.host.has_events() {
            return None;
        }
        self.poll_some_event()
    }

    fn open(&mut self, direction: Direction) -> Option<StreamId> {
        let kind = match direction {
            Direction::Bidirectional => quic::StreamKind::Bidirectional,
            Direction::Unidirectional => quic::StreamKind::Unidirectional,
        };
        self.host.open(kind).map(ours)
    }

    fn read(&mut self, stream: StreamId) -> Result<Chunk, ReadError> {
        let read = self.host.read(theirs(stream)).map_err(not_read);
        read.map(|(bytes, fin)| Chunk { bytes, fin })
    }

    fn read_each(
        &mut self,
        stream: StreamId,
        mut take: impl FnMut(Chunk) -> bool,
    ) -> Result<(), ReadError> {
        let read = self
            .host
            .read_each(theirs(stream), |bytes, fin| take(Chunk { bytes, fin }));
        read.map_err(not_read)
    }

    fn take_reset(&mut self, stream: StreamId) -> Option<Code> {
        let code = self.host.take_reset(theirs(stream))?;
        Some(Code::new(code.get()))
    }

    fn write(
        &mut self,
        stream: StreamId,
        chunks: &mut [Bytes],
        fin: bool,
    ) -> Result<Written, WriteError> {
        match self.host.write(theirs(stream), chunks, fin) {
            Ok(written) => Ok(Written {
                bytes: written.bytes,
                fin: written.is_finished,
                is_blocked: written.is_blocked,
            }),
            Err(NotWritten::Stopped(code)) => Err(WriteError::Stopped(Code::new(code.get()))),
            Err(NotWritten::Ended) => Err(WriteError::Closed),
        }
    }

    fn reset(&mut self, stream: StreamId, code: Code) {
        self.host.reset(theirs(stream), number(code));
    }

    fn stop(&mut self, stream: StreamId, code: Code) {
        self.host.stop(theirs(stream), number(code));
    }

    fn prioritize(&mut self, stream: StreamId, priority: i32) {
        self.host.set_priority(theirs(stream), priority);
    }

    fn send_datagram(&mut self, datagram: Bytes) -> bool {
        self.host.send_datagram(datagram)
    }

    fn max_datagram_len(&mut self) -> Option<usize> {
        self.host.datagram_size_max()
    }

    fn receive_datagram(&mut self) -> Option<Bytes> {
        self.host.receive_datagram()
    }

    fn remember(&mut self, blob: Bytes) {
        self.news.remembered = Some(blob);
    }

    fn close(&mut self, code: Code, reason: &str) {
        self.host.close(number(code), reason.as_bytes());
    }

    fn now(&mut self) -> Option<Duration> {
        Some(self.host.now().saturating_duration_since(self.began?))
    }
}

impl Carrier<'_, '_> {
    fn poll_some_event(&mut self) -> Option<TransportEvent> {
        loop {
            return Some(match self.host.poll_event()? {
                HostEvent::Readable(stream) => TransportEvent::Readable(ours(stream)),
                HostEvent::Writable(stream) => TransportEvent::Writable(ours(stream)),
                HostEvent::Stopped(stream, code) => {
                    TransportEvent::Stopped(ours(stream), Code::new(code.get()))
                }
                HostEvent::Available(kind) => {
                    let direction = match kind {
                        quic::StreamKind::Bidirectional => Direction::Bidirectional,
                        quic::StreamKind::Unidirectional => Direction::Unidirectional,
                    };
                    self.news.can_open[direction as usize] = true;
                    TransportEvent::Available(direction)
                }
                HostEvent::Datagram => TransportEvent::Datagrams,
                HostEvent::Established(decided) => {
                    self.news.can_open = [true; 2];
                    match decided {
                        Some(is_accepted) if self.host.side() == Side::Client => {
                            TransportEvent::EarlyData(match is_accepted {
                                true => EarlyData::Accepted,
                                false => EarlyData::Rejected,
                            })
                        }
                        _ => continue,
                    }
                }
                HostEvent::Closed(error) => TransportEvent::Closed(closed(&error)),
                _ => continue,
            });
        }
    }
}

fn not_read(why: NotRead) -> ReadError {
    match why {
        NotRead::Blocked => ReadError::Blocked,
        NotRead::Reset(code) => ReadError::Reset(Code::new(code.get())),
        NotRead::Ended => ReadError::Closed,
    }
}

/// The code as QUIC carries it.
pub(super) fn number(code: Code) -> VarInt {
    VarInt::saturating(code.value())
}

fn ours(stream: quic::StreamId) -> StreamId {
    StreamId::new(stream.get()).expect("QUIC's identifiers have 62 bits, too")
}

fn theirs(stream: StreamId) -> quic::StreamId {
    quic::StreamId::new(stream.value()).expect("HTTP/3's identifiers have 62 bits, too")
}

/// What HTTP/3 says of the end of its connection. QUIC's own error has the details.
fn closed(error: &quic::ConnectionError) -> ConnectionError {
    use quic::ConnectionError as E;
    match error {
        E::ClosedLocally { code } => {
            ConnectionError::peer(Code::new(code.get()), "this side closed the connection")
        }
        E::ClosedByPeer { code, .. } => {
            ConnectionError::peer(Code::new(code.get()), "the peer closed the connection")
        }
        // RFC 9000 §20.1: NO_ERROR is an orderly end, too.
        E::TransportClosedByPeer { code: 0, .. } => ConnectionError::peer(
            Code::H3_NO_ERROR,
            "the peer's transport closed the connection",
        ),
        E::TransportClosedByPeer { .. } => lost("the peer's transport closed the connection"),
        E::TransportClosedLocally { .. } => lost("this side's transport closed the connection"),
        E::IdleTimedOut => lost("the connection was idle for too long"),
        E::HandshakeTimedOut => lost("the handshake timed out"),
        E::Reset => lost("the peer does not know the connection any more"),
        _ => lost("the transport is gone"),
    }
}

/// An end that no HTTP/3 code was given for.
fn lost(reason: &'static str) -> ConnectionError {
    ConnectionError::peer(Code::H3_INTERNAL_ERROR, reason)
}
