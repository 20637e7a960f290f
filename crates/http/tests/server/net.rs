//! Two simulated hosts: a server, and clients that say what no decent client says.

use crate::support::pin;
use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use portway_core::Time;
use portway_core::security::TlsParameters;
use portway_http::h3::{ClientConnection, Options};
use portway_http::server::{ConnectionInfo, End, Event, Server, Serving};
use portway_sim::{SimEnvironment, Simulation};
use portway_transport::environment::{Environment, TcpConnect, TcpStream, UdpBind};
use portway_transport::quic::{ClientConfig, ClientCrypto, Endpoint, EndpointOptions};
use portway_transport::tls::{EarlyData, TlsEngine};
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// The simulated network with a server in it.
pub(crate) struct Net {
    pub(crate) sim: Simulation,
    pub(crate) client: Arc<SimEnvironment>,
    pub(crate) host: Arc<SimEnvironment>,
    pub(crate) serving: Serving,
    pub(crate) app: App,
    events: Arc<Mutex<Vec<Event>>>,
}

/// What tests ask the handlers for.
#[derive(Clone, Default)]
pub(crate) struct App {
    /// `/hold` answers when this is told.
    pub(crate) release: Arc<Notify>,
    /// Told when `/hold` was called.
    pub(crate) held: Arc<Notify>,
    /// How often `/hold` was called.
    pub(crate) calls: Arc<AtomicUsize>,
}

impl App {
    fn router(&self) -> Router {
        let app = self.clone();
        Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/", post(|| async { "posted" }))
            .route(
                "/host",
                get(|fields: http::HeaderMap| async move {
                    let host = fields.get(http::header::HOST).cloned();
                    host.map_or(Bytes::new(), |host| Bytes::copy_from_slice(host.as_bytes()))
                }),
            )
            .route(
                "/peer",
                get(|info: axum::Extension<ConnectionInfo>| async move {
                    let proxy = info.proxy().map(|proxy| format!(" by {}", proxy.ip()));
                    format!(
                        "{} {}{}",
                        info.peer(),
                        info.local(),
                        proxy.unwrap_or_default()
                    )
                }),
            )
            .route(
                "/early",
                get(|info: axum::Extension<ConnectionInfo>| async move {
                    info.is_early().to_string()
                }),
            )
            .route(
                "/whole",
                get(|| async { Bytes::from(vec![7; LARGE_BYTES]) }),
            )
            .route("/large", get(|| async { Body::new(Pieces(LARGE_BYTES)) }))
            .route("/echo", post(|body: Body| async { body }))
            .route(
                "/length",
                post(|body: Bytes| async move { body.len().to_string() }),
            )
            .route("/fault", get(fault))
            .route(
                "/hold",
                get(move || async move {
                    app.calls.fetch_add(1, Ordering::Relaxed);
                    app.held.notify_one();
                    app.release.notified().await;
                    "released"
                }),
            )
    }
}

async fn fault() -> &'static str {
    panic!("a handler with a fault")
}

/// Content that is made piece by piece.
struct Pieces(usize);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let piece = self.0.min(16 * 1024);
        self.0 -= piece;
        let frame = http_body::Frame::data(Bytes::from(vec![7; piece]));
        std::task::Poll::Ready((piece > 0).then_some(Ok(frame)))
    }
}

pub(crate) const LARGE_BYTES: usize = 8 << 20;

impl Net {
    /// Runs a test with a server in cleartext.
    pub(crate) fn run(change: impl FnOnce(Server) -> Server, test: impl AsyncFnOnce(&Net)) {
        let sim = Simulation::new(1);
        let (client, host) = (sim.host("client"), sim.host("server"));
        client.set_addresses(&[ip("10.0.0.1")]);
        host.set_addresses(&[ip("10.0.0.2")]);
        sim.set_time_limit(Time::ZERO + Duration::from_secs(3600));
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let heard = Arc::clone(&events);
        let server = Server::new(SocketAddr::new(ip("10.0.0.2"), 443))
            .environment(host.clone())
            .on_event(move |event| heard.lock().expect("no panic").push(event));
        let app = App::default();
        let serving = change(server)
            .serve(app.router())
            .expect("the ports are free");
        let net = Net {
            sim,
            client,
            host,
            serving,
            app,
            events,
        };
        net.sim.block_on(test(&net));
        let Net {
            sim,
            client,
            host,
            serving,
            app,
            events,
        } = net;
        // Events know their connections.
        drop((serving, client, host, app, events));
        sim.run_for(Duration::from_secs(60));
        assert_eq!(sim.tasks_alive(), 0, "tasks");
        assert_eq!(sim.sockets_open(), 0, "sockets");
    }

    /// A connection of a client.
    pub(crate) async fn connect(&self) -> Wire {
        let request = TcpConnect::to(self.serving.address());
        let stream = self.client.tcp_connect(request).await.expect("a server");
        Wire {
            stream,
            unread: BytesMut::new(),
        }
    }

    /// Lets virtual time pass.
    pub(crate) async fn sleep(&self, time: Duration) {
        let mut timer = self.client.timer();
        timer.reset(Some(self.client.now() + time));
        poll_fn(|context| timer.poll_expired(context)).await;
    }

    /// Virtual time since `start`.
    pub(crate) fn since(&self, start: Time) -> Duration {
        self.client.now().saturating_since(start)
    }

    /// Why connections ended so far, in the order in which they did.
    pub(crate) fn ends(&self) -> Vec<End> {
        let events = self.events.lock().expect("no panic");
        let ends = events.iter().filter_map(|event| match event {
            Event::Ended { end, .. } => Some(end.clone()),
            _ => None,
        });
        ends.collect()
    }

