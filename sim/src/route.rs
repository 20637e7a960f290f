//! The way of a packet: destination, link, faults, arrival, ICMP errors.
//!
//! Invariant: every packet is logged once, when it is sent, with its fate.

use crate::host::HostId;
use crate::link::{Place, WayId};
use crate::packet::{Body, Packet, WireEvent, WireKind};
use crate::state::State;
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
            bytes: packet.bytes(),
            arrives: None,
        };
        event.arrives = self.forward(origin, packet);
        self.log.push(event);
    }

    /// Finds the destination and schedules the arrival; `None` when the packet is lost.
    fn forward(&mut self, origin: Origin, packet: Packet) -> Option<Time> {
        let target = packet.destination.ip();
        if self.host(origin.host).has_address(target) {
            let arrives = self.now + LOOPBACK_DELAY;
            self.arrive(arrives, origin, origin.host, packet);
            return Some(arrives);
        }
        let destination = self.host_with_address(target);
        let way = self.way_of(origin, destination, target);
        if self.links.way(way).swallows(&packet) {
            return None;
        }
        if let Some(reason) = self.unreachable.get(&target).copied() {
            let round_trip = self.links.way(way).options.delay * 2;
            self.icmp(origin, target, reason.errno(), round_trip);
            return None;
        }
        let destination = destination?;
        let arrives = self.cross(way, origin, &packet)?;
        self.arrive(arrives, origin, destination, packet);
        Some(arrives)
    }

    fn way_of(&self, origin: Origin, destination: Option<HostId>, target: IpAddr) -> WayId {
        let source = Place {
            host: Some(origin.host),
            address: origin.source.ip(),
        };
        let destination = Place {
            host: destination,
            address: target,
        };
        self.way_between(source, destination)
    }

    /// The way that packets of a socket take.
    pub(crate) fn way_from(&self, host: HostId, source: IpAddr, target: IpAddr) -> WayId {
        let source = Place {
            host: Some(host),
            address: source,
        };
        let destination = Place {
            host: self.host_with_address(target),
            address: target,
        };
        self.way_between(source, destination)
    }

    /// Takes a packet over a link; `None` when it is lost there.
    fn cross(&mut self, id: WayId, origin: Origin, packet: &Packet) -> Option<Time> {
        let now = self.now;
        let size = packet.size();
        let options = self.links.way(id).options.clone();
        if size > options.mtu {
            if options.signals_mtu {
                self.icmp(
                    origin,
                    packet.destination.ip(),
                    libc::EMSGSIZE,
                    options.delay * 2,
                );
            }
            return None;
        }
        let is_lost = self.random.happens(options.loss);
        let way = self.links.way_mut(id);
        let left = way.occupy(now, size);
        if is_lost {
            return None;
        }
        Some(left + options.delay)
    }

    fn arrive(&mut self, at: Time, origin: Origin, host: HostId, packet: Packet) {
        self.schedule(at, move |state| state.deliver(origin, host, packet));
    }

    fn deliver(&mut self, _origin: Origin, host: HostId, packet: Packet) {
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
                bytes: Bytes::new(),
                arrives: Some(state.now),
            });
            if origin.protocol == WireProtocol::Tcp {
                state.tcp_icmp(origin, errno);
            }
        });
    }
}

const LOOPBACK_DELAY: Duration = Duration::from_micros(20);
