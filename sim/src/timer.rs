//! Timers on the virtual clock.
//!
//! Invariant: an armed timer that has been polled has exactly one event in the queue, and a
//! dropped one has none.

use crate::events::{Event, EventKey};
use crate::state::Shared;
use portway_core::Time;
use portway_transport::environment::Timer;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A timer of a simulated host.
pub(crate) struct SimTimer {
    shared: Arc<Shared>,
    deadline: Option<Time>,
    queued: Option<EventKey>,
}

impl SimTimer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        SimTimer {
            shared,
            deadline: None,
            queued: None,
        }
    }

    fn unqueue(&mut self) {
        if let Some(key) = self.queued.take() {
            drop(self.shared.with(|state| state.events.remove(key)));
        }
    }
}

impl Timer for SimTimer {
    fn reset(&mut self, deadline: Option<Time>) {
        self.unqueue();
        self.deadline = deadline;
    }

    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let queued = self.queued;
        let key = self.shared.with(|state| {
            if state.now >= deadline {
                return None;
            }
            match queued {
                Some(key) if state.events.set_waker(key, context.waker()) => Some(key),
                _ => {
                    let event = Event::Wake(context.waker().clone());
                    Some(state.events.insert(deadline, event))
                }
            }
        });
        match key {
            Some(_) => {
                self.queued = key;
                Poll::Pending
            }
            None => {
                self.unqueue();
                self.deadline = None;
                Poll::Ready(())
            }
        }
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        self.unqueue();
    }
}
