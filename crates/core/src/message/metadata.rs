//! What framers and protocols say about a message.
//!
//! Invariant: names carry their framer's namespace (`tlv.type`), so framers do not collide.

use bytes::Bytes;
use std::borrow::Cow;

/// A value that a framer reads from or writes to a message's context.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataValue {
    /// A number, such as the type of a TLV record.
    Number(u64),
    /// Bytes, such as a field's value.
    Bytes(Bytes),
    /// Text.
    Text(Cow<'static, str>),
}

impl MetadataValue {
    /// The number, if it is one.
    pub fn as_number(&self) -> Option<u64> {
        match self {
            MetadataValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes of a text or of bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            MetadataValue::Number(_) => None,
            MetadataValue::Bytes(bytes) => Some(bytes),
            MetadataValue::Text(text) => Some(text.as_bytes()),
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            MetadataValue::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<u64> for MetadataValue {
    fn from(number: u64) -> Self {
        MetadataValue::Number(number)
    }
}

impl From<Bytes> for MetadataValue {
    fn from(bytes: Bytes) -> Self {
        MetadataValue::Bytes(bytes)
    }
}

impl From<&'static str> for MetadataValue {
    fn from(text: &'static str) -> Self {
        MetadataValue::Text(Cow::Borrowed(text))
    }
}

impl From<String> for MetadataValue {
    fn from(text: String) -> Self {
        MetadataValue::Text(Cow::Owned(text))
    }
}

/// The Explicit Congestion Notification field of the packet that brought a message
/// (RFC 9622 §9.3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// Not ECN-capable.
    NotEct,
    /// ECN-capable, codepoint 1.
    Ect1,
    /// ECN-capable, codepoint 0.
    Ect0,
    /// Congestion experienced.
    Ce,
}

impl Ecn {
    /// The two low bits of the traffic class; higher bits are ignored.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0b00 => Ecn::NotEct,
            0b01 => Ecn::Ect1,
            0b10 => Ecn::Ect0,
            _ => Ecn::Ce,
        }
    }
}
