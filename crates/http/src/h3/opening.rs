//! Who waits to send a request until the server allows another stream.
//!
//! Invariant: first come, first served; a stream that was opened for a future that is gone goes to
//! the next one.

use std::collections::VecDeque;
use std::task::Waker;

use portway_h3::StreamId;

use super::waiting::Place;

/// Futures that wait for a stream.
#[derive(Default)]
pub(super) struct Opening {
    waiting: VecDeque<(u64, Waker)>,
    /// Streams that were opened for a future that has not been polled since.
    granted: Vec<(u64, StreamId)>,
    /// Streams that were opened and not used.
    spare: VecDeque<StreamId>,
    last: u64,
}

impl Opening {
    /// The stream for a future, if there is one. `open` is asked when nobody is before it.
    pub(super) fn take(
        &mut self,
        place: &mut Place,
        open: impl FnOnce() -> Option<StreamId>,
    ) -> Option<StreamId> {
        let Some(key) = *place else {
            // Whoever waits already comes first.
            return match self.waiting.is_empty() {
                true => self.spare.pop_front().or_else(open),
                false => None,
            };
        };
        let at = self.granted.iter().position(|(other, _)| *other == key)?;
        *place = None;
        Some(self.granted.swap_remove(at).1)
    }

    /// Keeps the waker of a future at its place.
    pub(super) fn keep(&mut self, place: &mut Place, waker: &Waker) {
        let key = *place.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.waiting.iter_mut().find(|(other, _)| *other == key) {
            Some((_, kept)) => kept.clone_from(waker),
            None => self.waiting.push_back((key, waker.clone())),
        }
    }

    /// Gives a stream back that nothing was sent on.
    pub(super) fn give_back(&mut self, stream: StreamId) {
        self.spare.push_front(stream);
    }

    /// Forgets a future.
    pub(super) fn forget(&mut self, place: Place) {
        if let Some(at) = self.granted.iter().position(|(key, _)| Some(*key) == place) {
            let (_, stream) = self.granted.swap_remove(at);
            self.spare.push_front(stream);
        }
        self.waiting.retain(|(key, _)| Some(*key) != place);
    }

    /// Gives streams to those who wait, as long as there are both.
    pub(super) fn grant(
        &mut self,
        mut open: impl FnMut() -> Option<StreamId>,
        mut wake: impl FnMut(Waker),
    ) {
        while !self.waiting.is_empty() {
            let Some(stream) = self.spare.pop_front().or_else(&mut open) else {
                return;
            };
            if let Some((key, waker)) = self.waiting.pop_front() {
                self.granted.push((key, stream));
                wake(waker);
            }
        }
    }

    /// Takes all wakers, since nobody gets a stream any more. The futures keep their places.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waker> {
        self.waiting.drain(..).map(|(_, waker)| waker)
    }
}
