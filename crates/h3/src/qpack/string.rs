//! String literals (RFC 9204 §4.1.2).
//!
//! Invariant: a literal borrows bytes that have arrived; its declared length is compared with
//! them and with nothing else.

use super::huffman::{self, HuffmanError};
use super::integer::{self, IntegerError};
use bytes::BytesMut;

/// A string as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal<'a> {
    bytes: &'a [u8],
    is_huffman: bool,
}

impl<'a> Literal<'a> {
    /// Reads the literal whose flag is the bit above `length_bits` bits of length. Returns it with
    /// the number of bytes that it took.
    #[inline]
    pub(super) fn parse(length_bits: u32, bytes: &'a [u8]) -> Result<(Self, usize), LiteralError> {
        let header = LiteralHeader::parse(length_bits, bytes)?;
        let length = usize::try_from(header.length).map_err(|_| LiteralError::Truncated(header))?;
        let Some(string) = bytes[header.taken..].get(..length) else {
            return Err(LiteralError::Truncated(header));
        };
        let literal = Literal {
            bytes: string,
            is_huffman: header.is_huffman,
        };
        Ok((literal, header.taken + length))
    }

    /// Appends the string to `out`, unless it has more than `limit` bytes.
    #[inline]
    pub(super) fn decode(&self, limit: usize, out: &mut BytesMut) -> Result<(), HuffmanError> {
        if self.is_huffman {
            return huffman::decode(self.bytes, limit, out);
        }
        if self.bytes.len() > limit {
            return Err(HuffmanError::TooLong);
        }
        out.extend_from_slice(self.bytes);
        Ok(())
    }

    /// No string of these bytes decodes to fewer.
    pub(super) fn decoded_len_min(&self) -> u64 {
        decoded_len_min(self.is_huffman, self.bytes.len() as u64)
    }

    /// At least how much room [`Literal::decode`] needs, if it succeeds.
    pub(super) fn decoded_len_max(&self) -> usize {
        match self.is_huffman {
            true => huffman::decoded_len_max(self.bytes.len()),
            false => self.bytes.len(),
        }
    }
}

/// What stands before a string's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LiteralHeader {
    is_huffman: bool,
    length: u64,
    taken: usize,
}

impl LiteralHeader {
    #[inline]
    fn parse(length_bits: u32, bytes: &[u8]) -> Result<Self, IntegerError> {
        let (length, taken) = integer::decode(length_bits, bytes)?;
        Ok(LiteralHeader {
            is_huffman: bytes[0] & (1 << length_bits) != 0,
            length,
            taken,
        })
    }

    /// No string of the declared length decodes to fewer bytes.
    pub(super) fn decoded_len_min(&self) -> u64 {
        decoded_len_min(self.is_huffman, self.length)
    }
}

fn decoded_len_min(is_huffman: bool, length: u64) -> u64 {
    match is_huffman {
        // The longest code has thirty bits.
        true => length.saturating_mul(8).saturating_sub(7) / 30,
        false => length,
    }
}

/// Why no literal could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiteralError {
    /// The length is not yet complete, or larger than QPACK has.
    Length(IntegerError),
    /// The bytes end before the string does.
    Truncated(LiteralHeader),
}

impl From<IntegerError> for LiteralError {
    fn from(error: IntegerError) -> Self {
        LiteralError::Length(error)
    }
}

/// Writes `string`, with the Huffman code where that is shorter, behind `pattern` in the bits above
/// the flag.
pub(super) fn encode(length_bits: u32, pattern: u8, string: &[u8], out: &mut Vec<u8>) {
    let huffman_len = huffman::encoded_len(string);
    if huffman_len < string.len() {
        let flag = 1 << length_bits;
        integer::encode(length_bits, pattern + flag, huffman_len as u64, out);
        huffman::encode(string, huffman_len, out);
    } else {
        integer::encode(length_bits, pattern, string.len() as u64, out);
        out.extend_from_slice(string);
    }
}

#[cfg(test)]
mod tests {
    use super::{IntegerError, Literal, LiteralError, encode};
    use bytes::BytesMut;

    fn decoded(length_bits: u32, bytes: &[u8]) -> Vec<u8> {
        let (literal, taken) = Literal::parse(length_bits, bytes).unwrap();
        assert_eq!(taken, bytes.len());
        let mut out = BytesMut::new();
        literal.decode(usize::MAX, &mut out).unwrap();
        assert!(out.len() <= literal.decoded_len_max());
        out.to_vec()
    }

    #[test]
    fn strings_come_back_with_every_prefix_and_truncate_nowhere() {
        // RFC 9204 §4.1.2: prefixes of two to eight bits, of which one is the flag.
        for length_bits in 1..=7 {
            let pattern = if length_bits == 7 { 0 } else { 0x80 };
            for string in [&b""[..], b"a", b"custom-value", &[0xff; 5], &[b'e'; 300]] {
                let mut bytes = Vec::new();
                encode(length_bits, pattern, string, &mut bytes);
                assert_eq!(bytes[0] & !(0xff >> (7 - length_bits)), pattern);
                assert_eq!(decoded(length_bits, &bytes), string);
                for end in 0..bytes.len() {
                    let cut = Literal::parse(length_bits, &bytes[..end]);
                    assert!(matches!(
                        cut,
                        Err(LiteralError::Length(IntegerError::Truncated)
                            | LiteralError::Truncated(_))
                    ));
                }
            }
        }
    }

    #[test]
    fn the_huffman_code_is_used_only_where_it_is_shorter() {
        let mut bytes = Vec::new();
        encode(7, 0, b"eee", &mut bytes);
        assert_eq!(bytes[..], [0x82, 0x29, 0x4b]);
        bytes.clear();
        encode(7, 0, b"&", &mut bytes);
        assert_eq!(bytes[..], [1, b'&'], "as long in the code");
        bytes.clear();
        encode(7, 0, &[0xff], &mut bytes);
        assert_eq!(bytes[..], [1, 0xff]);
    }

    #[test]
    fn a_declared_length_bounds_what_the_string_can_become() {
        let min = |bytes: &[u8]| match Literal::parse(7, bytes) {
            Err(LiteralError::Truncated(header)) => header.decoded_len_min(),
            other => panic!("{other:?}"),
        };
        assert_eq!(min(&[100]), 100);
        // Seven bits may be padding, and thirty bits are one symbol.
        assert_eq!(min(&[0x80 | 100]), 793 / 30);
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
        assert!(min(&huge) > 1 << 50);
    }

    #[test]
    fn a_string_beyond_the_limit_is_refused_before_it_is_copied() {
        for bytes in [&[3, b'a', b'b', b'c'][..], &[0x82, 0x29, 0x4b]] {
            let (literal, _) = Literal::parse(7, bytes).unwrap();
            let mut out = BytesMut::new();
            assert!(literal.decode(2, &mut out).is_err());
            assert!(out.is_empty());
            assert!(literal.decode(3, &mut out).is_ok());
        }
    }
}
