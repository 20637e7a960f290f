//! portway's driver as the benchmarks use it.

use super::work::{IDLE, UNI_STREAMS_MAX};
use super::{Identity, Peer, Stack, Traffic};
use bytes::Bytes;
use portway_transport::RealEnvironment;
use portway_transport::environment::UdpBind;
use portway_transport::quic::{
    ClientConfig, ClientCrypto, Connection, Endpoint, EndpointOptions, ServerConfig, ServerCrypto,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// An endpoint of portway.
pub struct Portway {
    endpoint: Endpoint,
    client: ClientConfig,
}

impl Portway {
    /// What a server accepts with.
    pub(crate) fn server(identity: &Identity, streams_max: u32) -> ServerConfig {
        let crypto = ServerCrypto::new(identity.portway_server());
        let mut server = ServerConfig::new(crypto);
        server.transport.streams.bidirectional_max = streams_max;
        server.transport.streams.unidirectional_max = UNI_STREAMS_MAX;
        server.transport.times.idle = IDLE;
        server.hands_over_early = identity.resumes;
        // quinn has none; what it answers with, it answers with at once.
        server.incoming.retry_above = usize::MAX;
        server
    }

    /// What a client connects with.
    pub(super) fn client(identity: &Identity) -> ClientConfig {
        let crypto = ClientCrypto::new(identity.portway_client());
        let mut client = ClientConfig::new(crypto);
        client.transport.times.idle = IDLE;
        client
    }

    /// An endpoint at an address of this host.
    pub(crate) fn bind_at(identity: &Identity, streams_max: u32, at: IpAddr) -> Self {
        let server = Portway::server(identity, streams_max);
        let client = Portway::client(identity);
        let endpoint = Endpoint::bind(
            Arc::new(RealEnvironment::new(Default::default())),
            UdpBind::on((at, 0).into()),
            &EndpointOptions::default(),
            Some(server),
        );
        Portway {
            endpoint: endpoint.expect("a socket of this host"),
            client,
        }
    }
}

impl Stack for Portway {
    type Connection = Connection;

    fn bind(identity: &Identity, streams_max: u32) -> Self {
        Portway::bind_at(identity, streams_max, Ipv4Addr::LOCALHOST.into())
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_address()
    }

    async fn connect(&self, remote: SocketAddr) -> Connection {
        self.endpoint
            .connect(&self.client, remote, crate::carrier::HOST)
            .expect("an address on loopback")
            .await
            .expect("our own server")
    }

    async fn accept(&self) -> Connection {
        loop {
            let next = self.endpoint.accept().await;
            // A client that closes at once may be gone before it is handed over.
            if let Ok(connection) = next.expect("it is open") {
                return connection;
            }
        }
    }

    async fn connect_early(&self, remote: SocketAddr, body: Bytes) {
        let connecting = self
            .endpoint
            .connect(&self.client, remote, crate::carrier::HOST)
            .expect("an address on loopback");
        let connection = connecting.into_early().expect("a ticket");
        connection.request(body.clone()).await;
        connection.request(body).await;
        assert_eq!(connection.is_early_data_accepted(), Some(true));
        Peer::close(&connection);
    }

    fn connections(&self) -> usize {
        self.endpoint.connections()
    }
}

impl Peer for Connection {
    async fn request(&self, body: Bytes) -> usize {
        let (mut send, mut receive) = self.open_bi().await.expect("a stream");
        send.write_and_finish(body).await.expect("it is read");
        let answer = receive.read_all(1 << 20).await;
        answer.expect("an answer").len()
    }

    async fn serve(self, body: Bytes) {
        while let Ok((mut send, mut receive)) = self.accept_bi().await {
            let body = body.clone();
            tokio::spawn(async move {
                receive.read_all(1 << 20).await.expect("a request");
                send.write_and_finish(body).await.expect("it is read");
            });
        }
    }

    async fn send_bulk(&self, bytes: usize) {
        let mut send = self.open_uni().await.expect("a stream");
        let chunk = Bytes::from(vec![7; super::work::CHUNK]);
        for _ in 0..bytes / super::work::CHUNK {
            send.write_chunk(chunk.clone()).await.expect("it is read");
        }
        send.finish().expect("it is open");
        send.writes_closed().await.expect("it is acknowledged");
    }

    async fn receive_bulk(&self) -> usize {
        let mut receive = self.accept_uni().await.expect("a stream");
        let (mut count, mut chunks) = (0, Vec::new());
        while receive
            .read_chunks(usize::MAX, &mut chunks)
            .await
            .expect("it is sent")
        {
            count += chunks.drain(..).map(|it| it.len()).sum::<usize>();
        }
        count
    }

    async fn send_datagram(&self, data: Bytes) {
        let result = Connection::send_datagram(self, data).await;
        result.expect("it fits");
    }

    async fn receive_datagram(&self) -> Bytes {
        let result = Connection::receive_datagram(self).await;
        result.expect("one is sent")
    }

    fn close(&self) {
        Connection::close(self, 0.into(), b"");
    }

    async fn closed(&self) {
        Connection::closed(self).await;
    }

    fn traffic(&self) -> Option<Traffic> {
        let counted = self.statistics();
        Some(Traffic {
            sent: (counted.datagrams_sent, counted.bytes_sent),
            received: (counted.datagrams_received, counted.bytes_received),
            lost: counted.packets_lost,
        })
    }
}
