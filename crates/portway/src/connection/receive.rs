//! Receiving messages (RFC 9622 §9.3).

use super::Connection;
use super::waiters::Waiter;
use crate::error::ReceiveError;
use portway_core::framer::Demand;
use portway_core::message::ReceivedMessage;
use std::future::poll_fn;
use std::task::Poll;

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
    pub async fn receive(&self) -> Result<ReceivedMessage, ReceiveError> {
        self.receive_in_turn(Demand::WHOLE).await
    }

    /// Receives a whole message of at most `max` bytes, or the next part of one: at least
    /// `min_incomplete` bytes unless the message ends before, and at most `max`
    /// (RFC 9622 §9.3.1). Parts of one message have the same `id`.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub async fn receive_partial(
        &self,
        min_incomplete: usize,
        max: usize,
    ) -> Result<ReceivedMessage, ReceiveError> {
        self.receive_in_turn(Demand::new(min_incomplete, max)).await
    }

    async fn receive_in_turn(&self, demand: Demand) -> Result<ReceivedMessage, ReceiveError> {
        let shared = self.shared();
        let turns = &shared.receive_turn;
        let mut turn = None;
        let mut waiter = Waiter::of(shared);
        loop {
            let found = poll_fn(|context| {
                let coop = std::task::ready!(tokio::task::coop::poll_proceed(context));
                let mut group = shared.lock();
                // A receive that finds its message needs no turn, unless somebody waits. Turns are
                // looked at and taken with the lock held, so that nobody comes in between.
                if turn.is_none() && turns.available_permits() == 0 {
                    return Poll::Ready(None);
                }
                let polled =
                    group.poll_receive(|| shared.now(), demand, &mut waiter.place, context);
                super::writer::start_if_needed(shared, &mut group);
                if polled.is_ready() {
                    coop.made_progress();
                } else if turn.is_none() {
                    turn = turns.try_acquire().ok();
                    if turn.is_none() {
                        return Poll::Ready(None);
                    }
                }
                polled.map(Some)
            })
            .await;
            if let Some(received) = found {
                return received;
            }
            let acquired = turns.acquire().await;
            turn = Some(acquired.expect("the semaphore is never closed"));
        }
    }
}
