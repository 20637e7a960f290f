//! Early resolution of endpoints (RFC 9622 §7.3).

use crate::error::EstablishmentError;
use crate::preconnection::Preconnection;
use portway_core::dns::{AnswerData, Question, RecordKind};
use portway_core::path::Path;
use portway_core::{Failure, FailureKind, LocalEndpoint, Origin, RemoteEndpoint};
use portway_transport::context::Context;
use std::net::IpAddr;

/// The candidates that endpoints resolve to, most preferred first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The addresses of this host that could be used.
    pub locals: Vec<LocalEndpoint>,
    /// The addresses of the remote endpoints.
    pub remotes: Vec<RemoteEndpoint>,
}

pub(crate) async fn resolve(
    context: &Context,
    preconnection: &Preconnection,
) -> Result<Resolved, EstablishmentError> {
    let mut remotes = Vec::new();
    for remote in &preconnection.needs.remotes {
        let Some(name) = remote.host() else {
            remotes.push(remote.clone());
            continue;
        };
        for address in addresses_of(context, name).await? {
            let mut resolved = RemoteEndpoint::address(address);
            if let Some(port) = remote.resolved_port() {
                resolved = resolved.port(port);
            }
            remotes.push(resolved);
        }
    }
    let paths = context.environment().paths();
    let locals = match preconnection.needs.locals.as_slice() {
        [] => local_candidates(&LocalEndpoint::any(), &paths),
        some => some
            .iter()
            .flat_map(|local| local_candidates(local, &paths))
            .collect(),
    };
    Ok(Resolved { locals, remotes })
}

/// AAAA and A are asked one after the other's start and joined, IPv6 first.
async fn addresses_of(context: &Context, name: &str) -> Result<Vec<IpAddr>, Failure> {
    let ask = |kind| {
        context.environment().resolve(Question {
            name: name.to_owned(),
            kind,
        })
    };
    let (aaaa, a) = tokio::join!(ask(RecordKind::Aaaa), ask(RecordKind::A));
    let mut addresses = Vec::new();
    let mut failure = None;
    for answer in [aaaa, a] {
        match answer {
            Ok(answer) => {
                if let AnswerData::Addresses(found) = answer.data {
                    addresses.extend(found);
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    match (addresses.is_empty(), failure) {
        (false, _) => Ok(addresses),
        (true, Some(failure)) => Err(failure),
        (true, None) => Err(Failure::new(
            Origin::Dns,
            FailureKind::NameNotFound,
            format!("the name {name} has no address"),
        )),
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
