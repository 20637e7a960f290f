//! Numbers in both byte orders: the methods of reader and writer for each of them.
//!
//! Invariant: both sides name and lay out a number alike.

use super::{BinaryReader, BinaryWriter, ReadError, WriteError};
use portway_core::framer::ByteOrder;

/// A number that can stand before bytes as their length: `u8`, `u16`, `u32` or `u64`.
pub trait LengthPrefix: sealed::Prefix {}

pub(super) mod sealed {
    use portway_core::framer::ByteOrder;

    pub trait Prefix: Sized {
        /// How many bytes it takes.
        const BYTES: usize;
        /// The length that `bytes`, so many, say.
        fn decode(bytes: &[u8], order: ByteOrder) -> u64;
        /// The prefix of so many bytes, if there is one.
        fn encode(length: usize, order: ByteOrder) -> Option<([u8; 8], usize)>;
    }
}

macro_rules! prefixes {
    ($($type:ident),*) => {$(
        impl LengthPrefix for $type {}

        impl sealed::Prefix for $type {
            const BYTES: usize = size_of::<$type>();

            fn decode(bytes: &[u8], order: ByteOrder) -> u64 {
                let bytes = bytes.try_into().expect("the caller gives as many as it takes");
                u64::from(match order {
                    ByteOrder::Big => $type::from_be_bytes(bytes),
                    ByteOrder::Little => $type::from_le_bytes(bytes),
                })
            }

            fn encode(length: usize, order: ByteOrder) -> Option<([u8; 8], usize)> {
                let length = $type::try_from(length).ok()?;
                let mut out = [0; 8];
                out[..Self::BYTES].copy_from_slice(&match order {
                    ByteOrder::Big => length.to_be_bytes(),
                    ByteOrder::Little => length.to_le_bytes(),
                });
                Some((out, Self::BYTES))
            }
        }
    )*};
}

prefixes!(u8, u16, u32, u64);

macro_rules! numbers {
    ($($type:ident: $read:ident, $write:ident;)*) => {
        /// Numbers, in the reader's byte order. Nothing is lost when a future is dropped.
        impl BinaryReader {
            $(
                #[doc = concat!("Reads one `", stringify!($type), "`.")]
                ///
                /// # Errors
                /// As [`BinaryReader::load_exact`].
                pub async fn $read(&mut self) -> Result<$type, ReadError> {
                    let bytes = self.take_array().await?;
                    Ok(match self.byte_order() {
                        ByteOrder::Big => $type::from_be_bytes(bytes),
                        ByteOrder::Little => $type::from_le_bytes(bytes),
                    })
                }
            )*
        }

        /// Numbers, in the writer's byte order.
        impl BinaryWriter {
            $(
                #[doc = concat!("Writes one `", stringify!($type), "`.")]
                ///
                /// # Errors
                /// [`WriteError::BufferFull`].
                pub fn $write(&mut self, value: $type) -> Result<(), WriteError> {
                    match self.byte_order() {
                        ByteOrder::Big => self.put(&[&value.to_be_bytes()]),
                        ByteOrder::Little => self.put(&[&value.to_le_bytes()]),
                    }
                }
            )*
        }
    };
}

numbers! {
    u8: read_u8, write_u8;
    u16: read_u16, write_u16;
    u32: read_u32, write_u32;
    u64: read_u64, write_u64;
    u128: read_u128, write_u128;
    i8: read_i8, write_i8;
    i16: read_i16, write_i16;
    i32: read_i32, write_i32;
    i64: read_i64, write_i64;
    i128: read_i128, write_i128;
    f32: read_f32, write_f32;
    f64: read_f64, write_f64;
}
