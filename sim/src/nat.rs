//! Network address and port translation between hosts inside and the rest of the world.
//!
//! Invariant: from outside, an inside host is only reached through a live mapping.

use crate::host::HostId;
use crate::packet::Packet;
use crate::state::{Shared, State};
use portway_core::{Time, WireProtocol};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How mappings are made and who may use them (RFC 4787 §4.1, §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatKind {
    /// One mapping for an inside port; anyone may answer through it.
    FullCone,
    /// One mapping for an inside port; only peers that were sent something may answer.
    PortRestricted,
    /// A mapping of its own for every peer; only that peer may answer.
    Symmetric,
}

/// A handle to a NAT.
#[derive(Clone)]
pub struct NatHandle {
    shared: Arc<Shared>,
    index: usize,
}

impl NatHandle {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        NatHandle { shared, index }
    }

    /// Changes how mappings are made from now on; port restricted at first.
    pub fn set_kind(&self, kind: NatKind) -> &Self {
        self.shared.with(|state| state.nats[self.index].kind = kind);
        self
    }

    /// Sets how long an unused mapping lives; 120 s for UDP and two hours for TCP at first.
    pub fn set_timeout(&self, protocol: WireProtocol, timeout: Duration) -> &Self {
        self.shared.with(|state| {
            let nat = &mut state.nats[self.index];
            match protocol {
                WireProtocol::Tcp => nat.tcp_timeout = timeout,
                _ => nat.udp_timeout = timeout,
            }
        });
        self
    }

    /// Forgets every mapping, so that the next packets get new ports.
    pub fn rebind(&self) -> &Self {
        self.shared
            .with(|state| state.nats[self.index].mappings.clear());
        self
    }

    /// As [`NatHandle::rebind`], at a given time.
    pub fn rebind_at(&self, time: Time) -> &Self {
        let index = self.index;
        self.shared.with(|state| {
            state.schedule(time, move |state| state.nats[index].mappings.clear());
        });
        self
    }

    /// Changes the public address at a given time; mappings to the old one are forgotten.
    pub fn move_at(&self, time: Time, public: IpAddr) -> &Self {
        let index = self.index;
        self.shared.with(|state| {
            state.schedule(time, move |state| {
                state.nats[index].public = public;
                state.nats[index].mappings.clear();
            });
        });
        self
    }

    /// The public address of an inside one, if there is a live mapping.
    pub fn public_address(&self, protocol: WireProtocol, inside: SocketAddr) -> Option<SocketAddr> {
        self.shared.with(|state| {
            let now = state.now;
            let mut mappings = state.nats[self.index].mappings.iter();
            let matches = |mapping: &&Mapping| {
                mapping.protocol == protocol && mapping.inside == inside && mapping.expires > now
            };
            mappings.find(matches).map(|mapping| mapping.public)
        })
    }
}

/// A NAT with its mappings.
pub(crate) struct Nat {
    pub(crate) public: IpAddr,
    pub(crate) inside: BTreeSet<HostId>,
    kind: NatKind,
    udp_timeout: Duration,
    tcp_timeout: Duration,
    mappings: Vec<Mapping>,
    next_port: u16,
}

struct Mapping {
    protocol: WireProtocol,
    host: HostId,
    inside: SocketAddr,
    public: SocketAddr,
    /// The only peer that it is for, when mappings depend on the peer.
    peer: Option<SocketAddr>,
    contacted: BTreeSet<SocketAddr>,
    kind: NatKind,
    expires: Time,
}

impl Nat {
    pub(crate) fn new(public: IpAddr, inside: BTreeSet<HostId>) -> Self {
        Nat {
            public,
            inside,
            kind: NatKind::PortRestricted,
            udp_timeout: Duration::from_secs(120),
            tcp_timeout: Duration::from_secs(7200),
            mappings: Vec::new(),
            next_port: FIRST_PORT,
        }
    }

