//! The decoder of field sections, with the table that the peer's encoder fills.
//!
//! Invariant: what a peer can make it hold is bounded by its configuration; every section that
//! refers to the table is answered by one acknowledgment or given up by a cancellation.

mod blocked;
mod encoder_stream;
mod section;
mod table;

pub use blocked::UnblockedSection;

use super::TableUse;
use super::error::{DecodeError, QpackError};
use super::integer;
use crate::field::{FieldName, FieldValue};
use blocked::Blocked;
use bytes::{Bytes, BytesMut};
use encoder_stream::EncoderStream;
pub(crate) use section::Line;
use section::{Lines, Prefix};
use table::DynamicTable;

/// Decodes the field sections that a peer sends on a connection.
///
/// What comes on the peer's encoder stream goes into [`on_encoder_stream`], field sections into
/// [`decode`], and what [`poll_instructions`] gives onto our decoder stream.
///
/// [`on_encoder_stream`]: Self::on_encoder_stream
/// [`decode`]: Self::decode
/// [`poll_instructions`]: Self::poll_instructions
///
/// ```
/// use portway_h3::qpack::{Decoded, Decoder, DecoderConfig};
///
/// let mut decoder = Decoder::new(DecoderConfig::default());
/// let mut lines = Vec::new();
/// let decoded = decoder.decode(0, &[0, 0, 0xd1, 0xc1], |name, value| {
///     lines.push((name, value));
///     Ok::<(), std::convert::Infallible>(())
/// });
/// assert_eq!(decoded, Ok(Decoded::Complete));
/// assert_eq!(lines[0].0.as_bytes(), b":method");
/// assert_eq!(lines[0].1.as_bytes(), b"GET");
/// assert_eq!(lines[1].0.as_bytes(), b":path");
/// ```
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    table: DynamicTable,
    stream: EncoderStream,
    blocked: Blocked,
    /// How many insertions the peer knows that we have: the Known Received Count.
    known_received: u64,
    instructions: Vec<u8>,
    /// Whether the peer gains by them at once.
    is_pressing: bool,
    /// How many sections were decoded since the first of them was written, its own included.
    waited: usize,
    scratch: BytesMut,
    /// How many sections that refer to the table were decoded.
    referring: u64,
}

impl Decoder {
    /// A decoder that keeps to `config`, of which the peer learns the first two values in our
    /// SETTINGS.
    pub fn new(config: DecoderConfig) -> Self {
        Decoder {
            table: DynamicTable::new(config.table_capacity_max),
            config,
            stream: EncoderStream::default(),
            blocked: Blocked::default(),
            known_received: 0,
            instructions: Vec::new(),
            is_pressing: false,
            waited: 0,
            scratch: BytesMut::new(),
            referring: 0,
        }
    }

    /// Takes what came on the peer's encoder stream, split anywhere. Sections may be unblocked by
    /// it: see [`next_unblocked`](Self::next_unblocked).
    ///
    /// # Errors
    ///
    /// QPACK_ENCODER_STREAM_ERROR for what a conforming encoder would not send; the connection is
    /// to be closed then.
    pub fn on_encoder_stream(&mut self, bytes: &[u8]) -> Result<(), QpackError> {
        let Decoder {
            stream,
            table,
            scratch,
            ..
        } = self;
        let received = stream.receive(bytes, table, scratch);
        self.release_scratch();
        received
    }

    /// Decodes a field section that came on `stream`, and gives each line to `visitor`. A section
    /// that needs entries which have not yet arrived is kept instead; until
    /// [`next_unblocked`](Self::next_unblocked) gives it back, nothing that follows it on its
    /// stream should be read.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] says whether the connection, the stream or nothing beyond this section is
    /// affected. Lines before the error have gone to the visitor already.
    pub fn decode<E>(
        &mut self,
        stream: u64,
        section: &[u8],
        mut visitor: impl FnMut(FieldName, FieldValue) -> Result<(), E>,
    ) -> Result<Decoded, DecodeError<E>> {
        self.decode_by(stream, section, |line| {
            let (name, value) = line.into_owned();
            visitor(name, value)
        })
    }

