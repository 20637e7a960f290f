//! The two directions of a stream as the application holds them.
//!
//! Invariant: a half that is dropped before its end gives its direction up; one that is complete
//! costs nothing to drop.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use portway_h3::error::Code;
use portway_h3::frame::FrameType;
use portway_h3::message::{RequestHead, ResponseHead};
use portway_h3::priority::Priority;
use portway_h3::{Finish, Role, SendError, StreamId};
use portway_transport::quic::{Host, Hosted};

use super::engine::{Ahead, Engine, Received, is_last};
use super::push::Promise;

/// What comes in on a stream.
pub(super) struct ReceiveHalf {
    pub(super) hosted: Hosted<Engine>,
    pub(super) stream: StreamId,
    /// What was taken together with what was asked for.
    ahead: Ahead,
    is_over: bool,
    /// What tells the peer that the rest is not wanted.
    drop_code: Code,
}

impl ReceiveHalf {
    pub(super) fn new(hosted: Hosted<Engine>, stream: StreamId, drop_code: Code) -> Self {
        ReceiveHalf {
            hosted,
            stream,
            ahead: Ahead::default(),
            is_over: false,
            drop_code,
        }
    }

    /// The next thing; `None` after the end.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Received>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(ahead));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let stream = self.stream;
        let ahead = &mut self.ahead;
        let next = self
            .hosted
            .with(|engine, host| engine.receive(stream, ahead, context, host));
        self.is_over = ahead.is_end || matches!(&next, Poll::Ready(received) if is_last(received));
        next.map(Some)
    }

    /// Takes what came together with the header section.
    pub(super) fn begin_with(&mut self, ahead: Ahead) {
        self.is_over = ahead.is_end;
        self.ahead = ahead;
    }

    /// Takes the rest of the content, if the message is known to its end.
    #[inline]
    pub(super) fn take_rest(&mut self) -> Option<Bytes> {
        self.ahead.take_rest()
    }

    /// Whether the end is known to come next without asking.
    pub(super) fn is_at_end(&self) -> bool {
        self.ahead.is_at_end()
    }

    /// Wants no more of it.
    pub(super) fn stop(&mut self, code: Code) {
        if !self.is_over {
            self.is_over = true;
            let stream = self.stream;
            self.hosted.with(|engine, host| {
                engine.http.stop(stream, code);
                engine.end_receiver(stream, host);
                engine.flush(host);
            });
        }
        self.ahead = Ahead::default();
    }
}

impl Drop for ReceiveHalf {
    fn drop(&mut self) {
        self.stop(self.drop_code);
    }
}

/// What goes out on a stream.
pub(super) struct SendHalf {
    pub(super) hosted: Hosted<Engine>,
    pub(super) stream: StreamId,
    is_over: bool,
}

impl SendHalf {
    pub(super) fn new(hosted: Hosted<Engine>, stream: StreamId) -> Self {
        SendHalf {
            hosted,
            stream,
            is_over: false,
        }
    }

    /// Sends by `act` and hands it to QUIC at once.
    fn send(
        &mut self,
        finish: Finish,
        act: impl FnOnce(&mut Engine, StreamId) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        self.act(
            finish,
            |engine, stream, _| act(engine, stream),
            Engine::flush,
        )
    }

