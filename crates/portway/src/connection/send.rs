//! Sending messages (RFC 9622 §9.2).

use super::Connection;
use super::shared::Shared;
use super::waiters::{Patience, Place, Waiter};
use super::writer;
use crate::error::{SendError, TrySendError};
use crate::receipt::Receipt;
use portway_core::message::Message;
use portway_core::send_queue::Reservation;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};

impl Connection {
    /// Sends a message. Ready when the message is accepted: it is then sent in order, or by its
    /// priority if it gave up its order, unless its lifetime ends first; the receipt tells what
    /// became of it. Waiting makes no message more urgent: as long as more urgent ones that gave up
    /// their order keep coming, others may wait.
    ///
    /// Waits while the bounds of [`ConnectionLimits`](crate::ConnectionLimits) are reached; those
    /// that wait are served in the order of their calls.
    ///
    /// Cancel safety: a message that was not accepted is dropped with the future, and nothing of
    /// it was sent. To keep it, use [`Connection::reserve`] first.
    ///
    /// # Errors
    /// The message was not accepted and has no receipt.
    pub fn send(
        &self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<Receipt, SendError>> {
        // Most sends wait for nothing. So the message is kept as it came, and what waiting takes
        // is in a box: a small future costs little to move.
        let shared = self.shared();
        let (mut fresh, mut waiting) = (Some(message), None);
        poll_fn(move |context| {
            if let Some(message) = fresh.take() {
                let message = message.into();
                if let Some(sent) = shared.send_at_once(&message) {
                    return Poll::Ready(sent);
                }
                let mut message = Some(message);
                if let Some(sent) = shared.send_in_turn(&mut message) {
                    return Poll::Ready(sent);
                }
                let message = message.take().expect("what was not sent is still there");
                waiting = Some(Box::pin(shared.send_when_possible(message)));
            }
            let waiting = waiting.as_mut().expect("a send that is done is not polled");
            waiting.as_mut().poll(context)
        })
    }

    /// Sends a message if it is accepted at once.
    ///
    /// # Errors
    /// The message was not accepted: there is no room for it now, or somebody waits for some, or
    /// it was refused. It comes back with the error.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Receipt, TrySendError> {
        let message = message.into();
        let shared = self.shared();
        if let Some(sent) = shared.send_at_once(&message) {
            return TrySendError::unless_sent(Some(sent), None);
        }
        let mut message = Some(message);
        let sent = shared.send_in_turn(&mut message);
        TrySendError::unless_sent(sent, message)
    }

    /// Waits for room for one message of `bytes` and sets it aside. Those that wait for room are
    /// served in the order of their calls.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The connection takes no more messages.
    pub async fn reserve(&self, bytes: usize) -> Result<SendPermit, SendError> {
        let shared = self.shared();
        let mut waiter = Waiter::of(shared);
        let place = &mut waiter.place;
        let reservation = poll_fn(|context| {
            let mut group = shared.lock();
            if let Err(error) = group.check_open() {
                group.leave(place);
                return Poll::Ready(Err(error));
            }
            let is_turn = group.is_turn(place);
            let reserved = is_turn.then(|| group.outbound.queue.reserve(bytes));
            if let Some(reservation) = reserved.flatten() {
                group.leave(place);
                return Poll::Ready(Ok(reservation));
            }
            group.queue_up(place, Patience::Lasting, context.waker());
            Poll::Pending
        })
        .await?;
        Ok(SendPermit {
            connection: self.clone(),
            reservation: Some(reservation),
        })
    }

    /// Accepts the first message of `InitiateWithSend` before the race starts.
    pub(crate) fn enqueue_first(&self, message: Message) -> Result<(), SendError> {
        let shared = self.shared();
        match shared.lock().send(|| shared.now(), &mut Some(message)) {
            Some(result) => result.map(drop),
            None => unreachable!("an empty queue has room for one message"),
        }
    }
}

/// Room for one message, which nobody else can take.
#[must_use = "room stays set aside until the permit is dropped"]
pub struct SendPermit {
    connection: Connection,
    reservation: Option<Reservation>,
}

impl SendPermit {
    /// Sends the message that room was set aside for. A longer one needs more room and is
    /// accepted only if there is some.
    ///
    /// # Errors
    /// The message was not accepted: it is longer than what was reserved and there is no room,
    /// or it was refused. It comes back with the error.
    pub fn send(mut self, message: impl Into<Message>) -> Result<Receipt, TrySendError> {
        let mut message = Some(message.into());
        let shared = self.connection.shared();
        let mut group = shared.lock();
        if let Some(reservation) = self.reservation.take() {
            group.outbound.queue.release(reservation);
        }
        let sent = group.send(|| shared.now(), &mut message);
        // A shorter message leaves room for others.
        group.wake_waiters();
        writer::start_if_needed(shared, &mut group);
        TrySendError::unless_sent(sent, message)
    }
}

impl Drop for SendPermit {
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            let mut group = self.connection.shared().lock();
            group.outbound.queue.release(reservation);
            group.wake_waiters();
        }
    }
}

impl Shared {
    /// Sends a message unless it has to wait; then it is still there.
    fn send_in_turn(
        self: &Arc<Self>,
        message: &mut Option<Message>,
    ) -> Option<Result<Receipt, SendError>> {
        let mut group = self.lock();
        let sent = group.send_in_turn(&mut Place::default(), || self.now(), message);
        writer::start_if_needed(self, &mut group);
        sent
    }

    /// Sends a message that may have to wait.
    async fn send_when_possible(self: &Arc<Self>, message: Message) -> Result<Receipt, SendError> {
        let mut message = Some(message);
        let mut waiter = Waiter::of(self);
        poll_fn(|context| {
            let place = &mut waiter.place;
            poll_in_turn(self, place, Patience::Lasting, &mut message, context)
        })
        .await
    }
}

/// Sends for a `poll` function, which may never be called again.
pub(super) fn poll_send(
    shared: &Arc<Shared>,
    place: &mut Place,
    message: &mut Option<Message>,
    context: &mut Context<'_>,
) -> Poll<Result<Receipt, SendError>> {
    poll_in_turn(shared, place, Patience::Fleeting, message, context)
}

fn poll_in_turn(
    shared: &Arc<Shared>,
    place: &mut Place,
    patience: Patience,
    message: &mut Option<Message>,
    context: &mut Context<'_>,
) -> Poll<Result<Receipt, SendError>> {
    let mut group = shared.lock();
    match group.send_in_turn(place, || shared.now(), message) {
        Some(result) => {
            writer::start_if_needed(shared, &mut group);
            Poll::Ready(result)
        }
        None => {
            group.queue_up(place, patience, context.waker());
            Poll::Pending
        }
    }
}
