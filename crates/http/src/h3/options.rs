//! What an application chooses about its connections.
//!
//! Invariant: every bound that a peer meets is in here or in QUIC's options.

use std::fmt;

use portway_h3::{Config, limits::Limits};

/// The choices for one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The choices for the protocol: limits, push, datagrams, extended CONNECT, extensions.
    pub http: Config,
}

impl Options {
    /// The same with these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.http.limits = limits;
        self
    }

    /// The same with reserved values that exercise the peer, drawn from this seed.
    #[must_use]
    pub fn with_grease(mut self, seed: u64) -> Self {
        self.http.grease_seed = Some(seed);
        self
    }
}

/// Why HTTP/3 cannot run over a QUIC connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAttached {
    /// It is the other end of a connection: clients connect, servers accept.
    WrongSide,
    /// A protocol runs there already.
    InUse,
}

impl fmt::Display for NotAttached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongSide => "this is the other end of a connection",
            Self::InUse => "a protocol runs on the connection already",
        })
    }
}

impl std::error::Error for NotAttached {}
