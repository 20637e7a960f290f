//! CONNECT (RFC 9110 §9.3.6) as a client asks for it, over HTTP/1.1, 2 and 3.
//!
//! Invariant: what came behind the answer is handed over with the tunnel; the content of a refusal
//! is read as far as it is short, and thrown away; what is asked again had not been answered.

use super::Proxy;
use super::fate::{Beside, Fate};
use super::fault::{ProxyFault, ProxyLie};
use super::piped::Piped;
use super::trunk::{Berth, Sender};
use crate::carrier_io::{CarrierIo, Unwatched};
use crate::client::access::PROXY_INFO;
use crate::client::body::{Body, BoxError};
use crate::client::classify::{Processing, classify, classify_h3};
use crate::client::credentials::{Asked, Place, Sent};
use crate::client::dial::{Work, with_below};
use crate::client::error::{Error, ErrorClass, Scope};
use crate::client::settings::Settings;
use crate::h3::{ClientConnection, ClientStream, SendError, Tunnel};
use crate::pool::Version;
use bytes::BytesMut;
use http::header::{HOST, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::environment::TcpStream;
use portway_transport::established::ByteCarrier;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A tunnel.
pub(super) struct Opened {
    pub(super) stream: Box<dyn TcpStream>,
    /// What came behind the answer.
    pub(super) unread: BytesMut,
    /// What became of it, where it shares its connection.
    pub(super) fate: Option<Fate>,
}

/// What is asked of a proxy, again with other credentials after a 407.
pub(super) struct Ask<'a> {
    pub(super) settings: &'a Arc<Settings>,
    pub(super) proxy: &'a Proxy,
    /// Host and port of the target.
    pub(super) target: String,
    /// The proxy's protection space.
    whom: String,
    sent: Option<Sent>,
    rounds: usize,
}

/// How a connection to the proxy has ended up.
pub(super) enum Asking {
    Opened(Opened),
    /// There is another answer for its challenge, but it takes no further request.
    Again,
    /// It allows no further tunnel for now.
    Full,
    /// It was lost, and the same can be asked over another one.
    Lost(Error),
}

impl<'a> Ask<'a> {
    pub(super) fn new(settings: &'a Arc<Settings>, proxy: &'a Proxy, target: String) -> Self {
        Ask {
            settings,
            proxy,
            target,
            whom: proxy.whom(),
            sent: None,
            rounds: 0,
        }
    }

    fn request(&mut self) -> Result<Request<()>, Error> {
        let invalid = |error: http::Error| Error::invalid(error.to_string());
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(&*self.target);
        let mut request = request.body(()).map_err(invalid)?;
        self.sent = None;
        if let Some(place) = self.place() {
            let asked = Asked {
                method: "CONNECT",
                target: &self.target,
                content: None,
            };
            if let Some((value, sent)) = self.settings.keyring.authorize(place, &asked)? {
                request.headers_mut().insert(PROXY_AUTHORIZATION, value);
                self.sent = Some(sent);
            }
        }
        Ok(request)
    }

