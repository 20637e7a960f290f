//! QPACK, the field compression of HTTP/3 (RFC 9204).
//!
//! [`Decoder`] turns the field sections of a peer into names and values; [`Encoder`] makes ours.
//! Either has its table, which the instructions of a stream of its own keep equal at both ends.
//!
//! Invariant: what a peer sends is bounded before it is stored, and never panics.

mod decoder;
mod encoder;
mod error;
mod hash;
mod huffman;
mod integer;
mod static_table;
mod string;
mod table_use;

pub(crate) use decoder::Line;
pub use decoder::{Decoded, Decoder, DecoderConfig, UnblockedSection};
pub(crate) use encoder::References;
pub use encoder::{Encoder, EncoderConfig, SectionEncoder};
pub use error::{DecodeError, QpackError, QpackErrorKind, SectionLimit};
pub use table_use::TableUse;
