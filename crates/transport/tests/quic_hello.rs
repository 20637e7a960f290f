//! Servers that choose a connection's configuration by what its client says first.

mod quic_support;

use portway_core::security::{Group, Identity, TlsParameters, Trust};
use portway_transport::RealEnvironment;
use portway_transport::quic::{
    Choice, Chooser, ClientConfig, ClientCrypto, ConnectionError, Endpoint, IncomingClient,
    ServerConfig, ServerCrypto, StreamKind,
};
use portway_transport::tls::{EarlyData, TlsEngine, self_signed};
use quic_support::endpoint;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

struct World {
    environment: Arc<RealEnvironment>,
    engine: TlsEngine,
    identities: [Arc<Identity>; 2],
}

const NAMES: [&str; 2] = ["one.example", "two.example"];

impl World {
    fn new() -> Self {
        let identity = |name: &str| Arc::new(self_signed(&[name.to_owned()]).expect("an identity"));
        World {
            environment: Arc::new(RealEnvironment::new(Default::default())),
            engine: TlsEngine::new(),
            identities: NAMES.map(identity),
        }
    }

    /// A configuration with one of the identities, one protocol and a number of streams.
    fn server(&self, index: usize, alpn: &str, streams_max: u32) -> ServerConfig {
        let identity = Arc::clone(&self.identities[index]);
        let parameters = TlsParameters::default().with_identity(identity);
        let alpn = [alpn.as_bytes().to_vec()];
        let tls = self
            .engine
            .quic_server(&parameters, &alpn, EarlyData::Refused)
            .expect("a configuration");
        let mut config = ServerConfig::new(ServerCrypto::new(tls));
        config.transport.streams.bidirectional_max = streams_max;
        config
    }

    /// A client that trusts one of the identities.
    fn client(&self, index: usize, alpn: &str, group: Group) -> (ClientConfig, &'static str) {
        let pinned = Trust::Pinned(Arc::from([self.identities[index].chain[0].clone()]));
        let parameters = TlsParameters::default()
            .with_trust(pinned)
            .with_groups([group]);
        let alpn = [alpn.as_bytes().to_vec()];
        let remote = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let tls = self
            .engine
            .quic_client(
                &parameters,
                Some(NAMES[index]),
                remote,
                &alpn,
                EarlyData::Refused,
            )
            .expect("a configuration");
        (ClientConfig::new(ClientCrypto::new(tls)), NAMES[index])
    }

    fn endpoint(&self, server: Option<ServerConfig>) -> Endpoint {
        endpoint(&self.environment, server)
    }
}

#[tokio::test]
async fn two_identities_two_protocols_and_two_stream_limits_share_a_port() {
    let world = World::new();
    let configs = [
        Arc::new(world.server(0, "perf", 3)),
        Arc::new(world.server(1, "chat", 7)),
    ];
    let seen = Arc::new(Mutex::new(Vec::new()));
    let chooser = {
        let (configs, seen) = (configs.clone(), Arc::clone(&seen));
        Chooser::new(move |client: &IncomingClient| {
            let name = client.hello.server_name.clone().unwrap_or_default();
            seen.lock().expect("no panic").push(client.clone());
            match NAMES.iter().position(|known| *known == name) {
                Some(index) => Choice::Accept(Arc::clone(&configs[index])),
                None => Choice::Refuse,
            }
        })
    };
    let server = world.endpoint(Some(world.server(0, "none", 0).with_chooser(chooser)));
    let client = world.endpoint(None);
    for group in [Group::X25519, Group::X25519MlKem768] {
        for (index, alpn, streams) in [(0, "perf", 3), (1, "chat", 7)] {
            let (config, name) = world.client(index, alpn, group);
            let connecting = client
                .connect(&config, server.local_address(), name)
                .expect("started");
            let (ours, theirs) = tokio::join!(connecting, server.accept());
            let ours = ours.expect("connected");
            let theirs = theirs.expect("open").expect("accepted");
            assert_eq!(ours.alpn().as_deref(), Some(alpn.as_bytes()));
            assert_eq!(ours.capacity(StreamKind::Bidirectional), streams);
            ours.close(0.into(), b"");
            theirs.closed().await;
        }
    }
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen.len(), 4);
    for asked in seen.iter() {
        assert_eq!(asked.remote, client.local_address());
        assert_eq!(asked.local, Some(Ipv4Addr::LOCALHOST.into()));
        assert!(asked.hello.has_transport_parameters && !asked.is_address_validated);
    }
}

#[tokio::test]
async fn a_client_is_refused_or_passed_over_as_chosen() {
    let world = World::new();
    let chooser = Chooser::new(
        |client: &IncomingClient| match client.hello.offers(b"perf") {
            true => Choice::Refuse,
            false => Choice::Ignore,
        },
    );
    let server = world.endpoint(Some(world.server(0, "perf", 1).with_chooser(chooser)));
    let client = world.endpoint(None);
    let (config, name) = world.client(0, "perf", Group::X25519);
    let refused = client.connect(&config, server.local_address(), name);
    let error = refused.expect("started").await.expect_err("refused");
    assert_eq!(error, ConnectionError::Refused);
    let (mut config, name) = world.client(0, "chat", Group::X25519);
    config.transport.times.handshake = std::time::Duration::from_millis(20);
    let ignored = client.connect(&config, server.local_address(), name);
    let error = ignored.expect("started").await.expect_err("no answer");
    assert_eq!(error, ConnectionError::HandshakeTimedOut);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_failed_handshake_is_told_with_tls_own_words() {
    let world = World::new();
    let config = Arc::new(world.server(0, "perf", 1));
    let chooser = Chooser::new(move |_: &IncomingClient| Choice::Accept(Arc::clone(&config)));
    let server = world.endpoint(Some(world.server(0, "perf", 1).with_chooser(chooser)));
    let client = world.endpoint(None);
    let (config, name) = world.client(0, "chat", Group::X25519);
    let connecting = client.connect(&config, server.local_address(), name);
    let (ours, theirs) = tokio::join!(connecting.expect("started"), server.accept());
    assert_eq!(ours.expect_err("no common protocol").tls_alert(), Some(120));
    let failed = theirs.expect("open").expect_err("no common protocol");
    assert_eq!(failed.remote, client.local_address());
    let words = failed.cause.to_string();
    assert!(words.contains("application protocol"), "{words}");
    // The client's reasons are its own as well.
    let (config, _) = world.client(1, "perf", Group::X25519);
    let connecting = client.connect(&config, server.local_address(), NAMES[0]);
    let (ours, theirs) = tokio::join!(connecting.expect("started"), server.accept());
    let words = ours.expect_err("a stranger").to_string();
    assert!(words.contains("pinned"), "{words}");
    assert!(theirs.expect("open").is_err());
}
