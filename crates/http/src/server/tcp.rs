//! Connections over TCP: the handshake, then HTTP/1.1 or 2 by hyper.
//!
//! Invariant: a connection takes up a place from its acceptance to the end of everything that was
//! made of it.

use super::account::Account;
use super::apart::Alarm;
use super::begun::{Beginner, Begun};
use super::body::{RequestBody, ResponseBody};
use super::event::{End, Event, Flood};
use super::exchange::{Answering, Connection, Prompt};
use super::frames::{Frames, PREFACE};
use super::info::ConnectionInfo;
use super::meter::{Due, Meter, shortest};
use super::prompt::Place;
use super::proxy_protocol::{self, Header};
use super::shard::Shard;
use super::{Phase, ServerService};
use crate::carrier_io::CarrierIo;
use bytes::{Buf, BytesMut};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use portway_core::security::Protection;
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::environment::{Environment, TcpOptions, TcpStream};
use portway_transport::establish::handshake;
use portway_transport::established::ByteCarrier;
use portway_transport::failure_map::failure_from_io;
use portway_transport::layer::ByteLayer;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Serves one connection to its end.
pub(super) async fn serve<S: ServerService>(
    shard: Arc<Shard>,
    service: S,
    socket: Box<dyn TcpStream>,
    meter: Arc<Meter>,
) {
    let peer = socket.peer_address();
    let mut phase = shard.phase.clone();
    let opened = tokio::select! {
        biased;
        opened = open(&shard, socket) => opened,
        () = sleep(&*shard.environment, shard.options.times.handshake) => Err(late(peer)),
        () = aborted(&mut phase) => return,
    };
    let (carrier, info) = match opened {
        Ok(Some(opened)) => opened,
        // A client that goes without a word, such as a check of a load balancer.
        Ok(None) => return,
        Err(failure) => {
            return shard.events.tell(|| Event::HandshakeFailed {
                peer: Some(peer),
                failure,
            });
        }
    };
    let end = drive(&shard, service, carrier, &info, meter).await;
    shard.events.tell(|| Event::Ended {
        connection: info,
        end,
    });
}

/// Everything before HTTP; `None` when the client said nothing.
async fn open(
    shard: &Shard,
    socket: Box<dyn TcpStream>,
) -> Result<Option<(ByteCarrier, ConnectionInfo)>, Failure> {
    let mut options = TcpOptions::default();
    options.no_delay = Some(true);
    socket
        .set_options(&options)
        .map_err(|error| failure_from_io(&error, "cannot set options of a connection"))?;
    let mut carrier = ByteCarrier::new(socket);
    let (mut peer, mut local) = (
        carrier.socket.peer_address(),
        carrier.socket.local_address(),
    );
    let mut proxy = None;
    let proxies = shard.options.proxies.as_ref();
    if proxies.is_some_and(|is_trusted| is_trusted(peer.ip()))
        && let Header::Proxied {
            peer: said_peer,
            local: said_local,
        } = read_header(&mut carrier).await?
    {
        proxy = Some(peer);
        (peer, local) = (said_peer, said_local);
    }
    let mut protection: Option<Protection> = None;
    if let Some(tls) = shard.options.tcp_tls() {
        let mut layer = match shard.options.versions.http1 {
            // Old clients of HTTP/1.1 know nothing of application protocols.
            true => shard.tls.server_with_optional_alpn(&tls, &tls.alpn)?,
            // RFC 9113 §3.3: in TLS nothing else says that HTTP/2 is spoken.
            false => shard.tls.server(&tls, &tls.alpn)?,
        };
        handshake(&*carrier.socket, &mut layer, &mut carrier.unread).await?;
        protection = layer.protection();
        carrier.layer = Some(Box::new(layer));
    } else if !await_first_bytes(&mut carrier).await? {
        return Ok(None);
    }
    let info = ConnectionInfo::tcp(peer, local, proxy, protection);
    Ok(Some((carrier, info)))
}

/// Reads what a proxy says of its client.
async fn read_header(carrier: &mut ByteCarrier) -> Result<Header, Failure> {
    loop {
        if let Some((header, length)) = proxy_protocol::parse(&carrier.unread)? {
            carrier.unread.advance(length);
            return Ok(header);
        }
        if read_some(&*carrier.socket, &mut carrier.unread).await? == 0 {
            let words = "the proxy ended the connection before it said for whom it is";
            return Err(Failure::new(Origin::Local, FailureKind::Closed, words));
        }
    }
}

