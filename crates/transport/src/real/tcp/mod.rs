//! TCP of the real environment: connecting, streams, listening.
//!
//! Invariant: a hot-path call is one system call at most, and none when tokio already knows that
//! the socket is not ready.

mod connect;
mod listener;
mod options;
mod stream;

pub(super) use connect::{bind_to_path, connect};
pub(super) use listener::{adopt, listen};
pub(super) use options::set_dscp;
