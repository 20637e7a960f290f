//! Messages as a `Stream` and a `Sink`.

use super::Connection;
use super::waiters::Place;
use crate::error::{ReceiveError, SendError};
use crate::receipt::Receipt;
use futures_core::Stream;
use futures_sink::Sink;
use portway_core::message::{Message, ReceivedMessage};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

impl Connection {
    /// The messages that are received, until the peer sends nothing more.
    pub fn messages(&self) -> Messages {
        Messages {
            connection: self.clone(),
            next: None,
            is_ended: false,
        }
    }

    /// A sink for messages, for adaptors that want one. Receipts are not seen; an error of a
    /// message that was accepted shows at the next call.
    pub fn sink(&self) -> MessageSink {
        MessageSink {
            connection: self.clone(),
            waiting: None,
            last: None,
            closing: None,
            place: Place::default(),
        }
    }
}

type Receiving = Pin<Box<dyn Future<Output = Result<ReceivedMessage, ReceiveError>> + Send>>;

/// The messages of a connection. Ends after the last one, or after the first error.
pub struct Messages {
    connection: Connection,
    next: Option<Receiving>,
    is_ended: bool,
}

impl Messages {
    /// The next message; `None` when the peer sends nothing more.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<ReceivedMessage, ReceiveError>> {
        if self.is_ended {
            return None;
        }
        // A wait that `poll_next` left behind would keep the turn from every other receive.
        self.next = None;
        let received = self.connection.receive().await;
        self.after(received)
    }
}

impl Messages {
    fn after(
        &mut self,
        received: Result<ReceivedMessage, ReceiveError>,
    ) -> Option<Result<ReceivedMessage, ReceiveError>> {
        self.is_ended = received.is_err();
        match received {
            Err(ReceiveError::Finished) => None,
            other => Some(other),
        }
    }
}

impl Stream for Messages {
    type Item = Result<ReceivedMessage, ReceiveError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let connection = self.connection.clone();
        let next = self
            .next
            .get_or_insert_with(|| Box::pin(async move { connection.receive().await }));
        let received = std::task::ready!(next.as_mut().poll(context));
        self.next = None;
        Poll::Ready(self.after(received))
    }
}

type Closing = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send>>;

/// Sends messages; flushing waits until the system has taken them.
pub struct MessageSink {
    connection: Connection,
    waiting: Option<Message>,
    last: Option<Receipt>,
    closing: Option<Closing>,
    place: Place,
}

impl Drop for MessageSink {
    fn drop(&mut self) {
        self.place.leave(self.connection.shared());
    }
}

impl Sink<Message> for MessageSink {
    type Error = SendError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        if self.waiting.is_none() {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        let shared = this.connection.shared();
        let sent = super::send::poll_send(shared, &mut this.place, &mut this.waiting, context);
        this.last = Some(std::task::ready!(sent)?);
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        self.waiting = Some(message);
        Ok(())
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        std::task::ready!(self.as_mut().poll_ready(context))?;
        Receipt::poll_last(&mut self.last, context)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        if self.closing.is_none() {
            std::task::ready!(self.as_mut().poll_flush(context))?;
            let connection = self.connection.clone();
            self.closing = Some(Box::pin(async move {
                connection
                    .close()
                    .await
                    .map_err(|error| SendError::Failed(error.failure()))
            }));
        }
        let closing = self.closing.as_mut().expect("set above");
        let closed = std::task::ready!(closing.as_mut().poll(context));
        // Asked once more, a finished future would panic; the connection tells its end again.
        self.closing = None;
        Poll::Ready(closed)
    }
}
