//! The driver: one task that moves packets between the socket and all connections of an endpoint.
//!
//! Invariant: a connection is locked once a round, and a round's work is bounded for each
//! connection and in total, so none starves another. Wakers run without any lock.

mod core;
mod held;
mod outgoing;
mod patience;
mod sending;
mod serving;
mod slot;
mod timers;

pub(super) use self::core::Core;

use self::core::Round;
use super::connection::ConnectionShared;
use super::endpoint::Shared;
use super::waiting::wake_all;
use crate::environment::Timer;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The endpoint's task.
pub(super) struct Driver {
    shared: Arc<Shared>,
    timer: Box<dyn Timer>,
    listed: Vec<Arc<ConnectionShared>>,
    wakers: Vec<Waker>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Driver {
            timer: shared.environment.exact_timer(),
            shared,
            listed: Vec::new(),
            wakers: Vec::new(),
        }
    }

    /// Works as long as there is something to do, up to a bound.
    fn work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            match self.round() {
                Next::Again => continue,
                Next::Yield => break,
                Next::Wait => {}
            }
            match self.rest(context) {
                Rest::Ended => return Poll::Ready(()),
                Rest::Sleeping => return Poll::Pending,
                Rest::Called => {}
            }
        }
        // Others want to run, too.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Receives, drives whom that concerns, sends and wakes.
    fn round(&mut self) -> Next {
        self.shared.take_listed(&mut self.listed);
        let mut core = self.shared.core();
        let mut round = Round {
            shared: &self.shared,
            now: self.shared.clock.now(),
            wakers: &mut self.wakers,
        };
        let mut next = core.round(&mut round, &mut self.listed);
        let answerable = core.take_answerable();
        drop(core);
        for client in answerable {
            let choice = client
                .question()
                .map(|(client, chooser)| chooser.choose(&client));
            self.shared.core().answer(&mut round, client, choice);
            if next == Next::Wait {
                next = Next::Again;
            }
        }
        wake_all(&mut self.wakers);
        next
    }

    /// Registers for whatever may come next.
    fn rest(&mut self, context: &mut Context<'_>) -> Rest {
        let mut core = self.shared.core();
        if core.is_over() {
            return Rest::Ended;
        }
        let deadline = core.deadline().map(|at| self.shared.clock.time(at));
        self.timer.reset_exactly(deadline);
        let is_due = self.timer.poll_expired(context).is_ready();
        if core.poll_socket(context).is_ready() || is_due {
            return Rest::Called;
        }
        drop(core);
        match self.shared.try_sleep(context) {
            true => Rest::Sleeping,
            false => Rest::Called,
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.work(context)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// What to do after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There is more to do at once.
    Again,
    /// There is more to do when those who were woken have had their turn.
    Yield,
    /// Nothing is left but to wait.
    Wait,
}

/// What came of an attempt to rest.
enum Rest {
    Ended,
    Sleeping,
    Called,
}

/// Rounds before other tasks of the thread get their turn.
const ROUNDS_MAX: usize = 16;
