//! The way of a packet: destination, link, faults, arrival, ICMP errors.
//!
//! Invariant: every packet is logged once, when it is sent, with its fate.

use crate::host::HostId;
use crate::link::{Place, WayId};
use crate::nat::Target;
use crate::packet::{Body, Packet};
use crate::state::State;
use crate::wire_log::{WireEvent, WireKind};
use bytes::Bytes;
use portway_core::{Time, WireProtocol};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What the network says of an address that it cannot reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// ICMP "host unreachable".
    Host,
    /// ICMP "network unreachable".
    Network,
    /// ICMP "administratively prohibited".
    Prohibited,
    /// A reset, as a firewall sends it for TCP; "port unreachable" for UDP.
    Refused,
}

impl Unreachable {
    fn errno(self) -> i32 {
        match self {
            Unreachable::Host => libc::EHOSTUNREACH,
            Unreachable::Network => libc::ENETUNREACH,
            Unreachable::Prohibited => libc::EACCES,
            Unreachable::Refused => libc::ECONNREFUSED,
        }
    }
}

/// Whom to tell when a packet cannot be delivered: the sender's own view of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) host: HostId,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) protocol: WireProtocol,
}

impl State {
    /// Sends a packet from `host`.
    pub(crate) fn transmit(&mut self, host: HostId, packet: Packet) {
        let origin = Origin {
            host,
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol(),
        };
        let mut event = WireEvent {
            time: self.now,
            host: self.host(host).name.clone(),
            from: packet.source,
            to: packet.destination,
            protocol: packet.protocol(),
            kind: packet.kind(),
            offset: packet.offset(),
            dscp: packet.dscp,
            bytes: packet.bytes(),
            arrives: None,
        };
        event.arrives = self.forward(origin, packet);
        self.log.push(event);
    }

    /// Finds the destination and schedules the arrival; `None` when the packet is lost.
    fn forward(&mut self, origin: Origin, mut packet: Packet) -> Option<Time> {
        let target = origin.destination.ip();
        if self.host(origin.host).has_address(target) {
            let arrives = self.now + LOOPBACK_DELAY;
            self.arrive(arrives, origin, origin.host, packet);
            return Some(arrives);
        }
        let way = self.way_from(
            origin.host,
            origin.protocol,
            origin.source,
            origin.destination,
        );
        if self.links.way(way).swallows(origin.protocol) {
            return None;
        }
        let options = &self.links.way(way).options;
        let reason = self.unreachable.get(&target).copied();
        if let Some(reason) = reason.or(options.unreachable) {
            let round_trip = options.delay * 2;
            self.icmp(origin, target, reason.errno(), round_trip);
            return None;
        }
        self.translate_source(origin.host, &mut packet);
        let target = Target {
            protocol: origin.protocol,
            source: packet.source,
            destination: packet.destination,
        };
        let (host, inside) = self.destination_of(origin.host, target)?;
        let arrives = self.cross(way, origin, &mut packet)?;
        packet.destination = inside;
        if origin.protocol == WireProtocol::Udp {
            self.repeat(way, arrives, origin, host, &packet);
        }
        let held_back = self.hold_back(way, origin.protocol);
        self.arrive(arrives + held_back, origin, host, packet);
        Some(arrives + held_back)
    }

