//! The three-way handshake, from both sides, and what the network may answer instead.
//!
//! Invariant: a silent peer costs the client seven SYNs and 127 s, like the system's default.

use super::connection::{Connection, Phase};
use super::stream::{SimTcpStream, check_options};
use super::table::{ConnectionId, ListenerId};
use crate::host::{HostId, errno, unspecified_like};
use crate::packet::{Body, Packet, Segment, SegmentKind, TCP_HEADER_LEN, ip_header_len};
use crate::route::Origin;
use crate::state::{Shared, State};
use bytes::Bytes;
use portway_core::WireProtocol;
use portway_transport::environment::{BoxFuture, TcpConnect, TcpStream};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Connects; the SYN leaves with the first poll.
pub(crate) fn connect(
    shared: Arc<Shared>,
    host: HostId,
    request: TcpConnect,
) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
    Box::pin(async move {
        let stream = shared.with(|state| state.start_connecting(host, &request))?;
        let stream = SimTcpStream::new(shared.clone(), stream);
        poll_fn(|context| stream.poll_connected(context)).await?;
        Ok(Box::new(stream) as Box<dyn TcpStream>)
    })
}

/// What a new stream needs to know of its connection.
pub(crate) struct Endpoints {
    pub(crate) id: ConnectionId,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl State {
    fn start_connecting(&mut self, host: HostId, request: &TcpConnect) -> io::Result<Endpoints> {
        check_options(&request.options)?;
        self.host(host).check_descriptors(self.sockets_open(host))?;
        let remote = request.remote;
        let wanted = request
            .local
            .unwrap_or_else(|| SocketAddr::new(unspecified_like(remote.ip()), 0));
        if wanted.is_ipv4() != remote.is_ipv4() {
            return Err(errno(libc::EINVAL));
        }
        let source = self
            .host(host)
            .source_for(remote.ip(), Some(wanted.ip()), request.path)?;
        let port = match wanted.port() {
            0 => self.free_port(host, WireProtocol::Tcp)?,
            port => port,
        };
        let local = SocketAddr::new(source, port);
        if self.tcp.index.contains_key(&(host, local, remote)) {
            return Err(errno(libc::EADDRINUSE));
        }
        let mut connection = self.new_connection((host, local, remote), Phase::SynSent);
        connection.options = request.options.clone();
        let id = self.tcp.insert(connection);
        self.send_syn(id);
        Ok(Endpoints { id, local, remote })
    }

    fn new_connection(
        &self,
        addresses: (HostId, SocketAddr, SocketAddr),
        phase: Phase,
    ) -> Connection {
        let (host, local, _) = addresses;
        let host = self.host(host);
        let headers = ip_header_len(local) + TCP_HEADER_LEN;
        let mss = (host.mtu_from(local.ip()) as usize).saturating_sub(headers);
        Connection::new(addresses, phase, host.buffers, mss.max(MSS_MIN))
    }

    /// Sends the SYN, or the SYN-ACK of a half-open connection, and sets the time of the next.
    fn send_syn(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let kind = match connection.phase {
            Phase::SynSent => SegmentKind::Syn,
            Phase::SynReceived(_) => SegmentKind::SynAck,
            Phase::Established | Phase::Closed => return,
        };
        let user_timeout = connection.options.user_timeout.flatten();
        let timing = &mut connection.sender.retransmission;
        let since = *timing.since.get_or_insert(now);
        // RFC 6298 §3 (Karn): an answer to a repeated SYN is not timed.
        timing.sample = (timing.retries == 0).then_some((0, now));
        let mut at = now + SYN_TIMEOUT * 2u32.pow(timing.retries);
        if let Some(limit) = user_timeout {
            at = at.min(since + limit).max(now);
        }
        self.send_bare(id, kind);
        let key = self.schedule(at, move |state| state.syn_due(id));
        if let Some(connection) = self.connection(id) {
            connection.sender.retransmission.timer = Some(key);
        }
    }

    fn syn_due(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let phase = connection.phase;
        let user_timeout = connection.options.user_timeout.flatten();
        let timing = &mut connection.sender.retransmission;
        timing.timer = None;
        timing.retries += 1;
        let waited = now.saturating_since(timing.since.unwrap_or(now));
        let retries = timing.retries;
        match phase {
            Phase::SynReceived(listener) if retries > SYN_ACK_RETRIES_MAX => {
                self.forget_half_open(listener);
                self.remove_connection(id);
            }
            Phase::SynSent
                if retries > SYN_RETRIES_MAX || user_timeout.is_some_and(|max| waited >= max) =>
            {
                self.fail_connection(id, Some(libc::ETIMEDOUT));
            }
            _ => self.send_syn(id),
        }
    }

    /// Takes a segment that has reached its host.
    pub(crate) fn tcp_arrives(
        &mut self,
        host: HostId,
        local: SocketAddr,
        remote: SocketAddr,
        segment: Segment,
    ) {
        if let Some(id) = self.tcp.index.get(&(host, local, remote)).copied() {
            self.connection_segment(id, segment);
            return;
        }
        if segment.kind == SegmentKind::Syn
            && let Some(listener) = self.tcp.listener_for(host, local)
        {
            self.syn_received((host, local, remote), listener, &segment);
            return;
        }
        if segment.kind != SegmentKind::Rst {
            // RFC 9293 §3.10.7.1: whatever belongs to no connection is answered with a reset.
            let reset = Segment {
                kind: SegmentKind::Rst,
                seq: segment.ack,
                ack: segment.seq,
                window: 0,
                data: Bytes::new(),
                has_fin: false,
                mss: 0,
            };
            let packet = Packet {
                source: local,
                destination: remote,
                dscp: 0,
                body: Body::Tcp(reset),
            };
            self.transmit(host, packet);
        }
    }

    fn syn_received(
        &mut self,
        addresses: (HostId, SocketAddr, SocketAddr),
        listener: ListenerId,
        segment: &Segment,
    ) {
        let Some(entry) = self.tcp.listeners.get_mut(&listener) else {
            return;
        };
        // As Linux: with a full backlog the SYN is dropped, so that the client tries again.
        if !entry.take_slot() {
            return;
        }
        let mut connection = self.new_connection(addresses, Phase::SynReceived(listener));
        connection.sender.window = segment.window;
        connection.mss = connection.mss.min(segment.mss);
        let id = self.tcp.insert(connection);
        self.send_syn(id);
    }

    /// Moves a half-open connection to the listener's queue; false when the listener is gone.
    pub(crate) fn handshake_complete(&mut self, id: ConnectionId, listener: ListenerId) -> bool {
        self.establish(id);
        let Some(entry) = self.tcp.listeners.get_mut(&listener) else {
            self.abort_connection(id, None);
            return false;
        };
        entry.accepted.push_back(id);
        let waker = entry.waker.take();
        self.wake(waker);
        true
    }

    pub(crate) fn forget_half_open(&mut self, listener: ListenerId) {
        if let Some(entry) = self.tcp.listeners.get_mut(&listener) {
            entry.free_slot();
        }
    }

    pub(crate) fn syn_acknowledged(&mut self, id: ConnectionId, segment: &Segment) {
        if let Some(connection) = self.connection(id) {
            connection.sender.window = segment.window;
            connection.mss = connection.mss.min(segment.mss);
        }
        self.establish(id);
        self.send_bare(id, SegmentKind::Ack);
    }

    fn establish(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.phase = Phase::Established;
        let timing = &mut connection.sender.retransmission;
        let timer = timing.timer.take();
        let sample = timing.sample.take();
        timing.retries = 0;
        timing.since = None;
        if let Some((_, at)) = sample {
            connection.sender.measured(now.saturating_since(at));
        }
        let wakers = [
            connection.wakers.connect.take(),
            connection.wakers.write.take(),
        ];
        for waker in wakers {
            self.wake(waker);
        }
        if let Some(timer) = timer {
            self.events.remove(timer);
        }
        self.arm_keep_alive(id);
    }

    /// Takes an ICMP error that a segment has caused.
    pub(crate) fn tcp_icmp(&mut self, origin: Origin, errno: i32) {
        let key = (origin.host, origin.source, origin.destination);
        let Some(id) = self.tcp.index.get(&key).copied() else {
            return;
        };
        if errno == libc::EMSGSIZE {
            self.segments_too_large(id, origin);
            return;
        }
        // RFC 1122 §4.2.3.9: once established these errors are soft, retransmission decides.
        if let Some(connection) = self.connection(id)
            && connection.phase == Phase::SynSent
        {
            self.fail_connection(id, Some(errno));
        }
    }

    fn segments_too_large(&mut self, id: ConnectionId, origin: Origin) {
        let way = self.way_from(
            origin.host,
            origin.protocol,
            origin.source,
            origin.destination,
        );
        let mtu = self.links.way(way).options.mtu;
        let headers = ip_header_len(origin.destination) + TCP_HEADER_LEN;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let mss = mtu.saturating_sub(headers).max(MSS_MIN);
        if mss < connection.mss {
            connection.mss = mss;
            connection.sender.recover = connection.sender.next;
            connection.sender.next = connection.sender.una;
            self.pump(id);
        }
    }
}

const MSS_MIN: usize = 64;
const SYN_TIMEOUT: Duration = Duration::from_secs(1);
/// As Linux' `tcp_syn_retries`: the last timeout ends after 127 s.
const SYN_RETRIES_MAX: u32 = 6;
/// As Linux' `tcp_synack_retries`.
const SYN_ACK_RETRIES_MAX: u32 = 5;