    fn timeout(&self, protocol: WireProtocol) -> Duration {
        match protocol {
            WireProtocol::Tcp => self.tcp_timeout,
            _ => self.udp_timeout,
        }
    }

    /// The public source of a packet that leaves, with a new mapping when there is none.
    fn outbound(&mut self, now: Time, host: HostId, packet: &Packet) -> SocketAddr {
        let protocol = packet.protocol();
        let (inside, peer) = (packet.source, packet.destination);
        let expires = now + self.timeout(protocol);
        self.mappings.retain(|mapping| mapping.expires > now);
        let known = self.mappings.iter_mut().find(|mapping| {
            let is_for_peer = mapping.peer.is_none_or(|own| own == peer);
            let is_for_source = mapping.inside == inside && mapping.host == host;
            mapping.protocol == protocol && is_for_source && is_for_peer
        });
        if let Some(mapping) = known {
            mapping.contacted.insert(peer);
            mapping.expires = expires;
            return mapping.public;
        }
        let public = SocketAddr::new(self.public, self.next_port);
        self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
        self.mappings.push(Mapping {
            protocol,
            host,
            inside,
            public,
            peer: (self.kind == NatKind::Symmetric).then_some(peer),
            contacted: BTreeSet::from([peer]),
            kind: self.kind,
            expires,
        });
        public
    }

    /// Where a packet from outside goes, if a mapping lets it in.
    fn inbound(&self, now: Time, target: Target) -> Option<(HostId, SocketAddr)> {
        let Target {
            protocol,
            source,
            destination,
        } = target;
        let mapping = self.mappings.iter().find(|mapping| {
            let is_live = mapping.expires > now;
            is_live && mapping.protocol == protocol && mapping.public == destination
        })?;
        let may_enter = mapping.kind == NatKind::FullCone || mapping.contacted.contains(&source);
        may_enter.then_some((mapping.host, mapping.inside))
    }
}

/// What decides where a packet goes.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) protocol: WireProtocol,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

impl State {
    fn nat_of(&self, host: HostId, address: IpAddr) -> Option<usize> {
        self.nats
            .iter()
            .position(|nat| nat.inside.contains(&host) && nat.public.is_ipv4() == address.is_ipv4())
    }

    /// Translates the source of a packet that leaves a NAT.
    pub(crate) fn translate_source(&mut self, host: HostId, packet: &mut Packet) {
        let Some(index) = self.nat_of(host, packet.source.ip()) else {
            return;
        };
        let target = self.host_with_address(packet.destination.ip());
        let stays_inside = target.is_some_and(|other| self.nats[index].inside.contains(&other));
        if !stays_inside {
            let now = self.now;
            packet.source = self.nats[index].outbound(now, host, packet);
        }
    }

    /// The host and its own address that a destination stands for, whoever may reach it.
    pub(crate) fn endpoint_behind(
        &self,
        protocol: WireProtocol,
        destination: SocketAddr,
    ) -> Option<(HostId, SocketAddr)> {
        let mut mappings = self.nats.iter().flat_map(|nat| &nat.mappings);
        let mapping =
            mappings.find(|mapping| mapping.protocol == protocol && mapping.public == destination);
        let direct = || Some((self.host_with_address(destination.ip())?, destination));
        mapping
            .map(|mapping| (mapping.host, mapping.inside))
            .or_else(direct)
    }

    /// The host and its own address behind a destination, as seen from `host`.
    pub(crate) fn destination_of(
        &self,
        host: HostId,
        target: Target,
    ) -> Option<(HostId, SocketAddr)> {
        let address = target.destination.ip();
        if let Some(nat) = self.nats.iter().find(|nat| nat.public == address) {
            return nat.inbound(self.now, target);
        }
        let found = self.host_with_address(address)?;
        let hidden_by = self.nat_of(found, address);
        let is_visible = hidden_by.is_none_or(|index| self.nats[index].inside.contains(&host));
        is_visible.then_some((found, target.destination))
    }
}

const FIRST_PORT: u16 = 20_000;
