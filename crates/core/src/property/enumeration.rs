//! The enumerations among the property values, each with the list of its supported values.

use super::Preference;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The three ways to establish a connection, on which some defaults depend (RFC 9622 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// An active open.
    Initiate,
    /// A passive open.
    Listen,
    /// Both at once, between peers.
    Rendezvous,
}

/// Which way data flows (RFC 9622 §6.2.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both ways.
    Bidirectional,
    /// From this side only.
    UnidirectionalSend,
    /// To this side only.
    UnidirectionalReceive,
}

impl Direction {
    /// Whether this side may send.
    pub fn can_send(self) -> bool {
        !matches!(self, Direction::UnidirectionalReceive)
    }

    /// Whether this side may receive.
    pub fn can_receive(self) -> bool {
        !matches!(self, Direction::UnidirectionalSend)
    }
}

/// Whether a connection uses several paths (RFC 9622 §6.2.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Multipath {
    /// One path, and no migration away from it.
    Disabled,
    /// Several paths are negotiated when the stack can.
    Active,
    /// Several paths are accepted when the peer asks for them.
    Passive,
}

/// What several paths are used for (RFC 9622 §8.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MultipathPolicy {
    /// Moving when the path in use is lost.
    Handover,
    /// The lowest latency.
    Interactive,
    /// The sum of the paths' capacities.
    Aggregate,
}

/// The network treatment that the traffic would like (RFC 9622 §8.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CapacityProfile {
    /// Best effort.
    Default,
    /// No urgency at all.
    Scavenger,
    /// Somebody waits for each message.
    LowLatencyInteractive,
    /// Delay hurts, but nobody waits.
    LowLatencyNonInteractive,
    /// The same rate all the time.
    ConstantRateStreaming,
    /// As much as the network gives, for a long time.
    CapacitySeeking,
}

/// How the connections of a group share its capacity (RFC 9622 §8.1.5, RFC 8260 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Scheduler {
    /// In the order of the sends.
    FirstComeFirstServed,
    /// A message of each connection in turn.
    RoundRobin,
    /// A packet of each connection in turn.
    RoundRobinPerPacket,
    /// Strictly by connection priority.
    PriorityBased,
    /// Equal shares in bytes.
    FairCapacity,
    /// Shares in bytes that follow the connection priority.
    WeightedFairQueueing,
}

/// Where a connection is in its life (RFC 9622 §8.1.11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionState {
    /// Not ready yet.
    Establishing,
    /// Ready.
    Established,
    /// Closed by one side, not yet at its end.
    Closing,
    /// At its end.
    Closed,
}

/// Gives an enumeration the names of its values, in both directions.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every supported value, in the order of the specification.
            pub const ALL: &'static [$type] = &[$($type::$variant),+];

            /// The names of every supported value, in the same order as `ALL`.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The value's name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($type::$variant => $name),+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            /// Letter case does not matter; a space or an underscore may stand for the hyphen.
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| is_same_name(value.as_str(), text))
                    .ok_or(UnknownName)
            }
        }
    };
}

/// The text is not the name of a supported value; the caller lists the supported ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a supported value")]
pub struct UnknownName;

fn is_same_name(name: &str, text: &str) -> bool {
    let folded = |byte: u8| match byte {
        b' ' | b'_' => b'-',
        other => other.to_ascii_lowercase(),
    };
    name.bytes().eq(text.bytes().map(folded))
}

named!(Action {
    Initiate = "initiate",
    Listen = "listen",
    Rendezvous = "rendezvous",
});

named!(Preference {
    Require = "require",
    Prefer = "prefer",
    NoPreference = "no-preference",
    Avoid = "avoid",
    Prohibit = "prohibit",
});

named!(Direction {
    Bidirectional = "bidirectional",
    UnidirectionalSend = "unidirectional-send",
    UnidirectionalReceive = "unidirectional-receive",
});

named!(Multipath {
    Disabled = "disabled",
    Active = "active",
    Passive = "passive",
});

named!(MultipathPolicy {
    Handover = "handover",
    Interactive = "interactive",
    Aggregate = "aggregate",
});

named!(CapacityProfile {
    Default = "default",
    Scavenger = "scavenger",
    LowLatencyInteractive = "low-latency-interactive",
    LowLatencyNonInteractive = "low-latency-non-interactive",
    ConstantRateStreaming = "constant-rate-streaming",
    CapacitySeeking = "capacity-seeking",
});

named!(Scheduler {
    FirstComeFirstServed = "first-come-first-served",
    RoundRobin = "round-robin",
    RoundRobinPerPacket = "round-robin-per-packet",
    PriorityBased = "priority-based",
    FairCapacity = "fair-capacity",
    WeightedFairQueueing = "weighted-fair-queueing",
});

named!(ConnectionState {
    Establishing = "establishing",
    Established = "established",
    Closing = "closing",
    Closed = "closed",
});
