//! A future that waits until the peer allows another stream, without taking it.
//!
//! Invariant: the stream that it was granted goes to whoever asks next.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use portway_h3::Direction;
use portway_transport::quic::{Hosted, Place};

use super::engine::{Engine, open};

/// Waits until the peer allows another stream for a request, or no request can be sent any more.
pub(super) struct Room<'a> {
    hosted: &'a Hosted<Engine>,
    place: Place,
}

impl<'a> Room<'a> {
    pub(super) fn new(hosted: &'a Hosted<Engine>) -> Self {
        Room {
            hosted,
            place: None,
        }
    }
}

impl Future for Room<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.hosted.with(|engine, host| {
            if engine.http.check_request().is_err() {
                return Poll::Ready(());
            }
            let opening = engine.opening(DIRECTION);
            match opening.take(&mut this.place, || open(DIRECTION, host)) {
                Some(stream) => {
                    engine.return_stream(DIRECTION, stream, host);
                    Poll::Ready(())
                }
                None => {
                    opening.keep(&mut this.place, context.waker());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.hosted
                .with(|engine, host| engine.forget_opening(DIRECTION, self.place, host));
        }
    }
}

const DIRECTION: Direction = Direction::Bidirectional;
