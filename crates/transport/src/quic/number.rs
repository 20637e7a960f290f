//! Numbers that QUIC puts on the wire: variable-length integers and stream identifiers.
//!
//! Invariant: a [`VarInt`] fits 62 bits, so encoding it cannot fail.

use std::fmt;

/// An integer of at most 62 bits, such as an application error code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarInt(u64);

impl VarInt {
    /// The largest value.
    pub const MAX: VarInt = VarInt((1 << 62) - 1);
    /// Zero.
    pub const ZERO: VarInt = VarInt(0);

    /// A value that always fits.
    pub const fn from_u32(value: u32) -> Self {
        VarInt(value as u64)
    }

    /// `value`, unless it needs more than 62 bits.
    pub const fn new(value: u64) -> Option<Self> {
        if value <= VarInt::MAX.0 {
            Some(VarInt(value))
        } else {
            None
        }
    }

    /// The nearest value that fits.
    pub const fn saturating(value: u64) -> Self {
        if value <= VarInt::MAX.0 {
            VarInt(value)
        } else {
            VarInt::MAX
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn proto(self) -> quinn_proto::VarInt {
        quinn_proto::VarInt::from_u64(self.0).expect("a VarInt has at most 62 bits")
    }
}

impl From<u32> for VarInt {
    fn from(value: u32) -> Self {
        VarInt::from_u32(value)
    }
}

impl From<quinn_proto::VarInt> for VarInt {
    fn from(value: quinn_proto::VarInt) -> Self {
        VarInt(value.into_inner())
    }
}

impl From<VarInt> for u64 {
    fn from(value: VarInt) -> u64 {
        value.0
    }
}

impl fmt::Display for VarInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that connected.
    Client,
    /// The end that accepted.
    Server,
}

/// Which ways a stream carries data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Both ways.
    Bidirectional,
    /// From the side that opened it only.
    Unidirectional,
}

impl StreamKind {
    pub(crate) fn proto(self) -> quinn_proto::Dir {
        match self {
            StreamKind::Bidirectional => quinn_proto::Dir::Bi,
            StreamKind::Unidirectional => quinn_proto::Dir::Uni,
        }
    }
}

impl From<quinn_proto::Dir> for StreamKind {
    fn from(kind: quinn_proto::Dir) -> Self {
        match kind {
            quinn_proto::Dir::Bi => StreamKind::Bidirectional,
            quinn_proto::Dir::Uni => StreamKind::Unidirectional,
        }
    }
}

/// Identifies a stream within its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// The number on the wire.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Who opened it.
    pub const fn initiator(self) -> Side {
        // RFC 9000 §2.1: the lowest bit names the initiator, the next the direction.
        if self.0 & 1 == 0 {
            Side::Client
        } else {
            Side::Server
        }
    }

    /// Which ways it carries data.
    pub const fn kind(self) -> StreamKind {
        if self.0 & 2 == 0 {
            StreamKind::Bidirectional
        } else {
            StreamKind::Unidirectional
        }
    }

    /// The stream with this number on the wire; `None` above 62 bits.
    pub const fn new(number: u64) -> Option<Self> {
        if number <= VarInt::MAX.0 {
            Some(StreamId(number))
        } else {
            None
        }
    }

    pub(crate) fn proto(self) -> quinn_proto::StreamId {
        quinn_proto::VarInt::from_u64(self.0)
            .expect("a stream identifier has at most 62 bits")
            .into()
    }

    /// Its place among the streams of the same initiator and kind, from zero.
    pub const fn index(self) -> u64 {
        self.0 >> 2
    }
}

impl From<quinn_proto::StreamId> for StreamId {
    fn from(id: quinn_proto::StreamId) -> Self {
        StreamId(id.into())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_var_int_has_at_most_62_bits() {
        assert_eq!(VarInt::new((1 << 62) - 1), Some(VarInt::MAX));
        assert_eq!(VarInt::new(1 << 62), None);
        assert_eq!(VarInt::saturating(u64::MAX), VarInt::MAX);
    }

    #[test]
    fn a_stream_identifier_tells_initiator_kind_and_index() {
        let id = StreamId(11);
        assert_eq!(id.initiator(), Side::Server);
        assert_eq!(id.kind(), StreamKind::Unidirectional);
        assert_eq!(id.index(), 2);
        let proto = quinn_proto::StreamId::new(quinn_proto::Side::Server, quinn_proto::Dir::Uni, 2);
        assert_eq!(StreamId::from(proto), id);
    }
}
