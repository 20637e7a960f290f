//! Receiving messages (RFC 9622 §9.3).

use super::Connection;
use super::waiters::Waiter;
use crate::error::ReceiveError;
use portway_core::framer::Demand;
use portway_core::message::ReceivedMessage;
use std::future::{Future, poll_fn};
use std::task::{Poll, ready};

impl Connection {
    /// Receives the next message. One that is longer than
    /// [`ConnectionLimits::receive_message_bytes`](crate::ConnectionLimits) comes in parts, and
    /// so does a byte stream without framers, which is one message from its beginning to its end
    /// (RFC 9622 §9.3.2.2): see `is_end` of what is received.
    ///
    /// Several receives are served in the order of their calls.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`ReceiveError::Finished`] when the peer sends nothing more.
    pub fn receive(&self) -> impl Future<Output = Result<ReceivedMessage, ReceiveError>> {
        self.receive_in_turn(Demand::WHOLE)
    }

    /// Receives a whole message of at most `max` bytes, or the next part of one: at least
    /// `min_incomplete` bytes unless the message ends before, and at most `max`
    /// (RFC 9622 §9.3.1). Parts of one message have the same `id`.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn receive_partial(
        &self,
        min_incomplete: usize,
        max: usize,
    ) -> impl Future<Output = Result<ReceivedMessage, ReceiveError>> {
        self.receive_in_turn(Demand::new(min_incomplete, max))
    }

    async fn receive_in_turn(&self, demand: Demand) -> Result<ReceivedMessage, ReceiveError> {
        let shared = self.shared();
        if let Some(message) = shared.receive_at_once(demand) {
            return Ok(message);
        }
        let mut waiter = Waiter::of(shared);
        let place = &mut waiter.place;
        poll_fn(|context| {
            let coop = ready!(tokio::task::coop::poll_proceed(context));
            let mut group = shared.lock();
            if !group.waiters.take_turn(place, Some(context.waker())) {
                return Poll::Pending;
            }
            let received = group.poll_receive(|| shared.now(), demand, place, context);
            super::writer::start_if_needed(shared, &mut group);
            if received.is_ready() {
                coop.made_progress();
                group.leave(place);
            }
            received
        })
        .await
    }
}
