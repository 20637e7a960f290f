//! Field sections of any content, as every kind of message.
//!
//! Invariant: the body is `fuzz/bodies/h3_fields.rs`, which the replay of the corpora
//! runs too.
#![no_main]

#[path = "../bodies/h3_fields.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
