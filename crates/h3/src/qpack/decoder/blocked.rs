//! Sections that wait for entries of the dynamic table (RFC 9204 §2.2.1).
//!
//! Invariant: sections of one stream leave in the order in which they came, and the bytes held are
//! counted.

use super::section::Prefix;
use std::collections::{BTreeMap, VecDeque};

/// A field section whose entries have all arrived, as [`Decoder::next_unblocked`] gives it.
///
/// [`Decoder::next_unblocked`]: super::Decoder::next_unblocked
#[derive(Debug)]
#[must_use = "the section is to be decoded"]
pub struct UnblockedSection {
    pub(super) stream: u64,
    pub(super) prefix: Prefix,
    pub(super) section: Box<[u8]>,
}

impl UnblockedSection {
    /// The stream on which the section came.
    pub fn stream(&self) -> u64 {
        self.stream
    }

    fn cost(&self) -> usize {
        self.section.len() + SECTION_OVERHEAD
    }
}

/// The sections that wait, those of each stream in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    streams: BTreeMap<u64, VecDeque<UnblockedSection>>,
    bytes: usize,
}

impl Blocked {
    /// How many streams have a section that waits.
    pub(super) fn streams(&self) -> u64 {
        self.streams.len() as u64
    }

    /// How many bytes the sections hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn has_stream(&self, stream: u64) -> bool {
        self.streams.contains_key(&stream)
    }

    pub(super) fn push(&mut self, section: UnblockedSection) {
        self.bytes += section.cost();
        let sections = self.streams.entry(section.stream).or_default();
        sections.push_back(section);
    }

    /// Takes a section that needs no more than `inserted` entries, of the stream with the lowest
    /// number that has one in front.
    pub(super) fn pop(&mut self, inserted: u64) -> Option<UnblockedSection> {
        let is_ready = |sections: &VecDeque<UnblockedSection>| {
            sections
                .front()
                .is_some_and(|section| section.prefix.required <= inserted)
        };
        let (&stream, sections) = self.streams.iter_mut().find(|(_, s)| is_ready(s))?;
        let section = sections.pop_front()?;
        if sections.is_empty() {
            self.streams.remove(&stream);
        }
        self.bytes -= section.cost();
        Some(section)
    }

    /// Forgets the sections of a stream.
    pub(super) fn remove_stream(&mut self, stream: u64) {
        let sections = self.streams.remove(&stream).unwrap_or_default();
        let cost: usize = sections.iter().map(UnblockedSection::cost).sum();
        self.bytes -= cost;
    }
}

/// What a section costs beside its bytes, so that empty ones are not free.
const SECTION_OVERHEAD: usize = size_of::<UnblockedSection>();
