//! What can be chosen for connections, endpoints and servers.
//!
//! Invariant: every amount that a peer can make this side hold has a bound here.

use super::choice::Chooser;
use super::connection::{Confirmed, CubicFactory, Factory, PathFactory, Until};
use super::hello::HelloLimits;
use super::sharding::Shard;
use super::tokens::AddressTokens;
use super::{ConnectError, VarInt};
use crate::tls::{QuicClientTls, QuicServerTls};
use quinn_proto::congestion::{BbrConfig, NewRenoConfig};
use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig};
use std::net::{SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

/// Options of one connection, the same for both sides.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportOptions {
    /// Streams that the peer may have open at a time, and the windows for what they carry.
    pub streams: StreamLimits,
    /// Unreliable datagrams.
    pub datagrams: DatagramLimits,
    /// The times after which something is given up or kept alive.
    pub times: Times,
    /// Path MTU discovery.
    pub mtu: MtuOptions,
    /// How the sending rate is controlled.
    pub congestion: Congestion,
    /// How many packets leave together while the congestion window is full: what is there to be
    /// sent waits until so many fit, but for no more than a third of the window, not in slow start
    /// and not where packets were lost. Bursts cost both ends fewer wakes. Zero and one send
    /// whatever fits at once.
    pub burst_packets: u8,
    /// What closes are called when the application gives no code.
    pub defaults: DefaultCodes,
}

impl Default for TransportOptions {
    fn default() -> Self {
        TransportOptions {
            streams: StreamLimits::default(),
            datagrams: DatagramLimits::default(),
            times: Times::default(),
            mtu: MtuOptions::default(),
            congestion: Congestion::Cubic,
            burst_packets: 3,
            defaults: DefaultCodes::default(),
        }
    }
}

/// Limits of streams and of what they buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamLimits {
    /// Bidirectional streams that the peer may have open.
    pub bidirectional_max: u32,
    /// Unidirectional streams that the peer may have open.
    pub unidirectional_max: u32,
    /// Bytes of one stream that may wait here to be read. Fixed for the connection's life, at
    /// most [`StreamLimits::WINDOW_BYTES_MAX`].
    pub window_bytes: u32,
    /// Bytes of all streams together that may wait here to be read, at first.
    pub connection_window_bytes: u32,
    /// How far that may grow when the application reads as fast as the peer sends.
    pub connection_window_bytes_max: u32,
    /// Bytes that may wait here to be sent or acknowledged, over all streams.
    pub send_window_bytes: u64,
}

impl StreamLimits {
    /// The largest window of a stream: with more, a burst of losses leaves more gaps than the
    /// protocol keeps.
    pub const WINDOW_BYTES_MAX: u32 = 2_500_000;
    /// The largest window of a connection.
    pub const CONNECTION_WINDOW_BYTES_MAX: u32 = 16 << 20;
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            bidirectional_max: 100,
            unidirectional_max: 100,
            window_bytes: 1_250_000,
            connection_window_bytes: 1_875_000,
            connection_window_bytes_max: StreamLimits::CONNECTION_WINDOW_BYTES_MAX,
            send_window_bytes: 10_000_000,
        }
    }
}

/// Limits of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatagramLimits {
    /// Bytes that may wait here to be received; the oldest go first. `None` tells the peer that
    /// this side takes no datagrams.
    pub receive_bytes: Option<usize>,
    /// Bytes that may wait here to be sent.
    pub send_bytes: usize,
}

impl Default for DatagramLimits {
    fn default() -> Self {
        DatagramLimits {
            receive_bytes: Some(1 << 20),
            send_bytes: 1 << 20,
        }
    }
}

/// Times of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// How long a handshake may take. On a server whose [`Chooser`](super::Chooser) is asked about
    /// a client, waiting for the whole hello is a part of that.
    pub handshake: Duration,
    /// After how long without a packet the connection ends; the smaller one of both sides counts.
    pub idle: Option<Duration>,
    /// How long may pass without a packet before one is sent to keep the connection alive.
    pub keep_alive: Option<Duration>,
    /// How long a connection that nobody holds any more is kept for the peer to acknowledge its
    /// streams. Zero closes it at once.
    pub linger: Duration,
    /// The round-trip time to assume before one was measured, such as the one of an earlier
    /// connection to the same peer.
    pub initial_rtt: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            handshake: Duration::from_secs(10),
            idle: Some(Duration::from_secs(30)),
            keep_alive: None,
            linger: Duration::from_secs(10),
            // RFC 9002 §6.2.2: what to assume on a new path.
            initial_rtt: Duration::from_millis(333),
        }
    }
}

