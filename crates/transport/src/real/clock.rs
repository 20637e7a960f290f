//! The clock and timers of the real environment, on tokio's time.
//!
//! Invariant: a timer wakes its task no earlier than its deadline, and at most once per arming.

use super::{exact, keeper, system};
use crate::environment::Timer;
use portway_core::Time;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The clock; its origin is the environment's creation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: Instant,
    /// What the system's monotonic clocks said then; `None` where there are none.
    system_origin: Option<Duration>,
    /// The runtime's clock is the system's: not one that a test has paused, on which neither the
    /// coarse clock nor the thread of patient timers looks.
    is_systems: bool,
}

impl Clock {
    pub(super) fn start() -> Self {
        let before = std::time::Instant::now();
        // Before the coarse one, whose times then never seem to be later.
        let origin = Instant::now();
        let is_systems = (before..=std::time::Instant::now()).contains(&origin.into_std());
        let system_origin = system::monotonic_time(system::Precision::Full);
        Clock {
            origin,
            system_origin: system_origin.filter(|_| is_systems),
            is_systems,
        }
    }

    pub(super) fn now(self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    /// As [`Clock::now`], some milliseconds ago at most.
    pub(super) fn recently(self) -> Time {
        let coarse = system::monotonic_time(system::Precision::Coarse);
        match (coarse, self.system_origin) {
            (Some(coarse), Some(origin)) => Time::from_origin(coarse.saturating_sub(origin)),
            _ => self.now(),
        }
    }

    /// A timer that may be late by some milliseconds and is none of the runtime's.
    pub(super) fn patient_timer(self) -> Box<dyn Timer> {
        let kept = self.is_systems.then(|| self.origin.into_std());
        kept.and_then(keeper::timer).unwrap_or_else(|| self.timer())
    }

    /// A timer of the system's own.
    pub(super) fn exact_timer(self) -> Box<dyn Timer> {
        let exact = self.system_origin.and_then(exact::timer);
        exact.unwrap_or_else(|| self.timer())
    }

    pub(super) fn timer(self) -> Box<dyn Timer> {
        Box::new(RealTimer {
            origin: self.origin,
            deadline: None,
            sleep: None,
            waker: None,
        })
    }
}

/// A timer on one tokio sleep, which is made when the timer is first armed.
struct RealTimer {
    origin: Instant,
    /// When to expire; `None` while not armed or when the time is too far for the clock.
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom the sleep wakes as it is set.
    waker: Option<Waker>,
}

impl Timer for RealTimer {
    fn reset(&mut self, deadline: Option<Time>) {
        self.deadline = deadline.and_then(|time| self.origin.checked_add(time.since_origin()));
        if let (Some(deadline), Some(sleep)) = (self.deadline, &mut self.sleep) {
            // A later deadline leaves the sleep alone: when it ends too early, `poll_expired`
            // sets it again. A timer that is pushed back on every message then costs nothing.
            if deadline < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(deadline);
                self.waker = None;
            }
        }
    }

    fn reset_exactly(&mut self, deadline: Option<Time>) {
        self.reset(deadline);
        let (Some(deadline), Some(sleep)) = (self.deadline, &mut self.sleep) else {
            return;
        };
        if sleep.deadline() < deadline {
            // A sleep that is reset to a later time keeps its place and still wakes the thread.
            sleep.set(tokio::time::sleep_until(deadline));
            self.waker = None;
        }
    }

    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        let waker = context.waker();
        if self.waker.as_ref().is_some_and(|it| it.will_wake(waker)) && !sleep.is_elapsed() {
            // It wakes whoever asks here each time, and nothing has changed.
            return Poll::Pending;
        }
        self.waker = None;
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= deadline {
                self.deadline = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        self.waker = Some(waker.clone());
        Poll::Pending
    }
}
