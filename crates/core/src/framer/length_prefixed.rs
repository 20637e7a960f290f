//! Messages behind their length, the commonest framing of byte streams.
//!
//! Invariant: a length above the limit fails as soon as its last byte is there, before anything
//! of the body is looked at or allocated.

use super::body::{Body, ended_within_message, too_long, unframeable, violation};
use super::{Deframed, Demand, Frame, Framer, Header, Outgoing, Whole};
use crate::Failure;
use crate::message::MessageContext;
use crate::send_queue::WireBuffer;
use bytes::{Buf, BytesMut};

/// A length, then so many bytes.
///
/// The length must be known when a message starts: a partial send waits until it is complete,
/// unless it was begun with its length.
///
/// ```
/// use portway_core::framer::LengthPrefixed;
///
/// let framer = LengthPrefixed::u16().little_endian().max_length(4096);
/// assert_eq!(framer.limit(), 4096);
/// ```
#[derive(Clone, Debug)]
pub struct LengthPrefixed {
    width: Width,
    order: ByteOrder,
    includes_header: bool,
    max_length: u64,
    /// The message that is being received.
    body: Option<Body>,
    /// What a partial send, begun with its length, still has to bring.
    unsent: u64,
}

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Most significant first, the network's order.
    Big,
    /// Least significant first.
    Little,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Fixed(usize),
    Varint,
}

impl LengthPrefixed {
    /// A length of one byte: messages of at most 255 bytes.
    pub const fn u8() -> Self {
        LengthPrefixed::with_width(Width::Fixed(1))
    }

    /// A length of two bytes.
    pub const fn u16() -> Self {
        LengthPrefixed::with_width(Width::Fixed(2))
    }

    /// A length of four bytes.
    pub const fn u32() -> Self {
        LengthPrefixed::with_width(Width::Fixed(4))
    }

    /// A length of eight bytes.
    pub const fn u64() -> Self {
        LengthPrefixed::with_width(Width::Fixed(8))
    }

    /// A variable-length integer of RFC 9000 §16: one to eight bytes, always big-endian.
    pub const fn varint() -> Self {
        LengthPrefixed::with_width(Width::Varint)
    }

    const fn with_width(width: Width) -> Self {
        LengthPrefixed {
            width,
            order: ByteOrder::Big,
            includes_header: false,
            max_length: DEFAULT_MAX_LENGTH,
            body: None,
            unsent: 0,
        }
    }

    /// Sends the least significant byte of the length first. A varint has only one order and
    /// stays as it is.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.order = ByteOrder::Little;
        self
    }

    /// Counts the length field itself as part of the length.
    #[must_use]
    pub const fn length_includes_header(mut self) -> Self {
        self.includes_header = true;
        self
    }

    /// The longest message, without its header, to be sent or received; 8 MiB when nothing is
    /// said.
    #[must_use]
    pub const fn max_length(mut self, bytes: u64) -> Self {
        self.max_length = bytes;
        self
    }

    /// The longest message that is sent or received: the configured limit, or what the length
    /// field can hold when that is less.
    #[inline]
    pub const fn limit(&self) -> u64 {
        let header = if self.includes_header { 8 } else { 0 };
        let representable = match self.width {
            Width::Fixed(8) => u64::MAX - header,
            Width::Fixed(bytes) => (1 << (8 * bytes)) - 1 - self.header_in_length(bytes),
            Width::Varint => VARINT_MAX - header,
        };
        if self.max_length < representable {
            self.max_length
        } else {
            representable
        }
    }

    #[inline]
    const fn header_in_length(&self, width: usize) -> u64 {
        if self.includes_header {
            width as u64
        } else {
            0
        }
    }

    pub(super) const fn order(&self) -> ByteOrder {
        self.order
    }

    /// Whether a part can be sent now. At the start of a message, returns its length.
    #[inline]
    pub(super) fn check(&self, part: &Outgoing<'_>) -> Result<Option<u64>, Failure> {
        let here = part.data.len() as u64;
        let is_whole = part.is_start && part.is_end;
        if is_whole && part.length.is_none_or(|length| length == here) && here <= self.limit() {
            return Ok(Some(here));
        }
        if !part.is_start {
            check_part(here, self.unsent, part.is_end)?;
            return Ok(None);
        }
        let length = match part.length {
            Some(length) => length,
            None if part.is_end => here,
            None => {
                return Err(unframeable(
                    "length of a partial message is not known when it starts",
                ));
            }
        };
        if length > self.limit() {
            return Err(too_long(length, self.limit()));
        }
        check_part(here, length, part.is_end)?;
        Ok(Some(length))
    }

    /// Writes a part that was checked, behind the header when it is the first one.
    #[inline]
    pub(super) fn write(&mut self, part: Outgoing<'_>, header: Option<u64>, out: &mut WireBuffer) {
        if let Some(length) = header {
            self.put_header(length, out);
            self.unsent = length;
        }
        self.unsent -= part.data.len() as u64;
        out.put_chunks(part.data);
    }

    #[inline]
    fn put_header(&self, length: u64, out: &mut WireBuffer) {
        out.put_slice(self.header_of(length).bytes());
    }

    /// The header of a message whose length was checked.
    #[inline]
    fn header_of(&self, length: u64) -> Header {
        match self.width {
            // The commonest width, as a copy of constant size.
            Width::Fixed(4) => {
                let value = (length + self.header_in_length(4)) as u32;
                match self.order {
                    ByteOrder::Big => Header::of(value.to_be_bytes()),
                    ByteOrder::Little => Header::of(value.to_le_bytes()),
                }
            }
            Width::Fixed(width) => {
                let value = length + self.header_in_length(width);
                match self.order {
                    ByteOrder::Big => Header::of(value.to_be_bytes()).last(width),
                    ByteOrder::Little => Header::of(value.to_le_bytes()).first(width),
                }
            }
            Width::Varint => {
                let width = [1, 2, 4, 8]
                    .into_iter()
                    .find(|width| length + self.header_in_length(*width) <= varint_max(*width))
                    .expect("the limit is below the largest varint");
                let value = length + self.header_in_length(width);
                let tag = (width.trailing_zeros() as u64) << (8 * width - 2);
                Header::of((value | tag).to_be_bytes()).last(width)
            }
        }
    }

    /// The length of the message at the front of `input` and that of its header, or how many bytes
    /// of the header are missing.
    #[inline]
    fn read_header(&self, input: &[u8]) -> Result<Result<(u64, usize), usize>, Failure> {
        let width = match self.width {
            Width::Fixed(width) => width,
            Width::Varint => match input.first() {
                Some(first) => 1 << (first >> 6),
                None => 1,
            },
        };
        if input.len() < width {
            return Ok(Err(width - input.len()));
        }
        let mut bytes = [0; 8];
        let four = || [input[0], input[1], input[2], input[3]];
        let claimed = match (self.width, self.order) {
            (Width::Fixed(4), ByteOrder::Big) => u32::from_be_bytes(four()).into(),
            (Width::Fixed(4), ByteOrder::Little) => u32::from_le_bytes(four()).into(),
            (Width::Fixed(_), ByteOrder::Little) => {
                bytes[..width].copy_from_slice(&input[..width]);
                u64::from_le_bytes(bytes)
            }
            (Width::Fixed(_), ByteOrder::Big) => {
                bytes[8 - width..].copy_from_slice(&input[..width]);
                u64::from_be_bytes(bytes)
            }
            (Width::Varint, _) => {
                bytes[8 - width..].copy_from_slice(&input[..width]);
                u64::from_be_bytes(bytes) & varint_max(width)
            }
        };
        let Some(length) = claimed.checked_sub(self.header_in_length(width)) else {
            return Err(violation(format!(
                "length of {claimed} is less than that of its own header"
            )));
        };
        if length > self.max_length {
            return Err(too_long(length, self.max_length));
        }
        Ok(Ok((length, width)))
    }
}

