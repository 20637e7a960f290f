//! QUIC with peers that we did not write: aioquic, which a script drives.
//!
//! Invariant: a cell that could not be tried is named with its reason and never counts as passed.

mod scripted;
