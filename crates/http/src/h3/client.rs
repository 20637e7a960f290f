//! The client's end of a connection.
//!
//! Invariant: a request whose future is dropped before it resolves was not sent.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use portway_h3::error::{Code, ConnectionError, StreamError};
use portway_h3::message::{Protocol, RequestHead, ResponseHead};
use portway_h3::priority::Priority;
use portway_h3::settings::Settings;
use portway_h3::{Direction, Finish, Incoming, Role, SendError, StreamId};
use portway_transport::quic::{self, Host, Hosted, Place};

use super::body::{ReceiveBody, SendBody};
use super::engine::{Engine, open};
use super::half::{ReceiveHalf, SendHalf};
use super::options::{NotAttached, Options};
use super::push::Push;
use super::statistics::Statistics;
use super::tunnel::{ConnectError, Tunnel};
use super::watching::Watching;

/// The client's end of an HTTP/3 connection. A clone is another handle.
///
/// The connection ends when the last handle is gone, those of its streams included, and the server
/// has got what was finished.
#[derive(Clone)]
pub struct ClientConnection {
    hosted: Hosted<Engine>,
}

impl ClientConnection {
    /// Begins HTTP/3 on a QUIC connection, whose streams and datagrams it takes for itself. Its
    /// application protocol must have been agreed on as `h3`.
    ///
    /// # Errors
    /// It is the server's end, or a protocol runs there already.
    pub fn new(connection: &quic::Connection, options: &Options) -> Result<Self, NotAttached> {
        let hosted = Engine::attach(connection, options, Role::Client)?;
        Ok(ClientConnection { hosted })
    }

    /// Sends a request without content, or with the content given, in one write. It waits until
    /// the server allows a stream, and not for its settings.
    ///
    /// Cancel safety: a future that is dropped has sent nothing.
    ///
    /// # Errors
    /// Nothing was sent: the request cannot be sent, the server goes away, or the connection is
    /// over.
    pub fn send(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<PendingResponse, SendError>> {
        let (parts, content) = request.into_parts();
        Sending(self.start(parts, content, Finish::Now))
    }

    /// As [`ClientConnection::send`], for who waits for the response with the same waker: that is
    /// woken, so that the response need not be polled before.
    #[cfg(feature = "client")]
    pub(crate) fn send_and_wait(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<PendingResponse, SendError>> {
        let (parts, content) = request.into_parts();
        let mut starting = self.start(parts, content, Finish::Now);
        starting.is_awaited = true;
        Sending(starting)
    }

    /// Sends the header section of a request, whose content follows.
    ///
    /// Cancel safety: a future that is dropped has sent nothing.
    ///
    /// # Errors
    /// As [`ClientConnection::send`].
    pub async fn send_request(&self, request: Request<()>) -> Result<ClientStream, SendError> {
        let (parts, ()) = request.into_parts();
        let stream = self.start(parts, Bytes::new(), Finish::Later).await?;
        Ok(ClientStream {
            body: SendBody::new(SendHalf::new(self.hosted.clone(), stream)),
            response: PendingResponse::new(receive_half(&self.hosted, stream)),
        })
    }

    fn start(&self, parts: http::request::Parts, content: Bytes, finish: Finish) -> Starting<'_> {
        Starting {
            hosted: &self.hosted,
            head: RequestHead::from(parts),
            content,
            finish,
            is_awaited: false,
            place: None,
        }
    }

    /// The settings of the server, once they arrived.
    pub fn peer_settings(&self) -> Option<Settings> {
        self.hosted
            .with(|engine, _| engine.http.peer_settings().cloned())
    }

    /// The settings of the server, as soon as they have arrived.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn settings(&self) -> Result<Settings, ConnectionError> {
        Watching::new(&self.hosted, |engine, _| {
            match (engine.http.peer_settings(), engine.closed()) {
                (Some(settings), _) => Some(Ok(settings.clone())),
                (None, Some(error)) => Some(Err(error)),
                (None, None) => None,
            }
        })
        .await
    }

    /// Opens a tunnel: CONNECT, or extended CONNECT when the request has a
    /// [`Protocol`](super::Protocol) among its extensions, for which it waits until the server has
    /// offered that.
    ///
    /// Cancel safety: dropping the future cancels the request.
    ///
    /// # Errors
    /// The server refused, the request cannot be sent, or the connection is over.
    pub async fn connect(&self, request: Request<()>) -> Result<Response<Tunnel>, ConnectError> {
        if request.extensions().get::<Protocol>().is_some() {
            let settings = self.settings().await.map_err(SendError::Connection)?;
            if !settings.extended_connect {
                return Err(SendError::NotOffered("extended CONNECT").into());
            }
        }
        let (send, pending) = self.send_request(request).await?.split();
        let response = pending.response().await?;
        match response.status().is_success() {
            true => Ok(response.map(|receive| Tunnel::new(receive, send))),
            false => {
                // Nothing was tunnelled: the end of the request is enough.
                let _ = send.finish();
                Err(ConnectError::Refused(Box::new(response)))
            }
        }
    }