/// Reads until it shows whether HTTP/2 is spoken (RFC 9113 §3.3); false at the end.
async fn await_first_bytes(carrier: &mut ByteCarrier) -> Result<bool, Failure> {
    while PREFACE.starts_with(&carrier.unread) && carrier.unread.len() < PREFACE.len() {
        if read_some(&*carrier.socket, &mut carrier.unread).await? == 0 {
            return Ok(!carrier.unread.is_empty());
        }
    }
    Ok(true)
}

/// Waits for bytes; none is the end.
pub(super) async fn read_some(
    socket: &dyn TcpStream,
    into: &mut BytesMut,
) -> Result<usize, Failure> {
    let lost = |error: std::io::Error| failure_from_io(&error, "the connection was lost");
    loop {
        poll_fn(|context| socket.poll_readable(context))
            .await
            .map_err(lost)?;
        into.reserve(FIRST_READ_BYTES);
        match socket.try_read_buf(into) {
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            read => return read.map_err(lost),
        }
    }
}

async fn drive<S: ServerService>(
    shard: &Arc<Shard>,
    service: S,
    carrier: ByteCarrier,
    info: &ConnectionInfo,
    meter: Arc<Meter>,
) -> End {
    let options = &shard.options;
    let is_http2 = match info.alpn() {
        Some(alpn) => alpn == b"h2",
        None => !info.is_protected() && carrier.unread.starts_with(PREFACE),
    };
    let environment = &shard.environment;
    let frames = is_http2.then(|| {
        let limits = &options.limits;
        Frames::new(
            limits.glitch_burst,
            limits.glitches_per_second,
            environment.now(),
        )
    });
    if !is_http2 && !options.versions.http1 || is_http2 && !options.versions.http2 {
        return End::Failed("a version of HTTP that is not served".to_owned());
    }
    let account = Account {
        meter: Arc::clone(&meter),
        frames,
    };
    let io = CarrierIo::new(carrier, account);
    let connection = Connection {
        service,
        info: info.clone(),
        options: Arc::clone(options),
        meter: Arc::clone(&meter),
        alt_svc: shard.alt_svc.clone().filter(|_| info.is_protected()),
    };
    if is_http2 {
        let begun = Begun::new(Arc::clone(shard));
        let connection = http2(shard, begun.beginner()).serve_connection(io, Http2(connection));
        watch(
            shard,
            &meter,
            pin!(connection),
            |connection, context| begun.poll(connection, context),
            |connection| connection.graceful_shutdown(),
        )
        .await
    } else {
        let connection = http1(shard).serve_connection(io, Http1::new(connection));
        watch(
            shard,
            &meter,
            pin!(connection.with_upgrades()),
            |connection, context| connection.poll(context),
            |connection| connection.graceful_shutdown(),
        )
        .await
    }
}

fn http1(shard: &Shard) -> http1::Builder {
    let limits = &shard.options.limits;
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_buf_size((limits.head_bytes_max as usize).max(HTTP1_BUFFER_BYTES_MIN));
    // hyper reads fields into its stack, unless it is told how many; fewer are counted later.
    if limits.fields_max > HTTP1_FIELDS {
        builder.max_headers(limits.fields_max);
    }
    builder
}

fn http2(shard: &Shard, beginner: Beginner) -> http2::Builder<Beginner> {
    let limits = &shard.options.limits;
    let mut builder = http2::Builder::new(beginner);
    builder
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(limits.head_bytes_max)
        .enable_connect_protocol();
    builder
}

