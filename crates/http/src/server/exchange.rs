//! One request on its way to the service, and its response on the way back.
//!
//! Invariant: what the limits refuse never reaches the service.

use super::authority;
use super::body::{RequestBody, ResponseBody};
use super::info::ConnectionInfo;
use super::meter::{InFlight, Meter};
use super::options::Options;
use super::prompt::{self, Pinned, Place};
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
        mut request: Request<RequestBody>,
        is_early: bool,
    ) -> Answering<S, S::Future> {
        let (way_back, refused) = self.admit(&mut request, is_early);
        let state = match refused {
            Some(status) => State::Refused { status },
            None => State::waiting(self.service.clone(), request),
        };
        Answering {
            state,
            way_back: Some(way_back),
        }
    }

    /// Answers a request, for which the service is called and polled now if it is ready. One
    /// future after the other is polled in the same place.
    pub(super) fn answer_now(
        &self,
        mut request: Request<RequestBody>,
        place: &Place<S::Future>,
    ) -> Prompt<S, S::Future, B> {
        let (way_back, refused) = self.admit(&mut request, false);
        if let Some(status) = refused {
            return Prompt::ready(way_back.take(Err(status)));
        }
        let mut service = self.service.clone();
        // Whoever gets this polls it, and with it a service that is not ready.
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => match place.begin(|| service.call(request)) {
                Ok(answer) => Prompt::ready(way_back.take(answer.map_err(failed))),
                Err(future) => Prompt::Called {
                    future,
                    way_back: Some(way_back),
                },
            },
            Poll::Ready(Err(_)) => Prompt::ready(way_back.take(Err(UNREADY))),
            Poll::Pending => Prompt::Waiting {
                answering: Box::pin(Answering {
                    state: State::waiting(service, request),
                    way_back: Some(way_back),
                }),
            },
        }
    }

    /// Makes a request what the service is to see, unless it is refused with this status.
    fn admit(
        &self,
        request: &mut Request<RequestBody>,
        is_early: bool,
    ) -> (WayBack, Option<StatusCode>) {
        let in_flight = self.meter.begin();
        let is_early = is_early || is_forwarded_early(request.headers());
        let is_http1 = is_http1(request.version());
        let way_back = WayBack {
            in_flight,
            alt_svc: self.alt_svc.clone(),
            is_stripped: request.method() == Method::HEAD && !is_http1,
            is_http1,
        };
        let refused = self.refusal(request, is_early);
        if refused.is_none() {
            authority::settle(request);
            let info = self.info.clone().early(is_early);
            request.extensions_mut().insert(info);
            let (limits, times) = (&self.options.limits, &self.options.times);
            let body = request.body_mut();
            body.limit(limits.body_bytes_max, times.body_idle, &self.meter);
        }
        (way_back, refused)
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
        way_back: Option<WayBack>,
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

impl<S, F> State<S, F> {
    fn waiting(service: S, request: Request<RequestBody>) -> Self {
        State::Waiting {
            call: Some((service, request)),
        }
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
                    return future.poll(context).map(|answer| answer.map_err(failed));
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
        let answer = ready!(this.state.poll(context));
        let way_back = this.way_back.take().expect(READY_ONCE);
        Poll::Ready(Ok(way_back.take(answer)))
    }
}

/// As [`Answering`], for a request whose answer may be there already.
pub(super) enum Prompt<S, F, B> {
    Ready {
        response: Option<Response<ResponseBody<B>>>,
    },
    Called {
        future: Pinned<F>,
        way_back: Option<WayBack>,
    },
    Waiting {
        answering: Pin<Box<Answering<S, F>>>,
    },
}

impl<S, F, B> Prompt<S, F, B> {
    fn ready(response: Response<ResponseBody<B>>) -> Self {
        Prompt::Ready {
            response: Some(response),
        }
    }
}

// The futures are in boxes, and the response is moved only.
impl<S, F, B> Unpin for Prompt<S, F, B> {}

impl<S, B> Future for Prompt<S, S::Future, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Prompt::Ready { response } => Poll::Ready(Ok(response.take().expect(READY_ONCE))),
            Prompt::Called { future, way_back } => {
                let answer = ready!(prompt::poll(future, context));
                let way_back = way_back.take().expect(READY_ONCE);
                Poll::Ready(Ok(way_back.take(answer.map_err(failed))))
            }
            Prompt::Waiting { answering } => answering.as_mut().poll(context),
        }
    }
}

/// What a response needs on its way back.
pub(super) struct WayBack {
    in_flight: InFlight,
    alt_svc: Option<HeaderValue>,
    is_stripped: bool,
    is_http1: bool,
}

impl WayBack {
    /// Gives the response that the service has given, or that stands for it.
    fn take<B: Body>(self, answer: Result<Response<B>, StatusCode>) -> Response<ResponseBody<B>> {
        let (mut head, mut body) = match answer {
            Ok(response) => {
                let (head, body) = response.into_parts();
                (head, Some(body))
            }
            Err(status) => {
                let (mut head, ()) = Response::new(()).into_parts();
                head.status = status;
                (head, None)
            }
        };
        if let Some(alt_svc) = self.alt_svc {
            head.headers.entry(header::ALT_SVC).or_insert(alt_svc);
        }
        if self.is_stripped
            && let Some(body) = body.take()
        {
            declare_length(&mut head.headers, &body);
        }
        let in_flight = self.in_flight;
        let is_upgrade = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if self.is_http1 && !is_upgrade && in_flight.meter().is_last() {
            // RFC 9112 §9.6: so the client knows that no further request would be read.
            let close = HeaderValue::from_static("close");
            head.headers.insert(header::CONNECTION, close);
        }
        Response::from_parts(head, ResponseBody::new(body, in_flight))
    }
}

/// What stands for the answer of a service that failed.
fn failed<E>(_: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
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

const READY_ONCE: &str = "it is ready once";

/// The service says that it can answer nothing any more.
const UNREADY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
