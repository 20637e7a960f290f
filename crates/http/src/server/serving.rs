//! A server that runs, and how it ends.
//!
//! Invariant: when it is gone, so are its sockets and its connections.

use super::event::Listener;
use super::meter::Count;
use super::options::Options;
use super::shard::Shard;
use super::steering::Steering;
use super::tcp::LAST_WORDS;
use super::{Phase, Server, ServerService};
use http::HeaderValue;
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::environment::{Environment, ListenAddress, TcpListener, UdpBind};
use portway_transport::failure_map::failure_from_io;
use portway_transport::quic::{self, Endpoint, EndpointOptions, ServerConfig, ServerCrypto};
use portway_transport::real::Inherited;
use portway_transport::tls::{EarlyData, TlsEngine};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// A server that runs. Dropping it ends it and its connections at once.
#[must_use = "dropping it ends the server"]
pub struct Serving {
    control: Arc<Control>,
    addresses: Vec<SocketAddr>,
    endpoints: Vec<Endpoint>,
    /// Its own clock, for the deadline of a drain.
    environment: Arc<dyn Environment>,
    threads: Vec<JoinHandle<()>>,
}

/// What the parts of a server have in common.
pub(super) struct Control {
    phase: watch::Sender<Phase>,
    places: Arc<Semaphore>,
    places_max: u32,
    /// One is held by each task that accepts.
    doors: Arc<Semaphore>,
    /// One for each shard.
    in_flight: Vec<Arc<Count>>,
    /// Connections over TCP that were accepted.
    accepted: Arc<AtomicU64>,
}

/// What was left when a drain ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were cut off.
    pub connections: usize,
    /// Requests that were cut off with them.
    pub requests: usize,
}

impl Drained {
    /// Whether everything had ended by itself.
    pub fn is_clean(&self) -> bool {
        self.connections == 0
    }
}

impl Serving {
    /// Opens the sockets and starts to accept on the caller's runtime.
    pub(super) fn start<S: ServerService>(
        server: Server,
        service: S,
        environment: &Arc<dyn Environment>,
    ) -> Result<Serving, Failure> {
        let common = Common::new(&server)?;
        let is_alone = !environment.has_workers();
        let control = Control::new(&common.options).for_shards(1, is_alone);
        let sockets = common.open(environment, &server.addresses, None)?;
        let serving = Serving {
            addresses: sockets.addresses(),
            endpoints: sockets.endpoints.clone(),
            environment: Arc::clone(environment),
            threads: Vec::new(),
            control: Arc::new(control),
        };
        common.start(&serving.control, 0, environment, sockets, &service)?;
        Ok(serving)
    }

    pub(super) fn sharded(
        control: Arc<Control>,
        addresses: Vec<SocketAddr>,
        endpoints: Vec<Endpoint>,
        environment: Arc<dyn Environment>,
        threads: Vec<JoinHandle<()>>,
    ) -> Self {
        Serving {
            control,
            addresses,
            endpoints,
            environment,
            threads,
        }
    }

    /// Where it serves, with the port that the system chose; TCP and UDP have the same.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The first of [`Serving::addresses`].
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Connections that are open, and handshakes.
    pub fn connections(&self) -> usize {
        self.control.connections()
    }

    /// Requests that are not answered whole.
    pub fn requests(&self) -> usize {
        self.control.requests()
    }

    /// Ends it in good order: accepts no more connections, tells clients to go, waits for the
    /// requests that are in flight, for `at_most` that long, then cuts off what is left.
    ///
    /// Cancel safety: dropping the future leaves the server draining; calling again goes on.
    pub async fn drain(&self, at_most: Duration) -> Drained {
        self.control.advance(Phase::Draining);
        let mut timer = self.environment.timer();
        timer.reset(Some(self.environment.now() + at_most));
        let is_late = tokio::select! {
            biased;
            () = self.control.ended() => false,
            () = std::future::poll_fn(|context| timer.poll_expired(context)) => true,
        };
        let left = match is_late {
            false => Drained::default(),
            true => Drained {
                connections: self.connections(),
                requests: self.requests(),
            },
        };
        self.control.advance(Phase::Stopped);
        self.control.ended().await;
        for endpoint in &self.endpoints {
            endpoint.close(quic::VarInt::from(H3_NO_ERROR), b"");
            endpoint.wait_closed().await;
        }
        left
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.control.advance(Phase::Stopped);
        for endpoint in &self.endpoints {
            endpoint.close(quic::VarInt::from(H3_NO_ERROR), b"");
        }
        // The threads see it and end by themselves.
        self.threads.clear();
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving")
            .field("addresses", &self.addresses)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl Control {
    pub(super) fn new(options: &Options) -> Self {
        let max = options
            .limits
            .connections_max
            .clamp(1, Semaphore::MAX_PERMITS);
        let places_max = u32::try_from(max).unwrap_or(u32::MAX);
        Control {
            phase: watch::channel(Phase::Serving).0,
            places: Arc::new(Semaphore::new(places_max as usize)),
            places_max,
            doors: Arc::new(Semaphore::new(DOORS as usize)),
            in_flight: Vec::new(),
            accepted: Arc::default(),
        }
    }

    /// The same for so many shards, of which each may be alone on a thread.
    pub(super) fn for_shards(mut self, shards: usize, is_alone: bool) -> Self {
        let counts = (0..shards).map(|_| Arc::new(Count::new(is_alone)));
        self.in_flight = counts.collect();
        self
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let is_later = (*phase as u8) < to as u8;
            if is_later {
                *phase = to;
            }
            is_later
        });
    }

