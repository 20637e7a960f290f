//! A connection whose handshake is under way.
//!
//! Invariant: dropping it abandons the connection at once, early data included.

use super::{Connection, Phase};
use crate::quic::ConnectionError;
use crate::quic::waiting::Place;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A connection whose handshake is under way. It resolves when the handshake has ended.
#[must_use = "dropping it abandons the connection"]
pub struct Connecting {
    connection: Option<Connection>,
    place: Place,
}

impl Connecting {
    pub(in crate::quic) fn new(connection: Connection) -> Self {
        Connecting {
            connection: Some(connection),
            place: None,
        }
    }

    /// The connection as it is now, for what can be asked before the handshake has ended.
    pub(crate) fn connection(&self) -> Option<Connection> {
        self.connection.clone()
    }

    /// Ready when the peer has answered with any packet, or the handshake has ended. Only the
    /// last waker is kept.
    pub fn poll_answered(&self, context: &mut Context<'_>) -> Poll<()> {
        match &self.connection {
            Some(connection) => connection.poll_answered(context),
            None => Poll::Ready(()),
        }
    }

    /// The connection for early data, when a ticket of an earlier connection allows that. What is
    /// sent before the handshake ends may be replayed by an attacker, and it is lost when the
    /// server does not take it: then its streams fail with
    /// [`StreamError::EarlyDataRejected`](crate::quic::StreamError::EarlyDataRejected).
    ///
    /// # Errors
    /// `self`, when there is no ticket.
    pub fn into_early(mut self) -> Result<Connection, Connecting> {
        let connection = self.connection.take();
        match connection {
            Some(connection) if connection.may_send_early_data() => Ok(connection),
            connection => {
                self.connection = connection;
                Err(self)
            }
        }
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            let now = connection.shared().endpoint.clock.now();
            connection
                .shared()
                .act_and_wake(|state, wakers| state.close_by_default(now, wakers));
        }
    }
}

impl Future for Connecting {
    type Output = Result<Connection, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let connection = this
            .connection
            .as_ref()
            .expect("a future is not polled again after it was ready");
        let place = &mut this.place;
        let phase = connection.shared().act(|state| {
            if state.phase == Phase::Handshaking {
                state.lifecycle.keep(place, context.waker());
            }
            state.phase.clone()
        });
        match phase {
            Phase::Handshaking => Poll::Pending,
            Phase::Closed(error) => {
                this.connection = None;
                Poll::Ready(Err(error))
            }
            Phase::Established => {
                let connection = this.connection.take();
                Poll::Ready(Ok(connection.expect("it was there a moment ago")))
            }
        }
    }
}

impl std::fmt::Debug for Connecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}
