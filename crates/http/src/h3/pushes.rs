//! The pushes of a client between their promises and their handles.
//!
//! Invariant: an entry lives from the promise until its handle is dropped or has become a response,
//! so that there are never more than the client has allowed.

use std::collections::{BTreeMap, VecDeque};

use portway_h3::StreamId;

/// The pushes of a client.
#[derive(Default)]
pub(super) struct Pushes {
    known: BTreeMap<u64, Entry>,
    /// Those that nobody has accepted yet.
    promised: VecDeque<u64>,
}

/// One push.
///
/// ```text
/// Promised ──stream──▶ Arriving
///     └────cancelled─▶ Cancelled
/// ```
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// The request that it was promised for.
    pub(super) request: StreamId,
    pub(super) state: State,
}

/// How far a push is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Promised,
    Arriving(StreamId),
    Cancelled,
}

impl Pushes {
    /// A promise came; whether it is the first one of this push.
    pub(super) fn on_promised(&mut self, push_id: u64, request: StreamId) -> bool {
        let is_new = !self.known.contains_key(&push_id);
        if is_new {
            let state = State::Promised;
            self.known.insert(push_id, Entry { request, state });
            self.promised.push_back(push_id);
        }
        is_new
    }

    /// The stream of a push began; false when nobody wants it.
    pub(super) fn on_stream(&mut self, push_id: u64, stream: StreamId) -> bool {
        match self.known.get_mut(&push_id) {
            Some(entry) => {
                entry.state = State::Arriving(stream);
                true
            }
            None => false,
        }
    }

    /// The server gave a push up.
    pub(super) fn on_cancelled(&mut self, push_id: u64) {
        if let Some(entry) = self.known.get_mut(&push_id) {
            entry.state = State::Cancelled;
        }
    }

    /// The next push that nobody has accepted, and its request.
    pub(super) fn accept(&mut self) -> Option<(u64, StreamId)> {
        let push_id = self.promised.pop_front()?;
        Some((push_id, self.known.get(&push_id)?.request))
    }

    /// How far a push is.
    pub(super) fn state(&self, push_id: u64) -> State {
        self.known
            .get(&push_id)
            .map_or(State::Cancelled, |entry| entry.state)
    }

    /// Nobody will ask for a push any more.
    pub(super) fn forget(&mut self, push_id: u64) {
        self.known.remove(&push_id);
    }
}
