//! What a pool asks for, and the names of what it talks about.

use super::version::{Version, Versions};
use std::time::Duration;

/// A request; later ones have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// A dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub(super) u64);

#[cfg(feature = "client")]
impl DialId {
    /// A dial that no pool has asked for.
    pub(crate) const UNPOOLED: DialId = DialId(u64::MAX);
}

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

/// What the owner of a pool must do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action<K> {
    /// Establish a connection, and tell how that ended.
    Dial {
        /// The dial.
        dial: DialId,
        /// Where to.
        key: K,
        /// What may be offered to the peer: the versions of the request that is dialled for, but
        /// not HTTP/3 beside others when it is dialled already.
        versions: Versions,
        /// The request that is dialled for; none when it was asked for by [`Pool::dial_ahead`].
        ///
        /// [`Pool::dial_ahead`]: super::Pool::dial_ahead
        initiator: Option<RequestId>,
    },
    /// Give a dial up; whatever comes of it is not wanted.
    CancelDial {
        /// The dial.
        dial: DialId,
        /// Why.
        reason: CancelReason,
    },
    /// Send a request over a connection.
    Assign {
        /// The request.
        request: RequestId,
        /// The connection.
        connection: ConnectionId,
        /// Whether the connection was given a request before, so that the peer may have closed it
        /// meanwhile.
        is_reused: bool,
        /// For how long the request has waited.
        waited: Duration,
    },
    /// A request has failed; the pool has forgotten it.
    Fail {
        /// The request.
        request: RequestId,
        /// Why.
        reason: FailReason,
    },
    /// Close a connection; the pool has forgotten it.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// Nothing to do: this is for telemetry.
    Tell(Event),
}

/// What [`Action::Assign`] gives a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Assignment {
    /// The connection.
    pub connection: ConnectionId,
    /// Whether the connection was given a request before, so that the peer may have closed it
    /// meanwhile.
    pub is_reused: bool,
}

/// Why a dial is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// It took too long; its request has failed of it.
    TimedOut,
    /// Its request went elsewhere, and no connection came in the time after.
    Abandoned,
}

/// Why a request failed before it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailReason {
    /// The dial that was made for it failed.
    DialFailed(DialId),
    /// The dial that was made for it took too long.
    DialTimedOut(DialId),
    /// The peer chose a version that the request does not take.
    WrongVersion(Version),
    /// Too many requests wait.
    QueueFull,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// It carried nothing for too long.
    Idle,
    /// It has reached its age.
    Lifetime,
    /// It was idle, and its place was needed.
    Evicted,
    /// It takes no further request, and the last one has ended.
    Drained,
    /// Its only request has ended in a way that leaves nothing to be used.
    NotReusable,
}

/// What only telemetry hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The request of a dial went elsewhere; the dial goes on for a while.
    DialAbandoned(DialId),
    /// A dial failed that nobody waited for any more.
    AbandonedDialFailed(DialId),
}

/// What an ended request leaves of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It can carry another one.
    Reuse,
    /// With HTTP/1.1 nothing; a multiplexed connection goes on.
    Discard,
}
