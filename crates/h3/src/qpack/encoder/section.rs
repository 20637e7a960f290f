//! One field section on its way out (RFC 9204 §4.5).
//!
//! Invariant: whatever it refers to stays in the table until the section is acknowledged, and no
//! stream is put at risk of being blocked beyond what the peer allows.

use super::Encoder;
use super::policy::{self, Advice};
use super::table::Line;
use super::unacknowledged::Section;
use crate::field::FieldName;
use crate::qpack::hash::{line_hash, name_hash};
use crate::qpack::{integer, static_table, string};
use bytes::BytesMut;

/// A field section that is being encoded: lines in their order, then
/// [`finish`](SectionEncoder::finish).
#[derive(Debug)]
#[must_use = "a section is complete only when it is finished"]
pub struct SectionEncoder<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut BytesMut,
    stream: u64,
    base: u64,
    /// The Required Insert Count so far.
    required: u64,
    /// The lowest absolute index referred to so far.
    lowest: u64,
    risk: Risk,
    /// Whether the same lines would be encoded in the same way again, as long as the table stays as
    /// it is: nothing was learnt from them, and nothing better is to be had soon.
    is_settled: bool,
}

/// What a section refers to that would be encoded in the same way again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct References {
    /// The Required Insert Count.
    pub(super) required: u64,
    pub(super) lowest: u64,
    /// The table that it was made with: how much was ever inserted, and its capacity.
    pub(super) inserted: u64,
    pub(super) capacity: usize,
}

/// Whether the section may refer to entries that the peer may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Risk {
    Unknown,
    Allowed,
    Refused,
}

impl<'a> SectionEncoder<'a> {
    pub(super) fn new(encoder: &'a mut Encoder, stream: u64, out: &'a mut BytesMut) -> Self {
        // The prefix comes before the lines and is known at the end only.
        encoder.lines.clear();
        SectionEncoder {
            base: encoder.table.inserted(),
            encoder,
            out,
            stream,
            required: 0,
            lowest: u64::MAX,
            risk: Risk::Unknown,
            is_settled: true,
        }
    }

    /// Adds a line. A value that `is_never_indexed` is sent as a literal, and marked so that every
    /// hop does the same.
    pub fn line(&mut self, name: &[u8], value: &[u8], is_never_indexed: bool) {
        let hash = name_hash(name);
        let line = Line {
            name,
            value,
            name_hash: hash,
            line_hash: 0,
        };
        if is_never_indexed || policy::is_credential(name) {
            return self.literal(&line, Indexing::Never);
        }
        if value.len() > LOOKED_UP_MAX {
            return self.literal(&line, Indexing::Allowed);
        }
        let line = Line {
            line_hash: line_hash(hash, value),
            ..line
        };
        if let Some(index) = static_table::find_line(name, value, line.line_hash) {
            return integer::encode(6, 0xc0, index, &mut self.encoder.lines);
        }
        if !self.encoder.uses_table() {
            return self.literal(&line, Indexing::Allowed);
        }
        match self.entry(&line) {
            Some(absolute) => self.indexed(absolute),
            None => self.literal(&line, Indexing::Allowed),
        }
    }

    /// Adds a pseudo-header field.
    #[inline]
    pub(crate) fn pseudo(&mut self, name: &FieldName, value: &[u8]) {
        match static_table::common(name, value) {
            Some(index) => integer::encode(6, 0xc0, index, &mut self.encoder.lines),
            None => self.line(name.as_bytes(), value, false),
        }
    }

    /// Writes the section's prefix, and remembers what the section refers to.
    pub fn finish(self) {
        self.finish_and_tell();
    }

    /// The same; tells what the section refers to if [`Encoder::repeat`] may send it again.
    pub(crate) fn finish_and_tell(self) -> Option<References> {
        let references = self.references();
        self.put_prefix();
        references
    }

    fn references(&self) -> Option<References> {
        let encoder = &*self.encoder;
        let is_known = self.required <= encoder.known_received;
        (self.is_settled && is_known).then_some(References {
            required: self.required,
            lowest: self.lowest,
            inserted: self.base,
            capacity: encoder.table.capacity(),
        })
    }

    fn put_prefix(self) {
        if self.required == 0 {
            self.out.extend_from_slice(&[0; 2]);
            return self.put_lines();
        }
        // RFC 9204 §4.5.1.1: the count is sent modulo twice the entries that the largest table
        // can have.
        let full_range = 2 * self.encoder.entries_max();
        let mut prefix = [0; PREFIX_MAX];
        let mut unused = &mut prefix[..];
        integer::encode(8, 0, self.required % full_range + 1, &mut unused);
        match self.base.checked_sub(self.required) {
            Some(delta) => integer::encode(7, 0, delta, &mut unused),
            None => integer::encode(7, 0x80, self.required - self.base - 1, &mut unused),
        }
        let unused = unused.len();
        self.out.extend_from_slice(&prefix[..PREFIX_MAX - unused]);
        self.encoder.unacknowledged.push(Section {
            stream: self.stream,
            required: self.required,
            lowest: self.lowest,
        });
        self.encoder.streams_at_risk = None;
        self.put_lines();
    }

