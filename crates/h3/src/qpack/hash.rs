//! Hashes of names and lines, for looking them up while encoding.
//!
//! Invariant: equal bytes have equal hashes, in constants too. Nothing relies on different bytes
//! having different ones: what collides is compared, or is at worst not compressed.

/// The hash of a field's name.
#[inline]
pub(super) const fn name_hash(name: &[u8]) -> u32 {
    finish(mix(name.len() as u64, name))
}

/// The hash of a line whose name has the hash `name_hash`.
#[inline]
pub(super) const fn line_hash(name_hash: u32, value: &[u8]) -> u32 {
    finish(mix(((name_hash as u64) << 32) + value.len() as u64, value))
}

#[inline]
const fn mix(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed.wrapping_mul(MULTIPLIER);
    // The last word overlaps the one before it, rather than that single bytes are left over.
    if let Some(last) = bytes.last_chunk::<8>() {
        let mut rest = bytes;
        while let Some((word, behind)) = rest.split_first_chunk::<8>() {
            if behind.is_empty() {
                break;
            }
            state = step(state, u64::from_le_bytes(*word));
            rest = behind;
        }
        return step(state, u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let high = (u32::from_le_bytes(*last) as u64) << 32;
        return step(state, high + u32::from_le_bytes(*first) as u64);
    }
    match *bytes {
        [a, b, c] => step(state, u32::from_le_bytes([a, b, c, 0]) as u64),
        [a, b] => step(state, u16::from_le_bytes([a, b]) as u64),
        [a] => step(state, a as u64),
        _ => step(state, 0),
    }
}

#[inline]
const fn step(state: u64, word: u64) -> u64 {
    (state.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER)
}

/// The high half has been reached by every bit.
#[inline]
const fn finish(state: u64) -> u32 {
    (state ^ (state >> 29))
        .wrapping_mul(MULTIPLIER)
        .wrapping_shr(32) as u32
}

/// An odd number without structure: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::{line_hash, name_hash};
    use std::collections::BTreeSet;

    #[test]
    fn every_byte_counts() {
        for length in 0..40 {
            let bytes = vec![b'a'; length];
            let mut hashes = BTreeSet::from([name_hash(&bytes)]);
            for place in 0..length {
                let mut other = bytes.clone();
                other[place] = b'b';
                assert!(hashes.insert(name_hash(&other)), "{length} {place}");
                assert_ne!(line_hash(1, &bytes), line_hash(1, &other));
            }
            assert_ne!(line_hash(1, &bytes), line_hash(2, &bytes));
        }
    }

    #[test]
    fn hashes_do_not_change_unnoticed() {
        // What they are is free, but whoever changes them has to look at how they spread.
        let names: [&[u8]; 6] = [b"", b"a", b"te", b"age", b"accept", b"x-forwarded-for"];
        let hashes = names.map(name_hash);
        assert_eq!(hashes, EXPECTED, "{hashes:#x?}");
        assert_eq!(
            line_hash(hashes[3], b"0"),
            LINE,
            "{:#x}",
            line_hash(hashes[3], b"0")
        );
    }

    const EXPECTED: [u32; 6] = [
        0x0,
        0x352b_2325,
        0x4282_3e7e,
        0x3bda_6648,
        0x922a_6858,
        0x90e2_cb46,
    ];
    const LINE: u32 = 0x87ac_1c31;

    #[test]
    fn low_bits_spread() {
        let slots: BTreeSet<u32> = (0..256u32)
            .map(|number| line_hash(7, number.to_string().as_bytes()) % 256)
            .collect();
        // A random function reaches 63 % of its values.
        assert!(slots.len() > 140, "{} of 256", slots.len());
    }
}
