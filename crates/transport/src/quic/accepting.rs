//! Connections that wait to be accepted by the application.
//!
//! Invariant: the queue holds at most what the server's backlog allows, since the driver starts no
//! handshake beyond it; failures are kept up to a bound of their own.

use super::ConnectionError;
use super::connection::Connection;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

/// A handshake that failed on the accepting side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the handshake with {remote} failed: {cause}")]
#[non_exhaustive]
pub struct AcceptError {
    /// The client.
    pub remote: SocketAddr,
    /// Why it failed.
    pub cause: ConnectionError,
}

/// The connections and failures that wait.
#[derive(Default)]
pub(super) struct AcceptQueue {
    waiting: VecDeque<Result<Connection, AcceptError>>,
    failures: usize,
    is_closed: bool,
    wakers: Vec<Waker>,
}

impl AcceptQueue {
    /// Adds a connection; hands it back when nobody will ever accept it.
    pub(super) fn push(
        &mut self,
        connection: Connection,
        wakers: &mut Vec<Waker>,
    ) -> Option<Connection> {
        if self.is_closed {
            return Some(connection);
        }
        self.waiting.push_back(Ok(connection));
        wakers.append(&mut self.wakers);
        None
    }

    /// Adds a failure. The oldest are not kept when nobody takes them.
    pub(super) fn push_failure(&mut self, error: AcceptError, wakers: &mut Vec<Waker>) {
        if self.is_closed || self.failures == FAILURES_MAX {
            return;
        }
        self.failures += 1;
        self.waiting.push_back(Err(error));
        wakers.append(&mut self.wakers);
    }

    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Connection, AcceptError>>> {
        if let Some(next) = self.waiting.pop_front() {
            self.failures -= usize::from(next.is_err());
            return Poll::Ready(Some(next));
        }
        if self.is_closed {
            return Poll::Ready(None);
        }
        if !self
            .wakers
            .iter()
            .any(|waker| waker.will_wake(context.waker()))
        {
            if self.wakers.len() == WAKERS_MAX {
                self.wakers.remove(0).wake();
            }
            self.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Takes no more and returns what nobody has accepted.
    pub(super) fn close(
        &mut self,
        wakers: &mut Vec<Waker>,
    ) -> VecDeque<Result<Connection, AcceptError>> {
        self.is_closed = true;
        self.failures = 0;
        wakers.append(&mut self.wakers);
        std::mem::take(&mut self.waiting)
    }
}

/// Failures that are kept for the application.
const FAILURES_MAX: usize = 64;
/// Tasks that may wait; one more wakes the first, which then takes its place anew.
const WAKERS_MAX: usize = 16;
