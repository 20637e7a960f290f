//! The content of requests and responses on their way through the server.
//!
//! Invariant: a request counts as in flight until its response's body is gone.

use super::BoxError;
use super::meter::{InFlight, Meter};
use crate::h3::ReceiveBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portway_transport::environment::Timer;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Notify;

/// The content of a request, whatever version it came by.
pub struct RequestBody {
    /// Most requests have none, and are moved about with this.
    content: Option<Box<Content>>,
}

enum Source {
    Hyper(hyper::body::Incoming),
    Http3(ReceiveBody),
}

struct Content {
    source: Source,
    /// Bytes that it may still have.
    left: u64,
    idle: Duration,
    meter: Option<Arc<Meter>>,
    timer: Option<Box<dyn Timer>>,
    is_timing: bool,
    /// Told when the content is first asked for.
    wanted: Option<Arc<Notify>>,
}

impl RequestBody {
    pub(super) fn hyper(body: hyper::body::Incoming) -> Self {
        let has_content = !body.is_end_stream();
        RequestBody {
            content: has_content.then(|| Box::new(Content::of(Source::Hyper(body), None))),
        }
    }

    /// `wanted` is told when the content is first asked for.
    pub(super) fn http3(body: ReceiveBody, wanted: Option<Arc<Notify>>) -> Self {
        RequestBody {
            content: Some(Box::new(Content::of(Source::Http3(body), wanted))),
        }
    }

    /// Sets its limits; what has ended needs none.
    pub(super) fn limit(&mut self, bytes_max: u64, idle: Duration, meter: &Arc<Meter>) {
        if let Some(content) = &mut self.content
            && !content.is_end_stream()
        {
            content.left = bytes_max;
            content.idle = idle;
            content.meter = Some(Arc::clone(meter));
        }
    }
}

impl Content {
    fn of(source: Source, wanted: Option<Arc<Notify>>) -> Self {
        Content {
            source,
            left: u64::MAX,
            idle: Duration::MAX,
            meter: None,
            timer: None,
            is_timing: false,
            wanted,
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Hyper(body) => body.is_end_stream(),
            Source::Http3(body) => body.is_end_stream(),
        }
    }

    fn poll_source(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Hyper(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(
                    frame.map(|frame| frame.map_err(|error| BodyError::Broken(error.into()))),
                )
            }
            Source::Http3(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(
                    frame.map(|frame| frame.map_err(|error| BodyError::Broken(error.into()))),
                )
            }
        }
    }

    /// Ready when the client has been silent for too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(meter) = &self.meter else {
            return Poll::Pending;
        };
        let environment = meter.environment();
        let timer = self.timer.get_or_insert_with(|| environment.timer());
        if !self.is_timing {
            self.is_timing = true;
            timer.reset(Some(environment.now() + self.idle));
        }
        timer.poll_expired(context)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(content) = &mut self.content else {
            return Poll::Ready(None);
        };
        if let Some(wanted) = content.wanted.take() {
            wanted.notify_one();
        }
        let Poll::Ready(frame) = content.poll_source(context) else {
            ready!(content.poll_idle(context));
            return Poll::Ready(Some(Err(BodyError::Stalled)));
        };
        content.is_timing = false;
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            match content.left.checked_sub(data.len() as u64) {
                Some(left) => content.left = left,
                None => return Poll::Ready(Some(Err(BodyError::TooLong))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content.as_ref().is_none_or(|it| it.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self.content.as_ref().map(|content| &content.source) {
            None => SizeHint::with_exact(0),
            Some(Source::Hyper(body)) => body.size_hint(),
            Some(Source::Http3(body)) => body.size_hint(),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("is_end_stream", &self.is_end_stream())
            .finish_non_exhaustive()
    }
}

/// Why a request's content is cut off.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// There is more of it than [`Limits::body_bytes_max`](super::Limits::body_bytes_max).
    TooLong,
    /// Nothing came for [`Times::body_idle`](super::Times::body_idle).
    Stalled,
    /// The client gave up, broke the protocol, or is gone.
    Broken(BoxError),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::TooLong => f.write_str("the content is longer than the server takes"),
            BodyError::Stalled => f.write_str("the content stopped coming"),
            BodyError::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BodyError::Broken(error) => Some(&**error),
            _ => None,
        }
    }
}

pin_project! {
    /// A response's content with what must last as long.
    pub(super) struct ResponseBody<B> {
        #[pin]
        body: Option<B>,
        // The part that was given last waits for the client.
        waits: Waits,
    }
}

/// Counts a part that waits; its end says that it does not any more.
struct Waits {
    request: InFlight,
    is_waiting: bool,
}

impl Waits {
    fn set(&mut self, is_waiting: bool) {
        if self.is_waiting != is_waiting {
            self.is_waiting = is_waiting;
            self.request.meter().on_waiting(is_waiting);
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.set(false);
    }
}

impl<B> ResponseBody<B> {
    /// Nothing stands for a response without content.
    pub(super) fn new(body: Option<B>, request: InFlight) -> Self {
        ResponseBody {
            body,
            waits: Waits {
                request,
                is_waiting: false,
            },
        }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        this.waits.set(false);
        let Some(mut body) = this.body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(body.as_mut().poll_frame(context));
        if matches!(frame, Some(Ok(_))) && !body.is_end_stream() {
            this.waits.set(true);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
