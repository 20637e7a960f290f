//! One request on its way to the service, and its response on the way back.
//!
//! Invariant: what the limits refuse never reaches the service.

use super::authority;
use super::body::{RequestBody, ResponseBody};
use super::info::ConnectionInfo;
use super::meter::{InFlight, Meter};
use super::options::Options;
use bytes::Buf;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// What the requests of one connection have in common.
pub(super) struct Connection<S> {
    pub(super) service: S,
    pub(super) info: ConnectionInfo,
    pub(super) options: Arc<Options>,
    pub(super) meter: Arc<Meter>,
    /// Where HTTP/3 is to be had, for those who speak something older.
    pub(super) alt_svc: Option<HeaderValue>,
}

impl<S, B> Connection<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
    B: Body,
{
    /// Answers a request.
    pub(super) fn answer(
        &self,
        mut request: Request<RequestBody>,
        is_early: bool,
    ) -> Answering<S, S::Future> {
        let in_flight = self.meter.begin();
        let is_early = is_early || is_forwarded_early(request.headers());
        let refusal = self.refusal(&request, is_early);
        if refusal.is_none() {
            authority::settle(&mut request);
        }
        let is_http1 = matches!(request.version(), Version::HTTP_11 | Version::HTTP_10);
        let is_head = request.method() == Method::HEAD;
        let info = self.info.clone().early(is_early);
        request.extensions_mut().insert(info);
        let (limits, times) = (&self.options.limits, &self.options.times);
        let request =
            request.map(|body| body.limited(limits.body_bytes_max, times.body_idle, &self.meter));
        Answering {
            waiting: refusal
                .is_none()
                .then(|| (self.service.clone(), Some(request))),
            called: None,
            refusal,
            in_flight: Some(in_flight),
            alt_svc: self.alt_svc.clone(),
            is_stripped: is_head && !is_http1,
            is_http1,
        }
    }

    /// The status that a request is refused with.
    fn refusal(&self, request: &Request<RequestBody>, is_early: bool) -> Option<StatusCode> {
        if request.headers().len() > self.options.limits.fields_max {
            return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        let misnamed = authority::refusal(request, self.options.names.as_deref());
        if misnamed.is_some() {
            return misnamed;
        }
        let declared = request.body().size_hint().lower();
        if declared > self.options.limits.body_bytes_max {
            return Some(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if is_early {
            let (parts, ()) = clone_head(request).into_parts();
            // RFC 8470 §5.2: the client is to try again when its handshake is complete.
            return (!(self.options.early)(&parts)).then_some(StatusCode::TOO_EARLY);
        }
        None
    }
}

/// RFC 8470 §5.1: an intermediary has taken the request as early data.
fn is_forwarded_early(fields: &HeaderMap) -> bool {
    fields.contains_key("early-data")
}

fn clone_head(request: &Request<RequestBody>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    head
}

pin_project! {
    /// Waits for the service's answer.
    pub(super) struct Answering<S, F> {
        waiting: Option<(S, Option<Request<RequestBody>>)>,
        #[pin]
        called: Option<F>,
        refusal: Option<StatusCode>,
        in_flight: Option<InFlight>,
        alt_svc: Option<HeaderValue>,
        is_stripped: bool,
        is_http1: bool,
    }
}

impl<S, B> Future for Answering<S, S::Future>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = loop {
            if let Some(called) = this.called.as_mut().as_pin_mut() {
                break ready!(called.poll(context)).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR);
            }
            if let Some(status) = *this.refusal {
                break Err(status);
            }
            let Some((service, request)) = this.waiting else {
                break Err(StatusCode::INTERNAL_SERVER_ERROR);
            };
            if ready!(service.poll_ready(context)).is_err() {
                break Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            let request = request.take().expect("it is called once");
            let future = service.call(request);
            this.called.set(Some(future));
            *this.waiting = None;
        };
        let (mut head, body) = match answer {
            Ok(response) => {
                let (head, body) = response.into_parts();
                (head, Some(body))
            }
            Err(status) => {
                let mut response = Response::new(());
                *response.status_mut() = status;
                (response.into_parts().0, None)
            }
        };
        if let Some(alt_svc) = this.alt_svc.take() {
            head.headers.entry(header::ALT_SVC).or_insert(alt_svc);
        }
        let body = match body {
            Some(body) if *this.is_stripped => {
                declare_length(&mut head.headers, &body);
                None
            }
            body => body,
        };
        let in_flight = this.in_flight.take().expect("it is ready once");
        let is_upgrade = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if *this.is_http1 && !is_upgrade && in_flight.meter().is_last() {
            // RFC 9112 §9.6: so the client knows that no further request would be read.
            let close = HeaderValue::from_static("close");
            head.headers.insert(header::CONNECTION, close);
        }
        let body = ResponseBody::new(body, in_flight);
        Poll::Ready(Ok(Response::from_parts(head, body)))
    }
}

/// Says how long the content is, where that is known and nobody has said it.
pub(super) fn declare_length<B: Body>(fields: &mut HeaderMap, body: &B)
where
    B::Data: Buf,
{
    if let Some(length) = body.size_hint().exact()
        && !fields.contains_key(header::CONTENT_LENGTH)
    {
        fields.insert(header::CONTENT_LENGTH, length.into());
    }
}
