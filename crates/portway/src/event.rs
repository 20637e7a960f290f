//! Events that nobody asked for: waiting, ready, soft errors, the end.
//!
//! An action's own completion is its future and never an event. Nothing follows `Closed` or
//! `ConnectionError` (RFC 9622 §11).

use futures_core::Stream;
use portway_core::Failure;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// Something that happened to a connection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// Establishment waits, with the reason, such as a missing route.
    Waiting(String),
    /// A decision of the race, as the race told it.
    Race(portway_core::race::Event),
    /// Messages flow from now on.
    Ready,
    /// The connection is no longer in its group, since it could not follow a change of a shared
    /// property (the `CloneError` of RFC 9622 §7.4).
    LeftGroup(Failure),
    /// An error that does not end the connection, such as an ICMP message (RFC 9622 §8.3.1).
    SoftError(Failure),
    /// The connection ended in an orderly way. The last event.
    Closed,
    /// The connection failed. The last event.
    ConnectionError(Failure),
    /// The reader was slow: this many events were dropped here.
    Missed(usize),
}

impl ConnectionEvent {
    fn is_last(&self) -> bool {
        matches!(
            self,
            ConnectionEvent::Closed | ConnectionEvent::ConnectionError(_)
        )
    }
}

/// The events of one connection from the moment of the call on; ends after the last one.
///
/// Holds at most [`Events::CAPACITY`] events; when its reader is slower, the oldest give way to
/// one [`ConnectionEvent::Missed`].
pub struct Events {
    queue: Arc<Queue>,
}

impl Events {
    /// How many events wait for a slow reader.
    pub const CAPACITY: usize = 256;
}

impl Stream for Events {
    type Item = ConnectionEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        let mut state = self.queue.lock();
        if state.missed > 0 {
            return Poll::Ready(Some(ConnectionEvent::Missed(std::mem::take(
                &mut state.missed,
            ))));
        }
        match state.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.is_ended => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Events {
    /// The next event, or `None` after the last one.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<ConnectionEvent> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    events: VecDeque<ConnectionEvent>,
    missed: usize,
    is_ended: bool,
    waker: Option<Waker>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: ConnectionEvent) {
        let waker = {
            let mut state = self.lock();
            if state.is_ended {
                return;
            }
            if state.events.len() == Events::CAPACITY {
                state.events.pop_front();
                state.missed += 1;
            }
            state.is_ended = event.is_last();
            state.events.push_back(event);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn end(&self) {
        let waker = {
            let mut state = self.lock();
            state.is_ended = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Where a connection leaves its events. Costs nothing until somebody listens.
#[derive(Default)]
pub(crate) struct EventHub {
    queues: Vec<Weak<Queue>>,
    last: Option<Box<ConnectionEvent>>,
}

impl EventHub {
    /// A new reader. A connection that has ended tells its end once more.
    pub(crate) fn subscribe(&mut self) -> Events {
        let queue = Arc::new(Queue::default());
        if let Some(last) = &self.last {
            queue.push((**last).clone());
        }
        self.queues.retain(|queue| queue.strong_count() > 0);
        self.queues.push(Arc::downgrade(&queue));
        Events { queue }
    }

    pub(crate) fn has_listeners(&self) -> bool {
        self.queues.iter().any(|queue| queue.strong_count() > 0)
    }

    pub(crate) fn emit(&mut self, event: ConnectionEvent) {
        if self.last.is_some() {
            return;
        }
        if event.is_last() {
            self.last = Some(Box::new(event.clone()));
        }
        for queue in self.queues.iter().filter_map(Weak::upgrade) {
            queue.push(event.clone());
        }
    }
}

impl Drop for EventHub {
    fn drop(&mut self) {
        for queue in self.queues.iter().filter_map(Weak::upgrade) {
            queue.end();
        }
    }
}
