//! Strings in the static Huffman code (RFC 9204 §4.1.2, RFC 7541 §5.2).
//!
//! Invariant: decoding never writes more than the limit that it is given, and each string has
//! exactly one encoding: no end-of-string symbol, fewer than eight bits of padding, all ones.

mod codes;

use bytes::BytesMut;
use codes::CODES;

/// Why a string could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HuffmanError {
    /// The bits are no code.
    Malformed,
    /// The string is longer than the limit.
    TooLong,
}

/// How many bytes [`encode`] writes.
pub(super) fn encoded_len(bytes: &[u8]) -> usize {
    let bits: usize = bytes
        .iter()
        .map(|&byte| usize::from(LENGTHS[usize::from(byte)]))
        .sum();
    bits.div_ceil(8)
}

/// Writes `bytes` encoded; `encoded_len` is what [`encoded_len`] said of them.
pub(super) fn encode(bytes: &[u8], encoded_len: usize, out: &mut Vec<u8>) {
    let start = out.len();
    // Four bytes are stored at a time, of which the last may go beyond the string.
    out.resize(start + encoded_len + 4, 0);
    let target = &mut out[start..];
    let mut at = 0;
    // The newest `held` bits of `bits` are not yet written; more than 32 never stay.
    let (mut bits, mut held) = (0u64, 0u32);
    for &byte in bytes {
        let (code, length) = CODES[usize::from(byte)];
        bits = (bits << length) + u64::from(code);
        held += u32::from(length);
        if held >= 32 {
            held -= 32;
            target[at..at + 4].copy_from_slice(&((bits >> held) as u32).to_be_bytes());
            at += 4;
        }
    }
    // RFC 7541 §5.2: the rest of the last byte is the beginning of the end-of-string symbol,
    // which is all ones.
    let last = ((bits << 32) + u64::from(u32::MAX)) >> held;
    target[at..at + 4].copy_from_slice(&(last as u32).to_be_bytes());
    out.truncate(start + encoded_len);
}

/// To how many bytes a string of `encoded_len` bytes decodes at most.
pub(super) fn decoded_len_max(encoded_len: usize) -> usize {
    // The shortest code has five bits.
    encoded_len.saturating_mul(8) / 5
}

/// Decodes `encoded` behind what is in `out`, at most `limit` bytes.
pub(super) fn decode(encoded: &[u8], limit: usize, out: &mut BytesMut) -> Result<(), HuffmanError> {
    let start = out.len();
    let longest = decoded_len_max(encoded.len()).min(limit);
    // A group is stored at a time, of which the last symbols may not count.
    out.resize(start + longest + GROUP_SYMBOLS, 0);
    let decoded = decode_into(encoded, &mut out[start..], longest);
    out.truncate(start + decoded.unwrap_or(0));
    decoded.map(|_| ())
}

/// Decodes into `target`, which has room for `longest` symbols and [`GROUP_SYMBOLS`] more. Returns
/// how many there are.
fn decode_into(encoded: &[u8], target: &mut [u8], longest: usize) -> Result<usize, HuffmanError> {
    let mut rest = encoded;
    let mut at = 0;
    // The `held` most significant bits of `bits` are not yet decoded; the others are zero, or
    // what the next refill puts there anyway.
    let (mut bits, mut held) = (0u64, 0u32);
    while let Some(next) = rest.first_chunk::<8>()
        && at <= longest
    {
        bits |= u64::from_be_bytes(*next) >> held;
        rest = &rest[((63 - held) / 8) as usize..];
        held |= 56;
        // That is enough for a group of looks without asking again.
        let (mut symbols, mut symbol_bits) = (0u64, 0u32);
        let mut is_long = false;
        for _ in 0..GROUP_LOOKS {
            let pair = PAIRS[(bits >> (64 - PAIR_BITS)) as usize];
            is_long = pair.symbol_bits == 0;
            if is_long {
                break;
            }
            symbols |= u64::from(pair.symbols) << symbol_bits;
            symbol_bits += u32::from(pair.symbol_bits);
            bits <<= pair.bits;
            held -= u32::from(pair.bits);
        }
        target[at..at + GROUP_SYMBOLS].copy_from_slice(&symbols.to_le_bytes());
        at += symbol_bits as usize / 8;
        // The longest code has thirty bits; with fewer at hand it comes first after a refill.
        if is_long && held >= 30 {
            let (symbol, length) = long_symbol(bits).ok_or(HuffmanError::Malformed)?;
            target[at] = symbol;
            at += 1;
            bits <<= length;
            held -= length;
        }
    }
    decode_tail(rest, bits & !(u64::MAX >> held), held, target, at, longest)
}

