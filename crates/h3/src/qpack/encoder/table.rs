//! The encoder's dynamic table (RFC 9204 §3.2), with an index from lines and names to entries.
//!
//! Invariant: it equals what the peer's decoder has after all instructions so far; entries leave
//! only when the caller says that they may.

use std::collections::VecDeque;

/// A line of the table.
#[derive(Debug)]
struct Entry {
    /// The name, then the value.
    bytes: Box<[u8]>,
    name_len: u32,
    name_hash: u32,
    line_hash: u32,
    /// Low bits of the absolute index of the entry before this one in the slot of its line.
    before_line: u16,
    /// The same in the slot of its name.
    before_name: u16,
}

impl Entry {
    fn name(&self) -> &[u8] {
        &self.bytes[..self.name_len as usize]
    }

    fn size(&self) -> usize {
        self.bytes.len() + LINE_OVERHEAD
    }

    fn equals(&self, line: &Line<'_>) -> bool {
        self.line_hash == line.line_hash
            && self.bytes.len() == line.name.len() + line.value.len()
            && self.name_equals(line)
            && self.bytes.ends_with(line.value)
    }

    fn name_equals(&self, line: &Line<'_>) -> bool {
        self.name_hash == line.name_hash && self.name() == line.name
    }
}

/// A line that is looked for or inserted, with its hashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) name_hash: u32,
    pub(super) line_hash: u32,
}

impl Line<'_> {
    /// What the line takes of a table.
    pub(super) fn size(&self) -> usize {
        self.name.len() + self.value.len() + LINE_OVERHEAD
    }
}

/// First in, first out.
#[derive(Debug, Default)]
pub(super) struct DynamicTable {
    /// Oldest first.
    entries: VecDeque<Entry>,
    inserted: u64,
    size: usize,
    capacity: usize,
    /// Low bits of the absolute index of the newest entry of each slot, by the hashes of lines in
    /// the first half and of names in the second. Older ones of a slot follow as a chain.
    slots: Box<[u16]>,
    draining: u64,
    /// The size of the entries below the draining index.
    draining_size: usize,
}

impl DynamicTable {
    /// How many entries were ever inserted.
    pub(super) fn inserted(&self) -> u64 {
        self.inserted
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// RFC 9204 §2.1.1.1: entries below this index are soon to be evicted, and not referred to any
    /// more so that nothing keeps them.
    pub(super) fn draining(&self) -> u64 {
        self.draining
    }

    /// Whether the whole of a line would fit beside what is there.
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.size + size <= self.capacity
    }

    /// The newest entry below the absolute index `below` that equals `line`.
    #[inline]
    pub(super) fn find_line(&self, line: &Line<'_>, below: u64) -> Option<u64> {
        let newest = *self.lines_and_names().0.get(self.slot(line.line_hash))?;
        let is_equal = |entry: &Entry| entry.equals(line);
        self.find(newest, below, is_equal, |entry| entry.before_line)
    }

    /// The newest entry below the absolute index `below` with the name of `line`.
    #[inline]
    pub(super) fn find_name(&self, line: &Line<'_>, below: u64) -> Option<u64> {
        let newest = *self.lines_and_names().1.get(self.slot(line.name_hash))?;
        let is_equal = |entry: &Entry| entry.name_equals(line);
        self.find(newest, below, is_equal, |entry| entry.before_name)
    }

    /// The first entry that `is_equal`, from the newest of a slot to older ones.
    #[inline]
    fn find(
        &self,
        newest: u16,
        below: u64,
        is_equal: impl Fn(&Entry) -> bool,
        before: impl Fn(&Entry) -> u16,
    ) -> Option<u64> {
        let dropped = self.dropped();
        let mut low_bits = newest;
        let mut behind = self.entries.len();
        for _ in 0..CHAIN_MAX {
            let position = usize::from(low_bits.wrapping_sub(dropped as u16));
            // What was evicted, or never set, does not lie before the entry that names it.
            if position >= behind {
                return None;
            }
            let entry = self.entries.get(position)?;
            let absolute = dropped + position as u64;
            if absolute < below && is_equal(entry) {
                return Some(absolute);
            }
            low_bits = before(entry);
            behind = position;
        }
        None
    }

    /// Whether `size` more bytes fit when entries below `evictable` may leave.
    pub(super) fn can_insert(&self, size: usize, evictable: u64) -> bool {
        size <= self.capacity && self.can_shrink_to(self.capacity - size, evictable)
    }