    /// The next push that the server promises; `None` when the connection has ended in good order.
    /// [`Options`] say how many it may promise, and [`ClientConnection::allow_pushes`] adds more.
    ///
    /// Cancel safety: no promise is lost when the future is dropped.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn accept_push(&self) -> Result<Option<Push>, ConnectionError> {
        let next = Watching::new(&self.hosted, |engine, _| {
            while let Some((push_id, request)) = engine.pushes.accept() {
                match engine.http.promise(push_id) {
                    Some(head) => return Some(Ok(Some((push_id, request, head.clone())))),
                    None => engine.pushes.forget(push_id),
                }
            }
            match engine.closed() {
                Some(error) if !error.is_graceful() => Some(Err(error)),
                Some(_) => Some(Ok(None)),
                None => None,
            }
        });
        let next = next.await?;
        Ok(next.map(|(push_id, request, head)| {
            Push::new(self.hosted.clone(), push_id, request, head.into())
        }))
    }

    /// Lets the server promise `count` more pushes.
    pub fn allow_pushes(&self, count: u64) {
        self.hosted.with(|engine, host| {
            engine.http.allow_pushes(count);
            engine.flush(host);
        });
    }

    /// The origins that the server says it speaks for, if it has said so (RFC 9412).
    pub fn origins(&self) -> Option<Vec<String>> {
        self.hosted
            .with(|engine, _| engine.http.origins().map(<[String]>::to_vec))
    }

    /// What is to be remembered of this server for early data on a later connection: the value of
    /// `remembered` in its [`Options`].
    pub fn remembered(&self) -> Option<Bytes> {
        self.hosted.with(|engine, _| engine.remembered())
    }

    /// Ends the connection in good order (RFC 9114 §5.2): sends no more requests, takes no more
    /// pushes, and closes when every response has come.
    ///
    /// Cancel safety: no request is sent any more in either case; calling again goes on.
    pub async fn shutdown(&self) {
        self.hosted.with(|engine, host| {
            engine.http.finish_shutdown();
            engine.flush(host);
        });
        Watching::new(&self.hosted, |engine, host| {
            let is_done = engine.is_drained() && engine.is_acknowledged(host);
            (engine.closed().is_some() || is_done).then_some(())
        })
        .await;
        self.close(Code::H3_NO_ERROR, "shut down");
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        let quic = self.quic().statistics();
        self.hosted.with(|engine, _| Statistics::new(engine, quic))
    }

    /// Whether a shutdown was begun by either side, so that no request can be sent any more.
    pub fn is_going_away(&self) -> bool {
        self.hosted.with(|engine, _| engine.http.is_going_away())
    }

    /// Resolves when no request can be sent any more, since a shutdown was begun by either side or
    /// the connection is over.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    pub async fn going_away(&self) {
        Watching::new(&self.hosted, |engine, _| {
            let is_over = engine.closed().is_some() || engine.http.is_going_away();
            is_over.then_some(())
        })
        .await;
    }

    /// Resolves when the server allows another request, or none can be sent any more.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    #[cfg(feature = "client")]
    pub(crate) async fn room(&self) {
        super::room::Room::new(&self.hosted).await;
    }

    /// Why the connection is over, if it is.
    pub fn error(&self) -> Option<ConnectionError> {
        self.hosted.with(|engine, _| engine.closed())
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> usize {
        self.hosted.with(|engine, _| engine.held())
    }

    /// Closes the connection at once; what is in flight fails.
    pub fn close(&self, code: Code, reason: &'static str) {
        self.hosted
            .with(|engine, host| engine.close(code, reason, host));
    }

    /// The QUIC connection below.
    pub fn quic(&self) -> quic::Connection {
        self.hosted.connection()
    }
}

impl std::fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConnection")
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

/// A request whose content is to be sent, and its response.
#[derive(Debug)]
#[must_use = "dropping it cancels the request"]
pub struct ClientStream {
    body: SendBody,
    response: PendingResponse,
}

impl ClientStream {
    /// Both directions, each to be used by itself.
    pub fn split(self) -> (SendBody, PendingResponse) {
        (self.body, self.response)
    }

    /// The content.
    pub fn body(&mut self) -> &mut SendBody {
        &mut self.body
    }

    /// The stream's number.
    pub fn stream_id(&self) -> StreamId {
        self.body.stream_id()
    }

    /// Ends the request without trailers and gives its response.
    ///
    /// # Errors
    /// As [`SendBody::finish`].
    pub fn finish(self) -> Result<PendingResponse, SendError> {
        self.body.finish()?;
        Ok(self.response)
    }

    /// Ends the request with trailers and gives its response.
    ///
    /// # Errors
    /// As [`SendBody::send_trailers`].
    pub fn finish_with(self, trailers: &HeaderMap) -> Result<PendingResponse, SendError> {
        self.body.send_trailers(trailers)?;
        Ok(self.response)
    }
}

/// A response that has not begun yet. Dropping it cancels the request.
#[must_use = "dropping it cancels the request"]
pub struct PendingResponse {
    half: ReceiveHalf,
    /// The final one, when it was come across in the search for an interim one.
    found: Option<Arc<ResponseHead>>,
}

