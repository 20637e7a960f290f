//! The log of everything that was sent, and what streams and datagrams it adds up to.
//!
//! Invariant: a byte of a stream counts once, however often it was sent again.

use bytes::Bytes;
use portway_core::{Time, WireProtocol};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// One packet as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireEvent {
    /// When it was sent.
    pub time: Time,
    /// The name of the host that sent it; for an ICMP error, of the one that it tells.
    pub host: String,
    /// The source as the sender knows it, before any address translation.
    pub from: SocketAddr,
    /// The destination as the sender knows it.
    pub to: SocketAddr,
    /// TCP or UDP; an ICMP error has the protocol of the packet that caused it.
    pub protocol: WireProtocol,
    /// What it was.
    pub kind: WireKind,
    /// Where the payload stands in its TCP stream, counted from zero; zero for UDP.
    pub offset: u64,
    /// The differentiated services code point.
    pub dscp: u8,
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

/// What one socket sent to another: a whole TCP stream, or the datagrams in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow {
    /// The name of the host that sent it.
    pub host: String,
    /// The source as the sender knows it.
    pub from: SocketAddr,
    /// The destination as the sender knows it.
    pub to: SocketAddr,
    /// TCP or UDP.
    pub protocol: WireProtocol,
    /// The payload; a TCP stream in its order and without repetitions.
    pub bytes: Vec<u8>,
}

/// The flows of a log, in the order in which they started.
pub(crate) fn flows(log: &[WireEvent]) -> Vec<Flow> {
    let mut flows: Vec<Flow> = Vec::new();
    let mut known: BTreeMap<_, usize> = BTreeMap::new();
    for event in log {
        let is_payload = matches!(event.kind, WireKind::Data | WireKind::Datagram);
        let is_start = event.kind == WireKind::Syn;
        if !is_payload && !is_start {
            continue;
        }
        let key = (&event.host, event.from, event.to, event.protocol as u8);
        let index = *known.entry(key).or_insert_with(|| {
            flows.push(Flow {
                host: event.host.clone(),
                from: event.from,
                to: event.to,
                protocol: event.protocol,
                bytes: Vec::new(),
            });
            flows.len() - 1
        });
        let bytes = &mut flows[index].bytes;
        if event.kind == WireKind::Datagram {
            bytes.extend_from_slice(&event.bytes);
            continue;
        }
        // What is sent first starts at the end of what is known or before it, so there are no gaps.
        let offset = usize::try_from(event.offset).unwrap_or(usize::MAX);
        let repeated = bytes.len().saturating_sub(offset);
        if let Some(new) = event.bytes.get(repeated..) {
            bytes.extend_from_slice(new);
        }
    }
    flows
}
