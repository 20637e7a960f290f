//! A response: its head, and its body as it comes.

use super::decode::Decoder;
use super::error::{Error, ErrorClass};
use super::event::ConnectionInfo;
use super::raw_body::RawBody;
use super::response_head::ResponseHead;
use super::telemetry::Underway;
use super::upgraded::Upgraded;
use crate::pool::Version;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{Extensions, HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use portway_core::FailureKind;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A response, whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    pub(super) head: ResponseHead,
    pub(super) body: ResponseBody,
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// The same response, unless its status is one of a failure; its content is given up then.
    ///
    /// # Errors
    /// As [`ResponseHead::error_for_status`], which keeps the content for who wants to read it.
    pub fn error_for_status(self) -> Result<Self, Error> {
        self.head.error_for_status().map(|()| self)
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// What hyper has to say beyond the header, such as the reason phrase of HTTP/1.1.
    pub fn extensions(&self) -> &Extensions {
        self.head.extensions()
    }

    /// The version of HTTP.
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// The address that it came from, after redirects.
    pub fn url(&self) -> &str {
        self.head.url()
    }

    /// How many redirects were followed.
    pub fn redirects(&self) -> usize {
        self.head.redirects()
    }

    /// The connection that it came over.
    pub fn connection(&self) -> &ConnectionInfo {
        self.head.connection()
    }

    /// Whether that connection had carried a request before.
    pub fn is_connection_reused(&self) -> bool {
        self.head.is_connection_reused()
    }

    /// Everything that came before the content, which any number of threads can read.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The head and the body, which go separate ways.
    pub fn into_parts(self) -> (ResponseHead, ResponseBody) {
        (self.head, self.body)
    }

    /// The bytes of the connection after a 101, or of the tunnel that a CONNECT has opened.
    ///
    /// Cancel safety: dropping the future ends the connection.
    ///
    /// # Errors
    /// The response is another one, or the connection ended before.
    pub async fn upgrade(mut self) -> Result<Upgraded, Error> {
        let Some(upgrade) = self.head.take_upgrade() else {
            return Err(Error::invalid("the response leads to nothing but HTTP"));
        };
        let Kind::Raw(body) = self.body.kind else {
            return Err(Error::invalid("the response has content"));
        };
        let version = self.head.version();
        let stream = upgrade.await;
        let stream = stream.map_err(|error| super::classify::classify(error, version).0)?;
        let lease = body.into_lease();
        let lease = lease.ok_or_else(|| Error::invalid("the response is over"))?;
        Ok(Upgraded::new(stream, lease))
    }

    /// The next part of the content; `None` at its end.
    ///
    /// Cancel safety: dropping the future loses nothing.
    ///
    /// # Errors
    /// The response ended before its end, or took too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.body.chunk().await
    }

    /// The whole content, up to the client's bound.
    ///
    /// # Errors
    /// As [`Response::chunk`], or there is more than the bound.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        self.body.collect().await
    }

    /// The whole content as text in UTF-8.
    ///
    /// # Errors
    /// As [`Response::bytes`], or it is no such text.
    pub async fn text(self) -> Result<String, Error> {
        as_text(self.bytes().await?)
    }

    /// The whole content as JSON.
    ///
    /// # Errors
    /// As [`Response::bytes`], or it is no JSON of that type.
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        as_json(&self.bytes().await?)
    }

    /// The body as it comes.
    pub fn body(&self) -> &ResponseBody {
        &self.body
    }

    /// The body alone, as it comes. Dropping it before its end gives up the rest.
    pub fn into_body(self) -> ResponseBody {
        self.body
    }
}

/// Content as text in UTF-8.
pub(crate) fn as_text(bytes: Bytes) -> Result<String, Error> {
    String::from_utf8(bytes.into()).map_err(|error| content_error(&error))
}

/// Content as JSON.
pub(crate) fn as_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| content_error(&error))
}

fn content_error(error: &dyn std::error::Error) -> Error {
    let detail = format!("the content is not of the form asked for: {error}");
    Error::local(ErrorClass::Content, FailureKind::ProtocolViolation, detail)
}

/// The body of a response as it comes, its content coding undone where the client does that.
///
/// One that is dropped before its end is cancelled; with HTTP/1.1, where that would cost the
/// connection, a short rest is read and thrown away first, within the client's bounds.
///
/// It is an [`http_body::Body`]; [`ResponseBody::into_stream`] makes a stream of it.
pub struct ResponseBody {
    kind: Kind,
    /// Bytes that are collected at most.
    content_max: usize,
    /// Counts the request as active.
    underway: Option<Box<Underway>>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "the usual one costs no allocation"
)]
enum Kind {
    Raw(RawBody),
    Decoded(Box<Decoder>),
}

impl ResponseBody {
    pub(super) fn new(body: RawBody, content_max: usize) -> Self {
        ResponseBody {
            kind: Kind::Raw(body),
            content_max,
            underway: None,
        }
    }

    pub(super) fn decoded(decoder: Decoder, content_max: usize) -> Self {
        ResponseBody {
            kind: Kind::Decoded(Box::new(decoder)),
            content_max,
            underway: None,
        }
    }

    /// Counts the request as active until its end.
    pub(super) fn count(&mut self, underway: Option<Box<Underway>>) {
        self.underway = underway;
    }

    /// The next part of the content; `None` at its end. Trailers are passed over.
    ///
    /// Cancel safety: dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`Response::chunk`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|context| self.poll_chunk(context))
            .await
            .transpose()
    }

    /// The content as a stream of its parts. Dropping it before its end gives up the rest.
    pub fn into_stream(self) -> ContentStream {
        ContentStream(self)
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let frame = ready!(Pin::new(&mut *self).poll_frame(context));
            return Poll::Ready(match frame {
                None => None,
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    Err(_) => continue,
                },
            });
        }
    }

    pub(crate) async fn collect(&mut self) -> Result<Bytes, Error> {
        let max = self.content_max;
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        // Short content is one part, which is not copied.
        if first.len() <= max && self.is_end_stream() {
            return Ok(first);
        }
        let mut all = BytesMut::from(first);
        loop {
            if all.len() > max {
                let detail = format!("the content is longer than {max} bytes");
                let kind = FailureKind::LimitReached;
                return Err(Error::local(ErrorClass::LimitReached, kind, detail));
            }
            match self.chunk().await? {
                Some(chunk) => all.extend_from_slice(&chunk),
                None => return Ok(all.freeze()),
            }
        }
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody")
            .field("size_hint", &self.size_hint())
            .finish_non_exhaustive()
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(match &mut self.kind {
            Kind::Raw(body) => body.poll_frame(context),
            Kind::Decoded(decoder) => decoder.poll_frame(context),
        });
        if !matches!(frame, Some(Ok(_))) {
            self.underway = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Raw(body) => body.is_end_stream(),
            Kind::Decoded(decoder) => decoder.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Raw(body) => body.size_hint(),
            Kind::Decoded(_) => SizeHint::default(),
        }
    }
}

/// The content of a response as a stream, without its trailers.
#[derive(Debug)]
pub struct ContentStream(ResponseBody);

impl Stream for ContentStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.0.poll_chunk(context)
    }
}