    /// Whether another try with other credentials may help; if not, why there is no tunnel.
    fn refused(&mut self, status: StatusCode, headers: &HeaderMap) -> Result<(), Error> {
        if status != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(ProxyFault::Refused(status).error(self.proxy));
        }
        self.rounds += 1;
        let may_help = self.rounds < ROUNDS_MAX
            && self.place().is_some_and(|place| {
                let environment = &**self.settings.context.environment();
                let fields = headers.get_all(PROXY_AUTHENTICATE);
                let keyring = &self.settings.keyring;
                keyring.on_challenge(place, fields, self.sent.as_ref(), environment)
            });
        match may_help {
            true => Ok(()),
            false => Err(ProxyFault::NeedsCredentials.error(self.proxy)),
        }
    }

    fn accepted(&self, headers: &HeaderMap) {
        if let (Some(place), Some(info)) = (self.place(), headers.get(PROXY_INFO)) {
            let environment = &**self.settings.context.environment();
            self.settings.keyring.on_info(place, info, environment);
        }
    }

    /// Where the proxy's credentials are shown, if it has any.
    fn place(&self) -> Option<Place<'_>> {
        let own = self.proxy.own_credentials()?;
        Some(Place::at_proxy(&self.whom, own))
    }

    fn broken(&self, error: hyper::Error) -> Error {
        let lie = if error.is_parse_too_large() {
            ProxyLie::Oversized
        } else if error.is_parse() {
            ProxyLie::Garbled
        } else {
            ProxyLie::Truncated
        };
        self.lied(lie, error)
    }

    fn lied(&self, lie: ProxyLie, source: impl Into<BoxError>) -> Error {
        ProxyFault::Lied(lie).error(self.proxy).with_source(source)
    }

    /// Asks over HTTP/1.1.
    pub(super) async fn over_http1(&mut self, carrier: ByteCarrier) -> Result<Asking, Error> {
        let addresses = addresses(&carrier);
        let io = CarrierIo::new(carrier, Unwatched);
        let handshake = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake::<_, Body>(io)
            .await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(error))?;
        let mut connection = Driven::new(connection.with_upgrades());
        loop {
            let mut request = self.request()?.map(|()| Body::empty());
            let host = HeaderValue::from_str(&self.target)
                .map_err(|error| Error::invalid(error.to_string()))?;
            request.headers_mut().insert(HOST, host);
            let answering = sender.send_request(request);
            let mut response = connection
                .during(answering)
                .await
                .map_err(|error| self.broken(error))?;
            if response.status().is_success() {
                self.accepted(response.headers());
                let upgraded = connection.upgrade(&mut response).await;
                let upgraded = upgraded.map_err(|error| self.broken(error))?;
                return Ok(Asking::Opened(tunnel(upgraded, addresses)));
            }
            self.refused(response.status(), response.headers())?;
            let rest = connection.during(drained(response.body_mut()));
            if !rest.await {
                return Ok(Asking::Again);
            }
            if connection.during(sender.ready()).await.is_err() {
                return Ok(Asking::Again);
            }
        }
    }

    /// Asks over a connection that carries other tunnels too.
    pub(super) async fn beside(&mut self, berth: Berth) -> Result<Asking, Error> {
        match berth.wire.sender.clone() {
            Sender::Http2(sender) => self.over_http2(sender, berth).await,
            Sender::Http3(connection) => self.over_http3(&connection, berth).await,
        }
    }

    async fn over_http2(
        &mut self,
        mut sender: http2::SendRequest<Body>,
        berth: Berth,
    ) -> Result<Asking, Error> {
        loop {
            let request = self.request()?.map(|()| Body::empty());
            let _asked = berth.ask();
            let mut response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut error) => {
                    let is_unsent = error.take_message().is_some();
                    let (error, processing) = classify(error.into_error(), Version::Http2);
                    let is_safe = is_unsent || processing == Processing::Excluded;
                    return self.unanswered(&berth, is_safe, error);
                }
            };
            berth.on_answer();
            if response.status().is_success() {
                self.accepted(response.headers());
                let upgraded = hyper::upgrade::on(&mut response).await;
                let upgraded = upgraded.map_err(|error| self.broken(error))?;
                return Ok(self.opened(upgraded, berth));
            }
            self.refused(response.status(), response.headers())?;
        }
    }

    async fn over_http3(
        &mut self,
        connection: &ClientConnection,
        berth: Berth,
    ) -> Result<Asking, Error> {
        loop {
            let request = self.request()?;
            let asked = berth.ask();
            let Some(stream) = self.stream(connection, request, &berth).await else {
                asked.take_back();
                berth.on_full(connection.in_flight());
                return Ok(Asking::Full);
            };
            let (send, pending) = match stream {
                Ok(stream) => stream.split(),
                Err(error) => {
                    let failure =
                        Failure::new(Origin::Http, FailureKind::Closed, error.to_string());
                    let error = Error::new(ErrorClass::Closed, failure);
                    return self.unanswered(&berth, true, error.with_scope(Scope::Connection));
                }
            };
            let response = match pending.response().await {
                Ok(response) => response,
                Err(error) => {
                    let (error, processing) = classify_h3(&error, connection);
                    return self.unanswered(&berth, processing == Processing::Excluded, error);
                }
            };
            if response.status().is_success() {
                self.accepted(response.headers());
                let tunnel = Tunnel::new(response.into_body(), send);
                return Ok(self.opened(TokioIo::new(tunnel), berth));
            }
            // Nothing was tunnelled: the end of the request is enough.
            let _ = send.finish();
            self.refused(response.status(), response.headers())?;
        }
    }

    /// Sends a request, unless the proxy allows no stream for it for now.
    async fn stream(
        &self,
        connection: &ClientConnection,
        request: Request<()>,
        berth: &Berth,
    ) -> Option<Result<ClientStream, SendError>> {
        let mut opening = pin!(connection.send_request(request));
        let first = poll_fn(|context| Poll::Ready(opening.as_mut().poll(context))).await;
        if let Poll::Ready(stream) = first {
            return Some(stream);
        }
        if connection.in_flight() > 0 {
            // Other tunnels may last for ever.
            return None;
        }
        if !berth.is_reused {
            return Some(opening.await);
        }
        // The stream of a tunnel that has ended is granted anew within a round trip, or never.
        let environment = self.settings.context.environment();
        let soon = connection.quic().statistics().rtt * GRANT_ROUND_TRIPS + GRANT_SLACK;
        let mut timer = environment.timer();
        timer.reset(Some(environment.now() + soon));
        tokio::select! {
            biased;
            stream = opening => Some(stream),
            () = poll_fn(|context| timer.poll_expired(context)) => None,
        }
    }

    /// A tunnel that was opened beside others.
    fn opened(&self, io: impl Read + Write + Unpin + Send + 'static, berth: Berth) -> Asking {
        let fate = Fate::new(self.proxy);
        let addresses = berth.wire.addresses;
        let io = Beside::new(io, fate.clone(), berth);
        Asking::Opened(Opened {
            stream: Box::new(Piped::new(io, addresses)),
            unread: BytesMut::new(),
            fate: Some(fate),
        })
    }

    /// There was no answer. `is_safe` says that the proxy has not acted upon the request.
    fn unanswered(&self, berth: &Berth, is_safe: bool, error: Error) -> Result<Asking, Error> {
        let is_connections = error.scope() == Some(Scope::Connection);
        if is_connections {
            berth.condemn();
        }
        // Nothing of the application's was sent, so that asking again opens one more connection to
        // the target at worst.
        let may_repeat = is_safe || (is_connections && berth.is_reused);
        let error = self.lied(ProxyLie::Truncated, error);
        match may_repeat {
            true => Ok(Asking::Lost(error)),
            false => Err(error),
        }
    }
}

