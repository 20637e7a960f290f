//! HTTP over the connections of portway.
//!
//! Nothing here opens a socket: connections come from `portway-transport`.

#[cfg(feature = "h3")]
pub mod h3;
