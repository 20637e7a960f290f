//! Encoded field sections (RFC 9204 §4.5).
//!
//! Invariant: lines come out in the order of their representations, each checked against the
//! limits before it is stored anywhere.

use super::DecoderConfig;
use super::table::{DynamicTable, Entry, LINE_OVERHEAD};
use crate::field::{FieldName, FieldValue};
use crate::qpack::error::{DecodeError, QpackError, SectionLimit};
use crate::qpack::huffman::HuffmanError;
use crate::qpack::integer::{self, IntegerError};
use crate::qpack::static_table;
use crate::qpack::string::{Literal, LiteralError};
use bytes::{Bytes, BytesMut};

/// The beginning of a section: which state of the table it needs, and what its indices count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    /// The Required Insert Count.
    pub(super) required: u64,
    base: u64,
    /// How many bytes it took.
    length: usize,
}

impl Prefix {
    /// Reads the prefix of a section.
    pub(super) fn parse(section: &[u8], table: &DynamicTable) -> Result<Self, SectionError> {
        let (encoded, taken) = integer::decode(8, section)?;
        let required = required_insert_count(encoded, table)?;
        let rest = &section[taken..];
        let (delta, delta_taken) = integer::decode(7, rest)?;
        let base = match rest[0] & 0x80 == 0 {
            true => required.checked_add(delta),
            // RFC 9204 §4.5.1.2: the base is never negative.
            false => required
                .checked_sub(delta)
                .and_then(|base| base.checked_sub(1)),
        };
        Ok(Prefix {
            required,
            base: base.ok_or(failed("the base is negative"))?,
            length: taken + delta_taken,
        })
    }
}

/// RFC 9204 §4.5.1.1: the count comes modulo twice the entries that the largest table can have.
fn required_insert_count(encoded: u64, table: &DynamicTable) -> Result<u64, SectionError> {
    if encoded == 0 {
        return Ok(0);
    }
    let entries_max = (table.capacity_max() / LINE_OVERHEAD) as u64;
    let full_range = 2 * entries_max;
    if encoded > full_range {
        return Err(failed("the required insert count is out of range"));
    }
    let value_max = table.inserted() + entries_max;
    let wrapped_max = value_max / full_range * full_range;
    let mut required = wrapped_max + encoded - 1;
    if required > value_max {
        // The encoder's value has wrapped once less.
        required = required
            .checked_sub(full_range)
            .ok_or(failed("the required insert count is out of range"))?;
    }
    match required {
        0 => Err(failed(
            "a required insert count of zero has another encoding",
        )),
        _ => Ok(required),
    }
}

/// Why a section was not decoded, apart from what the visitor says.
pub(super) type SectionError = DecodeError<std::convert::Infallible>;

impl From<IntegerError> for SectionError {
    fn from(error: IntegerError) -> Self {
        match error {
            IntegerError::Truncated => failed("a section ends within a line"),
            // RFC 9204 §7.4: what is too large to decode fails its stream, not the connection.
            IntegerError::TooLarge => DecodeError::Stream(QpackError::decompression_failed(
                "an integer has more than 62 bits",
            )),
        }
    }
}

impl SectionError {
    /// The same error beside those of a visitor.
    pub(super) fn widen<E>(self) -> DecodeError<E> {
        match self {
            DecodeError::Connection(error) => DecodeError::Connection(error),
            DecodeError::Stream(error) => DecodeError::Stream(error),
            DecodeError::TooLarge(limit) => DecodeError::TooLarge(limit),
            DecodeError::Refused(never) => match never {},
        }
    }
}

fn failed(reason: &'static str) -> SectionError {
    DecodeError::Connection(QpackError::decompression_failed(reason))
}

/// A line of a section.
#[derive(Debug)]
pub(crate) enum Line<'a> {
    /// One that a table has, so that whoever needs it takes a copy.
    Kept(&'a FieldName, &'a FieldValue),
    /// One that was written out.
    Fresh(FieldName, FieldValue),
}

