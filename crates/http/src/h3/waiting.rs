//! Futures that wait for the same thing.
//!
//! Invariant: a future that is dropped leaves nothing behind.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use portway_transport::quic::{Host, Hosted};

use super::engine::Engine;

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

/// Waits until something is so on a connection; it is asked again whenever there are news.
pub(super) struct Watching<'a, F> {
    hosted: &'a Hosted<Engine>,
    place: Place,
    ask: F,
}

impl<'a, T, F> Watching<'a, F>
where
    F: FnMut(&mut Engine, &mut Host<'_>) -> Option<T>,
{
    pub(super) fn new(hosted: &'a Hosted<Engine>, ask: F) -> Self {
        Watching {
            hosted,
            place: None,
            ask,
        }
    }
}

impl<T, F> Future for Watching<'_, F>
where
    F: FnMut(&mut Engine, &mut Host<'_>) -> Option<T> + Unpin,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        let (place, ask) = (&mut this.place, &mut this.ask);
        this.hosted.with(|engine, host| match ask(engine, host) {
            Some(answer) => Poll::Ready(answer),
            None => {
                engine.watching.keep(place, context.waker());
                Poll::Pending
            }
        })
    }
}

impl<F> Drop for Watching<'_, F> {
    fn drop(&mut self) {
        if self.place.is_some() {
            let place = self.place;
            self.hosted.with(|engine, _| engine.watching.forget(place));
        }
    }
}
