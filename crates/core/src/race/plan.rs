//! The leaves of the candidate tree, in the order in which they shall be started.
//!
//! Invariant: the plan is a pure function of configuration, paths and answers. What has already
//! started keeps its place in the list, so interleaving holds whenever an answer arrives
//! (Happy Eyeballs v3 §7).

use super::config::{History, RaceConfig};
use super::destination::{Destination, Preference};
use super::event::{Exclusion, Group};
use super::io::{Candidate, Leaf};
use super::resolution::{Resolution, Service};
use super::route::{Route, route_to, sources_for};
use crate::endpoint::{LocalEndpoint, RemoteEndpoint};
use crate::path::{Path, PathId};
use crate::security::SecurityClass;
use crate::stack::StackId;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// What makes two leaves the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeafKey {
    path: Option<PathId>,
    stack: StackId,
    remote: SocketAddr,
    local: Option<IpAddr>,
    local_port: Option<u16>,
    host_name: Option<String>,
}

/// A leaf with its place in the tree.
#[derive(Clone, Debug)]
pub(super) struct PlannedLeaf {
    pub(super) key: LeafKey,
    pub(super) leaf: Leaf,
    pub(super) group: Group,
    pub(super) route: Route,
    /// The name or address that the leaf's address belongs to.
    pub(super) target: String,
}

/// All leaves in order, and what was left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) leaves: Vec<PlannedLeaf>,
    pub(super) excluded: Vec<Exclusion>,
    /// Leaves beyond the limit.
    pub(super) dropped: usize,
}

/// What a plan is made from.
pub(super) struct Planner<'a> {
    pub(super) config: &'a RaceConfig,
    pub(super) paths: &'a [Path],
    pub(super) resolution: &'a Resolution,
    pub(super) history: &'a History,
    pub(super) now: Time,
    /// Candidates that take part, with their security tier.
    pub(super) tiers: &'a BTreeMap<usize, u8>,
}

