//! A connection as the driver sees it.
//!
//! Invariant: a slot is on the driver's list of touched ones exactly when `is_touched`.

use super::patience::Patience;
use super::timers::Deadline;
use crate::quic::connection::ConnectionShared;
use quinn_proto::ConnectionEvent;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// One connection.
pub(super) struct Slot {
    pub(super) connection: Arc<ConnectionShared>,
    pub(super) generation: u32,
    /// Packets that wait for it, and the local addresses they came to.
    pub(super) events: Vec<(ConnectionEvent, Option<IpAddr>)>,
    /// How many packets it was handed in this round.
    pub(super) packets: usize,
    pub(super) is_touched: bool,
    pub(super) patience: Patience,
    /// Whether a deadline has passed.
    pub(super) is_due: bool,
    /// Whether the path has changed, and nothing was sent there yet.
    pub(super) has_moved: bool,
    pub(super) deadline: Deadline,
    pub(super) stage: Stage,
    /// Whether the connection has ended and its peer was told, if it can be.
    pub(super) is_over: bool,
}

/// How far the connection is for the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The handshake runs and must end by `until`.
    Handshaking { until: Instant, role: Role },
    /// The application has it, or will not get it.
    Running,
}

/// Which end this one is, as far as the driver cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The application holds it from the start.
    Connecting,
    /// The application gets it after the handshake, or as soon as there is early data.
    Accepting { hands_over_early: bool },
}
