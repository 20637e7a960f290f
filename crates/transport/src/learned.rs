//! What a context has learned, for a context of a later process.
//!
//! Invariant: what is read is a hint and nothing else: it orders attempts and shows addresses to
//! servers, it is bounded, and nothing of it decides whom to trust.

use crate::context::Context;
use portway_core::{Failure, FailureKind, Origin};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// Round trips, addresses that were connected to, and tokens that show this host's address to QUIC
/// servers, apart for each network.
///
/// Sessions of TLS are not among it, see [`Context::export_sessions`], nor is which stacks an
/// address did not answer, which is known for minutes only. Alternative services are the HTTP
/// client's, which exports them itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The present network last.
    pub(crate) networks: Vec<OfNetwork>,
}

/// What was learned on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OfNetwork {
    /// Interfaces with the prefixes of their addresses.
    pub(crate) prefixes: BTreeSet<(String, IpAddr)>,
    pub(crate) rtts: BTreeMap<IpAddr, Duration>,
    pub(crate) used: BTreeSet<IpAddr>,
    /// By server name, the latest one last.
    pub(crate) tokens: Vec<(String, Vec<u8>)>,
}

impl Learned {
    /// As JSON. It tells where this host was and whom it talked to, and the tokens let servers know
    /// it again: keep it like a browser's history.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("maps with text as keys, and numbers")
    }

    /// From what [`Learned::to_json`] gave.
    ///
    /// # Errors
    /// It is not that, or longer than what a context can have learned.
    pub fn from_json(text: &str) -> Result<Learned, Failure> {
        if text.len() > JSON_BYTES_MAX {
            return Err(Failure::new(
                Origin::Local,
                FailureKind::LimitReached,
                format!("more than {JSON_BYTES_MAX} bytes of what was learned"),
            ));
        }
        serde_json::from_str(text).map_err(|error| {
            let detail = format!("not what a context has learned: {error}");
            Failure::new(Origin::Local, FailureKind::InvalidRequest, detail)
        })
    }
}

impl Context {
    /// What this context has learned, for a later process. The tokens go with it and are no longer
    /// here, since a server that sees one twice knows that both clients are one (RFC 9000 §8.1.3).
    pub fn export_learned(&self) -> Learned {
        self.history().export()
    }

    /// Adds what an earlier process has learned. What this context knows itself is kept.
    pub fn import_learned(&self, learned: Learned) {
        self.history().import(learned);
    }

    /// The sessions of TLS and QUIC that could be resumed, for a later process.
    ///
    /// # Errors
    /// Always: the TLS library gives no way to write a client's session down, nor the keys of a
    /// server's tickets. A later process begins with whole handshakes.
    pub fn export_sessions(&self) -> Result<Vec<u8>, Failure> {
        Err(Failure::new(
            Origin::Local,
            FailureKind::Unsupported,
            "rustls 0.23 can neither write down the sessions of a client nor the keys of a \
             server's tickets, so that they end with the process",
        ))
    }
}

/// More than a thousand addresses on each of nine networks need.
const JSON_BYTES_MAX: usize = 4 * 1024 * 1024;
