//! portway's QUIC driver against quinn: both over quinn-proto, so what differs is the driver.
//!
//! Invariant: both sides have the same transport options, the same TLS configurations and the same
//! application around them.

mod beside;
mod engine;
mod idle;
mod page;
mod portway_side;
mod quinn_side;
mod s2n_side;
mod sharded;
mod timed;
mod traffic;
mod work;

pub use beside::{is_done_by_quiche, run_beside_quiche};
pub use engine::{count as count_connects, run as run_engine};
pub use idle::{Idle, run as run_idle};
pub use page::{Counted, Found, section};
pub use portway_side::Portway;
pub use quinn_side::Quinn;
pub use s2n_side::{S2n, S2nConnection};
pub use sharded::run as run_sharded;
pub(crate) use timed::Server;
pub use timed::{
    compare_with, count_on_two_workers, is_done_beside, run, run_beside, run_on_two_workers,
    two_workers,
};
pub use traffic::{Traffic, watch};
pub(crate) use work::{Doing, warm_up};
pub use work::{STREAMS_MAX, WORK, WORKERS, Work, count, runtime};

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

    /// An endpoint that connects and accepts, on loopback, with so many bidirectional streams.
    fn bind(identity: &Identity, streams_max: u32) -> Self;

    /// Its address.
    fn address(&self) -> SocketAddr;

    /// Connects.
    fn connect(&self, remote: SocketAddr) -> impl Future<Output = Self::Connection> + Send;

    /// The next connection; before its handshake has ended when sessions are resumed.
    fn accept(&self) -> impl Future<Output = Self::Connection> + Send;

    /// Connects with early data: a request before the handshake, one after it, and a close.
    fn connect_early(&self, remote: SocketAddr, body: Bytes) -> impl Future<Output = ()> + Send;

    /// How many connections there are, as far as it tells.
    fn connections(&self) -> usize;
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

    /// What it has put on the wire and taken from there, as far as it tells.
    fn traffic(&self) -> Option<Traffic> {
        None
    }
}

/// A certificate and the TLS configurations around it: rustls's for quinn, parameters for portway.
#[derive(Clone)]
pub struct Identity {
    credentials: Arc<Credentials>,
    /// Whether sessions are resumed, with early data.
    resumes: bool,
}

impl Identity {
    /// A fresh one.
    pub fn new() -> Self {
        Identity {
            credentials: Arc::new(Credentials::generate()),
            resumes: false,
        }
    }

    /// A fresh one whose sessions are resumed with early data.
    pub fn resuming() -> Self {
        Identity {
            resumes: true,
            ..Identity::new()
        }
    }

    fn early_data(&self) -> EarlyData {
        match self.resumes {
            true => EarlyData::Allowed,
            false => EarlyData::Refused,
        }
    }

    fn resumption(&self) -> Resumption {
        match self.resumes {
            true => Resumption::default(),
            false => Resumption::disabled(),
        }
    }

    /// What both ends of TLS are made from.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// rustls's server, as quinn and s2n-quic take it.
    fn rustls_server(&self) -> rustls::ServerConfig {
        let mut config = (*self.credentials.server()).clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        if self.resumes {
            config.send_tls13_tickets = TICKETS;
            config.max_early_data_size = u32::MAX;
        }
        config
    }

    /// rustls's client, as quinn and s2n-quic take it.
    fn rustls_client(&self) -> rustls::ClientConfig {
        let mut config = (*self.credentials.client()).clone();
        config.alpn_protocols = vec![ALPN.to_vec()];
        if self.resumes {
            config.resumption = rustls::client::Resumption::in_memory_sessions(256);
            config.enable_early_data = true;
        }
        config
    }

    /// quinn's server.
    fn quinn_server(&self) -> quinn_proto::crypto::rustls::QuicServerConfig {
        let config = self.rustls_server();
        config.try_into().expect("it has a suite for QUIC")
    }

    /// quinn's client.
    fn quinn_client(&self) -> quinn_proto::crypto::rustls::QuicClientConfig {
        let config = self.rustls_client();
        config.try_into().expect("it has a suite for QUIC")
    }

    /// portway's server.
    fn portway_server(&self) -> Arc<QuicServerTls> {
        let identity = self.credentials.identity();
        let parameters = self.parameters().with_identity(identity);
        TlsEngine::new()
            .quic_server(&parameters, &[ALPN.to_vec()], self.early_data())
            .expect("an identity of ours")
    }

    /// portway's client.
    fn portway_client(&self) -> Arc<QuicClientTls> {
        let trust = Trust::Roots(vec![self.credentials.certificate()].into());
        let parameters = self.parameters().with_trust(trust);
        let (alpn, remote) = ([ALPN.to_vec()], Ipv4Addr::LOCALHOST.into());
        TlsEngine::new()
            .quic_client(&parameters, Some(HOST), remote, &alpn, self.early_data())
            .expect("a root of ours")
    }

    fn parameters(&self) -> TlsParameters {
        TlsParameters::default().with_resumption(self.resumption())
    }
}

impl Default for Identity {
    fn default() -> Self {
        Identity::new()
    }
}

const ALPN: &[u8] = b"bench";
/// What a server of portway's gives each connection.
const TICKETS: usize = 2;
