//! Message framers (RFC 9622 §9.1.2, RFC 9623 §6): where messages begin and end in bytes.
//!
//! Invariant: a framer sees bytes and messages only, no I/O and no time, and never allocates a
//! length because a peer declared it. [`Framers`] is the shareable list that a Preconnection
//! holds, [`Pipeline`] the instances of one connection, [`ReceiveBuffer`] what turns them into
//! receives.

mod body;
mod datagram;
mod delimited;
mod factory;
mod http1;
mod length_prefixed;
mod pipeline;
mod receive;
mod shortcut;
mod tlv;

#[cfg(test)]
mod tests;

pub use body::{Body, Demand};
pub use datagram::{DatagramPacker, PackedDatagram};
pub use delimited::Delimited;
pub use factory::{FramerFactory, Framers, from_fn};
pub use http1::{
    HTTP1_FIELDS, HTTP1_METHOD, HTTP1_MINOR_VERSION, HTTP1_REASON, HTTP1_STATUS, HTTP1_TARGET,
    HTTP1_TRAILERS, Http1,
};
pub use length_prefixed::{ByteOrder, LengthPrefixed};
pub use pipeline::{FrameError, Pipeline};
pub use receive::{Receive, ReceiveBuffer, ReceiveFailure, ReceiveLimits};
pub use shortcut::{Header, Whole};
pub use tlv::{TLV_TYPE, Tlv};

use crate::Failure;
use crate::message::{Chunks, MessageContext};
use crate::send_queue::WireBuffer;
use bytes::BytesMut;

/// Frames outgoing messages and finds the messages in incoming bytes.
///
/// One instance serves one connection. The events of RFC 9623 §6.1 are its methods: Start is
/// [`Framer::start`], MakeConnectionReady is returning [`Progress::Ready`], Stop is
/// [`Framer::stop`], FailConnection is any error, PrependFramer and StartPassthrough are on
/// [`Control`].
pub trait Framer: Send {
    /// The connection below is there: a framer with a handshake writes its first bytes.
    ///
    /// # Errors
    /// The candidate does not suit; the race goes on with another one.
    fn start(&mut self, control: &mut Control<'_>) -> Result<Progress, Failure> {
        let _ = control;
        Ok(Progress::Ready)
    }

    /// Bytes have come before the framer was ready. What it leaves in `input` stays there for
    /// the next call, or for [`Framer::deframe`] once it is ready.
    ///
    /// # Errors
    /// As [`Framer::start`].
    fn on_handshake(
        &mut self,
        input: &mut BytesMut,
        control: &mut Control<'_>,
    ) -> Result<Progress, Failure> {
        let _ = (input, control);
        Ok(Progress::Ready)
    }

    /// The connection is closing in an orderly way: the last chance to write.
    ///
    /// # Errors
    /// What must be written cannot be; the connection closes all the same.
    fn stop(&mut self, out: &mut WireBuffer) -> Result<(), Failure> {
        let _ = out;
        Ok(())
    }

    /// Whether the length of a message must be known before its first byte is framed. The parts
    /// of a partial send then wait in the send queue until the message is complete, unless it
    /// was begun with its length.
    fn needs_length(&self) -> bool {
        false
    }

    /// Whether messages must leave in the order of their sends, because the peer tells by their
    /// place what they belong to. Their priorities then change nothing.
    fn keeps_order(&self) -> bool {
        false
    }