    /// The way that packets between two sockets take, as the one at `host` names them.
    pub(crate) fn way_from(
        &self,
        host: HostId,
        protocol: WireProtocol,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> WayId {
        let behind = self.endpoint_behind(protocol, destination);
        let source = Place {
            host: Some(host),
            address: source.ip(),
        };
        let destination = Place {
            host: behind.map(|(host, _)| host),
            address: behind.map_or(destination, |(_, inside)| inside).ip(),
        };
        self.way_between(source, destination)
    }

    /// The extra delay of a datagram that others overtake.
    fn hold_back(&mut self, id: WayId, protocol: WireProtocol) -> Duration {
        let options = &self.links.way(id).options;
        let (probability, delay) = (options.reorder, options.reorder_delay);
        match protocol == WireProtocol::Udp && self.random.happens(probability) {
            true => delay,
            false => Duration::ZERO,
        }
    }

    /// Has a datagram arrive once more, if the link does that.
    fn repeat(&mut self, id: WayId, at: Time, origin: Origin, host: HostId, packet: &Packet) {
        let probability = self.links.way(id).options.duplicate;
        if self.random.happens(probability) {
            let late = self.hold_back(id, WireProtocol::Udp);
            self.arrive(at + late, origin, host, packet.clone());
        }
    }

    /// Takes a packet over a link; `None` when it is lost there.
    fn cross(&mut self, id: WayId, origin: Origin, packet: &mut Packet) -> Option<Time> {
        let now = self.now;
        let size = packet.size();
        let options = self.links.way(id).options.clone();
        let fragments = packet.fragments();
        if fragments == 1 && size > options.mtu {
            if options.signals_mtu {
                let path_mtus = &mut self.host_mut(origin.host).path_mtus;
                path_mtus.insert(origin.destination.ip(), options.mtu);
                self.icmp(
                    origin,
                    origin.destination.ip(),
                    libc::EMSGSIZE,
                    options.delay * 2,
                );
            }
            return None;
        }
        let is_lost = (0..fragments).fold(false, |is_lost, _| {
            self.random.happens(options.loss) || is_lost
        });
        let way = self.links.way_mut(id);
        let is_datagram = origin.protocol == WireProtocol::Udp;
        if is_datagram && way.room_at(now, size).is_some() {
            return None;
        }
        let left = way.occupy(now, size);
        if is_lost {
            return None;
        }
        if let (Body::Udp { ecn, .. }, Some(marked)) = (&mut packet.body, options.ecn) {
            *ecn = marked & 3;
        }
        if let Body::Udp { data, .. } = &mut packet.body
            && self.random.happens(options.corrupt)
            && !data.is_empty()
        {
            let mut damaged = data.to_vec();
            let bit = self.random.next_u64() % (damaged.len() as u64 * 8);
            damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
            *data = Bytes::from(damaged);
        }
        Some(left + options.delay)
    }

    fn arrive(&mut self, at: Time, origin: Origin, host: HostId, packet: Packet) {
        self.schedule(at, move |state| state.deliver(origin, host, packet));
    }

    fn deliver(&mut self, origin: Origin, host: HostId, packet: Packet) {
        let port = packet.destination.port();
        let here = self.host(host);
        if !here.has_address(packet.destination.ip())
            || here.silent_ports.contains(&(packet.protocol(), port))
        {
            return;
        }
        match packet.body {
            Body::Tcp(segment) => {
                self.tcp_arrives(host, packet.destination, packet.source, segment);
            }
            Body::Udp { .. } => {
                let (source, destination) = (packet.source, packet.destination);
                if !self.udp_arrives(host, packet) {
                    self.port_unreachable(origin, host, destination, source);
                }
            }
        }
    }

    /// RFC 1122 §4.1.3.1: says that no socket takes the datagram, if the way back lets it.
    fn port_unreachable(
        &mut self,
        origin: Origin,
        host: HostId,
        here: SocketAddr,
        source: SocketAddr,
    ) {
        if host == origin.host {
            self.icmp(origin, here.ip(), libc::ECONNREFUSED, LOOPBACK_DELAY);
            return;
        }
        let way = self.way_from(host, WireProtocol::Udp, here, source);
        let way = self.links.way(way);
        if !way.swallows(WireProtocol::Udp) {
            let delay = way.options.delay;
            self.icmp(origin, origin.destination.ip(), libc::ECONNREFUSED, delay);
        }
    }

    /// Tells the sender of a packet after `delay` that it could not be delivered.
    pub(crate) fn icmp(&mut self, origin: Origin, from: IpAddr, errno: i32, delay: Duration) {
        let at = self.now + delay;
        self.schedule(at, move |state| {
            let name = state.host(origin.host).name.clone();
            state.log.push(WireEvent {
                time: state.now,
                host: name,
                from: SocketAddr::new(from, 0),
                to: origin.source,
                protocol: origin.protocol,
                kind: WireKind::Icmp,
                offset: 0,
                dscp: 0,
                bytes: Bytes::new(),
                arrives: Some(state.now),
            });
            match origin.protocol {
                WireProtocol::Tcp => state.tcp_icmp(origin, errno),
                _ => state.udp_icmp(origin, errno),
            }
        });
    }
}

const LOOPBACK_DELAY: Duration = Duration::from_micros(20);
