//! What a connection is at, as far as its time limits ask.
//!
//! Invariant: a connection is either at work for a request, or in a request's head, or idle, and
//! each of these has an end.

use super::event::End;
use super::options::Times;
use portway_core::Time;
use portway_transport::environment::Environment;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// One connection's meter. It counts as open until the last handle of it is gone.
pub(super) struct Meter {
    environment: Arc<dyn Environment>,
    state: Mutex<State>,
    all: Arc<AtomicUsize>,
    /// Bytes came that may belong to a head. The clock is looked at when no more come: most heads
    /// are complete before.
    may_have_head: AtomicBool,
    /// The connection is to end after what is in flight.
    is_last: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

struct State {
    in_flight: usize,
    has_begun: bool,
    /// Since when no request is in flight.
    quiet_since: Time,
    /// Since when a head is under way.
    head_since: Option<Time>,
    /// Since when the wire takes nothing.
    blocked_since: Option<Time>,
    /// Responses of which a part waits for the client.
    waiting: usize,
    /// When one of them moved last.
    moved: Time,
    /// Why the connection ends, if that is decided.
    end: Option<End>,
}

/// What the time limits say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before then.
    At(Time),
    /// The connection ends.
    End(End),
}

impl Meter {
    pub(super) fn new(
        environment: Arc<dyn Environment>,
        all: Arc<AtomicUsize>,
        permit: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let now = environment.now();
        Arc::new(Meter {
            environment,
            state: Mutex::new(State {
                in_flight: 0,
                has_begun: false,
                quiet_since: now,
                head_since: None,
                blocked_since: None,
                waiting: 0,
                moved: now,
                end: None,
            }),
            all,
            may_have_head: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            _permit: permit,
        })
    }

    pub(super) fn environment(&self) -> &Arc<dyn Environment> {
        &self.environment
    }

    /// A request's head is complete.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.has_begun = true;
        state.head_since = None;
        self.may_have_head.store(false, Ordering::Relaxed);
        drop(state);
        self.all.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Bytes came that may belong to a head, if nothing else is under way.
    pub(super) fn on_read(&self) {
        let state = self.state();
        if state.in_flight == 0 && state.head_since.is_none() {
            self.may_have_head.store(true, Ordering::Relaxed);
        }
    }

    /// No more bytes have come for now, so that a head which has begun is under way.
    pub(super) fn on_silent(&self) {
        if self.may_have_head.load(Ordering::Relaxed) {
            self.may_have_head.store(false, Ordering::Relaxed);
            self.on_head(true);
        }
    }

    /// A head is under way, or none is.
    pub(super) fn on_head(&self, is_open: bool) {
        let mut state = self.state();
        match is_open {
            false => state.head_since = None,
            true if state.head_since.is_none() => state.head_since = Some(self.environment.now()),
            true => {}
        }
    }

    /// The wire took something, or it takes nothing.
    pub(super) fn on_write(&self, is_blocked: bool) {
        let mut state = self.state();
        match is_blocked {
            false => state.blocked_since = None,
            true if state.blocked_since.is_none() => {
                state.blocked_since = Some(self.environment.now());
            }
            true => {}
        }
    }

    /// A part of a response waits for the client, or one that waited has gone on.
    pub(super) fn on_waiting(&self, is_waiting: bool) {
        let mut state = self.state();
        match is_waiting {
            true => state.waiting += 1,
            false => state.waiting = state.waiting.saturating_sub(1),
        }
        state.moved = self.environment.now();
    }

    /// Whether there was a request.
    pub(super) fn has_begun(&self) -> bool {
        self.state().has_begun
    }

    /// The connection is to end after what is in flight.
    pub(super) fn set_last(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    /// Whether no request is to follow.
    pub(super) fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    /// Keeps the first reason for the end.
    pub(super) fn set_end(&self, end: End) {
        self.state().end.get_or_insert(end);
    }

    /// The reason for the end, if one was kept.
    pub(super) fn end(&self) -> Option<End> {
        self.state().end.clone()
    }

    /// What the time limits say now.
    pub(super) fn due(&self, times: &Times) -> Due {
        let now = self.environment.now();
        let state = self.state();
        let is_idle =
            state.in_flight == 0 && state.head_since.is_none() && state.blocked_since.is_none();
        let idle_since = is_idle.then_some(state.quiet_since);
        let waiting_since = (state.waiting > 0).then_some(state.moved);
        let clocks = [
            (state.head_since, times.head, End::SlowHead),
            (state.blocked_since, times.unread, End::Unread),
            (waiting_since, times.unread, End::Unread),
            (idle_since, times.keep_alive, End::Idle),
        ];
        // Something else may begin at once, so no clock is looked at later than its own time.
        let mut next = now + shortest(times);
        for (since, limit, end) in clocks {
            let Some(since) = since else { continue };
            let at = since + limit;
            if at <= now {
                return Due::End(end);
            }
            next = next.min(at);
        }
        Due::At(next)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic leaves are numbers that are right all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No clock runs for less than this.
pub(super) fn shortest(times: &Times) -> Duration {
    times.head.min(times.unread).min(times.keep_alive)
}

/// A request that is not answered whole.
pub(super) struct InFlight(Arc<Meter>);

impl InFlight {
    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.quiet_since = self.0.environment.now();
        }
        drop(state);
        self.0.all.fetch_sub(1, Ordering::Relaxed);
    }
}
