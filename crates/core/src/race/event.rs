//! What a race decided and why, in order.
//!
//! Invariant: every output has an event beside it that gives its reason.

use super::io::{AttemptId, Leaf, Progress, QueryId};
use crate::dns::Question;
use crate::failure::Failure;
use crate::path::PathId;
use crate::stack::StackId;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// One decision or one piece of news, with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub at: Time,
    /// What happened.
    pub kind: EventKind,
}

/// What a race decided or learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// A candidate takes no part at all.
    CandidateExcluded {
        /// The candidate's stack.
        stack: StackId,
        /// Why.
        reason: String,
    },
    /// A remote endpoint takes no part.
    RemoteExcluded {
        /// Its index among the application's remote endpoints.
        remote: usize,
        /// Why.
        reason: String,
    },
    /// A question went to the resolver.
    Asked {
        /// The question's number.
        query: QueryId,
        /// The question.
        question: Question,
    },
    /// A question was answered.
    Answered {
        /// The question's number.
        query: QueryId,
        /// The number of records.
        records: usize,
        /// Whether the race was decided before.
        is_late: bool,
    },
    /// A question failed.
    QueryFailed {
        /// The question's number.
        query: QueryId,
        /// Why.
        failure: Failure,
        /// Whether the race was decided before.
        is_late: bool,
    },
    /// An AliasMode record leads to another name.
    AliasFollowed {
        /// The record's owner.
        owner: String,
        /// The name that is asked for next.
        target: String,
    },
    /// An AliasMode record is not followed; the race goes on as if it did not exist.
    AliasRefused {
        /// The record's owner.
        owner: String,
        /// The record's target.
        target: String,
        /// Why.
        reason: String,
    },
    /// A service record is not used.
    RecordIgnored {
        /// The record's owner.
        owner: String,
        /// The record's target.
        target: String,
        /// Its priority.
        priority: u16,
        /// Why.
        reason: String,
    },
    /// The first address came before everything that is preferred.
    ResolutionDelayStarted {
        /// The remote endpoint's index.
        remote: usize,
        /// The end of the delay.
        until: Time,
    },
    /// Attempts to a remote endpoint may start.
    EndpointsReady {
        /// The remote endpoint's index.
        remote: usize,
        /// Why now.
        reason: ReadyReason,
    },
    /// A leaf takes no part as things stand.
    LeafExcluded(Exclusion),
    /// A limit cut off children of a node.
    LimitReached {
        /// The limit's name.
        limit: String,
        /// How many children were cut off.
        dropped: usize,
    },
    /// The leaves that have not started stand in a new order.
    Ordered {
        /// One line a leaf.
        leaves: Vec<String>,
    },
    /// Leaves of another group take part from now on.
    GroupOpened {
        /// The group.
        group: Group,
        /// Why now.
        reason: OpenReason,
    },
    /// An attempt was started.
    AttemptStarted {
        /// The attempt's number.
        attempt: AttemptId,
        /// What is attempted.
        leaf: Box<Leaf>,
        /// Why now.
        reason: StartReason,
        /// When the next one follows if nothing happens.
        next_after: Duration,
    },
    /// An attempt moved on.
    Progressed {
        /// The attempt's number.
        attempt: AttemptId,
        /// How far.
        progress: Progress,
    },
    /// The next attempt waits longer, because this one moves on.
    NextAttemptPostponed {
        /// The attempt that moves on.
        attempt: AttemptId,
        /// The new time of the next start.
        until: Time,
    },
    /// An attempt failed.
    AttemptFailed {
        /// The attempt's number.
        attempt: AttemptId,
        /// Why.
        failure: Failure,
    },
    /// There was no route; the leaf is tried again when the paths change.
    LeafParked {
        /// The attempt's number.
        attempt: AttemptId,
    },
    /// An attempt was ended by the race.
    AttemptCancelled {
        /// The attempt's number.
        attempt: AttemptId,
        /// Why.
        reason: CancelReason,
    },
    /// The paths changed.
    PathsChanged {
        /// The interfaces, most preferred first.
        interfaces: Vec<String>,
    },
    /// There is no route yet; the race waits for one.
    Waiting {
        /// What is missing.
        reason: String,
    },
    /// The race waits no longer.
    Resumed,
    /// Every protected leaf failed in a way that lets cleartext follow.
    CleartextPermitted {
        /// The failure that permits it.
        reason: String,
    },
    /// Cleartext may not follow.
    CleartextRefused {
        /// Why.
        reason: String,
    },
    /// An input had no effect.
    InputIgnored {
        /// Why.
        reason: String,
    },
    /// The race is won.
    Won {
        /// The winner.
        attempt: AttemptId,
    },
    /// The race is lost.
    Lost {
        /// The failure that is reported.
        failure: Failure,
    },
    /// Nothing is left to be done.
    Finished,
}

/// A leaf or a branch that takes no part, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Exclusion {
    /// The stack, when the reason holds for one stack only.
    pub stack: Option<StackId>,
    /// What was excluded, such as an address.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// Whether a change of paths may lift it.
    pub awaits_path: bool,
}

/// Leaves that are raced as one ordered list: one path and one rank of candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Group {
    /// The security tier: zero, or one for cleartext that follows failed protection.
    pub tier: u8,
    /// The position of the path, zero when routing decides.
    pub path_rank: usize,
    /// The path, unless routing decides.
    pub path: Option<PathId>,
    /// The candidates' rank.
    pub rank: u32,
}

/// Why attempts may start (Happy Eyeballs v3 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReadyReason {
    /// The endpoint is an address.
    Literal,
    /// Addresses, the preferred family's answer and the service information are there.
    PreferredAnswers,
    /// The resolution delay passed.
    ResolutionDelay,
}

