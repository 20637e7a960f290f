//! What a race yields: a ready carrier, its protection and the report, for whoever stands above.

use crate::environment::{TcpStream, UdpSocket};
use crate::layer::ByteLayer;
use crate::quic_stack::QuicCarrier;
use bytes::{Bytes, BytesMut};
use portway_core::race::Leaf;
use portway_core::security::Protection;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// One leaf, connected and protected.
#[derive(Debug)]
#[non_exhaustive]
pub struct Established {
    /// The carrier.
    pub carrier: Carrier,
    /// What was negotiated; `None` in cleartext.
    pub protection: Option<Protection>,
    /// The leaf that this is.
    pub leaf: Leaf,
}

/// What carries the bytes or datagrams.
#[derive(Debug)]
#[non_exhaustive]
pub enum Carrier {
    /// An ordered stream of bytes, with its layers.
    Bytes(ByteCarrier),
    /// Datagrams to and from one peer.
    Datagrams(DatagramCarrier),
    /// A QUIC connection, whose streams and datagrams are carriers.
    Quic(QuicCarrier),
}

/// A byte stream with the layers on it.
#[non_exhaustive]
pub struct ByteCarrier {
    /// The socket.
    pub socket: Box<dyn TcpStream>,
    /// TLS, or nothing.
    pub layer: Option<Box<dyn ByteLayer>>,
    /// Wire bytes that were read and that the layer has not consumed.
    pub unread: BytesMut,
    /// What is left of early data of which the peer has taken the rest.
    pub(crate) early_rest: Option<Bytes>,
}

impl ByteCarrier {
    /// A socket without a layer, of which nothing was read.
    pub fn new(socket: Box<dyn TcpStream>) -> Self {
        ByteCarrier {
            socket,
            layer: None,
            unread: BytesMut::new(),
            early_rest: None,
        }
    }

    /// What did not leave of early data, when some has left and the peer has taken that. It is
    /// there once.
    pub fn take_early_rest(&mut self) -> Option<Bytes> {
        self.early_rest.take()
    }
}

impl fmt::Debug for ByteCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteCarrier")
            .field("local", &self.socket.local_address())
            .field("peer", &self.socket.peer_address())
            .field("is_layered", &self.layer.is_some())
            .finish_non_exhaustive()
    }
}

/// A UDP socket with one peer.
#[non_exhaustive]
pub struct DatagramCarrier {
    /// A socket that is connected to the peer.
    pub socket: Arc<dyn UdpSocket>,
    /// The peer.
    pub peer: SocketAddr,
}

impl fmt::Debug for DatagramCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramCarrier")
            .field("local", &self.socket.local_address())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
