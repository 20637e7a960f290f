//! Why a request cannot be planned.

use super::paths::PathVerdict;
use super::stacks::StackVerdict;
use super::{Action, Reason, Side};
use crate::endpoint::EndpointError;
use crate::failure::{Failure, FailureKind, Origin};
use crate::stack::{StackId, WireProtocol};
use std::fmt;

/// Why a request cannot be planned. No packet has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// The action needs an endpoint that was not given.
    MissingEndpoint {
        /// The action.
        action: Action,
        /// The side that is missing.
        side: Side,
    },
    /// An endpoint is wrong in itself.
    InvalidEndpoint {
        /// The side.
        side: Side,
        /// Which of that side's endpoints.
        index: usize,
        /// The endpoint.
        endpoint: String,
        /// What is wrong.
        source: EndpointError,
    },
    /// Two demands exclude each other.
    Contradiction {
        /// One of them.
        first: String,
        /// The other one.
        second: String,
    },
    /// The security parameters cannot be used.
    Security(Failure),
    /// No stack satisfies the request.
    NoStack {
        /// Why, stack by stack.
        verdicts: Vec<StackVerdict>,
    },
    /// No path satisfies the request.
    NoPath {
        /// Why, path by path; empty when no path is known.
        verdicts: Vec<PathVerdict>,
    },
    /// Two stacks would listen on one port with different protection.
    PortInTwoClasses {
        /// The local endpoint.
        endpoint: String,
        /// The port space.
        wire: WireProtocol,
        /// One of the stacks.
        first: StackId,
        /// The other one.
        second: StackId,
    },
}

impl PlanError {
    /// The class of the failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            PlanError::InvalidEndpoint {
                source: EndpointError::Multicast { .. },
                ..
            } => FailureKind::Unsupported,
            PlanError::Security(failure) => failure.kind,
            _ => FailureKind::InvalidRequest,
        }
    }
}

impl From<&PlanError> for Failure {
    fn from(error: &PlanError) -> Self {
        Failure::new(Origin::Local, error.kind(), error.to_string())
    }
}

impl std::error::Error for PlanError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PlanError::InvalidEndpoint { source, .. } => Some(source),
            PlanError::Security(failure) => Some(failure),
            _ => None,
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::MissingEndpoint { action, side } => {
                write!(f, "{action} needs a {side} endpoint")
            }
            PlanError::InvalidEndpoint {
                side,
                endpoint,
                source,
                ..
            } => write!(f, "the {side} endpoint {endpoint} cannot be used: {source}"),
            PlanError::Contradiction { first, second } => {
                write!(f, "{first} contradicts {second}")
            }
            PlanError::Security(failure) => failure.fmt(f),
            PlanError::NoStack { verdicts } => {
                f.write_str("no protocol stack satisfies the request")?;
                let out = verdicts.iter().map(|v| (v.stack.as_str(), &v.exclusions));
                write_exclusions(f, out)
            }
            PlanError::NoPath { verdicts } if verdicts.is_empty() => {
                f.write_str("no path is known, and one with a fitting address is required")
            }
            PlanError::NoPath { verdicts } => {
                f.write_str("no path satisfies the request")?;
                let out = verdicts
                    .iter()
                    .map(|v| (v.interface.as_str(), &v.exclusions));
                write_exclusions(f, out)
            }
            PlanError::PortInTwoClasses {
                endpoint,
                wire,
                first,
                second,
            } => write!(
                f,
                "{first} and {second} would share the {wire} port of {endpoint} with different \
                 protection"
            ),
        }
    }
}

fn write_exclusions<'a>(
    f: &mut fmt::Formatter<'_>,
    mut out: impl Iterator<Item = (&'a str, &'a Vec<Reason>)>,
) -> fmt::Result {
    out.try_for_each(|(name, reasons)| {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        write!(f, "; {name}: {}", reasons.join(", "))
    })
}
