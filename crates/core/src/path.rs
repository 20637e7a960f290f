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
