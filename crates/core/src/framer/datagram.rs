//! Several messages in one datagram, which framers make possible (RFC 9622 §9.1.2).
//!
//! Invariant: a message is never cut, and without framers every message is a datagram.

use super::{FrameError, Pipeline};
use crate::message::Message;
use crate::send_queue::WireBuffer;
use crate::{Failure, FailureKind, Origin};
use bytes::Bytes;

/// Packs framed messages into datagrams of limited size.
#[derive(Debug)]
pub struct DatagramPacker {
    max_bytes: usize,
    packed: WireBuffer,
    messages: usize,
}

/// A datagram that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedDatagram {
    /// Its bytes.
    pub data: Bytes,
    /// How many messages are in it.
    pub messages: usize,
}

impl DatagramPacker {
    /// For datagrams of at most `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        DatagramPacker {
            max_bytes,
            packed: WireBuffer::new(),
            messages: 0,
        }
    }

    /// Frames a message and adds it. When it does not fit any more, the datagram before it is
    /// complete and returned.
    ///
    /// # Errors
    /// The message cannot be framed, or is longer than a datagram; what was packed stays.
    pub fn push(
        &mut self,
        framers: &mut Pipeline,
        message: Message,
    ) -> Result<Option<PackedDatagram>, FrameError> {
        let mut framed = WireBuffer::new();
        framers.frame(message, &mut framed)?;
        if framed.len() > self.max_bytes {
            return Err(self.too_long(framed.len()));
        }
        let fits = !framers.is_empty() && self.packed.len() + framed.len() <= self.max_bytes;
        let complete = match fits {
            true => None,
            false => self.finish(),
        };
        self.packed.put_chunks(framed.take_chunks());
        self.messages += 1;
        Ok(complete)
    }

    /// The datagram that was begun, if any.
    pub fn finish(&mut self) -> Option<PackedDatagram> {
        let messages = std::mem::take(&mut self.messages);
        (messages > 0).then(|| PackedDatagram {
            data: self.packed.take_chunks().into_bytes(),
            messages,
        })
    }

    fn too_long(&self, bytes: usize) -> FrameError {
        FrameError {
            failure: Failure::new(
                Origin::Local,
                FailureKind::LimitReached,
                format!(
                    "message of {bytes} bytes with its framing is longer than a datagram of {}",
                    self.max_bytes
                ),
            ),
            is_stream_broken: false,
        }
    }
}
