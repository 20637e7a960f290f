//! Content in both directions.
//!
//! Invariant: what is received moves the peer's window only as far as the application reads; what
//! is sent waits for room.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use portway_h3::error::{Code, StreamError};
use portway_h3::frame::FrameType;
use portway_h3::message::Expected;
use portway_h3::priority::Priority;
use portway_h3::{Finish, Incoming as Received, SendError, StreamId};

use super::datagrams::Datagrams;
use super::half::{ReceiveHalf, SendHalf};
use super::push::Promise;

/// The content and trailers of a message that comes in; a [`Body`].
///
/// Dropping it before its end asks the peer to stop.
#[must_use = "dropping it asks the peer to stop"]
pub struct ReceiveBody {
    half: ReceiveHalf,
    /// What content-length says is still to come.
    expected: Option<u64>,
    is_ended: bool,
}

impl ReceiveBody {
    pub(super) fn new(half: ReceiveHalf, headers: &HeaderMap) -> Self {
        // Whoever checked the message has refused one that declares anything else.
        let expected = match Expected::declared(headers) {
            Ok(Expected::Exactly(bytes)) => Some(bytes),
            _ => None,
        };
        ReceiveBody {
            half,
            expected,
            is_ended: false,
        }
    }

    /// The stream that it comes on.
    pub fn stream_id(&self) -> StreamId {
        self.half.stream
    }

    /// The next piece of content, or the trailers; `None` at the end.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Why the message is cut off.
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, StreamError>> {
        poll_fn(|context| self.poll(context)).await
    }

    /// The next piece of content; `None` at its end, where trailers are passed over.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Why the message is cut off.
    pub async fn data(&mut self) -> Option<Result<Bytes, StreamError>> {
        loop {
            match self.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Reads everything, at most `bytes_max` bytes of content, and gives it with the trailers.
    ///
    /// Cancel safety: what was read is lost when the future is dropped, and so is the body.
    ///
    /// # Errors
    /// Why the message is cut off, or that there is more than `bytes_max`, whose rest is stopped.
    pub fn read_all(
        self,
        bytes_max: usize,
    ) -> impl Future<Output = Result<(Bytes, Option<HeaderMap>), ReadAllError>> {
        ReadingAll {
            body: self,
            bytes_max,
            first: Bytes::new(),
            rest: Vec::new(),
            trailers: None,
        }
    }

    /// The next thing that came, those of extensions included: frames that were asked for, and
    /// changes of contexts (draft-01). [`ReceiveBody::frame`] passes these over.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// Why the message is cut off.
    pub async fn received(&mut self) -> Option<Result<Received, StreamError>> {
        if self.is_ended {
            return None;
        }
        let received = poll_fn(|context| self.half.poll_next(context)).await;
        self.is_ended = !matches!(received, Some(Ok(ref part)) if *part != Received::End);
        received
    }

    /// The datagrams of the request.
    pub fn datagrams(&self) -> Datagrams {
        Datagrams::new(self.half.hosted.clone(), self.half.stream)
    }

    /// Asks the peer to stop; nothing more is read.
    pub fn stop(&mut self, code: Code) {
        self.is_ended = true;
        self.half.stop(code);
    }

    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        loop {
            return Poll::Ready(match ready!(self.poll_part(context)) {
                Some(Ok(Received::Data(data))) => Some(Ok(Frame::data(data))),
                Some(Ok(Received::Trailers(trailers))) => Some(Ok(Frame::trailers(*trailers))),
                // Frames of extensions are no part of the body.
                Some(Ok(_)) => continue,
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
    }

    /// Takes the rest of the content, if the message is known to its end, which has come then.
    #[inline]
    fn take_rest(&mut self) -> Option<Bytes> {
        if self.is_ended {
            return None;
        }
        let rest = self.half.take_rest()?;
        self.is_ended = true;
        Some(rest)
    }

    /// The next thing that came; `None` at the end.
    #[inline]
    fn poll_part(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Received, StreamError>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        let part = ready!(self.half.poll_next(context));
        match &part {
            Some(Ok(Received::Data(data))) => {
                if let Some(expected) = &mut self.expected {
                    *expected = expected.saturating_sub(data.remaining() as u64);
                }
            }
            None | Some(Ok(Received::End)) => {
                self.is_ended = true;
                return Poll::Ready(None);
            }
            Some(Err(_)) => self.is_ended = true,
            Some(Ok(_)) => {}
        }
        Poll::Ready(part)
    }
}

impl Body for ReceiveBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.get_mut().poll(context)
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended || self.half.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        match self.expected {
            Some(expected) => SizeHint::with_exact(expected),
            None => SizeHint::default(),
        }
    }
}

/// Reads a whole body.
struct ReadingAll {
    body: ReceiveBody,
    bytes_max: usize,
    /// The first piece, which is not copied when it is the only one.
    first: Bytes,
    /// All pieces, when there are more.
    rest: Vec<u8>,
    trailers: Option<Box<HeaderMap>>,
}

impl ReadingAll {
    fn keep(&mut self, piece: Bytes) -> Result<(), ReadAllError> {
        let held = self.first.len() + self.rest.len();
        if held + piece.len() > self.bytes_max {
            let bytes_max = self.bytes_max;
            return Err(ReadAllError::TooLong { bytes_max });
        }
        if held == 0 {
            self.first = piece;
            return Ok(());
        }
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            // Often the second piece is the last one.
            self.rest.reserve_exact(first.len() + piece.len());
            self.rest.extend_from_slice(&first);
        }
        self.rest.extend_from_slice(&piece);
        Ok(())
    }
}

impl Future for ReadingAll {
    type Output = Result<(Bytes, Option<HeaderMap>), ReadAllError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(rest) = this.body.take_rest()
            && !rest.is_empty()
        {
            this.keep(rest)?;
        }
        while let Some(received) = ready!(this.body.poll_part(context)) {
            match received? {
                Received::Data(piece) => this.keep(piece)?,
                Received::Trailers(fields) => this.trailers = Some(fields),
                _ => {}
            }
        }
        let content = match this.rest.is_empty() {
            true => std::mem::take(&mut this.first),
            false => Bytes::from(std::mem::take(&mut this.rest)),
        };
        let trailers = this.trailers.take().map(|trailers| *trailers);
        Poll::Ready(Ok((content, trailers)))
    }
}

