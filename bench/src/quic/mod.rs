//! portway's QUIC driver against quinn: both over quinn-proto, so what differs is the driver.
//!
//! Invariant: both sides have the same transport options, the same TLS configurations and the same
//! application around them.

mod page;
mod portway_side;
mod quinn_side;
mod timed;
mod work;

pub use page::{Counted, section, write};
pub use portway_side::Portway;
pub use quinn_side::Quinn;
pub use timed::run;
pub use work::{WORK, Work, count};

use crate::carrier::{Credentials, HOST};
use bytes::Bytes;
use portway_core::security::{Resumption, TlsParameters, Trust};
use portway_transport::tls::{EarlyData, QuicClientTls, QuicServerTls, TlsEngine};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// A QUIC implementation: an endpoint.
pub trait Stack: Sized + Send + Sync + 'static {
    /// A connection of it.
    type Connection: Peer;

    /// An endpoint that connects and accepts, on loopback.
    fn bind(identity: &Identity) -> Self;

    /// Its address.
    fn address(&self) -> SocketAddr;

    /// Connects.
    fn connect(&self, remote: SocketAddr) -> impl Future<Output = Self::Connection> + Send;

    /// The next connection.
    fn accept(&self) -> impl Future<Output = Self::Connection> + Send;
}

/// A connection.
pub trait Peer: Clone + Send + Sync + 'static {
    /// Sends `body` on a fresh bidirectional stream and reads the answer to its end.
    fn request(&self, body: Bytes) -> impl Future<Output = usize> + Send;

    /// Answers every request by `body`, each in a task of its own, until the connection ends.
    fn serve(self, body: Bytes) -> impl Future<Output = ()> + Send;

    /// Sends so many bytes on a fresh stream and waits until they are acknowledged.
    fn send_bulk(&self, bytes: usize) -> impl Future<Output = ()> + Send;

    /// Reads the next stream of the peer to its end.
    fn receive_bulk(&self) -> impl Future<Output = usize> + Send;

    /// Sends a datagram, waiting for room.
    fn send_datagram(&self, data: Bytes) -> impl Future<Output = ()> + Send;

    /// Receives a datagram.
    fn receive_datagram(&self) -> impl Future<Output = Bytes> + Send;

    /// Closes.
    fn close(&self);

    /// Waits for the end.
    fn closed(&self) -> impl Future<Output = ()> + Send;
}

/// A certificate and the TLS configurations around it: rustls's for quinn, parameters for portway.
pub struct Identity(Credentials);

impl Identity {
    /// A fresh one.
    pub fn new() -> Self {
        Identity(Credentials::generate())
    }

    /// quinn's server.
    fn quinn_server(&self) -> quinn_proto::crypto::rustls::QuicServerConfig {
        let mut config = (*self.0.server()).clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.try_into().expect("it has a suite for QUIC")
    }

    /// quinn's client.
    fn quinn_client(&self) -> quinn_proto::crypto::rustls::QuicClientConfig {
        let mut config = (*self.0.client()).clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.try_into().expect("it has a suite for QUIC")
    }

    /// portway's server.
    fn portway_server(&self) -> Arc<QuicServerTls> {
        let identity = self.0.identity();
        let parameters = without_resumption().with_identity(identity);
        TlsEngine::new()
            .quic_server(&parameters, &[ALPN.to_vec()], EarlyData::Refused)
            .expect("an identity of ours")
    }

    /// portway's client.
    fn portway_client(&self) -> Arc<QuicClientTls> {
        let trust = Trust::Roots(vec![self.0.certificate()].into());
        let parameters = without_resumption().with_trust(trust);
        let (alpn, remote) = ([ALPN.to_vec()], Ipv4Addr::LOCALHOST.into());
        TlsEngine::new()
            .quic_client(&parameters, Some(HOST), remote, &alpn, EarlyData::Refused)
            .expect("a root of ours")
    }
}

fn without_resumption() -> TlsParameters {
    TlsParameters::default().with_resumption(Resumption::disabled())
}

impl Default for Identity {
    fn default() -> Self {
        Identity::new()
    }
}

const ALPN: &[u8] = b"bench";
