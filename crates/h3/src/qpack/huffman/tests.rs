//! Tests of the Huffman code.
//!
//! Invariant: a bit-by-bit reader of the code's table says what the fast one has to say.

use super::codes::CODES;
use super::{HuffmanError, PAIR_BITS, PAIRS, decode, decoded_len_max, encode, encoded_len};
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::OnceLock;

fn encoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    encode(bytes, encoded_len(bytes), &mut out);
    assert_eq!(&out[..6], b"before");
    assert_eq!(out.len(), 6 + encoded_len(bytes));
    out[6..].to_vec()
}

fn decoded(bytes: &[u8], limit: usize) -> Result<Vec<u8>, HuffmanError> {
    let mut out = BytesMut::from(&b"before"[..]);
    let result = decode(bytes, limit, &mut out);
    assert_eq!(&out[..6], b"before");
    if result.is_err() {
        assert_eq!(out.len(), 6, "nothing of a failed string stays");
    }
    result.map(|()| out[6..].to_vec())
}

/// What RFC 7541 §5.2 says, one bit after the other.
fn decoded_slowly(bytes: &[u8]) -> Option<Vec<u8>> {
    static SYMBOLS: OnceLock<BTreeMap<(u32, u8), u8>> = OnceLock::new();
    let symbols = SYMBOLS.get_or_init(|| CODES.into_iter().zip(0..=u8::MAX).collect());
    let mut out = Vec::new();
    let (mut code, mut length) = (0u64, 0u8);
    for byte in bytes {
        for bit in (0..8).rev() {
            code = (code << 1) | u64::from(byte >> bit & 1);
            length += 1;
            if let Some(symbol) = symbols.get(&(code as u32, length)) {
                out.push(*symbol);
                (code, length) = (0, 0);
            } else if length == 30 {
                return None;
            }
        }
    }
    (length < 8 && code == (1 << length) - 1).then_some(out)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn the_code_is_canonical_and_complete() {
    let mut by_code: Vec<(u8, usize, u32)> = CODES
        .iter()
        .enumerate()
        .map(|(symbol, (code, length))| (*length, symbol, *code))
        .collect();
    by_code.sort_unstable();
    let (mut next, mut before) = (0u64, 0);
    for (length, symbol, code) in by_code {
        next <<= length - before;
        before = length;
        assert_eq!(u64::from(code), next, "symbol {symbol}");
        next += 1;
    }
    // The end-of-string symbol is the last code of thirty bits, and the only one left.
    assert_eq!(next, (1 << 30) - 1);
}

#[test]
fn a_look_gives_every_symbol_that_is_complete() {
    for (index, pair) in PAIRS.iter().enumerate() {
        let symbol_at = |bits: usize, left: u8| {
            CODES.iter().position(|(code, length)| {
                *length <= left && bits >> (left - length) == *code as usize
            })
        };
        let left = PAIR_BITS as u8;
        let first = symbol_at(index, left);
        let rest = first.map_or(0, |first| left - CODES[first].1);
        let second = symbol_at(index & ((1 << rest) - 1), rest);
        let symbols: Vec<usize> = first.into_iter().chain(second).collect();
        let bits: u8 = symbols.iter().map(|symbol| CODES[*symbol].1).sum();
        let word = symbols
            .iter()
            .rev()
            .fold(0, |word, symbol| word << 8 | symbol);
        assert_eq!(pair.bits, bits, "{index:012b}");
        assert_eq!(usize::from(pair.symbol_bits), 8 * symbols.len());
        assert_eq!(usize::from(pair.symbols), word);
    }
}

#[test]
fn examples_of_rfc_7541_are_read_and_written() {
    let examples: [(&str, &[u8]); 4] = [
        (
            "www.example.com",
            &[
                0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
            ],
        ),
        ("no-cache", &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]),
        (
            "custom-key",
            &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f],
        ),
        ("302", &[0x64, 0x02]),
    ];
    for (text, bytes) in examples {
        assert_eq!(encoded(text.as_bytes()), bytes);
        assert_eq!(decoded(bytes, 100).unwrap(), text.as_bytes());
    }
}

#[test]
fn every_byte_survives_in_every_place() {
    assert_eq!(encoded(b""), b"");
    assert_eq!(decoded(b"", 0).unwrap(), b"");
    for byte in 0..=u8::MAX {
        for length in 1..24 {
            for place in 0..length {
                let mut string = vec![b'e'; length];
                string[place] = byte;
                assert_eq!(decoded(&encoded(&string), length).unwrap(), string);
            }
        }
        let same = vec![byte; 40];
        assert_eq!(decoded(&encoded(&same), 40).unwrap(), same);
    }
}

#[test]
fn random_bits_are_read_as_a_slow_reader_reads_them() {
    for seed in 1..=2_000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let length = random.next() as usize % 40;
        // Ones are common in long codes and in padding.
        let ones = random.next() % 3;
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                let byte = random.next() as u8;
                if ones > 0 && random.next() % 2 < ones {
                    byte | 0xf8
                } else {
                    byte
                }
            })
            .collect();
        let expected = decoded_slowly(&bytes).ok_or(HuffmanError::Malformed);
        assert_eq!(decoded(&bytes, 1000), expected, "seed {seed}: {bytes:?}");
    }
}

#[test]
fn random_strings_come_back() {
    for seed in 1..=500u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let length = random.next() as usize % 200;
        let mask = [0x7f, 0xff, 0x6f][random.next() as usize % 3];
        let string: Vec<u8> = (0..length).map(|_| random.next() as u8 & mask).collect();
        let bytes = encoded(&string);
        assert_eq!(decoded(&bytes, length).unwrap(), string, "seed {seed}");
        assert_eq!(decoded_slowly(&bytes).unwrap(), string, "seed {seed}");
        if length > 0 {
            let short = decoded(&bytes, length - 1);
            assert_eq!(short, Err(HuffmanError::TooLong), "seed {seed}");
        }
    }
}

#[test]
fn padding_of_a_whole_byte_is_refused() {
    // "0" is 00000: the other three bits are padding.
    assert_eq!(decoded(&[0b0000_0111], 10).unwrap(), b"0");
    assert_eq!(
        decoded(&[0b0000_0111, 0xff], 10),
        Err(HuffmanError::Malformed)
    );
    assert_eq!(decoded(&[0xff], 10), Err(HuffmanError::Malformed));
    assert_eq!(decoded(&[0b0000_0110], 10), Err(HuffmanError::Malformed));
}

#[test]
fn the_end_of_string_symbol_is_refused() {
    assert_eq!(decoded(&[0xff; 4], 10), Err(HuffmanError::Malformed));
    assert_eq!(decoded(&[0xff; 40], 100), Err(HuffmanError::Malformed));
    let mut inside = encoded(b"aaaaaaaaaaaaaaaaaaaaaaaa");
    inside[4..8].fill(0xff);
    assert_eq!(decoded(&inside, 100), Err(HuffmanError::Malformed));
}

#[test]
fn a_long_string_stops_at_the_limit() {
    let zeros = vec![0; 1 << 20];
    let mut out = BytesMut::new();
    assert_eq!(decode(&zeros, 100, &mut out), Err(HuffmanError::TooLong));
    assert!(out.capacity() < 200, "memory follows the limit");
    assert_eq!(decoded_len_max(5), 8, "five bits a symbol");
}
