//! Futures that wait for the same thing.
//!
//! Invariant: a future that is dropped leaves nothing behind.

use std::task::Waker;

/// The place of a future in a list, given when it first waits.
pub(super) type Place = Option<u64>;

/// A list of futures in the order in which they came.
#[derive(Default)]
pub(super) struct WaitList {
    waiting: Vec<(u64, Waker)>,
    last: u64,
}

impl WaitList {
    /// Keeps the waker of a future at its place.
    pub(super) fn keep(&mut self, place: &mut Place, waker: &Waker) {
        let key = *place.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.waiting.iter_mut().find(|(other, _)| *other == key) {
            Some((_, kept)) => kept.clone_from(waker),
            None => self.waiting.push((key, waker.clone())),
        }
    }

    /// Forgets a future.
    pub(super) fn forget(&mut self, place: Place) {
        self.waiting.retain(|(key, _)| Some(*key) != place);
    }

    /// Takes the wakers of all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waker> {
        self.waiting.drain(..).map(|(_, waker)| waker)
    }
}

/// Keeps `waker` in `kept`.
pub(super) fn keep(kept: &mut Option<Waker>, waker: &Waker) {
    match kept {
        Some(kept) => kept.clone_from(waker),
        None => *kept = Some(waker.clone()),
    }
}
