//! The engine and its command with peers that we did not write: openssl, nc, socat, PostgreSQL,
//! aioquic.
//!
//! Invariant: a peer that is not on this machine is named with the test that it skips; peers end
//! with their test.

mod authority;
mod command;
mod h3;
mod http;
mod library;
mod page;
mod peer;
mod quic;
