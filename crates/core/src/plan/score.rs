//! How well an eligible stack or path meets the wishes. Less is better.

/// Wishes that are not met, the weightier ones first.
///
/// RFC 9623 §4.1.3: preferred properties order, avoided ones break ties, and what the application
/// set weighs more than defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    explicit_preferred_missed: u32,
    explicit_avoided_present: u32,
    default_preferred_missed: u32,
    default_avoided_present: u32,
}

impl Score {
    /// Counts a preferred property that is not provided.
    pub(super) fn miss(&mut self, is_explicit: bool) {
        if is_explicit {
            self.explicit_preferred_missed += 1;
        } else {
            self.default_preferred_missed += 1;
        }
    }

    /// Counts an avoided property that cannot be had without.
    pub(super) fn suffer(&mut self, is_explicit: bool) {
        if is_explicit {
            self.explicit_avoided_present += 1;
        } else {
            self.default_avoided_present += 1;
        }
    }
}

/// The rank of each key among its peers: equal keys share a rank, and ranks have no gaps.
pub(super) fn ranks<K: Ord>(keys: impl Iterator<Item = Option<K>> + Clone) -> Vec<Option<u32>> {
    let mut distinct: Vec<K> = keys.clone().flatten().collect();
    distinct.sort();
    distinct.dedup();
    keys.map(|key| {
        let position = distinct.binary_search(&key?).ok()?;
        u32::try_from(position).ok()
    })
    .collect()
}
