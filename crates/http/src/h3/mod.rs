//! HTTP/3 over QUIC connections of portway: [`ClientConnection`] and [`ServerConnection`].
//!
//! Invariant: all state is in the engine ([`portway_h3::Connection`]), which resides in the QUIC
//! connection and runs in its driver under its lock; a future or a stream's handle holds a stream's
//! number and nothing that must be undone but by its drop.
//!
//! No task has to be started and none is: what a packet brings is decoded and answered between the
//! packets that came and those that go. Errors are those of [`portway_h3`].
//!
//! Cancel safety: what a method says of itself holds at every point where its future can be
//! dropped. A stream's half that is dropped before its end gives that direction up: nothing that
//! was cut off looks complete to the peer.

mod accepted;
mod body;
mod capsules;
mod carrier;
mod client;
mod datagrams;
mod engine;
mod half;
mod options;
mod push;
mod pushes;
#[cfg(feature = "client")]
mod room;
mod server;
mod statistics;
mod tunnel;
mod watching;

pub use accepted::{Incoming, Responder};
pub use body::{ReadAllError, ReceiveBody, SendBody, SendBodyError};
pub use capsules::{ReceiveCapsules, SendCapsules};
pub use client::{ClientConnection, ClientStream, PendingResponse};
pub use datagrams::Datagrams;
pub use options::{NotAttached, Options};
pub use push::{Promise, Push};
pub use server::ServerConnection;
pub use statistics::Statistics;
pub use tunnel::{ConnectError, Tunnel};

pub use portway_h3::capsule::{Capsule, CapsuleType};
pub use portway_h3::datagram::{Datagram, Profile, Profiles};
pub use portway_h3::error::{Code, ConnectionError, Retry, StreamError};
pub use portway_h3::limits::Limits;
pub use portway_h3::message::Protocol;
pub use portway_h3::priority::Priority;
pub use portway_h3::qpack::TableUse;
pub use portway_h3::settings::Settings;
pub use portway_h3::{Config, Incoming as Received, SendError, StreamId};
