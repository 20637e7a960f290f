//! What travels between hosts.
//!
//! Invariant: a packet's size counts every header that it would have on a real wire.

use crate::wire_log::WireKind;
use bytes::Bytes;
use portway_core::WireProtocol;
use std::net::SocketAddr;

/// One packet on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) dscp: u8,
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

    /// Where the payload stands in its stream.
    pub(crate) fn offset(&self) -> u64 {
        match &self.body {
            Body::Tcp(segment) => segment.seq,
            Body::Udp { .. } => 0,
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
