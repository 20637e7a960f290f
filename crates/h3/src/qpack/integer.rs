//! Integers that begin in the middle of a byte (RFC 9204 §4.1.1, RFC 7541 §5.1).
//!
//! Invariant: nothing above 62 bits is accepted, nor more bytes than 62 bits can need.

use bytes::BufMut;

/// The largest integer that QPACK has, the largest that QUIC has.
pub(crate) const MAX: u64 = (1 << 62) - 1;

/// Why no integer could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntegerError {
    /// It goes on behind the bytes that are there.
    Truncated,
    /// It has more than 62 bits, or more bytes than those need.
    TooLarge,
}

/// Reads the integer in the low `prefix_bits` of the first byte and what follows. Returns it with
/// the number of bytes that it took.
#[inline]
pub(super) fn decode(prefix_bits: u32, bytes: &[u8]) -> Result<(u64, usize), IntegerError> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Err(IntegerError::Truncated);
    };
    let prefix_max = (1u8 << (prefix_bits - 1)) + ((1u8 << (prefix_bits - 1)) - 1);
    let prefix = first & prefix_max;
    if prefix < prefix_max {
        return Ok((u64::from(prefix), 1));
    }
    decode_continued(u64::from(prefix_max), rest)
}

fn decode_continued(prefix: u64, bytes: &[u8]) -> Result<(u64, usize), IntegerError> {
    let mut value = 0;
    for (position, &byte) in bytes.iter().take(CONTINUATION_BYTES_MAX).enumerate() {
        // Nine groups of seven bits are 63 bits, which neither overflow here nor in the sum.
        value |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            let value = value + prefix;
            return match value <= MAX {
                true => Ok((value, position + 2)),
                false => Err(IntegerError::TooLarge),
            };
        }
    }
    match bytes.len() < CONTINUATION_BYTES_MAX {
        true => Err(IntegerError::Truncated),
        // RFC 9204 §7.4: the length of an encoded integer has a limit as well, so that padding
        // with zeros is not accepted without end.
        false => Err(IntegerError::TooLarge),
    }
}

/// Writes `value` into the low `prefix_bits` of a byte whose other bits are `pattern`, and behind
/// it.
#[inline]
pub(super) fn encode(prefix_bits: u32, pattern: u8, value: u64, out: &mut impl BufMut) {
    debug_assert!(value <= MAX, "QPACK has no integers above 62 bits");
    let prefix_max = (1u64 << prefix_bits) - 1;
    if value < prefix_max {
        out.put_u8(pattern + value as u8);
        return;
    }
    out.put_u8(pattern + prefix_max as u8);
    let mut rest = value - prefix_max;
    while rest >= 0x80 {
        out.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// How many bytes [`encode`] writes at most.
pub(super) const ENCODED_LEN_MAX: usize = 1 + CONTINUATION_BYTES_MAX;

/// Sixty-two bits in groups of seven.
const CONTINUATION_BYTES_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::{IntegerError, MAX, decode, encode};
    use bytes::BytesMut;

    fn encoded(prefix_bits: u32, pattern: u8, value: u64) -> Vec<u8> {
        let mut out = BytesMut::new();
        encode(prefix_bits, pattern, value, &mut out);
        out.to_vec()
    }

    #[test]
    fn examples_of_rfc_7541_are_read_and_written() {
        let examples: [(u32, u64, &[u8]); 3] =
            [(5, 10, &[10]), (5, 1337, &[31, 154, 10]), (8, 42, &[42])];
        for (prefix_bits, value, bytes) in examples {
            assert_eq!(encoded(prefix_bits, 0, value), bytes);
            assert_eq!(decode(prefix_bits, bytes), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn every_prefix_carries_every_magnitude() {
        for prefix_bits in 3..=8 {
            let pattern = if prefix_bits == 8 {
                0
            } else {
                1 << prefix_bits
            };
            let edges = (0..62).flat_map(|bit| {
                let power = 1u64 << bit;
                let prefix_max = (1 << prefix_bits) - 1;
                [
                    power - 1,
                    power,
                    power + 1,
                    (power - 1 + prefix_max).min(MAX),
                ]
            });
            for value in edges.chain([MAX - 1, MAX]) {
                let bytes = encoded(prefix_bits, pattern, value);
                assert_eq!(decode(prefix_bits, &bytes), Ok((value, bytes.len())));
                assert_eq!(bytes[0] & !(((1u16 << prefix_bits) - 1) as u8), pattern);
                for end in 0..bytes.len() {
                    let cut = decode(prefix_bits, &bytes[..end]);
                    assert_eq!(cut, Err(IntegerError::Truncated), "{value} at {end}");
                }
            }
        }
    }

    #[test]
    fn what_follows_an_integer_is_not_read() {
        assert_eq!(decode(5, &[10, 0xff]), Ok((10, 1)));
        assert_eq!(decode(5, &[31, 154, 10, 0xff]), Ok((1337, 3)));
    }

    #[test]
    fn more_than_62_bits_are_refused() {
        // 2^62 - 1 in an 8-bit prefix is 255 and 2^62 - 256 behind it; one more is too large.
        let mut bytes = encoded(8, 0, MAX);
        assert_eq!(decode(8, &bytes), Ok((MAX, 10)));
        assert_eq!(MAX, 4_611_686_018_427_387_903);
        bytes[1] += 1;
        assert_eq!(decode(8, &bytes), Err(IntegerError::TooLarge));
        let all_ones = [0xff; 10];
        assert_eq!(decode(8, &all_ones), Err(IntegerError::TooLarge));
        let mut largest_of_nine_groups = [0xff; 10];
        largest_of_nine_groups[9] = 0x7f;
        assert_eq!(
            decode(8, &largest_of_nine_groups),
            Err(IntegerError::TooLarge)
        );
    }

    #[test]
    fn zeros_without_end_are_refused() {
        let mut padded = [0x80; 10];
        padded[0] = 0x1f;
        padded[9] = 0;
        assert_eq!(decode(5, &padded), Ok((31, 10)));
        padded[9] = 0x80;
        assert_eq!(decode(5, &padded), Err(IntegerError::TooLarge));
        assert_eq!(decode(5, &padded[..9]), Err(IntegerError::Truncated));
    }
}
