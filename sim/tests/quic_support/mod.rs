//! QUIC endpoints on simulated hosts, and somebody between them who changes what passes.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use bytes::Bytes;
use portway_core::security::{Group, TlsParameters, Trust};
use portway_sim::{SimEnvironment, Simulation};
use portway_transport::environment::{Environment, UdpBind, UdpSocket};
use portway_transport::quic::{
    ClientConfig, ClientCrypto, Connection, Endpoint, EndpointOptions, ServerConfig, ServerCrypto,
    Shard,
};
use portway_transport::tls::{EarlyData, QuicClientTls, QuicServerTls, TlsEngine, self_signed};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

pub(crate) const NAME: &str = "server.example";

/// Three hosts, 10 ms apart, and TLS for two of them.
pub(crate) struct World {
    pub(crate) sim: Simulation,
    pub(crate) client: Arc<SimEnvironment>,
    pub(crate) middle: Arc<SimEnvironment>,
    pub(crate) server: Arc<SimEnvironment>,
    client_tls: Arc<QuicClientTls>,
    server_tls: Arc<QuicServerTls>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        World::with_names(seed, 1)
    }

    /// A world whose server has so many names, which all are in its certificate.
    pub(crate) fn with_names(seed: u64, count: usize) -> Self {
        println!("seed {seed}");
        let sim = Simulation::new(seed);
        let host = |name: &str, last| {
            let environment = sim.host(name);
            environment.set_addresses(&[IpAddr::from([192, 0, 2, last])]);
            environment
        };
        let names = (1..count).map(|at| format!("name-{at}.{NAME}"));
        let names: Vec<String> = names.chain([NAME.to_owned()]).collect();
        let identity = self_signed(&names).unwrap();
        let pinned = Trust::Pinned(Arc::from([identity.chain[0].clone()]));
        let (engine, alpn) = (TlsEngine::new(), [b"test".to_vec()]);
        let server = TlsParameters::default().with_identity(identity);
        // A hello with a post-quantum key share takes two datagrams.
        let client = TlsParameters::default()
            .with_trust(pinned)
            .with_groups([Group::X25519MlKem768, Group::X25519]);
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        World {
            client: host("client", 1),
            middle: host("middle", 2),
            server: host("server", 3),
            client_tls: engine
                .quic_client(&client, Some(NAME), nobody, &alpn, EarlyData::Refused)
                .unwrap(),
            server_tls: engine
                .quic_server(&server, &alpn, EarlyData::Refused)
                .unwrap(),
            sim,
        }
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        ClientConfig::new(ClientCrypto::new(Arc::clone(&self.client_tls)))
    }

    pub(crate) fn server_config(&self) -> ServerConfig {
        ServerConfig::new(ServerCrypto::new(Arc::clone(&self.server_tls)))
    }

    pub(crate) fn client(&self) -> Endpoint {
        let bind = UdpBind::on(SocketAddr::new(self.client.addresses()[0], 0));
        let options = EndpointOptions::default();
        Endpoint::bind(self.client.clone(), bind, &options, None).unwrap()
    }

    pub(crate) fn server(&self, config: ServerConfig) -> Endpoint {
        self.shard(config, None)
    }

    pub(crate) fn shard(&self, config: ServerConfig, shard: Option<Shard>) -> Endpoint {
        let bind = UdpBind::on(SocketAddr::new(self.server.addresses()[0], 443));
        let mut options = EndpointOptions::default();
        options.shard = shard;
        Endpoint::bind(self.server.clone(), bind, &options, Some(config)).unwrap()
    }

    /// Where somebody in the middle listens, who passes to the server what `tamper` makes of the
    /// client's datagrams, and back. It is told whether a datagram is the client's.
    pub(crate) fn tamper(
        &self,
        server: SocketAddr,
        mut tamper: impl FnMut(bool, Vec<u8>) -> Vec<(bool, Vec<u8>)> + Send + 'static,
    ) -> SocketAddr {
        let address = SocketAddr::new(self.middle.addresses()[0], 443);
        let front = self.middle.udp_bind(UdpBind::on(address)).unwrap();
        let back = self.middle.udp_bind(UdpBind::to(server)).unwrap();
        self.middle.spawn(Box::pin(async move {
            let mut client = None;
            let mut buffer = vec![0; 65_536];
            loop {
                either_readable(&*front, &*back).await;
                for (socket, is_clients) in [(&front, true), (&back, false)] {
                    while let Ok(received) = socket.try_receive(&mut buffer) {
                        if is_clients {
                            client = Some(received.remote);
                        }
                        let datagram = buffer[..received.len].to_vec();
                        for (to_server, datagram) in tamper(is_clients, datagram) {
                            let _ = match to_server {
                                true => back.try_send(&datagram, None),
                                false => front.try_send(&datagram, client),
                            };
                        }
                    }
                }
            }
        }));
        address
    }
}

/// Waits until one of two sockets has something.
pub(crate) async fn either_readable(one: &dyn UdpSocket, other: &dyn UdpSocket) {
    poll_fn(|context| {
        let is_first = one.poll_readable(context).is_ready();
        match other.poll_readable(context).is_ready() || is_first {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// A request and its answer, each of so many bytes.
pub(crate) async fn exchange(client: &Connection, server: &Connection, bytes: usize) {
    let request = Bytes::from_iter((0..bytes).map(|at| (at * at % 251) as u8));
    let ask = async {
        let (mut send, mut receive) = client.open_bi().await.unwrap();
        send.write_and_finish(request.clone()).await.unwrap();
        assert_eq!(receive.read_to_end(bytes).await.unwrap(), request);
    };
    let serve = async {
        let (mut send, mut receive) = server.accept_bi().await.unwrap();
        let request = receive.read_to_end(bytes).await.unwrap();
        send.write_and_finish(request.into()).await.unwrap();
    };
    join(ask, serve).await;
}

/// Both to their ends.
pub(crate) async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(|context| {
        if of_a.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(context)
        {
            of_a = Some(output);
        }
        if of_b.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(context)
        {
            of_b = Some(output);
        }
        match of_a.is_some() && of_b.is_some() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    (of_a.unwrap(), of_b.unwrap())
}
