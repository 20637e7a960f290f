//! The encoder of field sections, with the table that it keeps at the peer's decoder.
//!
//! Invariant: an entry leaves the table only when the peer has it and no section that may still be
//! decoded refers to it; the streams that could be blocked are never more than the peer allows.

mod decoder_stream;
mod policy;
mod section;
mod table;
mod unacknowledged;

pub(crate) use section::References;
pub use section::SectionEncoder;

use super::TableUse;
use super::error::QpackError;
use super::{integer, static_table, string};
use bytes::{Bytes, BytesMut};
use decoder_stream::{DecoderStream, Instruction};
use policy::{Advice, Policy};
use table::{DynamicTable, Line};
use unacknowledged::{Section, Unacknowledged};

/// Encodes the field sections that we send on a connection.
///
/// Sections are made by [`section`](Self::section) or [`encode`](Self::encode). What
/// [`poll_instructions`](Self::poll_instructions) gives goes onto our encoder stream, before the
/// sections that were made with it where possible; what comes on the peer's decoder stream goes
/// into [`on_decoder_stream`](Self::on_decoder_stream).
///
/// ```
/// use bytes::BytesMut;
/// use portway_h3::qpack::{Encoder, EncoderConfig};
///
/// let mut encoder = Encoder::new(EncoderConfig::default());
/// let mut section = BytesMut::new();
/// let lines = [(&b":method"[..], &b"GET"[..]), (b":path", b"/")];
/// encoder.encode(0, lines, &mut section);
/// assert_eq!(section[..], [0, 0, 0xd1, 0xc1]);
/// assert!(encoder.poll_instructions().is_none());
/// ```
#[derive(Debug)]
pub struct Encoder {
    config: EncoderConfig,
    peer: PeerSettings,
    table: DynamicTable,
    policy: Policy,
    unacknowledged: Unacknowledged,
    /// How many insertions the peer is known to have: the Known Received Count.
    known_received: u64,
    /// How many streams could be blocked, while nothing has changed since it was counted.
    streams_at_risk: Option<u64>,
    stream: DecoderStream,
    instructions: Vec<u8>,
    /// The lines of the section that is being encoded.
    lines: Vec<u8>,
    /// How many bytes the encoder stream can take at once.
    credit: usize,
    /// How many sections that refer to the table were acknowledged.
    acknowledged: u64,
}

impl Encoder {
    /// An encoder that uses the static table only, until the peer's settings are known.
    pub fn new(config: EncoderConfig) -> Self {
        Encoder {
            config,
            peer: PeerSettings::default(),
            table: DynamicTable::default(),
            policy: Policy::default(),
            unacknowledged: Unacknowledged::default(),
            known_received: 0,
            streams_at_risk: Some(0),
            stream: DecoderStream::default(),
            instructions: Vec::new(),
            lines: Vec::new(),
            credit: usize::MAX,
            acknowledged: 0,
        }
    }

    /// Takes the peer's SETTINGS_QPACK_MAX_TABLE_CAPACITY and SETTINGS_QPACK_BLOCKED_STREAMS: those
    /// that were remembered for early data first, where there are such, and then those that came.
    ///
    /// # Errors
    ///
    /// QPACK_DECODER_STREAM_ERROR when the table's capacity differs from a remembered one.
    pub fn on_peer_settings(
        &mut self,
        table_capacity_max: u64,
        blocked_streams_max: u64,
    ) -> Result<(), QpackError> {
        // RFC 9204 §3.2.3: what was promised for early data may be raised from zero only.
        let remembered = self.peer.table_capacity_max;
        if remembered != 0 && remembered != table_capacity_max {
            return Err(QpackError::decoder_stream(
                "the maximum capacity of the table differs from the remembered one",
            ));
        }
        self.peer = PeerSettings {
            table_capacity_max,
            blocked_streams_max,
        };
        Ok(())
    }

    /// Changes how large a table is used, within what the peer allows. A smaller one takes effect
    /// when the entries that have to leave are no longer referred to.
    pub fn set_table_capacity(&mut self, bytes: usize) {
        self.config.table_capacity = bytes;
    }

    /// Says how many bytes the encoder stream and the connection can take now, beside what
    /// [`poll_instructions`](Self::poll_instructions) has given; without this call there is no
    /// limit. An instruction that does not fit is not written.
    // RFC 9204 §2.1.3: half an instruction could wait for credit that its own section holds back.
    pub fn set_instruction_credit(&mut self, bytes: usize) {
        self.credit = bytes;
    }

