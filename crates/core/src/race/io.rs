//! What goes into a race and what comes out of it, as values that a recording can hold.

use crate::dns::{Answer, Question};
use crate::failure::Failure;
use crate::path::{Path, PathId};
use crate::security::SecurityClass;
use crate::stack::{StackId, WireProtocol};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Identifies a question within one race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueryId(pub u32);

/// Identifies an attempt within one race, in the order of their starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub u32);

/// A stack that the plan found eligible, in the order that the plan prefers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The stack.
    pub stack: StackId,
    /// The port space that it uses.
    pub wire: WireProtocol,
    /// Candidates of equal rank form one group; a lower rank is tried first.
    pub rank: u32,
    /// The protection that a leaf of this stack has.
    pub security: SecurityClass,
    /// The application protocols that it offers, matched against SVCB's `alpn`.
    pub alpn: Vec<Vec<u8>>,
    /// Whether it takes part only where somebody has said that it is offered: a service record
    /// that has its application protocol, or a remote endpoint that is for this stack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_offer: bool,
}

/// A leaf of the candidate tree: everything that one attempt needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The path to leave by; `None` lets the system's routing decide.
    pub path: Option<PathId>,
    /// The protocol stack.
    pub stack: StackId,
    /// Where to connect to.
    pub remote: SocketAddr,
    /// The local address to bind, when the application or the path fixed one.
    pub local: Option<IpAddr>,
    /// The local port to bind, when the application fixed one.
    pub local_port: Option<u16>,
    /// The host name that led here, for SNI and for messages.
    pub host_name: Option<String>,
    /// The protection, equal among all leaves of a race unless the application widened it.
    pub security: SecurityClass,
    /// The application protocols to offer on this leaf.
    pub alpn: Vec<Vec<u8>>,
    /// The index of the application's remote endpoint that this leaf serves.
    pub remote_index: usize,
    /// The SvcPriority of the record that led here.
    pub svcb_priority: Option<u16>,
    /// The ECH configuration list of that record.
    pub ech: Option<Vec<u8>>,
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stack, self.remote)?;
        if let Some(path) = self.path {
            write!(f, " on path {}", path.0)?;
        }
        if let Some(local) = self.local {
            write!(f, " from {local}")?;
        }
        Ok(())
    }
}

/// Something that happened, told to the race.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Input {
    /// A question was answered.
    Answered(QueryId, Answer),
    /// A question failed.
    QueryFailed(QueryId, Failure),
    /// An attempt moved on.
    Progressed(AttemptId, Progress),
    /// An attempt's whole stack is ready.
    Succeeded(AttemptId),
    /// An attempt failed.
    Failed(AttemptId, Failure),
    /// The set of paths changed.
    PathsChanged(Vec<Path>),
    /// The deadline that `poll_timeout` named has come.
    TimerExpired,
    /// The application gave up.
    Cancelled,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Progress {
    /// The peer answered with any packet at all (QUIC: before the handshake is complete).
    PeerAnswered,
    /// The transport below is connected; handshakes above it go on. Carries the measured RTT.
    TransportConnected {
        /// The round-trip time that the transport measured, if it measured one.
        rtt: Option<Duration>,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Progress::PeerAnswered => f.write_str("was answered"),
            Progress::TransportConnected { rtt: None } => f.write_str("transport connected"),
            Progress::TransportConnected { rtt: Some(rtt) } => {
                write!(f, "transport connected, rtt {} ms", rtt.as_millis())
            }
        }
    }
}

/// Something that the race wants done, or tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "a leaf is moved once, and an attempt costs more than its move"
)]
pub enum Output {
    /// Ask the resolver.
    Resolve(QueryId, Question),
    /// Start an attempt.
    Attempt(AttemptId, Leaf),
    /// End an attempt that is still running.
    Cancel(AttemptId),
    /// The race is decided; nothing but late answers follows.
    Won(AttemptId),
    /// The race is lost: every leaf failed, was excluded, or the time was up.
    Lost(Failure),
}

/// The times that govern a race (Happy Eyeballs v3 §9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// How long the preferred answers are waited for once another has come. 50 ms.
    pub resolution_delay: Duration,
    /// The time between the starts of two attempts without history. 250 ms.
    pub attempt_delay: Duration,
    /// No attempt delay is shorter, whatever the history says. 10 ms, 100 ms recommended.
    pub attempt_delay_min: Duration,
    /// No attempt delay is longer. 2 s.
    pub attempt_delay_max: Duration,
    /// How long answers are still taken after a win. 1 s.
    pub late_answers: Duration,
    /// How long a stack is tried last at an address that did not answer it while it answered
    /// another one. 10 min.
    pub setback: Duration,
    /// The whole race ends after this time; `None` leaves it to the application.
    pub deadline: Option<Time>,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            resolution_delay: Duration::from_millis(50),
            attempt_delay: Duration::from_millis(250),
            attempt_delay_min: Duration::from_millis(100),
            attempt_delay_max: Duration::from_secs(2),
            late_answers: Duration::from_secs(1),
            setback: Duration::from_secs(600),
            deadline: None,
        }
    }
}