/// Why a group takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OpenReason {
    /// It is the first one.
    Preferred,
    /// One attempt delay passed since the group before it started, and nothing was answered.
    NothingAnswered,
    /// The groups before it have nothing left to start.
    Exhausted,
}

/// Why an attempt was started when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StartReason {
    /// No other attempt is running.
    NothingRunning,
    /// The attempt delay passed.
    DelayPassed,
    /// An attempt failed.
    AttemptFailed,
}

/// Why the race ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CancelReason {
    /// Another attempt won.
    AnotherWon,
    /// The deadline came.
    Deadline,
    /// The application gave up.
    Application,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {}", self.rank)?;
        if let Some(path) = self.path {
            write!(f, " on path {}", path.0)?;
        }
        if self.tier > 0 {
            f.write_str(" in cleartext")?;
        }
        Ok(())
    }
}

impl fmt::Display for ReadyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReadyReason::Literal => "address given",
            ReadyReason::PreferredAnswers => "preferred answers came",
            ReadyReason::ResolutionDelay => "resolution delay passed",
        })
    }
}

impl fmt::Display for OpenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenReason::Preferred => "preferred",
            OpenReason::NothingAnswered => "no packet of the group before was answered",
            OpenReason::Exhausted => "the groups before have nothing left to start",
        })
    }
}

impl fmt::Display for StartReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StartReason::NothingRunning => "nothing running",
            StartReason::DelayPassed => "delay passed",
            StartReason::AttemptFailed => "attempt failed",
        })
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CancelReason::AnotherWon => "another attempt won",
            CancelReason::Deadline => "deadline",
            CancelReason::Application => "given up by the application",
        })
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stack) = &self.stack {
            write!(f, "{stack} ")?;
        }
        write!(f, "{}: {}", self.subject, self.reason)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12}  {}", self.at.to_string(), self.kind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::CandidateExcluded { stack, reason } => write!(f, "{stack} is out: {reason}"),
            EventKind::RemoteExcluded { remote, reason } => {
                write!(f, "remote {remote} is out: {reason}")
            }
            EventKind::Asked { query, question } => write!(f, "query {} {question}", query.0),
            EventKind::Answered {
                query,
                records,
                is_late,
            } => {
                let late = if *is_late { " (late)" } else { "" };
                write!(f, "answer {}: {records} records{late}", query.0)
            }
            EventKind::QueryFailed {
                query,
                failure,
                is_late,
            } => {
                let late = if *is_late { " (late)" } else { "" };
                write!(f, "query {} failed: {failure}{late}", query.0)
            }
            EventKind::AliasFollowed { owner, target } => write!(f, "alias {owner} -> {target}"),
            EventKind::AliasRefused {
                owner,
                target,
                reason,
            } => write!(f, "alias {owner} -> {target} refused: {reason}"),
            EventKind::RecordIgnored {
                owner,
                target,
                priority,
                reason,
            } => write!(f, "record {owner} {priority} {target} ignored: {reason}"),
            EventKind::ResolutionDelayStarted { remote, until } => {
                write!(
                    f,
                    "remote {remote} waits for preferred answers until {until}"
                )
            }
            EventKind::EndpointsReady { remote, reason } => {
                write!(f, "remote {remote} is ready: {reason}")
            }
            EventKind::LeafExcluded(exclusion) => write!(f, "excluded {exclusion}"),
            EventKind::LimitReached { limit, dropped } => {
                write!(f, "limit {limit} dropped {dropped}")
            }
            EventKind::Ordered { leaves } if leaves.is_empty() => {
                f.write_str("order: nothing is left to start")
            }
            EventKind::Ordered { leaves } => write!(f, "order: {}", leaves.join(", ")),
            EventKind::GroupOpened { group, reason } => write!(f, "group {group}: {reason}"),
            other => other.fmt_attempt(f),
        }
    }
}

impl EventKind {
    /// The rest of [`Display`](fmt::Display): attempts and outcomes.
    fn fmt_attempt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::AttemptStarted {
                attempt,
                leaf,
                reason,
                next_after,
            } => write!(
                f,
                "attempt {} {leaf}: {reason}, next after {} ms",
                attempt.0,
                next_after.as_millis()
            ),
            EventKind::Progressed { attempt, progress } => {
                write!(f, "attempt {} {progress}", attempt.0)
            }
            EventKind::NextAttemptPostponed { attempt, until } => {
                write!(f, "next attempt not before {until}: {} moves on", attempt.0)
            }
            EventKind::AttemptFailed { attempt, failure } => {
                write!(f, "attempt {} failed: {failure}", attempt.0)
            }
            EventKind::LeafParked { attempt } => {
                write!(f, "attempt {} is repeated when the paths change", attempt.0)
            }
            EventKind::AttemptCancelled { attempt, reason } => {
                write!(f, "attempt {} cancelled: {reason}", attempt.0)
            }
            EventKind::PathsChanged { interfaces } if interfaces.is_empty() => {
                f.write_str("paths: none")
            }
            EventKind::PathsChanged { interfaces } => {
                write!(f, "paths: {}", interfaces.join(", "))
            }
            EventKind::Waiting { reason } => write!(f, "waiting: {reason}"),
            EventKind::Resumed => f.write_str("resumed"),
            EventKind::CleartextPermitted { reason } => write!(f, "cleartext follows: {reason}"),
            EventKind::CleartextRefused { reason } => write!(f, "no cleartext: {reason}"),
            EventKind::InputIgnored { reason } => write!(f, "ignored: {reason}"),
            EventKind::Won { attempt } => write!(f, "won by attempt {}", attempt.0),
            EventKind::Lost { failure } => write!(f, "lost: {failure}"),
            EventKind::Finished => f.write_str("finished"),
            _ => Ok(()),
        }
    }
}
