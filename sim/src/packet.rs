//! What travels between hosts, and the log of all that was sent.
//!
//! Invariant: nothing reaches a socket without an entry in the log at the moment it was sent.

use bytes::Bytes;
use portway_core::{Time, WireProtocol};
use std::net::SocketAddr;

/// One packet on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) body: Body,
}

/// What a packet carries.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Tcp(Segment),
    Udp {
        data: Bytes,
        ecn: u8,
        /// In how many pieces it travels; it is lost when one of them is.
        fragments: usize,
    },
}

/// A TCP segment. Sequence numbers count the bytes of a direction from zero; the SYN has none,
/// the FIN has one.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) kind: SegmentKind,
    pub(crate) seq: u64,
    pub(crate) ack: u64,
    pub(crate) window: u64,
    pub(crate) data: Bytes,
    pub(crate) has_fin: bool,
    /// The largest segment that the sender takes; it counts in SYNs.
    pub(crate) mss: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentKind {
    Syn,
    SynAck,
    Data,
    Ack,
    /// Asks for an acknowledgement: a zero-window or keep-alive probe.
    Probe,
    Rst,
}

impl Packet {
    pub(crate) fn protocol(&self) -> WireProtocol {
        match self.body {
            Body::Tcp(_) => WireProtocol::Tcp,
            Body::Udp { .. } => WireProtocol::Udp,
        }
    }

    pub(crate) fn fragments(&self) -> usize {
        match self.body {
            Body::Tcp(_) => 1,
            Body::Udp { fragments, .. } => fragments,
        }
    }

    /// The packet's size with its headers.
    pub(crate) fn size(&self) -> usize {
        let ip = ip_header_len(self.destination);
        match &self.body {
            Body::Tcp(segment) => ip + TCP_HEADER_LEN + segment.data.len(),
            Body::Udp { data, .. } => ip * self.fragments() + UDP_HEADER_LEN + data.len(),
        }
    }

    pub(crate) fn kind(&self) -> WireKind {
        match &self.body {
            Body::Tcp(segment) => match segment.kind {
                SegmentKind::Syn => WireKind::Syn,
                SegmentKind::SynAck => WireKind::SynAck,
                SegmentKind::Data if segment.data.is_empty() => WireKind::Fin,
                SegmentKind::Data => WireKind::Data,
                SegmentKind::Ack | SegmentKind::Probe => WireKind::Ack,
                SegmentKind::Rst => WireKind::Rst,
            },
            Body::Udp { .. } => WireKind::Datagram,
        }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        match &self.body {
            Body::Tcp(segment) => segment.data.clone(),
            Body::Udp { data, .. } => data.clone(),
        }
    }
}

/// The length of an IP header without options.
pub(crate) fn ip_header_len(address: SocketAddr) -> usize {
    if address.is_ipv4() { 20 } else { 40 }
}

pub(crate) const UDP_HEADER_LEN: usize = 8;
pub(crate) const TCP_HEADER_LEN: usize = 20;

/// One packet as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireEvent {
    /// When it was sent.
    pub time: Time,
    /// The name of the host that sent it.
    pub host: String,
    /// The source as the sender knows it, before any address translation.
    pub from: SocketAddr,
    /// The destination as the sender knows it.
    pub to: SocketAddr,
    /// TCP or UDP; an ICMP error has the protocol of the packet that caused it.
    pub protocol: WireProtocol,
    /// What it was.
    pub kind: WireKind,
    /// The payload, retransmissions included.
    pub bytes: Bytes,
    /// When it arrives; `None` when it is lost on the way.
    pub arrives: Option<Time>,
}

/// What a packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WireKind {
    /// The first packet of a TCP connection.
    Syn,
    /// The answer to it.
    SynAck,
    /// TCP payload, with or without the end of the stream.
    Data,
    /// A TCP acknowledgement or probe without payload.
    Ack,
    /// The end of a TCP stream without payload.
    Fin,
    /// A TCP reset.
    Rst,
    /// A UDP datagram.
    Datagram,
    /// An ICMP error.
    Icmp,
}
