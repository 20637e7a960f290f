//! From messages to the wire: the queue of a group, and the bytes that wait for the socket.
//!
//! Invariant: every accepted send has exactly one completion. [`SendQueue`] decides what goes
//! next, the framers turn it into bytes in a [`WireBuffer`], and what leaves the buffer
//! completes sends in the order in which they entered it.
//!
//! ```
//! use portway_core::Time;
//! use portway_core::framer::{LengthPrefixed, Pipeline};
//! use portway_core::send_queue::{
//!     ConnectionId, Outcome, Policy, QueueLimits, SendQueue, WireBuffer,
//! };
//!
//! let connection = ConnectionId(1);
//! let mut queue = SendQueue::new(Policy::FirstComeFirstServed, QueueLimits::default());
//! queue.add_connection(connection, 100);
//! let mut framers = Pipeline::new([Box::new(LengthPrefixed::u16()) as _]);
//! let mut wire = WireBuffer::new();
//!
//! queue.push(Time::ZERO, connection, "hello".into(), "its receipt")?;
//! while let Some(mut next) = queue.pop(Time::ZERO) {
//!     framers.frame_part(next.part(), &mut wire)?;
//!     wire.mark();
//! }
//! assert_eq!(wire.first_slice(), b"\x00\x05hello");
//! let sends = wire.advance(7);
//! queue.on_sent(connection, sends);
//! let completion = queue.poll_completion().expect("the send is complete");
//! assert_eq!((completion.receipt, completion.outcome), ("its receipt", Outcome::Sent));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod lane;
mod queue;
mod wire_buffer;

#[cfg(test)]
mod tests;

pub use error::QueueError;
pub use lane::QueuedSend;
pub use queue::{Policy, QueueLimits, Reservation, SendQueue, dropped_in_mid_message};
pub use wire_buffer::{COPIED_BYTES_MAX, WireBuffer};

use crate::Failure;

/// A connection of a group, as the group numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One accepted call to send: a message, or one part of it. Later calls have greater values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(pub u64);

/// A message that was begun and not yet ended, to which parts can be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenMessage(SendId);

/// Whether a part is the last one of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfMessage {
    /// More parts follow.
    No,
    /// The message ends with this part.
    Yes,
}

/// How a connection sends a message whose parts come one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialSends {
    /// Every part is sent as soon as it comes.
    Stream,
    /// Parts wait until the message is complete or its length is known, for framers that need
    /// the length first.
    Assemble,
    /// Parts wait until the message is complete, for wires that carry whole messages only.
    Whole,
}

/// What became of the message that was withdrawn with [`SendQueue::abort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a broken stream must be reset"]
pub enum Aborted {
    /// Nothing of it had left the queue; the connection goes on.
    Withdrawn,
    /// A part of it may be on the wire. The connection must be reset, so that the peer does not
    /// take what it has for the whole message.
    StreamBroken,
}

/// The end of one send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion<R> {
    /// Which send.
    pub id: SendId,
    /// Over which connection.
    pub connection: ConnectionId,
    /// What was handed in with it.
    pub receipt: R,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a send ended (RFC 9622 §9.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The last byte was accepted by what is below.
    Sent,
    /// Its lifetime passed before its first byte was written.
    Expired,
    /// It was not, or not wholly, sent.
    Failed(Failure),
}
