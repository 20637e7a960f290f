//! Streams and readers as bodies of requests.

use super::body::BoxError;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// A stream of parts.
pub(super) struct Streamed<S>(pub(super) Pin<Box<S>>);

impl<S, T, E> HttpBody for Streamed<S>
where
    S: Stream<Item = Result<T, E>>,
    T: Into<Bytes>,
    E: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let part = ready!(self.0.as_mut().poll_next(context));
        let frame = |part: T| Frame::data(part.into());
        Poll::Ready(part.map(|part| part.map(frame).map_err(Into::into)))
    }
}

/// What a reader gives until its end.
pub(super) struct Reader<R> {
    reader: Pin<Box<R>>,
    /// What is still to come, where that is known.
    left: Option<u64>,
    has_ended: bool,
}

impl<R> Reader<R> {
    pub(super) fn new(reader: R) -> Self {
        Reader {
            reader: Box::pin(reader),
            left: None,
            has_ended: false,
        }
    }

    pub(super) fn sized(reader: R, length: u64) -> Self {
        Reader {
            reader: Box::pin(reader),
            left: Some(length),
            has_ended: length == 0,
        }
    }
}

impl<R: AsyncRead> HttpBody for Reader<R> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let left = self.left.and_then(|left| usize::try_from(left).ok());
        let mut chunk = BytesMut::zeroed(left.unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES));
        let mut out = ReadBuf::new(&mut chunk);
        let read = ready!(self.reader.as_mut().poll_read(context, &mut out));
        let count = out.filled().len();
        if let Err(error) = read {
            self.has_ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        if count == 0 {
            self.has_ended = true;
            let is_short = self.left.is_some();
            let short = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Poll::Ready(is_short.then(|| Err(short())));
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(count as u64);
            self.has_ended = *left == 0;
        }
        chunk.truncate(count);
        Poll::Ready(Some(Ok(Frame::data(chunk.freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

const CHUNK_BYTES: usize = 16 * 1024;
