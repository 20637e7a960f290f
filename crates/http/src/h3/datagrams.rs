//! The datagrams of a request (RFC 9297 and the drafts before it).
//!
//! Invariant: a session holds nothing but the stream's number; what waits is bounded and the oldest
//! is dropped.

use std::future::poll_fn;
use std::task::{Context, Poll};

use portway_h3::datagram::{Datagram, ExtensionString, Profile};
use portway_h3::{SendError, StreamId};
use portway_transport::quic::Hosted;

use super::engine::Engine;

/// The datagrams of one request. It does not keep the request alive. One task receives at a time.
pub struct Datagrams {
    hosted: Hosted<Engine>,
    stream: StreamId,
}

impl Datagrams {
    pub(super) fn new(hosted: Hosted<Engine>, stream: StreamId) -> Self {
        hosted.with(|engine, _| engine.http.accept_datagrams(stream));
        Datagrams { hosted, stream }
    }

    /// What both sides have agreed on; `None` while the peer's settings are not there, or when it
    /// offers nothing in common.
    pub fn profile(&self) -> Option<Profile> {
        self.hosted.with(|engine, _| engine.http.datagram_profile())
    }

    /// The longest payload that can be sent now in a context, which is 0 where there are none.
    pub fn payload_max(&self, context: u64) -> Option<usize> {
        let stream = self.stream;
        self.hosted.with(|engine, host| {
            engine.http.set_datagram_len(host.datagram_size_max());
            engine.http.max_datagram_payload(stream, context)
        })
    }

    /// Sends a datagram, which may be lost on the way; when too many wait, the oldest is dropped.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send(&self, payload: &[u8]) -> Result<(), SendError> {
        self.send_in(0, payload)
    }

    /// As [`Datagrams::send`], in a context (draft-01) or a flow (draft-00).
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_in(&self, context: u64, payload: &[u8]) -> Result<(), SendError> {
        let stream = self.stream;
        self.hosted
            .with(|engine, host| engine.send_datagram(stream, context, payload, host))
    }

    /// The next datagram; `None` when none will come, since the request is over.
    ///
    /// Cancel safety: no datagram is lost when the future is dropped.
    pub async fn receive(&self) -> Option<Datagram> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// As [`Datagrams::receive`]. Only the last waker is kept.
    pub fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Option<Datagram>> {
        let stream = self.stream;
        self.hosted.with(|engine, _| {
            if let Some(datagram) = engine.http.receive_datagram(stream) {
                return Poll::Ready(Some(datagram));
            }
            match engine.keep_datagrams(stream, context.waker()) {
                true => Poll::Pending,
                false => Poll::Ready(None),
            }
        })
    }

    /// Registers a context (draft-01) and gives its number. The peer's changes come by
    /// [`ReceiveBody::received`](super::ReceiveBody::received).
    ///
    /// # Errors
    /// The profile has no contexts, or there are too many.
    pub fn open_context(&self, extensions: &ExtensionString) -> Result<u64, SendError> {
        let stream = self.stream;
        self.hosted.with(|engine, host| {
            let opened = engine.http.open_context(stream, extensions);
            engine.flush(host);
            opened
        })
    }

    /// Closes a context (draft-01), whoever registered it.
    ///
    /// # Errors
    /// It is not open.
    pub fn close_context(
        &self,
        context: u64,
        extensions: &ExtensionString,
    ) -> Result<(), SendError> {
        let stream = self.stream;
        self.hosted.with(|engine, host| {
            let closed = engine.http.close_context(stream, context, extensions);
            engine.flush(host);
            closed
        })
    }
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datagrams")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
