//! The instructions that the peer's encoder sends (RFC 9204 §4.3), split anywhere.
//!
//! Invariant: an instruction is followed when it is complete, and only its beginning is kept; what
//! could never fit into the table is refused before it has arrived.

use super::table::{DynamicTable, Entry, LINE_OVERHEAD};
use crate::field::{FieldName, FieldValue};
use crate::qpack::error::QpackError;
use crate::qpack::integer::{self, IntegerError};
use crate::qpack::static_table;
use crate::qpack::string::{Literal, LiteralError};
use bytes::{Bytes, BytesMut};

/// The receiving end of an encoder stream.
#[derive(Debug, Default)]
pub(super) struct EncoderStream {
    /// The beginning of an instruction whose end is to come.
    partial: Vec<u8>,
}

impl EncoderStream {
    /// Follows the instructions that are complete with `bytes`.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        table: &mut DynamicTable,
        scratch: &mut BytesMut,
    ) -> Result<(), QpackError> {
        if self.partial.is_empty() {
            let taken = follow_all(bytes, table, scratch)?;
            self.partial.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let taken = follow_all(&self.partial, table, scratch)?;
        if taken == self.partial.len() {
            // Instructions seldom span reads, so that an idle connection need not keep the room.
            self.partial = Vec::new();
        } else {
            self.partial.drain(..taken);
        }
        Ok(())
    }
}

/// Follows the complete instructions at the front of `bytes`; returns how many bytes they took.
fn follow_all(
    bytes: &[u8],
    table: &mut DynamicTable,
    scratch: &mut BytesMut,
) -> Result<usize, QpackError> {
    let mut taken = 0;
    while taken < bytes.len() {
        match follow(&bytes[taken..], table, scratch) {
            Ok(length) => taken += length,
            Err(Stop::Truncated) => break,
            Err(Stop::Error(error)) => return Err(error),
        }
    }
    Ok(taken)
}

/// Why an instruction was not followed.
enum Stop {
    Truncated,
    Error(QpackError),
}

impl From<QpackError> for Stop {
    fn from(error: QpackError) -> Self {
        Stop::Error(error)
    }
}

impl From<IntegerError> for Stop {
    fn from(error: IntegerError) -> Self {
        match error {
            IntegerError::Truncated => Stop::Truncated,
            IntegerError::TooLarge => refused("an integer has more than 62 bits"),
        }
    }
}

/// Follows one instruction; returns how many bytes it took.
fn follow(bytes: &[u8], table: &mut DynamicTable, scratch: &mut BytesMut) -> Result<usize, Stop> {
    match bytes[0] {
        0x80.. => insert_with_name_reference(bytes, table, scratch),
        0x40.. => insert_with_literal_name(bytes, table, scratch),
        0x20.. => {
            let (capacity, taken) = integer::decode(5, bytes)?;
            // RFC 9204 §4.3.1: the capacity is at most what our settings allow.
            match table.set_capacity(capacity) {
                true => Ok(taken),
                false => Err(refused("the table's capacity exceeds its maximum")),
            }
        }
        _ => {
            let (index, taken) = integer::decode(5, bytes)?;
            let entry = dynamic(table, index)?.clone();
            insert(table, entry)?;
            Ok(taken)
        }
    }
}

fn insert_with_name_reference(
    bytes: &[u8],
    table: &mut DynamicTable,
    scratch: &mut BytesMut,
) -> Result<usize, Stop> {
    let (index, taken) = integer::decode(6, bytes)?;
    let name = match bytes[0] & 0x40 != 0 {
        // RFC 9204 §3.1: an index behind the static table is an error of the encoder stream.
        true => match static_table::get(index) {
            Some((name, _)) => name,
            None => return Err(refused("the static table has no such entry")),
        },
        // RFC 9204 §2.2.3: so is an entry that is evicted or was never inserted.
        false => &dynamic(table, index)?.name,
    };
    // The entry may be evicted by its own insertion below, so that its name is taken now.
    let room = room_for_strings(table, name.as_bytes().len());
    let (value, value_taken) = literal(7, &bytes[taken..], room)?;
    let name = name.clone();
    let value = decode(&name, value, room, scratch)?;
    insert(table, Entry { name, value })?;
    Ok(taken + value_taken)
}

fn insert_with_literal_name(
    bytes: &[u8],
    table: &mut DynamicTable,
    scratch: &mut BytesMut,
) -> Result<usize, Stop> {
    let room = room_for_strings(table, 0);
    let (name, taken) = literal(5, bytes, room)?;
    let (value, value_taken) = literal(7, &bytes[taken..], room)?;
    scratch.clear();
    if name.decode(room, scratch).is_err() {
        return Err(refused("a name is too long or not in the Huffman code"));
    }
    let name = FieldName::parse(scratch);
    let value = decode(&name, value, room, scratch)?;
    insert(table, Entry { name, value })?;
    Ok(taken + value_taken)
}

/// The entry with a relative index.
fn dynamic(table: &DynamicTable, index: u64) -> Result<&Entry, Stop> {
    table
        .get_relative(index)
        .ok_or_else(|| refused("the dynamic table has no such entry"))
}

/// How long a string may be in an entry that has `used` bytes of name already.
fn room_for_strings(table: &DynamicTable, used: usize) -> usize {
    table.capacity().saturating_sub(used + LINE_OVERHEAD)
}

/// A literal with at most `room` bytes. One that cannot have so few is refused at once: its end
/// may never come, and what is there of it would be kept.
fn literal(length_bits: u32, bytes: &[u8], room: usize) -> Result<(Literal<'_>, usize), Stop> {
    let parsed = Literal::parse(length_bits, bytes);
    let decoded_len_min = match &parsed {
        Ok((literal, _)) => literal.decoded_len_min(),
        Err(LiteralError::Truncated(header)) => header.decoded_len_min(),
        Err(LiteralError::Length(error)) => return Err((*error).into()),
    };
    if decoded_len_min > room as u64 {
        return Err(refused("a string is larger than the table"));
    }
    parsed.map_err(|_| Stop::Truncated)
}

fn decode(
    name: &FieldName,
    value: Literal<'_>,
    room: usize,
    scratch: &mut BytesMut,
) -> Result<FieldValue, Stop> {
    scratch.clear();
    match value.decode(room, scratch) {
        // The entry may live as long as the connection, so that it gets memory of its own size.
        Ok(()) => Ok(FieldValue::parse_for(name, Bytes::copy_from_slice(scratch))),
        Err(_) => Err(refused("a value is too long or not in the Huffman code")),
    }
}

fn insert(table: &mut DynamicTable, entry: Entry) -> Result<(), Stop> {
    // RFC 9204 §3.2.2: an entry larger than the table is an error, and not an empty table as in
    // HPACK.
    match table.insert(entry) {
        true => Ok(()),
        false => Err(refused("an entry is larger than the table")),
    }
}

fn refused(reason: &'static str) -> Stop {
    Stop::Error(QpackError::encoder_stream(reason))
}
