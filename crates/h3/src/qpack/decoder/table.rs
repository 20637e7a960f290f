//! The decoder's dynamic table (RFC 9204 §3.2).
//!
//! Invariant: the entries' sizes add up to `size`, which never exceeds `capacity`, which never
//! exceeds the maximum that we announced.

use crate::field::{FieldName, FieldValue};
use std::collections::VecDeque;

/// What a line costs beyond its name and value, here and in the limits of HTTP/3.
pub(in crate::qpack) const LINE_OVERHEAD: usize = 32;

/// A line of the table, checked once for all sections that refer to it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: FieldName,
    pub(super) value: FieldValue,
}

impl Entry {
    pub(super) fn size(&self) -> usize {
        self.name.as_bytes().len() + self.value.as_bytes().len() + LINE_OVERHEAD
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
    capacity_max: usize,
}

impl DynamicTable {
    pub(super) fn new(capacity_max: usize) -> Self {
        DynamicTable {
            capacity_max,
            ..DynamicTable::default()
        }
    }

    /// How many entries were ever inserted: the Insert Count.
    pub(super) fn inserted(&self) -> u64 {
        self.inserted
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn capacity_max(&self) -> usize {
        self.capacity_max
    }

    /// The entry with an absolute index, unless it is evicted or not yet there.
    #[inline]
    pub(super) fn get(&self, absolute: u64) -> Option<&Entry> {
        let dropped = self.inserted - self.entries.len() as u64;
        let position = absolute.checked_sub(dropped)?;
        self.entries.get(usize::try_from(position).ok()?)
    }

    /// The entry that an instruction refers to: 0 is the newest (RFC 9204 §3.2.5).
    pub(super) fn get_relative(&self, index: u64) -> Option<&Entry> {
        let absolute = self.inserted.checked_sub(1)?.checked_sub(index)?;
        self.get(absolute)
    }

    /// Sets the capacity and evicts what no longer fits. False when it exceeds the maximum.
    #[must_use]
    pub(super) fn set_capacity(&mut self, capacity: u64) -> bool {
        let Ok(capacity) = usize::try_from(capacity) else {
            return false;
        };
        if capacity > self.capacity_max {
            return false;
        }
        self.capacity = capacity;
        self.evict_to(capacity);
        true
    }

    /// Inserts an entry, after room was made for it. False when it is larger than the table.
    #[must_use]
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let size = entry.size();
        let Some(rest) = self.capacity.checked_sub(size) else {
            return false;
        };
        self.evict_to(rest);
        self.entries.push_back(entry);
        self.size += size;
        self.inserted += 1;
        true
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size {
            let entry = self.entries.pop_front();
            self.size -= entry.expect("a table with a size has entries").size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DynamicTable, Entry};
    use crate::field::{FieldName, FieldValue};
    use bytes::Bytes;

    fn entry(name: &str, value: &'static str) -> Entry {
        Entry {
            name: FieldName::parse(name.as_bytes()),
            value: FieldValue::parse(Bytes::from_static(value.as_bytes())),
        }
    }

    fn value(table: &DynamicTable, absolute: u64) -> Option<&[u8]> {
        table.get(absolute).map(|entry| entry.value.as_bytes())
    }

    #[test]
    fn the_oldest_entries_leave_first() {
        let mut table = DynamicTable::new(200);
        assert!(table.set_capacity(102));
        for line in ["1", "2", "3"] {
            assert!(table.insert(entry("a", line)));
        }
        assert_eq!(table.inserted(), 3);
        assert_eq!(
            value(&table, 0),
            Some(&b"1"[..]),
            "three of 34 fit into 102"
        );
        assert!(table.insert(entry("a", "4")));
        assert_eq!(value(&table, 0), None);
        assert_eq!(value(&table, 3), Some(&b"4"[..]));
        assert_eq!(value(&table, 4), None);
        assert_eq!(value(&table, u64::MAX), None);
        assert!(
            table
                .get_relative(0)
                .is_some_and(|e| e.value.as_bytes() == b"4")
        );
        assert!(
            table
                .get_relative(2)
                .is_some_and(|e| e.value.as_bytes() == b"2")
        );
        assert!(table.get_relative(3).is_none());
        assert!(table.get_relative(4).is_none());
    }

    #[test]
    fn an_entry_may_fill_the_table_but_not_more() {
        let mut table = DynamicTable::new(200);
        assert!(!table.insert(entry("a", "")), "the first capacity is zero");
        assert!(table.set_capacity(35));
        assert!(table.insert(entry("a", "12")));
        assert!(!table.insert(entry("a", "123")));
        assert_eq!(value(&table, 0), Some(&b"12"[..]));
    }

    #[test]
    fn a_smaller_capacity_evicts_and_a_capacity_above_the_maximum_is_refused() {
        let mut table = DynamicTable::new(200);
        assert!(table.set_capacity(200));
        assert!(!table.set_capacity(201));
        assert!(!table.set_capacity(u64::MAX));
        assert!(table.insert(entry("a", "1")) && table.insert(entry("a", "2")));
        assert!(table.set_capacity(68));
        assert!(value(&table, 0).is_some());
        assert!(table.set_capacity(67));
        assert!(value(&table, 0).is_none() && value(&table, 1).is_some());
        assert_eq!(table.size, 34);
        assert!(table.set_capacity(0));
        assert!(value(&table, 1).is_none());
        assert_eq!((table.inserted(), table.size), (2, 0));
    }
}
