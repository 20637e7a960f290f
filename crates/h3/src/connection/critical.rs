//! The streams that we open for the connection itself: control, QPACK encoder and decoder, and a
//! reserved one that exercises the peer.
//!
//! Invariant: critical streams are opened before any other, in this order, and never end.

use bytes::{Bytes, BytesMut};

use super::Config;
use crate::error::{Code, ConnectionError};
use crate::exchange::{SendState, Sender};
use crate::frame;
use crate::grease::Grease;
use crate::padding::Padding;
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
#[derive(Debug)]
pub(super) struct LocalStream {
    pub(super) id: Option<StreamId>,
    pub(super) sender: Sender,
    pub(super) is_blocked: bool,
}

impl LocalStream {
    fn new(ty: u64) -> Self {
        let mut first = BytesMut::with_capacity(64);
        varint::encode(ty, &mut first);
        let mut sender = Sender::new(SendState::Body);
        sender.queue_frame(first);
        Self {
            id: None,
            sender,
            is_blocked: false,
        }
    }

    fn can_write(&self) -> bool {
        self.id.is_some() && !self.is_blocked && self.sender.has_work()
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
        let mut streams = [
            LocalStream::new(stream_type::CONTROL),
            LocalStream::new(stream_type::QPACK_ENCODER),
            LocalStream::new(stream_type::QPACK_DECODER),
            LocalStream::new(varint::reserved(reserved.unwrap_or(0))),
        ];
        // RFC 9114 §6.2.1, §7.2.4.2: SETTINGS come first, and nothing of the peer is awaited.
        let mut settings = BytesMut::with_capacity(64);
        config.settings(role).encode(grease.next(), &mut settings);
        if let Some(n) = grease.next() {
            frame::reserved::encode(n, (n % 8) as usize, &mut settings);
        }
        streams[0].sender.queue_frame(settings);
        // RFC 9114 §6.2.3: a reserved stream may end at once.
        streams[3].sender.end(Padding::None);
        Self {
            streams,
            has_grease: reserved.is_some(),
            may_write: true,
        }
    }

    /// Whether another stream is to be opened.
    pub(super) fn wants_stream(&self) -> bool {
        self.next_to_open().is_some()
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
        let sender = &mut self.streams[purpose as usize].sender;
        if sender.queued_bytes() + bytes.len() > limit {
            let reason = "the peer does not read a critical stream";
            return Err(ConnectionError::local(Code::H3_EXCESSIVE_LOAD, reason));
        }
        sender.queue_bytes(bytes);
        Ok(())
    }

    /// How much more a critical stream takes.
    pub(super) fn room(&self, purpose: Purpose, limit: usize) -> usize {
        limit.saturating_sub(self.streams[purpose as usize].sender.queued_bytes())
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
