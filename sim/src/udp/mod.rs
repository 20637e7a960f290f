//! UDP: datagrams that may be lost, late, doubled, too large or refused.
//!
//! Invariant: a datagram arrives whole at one socket or not at all.

mod socket;

use crate::events::EventKey;
use crate::host::{HostId, check_dscp, errno, takes};
use crate::packet::{Body, Packet, UDP_HEADER_LEN, ip_header_len};
use crate::route::Origin;
use crate::state::{Shared, State};
use bytes::Bytes;
use portway_core::{Time, WireProtocol};
use portway_transport::environment::{Transmit, UdpBind, UdpProfile, UdpSocket, shard_of};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

/// Identifies a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UdpId(u64);

/// All UDP sockets.
#[derive(Default)]
pub(crate) struct UdpTable {
    sockets: BTreeMap<UdpId, Udp>,
    created: u64,
}

/// One socket.
struct Udp {
    host: HostId,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    request: UdpBind,
    queue: VecDeque<Received>,
    queued_bytes: usize,
    error: Option<i32>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Set while the link has no room.
    blocked: Option<EventKey>,
}

struct Received {
    data: Bytes,
    remote: SocketAddr,
    local: SocketAddr,
    ecn: u8,
}

impl Received {
    /// How many datagrams at the head of `queue`, of which this is the first, are one message as
    /// a system's receive offload makes it.
    fn joined(&self, queue: &VecDeque<Received>, segments_max: usize) -> usize {
        let stride = self.data.len();
        let (mut count, mut bytes) = (0, 0);
        for next in queue.iter().take(segments_max) {
            let is_alike = next.remote == self.remote
                && next.local == self.local
                && next.ecn == self.ecn
                && next.data.len() <= stride;
            if !is_alike || (count > 0 && next.data.is_empty()) {
                break;
            }
            bytes += next.data.len();
            if count > 0 && bytes > SEND_BYTES_MAX {
                break;
            }
            count += 1;
            // A shorter one is the last of its message.
            if next.data.len() < stride || stride == 0 {
                break;
            }
        }
        count
    }
}

impl UdpTable {
    pub(crate) fn open(&self, host: HostId) -> usize {
        let sockets = self.sockets.values();
        sockets.filter(|socket| socket.host == host).count()
    }

    pub(crate) fn is_port_used(&self, host: HostId, port: u16) -> bool {
        let mut sockets = self.sockets.values();
        sockets.any(|socket| socket.host == host && socket.local.port() == port)
    }

    /// The socket for a datagram: a connected one first, then a bound one, then any.
    fn find(
        &self,
        host: HostId,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) -> Option<UdpId> {
        let rank = |socket: &Udp| {
            let is_mine = socket.host == host && takes(socket.local, local);
            match socket.remote {
                _ if !is_mine => None,
                Some(peer) => (peer == remote).then_some(2),
                None => Some(i32::from(socket.local.ip() == local.ip())),
            }
        };
        let ranked = self
            .sockets
            .iter()
            .filter_map(|(id, socket)| Some((rank(socket)?, *id)));
        let (best, found) = ranked.clone().max_by_key(|(rank, _)| *rank)?;
        let Some(shards) = self.sockets[&found].request.shards else {
            return Some(found);
        };
        // Identifiers rise, so this is the order in which the sockets were bound.
        let group: Vec<UdpId> = ranked
            .filter(|(rank, _)| *rank == best)
            .map(|(_, id)| id)
            .collect();
        let index = usize::from(shard_of(data, shards));
        Some(group.get(index).copied().unwrap_or(group[0]))
    }
}

/// Opens a socket.
pub(crate) fn bind(
    shared: &Arc<Shared>,
    host: HostId,
    request: &UdpBind,
) -> io::Result<Arc<dyn UdpSocket>> {
    let (id, local) = shared.with(|state| state.udp_open(host, request))?;
    Ok(Arc::new(socket::SimUdpSocket::new(
        shared.clone(),
        id,
        local,
        request.clone(),
    )))
}

