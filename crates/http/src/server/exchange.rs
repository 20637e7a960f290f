//! One request on its way to the service, and its response on the way back.
//!
//! Invariant: what the limits refuse never reaches the service.

use super::authority;
use super::body::{RequestBody, ResponseBody};
use super::info::ConnectionInfo;
use super::meter::{InFlight, Meter};
use super::options::Options;
use bytes::Buf;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
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
    /// Answers a request, for which the service is called when this is polled.
    pub(super) fn answer(
        &self,
        request: Request<RequestBody>,
        is_early: bool,
    ) -> Answering<S, S::Future> {
        self.admit(request, is_early, |service, request| State::Waiting {
            call: Some((service, request)),
        })
    }

    /// Answers a request, for which the service is called now if it is ready.
    pub(super) fn answer_now(&self, request: Request<RequestBody>) -> Answering<S, S::Future> {
        self.admit(request, false, |mut service, request| {
            // Whoever gets this polls it, and with it a service that is not ready.
            let mut context = Context::from_waker(Waker::noop());
            match service.poll_ready(&mut context) {
                Poll::Ready(Ok(())) => State::Called {
                    future: service.call(request),
                },
                Poll::Ready(Err(_)) => State::Refused { status: UNREADY },
                Poll::Pending => State::Waiting {
                    call: Some((service, request)),
                },
            }
        })
    }

    /// Lets the service have the request, unless it is refused.
    fn admit(
        &self,
        mut request: Request<RequestBody>,
        is_early: bool,
        call: impl FnOnce(S, Request<RequestBody>) -> State<S, S::Future>,
    ) -> Answering<S, S::Future> {
        let in_flight = self.meter.begin();
        let is_early = is_early || is_forwarded_early(request.headers());
        let is_http1 = is_http1(request.version());
        let is_stripped = request.method() == Method::HEAD && !is_http1;
        let state = match self.refusal(&request, is_early) {
            Some(status) => State::Refused { status },
            None => {
                authority::settle(&mut request);
                let info = self.info.clone().early(is_early);
                request.extensions_mut().insert(info);
                let (limits, times) = (&self.options.limits, &self.options.times);
                let body = request.body_mut();
                body.limit(limits.body_bytes_max, times.body_idle, &self.meter);
                call(self.service.clone(), request)
            }
        };
        Answering {
            state,
            in_flight: Some(in_flight),
            alt_svc: self.alt_svc.clone(),
            is_stripped,
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

fn is_http1(version: Version) -> bool {
    matches!(version, Version::HTTP_11 | Version::HTTP_10)
}

/// RFC 8470 §5.1: an intermediary has taken the request as early data.
fn is_forwarded_early(fields: &HeaderMap) -> bool {
    static EARLY_DATA: HeaderName = HeaderName::from_static("early-data");
    // Hashing the name would cost more than looking at the few that there are.
    fields.keys().any(|name| *name == EARLY_DATA)
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
        #[pin]
        state: State<S, F>,
        in_flight: Option<InFlight>,
        alt_svc: Option<HeaderValue>,
        is_stripped: bool,
        is_http1: bool,
    }
}

pin_project! {
    // Each of these would be moved several times as a whole; together they take the room of one.
    #[project = StateProject]
    enum State<S, F> {
        Waiting {
            call: Option<(S, Request<RequestBody>)>,
        },
        Called {
            #[pin]
            future: F,
        },
        Refused {
            status: StatusCode,
        },
    }
}

impl<S: Service<Request<RequestBody>>> State<S, S::Future> {
    /// The service's response, or the status that stands for it.
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<S::Response, StatusCode>> {
        loop {
            let future = match self.as_mut().project() {
                StateProject::Called { future } => {
                    let answer = ready!(future.poll(context));
                    return Poll::Ready(answer.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR));
                }
                StateProject::Refused { status } => return Poll::Ready(Err(*status)),
                StateProject::Waiting { call } => {
                    let (service, _) = call.as_mut().expect("it is called once");
                    if ready!(service.poll_ready(context)).is_err() {
                        return Poll::Ready(Err(UNREADY));
                    }
                    let (mut service, request) = call.take().expect("it was there");
                    service.call(request)
                }
            };
            self.set(State::Called { future });
        }
    }
}

impl<S, B> Future for Answering<S, S::Future>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match ready!(this.state.poll(context)) {
            Ok(response) => response.map(Some),
            Err(status) => {
                let mut response = Response::new(None);
                *response.status_mut() = status;
                response
            }
        };
        if let Some(alt_svc) = this.alt_svc.take() {
            let fields = response.headers_mut();
            fields.entry(header::ALT_SVC).or_insert(alt_svc);
        }
        if *this.is_stripped
            && let Some(body) = response.body_mut().take()
        {
            declare_length(response.headers_mut(), &body);
        }
        let in_flight = this.in_flight.take().expect("it is ready once");
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if *this.is_http1 && !is_upgrade && in_flight.meter().is_last() {
            // RFC 9112 §9.6: so the client knows that no further request would be read.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Poll::Ready(Ok(response.map(|body| ResponseBody::new(body, in_flight))))
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

/// The service says that it can answer nothing any more.
const UNREADY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
