//! Why a value could not be read or written.

use crate::error::{ReceiveError, SendError, classified};
use portway_core::{Advice, Failure, FailureKind, Origin};
use std::fmt;
use std::str::Utf8Error;

/// Why a value was not read. What had come of it is still there: see
/// [`BinaryReader::unconsumed`](super::BinaryReader::unconsumed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer ended the stream before the value was complete.
    Ended {
        /// How many bytes were wanted, from the first unconsumed one.
        wanted: usize,
        /// How many there are.
        available: usize,
    },
    /// The value is longer than one read may ask for; nothing was waited for.
    TooLong {
        /// How many bytes it would take.
        asked: u64,
        /// How many one read may ask for.
        max: usize,
    },
    /// The bytes are no UTF-8.
    NotText(Utf8Error),
    /// The connection gave no more.
    Receive(ReceiveError),
}

impl ReadError {
    /// The failure in the shared classification.
    pub fn failure(&self) -> Failure {
        let framing = |kind| Failure::new(Origin::Framing, kind, self.to_string());
        match self {
            ReadError::Ended { .. } | ReadError::NotText(_) => {
                framing(FailureKind::ProtocolViolation)
            }
            ReadError::TooLong { .. } => framing(FailureKind::LimitReached),
            ReadError::Receive(error) => error.failure(),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Ended { wanted, available } => {
                write!(f, "the stream ends after {available} of {wanted} bytes")
            }
            ReadError::TooLong { asked, max } => {
                write!(f, "{asked} bytes exceed the {max} that one read may take")
            }
            ReadError::NotText(error) => write!(f, "the text is no UTF-8: {error}"),
            ReadError::Receive(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::NotText(error) => Some(error),
            ReadError::Receive(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a value was not written, or what was written not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// There is no room for the value until what is there was stored; nothing of it was written.
    BufferFull {
        /// How many bytes it takes.
        needed: usize,
        /// How many there is room for.
        room: usize,
    },
    /// The bytes are too many for the number that shall say how many they are.
    TooLongForPrefix {
        /// How many they are.
        bytes: usize,
        /// The bits of the number.
        prefix_bits: usize,
    },
    /// The connection did not take what was written. What was not accepted is still in the writer.
    Send(SendError),
}

impl WriteError {
    /// The failure in the shared classification.
    pub fn failure(&self) -> Failure {
        let local = |kind| Failure::new(Origin::Local, kind, self.to_string());
        match self {
            WriteError::BufferFull { .. } => local(FailureKind::LimitReached),
            WriteError::TooLongForPrefix { .. } => local(FailureKind::InvalidRequest),
            WriteError::Send(error) => error.failure(),
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::BufferFull { needed, room } => {
                write!(
                    f,
                    "the buffer has room for {room} bytes and {needed} are to be written"
                )
            }
            WriteError::TooLongForPrefix { bytes, prefix_bits } => {
                write!(
                    f,
                    "a length of {bytes} bytes does not fit {prefix_bits} bits"
                )
            }
            WriteError::Send(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WriteError::Send(error) => Some(error),
            _ => None,
        }
    }
}

classified!(ReadError, WriteError);