    /// The same for who may not need a copy of every line.
    pub(crate) fn decode_by<E>(
        &mut self,
        stream: u64,
        section: &[u8],
        visitor: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<Decoded, DecodeError<E>> {
        let prefix = Prefix::parse(section, &self.table).map_err(|error| error.widen())?;
        let is_blocked = prefix.required > self.table.inserted();
        if is_blocked || self.blocked.has_stream(stream) {
            self.block(stream, prefix, section)?;
            return Ok(Decoded::Blocked);
        }
        self.decode_lines(stream, prefix, section, visitor)?;
        Ok(Decoded::Complete)
    }

    /// The Required Insert Count of a section that was decoded, for
    /// [`pass_over`](Self::pass_over).
    pub(crate) fn required(&self, section: &[u8]) -> Option<u64> {
        let prefix = Prefix::parse(section, &self.table);
        prefix.ok().map(|prefix| prefix.required)
    }

    /// Does with a section of this Required Insert Count what [`decode`](Self::decode) does beside
    /// giving its lines, which are known: the same bytes were decoded before, and the table has not
    /// changed since.
    pub(crate) fn pass_over(&mut self, stream: u64, required: u64) -> Result<(), QpackError> {
        debug_assert!(required <= self.table.inserted());
        self.on_decoded(stream, required, true)
    }

    /// The next section whose entries have all arrived meanwhile, if there is one; it goes into
    /// [`decode_unblocked`](Self::decode_unblocked). Those of one stream come in their order.
    pub fn next_unblocked(&mut self) -> Option<UnblockedSection> {
        self.blocked.pop(self.table.inserted())
    }

    /// Decodes a section that [`next_unblocked`](Self::next_unblocked) gave.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_unblocked<E>(
        &mut self,
        section: UnblockedSection,
        mut visitor: impl FnMut(FieldName, FieldValue) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        let UnblockedSection {
            stream,
            prefix,
            section,
        } = section;
        self.decode_lines(stream, prefix, &section, |line| {
            let (name, value) = line.into_owned();
            visitor(name, value)
        })
    }

    /// Says that `stream` was reset by the peer, or that nothing more is read from it, before its
    /// end or before all of its sections were decoded.
    ///
    /// # Errors
    ///
    /// H3_EXCESSIVE_LOAD when more instructions wait to be sent than the configuration allows.
    pub fn cancel_stream(&mut self, stream: u64) -> Result<(), QpackError> {
        self.blocked.remove_stream(stream);
        // RFC 9204 §2.2.2.2: without a table the encoder can have no references.
        if self.config.table_capacity_max == 0 {
            return Ok(());
        }
        self.is_pressing = true;
        self.instruct(6, STREAM_CANCELLATION, stream)
    }

    /// What is to be sent on our decoder stream, if anything. Call it after what was received
    /// together has been processed: acknowledgments of sections make those of single insertions
    /// unnecessary.
    pub fn poll_instructions(&mut self) -> Option<Bytes> {
        let new = self.table.inserted() - self.known_received;
        // RFC 9204 §2.2.2.3: what sections have not acknowledged.
        if new > 0 {
            integer::encode(6, INSERT_COUNT_INCREMENT, new, &mut self.instructions);
            self.known_received = self.table.inserted();
        }
        self.is_pressing = false;
        self.waited = 0;
        if self.instructions.is_empty() {
            return None;
        }
        let instructions = Bytes::copy_from_slice(&self.instructions);
        // The next ones go where these were, unless there were many.
        match self.instructions.capacity() > INSTRUCTIONS_KEPT {
            true => self.instructions = Vec::new(),
            false => self.instructions.clear(),
        }
        Some(instructions)
    }

    /// Whether what is to be sent is worth a frame beside others. An acknowledgment that tells the
    /// peer of no insertion only lets entries go one day: one after every section would cost both
    /// ends more than the section did. None waits for ever, though: as long as it does, an encoder
    /// whose table is full of what the section refers to can insert nothing.
    pub fn is_worth_sending(&self) -> bool {
        self.is_pressing() || self.waited >= SECTIONS_WAITED
    }

    /// Whether what is to be sent should go even if nothing goes with it: more acknowledgments wait
    /// for company than for a frame, so that the answer to a small request costs no packet of its
    /// own.
    pub fn is_pressing(&self) -> bool {
        self.is_pressing
            || self.table.inserted() > self.known_received
            || self.instructions.len() >= PATIENT_BYTES
    }

    /// How our table was used: the peer's entries in it, and its sections that refer to them.
    pub fn table_use(&self) -> TableUse {
        TableUse {
            entries: self.table.inserted(),
            sections: self.referring,
        }
    }

    /// How many streams have a section that waits for entries.
    pub fn blocked_streams(&self) -> u64 {
        self.blocked.streams()
    }