    fn put_lines(self) {
        let lines = &mut self.encoder.lines;
        self.out.extend_from_slice(lines);
        if lines.capacity() > LINES_KEPT {
            *lines = Vec::new();
        }
    }

    /// The entry to refer to for a line, which may be inserted for that.
    fn entry(&mut self, line: &Line<'_>) -> Option<u64> {
        let found = self.encoder.table.find_line(line, u64::MAX);
        let newest = match found {
            Some(found) => self.refreshed(found, line.size()),
            None => self.inserted(line)?,
        };
        let below = self.referable_below(newest);
        if newest < below {
            return Some(newest);
        }
        self.is_settled = false;
        // The newest may be a duplicate that is still on its way.
        found.and_then(|_| self.encoder.table.find_line(line, below))
    }

    /// The entry to refer to instead of one that was found: a duplicate, if it is draining.
    fn refreshed(&mut self, found: u64, size: usize) -> u64 {
        if found >= self.encoder.table.draining() {
            return found;
        }
        self.is_settled = false;
        let evictable = self.evictable();
        if self.may_risk() && self.encoder.table.can_insert(size, evictable) {
            return self.encoder.duplicate(found).unwrap_or(found);
        }
        found
    }

    /// Inserts a line, if that is worth it and possible.
    fn inserted(&mut self, line: &Line<'_>) -> Option<u64> {
        self.is_settled = false;
        let has_room = self.encoder.table.has_room(line.size());
        let is_wanted = match self.encoder.judge(line) {
            Advice::Insert => true,
            Advice::InsertIfRoom => has_room,
            Advice::Literal => false,
        };
        if !is_wanted {
            return None;
        }
        let table = &self.encoder.table;
        match has_room || table.can_insert(line.size(), self.evictable()) {
            true => self.encoder.insert(line),
            false => None,
        }
    }

    /// RFC 9204 §2.1.1: entries below this index are acknowledged and not referred to by any
    /// section, this one included.
    fn evictable(&self) -> u64 {
        self.encoder.evictable().min(self.lowest)
    }

    /// Entries below this absolute index may be referred to, of those up to `highest`.
    fn referable_below(&mut self, highest: u64) -> u64 {
        let known_received = self.encoder.known_received;
        if !self.encoder.may_track_section() {
            return 0;
        }
        // What the peer has puts nothing at risk, so that nobody needs to count streams for it.
        match highest < known_received || !self.may_risk() {
            true => known_received,
            false => u64::MAX,
        }
    }

    /// RFC 9204 §2.1.2: whether this stream may become blocked. What was decided holds for the
    /// section: the peer's instructions come between sections only.
    fn may_risk(&mut self) -> bool {
        if self.risk == Risk::Unknown {
            self.risk = match self.encoder.may_put_at_risk(self.stream) {
                true => Risk::Allowed,
                false => Risk::Refused,
            };
        }
        self.risk == Risk::Allowed
    }

    fn refer_to(&mut self, absolute: u64) {
        self.required = self.required.max(absolute + 1);
        self.lowest = self.lowest.min(absolute);
    }

    fn indexed(&mut self, absolute: u64) {
        self.refer_to(absolute);
        match absolute.checked_sub(self.base) {
            Some(index) => integer::encode(4, 0x10, index, &mut self.encoder.lines),
            None => integer::encode(6, 0x80, self.base - 1 - absolute, &mut self.encoder.lines),
        }
    }

    /// Writes a line with a literal value, and its name as short as it can be.
    fn literal(&mut self, line: &Line<'_>, indexing: Indexing) {
        let never = |bit| match indexing {
            Indexing::Never => bit,
            Indexing::Allowed => 0,
        };
        if let Some(index) = static_table::find_name(line.name, line.name_hash) {
            integer::encode(4, 0x50 + never(0x20), index, &mut self.encoder.lines);
        } else if let Some(absolute) = self.name_entry(line) {
            self.refer_to(absolute);
            match absolute.checked_sub(self.base) {
                Some(index) => integer::encode(3, never(0x08), index, &mut self.encoder.lines),
                None => {
                    let index = self.base - 1 - absolute;
                    integer::encode(4, 0x40 + never(0x20), index, &mut self.encoder.lines);
                }
            }
        } else {
            string::encode(3, 0x20 + never(0x10), line.name, &mut self.encoder.lines);
        }
        string::encode(7, 0, line.value, &mut self.encoder.lines);
    }

    /// An entry to take the name from.
    fn name_entry(&mut self, line: &Line<'_>) -> Option<u64> {
        let newest = self.encoder.table.find_name(line, u64::MAX)?;
        let below = self.referable_below(newest);
        let absolute = match newest < below {
            true => newest,
            false => {
                self.is_settled = false;
                self.encoder.table.find_name(line, below)?
            }
        };
        // A name saves less than a draining entry costs when it cannot leave.
        (absolute >= self.encoder.table.draining()).then_some(absolute)
    }
}

/// Whether a literal may become an entry on a later hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indexing {
    Allowed,
    Never,
}

const PREFIX_MAX: usize = 2 * integer::ENCODED_LEN_MAX;

/// Memory of so many bytes is kept for the lines of the next section.
const LINES_KEPT: usize = 1024;

/// Longer values are not looked up: they are in no table, and hashing them is not free.
const LOOKED_UP_MAX: usize = 4096;
