//! What a race is given before it starts: endpoints, candidates, paths, limits and history.
//!
//! Invariant: a configuration is plain data, so that a recorded race can be run again from it.

use super::io::{Candidate, Timing};
use crate::endpoint::{LocalEndpoint, RemoteEndpoint};
use crate::path::Path;
use crate::stack::StackId;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Everything that decides how a race runs, apart from what happens while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RaceConfig {
    /// The other side; several are equivalent.
    pub remotes: Vec<RemoteEndpoint>,
    /// This side; none leaves it to the system, several are equivalent.
    pub locals: Vec<LocalEndpoint>,
    /// The stacks that the plan found eligible.
    pub candidates: Vec<Candidate>,
    /// The paths as they are now, most preferred first.
    pub paths: Vec<Path>,
    /// Whether the application constrained the path, so that every leaf names its own. Otherwise
    /// the system's routing decides, and paths only tell source addresses and routes.
    pub pin_paths: bool,
    /// The times that govern the race.
    pub timing: Timing,
    /// The bounds of every node of the candidate tree.
    pub limits: Limits,
    /// What earlier connections measured.
    pub history: History,
    /// Decides every random choice.
    pub seed: u64,
    /// Which service records are asked for.
    pub uses_https_records: bool,
    /// Whether the stacks can encrypt the client hello; records that demand it are ignored if not.
    pub uses_ech: bool,
    /// Whether cleartext candidates may follow protected ones that all failed (opportunistic
    /// security). They never run beside them.
    pub may_mix_security: bool,
    /// Which address families are asked for.
    pub families: FamilyPolicy,
    /// How many addresses of the first family precede the first of the other one.
    pub first_family_count: FirstFamilyCount,
}

/// The number of addresses of the first family that precede the first of the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FirstFamilyCount(pub usize);

impl Default for FirstFamilyCount {
    fn default() -> Self {
        FirstFamilyCount(1)
    }
}

/// Which address families a name is resolved for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FamilyPolicy {
    /// Those that a path has an address and a default route for; both when none has.
    #[default]
    ByConnectivity,
    /// Both, whatever the paths say, for names that lead to this host or its links.
    Both,
}

/// The most children that a node of the candidate tree may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Remote endpoints that are used.
    pub remotes: usize,
    /// Addresses taken from one answer or one list of hints.
    pub addresses_per_answer: usize,
    /// Service bindings or SRV records taken from one answer.
    pub services_per_answer: usize,
    /// AliasMode records that are followed for one remote endpoint; at least one.
    pub alias_depth: usize,
    /// Questions that one race may ask.
    pub queries: usize,
    /// Leaves of the whole tree.
    pub leaves: usize,
    /// Attempts that run at the same time.
    pub concurrent_attempts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            remotes: 16,
            addresses_per_answer: 16,
            services_per_answer: 8,
            alias_depth: 8,
            queries: 64,
            leaves: 128,
            concurrent_attempts: 16,
        }
    }
}

/// What earlier connections of the same context and provisioning domain measured.
///
/// Whoever keeps it forgets it now and then, so that addresses which are never tried because
/// others were measured get their turn (Happy Eyeballs v3 §5.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// The round-trip time to an address.
    pub rtts: BTreeMap<IpAddr, Duration>,
    /// Addresses that a connection was established to.
    pub used: BTreeSet<IpAddr>,
    /// Stacks that an address did not answer while it answered another one.
    pub setbacks: Vec<Setback>,
}

/// A stack that an address did not answer while it answered another one: UDP may be blocked on the
/// way, or nobody listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setback {
    /// The stack.
    pub stack: StackId,
    /// The address.
    pub address: IpAddr,
    /// Until when the stack is tried last there. A stack that has worked since has a time that
    /// has passed.
    pub until: Time,
}

impl History {
    /// Adds what a later race learned.
    pub fn add(&mut self, learned: History) {
        self.rtts.extend(learned.rtts);
        self.used.extend(learned.used);
        for setback in learned.setbacks {
            self.setbacks
                .retain(|known| (&known.stack, known.address) != (&setback.stack, setback.address));
            self.setbacks.push(setback);
        }
    }

    /// Forgets until no more than `max` entries of each kind are left. Any of them will do: what
    /// is forgotten is only measured again.
    pub fn shrink(&mut self, max: usize) {
        while self.rtts.len() > max {
            self.rtts.pop_first();
        }
        while self.used.len() > max {
            self.used.pop_first();
        }
        self.setbacks
            .drain(..self.setbacks.len().saturating_sub(max));
    }

    /// Whether the stack is to be tried last at the address.
    pub(super) fn is_set_back(&self, stack: &StackId, address: IpAddr, now: Time) -> bool {
        self.setbacks.iter().any(|setback| {
            setback.stack == *stack && setback.address == address && setback.until > now
        })
    }
}
