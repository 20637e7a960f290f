//! What a server tells of its connections.
//!
//! Invariant: each connection that was accepted ends with one event, which says why.

use super::info::ConnectionInfo;
use portway_core::Failure;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Something that happened beside the requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Connections cannot be accepted for now; the server goes on after a while.
    AcceptFailed {
        /// Why.
        failure: Failure,
    },
    /// A client did not get as far as HTTP.
    HandshakeFailed {
        /// The client.
        peer: Option<SocketAddr>,
        /// Why.
        failure: Failure,
    },
    /// A connection has ended.
    Ended {
        /// Which one.
        connection: ConnectionInfo,
        /// Why.
        end: End,
    },
}

/// Why a connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// In good order, by either side.
    Closed,
    /// No request came for [`Times::keep_alive`](super::Times::keep_alive).
    Idle,
    /// A request's head was not complete after [`Times::head`](super::Times::head).
    SlowHead,
    /// The client took nothing for [`Times::unread`](super::Times::unread).
    Unread,
    /// The client did too much that costs and leads nowhere.
    Flood(Flood),
    /// The server was stopped.
    Stopped,
    /// The connection was lost, or the client broke the protocol.
    Failed(String),
}

/// What a client did too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flood {
    /// Requests that it reset.
    Resets,
    /// Pings.
    Pings,
    /// Settings.
    Settings,
    /// Frames of content without content.
    EmptyData,
    /// Frames that continue a head.
    Continuations,
    /// Frames that mean nothing.
    Others,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("closed"),
            End::Idle => f.write_str("idle for too long"),
            End::SlowHead => f.write_str("the head of a request took too long"),
            End::Unread => f.write_str("the client takes nothing"),
            End::Flood(flood) => write!(f, "the client sends too many {flood}"),
            End::Stopped => f.write_str("the server was stopped"),
            End::Failed(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flood::Resets => "resets",
            Flood::Pings => "pings",
            Flood::Settings => "settings",
            Flood::EmptyData => "empty frames",
            Flood::Continuations => "continuations of a head",
            Flood::Others => "frames that mean nothing",
        })
    }
}

impl std::error::Error for Flood {}

/// Whom events are told.
#[derive(Clone, Default)]
pub(super) struct Listener(Option<Arc<dyn Fn(Event) + Send + Sync>>);

impl Listener {
    pub(super) fn new(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Listener(Some(Arc::new(listener)))
    }

    /// Tells, if anybody listens.
    pub(super) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(listener) = &self.0 {
            listener(event());
        }
    }
}
