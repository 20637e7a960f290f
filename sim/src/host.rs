//! Hosts: their paths, addresses and ports, and how they choose a source address.
//!
//! Invariant: a host's addresses are those of its paths and the loopback ones, nothing else.

use crate::dns::Resolver;
use crate::state::State;
use crate::tcp::Buffers;
use portway_core::WireProtocol;
use portway_core::path::{InterfaceKind, LocalAddress, Path, PathId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Waker;

/// A host's place in the list of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub(crate) usize);

/// One simulated host.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) paths: Vec<Path>,
    pub(crate) path_waiters: Vec<Waker>,
    /// Ports where packets vanish without an answer.
    pub(crate) silent_ports: BTreeSet<(WireProtocol, u16)>,
    pub(crate) buffers: Buffers,
    pub(crate) resolver: Resolver,
    /// Path MTUs that ICMP has told.
    pub(crate) path_mtus: BTreeMap<IpAddr, usize>,
    /// How many sockets may be open at a time.
    pub(crate) descriptors_max: Option<usize>,
    next_port: u16,
}

impl Host {
    /// A host with one Ethernet interface and one address of each family.
    pub(crate) fn new(name: &str, number: usize) -> Self {
        let [high, low] = u16::try_from(number + 1).unwrap_or(u16::MAX).to_be_bytes();
        let v4 = Ipv4Addr::new(198, 18, high, low);
        let v6 = Ipv6Addr::new(
            0x2001,
            0xdb8,
            0,
            0,
            0,
            0,
            0,
            u16::from_be_bytes([high, low]),
        );
        Host {
            name: name.to_owned(),
            paths: vec![ethernet(&[v6.into(), v4.into()])],
            path_waiters: Vec::new(),
            silent_ports: BTreeSet::new(),
            buffers: Buffers::default(),
            resolver: Resolver::default(),
            path_mtus: BTreeMap::new(),
            descriptors_max: None,
            next_port: FIRST_EPHEMERAL_PORT,
        }
    }

    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.path_of(address).is_some()
    }

    fn path_of(&self, address: IpAddr) -> Option<&Path> {
        self.paths
            .iter()
            .find(|path| path.addresses.iter().any(|local| local.address == address))
    }

    /// The path that traffic from `source` to `destination` leaves by.
    pub(crate) fn mtu_from(&self, source: IpAddr) -> u32 {
        self.path_of(source).map_or(LOOPBACK_MTU, |path| path.mtu)
    }

    /// The source address towards `remote`, or the error that a socket call gives.
    pub(crate) fn source_for(
        &self,
        remote: IpAddr,
        local: Option<IpAddr>,
        path: Option<PathId>,
    ) -> io::Result<IpAddr> {
        let local = local.filter(|address| !address.is_unspecified());
        if local.is_some_and(|address| !self.has_address(address)) {
            return Err(errno(libc::EADDRNOTAVAIL));
        }
        // Path zero, which is no interface, leaves the choice to routing.
        let path = path.filter(|id| id.0 != 0);
        self.check_path(path)?;
        if self.has_address(remote) && path.is_none() {
            return Ok(local.unwrap_or(remote));
        }
        let usable = |candidate: &&Path| path.is_none_or(|id| candidate.id == id);
        let is_on_link = |candidate: &&Path| {
            let mut addresses = candidate.addresses.iter();
            addresses.any(|local| prefix_contains(local.address, local.prefix_len, remote))
        };
        let has_default = |candidate: &&Path| match remote {
            IpAddr::V4(_) => candidate.has_ipv4_default,
            IpAddr::V6(_) => candidate.has_ipv6_default,
        };
        let bound = |candidate: &&Path| {
            local.is_none_or(|local| candidate.addresses.iter().any(|a| a.address == local))
        };
        let candidates = || self.paths.iter().filter(usable);
        let chosen = candidates()
            .filter(is_on_link)
            .find(bound)
            .or_else(|| candidates().filter(has_default).find(bound))
            .or_else(|| candidates().find(is_on_link))
            .or_else(|| candidates().find(has_default))
            .ok_or_else(|| errno(libc::ENETUNREACH))?;
        if let Some(local) = local {
            return Ok(local);
        }
        let mut same_family = chosen
            .addresses
            .iter()
            .filter(|local| local.address.is_ipv4() == remote.is_ipv4());
        let preferred = same_family.clone().find(|local| !local.is_deprecated);
        preferred
            .or_else(|| same_family.next())
            .map(|local| local.address)
            .ok_or_else(|| errno(libc::ENETUNREACH))
    }

    /// Fails when `path` names an interface that is not there.
    pub(crate) fn check_path(&self, path: Option<PathId>) -> io::Result<()> {
        let is_there = |id: PathId| id.0 == 0 || self.paths.iter().any(|path| path.id == id);
        match path.is_none_or(is_there) {
            true => Ok(()),
            false => Err(errno(libc::ENODEV)),
        }
    }

    /// Fails when no more than the sockets that are `open` are allowed.
    pub(crate) fn check_descriptors(&self, open: usize) -> io::Result<()> {
        match self.descriptors_max.is_some_and(|max| open >= max) {
            true => Err(errno(libc::EMFILE)),
            false => Ok(()),
        }
    }

    fn take_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
        port
    }
}

