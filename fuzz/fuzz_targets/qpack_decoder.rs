//! Bytes of a hostile peer on the encoder stream and as field sections.
//!
//! Invariant: the body is `fuzz/bodies/qpack_decoder.rs`, which the replay of the corpora
//! runs too.
#![no_main]

#[path = "../bodies/qpack_decoder.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
