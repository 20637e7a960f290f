//! The race: one sans-IO machine per connection attempt, after Happy Eyeballs v3.
//!
//! Invariant: the same configuration and inputs give the same outputs and events. [`Race`] is the
//! machine, [`RaceConfig`] what it is given, [`Report`] what is told of it afterwards.

mod account;
mod config;
mod destination;
mod event;
mod io;
mod log;
mod machine;
mod picture;
mod plan;
mod random;
mod recording;
mod report;
mod resolution;
mod route;
mod schedule;
mod service;
mod text;
mod tier;
mod walkover;
mod waterfall;

pub use account::Account;
pub use config::{FamilyPolicy, FirstFamilyCount, History, Limits, RaceConfig, Setback};
pub use event::{
    CancelReason, Event, EventKind, Exclusion, Group, OpenReason, ReadyReason, StartReason,
};
pub use io::{AttemptId, Candidate, Input, Leaf, Output, Progress, QueryId, Timing};
pub use machine::Race;
pub use recording::{Divergence, Diverging, Recorder, Recording};
pub use report::{
    AttemptOutcome, AttemptReport, EndpointNode, Outcome, PathNode, ProtocolNode, QueryOutcome,
    QueryReport, Report,
};
pub use walkover::{Course, Walkover};
