//! The plan: the synchronous check of a request, before any packet (RFC 9622 §6, RFC 9623 §3.1).
//!
//! Invariant: every stack and every path that was offered has a verdict with its reasons, and all
//! candidates have one security class unless the application asked for opportunistic security.

mod check;
mod display;
mod error;
mod paths;
mod reason;
mod request;
mod score;
mod stacks;

#[cfg(test)]
mod tests;

pub use crate::property::Action;
pub use error::PlanError;
pub use paths::PathVerdict;
pub use reason::{Reason, Side};
pub use request::PlanRequest;
pub use stacks::{StackVerdict, Wish};

use crate::endpoint::{LocalEndpoint, RemoteEndpoint};
use crate::path::Path;
use crate::race::Candidate;
use crate::security::SecurityParameters;
use crate::stack::StackDescriptor;
use paths::PathRules;
use serde::{Serialize, Serializer};

/// Which stacks and paths a connection may use, in which order, and why not the others.
///
/// Its `Display` is what `portway explain` prints.
///
/// ```
/// use portway_core::plan::{Action, Plan, PlanRequest};
/// use portway_core::{RemoteEndpoint, SecurityParameters};
///
/// let mut request = PlanRequest::new(Action::Initiate, SecurityParameters::tls());
/// request.remotes.push(RemoteEndpoint::host_name("example.com").service("https"));
/// let plan = Plan::new(request)?;
/// assert_eq!(plan.candidates()[0].stack.as_str(), "tls");
/// # Ok::<(), portway_core::plan::PlanError>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    action: Action,
    #[serde(serialize_with = "as_text")]
    remotes: Vec<RemoteEndpoint>,
    #[serde(serialize_with = "as_text")]
    locals: Vec<LocalEndpoint>,
    stacks: Vec<StackVerdict>,
    path_verdicts: Vec<PathVerdict>,
    pins_paths: bool,
    #[serde(skip)]
    candidates: Vec<Candidate>,
    #[serde(skip)]
    paths: Vec<Path>,
    #[serde(skip)]
    path_rules: PathRules,
    may_mix_security: bool,
}

impl Plan {
    /// Checks a request and decides.
    ///
    /// # Errors
    /// An endpoint is missing or wrong, the request contradicts itself, or no stack or no path
    /// satisfies it.
    pub fn new(request: PlanRequest) -> Result<Plan, PlanError> {
        check::endpoints(&request)?;
        check::contradictions(&request)?;
        check::security(&request)?;
        // RFC 9622 §6.2: paths are decided before protocols.
        let path_rules = PathRules::of(&request);
        let path_verdicts = path_rules.judge(&request.paths);
        let paths = path_rules.choose(request.paths.clone());
        check::has_path(&request, &path_rules, &path_verdicts, &paths)?;
        let locals = path_rules.local_endpoints(request.locals.clone(), &paths);
        check::has_address(&path_rules, &locals)?;
        let stacks = stacks::judge(&request);
        let candidates = stacks::candidates(&request, &stacks);
        if candidates.is_empty() {
            return Err(PlanError::NoStack { verdicts: stacks });
        }
        check::one_class_per_port(&request, &candidates)?;
        let may_mix_security = matches!(request.security, SecurityParameters::Opportunistic(_));
        debug_assert!(
            may_mix_security
                || candidates
                    .windows(2)
                    .all(|pair| pair[0].security == pair[1].security)
        );
        Ok(Plan {
            action: request.action,
            remotes: check::alternatives(request.remotes, &candidates),
            locals,
            stacks,
            path_verdicts,
            pins_paths: path_rules.pins_paths(),
            candidates,
            paths,
            path_rules,
            may_mix_security,
        })
    }

    /// The action that was planned.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The remote endpoints. One that has an alternative for some stack is there once for each
    /// other stack.
    pub fn remotes(&self) -> &[RemoteEndpoint] {
        &self.remotes
    }

    /// The local endpoints, with their addresses where a property fixes them.
    pub fn locals(&self) -> &[LocalEndpoint] {
        &self.locals
    }

    /// The eligible stacks for the race, the preferred ones first.
    pub fn candidates(&self) -> Vec<Candidate> {
        self.candidates.clone()
    }

    /// What was decided of each stack, in the order of the request.
    pub fn stacks(&self) -> &[StackVerdict] {
        &self.stacks
    }

    /// What was decided of each path, in the order of the request.
    pub fn path_verdicts(&self) -> &[PathVerdict] {
        &self.path_verdicts
    }

    /// The eligible paths, the preferred ones first, with the addresses that may be used.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The eligible ones among other paths, for when the network has changed.
    pub fn choose_paths(&self, paths: Vec<Path>) -> Vec<Path> {
        self.path_rules.choose(paths)
    }

    /// Whether every attempt must name its path; otherwise the system's routing decides.
    pub fn pins_paths(&self) -> bool {
        self.pins_paths
    }

    /// Whether candidates of different security classes may follow one another.
    pub fn may_mix_security(&self) -> bool {
        self.may_mix_security
    }

    /// The descriptors of the eligible stacks among `stacks`, the preferred ones first.
    pub fn eligible<'a>(&self, stacks: &'a [StackDescriptor]) -> Vec<&'a StackDescriptor> {
        self.candidates
            .iter()
            .filter_map(|candidate| stacks.iter().find(|stack| stack.id == candidate.stack))
            .collect()
    }
}

fn as_text<T: ToString, S: Serializer>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(ToString::to_string))
}
