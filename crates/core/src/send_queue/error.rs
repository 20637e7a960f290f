//! Why a send was not accepted. A send that is refused has no completion.

use super::ConnectionId;
use thiserror::Error;

/// Why the queue did not accept a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The group's bounds are reached; there is room again after some completions.
    #[error("send queue is full with {sends} sends and {bytes} bytes")]
    Full {
        /// The sends that are not complete, with what is reserved.
        sends: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// A final message was accepted before (RFC 9622 §9.1.3.5).
    #[error("a final message was already sent")]
    AfterFinal,
    /// A partial send was dropped in mid-message, so nothing can follow it.
    #[error("the stream was broken by an unfinished message")]
    StreamBroken,
    /// The message was ended, aborted or refused before, so it takes no more parts.
    #[error("the message takes no more parts")]
    MessageEnded,
    /// A message that must wait until it is complete is longer than the queue may hold.
    #[error("a message of {bytes} bytes cannot wait to be complete: the queue holds {limit}")]
    TooLongToAssemble {
        /// The message's bytes, with the refused part.
        bytes: usize,
        /// The queue's bound.
        limit: usize,
    },
    /// A message that must wait until it is complete has more parts than the queue may hold.
    #[error("a message of {parts} parts cannot wait to be complete: the queue holds {limit} sends")]
    TooManyPartsToAssemble {
        /// The message's parts, with the refused one.
        parts: usize,
        /// The queue's bound.
        limit: usize,
    },
    /// The parts do not add up to the length with which the message was begun.
    #[error("{given} bytes given where {announced} of the announced length are left")]
    LengthMismatch {
        /// The bytes of the part.
        given: u64,
        /// What the message still had to bring.
        announced: u64,
    },
    /// The group has no such connection.
    #[error("connection {} is not in the group", .0.0)]
    UnknownConnection(ConnectionId),
}
