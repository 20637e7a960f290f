//! Two endpoints of quinn-proto with nothing but memory between them.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use super::super::{EarlyData, QuicHandshake};
use crate::tls::{Clock, TlsEngine, self_signed};
use portway_core::Failure;
use portway_core::security::{TlsParameters, Trust};
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Endpoint,
    EndpointConfig, Event, ServerConfig, TransportConfig,
};
use rustls_pki_types::UnixTime;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Parameters of both sides that fit each other: the client pins the server's certificate.
pub(super) fn parameters() -> (TlsParameters, TlsParameters) {
    let identity = self_signed(&["server.example".to_owned()]).unwrap();
    let pinned = Trust::Pinned(Arc::from([identity.chain[0].clone()]));
    (
        TlsParameters::default().with_trust(pinned),
        TlsParameters::default().with_identity(identity),
    )
}

pub(super) struct Pair {
    pub(super) engine: Arc<TlsEngine>,
    server_engine: Arc<TlsEngine>,
    /// What the client offers; the server has "perf" alone.
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) streams_max: u32,
    early_data: [EarlyData; 2],
    parameters: [TlsParameters; 2],
    clock_s: Arc<AtomicU64>,
}

/// A connection whose handshake is complete and whose tickets have arrived.
pub(super) struct Connected {
    sides: [Side; 2],
    pub(super) had_early_keys: bool,
    pub(super) is_early_data_accepted: bool,
}

impl Connected {
    pub(super) fn handshakes(&self) -> [QuicHandshake; 2] {
        self.sides.each_ref().map(Side::handshake)
    }
}

/// A handshake that came to nothing.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) client: QuicHandshake,
    /// What the client makes of the server's code.
    pub(super) client_told: Option<Failure>,
    /// What the server makes of the client's code, and the text that came with it.
    pub(super) server: Option<(Failure, Vec<u8>)>,
    pub(super) server_failure: Option<Failure>,
    /// Why the server did not take the first packet.
    pub(super) accept_failure: Option<Failure>,
}

struct Side {
    endpoint: Endpoint,
    address: SocketAddr,
    connection: Option<(ConnectionHandle, Connection)>,
    lost: Option<ConnectionError>,
    accept_failure: Option<Failure>,
}

impl Side {
    fn handshake(&self) -> QuicHandshake {
        let (_, connection) = self.connection.as_ref().unwrap();
        let data = connection.crypto_session().handshake_data().unwrap();
        (*data.downcast::<QuicHandshake>().unwrap()).clone()
    }

    /// What the peer said when it closed.
    fn told(&self) -> Option<(Failure, Vec<u8>)> {
        let Some(ConnectionError::ConnectionClosed(close)) = &self.lost else {
            return None;
        };
        let failure = self.handshake().peer_failure(close.error_code.into())?;
        Some((failure, close.reason.to_vec()))
    }
}

impl Pair {
    pub(super) fn new(client: &TlsParameters, server: &TlsParameters) -> Self {
        let clock_s = Arc::new(AtomicU64::new(1_900_000_000));
        let engine = || {
            let now_s = Arc::clone(&clock_s);
            let clock = move || {
                UnixTime::since_unix_epoch(Duration::from_secs(now_s.load(Ordering::Relaxed)))
            };
            Arc::new(TlsEngine::new().with_clock(Clock::Given(Arc::new(clock))))
        };
        Pair {
            engine: engine(),
            server_engine: engine(),
            alpn: vec![b"perf".to_vec()],
            streams_max: 8,
            early_data: [EarlyData::Allowed; 2],
            parameters: [client.clone(), server.clone()],
            clock_s: Arc::clone(&clock_s),
        }
    }

    pub(super) fn with_early_data(mut self, client: EarlyData, server: EarlyData) -> Self {
        self.early_data = [client, server];
        self
    }

    /// The same with the server of another pair.
    pub(super) fn sharing_server(mut self, other: &Pair) -> Self {
        self.server_engine = Arc::clone(&other.server_engine);
        self
    }

    pub(super) fn age(&self, seconds: u64) {
        self.clock_s.fetch_add(seconds, Ordering::Relaxed);
    }

