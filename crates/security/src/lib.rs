//! The security policy of portway: certificate chains and identities, without I/O.
//!
//! Invariant: time, certificates and algorithms come in as arguments; nothing here reads a file,
//! a clock or a socket.

pub mod accepted;
pub mod chain;
mod date;
mod der;
mod distinguished_name;
pub mod identity;
pub mod suitability;
mod validity;

pub use chain::{ChainError, ChainPolicy, Purpose};
