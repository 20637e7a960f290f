//! The async front of HTTP/3 on the simulated network.
//!
//! Invariant: time is virtual, and what a test has made is gone when it ends: no task, no socket.

mod cancel;
mod datagrams;
mod limits;
mod messages;
mod net;
mod push;
mod shutdown;
mod tunnels;
