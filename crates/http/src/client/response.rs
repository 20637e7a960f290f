//! A response: its head, and its body as it comes.

use super::content::Content;
use super::error::{Error, ErrorClass, Phase};
use super::event::ConnectionInfo;
use super::lease::Lease;
use super::settings::Settings;
use super::timeouts::{Deadline, within};
use crate::pool::Version;
use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderMap, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use portway_core::FailureKind;
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
///
/// One that is dropped before its end is cancelled; with HTTP/1.1, where that would cost the
/// connection, a short rest is read and thrown away first, within the client's bounds.
pub struct ResponseBody {
    /// Until the end.
    open: Option<Open>,
    total: Option<Deadline>,
    idle: Option<(Deadline, Duration)>,
    settings: Arc<Settings>,
}

/// A body that has not ended.
struct Open {
    content: Content,
    lease: Lease,
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseBody")
            .field("size_hint", &self.size_hint())
            .finish_non_exhaustive()
    }
}

impl ResponseBody {
    pub(super) fn new(content: Content, lease: Lease, settings: Arc<Settings>) -> Self {
        let idle = settings.timeouts.body_idle.map(|limit| {
            let environment = &**settings.context.environment();
            let at = environment.now() + limit;
            (Deadline::new(environment, at, Phase::BodyIdle), limit)
        });
        let mut body = ResponseBody {
            open: Some(Open { content, lease }),
            total: None,
            idle,
            settings,
        };
        body.note_end();
        body
    }

    /// Ends it at this time.
    pub(super) fn with_limit(mut self, total: Option<Deadline>) -> Self {
        self.total = total;
        self
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
        if self.open.is_some() || all.len() > max {
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
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.content.is_end_stream())
        {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.content.let_go();
            open.lease.complete();
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
        let Some(open) = &mut body.open else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = open.content.poll_frame(context) else {
            let error = ready!(body.poll_limits(context));
            body.open = None;
            return Poll::Ready(Some(Err(error)));
        };
        match frame {
            None => {
                body.end();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                body.open = None;
                Poll::Ready(Some(Err(error)))
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
        self.open
            .as_ref()
            .is_none_or(|open| open.content.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.open {
            Some(open) => open.content.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let max = self.settings.drain_max;
        let is_short = max > 0 && open.content.size_hint().lower() <= max;
        if open.lease.info().version == Version::Http1 && is_short {
            let environment = self.settings.context.environment();
            let limit = self.settings.timeouts.drain;
            let limit = Deadline::after(&**environment, limit, Phase::Drain);
            environment.spawn(Box::pin(drain(open, max, limit)));
        }
    }
}

/// Reads what nobody wants, so that its connection can be used again.
async fn drain(mut open: Open, bytes_max: u64, mut limit: Option<Deadline>) {
    let mut left = bytes_max;
    let reading = async {
        while let Some(frame) = poll_fn(|context| open.content.poll_frame(context)).await {
            if let Some(data) = frame?.data_ref() {
                let read = u64::try_from(data.len()).unwrap_or(u64::MAX);
                let too_much = || Error::timed_out(Phase::Drain);
                left = left.checked_sub(read).ok_or_else(too_much)?;
            }
        }
        Ok(())
    };
    if within(&mut limit, reading).await.is_ok() {
        open.lease.complete();
    }
}
