//! The body of a request: bytes, which can be sent again, or a stream, which cannot.

use super::stream_body::{Reader, Streamed};
use bytes::Bytes;
use futures_core::Stream as FuturesStream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncRead;

/// An error of an application's own body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Stream = Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>;

/// The body of a request.
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    /// Several, one after the other.
    Chunks(VecDeque<Bytes>),
    Stream(Stream),
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Body::default()
    }

    /// A body that is read while it is sent. Once its reading has begun it cannot be sent again:
    /// no retry on another connection, no redirect that keeps the method.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Body(Kind::Stream(Box::pin(Converted(Box::pin(body)))))
    }

    /// A stream of parts as a body, under the terms of [`Body::stream`].
    pub fn from_stream<S, T, E>(stream: S) -> Self
    where
        S: FuturesStream<Item = Result<T, E>> + Send + 'static,
        T: Into<Bytes>,
        E: Into<BoxError>,
    {
        Body::stream(Streamed(Box::pin(stream)))
    }

    /// What a reader such as a file gives until its end, under the terms of [`Body::stream`].
    pub fn from_reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Body::stream(Reader::new(reader))
    }

    /// What a reader gives, `length` bytes of it, which are declared; one that ends before is an
    /// error of the body.
    pub fn from_sized_reader(reader: impl AsyncRead + Send + 'static, length: u64) -> Self {
        Body::stream(Reader::sized(reader, length))
    }

    /// These bytes one after the other.
    pub(super) fn chunks(chunks: VecDeque<Bytes>) -> Self {
        Body(Kind::Chunks(chunks))
    }

    /// The bytes, where it is one piece of them.
    pub(super) fn as_whole(&self) -> Option<Bytes> {
        match &self.0 {
            Kind::Empty => Some(Bytes::new()),
            Kind::Full(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// All of it, unless it is a stream.
    pub(super) fn into_whole(self) -> Result<Bytes, Body> {
        match self.0 {
            Kind::Empty => Ok(Bytes::new()),
            Kind::Full(bytes) => Ok(bytes),
            Kind::Chunks(_) | Kind::Stream(_) => Err(self),
        }
    }

    /// The same body once more, unless it is a stream.
    pub(super) fn replay(&self) -> Option<Body> {
        match &self.0 {
            Kind::Empty => Some(Body(Kind::Empty)),
            Kind::Full(bytes) => Some(Body(Kind::Full(bytes.clone()))),
            Kind::Chunks(chunks) => Some(Body(Kind::Chunks(chunks.clone()))),
            Kind::Stream(_) => None,
        }
    }
}

impl<B: Into<Bytes>> From<B> for Body {
    fn from(bytes: B) -> Self {
        let bytes = bytes.into();
        match bytes.is_empty() {
            true => Body(Kind::Empty),
            false => Body(Kind::Full(bytes)),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Chunks(chunks) => {
                let next = chunks.pop_front();
                Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
            }
            Kind::Stream(stream) => stream.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Chunks(chunks) => chunks.is_empty(),
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Chunks(chunks) => {
                SizeHint::with_exact(chunks.iter().map(|chunk| chunk.len() as u64).sum())
            }
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Empty => "Body::Empty",
            Kind::Full(_) => "Body::Full",
            Kind::Chunks(_) => "Body::Chunks",
            Kind::Stream(_) => "Body::Stream",
        })
    }
}

/// A body with its errors boxed.
struct Converted<B>(Pin<Box<B>>);

impl<B: HttpBody<Data = Bytes>> HttpBody for Converted<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = self.0.as_mut().poll_frame(context);
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
