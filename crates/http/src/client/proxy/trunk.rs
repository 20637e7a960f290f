//! One connection to a proxy as tunnels use it, and a tunnel's place on it.
//!
//! Invariant: how many tunnels a connection takes is the proxy's to say, and one that says that it
//! goes away, or keeps silent to a tunnel that gives up, gets no further one; a tunnel that is not
//! read holds up no other.

use super::Proxy;
use super::connect::addresses;
use super::trunks::{Hold, State, Trunks};
use crate::carrier_io::{CarrierIo, WireWatch};
use crate::client::Body;
use crate::client::dial::{Ground, Spawner, Work, to_proxy};
use crate::client::error::Error;
use crate::client::frames::{Frames, Said};
use crate::client::listener::{Listener, Listening};
use crate::client::settings::Settings;
use crate::client::watch::Watch;
use crate::h3::{self, ClientConnection};
use crate::pool::{ConnectionId, Version};
use hyper::client::conn::http2;
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::established::{ByteCarrier, Carrier};
use portway_transport::quic_stack::QuicCarrier;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::{Notify, oneshot};

/// A connection to a proxy.
pub(super) enum Trunk {
    /// It carries tunnels side by side.
    Shared {
        wire: Wire,
        /// The task of a connection of HTTP/3 ends with it.
        _alive: Option<oneshot::Sender<()>>,
    },
    /// It is for one tunnel.
    Own(Box<Ground>),
}

impl Trunk {
    /// What a tunnel is asked for with, where several can be.
    pub(super) fn wire(&self) -> Option<Wire> {
        match self {
            Trunk::Shared { wire, .. } => Some(wire.clone()),
            Trunk::Own(_) => None,
        }
    }
}

/// What a tunnel is asked for with.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) sender: Sender,
    /// Ours and the proxy's.
    pub(super) addresses: (SocketAddr, SocketAddr),
    line: Arc<Line>,
}

impl Wire {
    /// How often something has come from the proxy.
    fn heard(&self) -> u64 {
        match &self.sender {
            Sender::Http2(_) => self.line.reads.load(Ordering::Relaxed),
            Sender::Http3(connection) => connection.quic().statistics().datagrams_received,
        }
    }
}

/// This end of a connection.
#[derive(Clone)]
pub(super) enum Sender {
    Http2(http2::SendRequest<Body>),
    Http3(ClientConnection),
}

/// A tunnel's place on a connection to its proxy.
pub(super) struct Berth {
    pub(super) wire: Wire,
    /// Whether the connection has carried a tunnel before, so that the proxy may have closed it
    /// meanwhile.
    pub(super) is_reused: bool,
    hold: Hold,
}

impl Berth {
    pub(super) fn new(hold: Hold, wire: Wire, is_reused: bool) -> Self {
        Berth {
            wire,
            is_reused,
            hold,
        }
    }

    /// A tunnel is asked for, until this is dropped.
    pub(super) fn ask(&self) -> Question {
        Question {
            heard: self.wire.heard(),
            wire: self.wire.clone(),
        }
    }

    /// Whether nothing has come from the proxy since a tunnel was asked for that was given up.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.wire.line.doubt.load(Ordering::Relaxed) == self.wire.heard()
    }

    /// The connection takes no further tunnel.
    pub(super) fn condemn(&self) {
        let connection = self.hold.connection;
        let drain = |state: &mut State, now| state.pool.on_draining(now, connection);
        self.hold.trunks.act(drain);
    }

    /// A tunnel was answered over HTTP/2. RFC 9113 §3.4: SETTINGS come before; a proxy without any
    /// would let others wait for ever to hear how many tunnels there may be.
    pub(super) fn on_answer(&self) {
        if !self.wire.line.has_said_max.load(Ordering::Relaxed) {
            self.condemn();
        }
    }

    /// The proxy allows no further stream for now.
    pub(super) fn on_full(&self, in_flight: usize) {
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        self.wire.line.on_said(Said::StreamsMax(in_flight));
        self.wire.line.full.notify_one();
    }
}

/// A tunnel that is asked for. An answer is something that has come, so that only one that was
/// given up leaves its connection in doubt; whether it is alive all the same, what comes until the
/// next tunnel wants it will tell.
pub(super) struct Question {
    wire: Wire,
    /// How often something had come before.
    heard: u64,
}

impl Question {
    /// It was not asked after all.
    pub(super) fn take_back(mut self) {
        self.heard = NO_DOUBT;
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if self.wire.heard() == self.heard {
            self.wire.line.doubt.store(self.heard, Ordering::Relaxed);
        }
    }
}

/// From a connection to the pool. Nothing is said before the pool knows the connection, since what
/// moves that begins after.
pub(super) struct Line {
    trunks: Weak<Trunks>,
    connection: OnceLock<ConnectionId>,
    /// The proxy has allowed no further stream.
    full: Notify,
    /// Whether it is known how many tunnels there may be.
    has_said_max: AtomicBool,
    /// How often something was read, over HTTP/2.
    reads: AtomicU64,
    /// How often something had come when a tunnel was given up that nobody had answered.
    doubt: AtomicU64,
}

impl Line {
    pub(super) fn new(trunks: Weak<Trunks>) -> Self {
        Line {
            trunks,
            connection: OnceLock::new(),
            full: Notify::new(),
            has_said_max: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            doubt: AtomicU64::new(NO_DOUBT),
        }
    }

    pub(super) fn attach(&self, connection: ConnectionId) {
        let _ = self.connection.set(connection);
    }

    pub(super) fn connection(&self) -> Option<ConnectionId> {
        self.connection.get().copied()
    }

