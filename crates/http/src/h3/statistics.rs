//! What is counted on a connection.
//!
//! Invariant: counts only grow; what is in flight is read off the state.

use portway_h3::qpack::TableUse;
use portway_transport::quic;

use super::engine::Engine;

/// What HTTP/3 counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) stopped: u64,
    pub(super) pushes: u64,
}

/// What was counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Requests that a client has sent, or that a server has accepted.
    pub requests: u64,
    /// Requests that a server refused because nobody accepts them any more.
    pub refused: u64,
    /// Streams on which the peer wanted no more of what was sent.
    pub stopped: u64,
    /// Pushes that a client was promised, or that a server has promised.
    pub pushes: u64,
    /// Streams that the application holds now.
    pub in_flight: usize,
    /// The peer's QPACK table: our entries in it and our sections that refer to them, as far as the
    /// peer has acknowledged these.
    pub peer_table: TableUse,
    /// Our QPACK table: the peer's entries in it and its sections that refer to them.
    pub own_table: TableUse,
    /// What QUIC has counted.
    pub quic: quic::Statistics,
}

impl Statistics {
    pub(super) fn new(engine: &Engine, quic: quic::Statistics) -> Self {
        let counters = &engine.counters;
        let [peer_table, own_table] = engine.http.table_uses();
        Statistics {
            requests: counters.requests,
            refused: counters.refused,
            stopped: counters.stopped,
            pushes: counters.pushes,
            in_flight: engine.held(),
            peer_table,
            own_table,
            quic,
        }
    }
}
