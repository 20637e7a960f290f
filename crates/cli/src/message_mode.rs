//! How bytes of a standard stream become messages and back.
//!
//! Invariant: what one side writes in a mode, the other side reads in the same mode unchanged.

use crate::arguments::Framing;
use portway::framer::Delimited;
use portway::{LengthPrefixed, Preconnection};

/// What a piece of standard input is to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageMode {
    /// Bytes as they come.
    Stream,
    /// A line without its line feed is a message, which is written with one.
    Lines,
    /// A line with its line feed is a datagram; what comes is written as it is.
    Datagrams,
}

impl MessageMode {
    pub(crate) fn of(framing: Framing, is_datagram: bool) -> Self {
        match (framing, is_datagram) {
            (Framing::None, false) => MessageMode::Stream,
            (Framing::None, true) => MessageMode::Datagrams,
            _ => MessageMode::Lines,
        }
    }
}

/// Adds the framer.
pub(crate) fn framed(preconnection: Preconnection, framing: Framing) -> Preconnection {
    match framing {
        Framing::None => preconnection,
        Framing::Line => preconnection.framer(
            Delimited::lf()
                .max_length(LINE_BYTES_MAX)
                .last_may_be_undelimited(),
        ),
        Framing::Length32 => preconnection.framer(LengthPrefixed::u32().max_length(LINE_BYTES_MAX)),
    }
}

/// The longest line that is read, sent or received.
pub(crate) const LINE_BYTES_MAX: u64 = 1024 * 1024;
