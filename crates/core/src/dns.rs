//! What a race asks of name resolution and what it understands of the answers.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A question for the resolver.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Question {
    /// The name as asked, without a final dot unless the caller gave one.
    pub name: String,
    /// The record type.
    pub kind: RecordKind,
}

/// The record types that a race asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum RecordKind {
    /// HTTPS (type 65, RFC 9460).
    Https,
    /// SVCB (type 64, RFC 9460).
    Svcb,
    /// AAAA.
    Aaaa,
    /// A.
    A,
    /// SRV (RFC 2782).
    Srv,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}? {}", self.kind, self.name)
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordKind::Https => "HTTPS",
            RecordKind::Svcb => "SVCB",
            RecordKind::Aaaa => "AAAA",
            RecordKind::A => "A",
            RecordKind::Srv => "SRV",
        })
    }
}

/// A positive answer. An empty list is the answer "no such data".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was found.
    pub data: AnswerData,
    /// The smallest time to live among the records.
    pub ttl: Duration,
}

/// The records of an [`Answer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AnswerData {
    /// A or AAAA.
    Addresses(Vec<IpAddr>),
    /// HTTPS or SVCB, in any order.
    Services(Vec<ServiceBinding>),
    /// SRV, in any order.
    Servers(Vec<ServerRecord>),
}

impl AnswerData {
    /// The number of records.
    pub fn len(&self) -> usize {
        match self {
            AnswerData::Addresses(addresses) => addresses.len(),
            AnswerData::Services(services) => services.len(),
            AnswerData::Servers(servers) => servers.len(),
        }
    }

    /// Whether there is no record: the answer "no such data".
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One HTTPS or SVCB record (RFC 9460 §2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceBinding {
    /// SvcPriority; zero is alias mode.
    pub priority: u16,
    /// TargetName; `.` stands for the owner name.
    pub target: String,
    /// The `mandatory` keys.
    pub mandatory: Vec<u16>,
    /// The `alpn` identifiers.
    pub alpn: Vec<Vec<u8>>,
    /// Whether `no-default-alpn` is present.
    pub no_default_alpn: bool,
    /// The `port` key.
    pub port: Option<u16>,
    /// The `ipv4hint` addresses.
    pub ipv4_hints: Vec<Ipv4Addr>,
    /// The `ipv6hint` addresses.
    pub ipv6_hints: Vec<Ipv6Addr>,
    /// The `ech` configuration list, uninterpreted.
    pub ech: Option<Vec<u8>>,
    /// Keys that were present and are not among the fields above.
    pub unknown_keys: Vec<u16>,
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// Lower is tried first.
    pub priority: u16,
    /// Share among equal priorities.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` says that the service is not offered.
    pub target: String,
}