impl std::fmt::Debug for ReceiveBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveBody")
            .field("stream", &self.stream_id())
            .field("is_ended", &self.is_ended)
            .finish_non_exhaustive()
    }
}

/// The content and trailers of a message that goes out.
///
/// Dropping it before [`SendBody::finish`] resets the stream, so that the peer does not take a part
/// for the whole.
#[must_use = "dropping it resets the stream"]
pub struct SendBody {
    half: SendHalf,
}

impl SendBody {
    pub(super) fn new(half: SendHalf) -> Self {
        SendBody { half }
    }

    /// The stream that it goes on.
    pub fn stream_id(&self) -> StreamId {
        self.half.stream
    }

    /// Sends a piece of content as soon as there is room for it. It is not copied.
    ///
    /// Cancel safety: a future that is dropped has sent nothing.
    ///
    /// # Errors
    /// The peer wants no more, the content is not what content-length says, or the connection is
    /// over.
    pub async fn send_data(&mut self, mut content: Bytes) -> Result<(), SendError> {
        poll_fn(|context| self.half.poll_data(context, &mut content, Finish::Later)).await
    }

    /// Sends the last piece of content, which ends the message.
    ///
    /// Cancel safety: a future that is dropped has sent nothing, and the stream is reset.
    ///
    /// # Errors
    /// As [`SendBody::send_data`].
    pub async fn send_last(mut self, mut content: Bytes) -> Result<(), SendError> {
        poll_fn(|context| self.half.poll_data(context, &mut content, Finish::Now)).await
    }

