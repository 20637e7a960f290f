//! Destination address selection (RFC 6724 §6) with the rules that Happy Eyeballs v3 adds.
//!
//! Invariant: a destination is reduced to one [`Preference`] that is compared field by field, in
//! the order of the rules, so the order is total whatever the addresses are.

use crate::path::LocalAddress;
use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// A local address that packets may leave from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) address: LocalAddress,
    /// Whether it belongs to a tunnel or another virtual interface.
    pub(super) is_virtual: bool,
}

/// A destination with what is known of the way there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) address: IpAddr,
    pub(super) has_route: bool,
    pub(super) rtt: Option<Duration>,
    pub(super) was_used: bool,
}

/// How much a destination is preferred; smaller is better. One field a rule, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Preference {
    /// Rule 1: avoid unusable destinations.
    is_unusable: bool,
    /// Rule 2: prefer matching scope.
    differs_in_scope: bool,
    /// Rule 3: avoid deprecated addresses. (Rule 4 needs home addresses, which Linux has no more.)
    is_deprecated: bool,
    /// Rule 5: prefer matching label.
    differs_in_label: bool,
    /// Rule 6: prefer higher precedence.
    precedence: Reverse<u8>,
    /// Rule 7: prefer native transport.
    is_encapsulated: bool,
    /// Rule 8: prefer smaller scope.
    scope: u8,
    /// Happy Eyeballs v3 §5.3: then lower round-trip times; what was never measured comes last.
    rtt: Duration,
    /// Happy Eyeballs v3 §5.3: then addresses that were used before.
    is_unused: bool,
    /// Rule 9: use longest matching prefix. Families never meet here, their precedence differs.
    common_prefix: Reverse<u32>,
}

impl Preference {
    pub(super) fn of(destination: &Destination, sources: &[Source]) -> Self {
        let address = destination.address;
        let source = select_source(address, sources);
        Preference {
            is_unusable: source.is_none() || !destination.has_route,
            differs_in_scope: source
                .is_none_or(|source| scope(source.address.address) != scope(address)),
            is_deprecated: source.is_some_and(|source| source.address.is_deprecated),
            differs_in_label: source
                .is_none_or(|source| policy(source.address.address).1 != policy(address).1),
            precedence: Reverse(policy(address).0),
            is_encapsulated: source.is_some_and(|source| source.is_virtual),
            scope: scope(address),
            rtt: destination.rtt.unwrap_or(Duration::MAX),
            is_unused: !destination.was_used,
            common_prefix: Reverse(
                source.map_or(0, |source| common_prefix_len(&source.address, address)),
            ),
        }
    }
}

/// The source address for a destination (RFC 6724 §5), by the same rules for both families.
pub(super) fn select_source(destination: IpAddr, sources: &[Source]) -> Option<Source> {
    sources
        .iter()
        .filter(|source| source.address.address.is_ipv4() == destination.is_ipv4())
        // Of equal ones the first stays: `min_by_key` keeps it.
        .min_by_key(|source| {
            let address = source.address.address;
            let falls_short = scope(address) < scope(destination);
            (
                address != destination,
                // Rule 2: the smallest scope that suffices, otherwise the largest.
                falls_short,
                if falls_short {
                    !scope(address)
                } else {
                    scope(address)
                },
                source.address.is_deprecated,
                policy(address).1 != policy(destination).1,
                !source.address.is_temporary,
                Reverse(common_prefix_len(&source.address, destination)),
            )
        })
        .copied()
}

/// Scope values of RFC 6724 §3.1.
fn scope(address: IpAddr) -> u8 {
    match address {
        // RFC 6724 §3.2: loopback and auto-configured addresses are link-local, all others global.
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_link_local() => LINK_LOCAL,
        IpAddr::V4(_) => GLOBAL,
        IpAddr::V6(v6) if v6.is_multicast() => (v6.segments()[0] & 0xf) as u8,
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unicast_link_local() => LINK_LOCAL,
        IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfec0 => SITE_LOCAL,
        IpAddr::V6(_) => GLOBAL,
    }
}

/// Precedence and label of an address in the default policy table (RFC 6724 §2.1).
fn policy(address: IpAddr) -> (u8, u8) {
    let bits = u128::from(mapped(address));
    POLICY
        .iter()
        .find(|row| (bits ^ row.prefix).leading_zeros() >= row.len)
        .map_or((40, 1), |row| (row.precedence, row.label))
}

/// RFC 6724 §3.2: IPv4 addresses take part as mapped ones.
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// RFC 6724 §2.2: the bits in common, no more than the source's own prefix.
fn common_prefix_len(source: &LocalAddress, destination: IpAddr) -> u32 {
    let equal = match (source.address, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    };
    equal.min(u32::from(source.prefix_len))
}

const LINK_LOCAL: u8 = 0x2;
const SITE_LOCAL: u8 = 0x5;
const GLOBAL: u8 = 0xe;

struct PolicyRow {
    prefix: u128,
    len: u32,
    precedence: u8,
    label: u8,
}

const fn row(prefix: u128, len: u32, precedence: u8, label: u8) -> PolicyRow {
    PolicyRow {
        prefix,
        len,
        precedence,
        label,
    }
}

/// The default policy table without `::/0`, longest prefixes first.
const POLICY: [PolicyRow; 8] = [
    row(1, 128, 50, 0),
    row(0xffff_0000_0000, 96, 35, 4),
    row(0, 96, 1, 3),
    row(0x2001_0000 << 96, 32, 5, 5),
    row(0x2002 << 112, 16, 30, 2),
    row(0x3ffe << 112, 16, 1, 12),
    row(0xfec0 << 112, 10, 1, 11),
    row(0xfc00 << 112, 7, 3, 13),
];

#[cfg(test)]
mod tests;
