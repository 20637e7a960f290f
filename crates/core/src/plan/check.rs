//! Checks of a request that concern no single stack.

use super::paths::{PathRules, PathVerdict};
use super::{Action, PlanError, PlanRequest, Side};
use crate::endpoint::{LocalEndpoint, RemoteEndpoint};
use crate::path::Path;
use crate::property::{Direction, InterfaceSelector, Preference, Property, SelectionProperty};
use crate::race::Candidate;

/// RFC 9622 §7: what each action needs, and that every endpoint is sound.
pub(super) fn endpoints(request: &PlanRequest) -> Result<(), PlanError> {
    let action = request.action;
    let needs_local = action != Action::Initiate;
    let needs_remote = action != Action::Listen;
    for (is_needed, is_missing, side) in [
        (needs_local, request.locals.is_empty(), Side::Local),
        (needs_remote, request.remotes.is_empty(), Side::Remote),
    ] {
        if is_needed && is_missing {
            return Err(PlanError::MissingEndpoint { action, side });
        }
    }
    for (index, local) in request.locals.iter().enumerate() {
        local
            .validate()
            .map_err(|source| PlanError::InvalidEndpoint {
                side: Side::Local,
                index,
                endpoint: local.to_string(),
                source,
            })?;
    }
    for (index, remote) in request.remotes.iter().enumerate() {
        let validity = match action {
            // RFC 9622 §7.2: for a listener, a remote only says who may connect.
            Action::Listen => remote.validate_as_constraint(),
            Action::Initiate | Action::Rendezvous => remote.validate(),
        };
        validity.map_err(|source| PlanError::InvalidEndpoint {
            side: Side::Remote,
            index,
            endpoint: remote.to_string(),
            source,
        })?;
    }
    Ok(())
}

/// RFC 9623 §3.1: wishes that no stack whatsoever can fulfil together.
pub(super) fn contradictions(request: &PlanRequest) -> Result<(), PlanError> {
    let contradiction =
        |first: String, second: String| Err(PlanError::Contradiction { first, second });
    let level = |property| request.properties.preference(property, request.action);
    if level(SelectionProperty::PerMsgReliability) == Preference::Require
        && level(SelectionProperty::Reliability) == Preference::Prohibit
    {
        return contradiction(
            "perMsgReliability=require".to_owned(),
            "reliability=prohibit".to_owned(),
        );
    }
    if let Some(tls) = request.security.tls_parameters()
        && tls.min_version > tls.max_version
    {
        return contradiction(
            format!("at least {}", tls.min_version),
            format!("at most {}", tls.max_version),
        );
    }
    let direction = request.properties.direction();
    if request.first_message.is_some() && !direction.can_send() {
        return contradiction(
            format!("direction={}", Direction::UnidirectionalReceive),
            "a first message to be sent".to_owned(),
        );
    }
    interface_contradiction(request)?;
    family_contradiction(request)
}

/// RFC 9622 §6.3: security parameters that cannot act are refused, whatever the stacks are.
pub(super) fn security(request: &PlanRequest) -> Result<(), PlanError> {
    match request.security.tls_parameters() {
        Some(tls) => tls.check().map_err(PlanError::Security),
        None => Ok(()),
    }
}

/// A path has one interface of one type, so two of either kind cannot both be required.
fn interface_contradiction(request: &PlanRequest) -> Result<(), PlanError> {
    let interfaces = request.properties.interfaces();
    let required = || {
        interfaces
            .iter()
            .filter(|(_, level)| *level == Preference::Require)
            .map(|(selector, _)| selector)
    };
    let instances = required().filter(|s| matches!(s, InterfaceSelector::Instance(_)));
    let kinds = required().filter(|s| matches!(s, InterfaceSelector::Kind(_)));
    for same in [instances.collect::<Vec<_>>(), kinds.collect()] {
        if let [first, second, ..] = same[..] {
            return Err(PlanError::Contradiction {
                first: format!("interface=require:{first}"),
                second: format!("interface=require:{second}"),
            });
        }
    }
    Ok(())
}

