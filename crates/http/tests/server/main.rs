//! The server: over loopback with clients of every version, and on the simulated network where
//! time and floods matter.
//!
//! Invariant: time is virtual wherever a limit of time is tested.

mod conformance;
mod drain;
mod floods;
mod heap;
mod http2;
mod http3;
mod identities;
mod idle;
mod limits;
mod memory;
mod names;
mod net;
mod proxied;
mod serving;
mod support;
