//! A request that a server has accepted, and how it is answered.
//!
//! Invariant: a responder that is dropped before its response is complete resets the stream.

use bytes::Bytes;
use http::{Request, Response};
use portway_h3::message::ResponseHead;
use portway_h3::priority::Priority;
use portway_h3::{Finish, SendError, StreamId};

use super::body::{ReceiveBody, SendBody};
use super::half::SendHalf;
use super::push::Promise;

/// A request with its header section complete; the content may still be on its way.
#[derive(Debug)]
pub struct Incoming {
    /// The request.
    pub request: Request<ReceiveBody>,
    /// How it is answered.
    pub responder: Responder,
}

/// Answers one request. Dropping it before the response began cancels the request.
#[must_use = "dropping it cancels the request"]
pub struct Responder {
    half: SendHalf,
}

impl Responder {
    pub(super) fn new(half: SendHalf) -> Self {
        Responder { half }
    }

    /// The stream's number.
    pub fn stream_id(&self) -> StreamId {
        self.half.stream
    }

    /// Sends an interim response; several may precede the final one.
    ///
    /// # Errors
    /// Nothing was sent: its status is not 1xx, or the stream is over.
    pub fn send_interim(&mut self, response: Response<()>) -> Result<(), SendError> {
        self.half.interim(&response.into_parts().0.into())
    }

    /// Sends a response with its content, in one write.
    ///
    /// # Errors
    /// The response cannot be sent, or the stream is over.
    pub fn send(mut self, response: Response<Bytes>) -> Result<(), SendError> {
        let (parts, content) = response.into_parts();
        let head = ResponseHead::from(parts);
        self.half.response(&head, content, Finish::Now)
    }

    /// Sends the header section of a response, whose content follows.
    ///
    /// # Errors
    /// As [`Responder::send`].
    pub fn send_response(mut self, response: Response<()>) -> Result<SendBody, SendError> {
        let head = ResponseHead::from(response.into_parts().0);
        self.half.response(&head, Bytes::new(), Finish::Later)?;
        Ok(SendBody::new(self.half))
    }

    /// Promises the client a response to another request, which it would make next. Promise before
    /// the content that makes it ask.
    ///
    /// # Errors
    /// The client takes no push or none any more, or this request cannot be pushed: it must be
    /// safe, cacheable, without content and for the authority of the request that it belongs to.
    pub fn push(&mut self, request: Request<()>) -> Result<Promise, SendError> {
        self.half.push(&request.into_parts().0.into())
    }

    /// Schedules the response by another priority than the client asked for (RFC 9218 §10).
    ///
    /// # Errors
    /// The stream is over.
    pub fn set_priority(&mut self, priority: Priority) -> Result<(), SendError> {
        self.half.set_priority(priority)
    }

    /// The priority that the response is scheduled by; `None` when the stream is over.
    pub fn priority(&self) -> Option<Priority> {
        let stream = self.half.stream;
        self.half
            .hosted
            .with(|engine, _| engine.http.priority(stream))
    }

    /// Refuses the request, of which nothing was done; the client may send it again.
    ///
    /// # Errors
    /// A response was begun.
    pub fn reject(mut self) -> Result<(), SendError> {
        self.half.reject()
    }

    /// Resolves when the client wants no response any more, or the connection is over.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub async fn stopped(&mut self) -> SendError {
        std::future::poll_fn(|context| self.half.poll_stopped(context)).await
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder")
            .field("stream", &self.stream_id())
            .finish_non_exhaustive()
    }
}