    fn sides(&self) -> [Side; 2] {
        let mut transport = TransportConfig::default();
        transport.max_concurrent_bidi_streams(self.streams_max.into());
        let [_, parameters] = &self.parameters;
        let tls = self
            .server_engine
            .quic_server(parameters, &[b"perf".to_vec()], self.early_data[1])
            .unwrap();
        let mut server = ServerConfig::with_crypto(tls);
        server.transport_config(Arc::new(transport));
        let side = |server, port| Side {
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), server, true, None),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            connection: None,
            lost: None,
            accept_failure: None,
        };
        [side(None, 1), side(Some(Arc::new(server)), 2)]
    }

    fn begin(&self, sides: &mut [Side; 2], now: Instant) -> bool {
        let tls = self
            .engine
            .quic_client(
                &self.parameters[0],
                Some("server.example"),
                Ipv4Addr::LOCALHOST.into(),
                &self.alpn,
                self.early_data[0],
            )
            .unwrap();
        let name = tls.server_name();
        let config = ClientConfig::new(tls);
        let remote = sides[1].address;
        let (handle, connection) = sides[0]
            .endpoint
            .connect(now, config, remote, &name)
            .unwrap();
        let had_early_keys = connection.has_0rtt();
        sides[0].connection = Some((handle, connection));
        had_early_keys
    }

    /// Starts a client and leaves it; says whether it could send early data.
    pub(super) fn start(&mut self) -> bool {
        self.begin(&mut self.sides(), Instant::now())
    }

    /// A connection that both sides take.
    pub(super) fn connect(&mut self) -> Result<Connected, String> {
        let mut sides = self.sides();
        let mut now = Instant::now();
        let had_early_keys = self.begin(&mut sides, now);
        settle(&mut sides, &mut now);
        let (_, client) = sides[0].connection.as_ref().unwrap();
        let is_early_data_accepted = had_early_keys && client.accepted_0rtt();
        if let Some(lost) = &sides[0].lost {
            return Err(lost.to_string());
        }
        assert!(!client.is_handshaking());
        Ok(Connected {
            sides,
            had_early_keys,
            is_early_data_accepted,
        })
    }

    /// A connection that one side does not take.
    pub(super) fn fail(&mut self) -> Ended {
        let mut sides = self.sides();
        let mut now = Instant::now();
        self.begin(&mut sides, now);
        settle(&mut sides, &mut now);
        let [client, server] = &sides;
        assert!(client.lost.is_some());
        let has_server = server.connection.is_some();
        Ended {
            client: client.handshake(),
            client_told: client.told().map(|(failure, _)| failure),
            server: has_server.then(|| server.told()).flatten(),
            server_failure: has_server.then(|| server.handshake().failure).flatten(),
            accept_failure: server.accept_failure.clone(),
        }
    }
}

/// Carries packets until both sides are silent, acknowledgement delays included.
fn settle(sides: &mut [Side; 2], now: &mut Instant) {
    for _ in 0..ROUNDS_MAX {
        let [client, server] = sides;
        let moved = carry(client, server, *now) | carry(server, client, *now);
        if moved {
            continue;
        }
        let timeout = sides
            .iter_mut()
            .filter_map(|side| side.connection.as_mut()?.1.poll_timeout())
            .min();
        match timeout {
            // A longer silence is the idle timeout's.
            Some(timeout) if timeout < *now + Duration::from_secs(1) => *now = timeout.max(*now),
            _ => return,
        }
        for side in sides.iter_mut() {
            if let Some((_, connection)) = &mut side.connection {
                connection.handle_timeout(*now);
            }
        }
    }
    panic!("the two sides never fall silent");
}

#[allow(clippy::result_large_err, reason = "the error is quinn-proto's")]
/// Carries what `from` has to send; says whether there was anything.
fn carry(from: &mut Side, to: &mut Side, now: Instant) -> bool {
    let mut moved = false;
    loop {
        let mut buf = Vec::new();
        let Some((handle, connection)) = &mut from.connection else {
            return moved;
        };
        while let Some(event) = connection.poll() {
            if let Event::ConnectionLost { reason } = event {
                from.lost = Some(reason);
            }
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = from.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        let Some(transmit) = connection.poll_transmit(now, 1, &mut buf) else {
            return moved;
        };
        moved = true;
        let data = buf[..transmit.size].into();
        let mut response = Vec::new();
        let event = to
            .endpoint
            .handle(now, from.address, None, None, data, &mut response);
        match event {
            Some(DatagramEvent::NewConnection(incoming)) => {
                let (accepted, failure) = QuicHandshake::failure_during(|| {
                    to.endpoint.accept(incoming, now, &mut response, None)
                });
                to.accept_failure = failure;
                match accepted {
                    Ok(accepted) => to.connection = Some(accepted),
                    Err(error) => {
                        let size = error.response.map_or(0, |transmit| transmit.size);
                        answer(from, to.address, &response[..size], now);
                    }
                }
            }
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                to.connection.as_mut().unwrap().1.handle_event(event);
            }
            Some(DatagramEvent::Response(transmit)) => {
                answer(from, to.address, &response[..transmit.size], now);
            }
            None => {}
        }
    }
}

fn answer(to: &mut Side, from: SocketAddr, data: &[u8], now: Instant) {
    let mut unused = Vec::new();
    let event = to
        .endpoint
        .handle(now, from, None, None, data.into(), &mut unused);
    if let (Some(DatagramEvent::ConnectionEvent(_, event)), Some((_, connection))) =
        (event, &mut to.connection)
    {
        connection.handle_event(event);
    }
}

const ROUNDS_MAX: usize = 1000;
