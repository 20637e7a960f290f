//! HTTP over the connections of portway.
//!
//! Nothing here opens a socket: connections come from `portway-transport`. [`pool`] decides which
//! request runs on which connection.

#[cfg(feature = "h3")]
pub mod h3;
pub mod pool;
