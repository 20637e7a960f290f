//! A pair of QUIC endpoints over loopback.
//!
//! Invariant: everything stays on the loopback interface, on ports that the system chooses.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "this is test code outside of a test function"
)]

use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{
    ClientConfig, ClientCrypto, Connection, Endpoint, EndpointOptions, ServerConfig, ServerCrypto,
    TransportOptions,
};
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub(crate) const NAME: &str = "server.example";
pub(crate) const ALPN: &[u8] = b"test";

/// A self-signed identity and the configurations around it.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        Identity::with_subject("portway test")
    }

    pub(crate) fn with_subject(subject: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, subject);
        let certificate = params.self_signed(&key).unwrap();
        Identity {
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        }
    }

    pub(crate) fn server(&self) -> ServerConfig {
        let mut config =
            rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![self.certificate.clone()],
                    PrivateKeyDer::Pkcs8(self.key.clone_key()),
                )
                .unwrap();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = u32::MAX;
        let config = QuicServerConfig::try_from(config).unwrap();
        ServerConfig::new(ServerCrypto::new(Arc::new(config)))
    }

    /// A client that keeps tickets for as long as its configuration is used.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_with_alpn(ALPN)
    }

    pub(crate) fn client_with_alpn(&self, alpn: &[u8]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config =
            rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        config.enable_early_data = true;
        let config = QuicClientConfig::try_from(config).unwrap();
        ClientConfig::new(ClientCrypto::new(Arc::new(config)))
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
