//! QPACK, the field compression of HTTP/3 (RFC 9204).
//!
//! [`Decoder`] turns the field sections of a peer into names and values; its table follows the
//! instructions of the peer's encoder stream.
//!
//! Invariant: what a peer sends is bounded before it is stored, and never panics.

mod decoder;
mod error;
mod huffman;
#[cfg_attr(not(test), expect(dead_code, reason = "the encoder uses the rest"))]
mod integer;
mod static_table;
#[cfg_attr(not(test), expect(dead_code, reason = "the encoder uses the rest"))]
mod string;

pub use decoder::{Decoded, Decoder, DecoderConfig, UnblockedSection};
pub use error::{DecodeError, QpackError, QpackErrorKind, SectionLimit};