impl Framer for LengthPrefixed {
    fn needs_length(&self) -> bool {
        true
    }

    #[inline]
    fn frame(&mut self, part: Outgoing<'_>, out: &mut WireBuffer) -> Result<(), Failure> {
        let header = self.check(&part)?;
        self.write(part, header, out);
        Ok(())
    }

    #[inline]
    fn deframe(&mut self, input: &mut BytesMut, demand: Demand) -> Result<Deframed, Failure> {
        let mut body = match self.body {
            Some(body) => body,
            None => match self.read_header(input)? {
                Ok((length, width)) => {
                    input.advance(width);
                    // Most messages are there to their end.
                    if length <= input.len() as u64 && length <= demand.max as u64 {
                        let data = input.split_to(length as usize);
                        return Ok(Deframed::Frame(Frame::new(data, true)));
                    }
                    Body::new(length)
                }
                Err(missing) => return Ok(Deframed::NeedsMore(missing)),
            },
        };
        match body.take(input, demand) {
            Ok(frame) => {
                self.body = (!frame.is_end).then_some(body);
                Ok(Deframed::Frame(frame))
            }
            Err(missing) => {
                self.body = Some(body);
                Ok(Deframed::NeedsMore(missing))
            }
        }
    }

    #[inline]
    fn header(&self, length: usize, _: &MessageContext) -> Option<Header> {
        let length = length as u64;
        // The commonest header, without a detour.
        if let (Width::Fixed(4), ByteOrder::Big, false) =
            (self.width, self.order, self.includes_header)
        {
            let value = u32::try_from(length).ok()?;
            return (length <= self.max_length).then(|| Header::of(value.to_be_bytes()));
        }
        (length <= self.limit()).then(|| self.header_of(length))
    }

    #[inline]
    fn peek(&self, input: &[u8]) -> Option<Whole> {
        if self.body.is_some() {
            return None;
        }
        // The commonest header, without a detour.
        if let (Width::Fixed(4), ByteOrder::Big, false) =
            (self.width, self.order, self.includes_header)
        {
            let (header, rest) = input.split_first_chunk()?;
            let length = u32::from_be_bytes(*header);
            let is_there = length as usize <= rest.len() && u64::from(length) <= self.max_length;
            return is_there.then_some(Whole {
                header_bytes: 4,
                bytes: length as usize,
            });
        }
        let (bytes, header_bytes) = self.read_header(input).ok()?.ok()?;
        let bytes = usize::try_from(bytes).ok()?;
        (bytes <= input.len() - header_bytes).then_some(Whole {
            header_bytes,
            bytes,
        })
    }

    fn end_of_input(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Failure> {
        let unread = input.len();
        input.clear();
        match self.body.take() {
            Some(body) => Err(body.cut_short(unread)),
            None if unread == 0 => Ok(None),
            None => Err(ended_within_message(unread as u64, None)),
        }
    }
}

/// Whether a part of `here` bytes fits a message of which `rest` bytes are still to come.
fn check_part(here: u64, rest: u64, is_end: bool) -> Result<(), Failure> {
    if here > rest || (is_end && here < rest) {
        return Err(unframeable(format!(
            "part of {here} bytes where {rest} were announced"
        )));
    }
    Ok(())
}

/// The largest value of a varint of `width` bytes.
const fn varint_max(width: usize) -> u64 {
    u64::MAX >> (64 - (8 * width - 2))
}

const VARINT_MAX: u64 = varint_max(8);

const DEFAULT_MAX_LENGTH: u64 = 8 * 1024 * 1024;
