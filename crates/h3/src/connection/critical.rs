//! The streams that we open for the connection itself: control, QPACK encoder and decoder, and a
//! reserved one that exercises the peer.
//!
//! Invariant: critical streams are opened before any other, in this order, and never end.

use bytes::{Bytes, BytesMut};

use super::Config;
use crate::error::{Code, ConnectionError};
use crate::frame;
use crate::grease::Grease;
use crate::stream::{Direction, Role, StreamId};
use crate::varint;

/// Types of unidirectional streams.
pub(super) mod stream_type {
    pub(crate) const CONTROL: u64 = 0x00;
    pub(crate) const PUSH: u64 = 0x01;
    pub(crate) const QPACK_ENCODER: u64 = 0x02;
    pub(crate) const QPACK_DECODER: u64 = 0x03;
}

/// One of our unidirectional streams that carries bytes of the connection.
///
/// ```text
/// Open ──everything is queued──▶ Ending ──FIN written──▶ Over
///   └──────stopped by the peer─────┴───────────────────────▲
/// ```
#[derive(Debug)]
pub(super) struct LocalStream {
    pub(super) id: Option<StreamId>,
    /// What waits to be written. It is seldom anything and never much, so that it is one piece.
    waiting: Bytes,
    state: LocalState,
    pub(super) is_blocked: bool,
}

/// How far one of our streams is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LocalState {
    Open,
    Ending,
    Over,
}

impl LocalStream {
    /// A stream of this type, with what `write` puts behind the type.
    fn new(ty: u64, write: impl FnOnce(&mut BytesMut)) -> Self {
        let mut first = BytesMut::new();
        varint::encode(ty, &mut first);
        write(&mut first);
        Self {
            id: None,
            waiting: first.freeze(),
            state: LocalState::Open,
            is_blocked: false,
        }
    }

    fn queue(&mut self, bytes: Bytes) {
        self.waiting = match self.waiting.is_empty() {
            true => bytes,
            false => [&self.waiting[..], &bytes].concat().into(),
        };
    }

    fn can_write(&self) -> bool {
        let has_work = !self.waiting.is_empty() || self.state == LocalState::Ending;
        self.id.is_some() && !self.is_blocked && has_work
    }

    /// What to write now, and whether FIN follows it.
    pub(super) fn pieces(&mut self) -> (&mut [Bytes], bool) {
        let fin = self.state == LocalState::Ending;
        (std::slice::from_mut(&mut self.waiting), fin)
    }

    /// Takes note of what the transport took: the piece was advanced in place.
    pub(super) fn on_written(&mut self, fin: bool) {
        if self.waiting.is_empty() {
            // What is left of a written piece holds its memory.
            self.waiting = Bytes::new();
        }
        if fin {
            self.state = LocalState::Over;
        }
    }

    /// Whether nothing more goes out.
    pub(super) fn is_over(&self) -> bool {
        self.state == LocalState::Over
    }

    /// Gives it up.
    pub(super) fn abort(&mut self) {
        self.waiting = Bytes::new();
        self.state = LocalState::Over;
    }
}

/// Which of our streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Control,
    QpackEncoder,
    QpackDecoder,
    Grease,
}

/// Our streams, in the order in which they are opened and written.
#[derive(Debug)]
pub(super) struct LocalStreams {
    streams: [LocalStream; 4],
    has_grease: bool,
    /// Whether one of them may have something to write since none had.
    may_write: bool,
    /// Whether one of them is not open.
    wants_stream: bool,
}

const ORDER: [Purpose; 4] = [
    Purpose::Control,
    Purpose::QpackEncoder,
    Purpose::QpackDecoder,
    Purpose::Grease,
];

impl LocalStreams {
    /// The streams, with SETTINGS on the control stream.
    pub(super) fn new(config: &Config, role: Role, grease: &mut Grease) -> Self {
        let reserved = grease.next();
        // RFC 9114 §6.2.1, §7.2.4.2: SETTINGS come first, and nothing of the peer is awaited.
        let control = LocalStream::new(stream_type::CONTROL, |out| {
            config.settings(role).encode(grease.next(), out);
            if let Some(n) = grease.next() {
                frame::reserved::encode(n, (n % 8) as usize, out);
            }
        });
        let mut reserved_stream = LocalStream::new(varint::reserved(reserved.unwrap_or(0)), |_| {});
        // RFC 9114 §6.2.3: a reserved stream may end at once.
        reserved_stream.state = LocalState::Ending;
        let streams = [
            control,
            LocalStream::new(stream_type::QPACK_ENCODER, |_| {}),
            LocalStream::new(stream_type::QPACK_DECODER, |_| {}),
            reserved_stream,
        ];
        Self {
            streams,
            has_grease: reserved.is_some(),
            may_write: true,
            wants_stream: true,
        }
    }

    /// Whether another stream is to be opened.
    #[inline]
    pub(super) fn wants_stream(&self) -> bool {
        self.wants_stream
    }

    fn next_to_open(&self) -> Option<usize> {
        let unopened = self.streams.iter().position(|stream| stream.id.is_none())?;
        (ORDER[unopened] != Purpose::Grease || self.has_grease).then_some(unopened)
    }

    /// Gives the next stream its identifier; `false` when none was wanted.
    pub(super) fn on_opened(&mut self, id: StreamId) -> bool {
        let Some(next) = self.next_to_open() else {
            return false;
        };
        self.streams[next].id = Some(id);
        self.may_write = true;
        self.wants_stream = self.next_to_open().is_some();
        true
    }

    /// Appends bytes to a critical stream.
    ///
    /// # Errors
    /// H3_EXCESSIVE_LOAD when the peer lets more wait than the limit.
    pub(super) fn queue(
        &mut self,
        purpose: Purpose,
        bytes: Bytes,
        limit: usize,
    ) -> Result<(), ConnectionError> {
        self.may_write = true;
        let stream = &mut self.streams[purpose as usize];
        if stream.waiting.len() + bytes.len() > limit {
            let reason = "the peer does not read a critical stream";
            return Err(ConnectionError::local(Code::H3_EXCESSIVE_LOAD, reason));
        }
        stream.queue(bytes);
        Ok(())
    }

    /// How much more a critical stream takes.
    pub(super) fn room(&self, purpose: Purpose, limit: usize) -> usize {
        limit.saturating_sub(self.streams[purpose as usize].waiting.len())
    }

    /// Whether [`LocalStreams::next_writable`] may find one.
    #[inline]
    pub(super) fn may_write(&self) -> bool {
        self.may_write
    }

    /// The first of our streams that has something to write.
    #[inline]
    pub(super) fn next_writable(&mut self) -> Option<usize> {
        if !self.may_write {
            return None;
        }
        let found = self.streams.iter().position(LocalStream::can_write);
        self.may_write = found.is_some();
        found
    }

    pub(super) fn get_mut(&mut self, at: usize) -> &mut LocalStream {
        &mut self.streams[at]
    }

    /// The stream with this identifier, and whether it is critical.
    #[inline]
    pub(super) fn find(&mut self, id: StreamId) -> Option<(&mut LocalStream, bool)> {
        // Requests are by far the most.
        if id.direction() == Direction::Bidirectional {
            return None;
        }
        let at = self
            .streams
            .iter()
            .position(|stream| stream.id == Some(id))?;
        self.may_write = true;
        Some((&mut self.streams[at], ORDER[at] != Purpose::Grease))
    }
}
