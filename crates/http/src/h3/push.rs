//! Server push from both ends (RFC 9114 §4.6).
//!
//! Invariant: a promise that is dropped is withdrawn, and a push that is dropped is cancelled, so
//! that nobody waits for what does not come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use portway_h3::error::{Code, Origin, Retry, StreamError};
use portway_h3::{Direction, SendError, StreamId};
use portway_transport::quic::{Hosted, Place};

use super::accepted::Responder;
use super::body::ReceiveBody;
use super::client::PendingResponse;
use super::engine::{Engine, open};
use super::half::{ReceiveHalf, SendHalf};
use super::pushes::State;
use super::watching::Watching;

/// A push that a server has promised and has to fulfil.
#[must_use = "dropping it withdraws the promise"]
pub struct Promise {
    hosted: Hosted<Engine>,
    push_id: u64,
    is_open: bool,
}

impl Promise {
    pub(super) fn new(hosted: Hosted<Engine>, push_id: u64) -> Self {
        Promise {
            hosted,
            push_id,
            is_open: false,
        }
    }

    /// The number of the push.
    pub fn push_id(&self) -> u64 {
        self.push_id
    }

    /// Begins the response, as soon as the client allows another stream.
    ///
    /// Cancel safety: dropping the future withdraws the promise.
    ///
    /// # Errors
    /// The client has cancelled the push, or the connection is over.
    pub async fn fulfil(mut self) -> Result<Responder, SendError> {
        let opening = Fulfilling {
            hosted: &self.hosted,
            push_id: self.push_id,
            place: None,
        };
        let stream = opening.await?;
        self.is_open = true;
        Ok(Responder::new(SendHalf::new(self.hosted.clone(), stream)))
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.is_open {
            let push_id = self.push_id;
            self.hosted.with(|engine, host| {
                engine.http.cancel_push(push_id);
                engine.flush(host);
            });
        }
    }
}

impl std::fmt::Debug for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Promise")
            .field("push_id", &self.push_id)
            .finish_non_exhaustive()
    }
}

/// Opens the stream of a push.
struct Fulfilling<'a> {
    hosted: &'a Hosted<Engine>,
    push_id: u64,
    place: Place,
}

/// How pushes are sent.
const DIRECTION: Direction = Direction::Unidirectional;

impl Future for Fulfilling<'_> {
    type Output = Result<StreamId, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.hosted.with(|engine, host| {
            if let Some(closed) = engine.closed() {
                return Poll::Ready(Err(SendError::Connection(closed)));
            }
            let opening = engine.opening(DIRECTION);
            let Some(stream) = opening.take(&mut this.place, || open(DIRECTION, host)) else {
                opening.keep(&mut this.place, context.waker());
                return Poll::Pending;
            };
            if let Err(error) = engine.http.open_push(this.push_id, stream) {
                engine.return_stream(DIRECTION, stream, host);
                return Poll::Ready(Err(match error {
                    SendError::UnknownStream => SendError::Stream(cancelled()),
                    error => error,
                }));
            }
            engine.keep_stream(stream, false, true);
            engine.flush(host);
            Poll::Ready(Ok(stream))
        })
    }
}

impl Drop for Fulfilling<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            let place = self.place;
            self.hosted
                .with(|engine, host| engine.forget_opening(DIRECTION, place, host));
        }
    }
}

/// A push that a server has promised to this client. Dropping it cancels the push.
#[must_use = "dropping it cancels the push"]
pub struct Push {
    hosted: Hosted<Engine>,
    push_id: u64,
    stream: StreamId,
    request: Request<()>,
    is_taken: bool,
}

impl Push {
    pub(super) fn new(
        hosted: Hosted<Engine>,
        push_id: u64,
        stream: StreamId,
        request: Request<()>,
    ) -> Self {
        Push {
            hosted,
            push_id,
            stream,
            request,
            is_taken: false,
        }
    }

    /// The number of the push.
    pub fn push_id(&self) -> u64 {
        self.push_id
    }

    /// The request that the server answers without having been asked.
    pub fn request(&self) -> &Request<()> {
        &self.request
    }

    /// The stream of the client's own request that it was promised for.
    pub fn promised_for(&self) -> StreamId {
        self.stream
    }

    /// The response, when it begins.
    ///
    /// Cancel safety: dropping the future cancels the push.
    ///
    /// # Errors
    /// The server gave the push up, the response is malformed, or the connection is over.
    pub async fn response(mut self) -> Result<Response<ReceiveBody>, StreamError> {
        let push_id = self.push_id;
        let stream = Watching::new(&self.hosted, |engine, _| {
            match (engine.pushes.state(push_id), engine.closed()) {
                (State::Arriving(stream), _) => {
                    engine.pushes.forget(push_id);
                    Some(Ok(stream))
                }
                (State::Cancelled, _) => Some(Err(cancelled())),
                (State::Promised, Some(closed)) => Some(Err(StreamError {
                    code: closed.code,
                    origin: closed.origin,
                    reason: closed.reason,
                    retry: Retry::Unknown,
                })),
                (State::Promised, None) => None,
            }
        });
        let stream = stream.await?;
        self.is_taken = true;
        let half = ReceiveHalf::new(self.hosted.clone(), stream, Code::H3_REQUEST_CANCELLED);
        PendingResponse::new(half).response().await
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        if !self.is_taken {
            let push_id = self.push_id;
            self.hosted.with(|engine, host| {
                if let State::Arriving(stream) = engine.pushes.state(push_id) {
                    engine.end_receiver(stream, host);
                }
                engine.pushes.forget(push_id);
                engine.http.cancel_push(push_id);
                engine.flush(host);
            });
        }
    }
}

impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push")
            .field("push_id", &self.push_id)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// A push that the other side gave up.
fn cancelled() -> StreamError {
    StreamError {
        code: Code::H3_REQUEST_CANCELLED,
        origin: Origin::Peer,
        reason: "the other side gave the push up",
        retry: Retry::Unknown,
    }
}
