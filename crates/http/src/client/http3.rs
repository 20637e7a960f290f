//! A connection of HTTP/3 as the client uses it.
//!
//! Invariant: the connection ends when the last request has ended and the pool has let it go; what
//! a request sends after its response has ended, it sends for a bounded time.

use super::body::{Body, BoxError};
use super::classify::{Processing, classify_h3};
use super::content::Content;
use super::dial::Work;
use super::error::{Error, ErrorClass};
use super::frames::Said;
use super::interim::Interim;
use super::lease::{Sending, Unanswered};
use super::listener::Listener;
use super::settings::Settings;
use crate::h3::{
    ClientConnection, Options, PendingResponse, ReceiveBody, SendBody, SendBodyError, SendError,
    StreamError,
};
use crate::pool::Version;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body as _, Frame};
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::quic_stack::QuicCarrier;
use std::future::{Future, Pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// A handle to a connection of HTTP/3, whose task ends when the last handle is gone.
#[derive(Clone)]
pub(super) struct Http3(Arc<Inner>);

struct Inner {
    connection: ClientConnection,
    settings: Arc<Settings>,
    listener: Arc<dyn Listener>,
    /// Ends the task.
    _alive: oneshot::Sender<()>,
}

impl Http3 {
    /// Begins HTTP/3 on what a race has won. `listener` hears of the connection as a whole.
    pub(super) fn new(
        carrier: &QuicCarrier,
        settings: &Arc<Settings>,
        listener: Arc<dyn Listener>,
    ) -> Result<(Self, Work), Error> {
        let quic = carrier.connection();
        let mut seed = [0; 8];
        settings.context.environment().fill_random(&mut seed);
        let options = Options::default().with_grease(u64::from_le_bytes(seed));
        let connection = ClientConnection::new(quic, &options).map_err(|error| {
            let failure = Failure::new(Origin::Local, FailureKind::Other, error.to_string());
            Error::of_dial(failure, None)
        })?;
        // RFC 9114 §7.2.4.2: requests need not wait for the peer's settings; how many it takes at
        // a time is QUIC's to say, stream by stream.
        listener.on_said(Said::StreamsMax(match settings.pool.has_further_http3 {
            false => u32::MAX,
            true => USUAL_STREAMS,
        }));
        let (alive, gone) = oneshot::channel();
        let work = Box::pin(watch(connection.clone(), listener.clone(), gone));
        let sender = Http3(Arc::new(Inner {
            connection,
            settings: settings.clone(),
            listener,
            _alive: alive,
        }));
        Ok((sender, work))
    }

    /// Whether an origin is among those that the server speaks for; `None` when it says nothing.
    pub(super) fn is_origin(&self, origin: &str) -> Option<bool> {
        let origins = self.0.connection.origins()?;
        Some(origins.iter().any(|other| other == origin))
    }

    /// Sends a request and waits for the head of its response.
    pub(super) fn send<'a>(&'a self, request: Request<Body>, interim: &'a Interim) -> Sending<'a> {
        let (mut parts, body) = request.into_parts();
        declare_length(&parts.method, &mut parts.headers, &body);
        match body.into_whole() {
            Ok(content) => {
                let request = Request::from_parts(parts, content);
                Box::pin(Exchanging {
                    http3: self,
                    interim,
                    stage: Stage::Opening(self.0.connection.send_and_wait(request)),
                    upload: None,
                })
            }
            Err(body) => Box::pin(self.send_stream(parts, body, interim)),
        }
    }

    /// Sends a request whose content is read meanwhile.
    async fn send_stream(
        &self,
        parts: Parts,
        body: Body,
        interim: &Interim,
    ) -> Result<Response<Content>, Unanswered> {
        let request = Request::from_parts(parts, ());
        let mut opening = pin!(self.0.connection.send_request(request));
        let opened = poll_fn(|context| self.poll_opened(opening.as_mut(), context)).await;
        let stream = match opened {
            Ok(stream) => stream,
            Err(error) => return Err(self.unsent(error, Some(body))),
        };
        let (send, pending) = stream.split();
        let exchanging = Exchanging::<Pending<_>> {
            http3: self,
            interim,
            stage: Stage::Answering(pending),
            upload: Some(Upload::start(&self.0.settings, send, body)),
        };
        exchanging.await
    }

    /// Waits for a stream. Where further connections are wanted nobody waits: the pool is told that
    /// this one has no room, and the request goes elsewhere.
    fn poll_opened<T>(
        &self,
        opening: Pin<&mut impl Future<Output = Result<T, SendError>>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T, SendError>> {
        let polled = opening.poll(context);
        if polled.is_pending() && self.0.settings.pool.has_further_http3 {
            let in_flight = u32::try_from(self.0.connection.in_flight()).unwrap_or(u32::MAX);
            let room = Said::StreamsMax(in_flight.max(1));
            self.0.listener.on_said(room);
            return Poll::Ready(Err(SendError::WouldBlock));
        }
        polled
    }

    /// A request of which nothing was sent.
    fn unsent(&self, error: SendError, body: Option<Body>) -> Unanswered {
        let detail = format!("{}: {error}", Version::Http3);
        let (class, kind) = match &error {
            SendError::Unsendable(_) | SendError::ContentLength | SendError::OutOfOrder(_) => {
                (ErrorClass::InvalidRequest, FailureKind::InvalidRequest)
            }
            _ => (ErrorClass::Closed, FailureKind::Closed),
        };
        let failure = Failure::new(Origin::Http, kind, detail);
        let mut classified = Error::new(class, failure).with_version(Version::Http3);
        if let Some(closed) = self.0.connection.error() {
            classified = classified.with_code(closed.code.value());
        }
        Unanswered {
            error: classified.with_source(error),
            processing: match class {
                ErrorClass::InvalidRequest => Processing::Possible,
                _ => Processing::Excluded,
            },
            unsent: body
                .filter(|_| class == ErrorClass::Closed)
                .map(Request::new),
        }
    }
}

/// A request, from its sending to the head of its response.
struct Exchanging<'a, F> {
    http3: &'a Http3,
    interim: &'a Interim,
    stage: Stage<F>,
    upload: Option<Upload>,
}

enum Stage<F> {
    /// There is no stream for it yet.
    Opening(F),
    Answering(PendingResponse),
    Over,
}

impl<F> Future for Exchanging<'_, F>
where
    F: Future<Output = Result<PendingResponse, SendError>> + Unpin,
{
    type Output = Result<Response<Content>, Unanswered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Stage::Opening(opening) = &mut this.stage {
            match ready!(this.http3.poll_opened(Pin::new(opening), context)) {
                Ok(pending) => {
                    // Nothing can have come yet, and what comes wakes.
                    this.stage = Stage::Answering(pending);
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(this.http3.unsent(error, None))),
            }
        }
        if let Poll::Ready(answered) = this.poll_answer(context) {
            return Poll::Ready(match answered {
                Ok(response) => Ok(response.map(|body| this.content(body))),
                Err(error) => {
                    let (error, processing) = classify_h3(&error, &this.http3.0.connection);
                    Err(Unanswered {
                        error,
                        processing,
                        unsent: None,
                    })
                }
            });
        }
        let upload = this.upload.as_mut();
        match upload.map(|upload| upload.poll_failed(context)) {
            Some(Poll::Ready(error)) => Poll::Ready(Err(Unanswered {
                error,
                processing: Processing::Possible,
                unsent: None,
            })),
            _ => Poll::Pending,
        }
    }
}

