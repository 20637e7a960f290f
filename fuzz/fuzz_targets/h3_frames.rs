//! The frame decoder, in pieces of any size.
//!
//! Invariant: the body is `fuzz/bodies/h3_frames.rs`, which the replay of the corpora
//! runs too.
#![no_main]

#[path = "../bodies/h3_frames.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
