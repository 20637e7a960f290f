//! A response: its head, and its body as it comes.

use super::error::{Error, ErrorClass, Phase};
use super::event::ConnectionInfo;
use super::lease::Lease;
use super::settings::Settings;
use super::timeouts::Deadline;
use crate::pool::Version;
use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use portway_core::{Failure, FailureKind, Origin};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use url::Url;

/// A response, whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    pub(super) head: http::response::Parts,
    pub(super) url: Url,
    pub(super) info: Arc<ConnectionInfo>,
    pub(super) redirects: usize,
    pub(super) is_reused: bool,
    pub(super) body: ResponseBody,
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// What hyper has to say beyond the header, such as the reason phrase of HTTP/1.1.
    pub fn extensions(&self) -> &Extensions {
        &self.head.extensions
    }

    /// The version of HTTP.
    pub fn version(&self) -> Version {
        self.info.version
    }

    /// The address that it came from, after redirects.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// How many redirects were followed.
    pub fn redirects(&self) -> usize {
        self.redirects
    }

    /// The connection that it came over.
    pub fn connection(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Whether that connection had carried a request before.
    pub fn is_connection_reused(&self) -> bool {
        self.is_reused
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
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into()).map_err(|error| content_error(&error))
    }

    /// The whole content as JSON.
    ///
    /// # Errors
    /// As [`Response::bytes`], or it is no JSON of that type.
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| content_error(&error))
    }

    /// The body alone, as it comes. Dropping it before its end gives up the rest.
    pub fn into_body(self) -> ResponseBody {
        self.body
    }
}

fn content_error(error: &dyn std::error::Error) -> Error {
    let detail = format!("the content is not of the form asked for: {error}");
    Error::local(ErrorClass::Content, FailureKind::ProtocolViolation, detail)
}

/// The body of a response as it comes.
pub struct ResponseBody {
    incoming: Incoming,
    lease: Option<Lease>,
    version: Version,
    total: Option<Deadline>,
    idle: Option<(Deadline, Duration)>,
    settings: Arc<Settings>,
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody")
            .field("size_hint", &self.incoming.size_hint())
            .finish_non_exhaustive()
    }
}

impl ResponseBody {
    pub(super) fn new(
        incoming: Incoming,
        lease: Lease,
        total: Option<Deadline>,
        settings: Arc<Settings>,
    ) -> Self {
        let idle = settings.timeouts.body_idle.map(|limit| {
            let environment = &**settings.context.environment();
            let at = environment.now() + limit;
            (Deadline::new(environment, at, Phase::BodyIdle), limit)
        });
        let mut body = ResponseBody {
            incoming,
            version: lease.info().version,
            lease: Some(lease),
            total,
            idle,
            settings,
        };
        body.note_end();
        body
    }

    /// The next part of the content; `None` at its end. Trailers are passed over.
    ///
    /// # Errors
    /// As [`Response::chunk`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = poll_fn(|context| Pin::new(&mut *self).poll_frame(context)).await;
            match frame.transpose()?.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_)) => {}
            }
        }
    }

    async fn collect(&mut self) -> Result<Bytes, Error> {
        let max = self.settings.content_max;
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let mut all = BytesMut::from(first);
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > max {
                break;
            }
            all.extend_from_slice(&chunk);
        }
        if self.lease.is_some() || all.len() > max {
            let detail = format!("the content is longer than {max} bytes");
            return Err(Error::local(
                ErrorClass::LimitReached,
                FailureKind::LimitReached,
                detail,
            ));
        }
        Ok(all.freeze())
    }

    /// Gives the connection back as soon as nothing more comes.
    fn note_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.complete();
        }
    }

    fn poll_limits(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        if let Some(total) = &mut self.total
            && let Poll::Ready(error) = total.poll(context)
        {
            return Poll::Ready(error);
        }
        match &mut self.idle {
            Some((idle, _)) => idle.poll(context),
            None => Poll::Pending,
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = &mut *self;
        if body.lease.is_none() {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut body.incoming).poll_frame(context) else {
            let error = ready!(body.poll_limits(context));
            body.lease = None;
            return Poll::Ready(Some(Err(error)));
        };
        match frame {
            None => {
                if let Some(lease) = body.lease.take() {
                    lease.complete();
                }
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                body.lease = None;
                Poll::Ready(Some(Err(cut_off(error, body.version))))
            }
            Some(Ok(frame)) => {
                if let Some((idle, limit)) = &mut body.idle {
                    idle.reset(body.settings.context.environment().now() + *limit);
                }
                // The end may be known with the last part; then nobody need ask once more.
                body.note_end();
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.lease.is_none() || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A body that ended before its end.
fn cut_off(error: hyper::Error, version: Version) -> Error {
    if error.is_incomplete_message() {
        let detail = "the response ended before its length was reached";
        let failure = Failure::new(Origin::Framing, FailureKind::Reset, detail);
        return Error::new(ErrorClass::Closed, failure)
            .with_version(version)
            .with_scope(super::error::Scope::Connection)
            .with_source(error);
    }
    super::classify::classify(error, version).0
}