impl Planner<'_> {
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        let mut drafts: BTreeMap<(Group, usize), Vec<Draft>> = BTreeMap::new();
        for remote in 0..self.resolution.len() {
            for (service_rank, service) in self.resolution.services(remote).iter().enumerate() {
                for (&index, &tier) in self.tiers {
                    let node = Node {
                        remote,
                        service,
                        candidate: &self.config.candidates[index],
                        index,
                        tier,
                    };
                    for draft in self.leaves_of(&node, &mut plan.excluded) {
                        let key = (draft.leaf.group, service_rank);
                        drafts.entry(key).or_default().push(draft);
                    }
                }
            }
        }
        let mut seen = BTreeSet::new();
        for (_, group) in drafts {
            for leaf in self.in_order(group) {
                if seen.insert(leaf.key.clone()) {
                    plan.leaves.push(leaf);
                }
            }
        }
        let kept = plan.leaves.len().min(self.config.limits.leaves);
        plan.dropped = plan.leaves.len() - kept;
        plan.leaves.truncate(kept);
        plan
    }

    /// Sorts the leaves of one group and one service, then interleaves the families.
    fn in_order(&self, mut drafts: Vec<Draft>) -> Vec<PlannedLeaf> {
        // Rule 10 of RFC 6724 §6: the sort is stable. Equal ranks of stacks follow the plan's
        // order at each address.
        drafts.sort_by_key(|draft| (draft.preference, draft.order));
        let leaves = drafts.into_iter().map(|draft| draft.leaf).collect();
        interleave(leaves, self.config.first_family_count.0)
    }

    fn leaves_of(&self, node: &Node<'_>, excluded: &mut Vec<Exclusion>) -> Vec<Draft> {
        let endpoint = &self.config.remotes[node.remote];
        let mut drafts = Vec::new();
        if let Some(reason) = node.refusal(endpoint) {
            excluded.push(node.exclusion(node.service.target.clone(), reason));
            return drafts;
        }
        let Some(port) = node.service.port else {
            return drafts;
        };
        for (order, &address) in node.service.addresses.iter().enumerate() {
            let mut reasons = BTreeSet::new();
            let before = drafts.len();
            for (local_rank, local) in self.locals(&node.candidate.stack, address).enumerate() {
                for choice in self.path_choices(endpoint, local) {
                    let choice = match choice {
                        Ok(choice) => choice,
                        Err(reason) => {
                            reasons.insert((reason, true));
                            continue;
                        }
                    };
                    let end = End {
                        address,
                        port,
                        local,
                    };
                    let mut draft = self.draft(node, &choice, &end);
                    draft.order = (node.remote, order, node.index, local_rank);
                    if draft.leaf.route == Route::None {
                        reasons.insert((choice.no_route(address), true));
                        continue;
                    }
                    drafts.push(draft);
                }
            }
            if drafts.len() == before && reasons.is_empty() {
                reasons.insert(("no local endpoint fits".to_owned(), false));
            }
            for (reason, awaits_path) in reasons {
                excluded.push(Exclusion {
                    awaits_path,
                    ..node.exclusion(SocketAddr::new(address, port).to_string(), reason)
                });
            }
        }
        drafts
    }

    fn draft(&self, node: &Node<'_>, choice: &PathChoice<'_>, end: &End<'_>) -> Draft {
        let End {
            address,
            port,
            local,
        } = *end;
        let endpoint = &self.config.remotes[node.remote];
        let bound = local.and_then(LocalEndpoint::ip_address);
        let mut sources = sources_for(address, &choice.paths);
        if let Some(bound) = bound {
            sources.retain(|source| source.address.address == bound);
        }
        let route = route_to(address, &choice.paths, choice.pinned.is_none());
        let destination = Destination {
            address,
            has_route: route == Route::Known,
            rtt: self.history.rtts.get(&address).copied(),
            was_used: self.history.used.contains(&address),
        };
        let remote = with_scope(address, port, choice.pinned);
        let candidate = node.candidate;
        let leaf = Leaf {
            path: choice.pinned,
            stack: candidate.stack.clone(),
            remote,
            local: bound,
            // Port zero is one of the system's choice, as none is.
            local_port: local
                .and_then(LocalEndpoint::resolved_port)
                .filter(|port| *port != 0),
            host_name: endpoint.host().map(str::to_owned),
            security: candidate.security.clone(),
            alpn: candidate.alpn.clone(),
            remote_index: node.remote,
            svcb_priority: node.service.priority,
            ech: node.service.ech.clone(),
        };
        let group = Group {
            tier: node.tier,
            path_rank: choice.rank,
            path: if self.config.pin_paths {
                choice.pinned
            } else {
                None
            },
            rank: self.rank(candidate, address),
        };
        Draft {
            preference: Preference::of(&destination, &sources),
            order: (0, 0, 0, 0),
            leaf: PlannedLeaf {
                key: LeafKey::of(&leaf),
                leaf,
                group,
                route,
                target: node.service.target.clone(),
            },
        }
    }

    /// Behind all others where earlier races found that the address does not answer the stack.
    fn rank(&self, candidate: &Candidate, address: IpAddr) -> u32 {
        let is_set_back = self
            .history
            .is_set_back(&candidate.stack, address, self.now);
        let ranks = self.config.candidates.iter().map(|other| other.rank);
        match ranks.max() {
            Some(last) if is_set_back => candidate.rank.saturating_add(last).saturating_add(1),
            _ => candidate.rank,
        }
    }

    /// The local endpoints that fit, `None` standing for the system's choice.
    fn locals<'b>(
        &'b self,
        stack: &'b StackId,
        address: IpAddr,
    ) -> impl Iterator<Item = Option<&'b LocalEndpoint>> {
        let unspecified = self.config.locals.is_empty().then_some(None);
        let fitting = self.config.locals.iter().filter(move |local| {
            local.stack.as_ref().is_none_or(|only| only == stack)
                && local
                    .address
                    .is_none_or(|own| own.is_ipv4() == address.is_ipv4())
        });
        unspecified.into_iter().chain(fitting.map(Some))
    }

    /// The paths that a leaf may take; an interface that does not exist is an error.
    fn path_choices<'b>(
        &'b self,
        remote: &RemoteEndpoint,
        local: Option<&LocalEndpoint>,
    ) -> Vec<Result<PathChoice<'b>, String>> {
        let own = local.and_then(LocalEndpoint::interface_name);
        let wanted: Vec<&str> = own.into_iter().chain(remote.interface_name()).collect();
        if wanted.is_empty() && !self.config.pin_paths {
            return vec![Ok(PathChoice {
                rank: 0,
                pinned: None,
                paths: self.paths.iter().collect(),
            })];
        }
        let fitting = self
            .paths
            .iter()
            .enumerate()
            .filter(|(_, path)| wanted.iter().all(|interface| is_named(path, interface)));
        let choices: Vec<_> = fitting
            .map(|(index, path)| {
                Ok(PathChoice {
                    rank: if self.config.pin_paths { index } else { 0 },
                    pinned: Some(path.id),
                    paths: vec![path],
                })
            })
            .collect();
        if choices.is_empty() {
            let reason = match wanted.first() {
                Some(interface) => format!("there is no usable interface {interface}"),
                None => "there is no usable path".to_owned(),
            };
            return vec![Err(reason)];
        }
        choices
    }
}

