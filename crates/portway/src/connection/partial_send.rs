//! Partial sends (RFC 9622 §9.2.3): a message whose bytes come one part after the other.

use super::Connection;
use super::group::{Ending, Group};
use super::outbound::{ONLY, refused};
use super::waiters::{Patience, Place, Waiter};
use super::writer;
use crate::error::SendError;
use crate::receipt::Receipt;
use portway_core::Time;
use portway_core::message::{Chunks, Message, MessageContext};
use portway_core::send_queue::{
    Aborted, EndOfMessage, OpenMessage, QueueError, dropped_in_mid_message,
};
use std::future::poll_fn;
use std::task::Poll;

impl Connection {
    /// Begins a message that is sent in parts. `length` is that of the whole message, where it is
    /// known; a framer that needs it otherwise makes the parts wait for the last one.
    pub fn begin(&self, context: MessageContext, length: Option<u64>) -> PartialSend {
        PartialSend {
            connection: self.clone(),
            context: Some(context),
            length,
            open: None,
        }
    }
}

/// A message that is being sent in parts.
///
/// Dropping it before [`PartialSend::finish`] takes the message back if nothing of it was sent,
/// and resets the connection otherwise: it never looks like the end of the message, unless all of
/// an announced length was sent before.
#[must_use = "a dropped partial send resets the connection"]
pub struct PartialSend {
    connection: Connection,
    /// Present until the first part is accepted.
    context: Option<MessageContext>,
    length: Option<u64>,
    open: Option<OpenMessage>,
}

impl PartialSend {
    /// Sends the next part; more follow.
    ///
    /// Cancel safety: a part that was not accepted is dropped with the future.
    ///
    /// # Errors
    /// The part was not accepted.
    pub async fn send(&mut self, part: impl Into<Chunks>) -> Result<Receipt, SendError> {
        self.add(part.into(), EndOfMessage::No).await
    }

    /// Sends the last part.
    ///
    /// Cancel safety: not cancel-safe; dropping the future drops the message.
    ///
    /// # Errors
    /// The part was not accepted, and the message is dropped.
    pub async fn finish(mut self, part: impl Into<Chunks>) -> Result<Receipt, SendError> {
        self.add(part.into(), EndOfMessage::Yes).await
    }

    async fn add(&mut self, part: Chunks, end: EndOfMessage) -> Result<Receipt, SendError> {
        let connection = self.connection.clone();
        let shared = connection.shared();
        let mut waiter = Waiter::of(shared);
        let place = &mut waiter.place;
        let mut part = Some(part);
        poll_fn(|context| {
            let mut group = shared.lock();
            let now = shared.now();
            let mut added = self.add_in_turn(&mut group, place, now, &mut part, end);
            if added.is_none() {
                // What a batch holds back may make room.
                group.pump(now);
                added = self.add_in_turn(&mut group, place, now, &mut part, end);
            }
            let polled = match added {
                Some(result) => {
                    group.pump(now);
                    group.leave(place);
                    Poll::Ready(result)
                }
                None if self.open.is_some() => {
                    group.wait(place, context.waker());
                    Poll::Pending
                }
                None => {
                    group.queue_up(place, Patience::Lasting, context.waker());
                    Poll::Pending
                }
            };
            writer::start_if_needed(shared, &mut group);
            polled
        })
        .await
    }

    /// As [`PartialSend::try_add`]; a message begins after those that came before, and its parts
    /// wait for nobody.
    fn add_in_turn(
        &mut self,
        group: &mut Group,
        place: &Place,
        now: Time,
        part: &mut Option<Chunks>,
        end: EndOfMessage,
    ) -> Option<Result<Receipt, SendError>> {
        if self.open.is_none() && !group.is_turn(place) {
            return group.check_open().err().map(Err);
        }
        self.try_add(group, now, part, end)
    }

    /// `None` when there is no room, and then the part is still there.
    fn try_add(
        &mut self,
        group: &mut Group,
        now: Time,
        part: &mut Option<Chunks>,
        end: EndOfMessage,
    ) -> Option<Result<Receipt, SendError>> {
        if self.open.is_none()
            && let Err(error) = group.check_open()
        {
            return Some(Err(error));
        }
        let (receipt, cell) = Receipt::waiting();
        let data = part.take()?;
        let accepted = match self.open {
            Some(open) => group
                .outbound
                .queue
                .append(open, data.clone(), end, cell)
                .map(|_| Some(open)),
            None => {
                let context = self.context.clone().unwrap_or_default();
                let mut message = Some(Message::new(data.clone()).with_context(context));
                if let Err(error) = group.check(&mut message) {
                    return Some(Err(error));
                }
                let message = message?;
                match end {
                    EndOfMessage::Yes => group
                        .outbound
                        .queue
                        .push(now, ONLY, message, cell)
                        .map(|_| None),
                    EndOfMessage::No => group
                        .outbound
                        .queue
                        .begin(now, ONLY, message, self.length, cell)
                        .map(|(open, _)| Some(open)),
                }
            }
        };
        match accepted {
            Ok(open) => {
                self.open = open.filter(|_| end == EndOfMessage::No);
                Some(Ok(receipt))
            }
            Err(QueueError::Full { .. }) => {
                *part = Some(data);
                None
            }
            Err(error) => Some(Err(match group.check_open() {
                Err(closed) => closed,
                Ok(()) => refused(error),
            })),
        }
    }
}

impl Drop for PartialSend {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let shared = self.connection.shared();
        let mut group = shared.lock();
        let failure = dropped_in_mid_message();
        if group.outbound.queue.abort(open, &failure) == Aborted::StreamBroken {
            group.reset();
            group.end(Ending::Failed(failure));
        } else {
            // What waited behind the message is next.
            group.pump(shared.now());
            group.outbound.complete();
            group.wake_waiters();
            writer::start_if_needed(shared, &mut group);
        }
    }
}
