//! A timer that is a descriptor of its own, which the runtime waits for as for a socket.
//!
//! Invariant: it expires no earlier than its deadline, and the system and the runtime are told only
//! when something changes. Why not the runtime's timers: decision 0020.

use super::system::{Precision, TimerDescriptor, monotonic_time};
use crate::environment::Timer;
use portway_core::Time;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer whose deadlines count from this time of the system's clock; none where the system gives
/// no descriptor for it.
pub(super) fn timer(origin: Duration) -> Option<Box<dyn Timer>> {
    let descriptor = TimerDescriptor::new().ok()?;
    // SAFETY: the timer owns one open descriptor for as long as it lives, and is only lent out by
    // shared reference, which cannot close or replace it.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    let alarm = Arc::new(Alarm {
        has_rung: AtomicBool::new(true),
        task: Mutex::new(None),
    });
    Some(Box::new(ExactTimer {
        origin,
        deadline: None,
        armed: None,
        task: None,
        waker: Waker::from(alarm.clone()),
        alarm,
        watched: watched.ok()?,
    }))
}

struct ExactTimer {
    origin: Duration,
    /// When to expire, by the system's clock; `None` while not armed or when that is too far.
    deadline: Option<Duration>,
    /// What the system was told, unless that has passed.
    armed: Option<Duration>,
    /// Whom the alarm wakes.
    task: Option<Waker>,
    /// The alarm, which the runtime has until it rings.
    waker: Waker,
    alarm: Arc<Alarm>,
    watched: AsyncFd<TimerDescriptor>,
}

/// What the runtime wakes, so that whoever polls again before that costs nothing.
struct Alarm {
    has_rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Alarm {
    fn set_task(&self, task: Option<Waker>) -> Option<Waker> {
        let mut place = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, task)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let mut place = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: whoever sees it then sets the next task, which is not the one taken here.
        self.has_rung.store(true, Ordering::Release);
        let task = place.take();
        drop(place);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl ExactTimer {
    /// Sets the system's timer, and whom it wakes.
    fn arm(&mut self, deadline: Duration, waker: &Waker) {
        if self.armed != Some(deadline) {
            // It can fail for no deadline that the system's clock can have.
            let _ = self.watched.get_ref().set(deadline);
            self.armed = Some(deadline);
        }
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            self.task = Some(waker.clone());
            drop(self.alarm.set_task(Some(waker.clone())));
        }
    }
}

impl Timer for ExactTimer {
    fn reset(&mut self, deadline: Option<Time>) {
        self.deadline = deadline.and_then(|time| self.origin.checked_add(time.since_origin()));
    }

    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        self.arm(deadline, context.waker());
        while self.alarm.has_rung.swap(false, Ordering::Acquire) {
            // The alarm has no task any more.
            self.task = None;
            self.arm(deadline, context.waker());
            let mut waiting = Context::from_waker(&self.waker);
            // What fails here is the runtime, as it ends.
            let Ok(mut guard) = ready!(self.watched.poll_read_ready(&mut waiting)) else {
                return Poll::Pending;
            };
            // Nothing is read: setting it again makes it unreadable.
            guard.clear_ready();
            // The runtime has to be given the alarm again.
            self.alarm.has_rung.store(true, Ordering::Release);
            // What was armed before may have passed meanwhile.
            if monotonic_time(Precision::Full).is_none_or(|now| now >= deadline) {
                (self.deadline, self.armed) = (None, None);
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl Drop for ExactTimer {
    fn drop(&mut self) {
        drop(self.alarm.set_task(None));
    }
}
