//! The carrier of a connection while it is alive.

use super::Siblings;
use super::inbound::Inbound;
use crate::open::{Framing, Opened};
use bytes::{Bytes, BytesMut};
use portway_core::framer::Pipeline;
use portway_core::property::Direction;
use portway_core::security::Protection;
use portway_core::{Failure, FailureKind, StackId};
use portway_transport::environment::{TcpStream, UdpSocket};
use portway_transport::established::Carrier;
use portway_transport::layer::ByteLayer;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

/// What carries a connection's bytes or datagrams.
pub(super) enum Link {
    /// An ordered stream of bytes, with the layer on it.
    Bytes(ByteLink),
    /// Datagrams to and from one peer.
    Datagrams(DatagramLink),
}

pub(super) struct ByteLink {
    pub(super) socket: Arc<dyn TcpStream>,
    pub(super) layer: Option<Box<dyn ByteLayer>>,
}

pub(super) struct DatagramLink {
    pub(super) socket: Arc<dyn UdpSocket>,
    pub(super) peer: SocketAddr,
    /// Whether the stack delivers a datagram once that the network has doubled.
    pub(super) rejects_duplicates: bool,
    /// The latest error that did not end the connection, until it is told as an event.
    pub(super) soft_error: Cell<Option<Box<Failure>>>,
}

impl DatagramLink {
    /// Notes the failure if it is a soft one, or gives it back.
    ///
    /// RFC 9622 §8.3.1: an ICMP message about an earlier datagram ends nothing; the next one may
    /// arrive.
    pub(super) fn note_if_soft(&self, failure: Failure) -> Result<(), Failure> {
        if !is_soft(&failure) {
            return Err(failure);
        }
        self.soft_error.set(Some(Box::new(failure)));
        Ok(())
    }
}

/// Whether a failure to deliver datagrams leaves their socket usable.
pub(super) fn is_soft(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::Refused | FailureKind::Unreachable
    )
}

impl Link {
    pub(super) fn local_address(&self) -> SocketAddr {
        match self {
            Link::Bytes(link) => link.socket.local_address(),
            Link::Datagrams(link) => link.socket.local_address(),
        }
    }

    /// Whether early data was taken below this, either side's.
    pub(super) fn is_early_data_accepted(&self) -> Option<bool> {
        match self {
            Link::Bytes(link) => link.layer.as_ref()?.is_early_data_accepted(),
            Link::Datagrams(_) => None,
        }
    }

    pub(super) fn peer_address(&self) -> SocketAddr {
        match self {
            Link::Bytes(link) => link.socket.peer_address(),
            Link::Datagrams(link) => link.peer,
        }
    }
}

/// A ready stack in the parts that a connection keeps it in.
pub(crate) struct LinkStart {
    pub(super) stack: StackId,
    pub(super) link: Link,
    pub(super) protection: Option<Protection>,
    pub(super) pipeline: Pipeline,
    pub(super) inbound: Inbound,
    pub(super) siblings: Option<Arc<Siblings>>,
    pub(super) direction: Direction,
    /// What is left of the first message, when it has left as early data.
    pub(super) early_rest: Option<Bytes>,
}

impl From<Opened> for LinkStart {
    fn from(opened: Opened) -> Self {
        let Framing { pipeline, unread } = opened.framing;
        let (link, wire) = match opened.carrier {
            Carrier::Bytes(carrier) => (
                Link::Bytes(ByteLink {
                    socket: carrier.socket.into(),
                    layer: carrier.layer,
                }),
                carrier.unread,
            ),
            Carrier::Datagrams(carrier) => (
                Link::Datagrams(DatagramLink {
                    socket: carrier.socket,
                    peer: carrier.peer,
                    rejects_duplicates: opened.stack != StackId::UDP,
                    soft_error: Cell::new(None),
                }),
                BytesMut::new(),
            ),
            _ => unreachable!("only carriers that a plan allows are opened"),
        };
        LinkStart {
            stack: opened.stack,
            inbound: Inbound::over(&link, wire, unread),
            link,
            protection: opened.protection,
            pipeline,
            siblings: opened.siblings,
            direction: opened.direction,
            early_rest: opened.early_rest,
        }
    }
}
