//! HTTP over the connections of portway.
//!
//! Nothing here opens a socket: connections come from `portway-transport`. [`pool`] decides which
//! request runs on which connection; [`Client`] asks it.

#[cfg(feature = "client")]
pub mod blocking;
#[cfg(any(feature = "client", feature = "server"))]
mod carrier_io;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "h3")]
pub mod h3;
pub mod pool;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "client")]
pub use client::Client;
