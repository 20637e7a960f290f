//! Batched sends (RFC 9622 §9.2.4): many messages, few system calls.

use super::Connection;
use super::group::Sending;
use super::waiters::{Patience, Waiter};
use super::writer;
use crate::error::SendError;
use crate::receipt::Receipt;
use portway_core::message::Message;
use std::future::poll_fn;
use std::task::Poll;

impl Connection {
    /// Sends several messages with as few system calls as possible, in order.
    ///
    /// Cancel safety: the messages that were accepted before the future is dropped are sent;
    /// the others are not.
    ///
    /// # Errors
    /// The first message that was not accepted; those before it are sent all the same.
    pub async fn send_batch<M: Into<Message>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<Vec<Receipt>, SendError> {
        let mut batch = self.batch();
        let mut receipts = Vec::new();
        for message in messages {
            receipts.push(batch.send(message).await?);
        }
        batch.flush();
        Ok(receipts)
    }

    /// Starts a batch: what is sent through it leaves together when it is flushed or dropped, or
    /// earlier when the queue is full.
    pub fn batch(&self) -> Batch {
        Batch {
            connection: self.clone(),
        }
    }
}

/// Messages that leave together.
pub struct Batch {
    connection: Connection,
}

impl Batch {
    /// Adds a message. Waits while the queue is full, after letting go what is in it.
    ///
    /// Cancel safety: as [`Connection::send`].
    ///
    /// # Errors
    /// The message was not accepted.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<Receipt, SendError> {
        let mut message = Some(message.into());
        let shared = self.connection.shared();
        let mut waiter = Waiter::of(shared);
        let place = &mut waiter.place;
        poll_fn(|context| {
            let mut group = shared.lock();
            let is_held = group.hold();
            let sent = group.send_in_turn(place, || shared.now(), &mut message);
            if is_held {
                group.sending = Sending::Open;
            }
            match sent {
                Some(result) => Poll::Ready(result),
                None => {
                    group.pump(shared.now());
                    writer::start_if_needed(shared, &mut group);
                    match group.send_in_turn(place, || shared.now(), &mut message) {
                        Some(result) => Poll::Ready(result),
                        None => {
                            group.queue_up(place, Patience::Lasting, context.waker());
                            Poll::Pending
                        }
                    }
                }
            }
        })
        .await
    }

    /// Lets everything go.
    pub fn flush(&mut self) {
        let shared = self.connection.shared();
        let mut group = shared.lock();
        group.pump(shared.now());
        writer::start_if_needed(shared, &mut group);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.flush();
    }
}
