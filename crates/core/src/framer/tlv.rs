//! Records of type, length and value.
//!
//! Invariant: the value is the message, and the type is metadata of its context under
//! [`TLV_TYPE`], in both directions.

use super::body::{ended_within_message, unframeable};
use super::{ByteOrder, Deframed, Demand, Frame, Framer, LengthPrefixed, Outgoing};
use crate::Failure;
use crate::message::MetadataValue;
use crate::send_queue::WireBuffer;
use bytes::BytesMut;

/// The metadata name of a record's type, a number.
pub const TLV_TYPE: &str = "tlv.type";

/// A type, a length, then so many bytes.
///
/// ```
/// use portway_core::framer::{LengthPrefixed, TLV_TYPE, Tlv};
/// use portway_core::message::{Message, MessageContext};
///
/// let framer = Tlv::u8(LengthPrefixed::u16()).default_type(1);
/// let ping = Message::new("ping").with_context(MessageContext::new().with_metadata(TLV_TYPE, 7));
/// ```
#[derive(Clone, Debug)]
pub struct Tlv {
    type_width: usize,
    order: ByteOrder,
    default_type: Option<u64>,
    length: LengthPrefixed,
    /// The type of the record that is being received.
    receiving: Option<u64>,
    is_within: bool,
}

impl Tlv {
    /// A type of one byte, then what `length` says.
    pub const fn u8(length: LengthPrefixed) -> Self {
        Tlv::with_width(1, length)
    }

    /// A type of two bytes, then what `length` says.
    pub const fn u16(length: LengthPrefixed) -> Self {
        Tlv::with_width(2, length)
    }

    /// A type of four bytes, then what `length` says.
    pub const fn u32(length: LengthPrefixed) -> Self {
        Tlv::with_width(4, length)
    }

    const fn with_width(type_width: usize, length: LengthPrefixed) -> Self {
        Tlv {
            type_width,
            order: length.order(),
            default_type: None,
            length,
            receiving: None,
            is_within: false,
        }
    }

    /// The type of messages whose context has none. Without it they are refused.
    #[must_use]
    pub const fn default_type(mut self, value: u64) -> Self {
        self.default_type = Some(value);
        self
    }

    fn take_type(&self, input: &mut BytesMut) -> Option<u64> {
        if input.len() < self.type_width {
            return None;
        }
        let field = input.split_to(self.type_width);
        let mut bytes = [0; 8];
        Some(match self.order {
            ByteOrder::Little => {
                bytes[..self.type_width].copy_from_slice(&field);
                u64::from_le_bytes(bytes)
            }
            ByteOrder::Big => {
                bytes[8 - self.type_width..].copy_from_slice(&field);
                u64::from_be_bytes(bytes)
            }
        })
    }

    fn type_to_send(&self, part: &Outgoing<'_>) -> Result<u64, Failure> {
        let given = part.context.metadata(TLV_TYPE);
        let given = given.map(MetadataValue::as_number);
        match given.unwrap_or(self.default_type) {
            None => Err(unframeable(format!("message has no number as {TLV_TYPE}"))),
            Some(value) if value >> (8 * self.type_width) != 0 => Err(unframeable(format!(
                "type {value} does not fit into {} bytes",
                self.type_width
            ))),
            Some(value) => Ok(value),
        }
    }
}

impl Framer for Tlv {
    fn needs_length(&self) -> bool {
        true
    }

    fn frame(&mut self, part: Outgoing<'_>, out: &mut WireBuffer) -> Result<(), Failure> {
        let header = self.length.check(&part)?;
        if part.is_start {
            let value = self.type_to_send(&part)?;
            match self.order {
                ByteOrder::Big => out.put_slice(&value.to_be_bytes()[8 - self.type_width..]),
                ByteOrder::Little => out.put_slice(&value.to_le_bytes()[..self.type_width]),
            }
        }
        self.length.write(part, header, out);
        Ok(())
    }

    fn deframe(&mut self, input: &mut BytesMut, demand: Demand) -> Result<Deframed, Failure> {
        let value = match self.receiving {
            Some(value) => value,
            None => match self.take_type(input) {
                Some(value) => value,
                None => return Ok(Deframed::NeedsMore(self.type_width - input.len())),
            },
        };
        self.receiving = Some(value);
        let mut found = self.length.deframe(input, demand)?;
        if let Deframed::Frame(frame) = &mut found {
            if !self.is_within {
                frame.context.set_metadata(TLV_TYPE, value);
            }
            self.is_within = !frame.is_end;
            if frame.is_end {
                self.receiving = None;
            }
        }
        Ok(found)
    }

    fn end_of_input(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Failure> {
        self.is_within = false;
        let has_type = self.receiving.take().is_some();
        match self.length.end_of_input(input)? {
            None if has_type => Err(ended_within_message(0, None)),
            end => Ok(end),
        }
    }
}
