//! From messages to the wire: the queue of a group, and the bytes that wait for the socket.
//!
//! Invariant: every accepted send has exactly one completion.

mod wire_buffer;

pub use wire_buffer::{COPIED_BYTES_MAX, WireBuffer};