impl Line<'_> {
    /// The name and the value.
    #[inline]
    pub(crate) fn into_owned(self) -> (FieldName, FieldValue) {
        match self {
            Line::Kept(name, value) => (name.clone(), value.clone()),
            Line::Fresh(name, value) => (name, value),
        }
    }
}

/// A section of which every referenced entry has arrived.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    prefix: Prefix,
    table: &'a DynamicTable,
    /// Where names are decoded.
    scratch: &'a mut BytesMut,
    /// Where values are decoded: one allocation a section, which they share.
    values: BytesMut,
    bytes_left: usize,
    fields_left: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(
        section: &'a [u8],
        prefix: Prefix,
        table: &'a DynamicTable,
        scratch: &'a mut BytesMut,
        config: &DecoderConfig,
    ) -> Self {
        Lines {
            rest: &section[prefix.length..],
            prefix,
            table,
            scratch,
            values: BytesMut::new(),
            bytes_left: config.section_bytes_max,
            fields_left: config.section_fields_max,
        }
    }

    /// Gives each line to `visitor`, in order.
    #[inline]
    pub(super) fn visit<E>(
        &mut self,
        mut visitor: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        while let Some(&first) = self.rest.first() {
            let line = self.next(first).map_err(SectionError::widen)?;
            visitor(line).map_err(DecodeError::Refused)?;
        }
        Ok(())
    }

    /// The next line, whose first byte is `first`.
    #[inline]
    fn next(&mut self, first: u8) -> Result<Line<'a>, SectionError> {
        self.fields_left = self
            .fields_left
            .checked_sub(1)
            .ok_or(DecodeError::TooLarge(SectionLimit::Fields))?;
        Ok(match first {
            0xc0.. => {
                let index = self.integer(6)?;
                let (name, value) = static_entry(index)?;
                self.whole(name, value)?
            }
            0x80.. => {
                let index = self.integer(6)?;
                let entry = self.relative(index)?;
                self.whole(&entry.name, &entry.value)?
            }
            0x40.. => {
                let index = self.integer(4)?;
                let name = match first & 0x10 != 0 {
                    true => static_entry(index)?.0.clone(),
                    false => self.relative(index)?.name.clone(),
                };
                self.with_value(name, first & 0x20 != 0)?
            }
            0x20.. => {
                let name = self.literal_name()?;
                self.with_value(name, first & 0x10 != 0)?
            }
            0x10.. => {
                let index = self.integer(4)?;
                let entry = self.post_base(index)?;
                self.whole(&entry.name, &entry.value)?
            }
            _ => {
                let index = self.integer(3)?;
                let name = self.post_base(index)?.name.clone();
                self.with_value(name, first & 0x08 != 0)?
            }
        })
    }

    #[inline]
    fn integer(&mut self, prefix_bits: u32) -> Result<u64, SectionError> {
        let (value, taken) = integer::decode(prefix_bits, self.rest)?;
        self.rest = &self.rest[taken..];
        Ok(value)
    }

    fn relative(&self, index: u64) -> Result<&'a Entry, SectionError> {
        let absolute = self.prefix.base.checked_sub(1);
        self.dynamic(absolute.and_then(|newest| newest.checked_sub(index)))
    }

    fn post_base(&self, index: u64) -> Result<&'a Entry, SectionError> {
        self.dynamic(self.prefix.base.checked_add(index))
    }

    #[inline]
    fn dynamic(&self, absolute: Option<u64>) -> Result<&'a Entry, SectionError> {
        // RFC 9204 §2.2.3: neither an evicted entry nor one at or above the declared count.
        absolute
            .filter(|absolute| *absolute < self.prefix.required)
            .and_then(|absolute| self.table.get(absolute))
            .ok_or(failed("a line refers to no entry of the dynamic table"))
    }

    /// A line that a table has whole.
    #[inline]
    fn whole(
        &mut self,
        name: &'a FieldName,
        value: &'a FieldValue,
    ) -> Result<Line<'a>, SectionError> {
        self.charge(name.as_bytes().len() + LINE_OVERHEAD)?;
        self.charge(value.as_bytes().len())?;
        Ok(Line::Kept(name, value))
    }

    fn literal_name(&mut self) -> Result<FieldName, SectionError> {
        let literal = self.literal(3)?;
        self.scratch.clear();
        literal
            .decode(self.bytes_left, self.scratch)
            .map_err(string_error)?;
        Ok(FieldName::parse(self.scratch))
    }

    /// The line with this name whose value follows as a literal.
    fn with_value(
        &mut self,
        name: FieldName,
        is_never_indexed: bool,
    ) -> Result<Line<'a>, SectionError> {
        self.charge(name.as_bytes().len() + LINE_OVERHEAD)?;
        let literal = self.literal(7)?;
        let value = self.value_bytes(literal)?;
        self.charge(value.len())?;
        if !is_never_indexed {
            let value = FieldValue::parse_for(&name, value);
            return Ok(Line::Fresh(name, value));
        }
        let mut value = FieldValue::parse(value);
        // RFC 9204 §4.5.4: the bit goes with the value, so that who forwards it sends a literal.
        if let FieldValue::Valid(value) = &mut value {
            value.set_sensitive(true);
        }
        Ok(Line::Fresh(name, value))
    }

    fn value_bytes(&mut self, literal: Literal<'_>) -> Result<Bytes, SectionError> {
        let has_values = self.values.capacity() > 0;
        if !has_values && self.rest.len() < LAST_LINES {
            // No other literal is to be expected, with which the memory could be shared.
            self.scratch.clear();
            literal
                .decode(self.bytes_left, self.scratch)
                .map_err(string_error)?;
            return Ok(Bytes::copy_from_slice(self.scratch));
        }
        if !has_values {
            // The lines that follow have no more bytes than what is left of the section, and of
            // the limit.
            let rest = self.rest.len().saturating_mul(8) / 5;
            let room = literal.decoded_len_max().saturating_add(rest);
            self.values = BytesMut::with_capacity(room.min(self.bytes_left) + DECODING_ROOM);
        }
        literal
            .decode(self.bytes_left, &mut self.values)
            .map_err(string_error)?;
        Ok(self.values.split().freeze())
    }

    fn literal(&mut self, length_bits: u32) -> Result<Literal<'a>, SectionError> {
        match Literal::parse(length_bits, self.rest) {
            Ok((literal, taken)) => {
                self.rest = &self.rest[taken..];
                Ok(literal)
            }
            Err(LiteralError::Length(error)) => Err(error.into()),
            Err(LiteralError::Truncated(_)) => Err(failed("a section ends within a string")),
        }
    }

    /// Counts bytes of a line against the limit.
    #[inline]
    fn charge(&mut self, bytes: usize) -> Result<(), SectionError> {
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes)
            .ok_or(DecodeError::TooLarge(SectionLimit::Bytes))?;
        Ok(())
    }
}

#[inline]
fn static_entry(index: u64) -> Result<&'static (FieldName, FieldValue), SectionError> {
    // RFC 9204 §3.1: an index behind the static table fails the connection.
    static_table::get(index).ok_or(failed("the static table has no such entry"))
}

fn string_error(error: HuffmanError) -> SectionError {
    match error {
        HuffmanError::Malformed => failed("a string is not in the Huffman code"),
        HuffmanError::TooLong => DecodeError::TooLarge(SectionLimit::Bytes),
    }
}

/// A section that has fewer bytes left seldom has another literal in them.
const LAST_LINES: usize = 24;

/// What decoding needs for a moment beside the string.
const DECODING_ROOM: usize = 16;