    /// Waits until so many connections have ended.
    pub(crate) async fn ended(&self, count: usize) -> Vec<End> {
        while self.ends().len() < count {
            self.sleep(Duration::from_millis(10)).await;
        }
        self.ends()
    }

    /// What did not get as far as HTTP, and failures to accept.
    pub(crate) fn failures(&self) -> Vec<String> {
        let events = self.events.lock().expect("no panic");
        let failures = events.iter().filter_map(|event| match event {
            Event::AcceptFailed { failure } => Some(format!("accept: {failure}")),
            Event::HandshakeFailed { failure, .. } => Some(failure.to_string()),
            _ => None,
        });
        failures.collect()
    }
}

/// Clients of HTTP/3, who keep their sessions.
pub(crate) struct Quic {
    endpoint: Endpoint,
    config: ClientConfig,
    remote: SocketAddr,
}

impl Quic {
    pub(crate) fn new(net: &Net) -> Self {
        let remote = net.serving.address();
        let tls = TlsParameters::default().with_trust(pin());
        let engine = TlsEngine::new();
        let alpn = [b"h3".to_vec()];
        let early = EarlyData::Allowed;
        let crypto = engine.quic_client(&tls, Some("localhost"), remote.ip(), &alpn, early);
        let local = SocketAddr::new(ip("10.0.0.1"), 0);
        let options = EndpointOptions::default();
        let endpoint = Endpoint::bind(net.client.clone(), UdpBind::on(local), &options, None);
        Quic {
            endpoint: endpoint.expect("a socket"),
            config: ClientConfig::new(ClientCrypto::new(crypto.expect("a pin"))),
            remote,
        }
    }

    fn connecting(&self) -> portway_transport::quic::Connecting {
        let connecting = self
            .endpoint
            .connect(&self.config, self.remote, "localhost");
        connecting.expect("it can begin")
    }

    pub(crate) async fn connect(&self) -> ClientConnection {
        let connection = self.connecting().await.expect("a server");
        ClientConnection::new(&connection, &Options::default()).expect("a client")
    }

    /// Without HTTP/3.
    pub(crate) async fn connect_raw(&self) -> portway_transport::quic::Connection {
        self.connecting().await.expect("a server")
    }

    /// Before the server has answered.
    pub(crate) fn connect_early(&self) -> ClientConnection {
        let connection = self.connecting().into_early().expect("a ticket");
        ClientConnection::new(&connection, &Options::default()).expect("a client")
    }

    pub(crate) async fn close(self) {
        self.endpoint.close(0.into(), b"");
        self.endpoint.wait_idle().await;
    }
}

/// A client's connection, byte by byte.
pub(crate) struct Wire {
    stream: Box<dyn TcpStream>,
    unread: BytesMut,
}

/// A response of HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    /// Writes everything; false when the server takes no more.
    pub(crate) async fn send(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match self.stream.try_write_vectored(&[IoSlice::new(bytes)]) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if poll_fn(|context| self.stream.poll_writable(context))
                        .await
                        .is_err()
                    {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Waits for more; false at the end, orderly or not.
    pub(crate) async fn read_more(&mut self) -> bool {
        loop {
            self.unread.reserve(16 * 1024);
            match self.stream.try_read_buf(&mut self.unread) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if poll_fn(|context| self.stream.poll_readable(context))
                        .await
                        .is_err()
                    {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }

    /// Everything until the server ends the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        self.unread.split().to_vec()
    }

    /// The next response of HTTP/1.1; `None` when the connection ends without one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let head_end = loop {
            if let Some(at) = self.unread.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more().await {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.unread.split_to(head_end)).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        while self.unread.len() < length && self.read_more().await {}
        let length = length.min(self.unread.len());
        Some(Answer {
            status: head.split(' ').nth(1)?.parse().expect("a number"),
            body: self.unread.split_to(length).to_vec(),
            head,
        })
    }

    /// Sends a request of HTTP/1.1 and waits for its answer.
    pub(crate) async fn ask(&mut self, request: &str) -> Option<Answer> {
        self.send(request.as_bytes()).await;
        self.answer().await
    }

    /// Gives the memory of what is read back.
    pub(crate) fn release(&mut self) {
        assert!(self.unread.is_empty(), "everything was looked at");
        self.unread = BytesMut::new();
    }

    /// Begins HTTP/2.
    pub(crate) async fn http2(mut self) -> Http2 {
        assert!(self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await);
        assert!(self.send(&frame(SETTINGS, 0, 0, &[])).await);
        Http2 { wire: self }
    }
}

/// A connection of HTTP/2, frame by frame.
pub(crate) struct Http2 {
    pub(crate) wire: Wire,
}

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Http2 {
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.wire.send(&frame(kind, flags, stream, payload)).await
    }

    /// A request for a path without content.
    pub(crate) async fn get(&mut self, stream: u32, path: &str) -> bool {
        let flags = END_HEADERS | END_STREAM;
        self.send(HEADERS, flags, stream, &block(path)).await
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        while self.wire.unread.len() < 9 {
            if !self.wire.read_more().await {
                return None;
            }
        }
        let head: [u8; 9] = self.wire.unread[..9].try_into().expect("it is there");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        while self.wire.unread.len() < 9 + length {
            if !self.wire.read_more().await {
                return None;
            }
        }
        let all = self.wire.unread.split_to(9 + length);
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: all[9..].to_vec(),
        })
    }

    /// The next frame of a kind.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            match self.next().await? {
                frame if frame.kind == kind => return Some(frame),
                _ => {}
            }
        }
    }
}

/// The fields of a GET for a path, as references to HPACK's table and literals.
pub(crate) fn block(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x41, 1, b'a', 0x44, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

// RFC 9113 §6.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
