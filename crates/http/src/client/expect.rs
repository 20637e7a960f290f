//! A body that waits for the server's word (RFC 9110 §10.1.1).
//!
//! Invariant: nothing of it is sent before a 100, before a response that succeeds, or before the
//! client's patience ends; after another final response that came first, nothing at all, and then
//! it is there for another request, even if it can be read once only.

use super::body::{Body, BoxError};
use super::timeouts::Deadline;
use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What holds a body back.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<Waits>>);

struct Waits {
    state: State,
    patience: Option<Deadline>,
    waker: Option<Waker>,
    /// What waits, until it is sent or taken back.
    body: Option<Body>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Open,
    /// The answer is there: the content is not wanted.
    Shut,
    /// The exchange is over, and the request with it.
    Over,
}

impl Gate {
    /// One that opens by itself when `patience` ends.
    pub(super) fn new(patience: Option<Deadline>) -> Self {
        Gate(Arc::new(Mutex::new(Waits {
            state: State::Waiting,
            patience,
            waker: None,
            body: None,
        })))
    }

    /// The same body behind this gate.
    pub(super) fn hold(&self, body: Body) -> Body {
        let size = body.size_hint();
        self.waits().body = Some(body);
        Body::stream(Held {
            gate: self.clone(),
            size,
            body: None,
        })
    }

    /// The body, when nothing of it was sent and nothing will be.
    pub(super) fn take_back(&self) -> Option<Body> {
        let mut waits = self.waits();
        match waits.state {
            State::Shut => waits.body.take(),
            State::Waiting | State::Open | State::Over => None,
        }
    }

    /// The server wants the content.
    pub(super) fn open(&self) {
        self.turn(State::Open);
    }

    /// The server has answered without it. One that succeeds may read it while it answers; after a
    /// refusal or a redirect nobody does.
    pub(super) fn on_response(&self, status: StatusCode) {
        self.turn(match status.is_success() {
            true => State::Open,
            false => State::Shut,
        });
    }

    /// The body, of which nothing was sent, when its request never left.
    pub(super) fn give_up(&self) -> Option<Body> {
        self.turn(State::Shut);
        self.take_back()
    }

    /// Ends a request whose content is not wanted, which nobody waits for any more.
    pub(super) fn on_over(&self) {
        self.turn(State::Over);
    }

    fn turn(&self, to: State) {
        let mut waits = self.waits();
        match (waits.state, to) {
            (State::Waiting, _) | (State::Shut, State::Over) => waits.state = to,
            _ => {}
        }
        let waker = waits.waker.take();
        drop(waits);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body as soon as it may be sent; an error as soon as it never will be.
    fn poll_open(&self, context: &mut Context<'_>) -> Poll<Result<Body, BoxError>> {
        let mut waits = self.waits();
        let waits = &mut *waits;
        if waits.state == State::Waiting
            && let Some(patience) = &mut waits.patience
            && patience.poll(context).is_ready()
        {
            waits.state = State::Open;
        }
        match waits.state {
            State::Open => Poll::Ready(Ok(waits.body.take().unwrap_or_default())),
            // RFC 9113 §7: the stream is not needed any more.
            State::Over => Poll::Ready(Err(Box::new(h2::Error::from(h2::Reason::CANCEL)))),
            State::Waiting | State::Shut => {
                waits.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Whether a request expects a 100 before its content.
pub(super) fn expects_continue(headers: &HeaderMap, body: &Body) -> bool {
    let expects = headers.get(EXPECT);
    let expects = expects.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    expects && !body.is_end_stream()
}

struct Held {
    gate: Gate,
    /// Of all of it, which is never nothing.
    size: SizeHint,
    /// As soon as it is sent.
    body: Option<Body>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let held = &mut *self;
        let body = match &mut held.body {
            Some(body) => body,
            empty => match std::task::ready!(held.gate.poll_open(context)) {
                Ok(body) => empty.insert(body),
                Err(error) => return Poll::Ready(Some(Err(error))),
            },
        };
        Pin::new(body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => self.size,
        }
    }
}
