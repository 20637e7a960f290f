//! Frames: their types, the incremental [`Decoder`], and one file for each frame's payload.
//!
//! Invariant: a length that a peer declares is compared with limits but never allocated; payloads
//! of unknown frames are dropped as they arrive.

pub mod cancel_push;
pub mod data;
mod decoder;
pub mod goaway;
pub mod headers;
pub mod max_push_id;
pub mod origin;
pub mod priority_update;
pub mod push_promise;
pub mod reserved;
pub mod settings;

pub use decoder::{Decoded, Decoder, Treatment};

use std::fmt;

use bytes::BufMut;

use crate::error::{Code, ConnectionError};
use crate::varint;

/// The type of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameType(pub(crate) u64);

impl FrameType {
    /// Content of a message.
    pub const DATA: Self = Self(0x00);
    /// A field section.
    pub const HEADERS: Self = Self(0x01);
    /// A push that is no longer wanted or will not be fulfilled.
    pub const CANCEL_PUSH: Self = Self(0x03);
    /// The settings of the sender.
    pub const SETTINGS: Self = Self(0x04);
    /// The request that a push answers.
    pub const PUSH_PROMISE: Self = Self(0x05);
    /// The start of a graceful end.
    pub const GOAWAY: Self = Self(0x07);
    /// The origins that the server speaks for (RFC 9412).
    pub const ORIGIN: Self = Self(0x0c);
    /// How many pushes the client takes.
    pub const MAX_PUSH_ID: Self = Self(0x0d);
    /// A new priority of a request (RFC 9218).
    pub const PRIORITY_UPDATE_REQUEST: Self = Self(0xf0700);
    /// The shortest of the types that every peer ignores.
    pub(crate) const PADDING: Self = Self(varint::reserved(0));
    /// A new priority of a push (RFC 9218).
    pub const PRIORITY_UPDATE_PUSH: Self = Self(0xf0701);

    /// The type with this value, or `None` beyond 62 bits.
    pub const fn new(value: u64) -> Option<Self> {
        if value > varint::MAX {
            None
        } else {
            Some(Self(value))
        }
    }

    /// The value on the wire.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Whether HTTP/2 has a frame of this type and HTTP/3 has none.
    // RFC 9114 §7.2.8, §11.2.1: PRIORITY, PING, WINDOW_UPDATE and CONTINUATION of HTTP/2.
    pub const fn is_http2_only(self) -> bool {
        matches!(self.0, 0x02 | 0x06 | 0x08 | 0x09)
    }

    /// The registered name, if there is one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::DATA => "DATA",
            Self::HEADERS => "HEADERS",
            Self::CANCEL_PUSH => "CANCEL_PUSH",
            Self::SETTINGS => "SETTINGS",
            Self::PUSH_PROMISE => "PUSH_PROMISE",
            Self::GOAWAY => "GOAWAY",
            Self::ORIGIN => "ORIGIN",
            Self::MAX_PUSH_ID => "MAX_PUSH_ID",
            Self::PRIORITY_UPDATE_REQUEST | Self::PRIORITY_UPDATE_PUSH => "PRIORITY_UPDATE",
            _ => return None,
        })
    }
}

impl fmt::Debug for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "frame {:#x}", self.0),
        }
    }
}

/// Writes the type and length of a frame whose payload follows.
pub fn encode_header(ty: FrameType, payload_len: usize, out: &mut impl BufMut) {
    varint::encode(ty.0, out);
    varint::encode(payload_len as u64, out);
}

/// Writes a whole frame whose payload is one identifier.
fn encode_identifier(ty: FrameType, identifier: u64, out: &mut impl BufMut) {
    encode_header(ty, varint::encoded_len(identifier), out);
    varint::encode(identifier, out);
}

/// Reads a payload that is one identifier and nothing else.
// RFC 9114 §7.1: bytes after the fields, or fields that are cut off, are H3_FRAME_ERROR.
fn decode_identifier(payload: &[u8]) -> Result<u64, ConnectionError> {
    match varint::decode(payload) {
        Some((identifier, len)) if len == payload.len() => Ok(identifier),
        _ => Err(wrong_layout("a payload that is not one identifier")),
    }
}

/// The failure for a payload that does not have the layout of its type.
const fn wrong_layout(reason: &'static str) -> ConnectionError {
    ConnectionError::local(Code::H3_FRAME_ERROR, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_payloads_round_trip_and_nothing_else_is_read() {
        for identifier in [0, 63, 64, 16_383, 16_384, varint::MAX] {
            let mut wire = Vec::new();
            encode_identifier(FrameType::GOAWAY, identifier, &mut wire);
            let payload = &wire[2..];
            assert_eq!(decode_identifier(payload), Ok(identifier));
            for cut in 0..payload.len() {
                let error = decode_identifier(&payload[..cut]).expect_err("cut off");
                assert_eq!(error.code, Code::H3_FRAME_ERROR);
            }
            let longer = [payload, &[0]].concat();
            let error = decode_identifier(&longer).expect_err("too long");
            assert_eq!(error.code, Code::H3_FRAME_ERROR);
        }
    }

    #[test]
    fn http2_only_types_are_the_four_that_are_reserved() {
        let reserved: Vec<u64> = (0..0x40)
            .filter(|ty| FrameType(*ty).is_http2_only())
            .collect();
        assert_eq!(reserved, [0x02, 0x06, 0x08, 0x09]);
    }

    #[test]
    fn types_are_shown_by_their_names() {
        for (ty, name) in [
            (FrameType::DATA, "DATA"),
            (FrameType::HEADERS, "HEADERS"),
            (FrameType::CANCEL_PUSH, "CANCEL_PUSH"),
            (FrameType::SETTINGS, "SETTINGS"),
            (FrameType::PUSH_PROMISE, "PUSH_PROMISE"),
            (FrameType::GOAWAY, "GOAWAY"),
            (FrameType::ORIGIN, "ORIGIN"),
            (FrameType::MAX_PUSH_ID, "MAX_PUSH_ID"),
            (FrameType::PRIORITY_UPDATE_REQUEST, "PRIORITY_UPDATE"),
            (FrameType::PRIORITY_UPDATE_PUSH, "PRIORITY_UPDATE"),
        ] {
            assert_eq!(format!("{ty:?}"), name);
        }
    }

    #[test]
    fn a_type_has_62_bits() {
        assert_eq!(
            FrameType::new(varint::MAX).map(FrameType::value),
            Some(varint::MAX)
        );
        assert_eq!(FrameType::new(varint::MAX + 1), None);
        assert_eq!(format!("{:?}", FrameType(0x21)), "frame 0x21");
        assert_eq!(format!("{:?}", FrameType::GOAWAY), "GOAWAY");
    }
}