    fn connections(&self) -> usize {
        self.places_max as usize - self.places.available_permits()
    }

    fn requests(&self) -> usize {
        let each = self.in_flight.iter();
        each.map(|count| count.get()).sum()
    }

    /// Resolves when no connection is left, nor anybody who accepts some.
    async fn ended(&self) {
        // Those who accept come first: what waits for a place is to get one.
        drop(self.doors.acquire_many(DOORS).await);
        drop(self.places.acquire_many(self.places_max).await);
    }

    fn door(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let door = Arc::clone(&self.doors).try_acquire_owned();
        door.map_err(|_| invalid("there are too many addresses"))
    }

    /// Resolves when the server was stopped and nothing is left of it.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut phase, places) = (self.phase.subscribe(), Arc::clone(&self.places));
        let all = self.places_max;
        async move {
            let _ = phase.wait_for(|phase| *phase == Phase::Stopped).await;
            drop(places.acquire_many(all).await);
        }
    }
}

/// What all threads of a server are made from.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) options: Arc<Options>,
    tls: Arc<TlsEngine>,
    events: Listener,
    quic: Option<ServerConfig>,
    inherited: Option<Arc<Inherited>>,
}

/// The sockets of one thread.
pub(super) struct Sockets {
    /// In the order that was asked for.
    addresses: Vec<SocketAddr>,
    listeners: Vec<Box<dyn TcpListener>>,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Sockets {
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }
}

impl Common {
    /// Checks the options.
    pub(super) fn new(server: &Server) -> Result<Self, Failure> {
        if server.inherited.is_some() && server.environment.is_some() {
            let words =
                "sockets that were handed over belong to an environment of the server's own";
            return Err(invalid(words));
        }
        let mut options = server.options.clone();
        let is_protected = options
            .tls
            .as_ref()
            .is_some_and(|tls| tls.identity.is_some() || tls.challenge_callback.is_some());
        if options.tls.is_some() && !is_protected {
            return Err(invalid("TLS needs an identity"));
        }
        options.versions.http3 &= is_protected;
        let versions = options.versions;
        if !versions.http1 && !versions.http2 && !versions.http3 {
            return Err(invalid(
                "no version of HTTP is left to serve: HTTP/3 needs an identity",
            ));
        }
        let tls = TlsEngine::new();
        if let Some(parameters) = options.tcp_tls() {
            // What cannot be used is told now and not to each client.
            tls.server(&parameters, &parameters.alpn)?;
        }
        let quic = match (&options.tls, versions.http3) {
            (Some(parameters), true) => Some(quic_config(&options, parameters, &tls)?),
            _ => None,
        };
        Ok(Common {
            options: Arc::new(options),
            tls: Arc::new(tls),
            events: server.events.clone(),
            quic,
            inherited: server.inherited.clone(),
        })
    }

