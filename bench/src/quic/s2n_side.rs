//! s2n-quic as the benchmarks use it, which shows what another implementation of QUIC costs.
//!
//! Invariant: it has the limits and the TLS configuration of the others. Datagrams are unstable in
//! it, so what they ask for is asked for on unidirectional streams.

use super::work::{IDLE, UNI_STREAMS_MAX};
use super::{Identity, Peer, Stack};
use bytes::Bytes;
use s2n_quic::client::Connect;
use s2n_quic::connection::{BidirectionalStreamAcceptor, Handle, ReceiveStreamAcceptor};
use s2n_quic::provider::limits::Limits;
use s2n_quic::provider::tls::rustls;
use s2n_quic::{Client, Server};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Mutex;

/// A client and a server of s2n-quic.
pub struct S2n {
    client: Client,
    server: Mutex<Server>,
    address: SocketAddr,
}

/// A connection of it.
#[derive(Clone)]
pub struct S2nConnection {
    handle: Handle,
    bidirectional: Arc<Mutex<BidirectionalStreamAcceptor>>,
    unidirectional: Arc<Mutex<ReceiveStreamAcceptor>>,
}

impl S2nConnection {
    fn new(connection: s2n_quic::Connection) -> Self {
        let (handle, acceptor) = connection.split();
        let (bidirectional, unidirectional) = acceptor.split();
        S2nConnection {
            handle,
            bidirectional: Arc::new(Mutex::new(bidirectional)),
            unidirectional: Arc::new(Mutex::new(unidirectional)),
        }
    }
}

/// The limits that portway has by default.
fn limits(streams_max: u32) -> Limits {
    let limits = Limits::new()
        .with_data_window(16 << 20)
        .and_then(|it| it.with_bidirectional_local_data_window(STREAM_WINDOW))
        .and_then(|it| it.with_bidirectional_remote_data_window(STREAM_WINDOW))
        .and_then(|it| it.with_unidirectional_data_window(STREAM_WINDOW))
        .and_then(|it| it.with_max_open_local_bidirectional_streams(streams_max.into()))
        .and_then(|it| it.with_max_open_remote_bidirectional_streams(streams_max.into()))
        .and_then(|it| it.with_max_open_remote_unidirectional_streams(UNI_STREAMS_MAX.into()))
        .and_then(|it| it.with_max_send_buffer_size(10_000_000));
    let limits = limits.expect("they are in range");
    match IDLE {
        Some(idle) => limits.with_max_idle_timeout(idle).expect("it is in range"),
        None => limits,
    }
}

impl Stack for S2n {
    type Connection = S2nConnection;

    fn bind(identity: &Identity, streams_max: u32) -> Self {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // A macro, since the builders of both ends have no trait in common.
        macro_rules! start {
            ($end:ident, $tls:expr) => {
                $end::builder()
                    .with_tls($tls)
                    .and_then(|it| Ok(it.with_io(local).expect("an address on loopback")))
                    .and_then(|it| it.with_limits(limits(streams_max)))
                    .expect("what is given is a provider")
                    .start()
                    .expect("a socket on loopback")
            };
        }
        let server = start!(Server, rustls::Server::from(identity.rustls_server()));
        let client = start!(Client, rustls::Client::from(identity.rustls_client()));
        S2n {
            address: server.local_addr().expect("it is bound"),
            server: Mutex::new(server),
            client,
        }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn connect(&self, remote: SocketAddr) -> S2nConnection {
        let connect = Connect::new(remote).with_server_name(crate::carrier::HOST);
        let connection = self.client.connect(connect).await;
        S2nConnection::new(connection.expect("our own server"))
    }

    async fn accept(&self) -> S2nConnection {
        let connection = self.server.lock().await.accept().await;
        S2nConnection::new(connection.expect("it is open"))
    }

    async fn connect_early(&self, _: SocketAddr, _: Bytes) {
        unreachable!("it has no early data, so that this is not asked of it");
    }

    fn connections(&self) -> usize {
        0
    }
}

impl Peer for S2nConnection {
    async fn request(&self, body: Bytes) -> usize {
        let mut handle = self.handle.clone();
        let stream = handle.open_bidirectional_stream().await;
        let mut stream = stream.expect("a stream");
        stream.send(body).await.expect("it is read");
        stream.finish().expect("it is open");
        let mut count = 0;
        while let Some(piece) = stream.receive().await.expect("an answer") {
            count += piece.len();
        }
        count
    }

    async fn serve(self, body: Bytes) {
        let mut acceptor = self.bidirectional.lock().await;
        while let Ok(Some(mut stream)) = acceptor.accept_bidirectional_stream().await {
            let body = body.clone();
            tokio::spawn(async move {
                while let Some(piece) = stream.receive().await.expect("a request") {
                    drop(piece);
                }
                stream.send(body).await.expect("it is read");
                stream.finish().expect("it is open");
            });
        }
    }

    async fn send_bulk(&self, bytes: usize) {
        let mut handle = self.handle.clone();
        let mut stream = handle.open_send_stream().await.expect("a stream");
        let chunk = Bytes::from(vec![7; super::work::CHUNK]);
        for _ in 0..bytes / super::work::CHUNK {
            stream.send(chunk.clone()).await.expect("it is read");
        }
        stream.close().await.expect("it is acknowledged");
    }

    async fn receive_bulk(&self) -> usize {
        let stream = self
            .unidirectional
            .lock()
            .await
            .accept_receive_stream()
            .await;
        let mut stream = stream.expect("it is open").expect("a stream");
        let mut count = 0;
        while let Some(piece) = stream.receive().await.expect("it is sent") {
            count += piece.len();
        }
        count
    }

    async fn send_datagram(&self, data: Bytes) {
        let mut handle = self.handle.clone();
        let mut stream = handle.open_send_stream().await.expect("a stream");
        stream.send(data).await.expect("it is read");
        stream.finish().expect("it is open");
    }

    async fn receive_datagram(&self) -> Bytes {
        let stream = self
            .unidirectional
            .lock()
            .await
            .accept_receive_stream()
            .await;
        let Ok(Some(mut stream)) = stream else {
            // The connection has ended, which somebody else waits for.
            return std::future::pending().await;
        };
        let first = stream.receive().await.expect("it is sent");
        first.expect("it is not empty")
    }

    fn close(&self) {
        self.handle.close(0_u32.into());
    }

    async fn closed(&self) {
        let mut acceptor = self.bidirectional.lock().await;
        while let Ok(Some(_)) = acceptor.accept_bidirectional_stream().await {}
    }
}

const STREAM_WINDOW: u64 = 1_250_000;