/// Path MTU discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MtuOptions {
    /// Whether to look for a larger MTU than the initial one.
    pub is_discovered: bool,
    /// The UDP payload in bytes to start with; at least 1200.
    pub initial_bytes: u16,
    /// The largest UDP payload in bytes to look for.
    pub bytes_max: u16,
}

impl Default for MtuOptions {
    fn default() -> Self {
        MtuOptions {
            is_discovered: true,
            // RFC 9000 §14: every path must carry this much.
            initial_bytes: 1200,
            // Ethernet's 1500 bytes less the headers of IPv6 and UDP.
            bytes_max: 1452,
        }
    }
}

/// How the sending rate is controlled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Congestion {
    /// CUBIC, RFC 9438.
    #[default]
    Cubic,
    /// NewReno as in RFC 9002.
    NewReno,
    /// BBR; experimental in the protocol library.
    Bbr,
}

impl Congestion {
    fn factory(self) -> Factory {
        match self {
            Congestion::Cubic => Arc::new(CubicFactory),
            Congestion::NewReno => Arc::new(NewRenoConfig::default()),
            Congestion::Bbr => Arc::new(BbrConfig::default()),
        }
    }
}

/// What the peer is told when the application gives no code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefaultCodes {
    /// When the last handle of a connection was dropped and its streams were acknowledged.
    pub close: VarInt,
    /// When a receiving side that was not read to its end is dropped.
    pub stop: VarInt,
}

impl TransportOptions {
    /// What quinn-proto makes of it.
    pub(crate) fn proto(&self) -> Result<Arc<TransportConfig>, ConnectError> {
        self.proto_with(None)
    }

    /// As [`TransportOptions::proto`], for a client with early data.
    pub(super) fn proto_early(
        &self,
        confirmed: Confirmed,
    ) -> Result<Arc<TransportConfig>, ConnectError> {
        self.proto_with(Some(confirmed))
    }

    fn proto_with(
        &self,
        confirmed: Option<Confirmed>,
    ) -> Result<Arc<TransportConfig>, ConnectError> {
        let streams = &self.streams;
        if streams.window_bytes > StreamLimits::WINDOW_BYTES_MAX {
            return Err(invalid(format!(
                "a stream's window of {} bytes is more than {}",
                streams.window_bytes,
                StreamLimits::WINDOW_BYTES_MAX
            )));
        }
        if streams.connection_window_bytes_max > StreamLimits::CONNECTION_WINDOW_BYTES_MAX
            || streams.connection_window_bytes > streams.connection_window_bytes_max
        {
            return Err(invalid("the connection's window is too large".to_owned()));
        }
        if self.mtu.initial_bytes < 1200 || self.mtu.bytes_max < self.mtu.initial_bytes {
            return Err(invalid("a path carries at least 1200 bytes".to_owned()));
        }
        let idle = match self.times.idle {
            None => None,
            Some(idle) => Some(
                IdleTimeout::try_from(idle)
                    .map_err(|_| invalid("the idle time is too long".to_owned()))?,
            ),
        };
        let mut config = TransportConfig::default();
        config
            .max_concurrent_bidi_streams(streams.bidirectional_max.into())
            .max_concurrent_uni_streams(streams.unidirectional_max.into())
            .stream_receive_window(streams.window_bytes.into())
            .receive_window(streams.connection_window_bytes.into())
            .send_window(streams.send_window_bytes)
            .max_idle_timeout(idle)
            .keep_alive_interval(self.times.keep_alive)
            .initial_rtt(self.times.initial_rtt)
            .initial_mtu(self.mtu.initial_bytes)
            .mtu_discovery_config(self.mtu.is_discovered.then(|| {
                let mut discovery = MtuDiscoveryConfig::default();
                discovery.upper_bound(self.mtu.bytes_max);
                discovery
            }))
            .datagram_receive_buffer_size(self.datagrams.receive_bytes)
            .datagram_send_buffer_size(self.datagrams.send_bytes);
        config.congestion_controller_factory(Arc::new(PathFactory {
            algorithm: self.congestion.factory(),
            until: confirmed.map_or(Until::HANDSHAKE, Until::Confirmed),
            burst_packets: self.burst_packets,
        }));
        Ok(Arc::new(config))
    }
}

fn invalid(words: String) -> ConnectError {
    ConnectError::InvalidOptions(words)
}

/// TLS for the connecting side, made by [`crate::tls`].
#[derive(Clone)]
pub struct ClientCrypto(Arc<QuicClientTls>);

impl ClientCrypto {
    /// TLS as an engine has made it.
    pub fn new(tls: Arc<QuicClientTls>) -> Self {
        ClientCrypto(tls)
    }

    /// Whether a connection may begin with early data.
    pub(super) fn allows_early_data(&self) -> bool {
        self.0.allows_early_data()
    }