    /// Sends by `act`, and does what is to `follow`.
    #[inline]
    fn act(
        &mut self,
        finish: Finish,
        act: impl FnOnce(&mut Engine, StreamId, &mut Host<'_>) -> Result<(), SendError>,
        follow: impl FnOnce(&mut Engine, &mut Host<'_>),
    ) -> Result<(), SendError> {
        if self.is_over {
            let complete = "the message is complete already";
            return Err(SendError::OutOfOrder(complete));
        }
        let stream = self.stream;
        let result = self.hosted.with(|engine, host| {
            let result = act(engine, stream, host);
            let result = result.map_err(|error| engine.explain(stream, error));
            engine.on_sent(stream, &result, finish, host);
            follow(engine, host);
            result
        });
        self.is_over = result.is_ok() && finish == Finish::Now;
        result
    }

    /// Queues content when there is room for it. It is taken only then.
    pub(super) fn poll_data(
        &mut self,
        context: &mut Context<'_>,
        content: &mut Bytes,
        finish: Finish,
    ) -> Poll<Result<(), SendError>> {
        let sent = self.send(finish, |engine, stream| {
            let sent = engine.http.send_data(stream, content.clone(), finish);
            if sent == Err(SendError::WouldBlock) {
                engine.keep_writer(stream, context.waker());
            }
            sent
        });
        match sent {
            Err(SendError::WouldBlock) => Poll::Pending,
            sent => {
                *content = Bytes::new();
                Poll::Ready(sent)
            }
        }
    }

    /// Ready when there is room to send, or never will be.
    pub(super) fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let stream = self.stream;
        self.hosted
            .with(|engine, _| match engine.http.poll_room(stream) {
                Err(SendError::WouldBlock) => {
                    engine.keep_writer(stream, context.waker());
                    Poll::Pending
                }
                room => Poll::Ready(room.map_err(|error| engine.explain(stream, error))),
            })
    }

    pub(super) fn finish(&mut self) -> Result<(), SendError> {
        self.send(Finish::Now, |engine, stream| engine.http.finish(stream))
    }

    pub(super) fn trailers(&mut self, trailers: &HeaderMap) -> Result<(), SendError> {
        self.send(Finish::Now, |engine, stream| {
            engine.http.send_trailers(stream, trailers)
        })
    }

    pub(super) fn interim(&mut self, head: &ResponseHead) -> Result<(), SendError> {
        self.send(Finish::Later, |engine, stream| {
            engine.http.send_interim(stream, head)
        })
    }

    /// Sends a final header section, and content behind it in the same write.
    pub(super) fn response(
        &mut self,
        head: &ResponseHead,
        content: Bytes,
        finish: Finish,
    ) -> Result<(), SendError> {
        self.act(
            finish,
            |engine, stream, host| engine.send_response(stream, head, content, finish, host),
            Engine::dispatch,
        )
    }

    /// Ready when the peer wants no more.
    pub(super) fn poll_stopped(&mut self, context: &mut Context<'_>) -> Poll<SendError> {
        let stream = self.stream;
        self.hosted.with(|engine, _| {
            if let Some(stopped) = engine.stopped(stream) {
                return Poll::Ready(SendError::Stream(stopped));
            }
            if let Some(closed) = engine.closed() {
                return Poll::Ready(SendError::Connection(closed));
            }
            engine.keep_writer(stream, context.waker());
            Poll::Pending
        })
    }

    /// Ends it abruptly.
    pub(super) fn reset(&mut self, code: Code) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        let stream = self.stream;
        self.hosted.with(|engine, host| {
            engine.http.reset(stream, code);
            engine.end_sender(stream, host);
            engine.flush(host);
        });
    }

    /// Sends a frame of an extension.
    pub(super) fn extension(&mut self, ty: FrameType, payload: &[u8]) -> Result<(), SendError> {
        self.send(Finish::Later, |engine, stream| {
            engine.http.send_extension_frame(stream, ty, payload)
        })
    }

    /// Promises a response to `head` beside the one on this stream.
    pub(super) fn push(&mut self, head: &RequestHead) -> Result<Promise, SendError> {
        let mut promised = Err(SendError::UnknownStream);
        self.send(Finish::Later, |engine, stream| {
            promised = engine.http.push(stream, head);
            engine.counters.pushes += u64::from(promised.is_ok());
            promised.clone().map(drop)
        })?;
        Ok(Promise::new(self.hosted.clone(), promised?))
    }

    /// Schedules the stream by another priority.
    pub(super) fn set_priority(&mut self, priority: Priority) -> Result<(), SendError> {
        self.send(Finish::Later, |engine, stream| match engine.http.role() {
            Role::Client => engine.http.send_priority(stream, priority),
            Role::Server => engine.http.override_priority(stream, priority),
        })
    }

    /// Says that nothing was done for a request.
    pub(super) fn reject(&mut self) -> Result<(), SendError> {
        let stream = self.stream;
        self.hosted.with(|engine, host| {
            let rejected = engine.http.reject(stream);
            engine.flush(host);
            rejected
        })
    }
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        // RFC 9114 §4.1.1: how both ends give a request up.
        self.reset(Code::H3_REQUEST_CANCELLED);
    }
}
