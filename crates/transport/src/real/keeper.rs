//! Timers that hardly ever expire, kept by one thread for the whole process.
//!
//! Invariant: a waker is woken no earlier than its time, some milliseconds later at most, and once;
//! none of them is woken or dropped under the lock. Why there is a thread: decision 0016.

use crate::environment::Timer;
use portway_core::Time;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Whom the thread wakes, and when.
struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    wakers: BTreeMap<Key, Waker>,
    next_id: u64,
    /// Until when the thread sleeps; for ever without a time.
    sleeps_until: Option<Instant>,
}

/// The time is first, so that the first key is the next one.
type Key = (Instant, u64);

/// A timer of the thread's; none where it cannot be started.
pub(super) fn timer(origin: Instant) -> Option<Box<dyn Timer>> {
    static RUNS: OnceLock<bool> = OnceLock::new();
    let runs = *RUNS.get_or_init(|| {
        let thread = Builder::new().name("portway-timers".to_owned());
        thread.spawn(|| KEEPER.run()).is_ok()
    });
    let timer = KeptTimer {
        origin,
        deadline: None,
        key: None,
    };
    runs.then(|| Box::new(timer) as Box<dyn Timer>)
}

static KEEPER: Keeper = Keeper {
    state: Mutex::new(State {
        wakers: BTreeMap::new(),
        next_id: 0,
        sleeps_until: None,
    }),
    changed: Condvar::new(),
};

impl Keeper {
    fn run(&self) {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let due = state.take_due(now);
            if !due.is_empty() {
                drop(state);
                for waker in due {
                    // Whose waker panics is nobody else's concern.
                    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
                }
                state = self.state();
                continue;
            }
            // Those who come close to each other are woken together.
            let first = state.wakers.keys().next();
            let rest = first.map(|(at, _)| at.saturating_duration_since(now).max(GRAIN));
            state.sleeps_until = rest.map(|rest| now + rest);
            state = match rest {
                None => unpoisoned(self.changed.wait(state)),
                Some(rest) => unpoisoned(self.changed.wait_timeout(state, rest)).0,
            };
        }
    }

    /// Wakes at this time, or at that of the key, if that is earlier: who is woken then asks again.
    fn keep(&self, key: &mut Option<Key>, deadline: Instant, waker: &Waker) {
        let waker = waker.clone();
        let mut state = self.state();
        let kept = key.filter(|key| key.0 <= deadline);
        let before = match kept.and_then(|key| state.wakers.get_mut(&key)) {
            Some(place) => Some(std::mem::replace(place, waker)),
            None => {
                let before = key.and_then(|key| state.wakers.remove(&key));
                *key = Some(state.insert(deadline, waker));
                if state.sleeps_until.is_none_or(|until| deadline < until) {
                    state.sleeps_until = Some(deadline);
                    self.changed.notify_one();
                }
                before
            }
        };
        drop(state);
        drop(before);
    }

    fn give_up(&self, key: &mut Option<Key>) {
        if let Some(key) = key.take() {
            let waker = self.state().wakers.remove(&key);
            drop(waker);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }
}

impl State {
    fn insert(&mut self, deadline: Instant, waker: Waker) -> Key {
        let key = (deadline, self.next_id);
        self.next_id += 1;
        self.wakers.insert(key, waker);
        key
    }

    fn take_due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(first) = self.wakers.first_entry().filter(|it| it.key().0 <= now) {
            due.push(first.remove());
        }
        due
    }
}

/// Nothing panics under the lock.
fn unpoisoned<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

struct KeptTimer {
    origin: Instant,
    /// When to expire; `None` while not armed or when the time is too far for the clock.
    deadline: Option<Instant>,
    /// Where its waker is, unless it was woken.
    key: Option<Key>,
}

impl Timer for KeptTimer {
    fn reset(&mut self, deadline: Option<Time>) {
        self.deadline = deadline.and_then(|time| self.origin.checked_add(time.since_origin()));
    }

    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        if Instant::now() < deadline {
            KEEPER.keep(&mut self.key, deadline, context.waker());
            return Poll::Pending;
        }
        self.deadline = None;
        KEEPER.give_up(&mut self.key);
        Poll::Ready(())
    }
}

impl Drop for KeptTimer {
    fn drop(&mut self) {
        KEEPER.give_up(&mut self.key);
    }
}

/// The thread wakes no more often.
const GRAIN: Duration = Duration::from_millis(5);
