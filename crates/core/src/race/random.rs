//! The race's only source of random choices: a seeded generator, so that replays agree.

/// SplitMix64: small, seedable and good enough to spread load.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from zero to `max`, both included.
    pub(super) fn up_to(&mut self, max: u64) -> u64 {
        self.next() % max.saturating_add(1)
    }

    /// A permutation drawn uniformly (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.up_to(last as u64) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn one_seed_gives_one_sequence() {
        let mut random = Random::new(1234567);
        // The reference values of SplitMix64 for this seed.
        assert_eq!(random.next(), 6457827717110365317);
        assert_eq!(random.next(), 3203168211198807973);
        assert_eq!(random.next(), 9817491932198370423);
    }

    #[test]
    fn draws_reach_both_bounds_and_no_further() {
        let mut random = Random::new(7);
        let draws: Vec<u64> = (0..200).map(|_| random.up_to(2)).collect();
        assert!(draws.iter().all(|draw| *draw <= 2));
        assert!((0..=2).all(|value| draws.contains(&value)));
        assert_eq!(random.up_to(0), 0);
    }

    #[test]
    fn shuffling_reaches_every_permutation() {
        let mut random = Random::new(3);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut items = [1, 2, 3];
            random.shuffle(&mut items);
            seen.insert(items);
        }
        assert_eq!(seen.len(), 6);
    }
}