/// Decodes the last bytes, symbol by symbol, and checks the padding.
fn decode_tail(
    rest: &[u8],
    mut bits: u64,
    mut held: u32,
    target: &mut [u8],
    mut at: usize,
    longest: usize,
) -> Result<usize, HuffmanError> {
    let mut rest = rest.iter();
    if at > longest {
        return Err(HuffmanError::TooLong);
    }
    loop {
        while held <= 56 {
            let Some(&byte) = rest.next() else { break };
            bits |= u64::from(byte) << (56 - held);
            held += 8;
        }
        // Ones behind the end make the padding part of the end-of-string symbol.
        let padded = bits + u64::MAX.checked_shr(held).unwrap_or(0);
        let pair = PAIRS[(padded >> (64 - PAIR_BITS)) as usize];
        let first = pair.symbols as u8;
        let found = match pair.symbol_bits {
            0 => long_symbol(padded),
            _ => Some((first, u32::from(LENGTHS[usize::from(first)]))),
        };
        match found {
            Some((symbol, length)) if length <= held => {
                if at >= longest {
                    return Err(HuffmanError::TooLong);
                }
                target[at] = symbol;
                at += 1;
                bits <<= length;
                held -= length;
            }
            // RFC 7541 §5.2: padding of eight bits or more, padding with other bits than ones,
            // and the end-of-string symbol itself are errors.
            _ if held < 8 && padded == u64::MAX => return Ok(at),
            _ => return Err(HuffmanError::Malformed),
        }
    }
}

/// The symbol at the top of `bits` when its code is longer than what [`PAIRS`] covers, with its
/// length. None for the end-of-string symbol.
#[cold]
fn long_symbol(bits: u64) -> Option<(u8, u32)> {
    let top = (bits >> 32) as u32;
    let group = GROUPS.iter().find(|group| top <= group.last)?;
    let position = (top - group.first) >> (32 - group.length);
    let symbol = SYMBOLS[usize::from(group.offset) + position as usize];
    Some((symbol, group.length))
}

/// What the next [`PAIR_BITS`] bits begin with: one symbol or two, or none that is complete.
#[derive(Clone, Copy)]
struct Pair {
    /// The first in the low byte, the second above it.
    symbols: u16,
    /// Eight for each symbol.
    symbol_bits: u8,
    /// How many bits their codes take.
    bits: u8,
}

/// Codes of one length: they follow each other, aligned to 32 bits here.
#[derive(Clone, Copy)]
struct Group {
    /// The first code, with zeros behind it.
    first: u32,
    /// The last code, with ones behind it.
    last: u32,
    length: u32,
    /// Where its symbols begin in [`SYMBOLS`].
    offset: u16,
}

/// How many bits one look into [`PAIRS`] takes: two symbols of six bits, as most are.
const PAIR_BITS: u32 = 12;

/// How many looks the 56 bits of a refill are enough for, and how many symbols they give at most.
const GROUP_LOOKS: usize = 4;
const GROUP_SYMBOLS: usize = 2 * GROUP_LOOKS;

const GROUP_COUNT: usize = 21;

static PAIRS: [Pair; 1 << PAIR_BITS] = pairs();

static LENGTHS: [u8; 256] = {
    let mut lengths = [0; 256];
    let mut symbol = 0;
    while symbol < 256 {
        lengths[symbol] = CODES[symbol].1;
        symbol += 1;
    }
    lengths
};

const TABLES: ([u8; 256], [Group; GROUP_COUNT]) = symbols_by_code();
static SYMBOLS: [u8; 256] = TABLES.0;
static GROUPS: [Group; GROUP_COUNT] = TABLES.1;

const fn symbols_by_code() -> ([u8; 256], [Group; GROUP_COUNT]) {
    let none = Group {
        first: 0,
        last: 0,
        length: 0,
        offset: 0,
    };
    let mut symbols = [0; 256];
    let mut groups = [none; GROUP_COUNT];
    let (mut placed, mut group) = (0, 0);
    let mut length = 5;
    while length <= 30 {
        let offset = placed;
        let mut symbol = 0;
        while symbol < 256 {
            let (code, code_length) = CODES[symbol];
            if code_length as u32 == length {
                if placed == offset {
                    groups[group].first = code << (32 - length);
                }
                groups[group].last = (code << (32 - length)) + (u32::MAX >> length);
                symbols[placed] = symbol as u8;
                placed += 1;
            }
            symbol += 1;
        }
        if placed > offset {
            groups[group].length = length;
            groups[group].offset = offset as u16;
            group += 1;
        }
        length += 1;
    }
    (symbols, groups)
}

const fn pairs() -> [Pair; 1 << PAIR_BITS] {
    let none = Pair {
        symbols: 0,
        symbol_bits: 0,
        bits: 0,
    };
    let mut pairs = [none; 1 << PAIR_BITS];
    let mut index = 0;
    while index < pairs.len() {
        let bits = (index as u32) << (32 - PAIR_BITS);
        if let Some((first, length)) = short_symbol(bits, PAIR_BITS) {
            pairs[index] = match short_symbol(bits << length, PAIR_BITS - length) {
                Some((second, more)) => Pair {
                    symbols: u16::from_le_bytes([first, second]),
                    symbol_bits: 16,
                    bits: (length + more) as u8,
                },
                None => Pair {
                    symbols: first as u16,
                    symbol_bits: 8,
                    bits: length as u8,
                },
            };
        }
        index += 1;
    }
    pairs
}

/// The symbol at the top of `bits`, if its code has at most `longest` bits.
const fn short_symbol(bits: u32, longest: u32) -> Option<(u8, u32)> {
    let mut group = 0;
    while group < GROUP_COUNT && TABLES.1[group].length <= longest {
        let Group {
            first,
            last,
            length,
            offset,
        } = TABLES.1[group];
        if bits <= last {
            let position = (bits - first) >> (32 - length);
            return Some((TABLES.0[offset as usize + position as usize], length));
        }
        group += 1;
    }
    None
}

#[cfg(test)]
mod tests;