/// Both sides of a connection have the same address family.
fn family_contradiction(request: &PlanRequest) -> Result<(), PlanError> {
    let contradiction =
        |first: String, second: String| Err(PlanError::Contradiction { first, second });
    let all_remotes = |is_family: fn(&std::net::IpAddr) -> bool| {
        !request.remotes.is_empty()
            && request
                .remotes
                .iter()
                .all(|remote| remote.ip_address().as_ref().is_some_and(is_family))
    };
    let all_locals = |is_family: fn(&std::net::IpAddr) -> bool| {
        !request.locals.is_empty()
            && request
                .locals
                .iter()
                .all(|local| local.ip_address().as_ref().is_some_and(is_family))
    };
    let temporary = SelectionProperty::UseTemporaryLocalAddress;
    let is_temporary =
        request.properties.preference(temporary, request.action) == Preference::Require;
    let (v4, v6) = (std::net::IpAddr::is_ipv4, std::net::IpAddr::is_ipv6);
    if is_temporary && all_remotes(v4) {
        // RFC 9622 §6.2.13: temporary addresses do not exist in IPv4.
        return contradiction(
            format!("{}=require", Property::UseTemporaryLocalAddress),
            "remote endpoints with IPv4 addresses only".to_owned(),
        );
    }
    if all_locals(v4) && all_remotes(v6) || all_locals(v6) && all_remotes(v4) {
        return contradiction(
            "local endpoints of one address family".to_owned(),
            "remote endpoints of the other address family".to_owned(),
        );
    }
    Ok(())
}

/// Paths that are not known yet are waited for, unless an address of them has to be bound.
pub(super) fn has_path(
    request: &PlanRequest,
    rules: &PathRules,
    verdicts: &[PathVerdict],
    chosen: &[Path],
) -> Result<(), PlanError> {
    let may_wait = request.paths.is_empty() && !rules.binds_addresses();
    if chosen.is_empty() && !may_wait {
        return Err(PlanError::NoPath {
            verdicts: verdicts.to_vec(),
        });
    }
    Ok(())
}

/// Where only some addresses may be used, the local endpoints must have such an address.
pub(super) fn has_address(rules: &PathRules, fixed: &[LocalEndpoint]) -> Result<(), PlanError> {
    if rules.binds_addresses() && fixed.is_empty() {
        return Err(PlanError::Contradiction {
            first: format!(
                "{}={}",
                Property::UseTemporaryLocalAddress,
                rules.temporary()
            ),
            second: "the addresses of the local endpoints".to_owned(),
        });
    }
    Ok(())
}

/// One port of a listener speaks one kind of security, or a peer could choose the weaker one.
pub(super) fn one_class_per_port(
    request: &PlanRequest,
    candidates: &[Candidate],
) -> Result<(), PlanError> {
    if request.action == Action::Initiate {
        return Ok(());
    }
    for local in &request.locals {
        let here = || candidates.iter().filter(|c| local.serves(&c.stack));
        for first in here() {
            let clash = here()
                .find(|second| second.wire == first.wire && second.security != first.security);
            if let Some(second) = clash {
                return Err(PlanError::PortInTwoClasses {
                    endpoint: local.to_string(),
                    wire: first.wire,
                    first: first.stack.clone(),
                    second: second.stack.clone(),
                });
            }
        }
    }
    Ok(())
}

/// RFC 9622 §6.1.3: an endpoint for one stack is the alternative to the general one of the same
/// host, which is then for the other stacks.
pub(super) fn alternatives(
    remotes: Vec<RemoteEndpoint>,
    candidates: &[Candidate],
) -> Vec<RemoteEndpoint> {
    let mut expanded = Vec::new();
    for remote in &remotes {
        let is_alternative = |other: &&RemoteEndpoint| {
            other.stack.is_some()
                && other.host_name == remote.host_name
                && other.address == remote.address
        };
        let replaced: Vec<_> = remotes
            .iter()
            .filter(is_alternative)
            .filter_map(RemoteEndpoint::stack)
            .collect();
        if remote.stack.is_some() || replaced.is_empty() {
            expanded.push(remote.clone());
            continue;
        }
        expanded.extend(
            candidates
                .iter()
                .filter(|candidate| !replaced.contains(&&candidate.stack))
                .map(|candidate| remote.clone().for_stack(candidate.stack.clone())),
        );
    }
    expanded
}
