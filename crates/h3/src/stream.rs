//! Identifiers of QUIC streams and what they say about a stream.
//!
//! Invariant: an identifier has 62 bits; its lowest two bits are initiator and direction.

mod map;

use std::collections::BTreeSet;
use std::fmt;

use crate::error::{Code, ConnectionError};
use crate::varint;

pub use map::StreamMap;

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that sends requests.
    Client,
    /// The end that answers.
    Server,
}

/// Whether one side or both sides send on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both sides.
    Bidirectional,
    /// The initiator only.
    Unidirectional,
}

/// The identifier of a stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// The identifier with this value, or `None` beyond 62 bits.
    pub const fn new(value: u64) -> Option<Self> {
        if value > varint::MAX {
            None
        } else {
            Some(Self(value))
        }
    }

    /// The identifier of stream number `index` of one kind; `None` beyond 60 bits.
    pub const fn nth(initiator: Role, direction: Direction, index: u64) -> Option<Self> {
        if index > varint::MAX >> 2 {
            return None;
        }
        let initiator = match initiator {
            Role::Client => 0,
            Role::Server => 1,
        };
        let direction = match direction {
            Direction::Bidirectional => 0,
            Direction::Unidirectional => 2,
        };
        Some(Self(index << 2 | direction | initiator))
    }

    /// The value on the wire.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Who opened the stream.
    pub const fn initiator(self) -> Role {
        if self.0 & 1 == 0 {
            Role::Client
        } else {
            Role::Server
        }
    }

    /// Who sends on the stream.
    pub const fn direction(self) -> Direction {
        if self.0 & 2 == 0 {
            Direction::Bidirectional
        } else {
            Direction::Unidirectional
        }
    }

    /// Whether requests run on this stream.
    // RFC 9114 §6.1: client-initiated bidirectional streams are request streams.
    pub const fn is_request(self) -> bool {
        self.0 & 3 == 0
    }

    /// The number among the streams of its kind.
    pub const fn index(self) -> u64 {
        self.0 >> 2
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Which streams of one kind the peer has used, so that what comes late for a stream that is over
/// does not open it again.
///
/// Streams below `next` were used, except those in `gaps`, whose first data was overtaken.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    next: u64,
    gaps: BTreeSet<u64>,
}

/// How many streams may be overtaken at a time.
const GAPS_MAX: u64 = 4096;

impl Opened {
    /// Marks a stream as used and says whether it was new.
    ///
    /// # Errors
    /// H3_ID_ERROR when the transport lets the peer skip more streams than any limit allows.
    pub(crate) fn open(&mut self, index: u64) -> Result<bool, ConnectionError> {
        if index < self.next {
            return Ok(self.gaps.remove(&index));
        }
        if index - self.next + self.gaps.len() as u64 > GAPS_MAX {
            return Err(ConnectionError::local(
                Code::H3_ID_ERROR,
                "too many streams are skipped",
            ));
        }
        self.gaps.extend(self.next..index);
        self.next = index + 1;
        Ok(true)
    }

    /// Whether a stream was used.
    pub(crate) fn was_opened(&self, index: u64) -> bool {
        index < self.next && !self.gaps.contains(&index)
    }

    /// The lowest number that no stream of the peer has reached.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bits_say_who_and_how() {
        let kinds = [
            (0, Role::Client, Direction::Bidirectional),
            (1, Role::Server, Direction::Bidirectional),
            (2, Role::Client, Direction::Unidirectional),
            (3, Role::Server, Direction::Unidirectional),
        ];
        for (value, initiator, direction) in kinds {
            let id = StreamId::nth(initiator, direction, 5).expect("in range");
            assert_eq!(id.value(), 20 + value);
            assert_eq!(
                (id.initiator(), id.direction(), id.index()),
                (initiator, direction, 5)
            );
            assert_eq!(id.is_request(), value == 0);
        }
        assert_eq!(StreamId::new(varint::MAX + 1), None);
        assert_eq!(
            StreamId::nth(Role::Client, Direction::Bidirectional, 1 << 60),
            None
        );
    }

    #[test]
    fn a_stream_opens_once_in_whatever_order() {
        let mut opened = Opened::default();
        assert_eq!(opened.open(2), Ok(true));
        assert_eq!(opened.open(2), Ok(false));
        assert_eq!(opened.open(0), Ok(true));
        assert_eq!(opened.open(0), Ok(false));
        assert_eq!(opened.open(1), Ok(true));
        assert_eq!(opened.next(), 3);
        assert!(opened.gaps.is_empty());
    }

    #[test]
    fn skipped_streams_are_bounded() {
        let mut opened = Opened::default();
        assert_eq!(opened.open(GAPS_MAX), Ok(true));
        assert_eq!(
            opened.open(GAPS_MAX + 2).expect_err("too far").code,
            Code::H3_ID_ERROR
        );
        assert_eq!(opened.open(GAPS_MAX + 1), Ok(true));
    }
}
