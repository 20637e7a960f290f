//! What hyper would have a task for: each request of a connection of HTTP/2.
//!
//! Invariant: each is polled in the turn of its connection, or becomes a task; whoever else is
//! there has its turn after so many of them; what waits ends with the connection.

use super::shard::{BEGUN_IN_A_ROW_MAX, Shard};
use portway_transport::environment::BoxFuture;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

/// What one connection begins. Most of it is ready at once, and needs no task then.
pub(super) struct Begun {
    shard: Arc<Shard>,
    state: Arc<Mutex<State>>,
}

/// Takes what the connection begins. What hyper begins has one of its own, so that it must not
/// keep what waits.
#[derive(Clone)]
pub(super) struct Beginner {
    shard: Arc<Shard>,
    state: Weak<Mutex<State>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<BoxFuture<()>>,
    /// The connection is being polled, and what waits will be after it.
    is_open: bool,
}

impl Begun {
    pub(super) fn new(shard: Arc<Shard>) -> Self {
        Begun {
            shard,
            state: Arc::default(),
        }
    }

    /// Whom hyper gives what it begins.
    pub(super) fn beginner(&self) -> Beginner {
        Beginner {
            shard: Arc::clone(&self.shard),
            state: Arc::downgrade(&self.state),
        }
    }

    /// Polls the connection, then what it has begun: by then it has read all that had come, and
    /// the answers leave together.
    pub(super) fn poll<C: Future>(
        &self,
        connection: Pin<&mut C>,
        context: &mut Context<'_>,
    ) -> Poll<C::Output> {
        self.state().is_open = self.shard.is_alone;
        let polled = connection.poll(context);
        for _ in 0..BEGUN_IN_A_ROW_MAX {
            let Some(begun) = self.next() else {
                return polled;
            };
            self.shard.begin(begun);
        }
        if polled.is_pending() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while let Some(begun) = self.next() {
            self.shard.environment.spawn(begun);
        }
        polled
    }

    fn next(&self) -> Option<BoxFuture<()>> {
        let mut state = self.state();
        state.is_open = false;
        state.waiting.pop_front()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing is run under the lock that could panic.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Beginner {
    fn execute(&self, begun: F) {
        let begun = Box::pin(begun);
        if let Some(state) = self.state.upgrade() {
            let mut state = locked(&state);
            if state.is_open {
                return state.waiting.push_back(begun);
            }
        }
        self.shard.environment.spawn(begun);
    }
}
