//! Time limits, and futures that keep them.

use super::error::{Error, Phase};
use portway_core::Time;
use portway_transport::environment::{Environment, Timer};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// The time limits of requests; `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the begin of a dial to its first attempt.
    pub resolve: Option<Duration>,
    /// From the first attempt to the first transport connection; and for a place at a proxy, where
    /// a tunnel waits for what others have or are dialling.
    pub connect: Option<Duration>,
    /// From the first transport connection to a connection that is ready.
    pub handshake: Option<Duration>,
    /// From the request to the head of its response.
    pub response_head: Option<Duration>,
    /// For a 100 to a request with `expect: 100-continue`; then its content is sent without. The
    /// client adds that field itself where credentials wait for a challenge and the content can be
    /// read once only; there no limit is one second. Over HTTP/2, where hyper passes over a 100,
    /// nothing but such content waits, for a refusal or for this limit, and without the field.
    pub expect: Option<Duration>,
    /// Between two parts of the response's body.
    pub body_idle: Option<Duration>,
    /// Everything, from the call to the last part of the body.
    pub total: Option<Duration>,
    /// After a response, for what is left of the exchange: the rest of a response that was dropped,
    /// and of a request whose response came before all of it was sent. Then the connection of
    /// HTTP/1.1 is closed, and a stream of HTTP/3 is reset.
    pub drain: Option<Duration>,
}

impl Default for Timeouts {
    /// 10 s for each phase of a dial, 1 s for a 100, 2 s for what is left after a response, and no
    /// other limit: how long an answer takes is the application's to say.
    fn default() -> Self {
        let dial = Some(Duration::from_secs(10));
        Timeouts {
            resolve: dial,
            connect: dial,
            handshake: dial,
            response_head: None,
            expect: Some(Duration::from_secs(1)),
            body_idle: None,
            total: None,
            drain: Some(Duration::from_secs(2)),
        }
    }
}

/// A point in time that ends something.
pub(super) struct Deadline {
    timer: Box<dyn Timer>,
    phase: Phase,
}

impl Deadline {
    pub(super) fn new(environment: &dyn Environment, at: Time, phase: Phase) -> Self {
        Deadline::of(environment.timer(), at, phase)
    }

    /// For what hardly ever takes so long: it may end some milliseconds late.
    pub(super) fn patient(environment: &dyn Environment, at: Time, phase: Phase) -> Self {
        Deadline::of(environment.patient_timer(), at, phase)
    }

    fn of(mut timer: Box<dyn Timer>, at: Time, phase: Phase) -> Self {
        timer.reset(Some(at));
        Deadline { timer, phase }
    }

    /// Ends that phase at that time from now on.
    pub(super) fn turn_to(&mut self, at: Time, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.timer.reset(Some(at));
        }
    }

    /// As far from now as `limit` says.
    pub(super) fn after(
        environment: &dyn Environment,
        limit: Option<Duration>,
        phase: Phase,
    ) -> Option<Self> {
        let limit = limit?;
        let at = environment.now() + limit;
        Some(Deadline::new(environment, at, phase))
    }

    pub(super) fn reset(&mut self, at: Time) {
        self.timer.reset(Some(at));
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        let phase = self.phase;
        self.timer
            .poll_expired(context)
            .map(|()| Error::timed_out(phase))
    }
}

/// Runs `work` unless its time is up before. Large work comes pinned: it would be moved, and have
/// its room twice.
pub(super) async fn within<T>(
    deadline: &mut Option<Deadline>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        match deadline {
            Some(deadline) => deadline.poll(context).map(Err),
            None => Poll::Pending,
        }
    })
    .await
}
