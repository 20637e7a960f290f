//! QPACK, the field compression of HTTP/3 (RFC 9204).
//!
//! Invariant: what a peer sends is bounded before it is stored, and never panics.

// The encoder and the decoder, which use these, come next.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "used by the encoder and the decoder")
)]
mod huffman;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "used by the encoder and the decoder")
)]
mod integer;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "used by the encoder and the decoder")
)]
mod static_table;