    pub(crate) fn proto(&self) -> Arc<dyn quinn_proto::crypto::ClientConfig> {
        self.0.clone()
    }
}

impl std::fmt::Debug for ClientCrypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientCrypto")
    }
}

/// TLS for the accepting side, made by [`crate::tls`].
#[derive(Clone)]
pub struct ServerCrypto(Arc<QuicServerTls>);

impl ServerCrypto {
    /// TLS as an engine has made it.
    pub fn new(tls: Arc<QuicServerTls>) -> Self {
        ServerCrypto(tls)
    }

    pub(crate) fn proto(&self) -> Arc<dyn quinn_proto::crypto::ServerConfig> {
        self.0.clone()
    }
}

impl std::fmt::Debug for ServerCrypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerCrypto")
    }
}

/// What a connection is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientConfig {
    /// TLS.
    pub crypto: ClientCrypto,
    /// The connection's options.
    pub transport: TransportOptions,
    /// Where tokens of the server are kept and taken from.
    pub tokens: Option<AddressTokens>,
}

impl ClientConfig {
    /// The default options with `crypto`.
    pub fn new(crypto: ClientCrypto) -> Self {
        ClientConfig {
            crypto,
            transport: TransportOptions::default(),
            tokens: None,
        }
    }
}

/// What connections are accepted with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// TLS.
    pub crypto: ServerCrypto,
    /// The options of every connection.
    pub transport: TransportOptions,
    /// Whether a client may move to another address.
    pub may_migrate: bool,
    /// When a client first has to show that it receives at its address.
    pub address_validation: AddressValidation,
    /// Tokens that a client gets for later connections, so that its address is known then.
    pub tokens_sent: u32,
    /// The address for IPv4 that clients are asked to move to.
    pub preferred_v4: Option<SocketAddrV4>,
    /// The address for IPv6 that clients are asked to move to.
    pub preferred_v6: Option<SocketAddrV6>,
    /// Whether a connection with early data is handed over before its handshake ends.
    pub hands_over_early: bool,
    /// What clients that are not served yet may take up.
    pub incoming: IncomingLimits,
    /// Chooses another configuration for each client by what it says first. Without one, and for
    /// what comes before a client is read (Retry, the limits here), this configuration counts.
    pub chooser: Option<Chooser>,
}

impl ServerConfig {
    /// The default options with `crypto`.
    pub fn new(crypto: ServerCrypto) -> Self {
        ServerConfig {
            crypto,
            transport: TransportOptions::default(),
            may_migrate: true,
            address_validation: AddressValidation::UnderLoad,
            tokens_sent: 2,
            preferred_v4: None,
            preferred_v6: None,
            hands_over_early: false,
            incoming: IncomingLimits::default(),
            chooser: None,
        }
    }

    /// The same with a chooser.
    #[must_use]
    pub fn with_chooser(mut self, chooser: Chooser) -> Self {
        self.chooser = Some(chooser);
        self
    }
}

/// When a client has to show that it receives at its address before it costs anything (Retry).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressValidation {
    /// Never: amplification is limited to three times what the client sent.
    Never,
    /// When many handshakes are under way; see [`IncomingLimits::retry_above`].
    #[default]
    UnderLoad,
    /// Always; costs a round trip for each connection.
    Always,
}

/// Limits of what was not handed over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncomingLimits {
    /// Clients whose hello is not whole, and connections whose handshake runs or that wait to be
    /// accepted, all together; beyond, clients are refused.
    pub backlog: usize,
    /// Handshakes from which on [`AddressValidation::UnderLoad`] asks for a validated address.
    pub retry_above: usize,
    /// Bytes of one client that wait for the choice of its configuration.
    pub bytes_each: u64,
    /// Bytes of all such clients together.
    pub bytes_total: u64,
    /// What the hello of one client may take up while it is read for a choice.
    pub hello: HelloLimits,
}

impl Default for IncomingLimits {
    fn default() -> Self {
        IncomingLimits {
            backlog: 1024,
            retry_above: 256,
            bytes_each: 64 << 10,
            bytes_total: 16 << 20,
            hello: HelloLimits::default(),
        }
    }
}

/// Options of an endpoint.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EndpointOptions {
    /// What stateless resets are made from. The same key lets a restarted process tell its former
    /// peers that their connections are gone. Random when not given.
    pub reset_key: Option<[u8; 64]>,
    /// What tokens (Retry, later connections) are sealed with. Random when not given.
    pub token_key: Option<[u8; 64]>,
    /// The largest UDP payload in bytes to take from peers; zero stands for 1472.
    pub receive_payload_max: u16,
    /// Which of several endpoints that share a port this one is.
    pub shard: Option<Shard>,
}