    fn block(&mut self, stream: u64, prefix: Prefix, section: &[u8]) -> Result<(), QpackError> {
        self.blocked.push(UnblockedSection {
            stream,
            prefix,
            section: section.into(),
        });
        // RFC 9204 §2.1.2: the encoder keeps to the number of streams that our settings allow.
        if self.blocked.streams() > self.config.blocked_streams_max {
            return Err(QpackError::decompression_failed(
                "too many streams are blocked",
            ));
        }
        if self.blocked.bytes() > self.config.blocked_bytes_max {
            return Err(QpackError::excessive_load(
                "blocked sections hold too many bytes",
            ));
        }
        Ok(())
    }

    fn decode_lines<E>(
        &mut self,
        stream: u64,
        prefix: Prefix,
        section: &[u8],
        visitor: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        let mut lines = Lines::new(
            section,
            prefix,
            &self.table,
            &mut self.scratch,
            &self.config,
        );
        let result = lines.visit(visitor);
        self.release_scratch();
        let is_done_with = matches!(
            result,
            Ok(()) | Err(DecodeError::TooLarge(_) | DecodeError::Refused(_))
        );
        self.on_decoded(stream, prefix.required, is_done_with)?;
        result
    }

    /// Lets the peer know that a section needs its entries no more.
    fn on_decoded(
        &mut self,
        stream: u64,
        required: u64,
        is_done_with: bool,
    ) -> Result<(), QpackError> {
        // RFC 9204 §2.2.2.1: a section that refers to the table is acknowledged. One that we do
        // not want holds no entry either.
        if required > 0 && is_done_with {
            self.instruct(7, SECTION_ACKNOWLEDGMENT, stream)?;
            self.is_pressing |= required > self.known_received;
            self.known_received = self.known_received.max(required);
            self.referring += 1;
        }
        if !self.instructions.is_empty() {
            self.waited += 1;
        }
        Ok(())
    }

    /// Gives the memory of a large string back: a connection may be idle from now on.
    fn release_scratch(&mut self) {
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = BytesMut::new();
        }
    }

    /// Writes an instruction for the decoder stream.
    fn instruct(&mut self, prefix_bits: u32, pattern: u8, value: u64) -> Result<(), QpackError> {
        // RFC 9204 §7.3: instructions that flow control holds back are state as well.
        if self.instructions.len() >= self.config.unsent_bytes_max {
            return Err(QpackError::excessive_load(
                "the decoder stream takes no instructions",
            ));
        }
        integer::encode(prefix_bits, pattern, value, &mut self.instructions);
        Ok(())
    }
}

/// What became of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a blocked section comes back later"]
pub enum Decoded {
    /// All of its lines went to the visitor.
    Complete,
    /// It waits for entries of the dynamic table.
    Blocked,
}

/// What a decoder accepts and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecoderConfig {
    /// The largest table that the peer may ask for: SETTINGS_QPACK_MAX_TABLE_CAPACITY.
    pub table_capacity_max: usize,
    /// How many streams the peer may block: SETTINGS_QPACK_BLOCKED_STREAMS.
    pub blocked_streams_max: u64,
    /// How many bytes blocked sections may hold together.
    pub blocked_bytes_max: usize,
    /// The bytes of a decoded section, with 32 more a line: SETTINGS_MAX_FIELD_SECTION_SIZE.
    pub section_bytes_max: usize,
    /// The lines of a section.
    pub section_fields_max: usize,
    /// The bytes of instructions that may wait until the decoder stream takes them.
    pub unsent_bytes_max: usize,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        DecoderConfig {
            table_capacity_max: 4096,
            blocked_streams_max: 16,
            blocked_bytes_max: 256 * 1024,
            section_bytes_max: 16 * 1024,
            section_fields_max: 128,
            unsent_bytes_max: 4096,
        }
    }
}

const SCRATCH_KEPT: usize = 512;

/// Memory of so many bytes is kept for the next instructions.
const INSTRUCTIONS_KEPT: usize = 2 * PATIENT_BYTES;

/// For how many sections an acknowledgment waits although there is company.
const SECTIONS_WAITED: usize = 16;

/// How many bytes of acknowledgments wait for company: a few dozen of them.
const PATIENT_BYTES: usize = 64;

const SECTION_ACKNOWLEDGMENT: u8 = 0x80;
const STREAM_CANCELLATION: u8 = 0x40;
const INSERT_COUNT_INCREMENT: u8 = 0x00;

#[cfg(test)]
mod tests;