/// Ours and the peer's.
pub(super) fn addresses(carrier: &ByteCarrier) -> (SocketAddr, SocketAddr) {
    let socket = &carrier.socket;
    (socket.local_address(), socket.peer_address())
}

/// The tunnel that HTTP/1.1 leaves: in cleartext it is the socket itself.
fn tunnel(upgraded: Upgraded, addresses: (SocketAddr, SocketAddr)) -> Opened {
    let piped = |io, input: BytesMut| Opened {
        stream: Box::new(Piped::new(io, addresses)),
        unread: input,
        fate: None,
    };
    match upgraded.downcast::<CarrierIo<Unwatched>>() {
        Err(upgraded) => piped(Io::Upgraded(upgraded), BytesMut::new()),
        Ok(parts) => {
            let mut unread = BytesMut::from(&parts.read_buf[..]);
            match parts.io.into_socket() {
                Ok((socket, more)) => {
                    unread.extend_from_slice(&more);
                    Opened {
                        stream: socket,
                        unread,
                        fate: None,
                    }
                }
                Err(io) => piped(Io::Carrier(io), unread),
            }
        }
    }
}

/// Reads a short rest; false where that was not to be.
async fn drained(body: &mut Incoming) -> bool {
    let mut left = REFUSAL_BYTES_MAX;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        let Ok(frame) = frame else {
            return false;
        };
        let read = frame.data_ref().map_or(0, bytes::Bytes::len);
        match left.checked_sub(read) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

/// A connection that is moved by whoever waits for something of it.
struct Driven(Option<Work>);

impl Driven {
    fn new<E>(connection: impl Future<Output = Result<(), E>> + Send + 'static) -> Self {
        // How it ends is told to the request.
        Driven(Some(Box::pin(async move { drop(connection.await) })))
    }

    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        with_below(work, self).await
    }

    /// What a response that accepts leaves of the connection, or of its stream.
    async fn upgrade(&mut self, response: &mut Response<Incoming>) -> hyper::Result<Upgraded> {
        self.during(hyper::upgrade::on(response)).await
    }
}

impl Future for Driven {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(connection) = &mut self.0 {
            ready!(connection.as_mut().poll(context));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

/// What a tunnel of HTTP/1.1 in TLS is read and written through.
enum Io {
    Carrier(Box<CarrierIo<Unwatched>>),
    Upgraded(Upgraded),
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Io::Carrier(io) => Pin::new(io).poll_read(context, out),
            Io::Upgraded(io) => Pin::new(io).poll_read(context, out),
        }
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Io::Carrier(io) => Pin::new(io).poll_write(context, bytes),
            Io::Upgraded(io) => Pin::new(io).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Io::Carrier(io) => Pin::new(io).poll_flush(context),
            Io::Upgraded(io) => Pin::new(io).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Io::Carrier(io) => Pin::new(io).poll_shutdown(context),
            Io::Upgraded(io) => Pin::new(io).poll_shutdown(context),
        }
    }
}

/// Of an answer's head.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Of a refusal's content, to keep its connection.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// For so long a stream is waited for that a proxy has to grant anew: with some losses on the way.
const GRANT_ROUND_TRIPS: u32 = 4;
const GRANT_SLACK: Duration = Duration::from_millis(100);

/// Requests that one tunnel takes: without credentials, with them, with a nonce that is not stale.
const ROUNDS_MAX: usize = 3;
