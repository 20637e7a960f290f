//! The raw QUIC driver's requests: bytes on a fresh stream each, without HTTP.

use super::web::{Asks, Web, accept_all, content};
use crate::quic::{Identity, Peer, Portway, STREAMS_MAX, Stack};
use bytes::Bytes;
use http::HeaderMap;
use portway_transport::quic::Connection;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The driver alone.
pub struct Raw;

/// A connection with its endpoint.
#[derive(Clone)]
pub struct Client {
    connection: Connection,
    _endpoint: Arc<Portway>,
}

impl Web for Raw {
    type Client = Client;

    fn start(identity: &Identity, at: IpAddr) -> SocketAddr {
        let endpoint = Portway::bind_at(identity, STREAMS_MAX, at);
        accept_all(endpoint, |connection| connection.serve(content()))
    }

    async fn connect(identity: &Identity, from: IpAddr, to: SocketAddr) -> Client {
        let endpoint = Portway::bind_at(identity, STREAMS_MAX, from);
        Client {
            connection: endpoint.connect(to).await,
            _endpoint: Arc::new(endpoint),
        }
    }
}

impl Asks for Client {
    async fn get(&self, _: &HeaderMap) -> usize {
        Peer::request(&self.connection, Bytes::from_static(REQUEST)).await
    }
}

/// As long as the header section of a small request.
static REQUEST: &[u8] = &[7; 100];