    /// Opens the sockets at these addresses.
    pub(super) fn open(
        &self,
        environment: &Arc<dyn Environment>,
        addresses: &[SocketAddr],
        shard: Option<&[quic::Shard]>,
    ) -> Result<Sockets, Failure> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.open_once(environment, addresses, shard) {
                // The port that the system chose for TCP may be taken for UDP.
                Err(failure)
                    if addresses[0].port() == 0
                        && failure.kind == FailureKind::AddressInUse
                        && attempt < PORT_ATTEMPTS_MAX => {}
                done => return done,
            }
        }
    }

    fn open_once(
        &self,
        environment: &Arc<dyn Environment>,
        addresses: &[SocketAddr],
        shards: Option<&[quic::Shard]>,
    ) -> Result<Sockets, Failure> {
        let mut sockets = Sockets {
            addresses: Vec::new(),
            listeners: Vec::new(),
            endpoints: Vec::new(),
        };
        let versions = self.options.versions;
        let mut chosen = 0;
        for (index, address) in addresses.iter().enumerate() {
            let mut local = *address;
            if local.port() == 0 {
                local.set_port(chosen);
            }
            // A listener of both families is there already, and nobody can listen beside it.
            let inherited = self.inherited.as_ref();
            let is_taken = inherited.is_some_and(|it| it.takes_ipv4(local));
            if (versions.http1 || versions.http2) && !is_taken {
                let mut request = ListenAddress::on(local);
                request.backlog = self.options.limits.backlog;
                request.is_shared = shards.is_some();
                let listener = environment.tcp_listen(request).map_err(|error| {
                    failure_from_io(&error, &format!("cannot listen on {local}"))
                })?;
                local = listener.local_address();
                sockets.listeners.push(listener);
            }
            if let Some(config) = &self.quic {
                let mut options = EndpointOptions::default();
                options.shard = shards.map(|shards| shards[index].clone());
                let bind = UdpBind::on(local);
                let environment = Arc::clone(environment);
                let endpoint = Endpoint::bind(environment, bind, &options, Some(config.clone()))?;
                local = endpoint.local_address();
                sockets.endpoints.push(endpoint);
            }
            chosen = local.port();
            if self.quic.is_some() || !is_taken {
                sockets.addresses.push(local);
            }
        }
        Ok(sockets)
    }

    /// Accepts on these sockets.
    pub(super) fn start<S: ServerService>(
        &self,
        control: &Control,
        index: usize,
        environment: &Arc<dyn Environment>,
        sockets: Sockets,
        service: &S,
    ) -> Result<(), Failure> {
        let port = sockets
            .endpoints
            .first()
            .map(|it| it.local_address().port());
        let shard = Arc::new(Shard {
            environment: Arc::clone(environment),
            options: Arc::clone(&self.options),
            tls: Arc::clone(&self.tls),
            events: self.events.clone(),
            phase: control.phase.subscribe(),
            places: Arc::clone(&control.places),
            in_flight: Arc::clone(&control.in_flight[index]),
            alt_svc: port.and_then(|port| alt_svc(port, self.options.alt_svc_age)),
            is_alone: !environment.has_workers(),
            steering: Steering::new(Arc::clone(&control.accepted), control.in_flight.len()),
        });
        for listener in sockets.listeners {
            let door = control.door()?;
            let accepting = Arc::clone(&shard).accept_tcp(listener, service.clone(), door);
            environment.spawn(Box::pin(accepting));
        }
        for endpoint in sockets.endpoints {
            let door = control.door()?;
            let accepting = Arc::clone(&shard).accept_quic(endpoint, service.clone(), door);
            environment.spawn(Box::pin(accepting));
        }
        Ok(())
    }
}

fn quic_config(
    options: &Options,
    parameters: &portway_core::security::TlsParameters,
    tls: &TlsEngine,
) -> Result<ServerConfig, Failure> {
    let early_data = match options.takes_early_data {
        true => EarlyData::Allowed,
        false => EarlyData::Refused,
    };
    let crypto = tls.quic_server(parameters, &[b"h3".to_vec()], early_data)?;
    let mut config = ServerConfig::new(ServerCrypto::new(crypto));
    config.hands_over_early = options.takes_early_data;
    let (limits, times) = (&options.limits, &options.times);
    config.transport.streams.bidirectional_max = limits.streams_max;
    config.transport.times.handshake = times.handshake;
    // The server's own limit tells the client to go; QUIC's is for those who do not hear that.
    let idle = config.transport.times.idle.unwrap_or_default();
    let last_words = times.keep_alive.saturating_add(LAST_WORDS);
    config.transport.times.idle = Some(last_words.clamp(idle, QUIC_IDLE_MAX));
    config.incoming.backlog = limits.backlog as usize;
    Ok(config)
}

/// RFC 7838 §3: where HTTP/3 is to be had.
fn alt_svc(port: u16, age: Duration) -> Option<HeaderValue> {
    let value = format!("h3=\":{port}\"; ma={}", age.as_secs());
    (!age.is_zero()).then(|| HeaderValue::try_from(value).expect("it is ASCII"))
}

fn invalid(detail: &str) -> Failure {
    Failure::new(Origin::Local, FailureKind::InvalidRequest, detail)
}

/// For how long QUIC may keep what is lost.
const QUIC_IDLE_MAX: Duration = Duration::from_secs(24 * 3600);

/// RFC 9114 §8.1.
const H3_NO_ERROR: u32 = 0x100;

/// Listeners and endpoints of all threads together.
const DOORS: u32 = 1 << 16;

/// How often another port is asked for.
const PORT_ATTEMPTS_MAX: u32 = 16;
