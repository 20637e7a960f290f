//! Early resolution of endpoints (RFC 9622 §7.3).
//!
//! Invariant: the remote candidates are the leaves of the candidate tree, so that resolving early
//! asks and obeys the same records as connecting does.

use crate::candidates;
use crate::error::EstablishmentError;
use crate::preconnection::Preconnection;
use portway_core::path::Path;
use portway_core::race::{EndpointNode, Leaf, Outcome, Report};
use portway_core::{Failure, FailureKind, LocalEndpoint, Origin, RemoteEndpoint, StackId};
use portway_transport::context::Context;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// The candidates that endpoints resolve to, most preferred first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The addresses of this host that could be used.
    pub locals: Vec<LocalEndpoint>,
    /// The addresses of the remote endpoints, with the port and the host that service records
    /// named and the name that the peer has to prove. One that only some of the stacks may use,
    /// as a service record can say, is there once for each of them.
    pub remotes: Vec<RemoteEndpoint>,
}

pub(crate) async fn resolve(
    context: &Context,
    preconnection: &Preconnection,
) -> Result<Resolved, EstablishmentError> {
    let paths = context.environment().paths();
    let remotes = match preconnection.needs.remotes.is_empty() {
        true => Vec::new(),
        false => {
            let opening = preconnection
                .opening(context)
                .map_err(EstablishmentError::Plan)?;
            let report = candidates::tree_of(context, &opening).await;
            match remote_candidates(opening.remotes(), &report, &opening.stacks(), &paths) {
                none if none.is_empty() => return Err(without_candidates(report)),
                some => some,
            }
        }
    };
    let locals = match preconnection.needs.locals.as_slice() {
        [] => local_candidates(&LocalEndpoint::any(), &paths),
        some => some
            .iter()
            .flat_map(|local| local_candidates(local, &paths))
            .collect(),
    };
    Ok(Resolved { locals, remotes })
}

/// The leaves of the tree as endpoints, each once.
fn remote_candidates(
    planned: &[RemoteEndpoint],
    report: &Report,
    stacks: &BTreeSet<&StackId>,
    paths: &[Path],
) -> Vec<RemoteEndpoint> {
    let leaves = || {
        let protocols = report.tree.iter().flat_map(|path| &path.protocols);
        protocols.flat_map(|protocol| &protocol.endpoints)
    };
    let is_for_all = |leaf: &Leaf| {
        let same = |node: &&EndpointNode| is_same_target(&node.leaf, leaf);
        let reached: BTreeSet<_> = leaves().filter(same).map(|node| &node.leaf.stack).collect();
        reached.len() == stacks.len()
    };
    let mut candidates = Vec::new();
    for EndpointNode { leaf, .. } in leaves() {
        let origin = &planned[leaf.remote_index];
        // What an SRV name or the application says of the stack does not follow from an address.
        let is_bound = origin.srv_wire().is_some() || origin.stack().is_some();
        let candidate = match origin.ip_address() {
            Some(_) => origin.clone(),
            None if !is_bound && is_for_all(leaf) => endpoint_of(leaf, origin, paths),
            None => endpoint_of(leaf, origin, paths).for_stack(leaf.stack.clone()),
        };
        if !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    }
    candidates
}

fn is_same_target(one: &Leaf, other: &Leaf) -> bool {
    (one.remote_index, one.remote) == (other.remote_index, other.remote)
}

fn endpoint_of(leaf: &Leaf, origin: &RemoteEndpoint, paths: &[Path]) -> RemoteEndpoint {
    let mut endpoint = RemoteEndpoint::address(leaf.remote.ip()).port(leaf.remote.port());
    if let Some(name) = &leaf.host_name {
        endpoint = endpoint.with_host_name(name);
    }
    let interface = origin.interface_name().map(str::to_owned);
    match interface.or_else(|| zone_of(leaf.remote, paths)) {
        Some(interface) => endpoint.interface(interface),
        None => endpoint,
    }
}

/// The interface of a link-local address, by its index where it has just gone (RFC 4007 §11.2).
fn zone_of(address: SocketAddr, paths: &[Path]) -> Option<String> {
    let SocketAddr::V6(address) = address else {
        return None;
    };
    let index = Some(address.scope_id()).filter(|index| *index != 0)?;
    let path = paths.iter().find(|path| path.id.0 == index);
    Some(path.map_or_else(|| index.to_string(), |path| path.interface.clone()))
}

/// Why a tree has no leaf.
fn without_candidates(report: Report) -> EstablishmentError {
    let failure = match (&report.outcome, &report.waiting) {
        (Some((_, Outcome::Lost(failure))), _) => failure.clone(),
        (_, Some(what)) => Failure::new(Origin::Local, FailureKind::Unreachable, what.clone()),
        _ => Failure::new(
            Origin::Dns,
            FailureKind::NameNotFound,
            format!("there is no address of {}", report.targets.join(", ")),
        ),
    };
    let report = Box::new(report);
    EstablishmentError::Race {
        failure,
        report,
        recording: None,
    }
}

fn local_candidates(local: &LocalEndpoint, paths: &[Path]) -> Vec<LocalEndpoint> {
    if local.ip_address().is_some() {
        return vec![local.clone()];
    }
    let wanted = |path: &&Path| {
        local
            .interface_name()
            .is_none_or(|name| path.interface == name)
    };
    let mut candidates = Vec::new();
    for path in paths.iter().filter(wanted) {
        for address in path
            .addresses
            .iter()
            .filter(|address| !address.is_deprecated)
        {
            let mut candidate =
                LocalEndpoint::address(address.address).interface(path.interface.clone());
            if let Some(port) = local.resolved_port() {
                candidate = candidate.port(port);
            }
            candidates.push(candidate);
        }
    }
    candidates
}
