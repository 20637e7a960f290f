//! How much a dynamic table is worth.
//!
//! Invariant: counts only grow.

/// How a dynamic table was used so far (RFC 9204 §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableUse {
    /// Entries that were inserted, those that have left again included.
    pub entries: u64,
    /// Field sections that refer to entries and that were decoded.
    pub sections: u64,
}
