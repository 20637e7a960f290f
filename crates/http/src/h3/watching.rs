//! A future that waits until something is so on a connection.
//!
//! Invariant: one that is dropped leaves nothing behind.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use portway_transport::quic::{Host, Hosted, Place};

use super::engine::Engine;

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