    /// Whether the entries fit into `capacity` when those below `evictable` may leave.
    pub(super) fn can_shrink_to(&self, capacity: usize, evictable: u64) -> bool {
        let mut size = self.size;
        for (absolute, entry) in (self.dropped()..).zip(&self.entries) {
            if size <= capacity || absolute >= evictable {
                break;
            }
            size -= entry.size();
        }
        size <= capacity
    }

    /// Changes the capacity; the caller has asked whether it can be.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.evict_to(capacity);
        self.advance_draining();
        if !self.entries.is_empty() {
            self.make_slots();
        }
    }

    /// Sees to it that there are as many slots as the table may have entries; a connection whose
    /// lines are all in the static table needs none.
    fn make_slots(&mut self) {
        let entries_max = self.capacity / LINE_OVERHEAD;
        let slots = 2 * entries_max.next_power_of_two().min(SLOTS_MAX);
        if slots > self.slots.len() {
            self.slots = vec![0; slots].into();
            for position in 0..self.entries.len() {
                self.index(position);
            }
        }
    }

    /// Inserts a line and evicts what has to leave for it; the caller has asked whether it can be.
    /// Returns its absolute index.
    pub(super) fn insert(&mut self, line: &Line<'_>) -> u64 {
        let entry = Entry {
            bytes: [line.name, line.value].concat().into(),
            name_len: line.name.len() as u32,
            name_hash: line.name_hash,
            line_hash: line.line_hash,
            before_line: 0,
            before_name: 0,
        };
        self.push(entry)
    }

    /// Inserts a copy of an entry, as [`insert`](Self::insert) does of a line.
    pub(super) fn duplicate(&mut self, absolute: u64) -> Option<u64> {
        let position = usize::try_from(absolute.checked_sub(self.dropped())?).ok()?;
        let entry = self.entries.get(position)?;
        let copy = Entry {
            bytes: entry.bytes.clone(),
            ..*entry
        };
        Some(self.push(copy))
    }

    fn push(&mut self, entry: Entry) -> u64 {
        debug_assert!(entry.size() <= self.capacity);
        self.evict_to(self.capacity - entry.size());
        if self.entries.is_empty() {
            self.make_slots();
        }
        let absolute = self.inserted;
        self.size += entry.size();
        self.entries.push_back(entry);
        self.inserted += 1;
        self.index(self.entries.len() - 1);
        self.advance_draining();
        absolute
    }

    /// Puts an entry at the front of its slots; those before it are there already.
    fn index(&mut self, position: usize) {
        let low_bits = (self.dropped() + position as u64) as u16;
        let half = self.slots.len() / 2;
        let (lines, names) = self.slots.split_at_mut(half);
        let entry = &mut self.entries[position];
        let line_slot = &mut lines[entry.line_hash as usize & (half - 1)];
        let name_slot = &mut names[entry.name_hash as usize & (half - 1)];
        entry.before_line = std::mem::replace(line_slot, low_bits);
        entry.before_name = std::mem::replace(name_slot, low_bits);
    }

    fn dropped(&self) -> u64 {
        self.inserted - self.entries.len() as u64
    }

    fn lines_and_names(&self) -> (&[u16], &[u16]) {
        self.slots.split_at(self.slots.len() / 2)
    }

    /// The slot of a hash; there are as many in either half, a power of two.
    fn slot(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() / 2).wrapping_sub(1)
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size {
            let evicted = self.dropped();
            let entry = self.entries.pop_front();
            let freed = entry.expect("a table with a size has entries").size();
            self.size -= freed;
            if evicted < self.draining {
                self.draining_size -= freed;
            } else {
                self.draining = evicted + 1;
            }
        }
    }

    /// Lets entries drain until an eighth of the table is free or can be reclaimed.
    fn advance_draining(&mut self) {
        let wanted = self.capacity / DRAINING_SHARE;
        let mut position = (self.draining - self.dropped()) as usize;
        while self.capacity - self.size + self.draining_size < wanted {
            let Some(entry) = self.entries.get(position) else {
                break;
            };
            self.draining_size += entry.size();
            self.draining += 1;
            position += 1;
        }
    }
}

/// What a line costs beyond its name and value.
const LINE_OVERHEAD: usize = 32;

/// Larger tables are not indexed more finely: the index would outweigh them.
const SLOTS_MAX: usize = 4096;

/// How many entries of one slot are compared, whatever a peer makes us insert.
const CHAIN_MAX: usize = 8;

const DRAINING_SHARE: usize = 8;

#[cfg(test)]
mod tests;
