//! A pair of QUIC endpoints over loopback.
//!
//! Invariant: everything stays on the loopback interface, on ports that the system chooses.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

use portway_core::security::{TlsParameters, Trust};
use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{
    ClientConfig, ClientCrypto, Connection, Endpoint, EndpointOptions, ServerConfig, ServerCrypto,
    TransportOptions,
};
use portway_transport::tls::{EarlyData, TlsEngine, self_signed};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub(crate) const NAME: &str = "server.example";
pub(crate) const ALPN: &[u8] = b"test";

/// A self-signed identity and the configurations around it.
pub(crate) struct Identity {
    engine: TlsEngine,
    server: TlsParameters,
    client: TlsParameters,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let identity = self_signed(&[NAME.to_owned()]).unwrap();
        let pinned = Trust::Pinned(Arc::from([identity.chain[0].clone()]));
        Identity {
            engine: TlsEngine::new(),
            server: TlsParameters::default().with_identity(identity),
            client: TlsParameters::default().with_trust(pinned),
        }
    }

    pub(crate) fn server(&self) -> ServerConfig {
        self.server_of(&self.engine)
    }

    /// A server whose sessions another engine keeps.
    pub(crate) fn server_of(&self, engine: &TlsEngine) -> ServerConfig {
        let alpn = [ALPN.to_vec()];
        let tls = engine.quic_server(&self.server, &alpn, EarlyData::Allowed);
        ServerConfig::new(ServerCrypto::new(tls.unwrap()))
    }

    /// A client that keeps tickets as long as this identity lives.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_with_alpn(ALPN)
    }

    pub(crate) fn client_with_alpn(&self, alpn: &[u8]) -> ClientConfig {
        let (alpn, remote) = ([alpn.to_vec()], Ipv4Addr::LOCALHOST.into());
        let tls =
            self.engine
                .quic_client(&self.client, Some(NAME), remote, &alpn, EarlyData::Allowed);
        ClientConfig::new(ClientCrypto::new(tls.unwrap()))
    }
}

/// Two endpoints on loopback.
pub(crate) struct Pair {
    pub(crate) environment: Arc<RealEnvironment>,
    pub(crate) identity: Identity,
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pub(crate) config: ClientConfig,
    pub(crate) server_crypto: ServerCrypto,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Pair::with(|_| {}, |_| {})
    }

    /// Endpoints whose options differ from the defaults.
    pub(crate) fn with(
        client: impl FnOnce(&mut TransportOptions),
        server: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let environment = Arc::new(RealEnvironment::new(Default::default()));
        let identity = Identity::new();
        let mut server_config = identity.server();
        server(&mut server_config);
        let mut config = identity.client();
        client(&mut config.transport);
        Pair {
            client: endpoint(&environment, None),
            server_crypto: server_config.crypto.clone(),
            server: endpoint(&environment, Some(server_config)),
            environment,
            identity,
            config,
        }
    }

    /// A connection as the client and as the server have it.
    pub(crate) async fn connect(&self) -> (Connection, Connection) {
        let connecting = self
            .client
            .connect(&self.config, self.server.local_address(), NAME)
            .unwrap();
        let accepting = async {
            loop {
                // What other clients have failed at is none of this one's business.
                if let Ok(connection) = self.server.accept().await.unwrap() {
                    return connection;
                }
            }
        };
        let (client, server) = tokio::join!(connecting, accepting);
        (client.unwrap(), server)
    }

    /// Closes both and waits until nothing is left.
    pub(crate) async fn finish(self) {
        let Pair {
            environment,
            client,
            server,
            ..
        } = self;
        client.close(0.into(), b"");
        server.close(0.into(), b"");
        tokio::join!(client.wait_idle(), server.wait_idle());
        drop((client, server));
        while environment.tasks_alive() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn endpoint(
    environment: &Arc<RealEnvironment>,
    server: Option<ServerConfig>,
) -> Endpoint {
    let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let environment: Arc<dyn Environment> = environment.clone();
    Endpoint::bind(
        environment,
        UdpBind::on(any),
        &EndpointOptions::default(),
        server,
    )
    .unwrap()
}