    /// Sends a whole body, trailers included.
    ///
    /// Cancel safety: a future that is dropped resets the stream.
    ///
    /// # Errors
    /// As [`SendBody::send_data`], or the body's own.
    pub async fn send_body<B>(mut self, body: B) -> Result<(), SendBodyError<B::Error>>
    where
        B: Body<Data = Bytes>,
    {
        let mut body = std::pin::pin!(body);
        while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
            match frame.map_err(SendBodyError::Body)?.into_data() {
                Ok(data) if body.is_end_stream() => return Ok(self.send_last(data).await?),
                Ok(data) => self.send_data(data).await?,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return Ok(self.send_trailers(&trailers)?);
                    }
                }
            }
        }
        Ok(self.finish()?)
    }

    /// Ends the message. It does not wait for the peer.
    ///
    /// # Errors
    /// The content is shorter than content-length says, or the stream is over.
    pub fn finish(mut self) -> Result<(), SendError> {
        self.half.finish()
    }

    /// Sends trailers, which end the message.
    ///
    /// # Errors
    /// As [`SendBody::finish`], and when the trailers cannot be sent.
    pub fn send_trailers(mut self, trailers: &HeaderMap) -> Result<(), SendError> {
        self.half.trailers(trailers)
    }

    /// Sends a frame of an extension, whose meaning must have been negotiated unless the peer may
    /// ignore it.
    ///
    /// # Errors
    /// As [`SendBody::send_data`]; [`SendError::WouldBlock`] when too much waits already.
    pub fn send_frame(&mut self, ty: FrameType, payload: &[u8]) -> Result<(), SendError> {
        self.half.extension(ty, payload)
    }

    /// Promises the client a response to another request. A server's.
    ///
    /// # Errors
    /// As [`Responder::push`](super::Responder::push).
    pub fn push(&mut self, request: Request<()>) -> Result<Promise, SendError> {
        self.half.push(&request.into_parts().0.into())
    }

    /// Schedules what goes out by another priority. A client asks the server for it, too.
    ///
    /// # Errors
    /// The stream is over.
    pub fn set_priority(&mut self, priority: Priority) -> Result<(), SendError> {
        self.half.set_priority(priority)
    }

    /// The datagrams of the request.
    pub fn datagrams(&self) -> Datagrams {
        Datagrams::new(self.half.hosted.clone(), self.half.stream)
    }

    pub(super) fn half(&mut self) -> &mut SendHalf {
        &mut self.half
    }

    /// Gives the message up at once; the peer sees `code`.
    pub fn reset(mut self, code: Code) {
        self.half.reset(code);
    }

    /// Resolves when the peer wants no more of it, or the connection is over.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub async fn stopped(&mut self) -> SendError {
        poll_fn(|context| self.half.poll_stopped(context)).await
    }
}

impl std::fmt::Debug for SendBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBody")
            .field("stream", &self.stream_id())
            .finish_non_exhaustive()
    }
}

/// Why a body was not sent whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendBodyError<E> {
    /// The stream took no more.
    Stream(SendError),
    /// The body failed.
    Body(E),
}

impl<E> From<SendError> for SendBodyError<E> {
    fn from(error: SendError) -> Self {
        SendBodyError::Stream(error)
    }
}

impl<E: std::fmt::Display> std::fmt::Display for SendBodyError<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SendBodyError::Stream(error) => error.fmt(f),
            SendBodyError::Body(error) => write!(f, "the body failed: {error}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for SendBodyError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SendBodyError::Stream(error) => Some(error),
            SendBodyError::Body(error) => Some(error),
        }
    }
}

/// Why a body was not read whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadAllError {
    /// There is more content than the reader takes.
    TooLong {
        /// How much it takes.
        bytes_max: usize,
    },
    /// The message is cut off.
    Stream(StreamError),
}

impl From<StreamError> for ReadAllError {
    fn from(error: StreamError) -> Self {
        ReadAllError::Stream(error)
    }
}

impl std::fmt::Display for ReadAllError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadAllError::TooLong { bytes_max } => {
                write!(f, "there are more than {bytes_max} bytes")
            }
            ReadAllError::Stream(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadAllError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadAllError::TooLong { .. } => None,
            ReadAllError::Stream(error) => Some(error),
        }
    }
}
