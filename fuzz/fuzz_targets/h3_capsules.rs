//! Capsules of RFC 9297 and of draft-01.
//!
//! Invariant: the body is `fuzz/bodies/h3_capsules.rs`, which the replay of the corpora
//! runs too.
#![no_main]

#[path = "../bodies/h3_capsules.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
