//! Paths: the interfaces and addresses that a connection can start from.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One way out of this host: an interface with its addresses and default routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// The interface index; stable while the interface exists.
    pub id: PathId,
    /// The interface name, such as `eth0`.
    pub interface: String,
    /// What the interface is made of.
    pub kind: InterfaceKind,
    /// Usable addresses, in the system's order.
    pub addresses: Vec<LocalAddress>,
    /// Whether a default route for IPv4 leaves by this interface.
    pub has_ipv4_default: bool,
    /// Whether a default route for IPv6 leaves by this interface.
    pub has_ipv6_default: bool,
    /// The largest packet in bytes, headers included.
    pub mtu: u32,
    /// Whether traffic is counted against a quota; `None` when the system does not say.
    pub is_metered: Option<bool>,
}

impl Path {
    /// Whether packets of the address's family leave by a default route here.
    pub fn has_default_for(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.has_ipv4_default,
            IpAddr::V6(_) => self.has_ipv6_default,
        }
    }

    /// Whether one of the path's own prefixes holds the address.
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.has_in_prefix(address))
    }
}

/// Identifies a path within one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathId(pub u32);

/// A local address and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix length in bits.
    pub prefix_len: u8,
    /// A temporary address after RFC 8981.
    pub is_temporary: bool,
    /// Deprecated after RFC 4862.
    pub is_deprecated: bool,
}

impl LocalAddress {
    /// Whether `address` shares this address's prefix.
    pub fn has_in_prefix(&self, address: IpAddr) -> bool {
        let common = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        common >= u32::from(self.prefix_len)
    }

    /// Whether it can be reached from beyond this host and its links.
    pub fn is_global(&self) -> bool {
        match self.address {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        }
    }
}

/// Interface types of RFC 9622 §6.2.11. Types that this system lacks are still defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InterfaceKind {
    /// Loopback.
    Loopback,
    /// Wired Ethernet.
    Ethernet,
    /// Wireless LAN.
    WiFi,
    /// A mobile network.
    Cellular,
    /// A tunnel or another virtual interface.
    Virtual,
    /// Anything else.
    Other,
}
