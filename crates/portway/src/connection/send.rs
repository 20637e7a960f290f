//! Sending messages (RFC 9622 §9.2).

use super::Connection;
use super::group::Group;
use super::shared::Shared;
use super::writer;
use crate::error::SendError;
use crate::receipt::Receipt;
use portway_core::message::Message;
use portway_core::send_queue::Reservation;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

impl Connection {
    /// Sends a message. Ready when the message is accepted: it is then sent in order unless its
    /// lifetime ends first, and the receipt tells what became of it.
    ///
    /// Waits while the bounds of [`ConnectionLimits`](crate::ConnectionLimits) are reached.
    ///
    /// Cancel safety: a message that was not accepted is dropped with the future, and nothing of
    /// it was sent. To keep it, use [`Connection::reserve`] first.
    ///
    /// # Errors
    /// The message was not accepted and has no receipt.
    pub async fn send(&self, message: impl Into<Message>) -> Result<Receipt, SendError> {
        let mut message = Some(message.into());
        poll_fn(|context| poll_send(self.shared(), &mut message, context)).await
    }

    /// Sends a message if it is accepted at once.
    ///
    /// # Errors
    /// The message was not accepted; `Err(None)` when there is no room for it now.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Receipt, Option<SendError>> {
        let mut message = Some(message.into());
        let shared = self.shared();
        let mut group = shared.lock();
        let result = group.send(|| shared.now(), &mut message);
        writer::start_if_needed(shared, &mut group);
        result.ok_or(None)?.map_err(Some)
    }

    /// Waits for room for one message of `bytes` and sets it aside.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The connection takes no more messages.
    pub async fn reserve(&self, bytes: usize) -> Result<SendPermit, SendError> {
        let shared = self.shared();
        let reservation = poll_fn(|context| {
            let mut group = shared.lock();
            group.check_open()?;
            match group.outbound.queue.reserve(bytes) {
                Some(reservation) => Poll::Ready(Ok::<_, SendError>(reservation)),
                None => {
                    group.wait(context.waker());
                    Poll::Pending
                }
            }
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
    /// The message was not accepted; `Err(None)` when it is longer than what was reserved and
    /// there is no room.
    pub fn send(mut self, message: impl Into<Message>) -> Result<Receipt, Option<SendError>> {
        let mut message = Some(message.into());
        let shared = self.connection.shared();
        let mut group = shared.lock();
        if let Some(reservation) = self.reservation.take() {
            group.outbound.queue.release(reservation);
        }
        let result = group.send(|| shared.now(), &mut message);
        // A shorter message leaves room for others.
        group.wake_waiters();
        writer::start_if_needed(shared, &mut group);
        result.ok_or(None)?.map_err(Some)
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

pub(super) fn poll_send(
    shared: &Arc<Shared>,
    message: &mut Option<Message>,
    context: &mut Context<'_>,
) -> Poll<Result<Receipt, SendError>> {
    let mut group = shared.lock();
    poll_send_locked(shared, &mut group, message, context)
}

fn poll_send_locked(
    shared: &Arc<Shared>,
    group: &mut Group,
    message: &mut Option<Message>,
    context: &mut Context<'_>,
) -> Poll<Result<Receipt, SendError>> {
    match group.send(|| shared.now(), message) {
        Some(result) => {
            writer::start_if_needed(shared, group);
            Poll::Ready(result)
        }
        None => {
            group.wait(context.waker());
            Poll::Pending
        }
    }
}