impl<F> Exchanging<'_, F> {
    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<ReceiveBody>, StreamError>> {
        while let Stage::Answering(pending) = &mut self.stage {
            match ready!(pin!(pending.interim()).poll(context)) {
                Ok(Some(response)) => self.interim.tell(&response),
                Ok(None) => break,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            // What comes after all that is interim is there at once.
            Stage::Answering(pending) => pin!(pending.response()).poll(context),
            _ => unreachable!("it is not polled after it was ready"),
        }
    }

    fn content(&mut self, body: ReceiveBody) -> Content {
        Content::Http3(Http3Content {
            body,
            http3: self.http3.clone(),
            upload: self.upload.take(),
        })
    }
}

/// RFC 9114 §6.1: what peers should allow at least, which is believed until one blocks.
const USUAL_STREAMS: u32 = 100;

/// Tells of the connection as a whole until nobody uses it.
async fn watch(
    connection: ClientConnection,
    listener: Arc<dyn Listener>,
    mut gone: oneshot::Receiver<()>,
) {
    let quic = connection.quic();
    let telling = async {
        connection.going_away().await;
        listener.on_said(Said::GoAway);
        quic.closed().await;
    };
    tokio::select! {
        _ = &mut gone => {}
        () = telling => {}
    }
    listener.on_closed();
}

