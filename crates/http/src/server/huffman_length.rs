//! How long a string is that came in the code of Huffman (RFC 7541 Appendix B).
//!
//! Invariant: symbols are counted and never told, so that their number is all that is kept.

/// Counts symbols in pieces of a string.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HuffmanLength {
    code: u32,
    bits: usize,
    symbols: usize,
}

impl HuffmanLength {
    /// Takes a piece.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            for place in (0..8).rev() {
                self.code = self.code << 1 | u32::from(byte >> place & 1);
                self.bits += 1;
                // The codes of a length are consecutive numbers.
                let (first, count) = CODES[self.bits.min(LONGEST)];
                if self.bits >= LONGEST || self.code.wrapping_sub(first) < count {
                    self.symbols += 1;
                    (self.code, self.bits) = (0, 0);
                }
            }
        }
    }

    /// Symbols so far; what follows the last one is padding.
    pub(super) fn decoded(&self) -> usize {
        self.symbols
    }
}

/// Codes by their length in bits: the first one, and how many there are.
const CODES: [(u32, u32); LONGEST + 1] = codes();

const LONGEST: usize = 30;

/// How many codes there are of each length, the end of strings among them.
const COUNTS: [u32; LONGEST + 1] = [
    0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19,
    29, 0, 4,
];

const fn codes() -> [(u32, u32); LONGEST + 1] {
    let mut codes = [(0, 0); LONGEST + 1];
    let (mut next, mut bits) = (0, 0);
    while bits <= LONGEST {
        codes[bits] = (next, COUNTS[bits]);
        next = (next + COUNTS[bits]) << 1;
        bits += 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> usize {
        let mut length = HuffmanLength::default();
        for byte in bytes {
            length.read(&[*byte]);
        }
        length.decoded()
    }

    #[test]
    fn the_code_is_complete() {
        assert_eq!(COUNTS.iter().sum::<u32>(), 257);
        let (first, count) = CODES[LONGEST];
        assert_eq!(first + count, 1 << LONGEST);
    }

    #[test]
    fn examples_of_the_specification_have_their_lengths() {
        // RFC 7541 §C.4 and §C.6.
        let rows: [(&[u8], usize); 4] = [
            (
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ],
                15,
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], 8),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], 10),
            (&[0x64, 0x02], 3),
        ];
        for (bytes, length) in rows {
            assert_eq!(decoded(bytes), length, "{bytes:x?}");
        }
        // Symbols of the longest codes: 10, 13 and 22, which are 30 bits each.
        let three = [
            0xff, 0xff, 0xff, 0xf3, 0xff, 0xff, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xbf,
        ];
        assert_eq!(decoded(&three), 3);
    }
}
