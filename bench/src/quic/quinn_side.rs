//! quinn as the benchmarks use it.

use super::work::{IDLE, UNI_STREAMS_MAX};
use super::{Identity, Peer, Stack, Traffic};
use bytes::Bytes;
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// An endpoint of quinn.
pub struct Quinn {
    endpoint: Endpoint,
    /// Whether it hands connections over before their handshakes have ended.
    accepts_early: bool,
}

/// The options that portway has by default.
fn transport(streams_max: u32) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(streams_max.into())
        .max_concurrent_uni_streams(UNI_STREAMS_MAX.into())
        .stream_receive_window(1_250_000_u32.into())
        .receive_window((16_u32 << 20).into())
        .send_window(10_000_000)
        .max_idle_timeout(IDLE.map(|idle| idle.try_into().expect("it is short enough")))
        .datagram_receive_buffer_size(Some(1 << 20))
        .datagram_send_buffer_size(1 << 20);
    Arc::new(config)
}

impl Quinn {
    /// An endpoint at an address of this host.
    pub(crate) fn bind_at(identity: &Identity, streams_max: u32, at: IpAddr) -> Self {
        let mut server = ServerConfig::with_crypto(Arc::new(identity.quinn_server()));
        server.transport_config(transport(streams_max));
        let mut endpoint = Endpoint::server(server, (at, 0).into()).expect("a socket of this host");
        let mut client = ClientConfig::new(Arc::new(identity.quinn_client()));
        client.transport_config(transport(streams_max));
        endpoint.set_default_client_config(client);
        Quinn {
            endpoint,
            accepts_early: identity.resumes,
        }
    }
}

impl Stack for Quinn {
    type Connection = Connection;

    fn bind(identity: &Identity, streams_max: u32) -> Self {
        Quinn::bind_at(identity, streams_max, Ipv4Addr::LOCALHOST.into())
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().expect("it is bound")
    }

    async fn connect(&self, remote: SocketAddr) -> Connection {
        self.endpoint
            .connect(remote, crate::carrier::HOST)
            .expect("an address on loopback")
            .await
            .expect("our own server")
    }

    async fn accept(&self) -> Connection {
        let incoming = self.endpoint.accept().await.expect("it is open");
        if self.accepts_early {
            let connecting = incoming.accept().expect("our own client");
            let early = connecting.into_0rtt();
            return early.ok().expect("a server always can").0;
        }
        incoming.await.expect("our own client")
    }

    async fn connect_early(&self, remote: SocketAddr, body: Bytes) {
        let connecting = self
            .endpoint
            .connect(remote, crate::carrier::HOST)
            .expect("an address on loopback");
        let early = connecting.into_0rtt();
        let (connection, is_accepted) = early.ok().expect("a ticket");
        connection.request(body.clone()).await;
        connection.request(body).await;
        assert!(is_accepted.await);
        Peer::close(&connection);
    }

    fn connections(&self) -> usize {
        self.endpoint.open_connections()
    }
}

impl Peer for Connection {
    async fn request(&self, body: Bytes) -> usize {
        let (mut send, mut receive) = self.open_bi().await.expect("a stream");
        send.write_chunk(body).await.expect("it is read");
        send.finish().expect("it is open");
        let answer = receive.read_to_end(1 << 20).await;
        answer.expect("an answer").len()
    }

    async fn serve(self, body: Bytes) {
        while let Ok((mut send, mut receive)) = self.accept_bi().await {
            let body = body.clone();
            tokio::spawn(async move {
                receive.read_to_end(1 << 20).await.expect("a request");
                send.write_chunk(body).await.expect("it is read");
                send.finish().expect("it is open");
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
        send.stopped().await.expect("it is acknowledged");
    }

    async fn receive_bulk(&self) -> usize {
        let mut receive = self.accept_uni().await.expect("a stream");
        let mut count = 0;
        let mut chunks: [Bytes; 32] = Default::default();
        while let Some(read) = receive.read_chunks(&mut chunks).await.expect("it is sent") {
            count += chunks[..read].iter().map(Bytes::len).sum::<usize>();
        }
        count
    }

    async fn send_datagram(&self, data: Bytes) {
        let result = Connection::send_datagram_wait(self, data).await;
        result.expect("it fits");
    }

    async fn receive_datagram(&self) -> Bytes {
        self.read_datagram().await.expect("one is sent")
    }

    fn close(&self) {
        Connection::close(self, 0_u32.into(), b"");
    }

    async fn closed(&self) {
        Connection::closed(self).await;
    }

    fn traffic(&self) -> Option<Traffic> {
        let counted = self.stats();
        Some(Traffic {
            sent: (counted.udp_tx.datagrams, counted.udp_tx.bytes),
            received: (counted.udp_rx.datagrams, counted.udp_rx.bytes),
            lost: counted.path.lost_packets,
        })
    }
}