    fn known(&self) -> Option<(Arc<Trunks>, ConnectionId)> {
        Some((self.trunks.upgrade()?, self.connection()?))
    }
}

impl Listener for Line {
    fn on_said(&self, said: Said) {
        if let Said::StreamsMax(_) = said {
            self.has_said_max.store(true, Ordering::Relaxed);
        }
        let Some((trunks, connection)) = self.known() else {
            return;
        };
        trunks.act(|state, now| match said {
            Said::StreamsMax(max) => state.pool.on_streams_max(now, connection, max),
            Said::GoAway => state.pool.on_draining(now, connection),
            // A proxy is asked for tunnels as its URL says, wherever else it may be.
            Said::Alternatives { .. } | Said::Origins(_) => {}
        });
    }

    fn on_closed(&self) {
        if let Some((trunks, connection)) = self.known() {
            trunks.on_closed(connection);
        }
    }
}

/// Listens to a connection's bytes, and counts how often there are any.
struct Overheard {
    listening: Listening,
    line: Arc<Line>,
}

impl WireWatch for Overheard {
    fn on_read(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.line.reads.fetch_add(1, Ordering::Relaxed);
        self.listening.on_read(bytes)
    }
}

/// What a dial yields.
pub(super) struct Dialled {
    pub(super) trunk: Trunk,
    pub(super) version: Version,
    /// Moves the connection, and ends with it.
    pub(super) work: Work,
}

/// Connects to a proxy.
pub(super) async fn dial(
    settings: &Arc<Settings>,
    proxy: &Proxy,
    watch: Watch,
    line: &Arc<Line>,
) -> Result<Dialled, Error> {
    let reaching = to_proxy(settings.clone(), proxy.clone(), false, watch.clone());
    let ground = watch.bounded(reaching).await;
    // Where its time was up, it was the proxy that was waited for.
    let ground = ground.map_err(|error| match error.proxy() {
        None => error.at_proxy(proxy),
        Some(_) => error,
    })?;
    let agreed = ground.protection.as_ref();
    let is_http2 = agreed.and_then(|it| it.alpn.as_deref()) == Some(b"h2");
    match ground.carrier {
        Carrier::Bytes(carrier) if is_http2 => over_http2(settings, proxy, carrier, line).await,
        Carrier::Quic(quic) => over_http3(&quic, line),
        _ => Ok(Dialled {
            trunk: Trunk::Own(Box::new(ground)),
            version: Version::Http1,
            work: Box::pin(std::future::ready(())),
        }),
    }
}

async fn over_http2(
    settings: &Arc<Settings>,
    proxy: &Proxy,
    carrier: ByteCarrier,
    line: &Arc<Line>,
) -> Result<Dialled, Error> {
    let addresses = addresses(&carrier);
    let environment = settings.context.environment().clone();
    let overheard = Overheard {
        listening: Listening::new(Some(Frames::default()), line.clone()),
        line: line.clone(),
    };
    let io = CarrierIo::new(carrier, overheard);
    let shaking = http2::Builder::new(Spawner(environment))
        .max_header_list_size(super::connect::HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(TUNNEL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(io)
        .await;
    let (sender, connection) = shaking.map_err(|error| {
        let (error, _) = crate::client::classify::classify(error, Version::Http2);
        error.at_proxy(proxy)
    })?;
    Ok(Dialled {
        trunk: Trunk::Shared {
            wire: Wire {
                sender: Sender::Http2(sender),
                addresses,
                line: line.clone(),
            },
            _alive: None,
        },
        version: Version::Http2,
        // How it ends is told to the tunnels.
        work: Box::pin(async move { drop(connection.await) }),
    })
}

fn over_http3(carrier: &QuicCarrier, line: &Arc<Line>) -> Result<Dialled, Error> {
    let quic = carrier.connection();
    let addresses = (carrier.local_address(), quic.remote_address());
    let connection = ClientConnection::new(quic, &h3::Options::default()).map_err(|error| {
        let failure = Failure::new(Origin::Local, FailureKind::Other, error.to_string());
        Error::of_dial(failure, None)
    })?;
    quic.raise_receive_window(CONNECTION_WINDOW_BYTES);
    let (alive, gone) = oneshot::channel();
    Ok(Dialled {
        work: Box::pin(watch_over(connection.clone(), line.clone(), gone)),
        trunk: Trunk::Shared {
            wire: Wire {
                sender: Sender::Http3(connection),
                addresses,
                line: line.clone(),
            },
            _alive: Some(alive),
        },
        version: Version::Http3,
    })
}

/// Tells of a connection of HTTP/3 as a whole until the pool lets it go.
async fn watch_over(
    connection: ClientConnection,
    line: Arc<Line>,
    mut gone: oneshot::Receiver<()>,
) {
    let quic = connection.quic();
    // How many streams there may be is QUIC's to say, stream by stream.
    line.on_said(Said::StreamsMax(USUAL_STREAMS));
    let telling = async {
        connection.going_away().await;
        line.on_said(Said::GoAway);
        quic.closed().await;
    };
    let counting = async {
        loop {
            line.full.notified().await;
            connection.room().await;
            line.on_said(Said::StreamsMax(USUAL_STREAMS));
        }
    };
    tokio::select! {
        _ = &mut gone => {}
        () = telling => {}
        () = counting => {}
    }
    line.on_closed();
}

/// So often nothing comes.
const NO_DOUBT: u64 = u64::MAX;

/// RFC 9114 §6.1: what peers should allow at least, which is believed until one blocks.
const USUAL_STREAMS: u32 = 100;

/// What a proxy may send through one tunnel before its reader takes it.
const TUNNEL_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// What it may send through all tunnels: as much as each of them may take, so that those that
/// nobody reads leave the others their room.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