/// Runs a connection with its time limits until it ends.
async fn watch<C>(
    shard: &Shard,
    meter: &Meter,
    mut connection: Pin<&mut C>,
    poll: impl Fn(Pin<&mut C>, &mut Context<'_>) -> Poll<hyper::Result<()>>,
    shut_down: impl Fn(Pin<&mut C>),
) -> End {
    let times = &shard.options.times;
    let environment = &shard.environment;
    let mut phase = shard.phase.clone();
    let mut timer = environment.patient_timer();
    timer.reset(Some(environment.now() + shortest(times)));
    let mut alarm = Alarm::new();
    let mut ending_times = times.clone();
    ending_times.keep_alive = times.keep_alive.min(LAST_WORDS);
    let (mut is_draining, mut is_ending) = (false, false);
    loop {
        let phase_now = *phase.borrow_and_update();
        match phase_now {
            Phase::Stopped => return End::Stopped,
            Phase::Draining if !is_draining => {
                is_draining = true;
                meter.set_last();
                timer.reset(Some(environment.now() + FIRST_WORDS.min(times.head)));
            }
            _ => {}
        }
        let running = poll_fn(|context| {
            let polled = poll(connection.as_mut(), context);
            // A client whose first request is on its way is answered still.
            if polled.is_ready() || !is_draining || is_ending || !meter.has_begun() {
                return polled;
            }
            is_ending = true;
            shut_down(connection.as_mut());
            poll(connection.as_mut(), context)
        });
        let interrupted = alarm.wait(async {
            tokio::select! {
                biased;
                _ = phase.changed() => Interruption::Phase,
                () = poll_fn(|context| timer.poll_expired(context)) => Interruption::Time,
            }
        });
        let interruption = tokio::select! {
            biased;
            ended = running => return meter.end().unwrap_or_else(|| end_of(ended)),
            interruption = interrupted => interruption,
        };
        match interruption {
            Interruption::Phase => {}
            Interruption::Time => match meter.due(if is_ending { &ending_times } else { times }) {
                _ if is_draining && !is_ending => {
                    is_ending = true;
                    shut_down(connection.as_mut());
                    timer.reset(Some(environment.now() + LAST_WORDS));
                }
                Due::At(at) => timer.reset(Some(at)),
                // It had its time to go.
                Due::End(End::Idle) if !is_ending => {
                    is_ending = true;
                    meter.set_end(End::Idle);
                    meter.set_last();
                    shut_down(connection.as_mut());
                    timer.reset(Some(environment.now() + LAST_WORDS));
                }
                // Everything was answered, and the client had its time to see it.
                Due::End(End::Idle) if is_draining => return End::Closed,
                Due::End(end) => return meter.end().unwrap_or(end),
            },
        }
    }
}

/// Why a connection that goes on is looked at.
enum Interruption {
    Phase,
    Time,
}

fn end_of(ended: hyper::Result<()>) -> End {
    match ended {
        Ok(()) => End::Closed,
        Err(error) => {
            let mut words = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                let cause_in_http2 = cause.downcast_ref::<h2::Error>();
                // What hyper counts itself are requests that were reset before they were seen.
                if cause_in_http2
                    .is_some_and(|it| it.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
                {
                    return End::Flood(Flood::Resets);
                }
                words = format!("{words}: {cause}");
                source = cause.source();
            }
            End::Failed(words)
        }
    }
}

/// The service as hyper calls it over HTTP/1. An answer that is ready at once is there before hyper
/// looks whether the client is gone: the request's head is free then, and what hyper reads next
/// goes where it was, instead of into new memory.
struct Http1<S: ServerService> {
    connection: Connection<S>,
    /// Requests of a connection are answered one after the other.
    place: Place<S::Future>,
}

impl<S: ServerService> Http1<S> {
    fn new(connection: Connection<S>) -> Self {
        Http1 {
            connection,
            place: Place::new(),
        }
    }
}

impl<S: ServerService> hyper::service::Service<Request<Incoming>> for Http1<S> {
    type Response = http::Response<ResponseBody<S::Body>>;
    type Error = std::convert::Infallible;
    type Future = Prompt<S, S::Future, S::Body>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(RequestBody::hyper);
        self.connection.answer_now(request, &self.place)
    }
}

/// The service as hyper calls it over HTTP/2.
struct Http2<S>(Connection<S>);

impl<S: ServerService> hyper::service::Service<Request<Incoming>> for Http2<S> {
    type Response = http::Response<ResponseBody<S::Body>>;
    type Error = std::convert::Infallible;
    type Future = Answering<S, S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.0.answer(request.map(RequestBody::hyper), false)
    }
}

/// Resolves when the server is stopped at once.
pub(super) async fn aborted(phase: &mut tokio::sync::watch::Receiver<Phase>) {
    // The sender is gone only with the server.
    let _ = phase.wait_for(|phase| *phase == Phase::Stopped).await;
}

/// Waits on the environment's clock.
pub(super) fn sleep(
    environment: &dyn Environment,
    time: Duration,
) -> impl Future<Output = ()> + Send + use<> {
    let mut timer = environment.timer();
    timer.reset(Some(environment.now() + time));
    poll_fn(move |context| timer.poll_expired(context))
}

fn late(peer: SocketAddr) -> Failure {
    Failure::new(
        Origin::Local,
        FailureKind::TimedOut,
        format!("{peer} did not complete its handshake in time"),
    )
}

const FIRST_READ_BYTES: usize = 4 * 1024;

/// hyper takes no smaller buffer.
const HTTP1_BUFFER_BYTES_MIN: usize = 8192;

/// As many fields hyper takes by itself.
const HTTP1_FIELDS: usize = 100;

/// How long the first request of a connection may be on its way when the server drains.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// How long an idle client may take to see that its connection ends.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);
