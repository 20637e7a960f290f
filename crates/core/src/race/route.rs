//! What the paths tell of the way to a destination: sources, routes, families.
//!
//! Invariant: paths know their default routes and prefixes only, so a destination beyond them on a
//! path without a default route is [`Route::Possible`], never ruled out.

use super::config::FamilyPolicy;
use super::destination::Source;
use super::resolution::Families;
use crate::path::{InterfaceKind, Path};
use std::net::IpAddr;

/// What is known of the way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    /// A default route or a prefix leads there.
    Known,
    /// There is an address to start from; only the system can tell more.
    Possible,
    /// There is no address to start from.
    None,
}

/// The way to `destination` over `paths`. `any_path` says that the system may choose among them.
pub(super) fn route_to(destination: IpAddr, paths: &[&Path], any_path: bool) -> Route {
    // The system's loopback needs no path that a monitor would have to report.
    if destination.is_loopback() && any_path {
        return Route::Known;
    }
    let is_known = |path: &&Path| {
        path.is_on_link(destination)
            || (path.has_default_for(destination) && has_source(path, destination))
    };
    if paths.iter().any(is_known) {
        Route::Known
    } else if paths.iter().any(|path| has_source(path, destination)) {
        Route::Possible
    } else {
        Route::None
    }
}

/// The addresses that packets to `destination` may leave from.
pub(super) fn sources_for(destination: IpAddr, paths: &[&Path]) -> Vec<Source> {
    paths
        .iter()
        .filter(|path| path.has_default_for(destination) || path.is_on_link(destination))
        .flat_map(|path| {
            path.addresses.iter().map(|address| Source {
                address: *address,
                is_virtual: path.kind == InterfaceKind::Virtual,
            })
        })
        .filter(|source| source.address.address.is_loopback() == destination.is_loopback())
        .collect()
}

/// The families that names are resolved for (Happy Eyeballs v3 §4.1 and §4.2).
pub(super) fn families(paths: &[Path], policy: FamilyPolicy) -> Families {
    let connects = |is_ipv4: bool| {
        paths.iter().any(|path| {
            let has_default = if is_ipv4 {
                path.has_ipv4_default
            } else {
                path.has_ipv6_default
            };
            let mut addresses = path.addresses.iter();
            has_default && addresses.any(|own| own.is_global() && own.address.is_ipv4() == is_ipv4)
        })
    };
    let (ipv4, ipv6) = (connects(true), connects(false));
    // Without any connectivity the name may still lead to this host or its links: both are asked.
    let asks_both = policy == FamilyPolicy::Both || (!ipv4 && !ipv6);
    Families {
        ipv4: ipv4 || asks_both,
        ipv6: ipv6 || asks_both,
        has_connectivity: ipv4 || ipv6,
        prefers_ipv4: ipv4 && !ipv6,
    }
}

/// Whether the path has an address that could reach `destination` if a route existed.
fn has_source(path: &Path, destination: IpAddr) -> bool {
    let needs_global = match destination {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    path.addresses.iter().any(|own| {
        own.address.is_ipv4() == destination.is_ipv4()
            && !own.address.is_loopback()
            && (own.is_global() || !needs_global)
    })
}