    /// Begins a field section for `stream`, behind what is in `out`.
    pub fn section<'a>(&'a mut self, stream: u64, out: &'a mut BytesMut) -> SectionEncoder<'a> {
        self.adapt_capacity();
        SectionEncoder::new(self, stream, out)
    }

    /// Encodes a whole section of names and values for `stream`, behind what is in `out`.
    pub fn encode<'l>(
        &mut self,
        stream: u64,
        lines: impl IntoIterator<Item = (&'l [u8], &'l [u8])>,
        out: &mut BytesMut,
    ) {
        let mut section = self.section(stream, out);
        for (name, value) in lines {
            section.line(name, value, false);
        }
        section.finish();
    }

    /// Sends a section again as it was encoded; false when it has to be encoded anew, since the
    /// table is another one or references cannot be kept in mind.
    pub(crate) fn repeat(&mut self, stream: u64, references: &References) -> bool {
        let is_same_table = self.table.inserted() == references.inserted
            && self.table.capacity() == references.capacity
            && self.capacity_wanted() == references.capacity;
        if !is_same_table || !self.may_track_section() {
            return false;
        }
        if references.required > 0 {
            // The peer is known to have the entries: no other stream is put at risk.
            self.unacknowledged.push(Section {
                stream,
                required: references.required,
                lowest: references.lowest,
            });
        }
        true
    }

    /// Takes what came on the peer's decoder stream, split anywhere.
    ///
    /// # Errors
    ///
    /// QPACK_DECODER_STREAM_ERROR for what a conforming decoder would not send; the connection is
    /// to be closed then.
    pub fn on_decoder_stream(&mut self, mut bytes: &[u8]) -> Result<(), QpackError> {
        while let Some(instruction) = self.stream.next(&mut bytes)? {
            self.follow(instruction)?;
        }
        Ok(())
    }

    /// How the peer's table was used: our entries in it, and the sections that refer to them and
    /// that it has acknowledged.
    pub fn table_use(&self) -> TableUse {
        TableUse {
            entries: self.table.inserted(),
            sections: self.acknowledged,
        }
    }

    /// Whether [`poll_instructions`](Self::poll_instructions) has something.
    pub(crate) fn has_instructions(&self) -> bool {
        !self.instructions.is_empty()
    }

    /// What is to be sent on our encoder stream, if anything.
    pub fn poll_instructions(&mut self) -> Option<Bytes> {
        if !self.has_instructions() {
            return None;
        }
        if self.credit != usize::MAX {
            self.credit = self.credit.saturating_sub(self.instructions.len());
        }
        Some(std::mem::take(&mut self.instructions).into())
    }

    fn follow(&mut self, instruction: Instruction) -> Result<(), QpackError> {
        match instruction {
            Instruction::SectionAcknowledgment { stream } => {
                // RFC 9204 §4.4.1: there has to be a section to acknowledge.
                let section = self.unacknowledged.acknowledge(stream);
                let section = section.ok_or(QpackError::decoder_stream(
                    "a section is acknowledged that was not sent",
                ))?;
                // RFC 9204 §2.1.4: who has decoded it has all entries that it needed.
                self.known_received = self.known_received.max(section.required);
                self.acknowledged += 1;
            }
            // RFC 9204 §2.2.2.2: nothing is learnt about insertions.
            Instruction::StreamCancellation { stream } => self.unacknowledged.cancel(stream),
            Instruction::InsertCountIncrement { increment } => {
                let received = self.known_received + increment;
                // RFC 9204 §4.4.3: neither nothing, nor what was never sent.
                if increment == 0 || received > self.table.inserted() {
                    return Err(QpackError::decoder_stream(
                        "the insert count is incremented by zero or too much",
                    ));
                }
                self.known_received = received;
            }
        }
        self.streams_at_risk = None;
        Ok(())
    }

    /// Whether entries may be inserted or referred to.
    fn uses_table(&self) -> bool {
        self.table.capacity() > 0
    }

    fn judge(&mut self, line: &Line<'_>) -> Advice {
        self.policy.judge(line, self.table.capacity())
    }

    /// RFC 9204 §4.5.1.1: how many entries the largest table can have.
    fn entries_max(&self) -> u64 {
        self.peer.table_capacity_max / LINE_OVERHEAD
    }

    /// RFC 9204 §2.1.1: entries below this index may be evicted.
    fn evictable(&self) -> u64 {
        let referenced = self.unacknowledged.lowest_reference();
        referenced.min(self.known_received)
    }

    fn may_track_section(&self) -> bool {
        self.unacknowledged.len() < self.config.unacknowledged_sections_max
    }

    fn may_put_at_risk(&mut self, stream: u64) -> bool {
        let Encoder {
            unacknowledged,
            known_received,
            ..
        } = self;
        let streams = *self
            .streams_at_risk
            .get_or_insert_with(|| unacknowledged.streams_at_risk(*known_received));
        streams < self.peer.blocked_streams_max
            || unacknowledged.is_at_risk(stream, *known_received)
    }

    /// The capacity that the table is to have.
    fn capacity_wanted(&self) -> usize {
        let allowed = usize::try_from(self.peer.table_capacity_max).unwrap_or(usize::MAX);
        self.config.table_capacity.min(allowed)
    }

    /// Changes the table's capacity to what is wanted, as soon as that is possible.
    fn adapt_capacity(&mut self) {
        let wanted = self.capacity_wanted();
        if wanted == self.table.capacity() {
            return;
        }
        // RFC 9204 §4.3.1: a smaller table may not cost entries that have to stay.
        if self.table.can_shrink_to(wanted, self.evictable()) {
            let length = self.instructions.len();
            integer::encode(5, SET_CAPACITY, wanted as u64, &mut self.instructions);
            if self.keep_instruction(length) {
                self.table.set_capacity(wanted);
            }
        }
    }

    /// Inserts a line for which there is room; None when the encoder stream takes no more.
    fn insert(&mut self, line: &Line<'_>) -> Option<u64> {
        let length = self.instructions.len();
        let out = &mut self.instructions;
        if let Some(index) = static_table::find_name(line.name, line.name_hash) {
            integer::encode(6, INSERT_WITH_STATIC_NAME, index, out);
        } else if let Some(absolute) = self.table.find_name(line, u64::MAX) {
            let index = self.table.inserted() - 1 - absolute;
            integer::encode(6, INSERT_WITH_DYNAMIC_NAME, index, out);
        } else {
            string::encode(5, INSERT_WITH_LITERAL_NAME, line.name, out);
        }
        string::encode(7, 0, line.value, out);
        self.keep_instruction(length)
            .then(|| self.table.insert(line))
    }

    /// Duplicates an entry for which there is room; None when the encoder stream takes no more.
    fn duplicate(&mut self, absolute: u64) -> Option<u64> {
        let length = self.instructions.len();
        let index = self.table.inserted() - 1 - absolute;
        integer::encode(5, DUPLICATE, index, &mut self.instructions);
        match self.keep_instruction(length) {
            true => self.table.duplicate(absolute),
            false => None,
        }
    }

    /// Takes back the instruction behind `length` when it exceeds what can be sent.
    fn keep_instruction(&mut self, length: usize) -> bool {
        let is_kept = self.instructions.len() <= self.credit.min(self.config.unsent_bytes_max);
        if !is_kept {
            self.instructions.truncate(length);
        }
        is_kept
    }
}

/// What the peer's SETTINGS say of QPACK; zero without them (RFC 9204 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PeerSettings {
    table_capacity_max: u64,
    blocked_streams_max: u64,
}

/// What an encoder uses and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncoderConfig {
    /// The size of the table, if the peer allows as much.
    pub table_capacity: usize,
    /// How many sections that refer to the table may wait for their acknowledgment; further ones
    /// are sent without references.
    pub unacknowledged_sections_max: usize,
    /// The bytes of instructions that may wait until the encoder stream takes them.
    pub unsent_bytes_max: usize,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        EncoderConfig {
            table_capacity: 4096,
            unacknowledged_sections_max: 1024,
            unsent_bytes_max: 16 * 1024,
        }
    }
}

const LINE_OVERHEAD: u64 = 32;

const SET_CAPACITY: u8 = 0x20;
const INSERT_WITH_STATIC_NAME: u8 = 0xc0;
const INSERT_WITH_DYNAMIC_NAME: u8 = 0x80;
const INSERT_WITH_LITERAL_NAME: u8 = 0x40;
const DUPLICATE: u8 = 0x00;

#[cfg(test)]
mod tests;
