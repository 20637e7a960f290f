//! QUIC's variable-length integers (RFC 9000 §16), which HTTP/3 uses for every number on the wire.
//!
//! Invariant: a value is at most [`MAX`]; reading never looks past the bytes it was given and
//! accepts every length that can hold the value, because only frame types of QUIC must be minimal.

use bytes::{Buf, BufMut, Bytes};

/// The largest value that a variable-length integer holds, 2^62-1.
pub const MAX: u64 = (1 << 62) - 1;

/// The longest encoding in bytes.
pub const LEN_MAX: usize = 8;

/// How many bytes the shortest encoding of `value` has.
pub const fn encoded_len(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Writes `value` in its shortest encoding.
///
/// # Panics
/// When `value` is above [`MAX`]; callers check what comes from an application.
pub fn encode(value: u64, out: &mut impl BufMut) {
    match encoded_len(value) {
        1 => out.put_u8(value as u8),
        2 => out.put_u16(value as u16 | 0x4000),
        4 => out.put_u32(value as u32 | 0x8000_0000),
        _ => {
            assert!(value <= MAX, "a variable-length integer holds 62 bits");
            out.put_u64(value | 0xc000_0000_0000_0000);
        }
    }
}

/// Reads one integer from the start of `bytes`: its value and its length, or `None` when bytes are
/// missing.
#[inline]
pub fn decode(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    // Types, and the lengths of small frames.
    if first >> 6 == 0 {
        return Some((u64::from(first), 1));
    }
    let len = 1usize << (first >> 6);
    let rest = bytes.get(1..len)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| {
        value << 8 | u64::from(*byte)
    });
    Some((value, len))
}

/// Takes one integer from the front of `bytes`; `None` leaves `bytes` as they were.
pub fn take(bytes: &mut Bytes) -> Option<u64> {
    let (value, len) = decode(bytes)?;
    bytes.advance(len);
    Some(value)
}

/// Reads an integer that may arrive in pieces.
///
/// ```text
/// empty ──first byte──▶ partial ──last byte──▶ (value) ──▶ empty
/// ```
#[derive(Debug, Clone, Default)]
pub struct Reader {
    partial: [u8; LEN_MAX],
    len: u8,
}

impl Reader {
    /// Consumes what belongs to the integer; `None` when more is needed, and then `bytes` is empty.
    #[inline]
    pub fn read(&mut self, bytes: &mut Bytes) -> Option<u64> {
        if self.len == 0
            && let Some((value, len)) = decode(bytes)
        {
            bytes.advance(len);
            return Some(value);
        }
        self.read_slowly(bytes)
    }

    fn read_slowly(&mut self, bytes: &mut Bytes) -> Option<u64> {
        while !bytes.is_empty() {
            self.partial[usize::from(self.len)] = bytes.get_u8();
            self.len += 1;
            if let Some((value, _)) = decode(&self.partial[..usize::from(self.len)]) {
                self.len = 0;
                return Some(value);
            }
        }
        None
    }

    /// Whether no byte of an integer was read.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Whether `value` is one of the values that every registry of HTTP/3 reserves for exercising the
/// rule that unknown ones are ignored: 0x1f * N + 0x21.
// RFC 9114 §6.2.3, §7.2.4.1, §7.2.8, §8.1: the same formula for streams, settings, frames, errors.
pub const fn is_reserved(value: u64) -> bool {
    value >= 0x21 && (value - 0x21).is_multiple_of(0x1f)
}

/// The reserved value number `n`, kept within what a varint holds.
pub const fn reserved(n: u32) -> u64 {
    0x1f * n as u64 + 0x21
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [u64; 9] = [
        0,
        0x3f,
        0x40,
        0x3fff,
        0x4000,
        0x3fff_ffff,
        0x4000_0000,
        MAX - 1,
        MAX,
    ];

    #[test]
    fn every_length_round_trips() {
        for value in EDGES {
            let mut wire = Vec::new();
            encode(value, &mut wire);
            assert_eq!(wire.len(), encoded_len(value));
            assert_eq!(decode(&wire), Some((value, wire.len())));
        }
    }

    #[test]
    fn a_truncated_integer_is_not_read() {
        for value in EDGES {
            let mut wire = Vec::new();
            encode(value, &mut wire);
            for cut in 0..wire.len() {
                assert_eq!(decode(&wire[..cut]), None);
            }
        }
    }

    #[test]
    fn a_longer_encoding_than_needed_is_read() {
        assert_eq!(decode(&[0x40, 0x25]), Some((0x25, 2)));
        assert_eq!(decode(&[0xc0, 0, 0, 0, 0, 0, 0, 1]), Some((1, 8)));
    }

    #[test]
    fn the_reader_takes_bytes_one_at_a_time() {
        for value in EDGES {
            let mut wire = Vec::new();
            encode(value, &mut wire);
            let mut reader = Reader::default();
            let mut read = None;
            for (at, byte) in wire.iter().enumerate() {
                assert!(read.is_none(), "the value came before its last byte");
                read = reader.read(&mut Bytes::copy_from_slice(&[*byte]));
                assert_eq!(reader.is_empty(), at + 1 == wire.len());
            }
            assert_eq!(read, Some(value));
        }
    }

    #[test]
    fn the_reader_leaves_what_follows() {
        let mut bytes = Bytes::from_static(&[0x40, 0x25, 7]);
        assert_eq!(Reader::default().read(&mut bytes), Some(0x25));
        assert_eq!(&bytes[..], &[7]);
        assert_eq!(take(&mut bytes), Some(7));
        assert_eq!(take(&mut bytes), None);
    }

    #[test]
    fn reserved_values_follow_the_formula() {
        for n in [0, 1, 2, 1000, u32::MAX] {
            assert!(is_reserved(reserved(n)));
            assert!(!is_reserved(reserved(n) + 1));
            assert!(reserved(n) <= MAX);
        }
        assert!(!is_reserved(0x20));
        assert!(!is_reserved(0x02));
    }

    #[test]
    #[should_panic(expected = "62 bits")]
    fn a_value_beyond_62_bits_is_a_bug_of_the_caller() {
        encode(MAX + 1, &mut Vec::new());
    }
}