/// RFC 9110 §8.6: a length that is known is told, and that there is nothing where the method would
/// let expect something.
fn declare_length(method: &Method, headers: &mut HeaderMap, body: &Body) {
    let expects_content = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    if let Some(length) = body.size_hint().exact()
        && (length > 0 || expects_content)
    {
        let length = HeaderValue::from(length);
        headers.entry(CONTENT_LENGTH).or_insert(length);
    }
}

/// The body of a request while it is sent. Dropping it cuts the body off.
struct Upload {
    let_go: Option<oneshot::Sender<()>>,
    failed: Option<oneshot::Receiver<BoxError>>,
}

impl Upload {
    fn start(settings: &Arc<Settings>, send: SendBody, body: Body) -> Self {
        let (let_go, ending) = oneshot::channel();
        let (fail, failed) = oneshot::channel();
        let environment = settings.context.environment().clone();
        let mut timer = environment.timer();
        let drain_max = settings.timeouts.drain;
        let task_environment = environment.clone();
        environment.spawn(Box::pin(async move {
            let mut sending = pin!(send.send_body(body));
            let mut ending = ending;
            let sent = tokio::select! {
                sent = &mut sending => sent,
                ended = &mut ending => {
                    if ended.is_err() {
                        return;
                    }
                    timer.reset(drain_max.map(|limit| task_environment.now() + limit));
                    tokio::select! {
                        sent = &mut sending => sent,
                        () = poll_fn(|context| timer.poll_expired(context)) => return,
                    }
                }
            };
            if let Err(SendBodyError::Body(error)) = sent {
                let _ = fail.send(error);
            }
        }));
        Upload {
            let_go: Some(let_go),
            failed: Some(failed),
        }
    }

    /// The response has ended: the rest of the body has a little time.
    fn let_go(&mut self) {
        if let Some(let_go) = self.let_go.take() {
            let _ = let_go.send(());
        }
    }

    /// Ready when the application's own body has failed.
    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<Error> {
        let Some(failed) = &mut self.failed else {
            return Poll::Pending;
        };
        match Pin::new(failed).poll(context) {
            Poll::Ready(Ok(error)) => {
                self.failed = None;
                let detail = format!("the body of the request failed: {error}");
                let classified = Error::local(ErrorClass::Body, FailureKind::Cancelled, detail);
                let classified = classified.with_version(Version::Http3);
                Poll::Ready(classified.with_source(error))
            }
            Poll::Ready(Err(_)) => {
                self.failed = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The content of a response, and what is still sent of its request.
pub(super) struct Http3Content {
    body: ReceiveBody,
    http3: Http3,
    upload: Option<Upload>,
}

impl Http3Content {
    pub(super) fn body(&self) -> &ReceiveBody {
        &self.body
    }

    pub(super) fn let_go(&mut self) {
        if let Some(upload) = &mut self.upload {
            upload.let_go();
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                let classify = |error| classify_h3(&error, &self.http3.0.connection).0;
                Poll::Ready(frame.map(|frame| frame.map_err(classify)))
            }
            Poll::Pending => {
                let upload = self.upload.as_mut();
                match upload.map(|upload| upload.poll_failed(context)) {
                    Some(Poll::Ready(error)) => Poll::Ready(Some(Err(error))),
                    _ => Poll::Pending,
                }
            }
        }
    }
}
