//! What a race did, for people and for programs.
//!
//! Invariant: a report is a picture of one moment; it holds every attempt and every question.

use super::event::{CancelReason, Exclusion, Group, StartReason};
use super::io::{AttemptId, Leaf, QueryId};
use super::machine::{Attempt, End, Race};
use crate::dns::Question;
use crate::failure::Failure;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The state of a race at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// When the race started.
    pub started: Time,
    /// The moment of this report.
    pub at: Time,
    /// How it ended, and when; `None` while it goes on.
    pub outcome: Option<(Time, Outcome)>,
    /// What it waits for while there is no route.
    pub waiting: Option<String>,
    /// The names or addresses that the application asked for.
    pub targets: Vec<String>,
    /// The candidate tree: path, then protocol, then endpoint.
    pub tree: Vec<PathNode>,
    /// What takes no part, with the reasons.
    pub excluded: Vec<Exclusion>,
    /// Every attempt, in the order of their starts.
    pub attempts: Vec<AttemptReport>,
    /// Every question, in the order in which they were asked.
    pub queries: Vec<QueryReport>,
}

/// How a race ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// An attempt won.
    Won(AttemptId),
    /// The race was lost.
    Lost(Failure),
}

/// A path of the candidate tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PathNode {
    /// The interface, or `any path`.
    pub path: String,
    /// The protocols, most preferred first.
    pub protocols: Vec<ProtocolNode>,
}

/// A protocol on one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProtocolNode {
    /// The stack.
    pub stack: String,
    /// The group that its leaves are raced in.
    pub group: Group,
    /// The protection that its leaves have.
    pub security: String,
    /// The leaves, in the order in which they are to be started.
    pub endpoints: Vec<EndpointNode>,
}

/// A leaf of the candidate tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EndpointNode {
    /// Where it leads.
    pub leaf: Leaf,
    /// The name or address that it was derived from.
    pub target: String,
    /// Its latest attempt, if it was started.
    pub attempt: Option<AttemptId>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptReport {
    /// Its number.
    pub id: AttemptId,
    /// What was attempted.
    pub leaf: Leaf,
    /// Why it started when it did.
    pub reason: StartReason,
    /// When it started.
    pub started: Time,
    /// When the peer first answered.
    pub answered: Option<Time>,
    /// When the transport was connected.
    pub connected: Option<Time>,
    /// The round-trip time that the transport measured.
    pub rtt: Option<Duration>,
    /// When it ended.
    pub ended: Option<Time>,
    /// How it ended.
    pub outcome: AttemptOutcome,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// It goes on.
    Running,
    /// It won.
    Succeeded,
    /// It failed.
    Failed(Failure),
    /// The race ended it.
    Cancelled(CancelReason),
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueryReport {
    /// Its number.
    pub id: QueryId,
    /// What was asked.
    pub question: Question,
    /// When it was asked.
    pub asked: Time,
    /// When it was answered or failed.
    pub ended: Option<Time>,
    /// What came of it.
    pub outcome: QueryOutcome,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum QueryOutcome {
    /// No answer yet.
    Outstanding,
    /// This many records.
    Answered(usize),
    /// It failed.
    Failed(Failure),
}

impl Report {
    pub(super) fn of(race: &Race) -> Self {
        Report {
            started: race.started,
            at: race.now(),
            outcome: race.decision.as_ref().map(|decision| {
                let outcome = match &decision.result {
                    Ok(winner) => Outcome::Won(*winner),
                    Err(failure) => Outcome::Lost(failure.clone()),
                };
                (decision.at, outcome)
            }),
            waiting: race.waiting.clone(),
            targets: race
                .config
                .remotes
                .iter()
                .map(|remote| remote.to_string())
                .collect(),
            tree: tree_of(race),
            excluded: race.plan.excluded.clone(),
            attempts: race.attempts.iter().enumerate().map(attempt_of).collect(),
            queries: queries_of(race),
        }
    }

    /// The winning attempt, if the race was won.
    pub fn winner(&self) -> Option<&AttemptReport> {
        match &self.outcome {
            Some((_, Outcome::Won(id))) => self.attempts.get(id.0 as usize),
            _ => None,
        }
    }
}

fn tree_of(race: &Race) -> Vec<PathNode> {
    let mut tree: Vec<PathNode> = Vec::new();
    for planned in &race.plan.leaves {
        let path = match planned.leaf.path {
            None => "any path".to_owned(),
            Some(id) => race
                .config
                .paths
                .iter()
                .find(|path| path.id == id)
                .map_or_else(|| format!("path {}", id.0), |path| path.interface.clone()),
        };
        let at = position(
            &mut tree,
            |node| node.path == path,
            || PathNode {
                path: path.clone(),
                protocols: Vec::new(),
            },
        );
        let stack = planned.leaf.stack.to_string();
        let protocols = &mut tree[at].protocols;
        let is_here = |node: &ProtocolNode| node.stack == stack && node.group == planned.group;
        let at = position(protocols, is_here, || ProtocolNode {
            stack: stack.clone(),
            group: planned.group,
            security: planned.leaf.security.to_string(),
            endpoints: Vec::new(),
        });
        let attempt = race.attempts.iter().rposition(|a| a.key == planned.key);
        protocols[at].endpoints.push(EndpointNode {
            leaf: planned.leaf.clone(),
            target: planned.target.clone(),
            attempt: attempt.map(|index| AttemptId(index as u32)),
        });
    }
    // A connection keeps the report of its race for as long as it lives.
    tree.shrink_to_fit();
    for node in &mut tree {
        node.protocols.shrink_to_fit();
        for protocol in &mut node.protocols {
            protocol.endpoints.shrink_to_fit();
        }
    }
    tree
}

/// The place of the matching item, which is added at the end if there is none.
fn position<T>(items: &mut Vec<T>, matches: impl Fn(&T) -> bool, new: impl Fn() -> T) -> usize {
    match items.iter().position(matches) {
        Some(at) => at,
        None => {
            items.push(new());
            items.len() - 1
        }
    }
}

fn attempt_of((index, attempt): (usize, &Attempt)) -> AttemptReport {
    let outcome = match &attempt.end {
        None => AttemptOutcome::Running,
        Some((_, End::Succeeded)) => AttemptOutcome::Succeeded,
        Some((_, End::Failed(failure) | End::Parked(failure))) => {
            AttemptOutcome::Failed(failure.clone())
        }
        Some((_, End::Cancelled(reason))) => AttemptOutcome::Cancelled(*reason),
    };
    AttemptReport {
        id: AttemptId(index as u32),
        leaf: attempt.leaf.clone(),
        reason: attempt.reason,
        started: attempt.started,
        answered: attempt.answered,
        connected: attempt.connected,
        rtt: attempt.rtt,
        ended: attempt.end.as_ref().map(|(at, _)| *at),
        outcome,
    }
}

fn queries_of(race: &Race) -> Vec<QueryReport> {
    let queries = race.resolution.queries.iter().enumerate();
    queries
        .map(|(index, query)| QueryReport {
            id: QueryId(index as u32),
            question: query.question.clone(),
            asked: query.asked,
            ended: query.ended,
            outcome: match &query.result {
                None => QueryOutcome::Outstanding,
                Some(Ok(records)) => QueryOutcome::Answered(*records),
                Some(Err(failure)) => QueryOutcome::Failed(failure.clone()),
            },
        })
        .collect()
}
