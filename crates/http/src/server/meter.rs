//! What a connection is at, as far as its time limits ask.
//!
//! Invariant: a connection is either at work for a request, or in a request's head, or idle, and
//! each of these has an end.

use super::event::End;
use super::options::Times;
use portway_core::Time;
use portway_transport::environment::Environment;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// One connection's meter. It counts as open until the last handle of it is gone. What each
/// request of HTTP/1.1 touches is no lock.
pub(super) struct Meter {
    environment: Arc<dyn Environment>,
    state: Mutex<State>,
    all: Arc<Count>,
    /// Requests that have begun. Whoever counts them is the connection itself, as with heads.
    begun: AtomicUsize,
    /// Those that have ended, wherever that was.
    ended: Count,
    /// Since when no request is in flight, in nanoseconds, or [`UNKNOWN`].
    quiet_since: AtomicU64,
    /// A head is under way.
    is_head_open: AtomicBool,
    /// Bytes came that may belong to a head. The clock is looked at when no more come: most heads
    /// are complete before.
    may_have_head: AtomicBool,
    /// The connection is to end after what is in flight.
    is_last: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

struct State {
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

/// Counts up and down. Where one thread does everything, it need not keep others off.
pub(super) struct Count {
    value: AtomicUsize,
    is_alone: bool,
}

impl Count {
    /// `is_alone` says that one thread counts at a time.
    pub(super) fn new(is_alone: bool) -> Self {
        Count {
            value: AtomicUsize::new(0),
            is_alone,
        }
    }

    pub(super) fn get(&self) -> usize {
        self.value.load(Ordering::Relaxed)
    }

    /// Adds a number, which may stand for a negative one; gives what there is then.
    fn add(&self, number: usize) -> usize {
        if self.is_alone {
            let sum = self.get().wrapping_add(number);
            self.value.store(sum, Ordering::Relaxed);
            return sum;
        }
        let before = self.value.fetch_add(number, Ordering::AcqRel);
        before.wrapping_add(number)
    }
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
        all: Arc<Count>,
        permit: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let now = environment.now();
        Arc::new(Meter {
            environment,
            state: Mutex::new(State {
                head_since: None,
                blocked_since: None,
                waiting: 0,
                moved: now,
                end: None,
            }),
            begun: AtomicUsize::new(0),
            ended: Count::new(all.is_alone),
            all,
            quiet_since: AtomicU64::new(nanoseconds(now)),
            is_head_open: AtomicBool::new(false),
            may_have_head: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            _permit: permit,
        })
    }

    pub(super) fn environment(&self) -> &Arc<dyn Environment> {
        &self.environment
    }

    /// A request's head is complete. Nobody but the connection itself calls this.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let begun = self.begun.load(Ordering::Relaxed);
        self.begun.store(begun + 1, Ordering::Release);
        // Else somebody could believe that it was quiet since before this request.
        self.quiet_since.store(UNKNOWN, Ordering::Relaxed);
        self.may_have_head.store(false, Ordering::Relaxed);
        if self.is_head_open.load(Ordering::Relaxed) {
            self.on_head(false);
        }
        self.all.add(1);
        InFlight(Arc::clone(self))
    }

    /// Bytes came that may belong to a head, if nothing else is under way.
    pub(super) fn on_read(&self) {
        if !self.is_in_flight() && !self.is_head_open.load(Ordering::Relaxed) {
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
        self.is_head_open.store(is_open, Ordering::Relaxed);
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
        self.begun.load(Ordering::Relaxed) > 0
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
            !self.is_in_flight() && state.head_since.is_none() && state.blocked_since.is_none();
        let idle_since = is_idle.then(|| self.quiet_since().unwrap_or(now));
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

    fn is_in_flight(&self) -> bool {
        self.ended.get() != self.begun.load(Ordering::Acquire)
    }

    /// Nothing while that is just being said.
    fn quiet_since(&self) -> Option<Time> {
        match self.quiet_since.load(Ordering::Relaxed) {
            UNKNOWN => None,
            since => Some(Time::from_origin(Duration::from_nanos(since))),
        }
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
        let meter = &*self.0;
        let ended = meter.ended.add(1);
        if ended == meter.begun.load(Ordering::Acquire) {
            let now = nanoseconds(meter.environment.recently());
            meter.quiet_since.store(now, Ordering::Relaxed);
        }
        meter.all.add(MINUS_ONE);
    }
}

fn nanoseconds(time: Time) -> u64 {
    let since = time.since_origin();
    // In 584 years it would be too much.
    let seconds = since.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(since.subsec_nanos().into())
}

/// A time that nobody knows.
const UNKNOWN: u64 = u64::MAX;

const MINUS_ONE: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use portway_transport::RealEnvironment;
    use std::thread;
    use tokio::sync::Semaphore;

    fn meter(is_alone: bool) -> (Arc<Meter>, Arc<Count>) {
        let all = Arc::new(Count::new(is_alone));
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned();
        let environment = Arc::new(RealEnvironment::new(Default::default()));
        let permit = permit.expect("there is one");
        (Meter::new(environment, Arc::clone(&all), permit), all)
    }

    #[test]
    fn requests_count_until_they_end_on_one_thread_or_on_several() {
        for is_alone in [true, false] {
            let (meter, all) = meter(is_alone);
            let requests: Vec<InFlight> = (0..100).map(|_| meter.begin()).collect();
            assert!(meter.is_in_flight());
            assert_eq!(all.get(), 100);
            match is_alone {
                true => drop(requests),
                false => thread::scope(|scope| {
                    for request in requests {
                        scope.spawn(move || drop(request));
                    }
                }),
            }
            assert!(!meter.is_in_flight());
            assert_eq!(all.get(), 0);
        }
    }

    #[test]
    fn it_is_quiet_since_the_last_request_has_ended() {
        let (meter, _) = meter(true);
        let (first, second) = (meter.begin(), meter.begin());
        drop(first);
        assert_eq!(meter.quiet_since(), None, "one is in flight");
        drop(second);
        let since = meter.quiet_since().expect("none is");
        assert!(since <= meter.environment.now());
        let third = meter.begin();
        assert_eq!(meter.quiet_since(), None);
        drop(third);
        assert!(meter.quiet_since() >= Some(since));
    }
}
