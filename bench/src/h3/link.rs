//! A link that delays and drops, for the same load as on loopback.
//!
//! Invariant: client and server are in network namespaces of their own, so that the kernel's TCP
//! and UDP meet the same link; its packets are carried by a thread whose time counts for all, since
//! what the kernel does with them when they arrive happens there.

use super::rounds::{Place, Rounds, run};
use super::watched::{Watched, watch};
use super::web::Load;
use portway_tests::link::{FAR_V4, Impairments, Link, NEAR_V4};
use portway_tests::namespace::Namespace;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Puts the stacks under these loads over a link of 50 ms there and back that drops one packet in
/// a hundred.
///
/// # Errors
/// Why there is no such link: it takes privileges and `/dev/net/tun`.
pub fn run_on_link(loads: &[(Load, usize)], rounds: usize) -> Result<Vec<Rounds>, String> {
    let (near, place) = link()?;
    Ok(near.run(|| {
        let loads = loads.iter();
        let found = loads.map(|(load, times)| run(&place, *load, *times, rounds));
        found.collect()
    }))
}

/// Puts one stack under a load over the same link, so many requests with the losses of each of
/// these seeds, and looks at its threads and at the wire.
///
/// # Errors
/// As [`run_on_link`].
pub fn watch_on_link(
    stack: &str,
    load: Load,
    times: usize,
    seeds: Range<u64>,
) -> Result<Watched, String> {
    let (near, place) = link()?;
    let Place::Link { link, .. } = &place else {
        unreachable!("it is one");
    };
    Ok(near.run(|| watch(stack, &place, link, load, times, seeds)))
}

/// The client's end, and the link.
fn link() -> Result<(Namespace, Place), String> {
    let namespace = || Namespace::new().map_err(|error| format!("a network namespace: {error}"));
    let (near, far) = (namespace()?, namespace()?);
    let link = Link::new(&near, &far, SEED).map_err(|error| format!("a link: {error}"))?;
    link.impair_both(&Impairments {
        delay: DELAY,
        loss: LOSS,
        ..Impairments::default()
    });
    let place = Place::Link {
        link: Arc::new(link),
        far,
        from: NEAR_V4.into(),
        to: FAR_V4.into(),
    };
    Ok((near, place))
}

/// There; the other half is back.
const DELAY: Duration = Duration::from_millis(25);
const LOSS: f64 = 0.01;
const SEED: u64 = 50_01;
