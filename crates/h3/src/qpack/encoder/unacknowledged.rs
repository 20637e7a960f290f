//! Field sections that refer to the dynamic table and are not yet acknowledged (RFC 9204 §2.1).
//!
//! Invariant: sections are ordered by stream, and those of one stream by the order in which they
//! were sent. Since entries leave the table oldest first, the lowest index of a section stands for
//! all of its references.

use std::collections::VecDeque;

/// A section that refers to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) stream: u64,
    /// The Required Insert Count.
    pub(super) required: u64,
    /// The lowest absolute index that it refers to.
    pub(super) lowest: u64,
}

/// The sections whose acknowledgment is to come.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
    sections: VecDeque<Section>,
}

impl Unacknowledged {
    pub(super) fn len(&self) -> usize {
        self.sections.len()
    }

    pub(super) fn push(&mut self, section: Section) {
        // New requests have the highest numbers.
        let last = self.sections.back();
        if last.is_none_or(|last| last.stream <= section.stream) {
            return self.sections.push_back(section);
        }
        let behind = self
            .sections
            .partition_point(|other| other.stream <= section.stream);
        self.sections.insert(behind, section);
    }

    /// Takes the earliest section of a stream.
    pub(super) fn acknowledge(&mut self, stream: u64) -> Option<Section> {
        // Most sections are acknowledged in their order.
        let section = match self.sections.front()?.stream == stream {
            true => self.sections.pop_front(),
            false => {
                let first = self.first_of(stream);
                if self.sections.get(first)?.stream != stream {
                    return None;
                }
                self.sections.remove(first)
            }
        };
        self.release();
        section
    }

    /// Forgets the sections of a stream.
    pub(super) fn cancel(&mut self, stream: u64) {
        let first = self.first_of(stream);
        let behind = self
            .sections
            .partition_point(|other| other.stream <= stream);
        self.sections.drain(first..behind);
        self.release();
    }

    /// Entries at and above this index are referred to.
    pub(super) fn lowest_reference(&self) -> u64 {
        let lowest = self.sections.iter().map(|section| section.lowest).min();
        lowest.unwrap_or(u64::MAX)
    }

    /// How many streams could be blocked at a peer that has `known_received` insertions.
    pub(super) fn streams_at_risk(&self, known_received: u64) -> u64 {
        let mut streams = 0;
        let mut last = None;
        for section in &self.sections {
            if section.required > known_received && last != Some(section.stream) {
                streams += 1;
                last = Some(section.stream);
            }
        }
        streams
    }

    /// Whether this stream is one of them.
    pub(super) fn is_at_risk(&self, stream: u64, known_received: u64) -> bool {
        self.sections
            .range(self.first_of(stream)..)
            .take_while(|section| section.stream == stream)
            .any(|section| section.required > known_received)
    }

    fn first_of(&self, stream: u64) -> usize {
        self.sections.partition_point(|other| other.stream < stream)
    }

    /// Gives the memory of a burst back.
    fn release(&mut self) {
        if self.sections.is_empty() && self.sections.capacity() > KEPT_CAPACITY {
            self.sections = VecDeque::new();
        }
    }
}

const KEPT_CAPACITY: usize = 16;

#[cfg(test)]
mod tests {
    use super::{KEPT_CAPACITY, Section, Unacknowledged};

    fn section(stream: u64, required: u64, lowest: u64) -> Section {
        Section {
            stream,
            required,
            lowest,
        }
    }

    fn of(sections: &[Section]) -> Unacknowledged {
        let mut unacknowledged = Unacknowledged::default();
        for section in sections {
            unacknowledged.push(*section);
        }
        unacknowledged
    }

    #[test]
    fn streams_at_risk_are_counted_once() {
        let sections = [
            section(8, 2, 1),
            section(4, 3, 2),
            section(4, 5, 0),
            section(4, 1, 0),
            section(0, 4, 3),
        ];
        let unacknowledged = of(&sections);
        let at_risk = [0, 1, 2, 3, 4, 5].map(|known| unacknowledged.streams_at_risk(known));
        assert_eq!(at_risk, [3, 3, 2, 2, 1, 0]);
        let is_at_risk = |stream| [0, 1, 2, 4, 5].map(|at| unacknowledged.is_at_risk(stream, at));
        assert_eq!(is_at_risk(0), [true, true, true, false, false]);
        assert_eq!(is_at_risk(4), [true, true, true, true, false]);
        assert_eq!(is_at_risk(8), [true, true, false, false, false]);
        assert_eq!(is_at_risk(6), [false; 5]);
        assert_eq!(unacknowledged.lowest_reference(), 0);
    }

    #[test]
    fn the_earliest_section_of_a_stream_is_acknowledged() {
        let mut unacknowledged = of(&[section(4, 2, 1), section(0, 1, 0), section(4, 3, 2)]);
        assert_eq!(unacknowledged.acknowledge(2), None);
        assert_eq!(unacknowledged.acknowledge(4), Some(section(4, 2, 1)));
        assert_eq!(unacknowledged.acknowledge(4), Some(section(4, 3, 2)));
        assert_eq!(unacknowledged.acknowledge(4), None);
        unacknowledged.cancel(2);
        assert_eq!(unacknowledged.lowest_reference(), 0);
        unacknowledged.cancel(0);
        assert_eq!(unacknowledged.lowest_reference(), u64::MAX);
    }

    #[test]
    fn a_burst_leaves_no_memory_behind() {
        for (count, is_kept) in [(KEPT_CAPACITY, true), (KEPT_CAPACITY + 1, false)] {
            let sections: Vec<Section> = (0..count as u64).map(|at| section(at, 1, 0)).collect();
            let mut unacknowledged = of(&sections);
            for stream in 1..count as u64 {
                unacknowledged.cancel(stream);
            }
            assert_eq!(unacknowledged.len(), 1, "the last one stays");
            assert!(unacknowledged.acknowledge(0).is_some());
            assert_eq!(unacknowledged.sections.capacity() > 0, is_kept, "{count}");
        }
    }
}