impl State {
    pub(crate) fn host_named(&self, name: &str) -> Option<HostId> {
        self.hosts
            .iter()
            .position(|host| host.name == name)
            .map(HostId)
    }

    pub(crate) fn host_with_address(&self, address: IpAddr) -> Option<HostId> {
        if address.is_loopback() {
            return None;
        }
        self.hosts
            .iter()
            .position(|host| host.has_address(address))
            .map(HostId)
    }

    pub(crate) fn set_paths(&mut self, id: HostId, paths: Vec<Path>) {
        let host = self.host_mut(id);
        host.paths = paths;
        let waiters = std::mem::take(&mut host.path_waiters);
        self.wakes.extend(waiters);
    }

    /// The next port that no socket of the host uses for `protocol`.
    pub(crate) fn free_port(&mut self, id: HostId, protocol: WireProtocol) -> io::Result<u16> {
        for _ in FIRST_EPHEMERAL_PORT..=u16::MAX {
            let port = self.host_mut(id).take_port();
            if !self.is_port_used(id, protocol, port) {
                return Ok(port);
            }
        }
        Err(errno(libc::EADDRNOTAVAIL))
    }

    fn is_port_used(&self, id: HostId, protocol: WireProtocol, port: u16) -> bool {
        match protocol {
            WireProtocol::Tcp => self.tcp.is_port_used(id, port),
            _ => self.udp.is_port_used(id, port),
        }
    }
}

/// The path that a host has unless it is told otherwise.
pub(crate) fn ethernet(addresses: &[IpAddr]) -> Path {
    let local = |address: &IpAddr| LocalAddress {
        address: *address,
        prefix_len: if address.is_ipv4() { 24 } else { 64 },
        is_temporary: false,
        is_deprecated: false,
    };
    Path {
        id: PathId(2),
        interface: "eth0".to_owned(),
        kind: InterfaceKind::Ethernet,
        addresses: addresses.iter().map(local).collect(),
        has_ipv4_default: addresses.iter().any(IpAddr::is_ipv4),
        has_ipv6_default: addresses.iter().any(IpAddr::is_ipv6),
        mtu: 1500,
        is_metered: None,
    }
}

/// Whether `address` lies in the prefix of `len` bits that `base` starts with.
pub(crate) fn prefix_contains(base: IpAddr, len: u8, address: IpAddr) -> bool {
    let (base, address, width) = match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => (
            u128::from(base.to_bits()),
            u128::from(address.to_bits()),
            32,
        ),
        (IpAddr::V6(base), IpAddr::V6(address)) => (base.to_bits(), address.to_bits(), 128),
        _ => return false,
    };
    let host_bits = width - u32::from(len).min(width);
    (base ^ address).checked_shr(host_bits).unwrap_or(0) == 0
}

/// The unspecified address of the same family.
pub(crate) fn unspecified_like(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Whether a socket bound to `bound` takes packets for `destination`.
pub(crate) fn takes(bound: SocketAddr, destination: SocketAddr) -> bool {
    let any = bound.ip().is_unspecified() && bound.is_ipv4() == destination.is_ipv4();
    bound.port() == destination.port() && (any || bound.ip() == destination.ip())
}

/// Fails when a code point does not fit its six bits.
pub(crate) fn check_dscp(code: Option<u8>) -> io::Result<()> {
    match code.is_some_and(|code| code > 63) {
        true => Err(io::ErrorKind::InvalidInput.into()),
        false => Ok(()),
    }
}

/// The error of a system call.
pub(crate) fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

const FIRST_EPHEMERAL_PORT: u16 = 49152;
const LOOPBACK_MTU: u32 = 65_536;
