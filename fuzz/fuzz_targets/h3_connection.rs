//! A peer that does anything to a whole connection, in either role.
//!
//! Invariant: the body is `fuzz/bodies/h3_connection.rs`, which the replay of the corpora
//! runs too.
#![no_main]

#[path = "../bodies/h3_connection.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