    /// Frames one message, or one part of it, into `out`, with `put_bytes` for the payload.
    ///
    /// # Errors
    /// The message cannot be framed. At the start of a message nothing may have been written
    /// then, and only this message is refused; later, the stream is broken.
    fn frame(&mut self, part: Outgoing<'_>, out: &mut WireBuffer) -> Result<(), Failure>;

    /// Finds the next message, or the next part of one, in `input` and takes it out.
    ///
    /// [`Demand`] says whether parts are wanted. A framer that does not know its message's end
    /// may ignore it and wait for whole messages; what is too long is then cut above.
    ///
    /// # Errors
    /// The bytes break the framer's rules; the connection cannot be used any more.
    fn deframe(&mut self, input: &mut BytesMut, demand: Demand) -> Result<Deframed, Failure>;

    /// The shortcut of [`Framer::frame`]: what stands before a whole message of `length` bytes,
    /// when that is all that this framer adds, and when framing it so changes no state. `None`
    /// leaves the message to [`Framer::frame`], which must write the same where there is a header.
    fn header(&self, length: usize, context: &MessageContext) -> Option<Header> {
        let _ = (length, context);
        None
    }

    /// The shortcut of [`Framer::deframe`]: where the message at the front of `input` lies, when
    /// all of it is there and its bytes are delivered as they are, without metadata. Whoever asks
    /// takes it out, and the framer must not need to know. `None` leaves the input to
    /// [`Framer::deframe`], which must find the same where there is something.
    fn peek(&self, input: &[u8]) -> Option<Whole> {
        let _ = input;
        None
    }

    /// The input ends here, because the stream or the datagram does. A framer goes back to its
    /// initial state, as another datagram may follow, and may still deliver what `input` holds.
    ///
    /// # Errors
    /// The input ends within a message; the error says how much of it was there.
    fn end_of_input(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Failure> {
        match input.len() {
            0 => Ok(None),
            unread => {
                input.clear();
                Err(body::ended_within_message(unread as u64, None))
            }
        }
    }
}

/// How far a framer's handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Messages can flow.
    Ready,
    /// More bytes of the peer are needed.
    NeedsInput,
}

/// What a framer can do before it is ready, apart from reading.
#[derive(Debug)]
pub struct Control<'a> {
    /// Bytes for the peer's framer.
    pub out: &'a mut WireBuffer,
    prepended: &'a mut Vec<Box<dyn Framer>>,
    is_passthrough: &'a mut bool,
}

impl Control<'_> {
    /// Puts another framer above this one, between it and the application.
    pub fn prepend(&mut self, framer: impl Framer + 'static) {
        self.prepended.push(Box::new(framer));
    }

    /// Takes this framer out as soon as it is ready: bytes then flow through unchanged.
    pub fn start_passthrough(&mut self) {
        *self.is_passthrough = true;
    }
}

impl std::fmt::Debug for dyn Framer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Framer")
    }
}

/// A message, or a part of one, on its way out.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// The message's context, the same for every part.
    pub context: &'a MessageContext,
    /// The bytes of this part.
    pub data: Chunks,
    /// Whether the message begins here.
    pub is_start: bool,
    /// Whether the message ends here.
    pub is_end: bool,
    /// The length of the whole message, where it is known.
    pub length: Option<u64>,
}

impl<'a> Outgoing<'a> {
    /// A whole message.
    #[inline]
    pub fn whole(data: Chunks, context: &'a MessageContext) -> Self {
        Outgoing {
            context,
            length: Some(data.len() as u64),
            data,
            is_start: true,
            is_end: true,
        }
    }

    /// A part of a message.
    pub fn part(
        data: Chunks,
        context: &'a MessageContext,
        (is_start, is_end): (bool, bool),
        length: Option<u64>,
    ) -> Self {
        Outgoing {
            context,
            data,
            is_start,
            is_end,
            length,
        }
    }
}

/// What [`Framer::deframe`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Deframed {
    /// A message or a part of one, which is no longer in the input.
    Frame(Frame),
    /// Nothing before at least so many more bytes have come; at least 1.
    NeedsMore(usize),
    /// The framer is done: what is in the input and all that follows is not framed.
    Passthrough,
}

/// A message, or the next part of one, as a framer found it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The bytes.
    pub data: BytesMut,
    /// The framer's metadata.
    pub context: MessageContext,
    /// Whether the message ends with these bytes.
    pub is_end: bool,
}

impl Frame {
    /// A frame without metadata.
    pub fn new(data: BytesMut, is_end: bool) -> Self {
        Frame {
            data,
            context: MessageContext::new(),
            is_end,
        }
    }
}