impl PendingResponse {
    pub(super) fn new(half: ReceiveHalf) -> Self {
        PendingResponse { half, found: None }
    }

    /// The stream's number.
    pub fn stream_id(&self) -> StreamId {
        self.half.stream
    }

    /// Asks the server for another priority of the response (RFC 9218).
    ///
    /// # Errors
    /// The response is complete, or the connection is over.
    pub fn set_priority(&mut self, priority: Priority) -> Result<(), SendError> {
        let stream = self.half.stream;
        self.half.hosted.with(|engine, host| {
            let updated = engine.http.send_priority(stream, priority);
            engine.flush(host);
            updated
        })
    }

    /// The next interim response; `None` when the final one is next, which
    /// [`PendingResponse::response`] then gives at once.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// There is no response, for this reason.
    pub async fn interim(&mut self) -> Result<Option<Response<()>>, StreamError> {
        while self.found.is_none() {
            match poll_fn(|context| self.half.poll_next(context)).await {
                Some(Ok(Incoming::Interim(head))) => return Ok(Some(head.shared_with_body(()))),
                Some(Ok(Incoming::Response(head))) => self.found = Some(head),
                Some(Err(error)) => return Err(error),
                // The end cannot come before the response; the rest concerns extensions.
                _ => {}
            }
        }
        Ok(None)
    }

    /// The response, with its body. Interim responses that were not asked for are passed over.
    ///
    /// Cancel safety: dropping the future cancels the request; [`PendingResponse::interim`] waits
    /// without that.
    ///
    /// # Errors
    /// There is no response, for this reason.
    pub fn response(self) -> impl Future<Output = Result<Response<ReceiveBody>, StreamError>> {
        Responding(Some(self))
    }
}

/// Waits for the final response.
struct Responding(Option<PendingResponse>);

impl Future for Responding {
    type Output = Result<Response<ReceiveBody>, StreamError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let pending = self
            .0
            .as_mut()
            .expect("it is not polled after it was ready");
        let mut found = pending.found.take();
        let head = loop {
            if let Some(head) = found {
                break head;
            }
            match ready!(pending.half.poll_next(context)) {
                Some(Ok(Incoming::Response(head))) => found = Some(head),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                // The end cannot come before the response; the rest concerns extensions, or is
                // interim.
                _ => {}
            }
        };
        let pending = self.0.take().expect("it was there above");
        let body = ReceiveBody::new(pending.half, &head.headers);
        Poll::Ready(Ok(head.shared_with_body(body)))
    }
}

impl std::fmt::Debug for PendingResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingResponse")
            .field("stream", &self.stream_id())
            .finish_non_exhaustive()
    }
}

/// How requests are sent.
const DIRECTION: Direction = Direction::Bidirectional;

/// Sends a request when there is a stream for it.
struct Starting<'a> {
    hosted: &'a Hosted<Engine>,
    head: RequestHead,
    content: Bytes,
    finish: Finish,
    /// Whether its waker is that of who reads the response.
    is_awaited: bool,
    place: Place,
}

impl Starting<'_> {
    /// Sends on `stream` and gives it back when it was not used.
    fn send_on(
        &mut self,
        stream: StreamId,
        waker: &Waker,
        engine: &mut Engine,
        host: &mut Host<'_>,
    ) -> Result<(), SendError> {
        let content = std::mem::take(&mut self.content);
        match engine.send_request(stream, &self.head, content, self.finish, host) {
            Ok(slot) => {
                if self.is_awaited {
                    slot.keep_reader(waker);
                }
                engine.dispatch(host);
                Ok(())
            }
            Err(error) => {
                engine.return_stream(DIRECTION, stream, host);
                Err(error)
            }
        }
    }
}

impl Future for Starting<'_> {
    type Output = Result<StreamId, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let hosted = this.hosted;
        hosted.with(|engine, host| {
            if let Err(error) = engine.http.check_request() {
                return Poll::Ready(Err(error));
            }
            let opening = engine.opening(DIRECTION);
            match opening.take(&mut this.place, || open(DIRECTION, host)) {
                Some(stream) => {
                    let sent = this.send_on(stream, context.waker(), engine, host);
                    Poll::Ready(sent.map(|()| stream))
                }
                None => {
                    opening.keep(&mut this.place, context.waker());
                    Poll::Pending
                }
            }
        })
    }
}

/// Sends a whole request.
struct Sending<'a>(Starting<'a>);

impl Future for Sending<'_> {
    type Output = Result<PendingResponse, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let sent = Pin::new(&mut self.0).poll(context);
        sent.map_ok(|stream| PendingResponse::new(receive_half(self.0.hosted, stream)))
    }
}

/// What comes in on the stream of a request.
fn receive_half(hosted: &Hosted<Engine>, stream: StreamId) -> ReceiveHalf {
    // RFC 9114 §4.1.1: how a client gives a request up.
    ReceiveHalf::new(hosted.clone(), stream, Code::H3_REQUEST_CANCELLED)
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.hosted
                .with(|engine, host| engine.forget_opening(DIRECTION, self.place, host));
        }
    }
}