impl State {
    fn udp_open(&mut self, host: HostId, request: &UdpBind) -> io::Result<(UdpId, SocketAddr)> {
        let wanted = request.local;
        let here = self.host(host);
        here.check_path(request.path)?;
        here.check_descriptors(self.sockets_open(host))?;
        check_dscp(request.dscp)?;
        if !wanted.ip().is_unspecified() && !here.has_address(wanted.ip()) {
            return Err(errno(libc::EADDRNOTAVAIL));
        }
        let address = match request.remote {
            Some(remote) if remote.is_ipv4() != wanted.is_ipv4() => {
                return Err(errno(libc::EAFNOSUPPORT));
            }
            Some(remote) => here.source_for(remote.ip(), Some(wanted.ip()), request.path)?,
            None => wanted.ip(),
        };
        let port = match wanted.port() {
            0 => self.free_port(host, WireProtocol::Udp)?,
            port => port,
        };
        let bound = SocketAddr::new(wanted.ip(), port);
        let mut sockets = self.udp.sockets.values();
        let is_used = sockets.any(|other| {
            let other_bound = SocketAddr::new(other.request.local.ip(), other.local.port());
            let is_shared = request.shards.is_some() && other.request.shards.is_some();
            other.host == host
                && !is_shared
                && (takes(other_bound, bound) || takes(bound, other_bound))
        });
        if is_used {
            return Err(errno(libc::EADDRINUSE));
        }
        let local = SocketAddr::new(address, port);
        self.udp.created += 1;
        let id = UdpId(self.udp.created);
        let socket = Udp {
            host,
            local,
            remote: request.remote,
            request: request.clone(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            error: None,
            reader: None,
            writer: None,
            blocked: None,
        };
        self.udp.sockets.insert(id, socket);
        Ok((id, local))
    }

    fn udp_close(&mut self, id: UdpId) {
        if let Some(socket) = self.udp.sockets.remove(&id)
            && let Some(key) = socket.blocked
        {
            self.events.remove(key);
        }
    }

    fn udp_send(&mut self, id: UdpId, data: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        let connected = self.udp.sockets.get(&id).and_then(|socket| socket.remote);
        let remote = to.or(connected).ok_or_else(|| errno(libc::EDESTADDRREQ))?;
        self.udp_transmit(id, &Transmit::to(remote, data))
    }

    fn udp_transmit(&mut self, id: UdpId, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(socket) = self.udp.sockets.get_mut(&id) else {
            return Err(errno(libc::EBADF));
        };
        if let Some(code) = socket.error.take() {
            return Err(errno(code));
        }
        transmit.check(gso_segments_max(&socket.request))?;
        let remote = transmit.remote;
        if remote.is_ipv4() != socket.local.is_ipv4() {
            return Err(errno(libc::EAFNOSUPPORT));
        }
        if socket.blocked.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let longest = transmit.segments().map(<[u8]>::len).max().unwrap_or(0);
        if longest > payload_limit(remote) || transmit.contents.len() > SEND_BYTES_MAX {
            return Err(errno(libc::EMSGSIZE));
        }
        let (host, local) = (socket.host, socket.local);
        let request = socket.request.clone();
        let here = self.host(host);
        let source = match transmit.source {
            Some(source) if !here.has_address(source) => return Err(errno(libc::EINVAL)),
            Some(source) => source,
            None => here.source_for(remote.ip(), Some(local.ip()), request.path)?,
        };
        let source = SocketAddr::new(source, local.port());
        let fragment_max = match request.profile {
            UdpProfile::Datagrams => self.udp_payload(host, source, remote),
            // Whoever probes the path does not heed what the host has learnt of it.
            _ => {
                let headers = ip_header_len(remote) + UDP_HEADER_LEN;
                (self.host(host).mtu_from(source.ip()) as usize).saturating_sub(headers)
            }
        };
        if longest > fragment_max && request.profile != UdpProfile::Datagrams {
            return Err(errno(libc::EMSGSIZE));
        }
        let packets: Vec<Packet> = transmit
            .segments()
            .map(|data| Packet {
                source,
                destination: remote,
                dscp: transmit.dscp.or(request.dscp).unwrap_or(0),
                body: Body::Udp {
                    data: Bytes::copy_from_slice(data),
                    ecn: transmit.ecn.unwrap_or(0) & 3,
                    fragments: data.len().div_ceil(fragment_max.max(1)).max(1),
                },
            })
            .collect();
        if let Some(at) = self.link_pushes_back_until(host, &packets) {
            let key = self.schedule(at, move |state| state.udp_unblock(id));
            if let Some(socket) = self.udp.sockets.get_mut(&id) {
                socket.blocked = Some(key);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for packet in packets {
            self.transmit(host, packet);
        }
        Ok(())
    }

    fn udp_unblock(&mut self, id: UdpId) {
        if let Some(socket) = self.udp.sockets.get_mut(&id) {
            socket.blocked = None;
            let waker = socket.writer.take();
            self.wake(waker);
        }
    }

    /// The largest payload that the sender believes to pass in one packet.
    fn udp_payload(&self, host: HostId, local: SocketAddr, remote: SocketAddr) -> usize {
        let host = self.host(host);
        let interface = host.mtu_from(local.ip()) as usize;
        let learned = host.path_mtus.get(&remote.ip()).copied();
        let mtu = learned.map_or(interface, |mtu| mtu.min(interface));
        let headers = ip_header_len(remote) + UDP_HEADER_LEN;
        mtu.saturating_sub(headers).min(payload_limit(remote))
    }

    /// Takes a datagram that has reached its host; false when no socket is there for it.
    pub(crate) fn udp_arrives(&mut self, host: HostId, packet: Packet) -> bool {
        let (local, remote) = (packet.destination, packet.source);
        let Body::Udp { data, ecn, .. } = packet.body else {
            return true;
        };
        let Some(id) = self.udp.find(host, local, remote, &data) else {
            return false;
        };
        let Some(socket) = self.udp.sockets.get_mut(&id) else {
            return false;
        };
        if socket.queued_bytes + data.len() > RECEIVE_BUFFER {
            return true;
        }
        socket.queued_bytes += data.len();
        socket.queue.push_back(Received {
            data,
            remote,
            local,
            ecn,
        });
        let waker = socket.reader.take();
        self.wake(waker);
        true
    }

    /// Takes an ICMP error that a datagram has caused. As the system does, only a connected
    /// socket learns of it.
    pub(crate) fn udp_icmp(&mut self, origin: Origin, errno: i32) {
        let mut sockets = self.udp.sockets.values_mut();
        let socket = sockets.find(|socket| {
            socket.host == origin.host
                && socket.remote == Some(origin.destination)
                && socket.local.port() == origin.source.port()
        });
        if let Some(socket) = socket {
            socket.error = Some(errno);
            let wakers = [socket.reader.take(), socket.writer.take()];
            for waker in wakers {
                self.wake(waker);
            }
        }
    }

    pub(crate) fn udp_sockets(&self) -> Vec<String> {
        let sockets = self.udp.sockets.values();
        sockets
            .map(|socket| {
                let name = &self.host(socket.host).name;
                match socket.remote {
                    Some(remote) => format!("{name}: udp {} to {remote}", socket.local),
                    None => format!("{name}: udp {}", socket.local),
                }
            })
            .collect()
    }

    /// When the link has room for these packets again, if it makes senders wait and has none.
    fn link_pushes_back_until(&self, host: HostId, packets: &[Packet]) -> Option<Time> {
        let packet = packets.first()?;
        let way = self.way_from(host, packet.protocol(), packet.source, packet.destination);
        let way = self.links.way(way);
        if !way.options.holds_senders {
            return None;
        }
        way.room_at(self.now, packets.iter().map(Packet::size).sum())
    }
}

/// The largest payload of a datagram, fragmented if need be.
fn payload_limit(remote: SocketAddr) -> usize {
    match remote {
        SocketAddr::V4(_) => 65_535 - 20 - UDP_HEADER_LEN,
        SocketAddr::V6(_) => 65_535 - UDP_HEADER_LEN,
    }
}

fn gso_segments_max(request: &UdpBind) -> usize {
    match request.profile {
        UdpProfile::Packets => SEGMENTS_MAX,
        _ => 1,
    }
}

/// As Linux has it, both ways.
const SEGMENTS_MAX: usize = 64;
/// What one call takes, however many segments it has.
const SEND_BYTES_MAX: usize = 65_535;
/// As Linux' default.
const RECEIVE_BUFFER: usize = 212_992;