impl LeafKey {
    pub(super) fn of(leaf: &Leaf) -> Self {
        LeafKey {
            path: leaf.path,
            stack: leaf.stack.clone(),
            remote: leaf.remote,
            local: leaf.local,
            local_port: leaf.local_port,
            host_name: leaf.host_name.clone(),
        }
    }
}

/// Moves the families through each other: `first_count` of the first one, then one of each.
fn interleave(leaves: Vec<PlannedLeaf>, first_count: usize) -> Vec<PlannedLeaf> {
    let Some(first) = leaves.first() else {
        return leaves;
    };
    let first_is_ipv4 = first.leaf.remote.is_ipv4();
    let total = leaves.len();
    let (first, second): (Vec<_>, Vec<_>) = leaves
        .into_iter()
        .partition(|leaf| leaf.leaf.remote.is_ipv4() == first_is_ipv4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed: Vec<PlannedLeaf> = first.by_ref().take(first_count.max(1)).collect();
    while mixed.len() < total {
        mixed.extend(second.next());
        mixed.extend(first.next());
    }
    mixed
}

/// A remote endpoint's service together with a candidate for it.
struct Node<'a> {
    remote: usize,
    service: &'a Service,
    candidate: &'a Candidate,
    index: usize,
    tier: u8,
}

impl Node<'_> {
    /// Why the candidate yields no leaf here, if it yields none.
    fn refusal(&self, endpoint: &RemoteEndpoint) -> Option<String> {
        let candidate = self.candidate;
        if let Some(only) = endpoint.stack()
            && !endpoint.serves(&candidate.stack)
        {
            return Some(format!("the endpoint is for {only} only"));
        }
        let allowed = self.service.candidates.as_ref();
        if allowed.is_some_and(|allowed| !allowed.contains(&self.index)) {
            return Some("its service record does not offer this protocol".to_owned());
        }
        // Without an address the answers that may hold an offer are still on their way.
        let is_resolved = !self.service.addresses.is_empty();
        let is_offered = allowed.is_some() || endpoint.stack().is_some();
        if candidate.needs_offer && is_resolved && !is_offered {
            return Some("nothing says that the peer offers this protocol".to_owned());
        }
        match &candidate.security {
            SecurityClass::Protected {
                ech_required: true, ..
            } if self.service.ech.is_none() => {
                Some("no configuration for an encrypted client hello is known".to_owned())
            }
            _ => None,
        }
    }

    fn exclusion(&self, subject: String, reason: String) -> Exclusion {
        Exclusion {
            stack: Some(self.candidate.stack.clone()),
            subject,
            reason,
            awaits_path: false,
        }
    }
}

/// A path that leaves are bound to, or all of them where the system chooses.
struct PathChoice<'a> {
    rank: usize,
    pinned: Option<PathId>,
    paths: Vec<&'a Path>,
}

impl PathChoice<'_> {
    fn no_route(&self, address: IpAddr) -> String {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        match self.paths.as_slice() {
            [path] if self.pinned.is_some() => {
                format!("{} has no {family} route", path.interface)
            }
            _ => format!("no path has an {family} route"),
        }
    }
}

/// Both ends of a leaf.
struct End<'a> {
    address: IpAddr,
    port: u16,
    local: Option<&'a LocalEndpoint>,
}

struct Draft {
    preference: Preference,
    /// The places of remote endpoint, address, candidate and local endpoint before sorting.
    order: (usize, usize, usize, usize),
    leaf: PlannedLeaf,
}

/// Whether the path is that interface, which a zone may also give by its index (RFC 4007 §11.2).
fn is_named(path: &Path, interface: &str) -> bool {
    path.interface == interface || interface.parse() == Ok(path.id.0)
}

/// RFC 9622 §6.1: the interface is the zone of a link-local address.
fn with_scope(address: IpAddr, port: u16, path: Option<PathId>) -> SocketAddr {
    match (address, path) {
        (IpAddr::V6(v6), Some(path)) if v6.is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(v6, port, 0, path.0))
        }
        _ => SocketAddr::new(address, port),
    }
}
