//! Typed reading and writing of binary protocols: numbers, texts and slices over a connection.
//!
//! Invariant: a value is taken out of the reader, or put into the writer, whole or not at all, so
//! a call that fails or is dropped leaves everything where it was. See [`BinaryReader`] and
//! [`BinaryWriter`].

mod error;
mod number;
mod reader;
mod writer;

pub use error::{ReadError, WriteError};
pub use number::LengthPrefix;
pub use reader::BinaryReader;
pub use writer::BinaryWriter;
