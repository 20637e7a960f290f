//! An encoder and a decoder with a network between them.
//!
//! Invariant: the body is `fuzz/bodies/qpack_endpoints.rs`, which the replay of the corpora
//! runs too.
#![no_main]

#[path = "../bodies/qpack_endpoints.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
