//! A link that delays and drops, for the same load as on loopback.
//!
//! Invariant: client and server are in network namespaces of their own, so that the kernel's TCP
//! and UDP meet the same link; its packets are carried by a thread whose time counts for all, since
//! what the kernel does with them when they arrive happens there.

use super::rounds::{Measured, Place, Rounds, STACKS, run};
use super::watched::{Watched, watch};
use super::web::Load;
use crate::counted::this_program;
use portway_tests::link::{FAR_V4, Impairments, Link, NEAR_V4};
use portway_tests::namespace::Namespace;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Puts the stacks under a load over links of 50 ms there and back that drop one packet in a
/// hundred, each in a process of its own, so many rounds on each. The processors have next to
/// nothing to do for one link.
///
/// # Errors
/// Why there is no such link: it takes privileges and `/dev/net/tun`.
pub fn run_on_links(load: Load, times: usize, rounds: usize) -> Result<Rounds, String> {
    let mut all = Rounds {
        load,
        measured: vec![Measured::default(); STACKS.len()],
    };
    let spawn = |number: usize| {
        Command::new(this_program())
            .args(["rounds", &load.name(), &times.to_string()])
            .args([rounds, number * rounds].map(|it| it.to_string()))
            .stdout(Stdio::piped())
            .spawn()
    };
    let spawned: Vec<_> = (0..LINKS).map(spawn).collect();
    for process in spawned {
        let ended = process.and_then(Child::wait_with_output);
        let output = ended.map_err(|error| error.to_string())?;
        let measured: Vec<Measured> = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}, {}", output.status))?;
        for (all, measured) in all.measured.iter_mut().zip(measured) {
            all.processor.extend(measured.processor);
            all.rate.extend(measured.rate);
        }
    }
    Ok(all)
}

/// What each stack needs in so many rounds over one link, with patterns of losses of which this is
/// the first.
///
/// # Errors
/// As [`run_on_links`].
pub fn run_on_link(
    load: Load,
    times: usize,
    rounds: usize,
    first: u64,
) -> Result<Vec<Measured>, String> {
    let (near, mut place) = link()?;
    if let Place::Link { seed, .. } = &mut place {
        *seed = first;
    }
    Ok(near.run(|| run(&place, load, times, rounds).measured))
}

/// Puts one stack under a load over the same link, so many requests with the losses of each of
/// these seeds, and looks at its threads and at the wire.
///
/// # Errors
/// As [`run_on_links`].
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
        seed: 0,
    };
    Ok((near, place))
}

/// There; the other half is back.
const DELAY: Duration = Duration::from_millis(25);
const LOSS: f64 = 0.01;
const SEED: u64 = 50_01;
/// Links at a time.
const LINKS: usize = 24;
