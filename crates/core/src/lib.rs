//! The pure part of portway: what a connection needs, which protocols and paths can give it, and
//! the race that decides between them.
//!
//! Nothing here opens a socket, reads a clock, starts a task or draws a random number: time and
//! randomness come in as arguments, work goes out as values.

pub mod dns;
pub mod endpoint;
pub mod failure;
pub mod framer;
pub mod message;
pub mod path;
pub mod plan;
pub mod property;
pub mod race;
pub mod security;
pub mod send_queue;
pub mod stack;
mod time;

pub use endpoint::{LocalEndpoint, RemoteEndpoint};
pub use failure::{Advice, Failure, FailureKind, Origin};
pub use security::{SecurityClass, SecurityParameters};
pub use stack::{CarrierKind, StackDescriptor, StackId, WireProtocol};
pub use time::Time;
