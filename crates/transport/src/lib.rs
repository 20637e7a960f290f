//! The I/O part of portway: the environment, TLS, name resolution, paths and the race's driver.
//!
//! Nothing else in the workspace opens a socket or reads a clock.

pub mod context;
mod demux;
pub mod driver;
pub mod environment;
pub mod establish;
pub mod established;
pub mod failure_map;
mod histories;
pub mod layer;
pub mod learned;
pub mod listen;
pub mod quic;
pub mod quic_stack;
pub mod real;
pub mod tls;

pub use real::RealEnvironment;
