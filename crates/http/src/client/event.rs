//! What a client tells of its work, for logs and for people who ask why.

use super::proxy::Fate;
use super::socket::shown;
use crate::pool::{self, CancelReason, CloseReason, ConnectionId, DialId, Version, Versions};
use portway_core::race;
use portway_core::security::Protection;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Something that happened to a client's connections.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A dial was started.
    DialStarted {
        /// The dial.
        dial: DialId,
        /// Scheme, host and port.
        origin: String,
        /// What may come of it.
        versions: Versions,
    },
    /// A dial leads through a proxy, so that HTTP/3 with the target is not tried; the race is for
    /// the way to the proxy, and there is none where a connection to it has room for a tunnel.
    ThroughProxy {
        /// The dial.
        dial: DialId,
        /// The proxy's URL, without credentials.
        proxy: String,
    },
    /// The race of a dial decided something.
    Race(DialId, race::Event),
    /// A dial has led to a connection.
    Connected(DialId, Box<ConnectionInfo>),
    /// A dial has failed.
    DialFailed(DialId, String),
    /// A dial was given up.
    DialCancelled(DialId, CancelReason),
    /// A request is sent over a connection.
    Assigned {
        /// The connection.
        connection: ConnectionId,
        /// Whether it has carried a request before.
        is_reused: bool,
        /// For how long the request waited for it.
        waited: Duration,
    },
    /// The pool closed a connection.
    Closed(ConnectionId, CloseReason),
    /// An origin has told where else it is served; nothing when it has taken that back.
    Alternatives {
        /// Scheme, host and port.
        origin: String,
        /// Host and port of each that can be used, the preferred one first.
        alternatives: Vec<String>,
    },
    /// An alternative service failed and is not tried for ten minutes.
    AlternativeBlocked {
        /// Scheme, host and port of the origin.
        origin: String,
        /// Host and port.
        alternative: String,
    },
    /// The pool tells something else.
    Pool(pool::Event),
}

/// A connection: what it speaks, to whom, and how long each phase took.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The version of HTTP.
    pub version: Version,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Why it is this version.
    pub reason: Reason,
    /// Host and port of the alternative service that it leads to, if it is one.
    pub alternative: Option<String>,
    /// The URL of the proxy that it leads through, without credentials; the addresses are those of
    /// the connection to that.
    pub proxy: Option<String>,
    /// The socket of the file system that it leads through; the addresses say nothing then.
    pub unix_socket: Option<PathBuf>,
    /// What was negotiated with the target; `None` in cleartext.
    pub protection: Option<Protection>,
    /// How long it took to establish.
    pub phases: Phases,
    /// What became of the tunnel that it is, where that shares its connection.
    pub(super) fate: Option<Fate>,
}

/// Why a connection speaks its version of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The request asked for it without its being offered.
    AskedFor,
    /// A service record offers it.
    Record,
    /// An alternative service of the origin offers it.
    Alternative,
    /// It is the connection to another origin, whose server speaks for this one too.
    Shared(String),
    /// It was agreed on in the TLS handshake, or is what is spoken in cleartext; with what became
    /// of HTTP/3, where that was tried.
    Negotiated(Option<String>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::AskedFor => f.write_str("it was asked for"),
            Reason::Record => f.write_str("a service record offers it"),
            Reason::Alternative => f.write_str("an alternative service offers it"),
            Reason::Shared(origin) => write!(f, "the connection to {origin} serves this one too"),
            Reason::Negotiated(None) => f.write_str("it was agreed on"),
            Reason::Negotiated(Some(why)) => write!(f, "it was agreed on; {why}"),
        }
    }
}

/// How long each phase of a dial took, the phases before included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Phases {
    /// To the first attempt.
    pub resolved: Duration,
    /// To the first transport connection.
    pub connected: Duration,
    /// To a connection that is ready.
    pub ready: Duration,
}

impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.unix_socket {
            Some(path) => write!(f, "{} to the socket {}", self.version, shown(path))?,
            None => write!(f, "{} to {} from {}", self.version, self.remote, self.local)?,
        }
        if let Some(proxy) = &self.proxy {
            write!(f, " through {proxy}")?;
        }
        if let Some(protection) = &self.protection {
            write!(f, ", {} {}", protection.version, protection.cipher_suite)?;
            if protection.is_resumed {
                f.write_str(", resumed")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientEvent::DialStarted {
                origin, versions, ..
            } => {
                let names: Vec<_> = versions.newest_first().map(|v| v.to_string()).collect();
                write!(f, "dialling {origin} for {}", names.join(" or "))
            }
            ClientEvent::ThroughProxy { proxy, .. } => {
                write!(
                    f,
                    "going through {proxy}; HTTP/3 is not tried through a proxy"
                )
            }
            ClientEvent::Race(_, event) => event.fmt(f),
            ClientEvent::Connected(_, info) => {
                let Phases {
                    resolved,
                    connected,
                    ready,
                } = info.phases;
                write!(
                    f,
                    "connected: {info} (resolved {resolved:.1?}, connected {connected:.1?}, \
                     ready {ready:.1?}); {}: {}",
                    info.version, info.reason
                )
            }
            ClientEvent::DialFailed(_, why) => write!(f, "no connection: {why}"),
            ClientEvent::DialCancelled(_, CancelReason::TimedOut) => {
                f.write_str("a dial took too long")
            }
            ClientEvent::DialCancelled(..) => f.write_str("a dial that nobody waits for is ended"),
            ClientEvent::Assigned {
                is_reused, waited, ..
            } => {
                let kind = if *is_reused { "a used" } else { "a new" };
                write!(f, "sent over {kind} connection after {waited:.1?}")
            }
            ClientEvent::Closed(_, reason) => write!(f, "connection closed: {reason:?}"),
            ClientEvent::Alternatives {
                origin,
                alternatives,
            } => match alternatives.is_empty() {
                true => write!(f, "{origin} has no alternative services"),
                false => write!(
                    f,
                    "{origin} is served over HTTP/3 at {}",
                    alternatives.join(", ")
                ),
            },
            ClientEvent::AlternativeBlocked {
                origin,
                alternative,
            } => write!(f, "{alternative} is not tried for {origin} for a while"),
            ClientEvent::Pool(event) => write!(f, "{event:?}"),
        }
    }
}
