//! Reserved values that are sent so that peers keep ignoring what they do not know.
//!
//! Invariant: every choice follows from the seed; no seed, no grease.

/// A small generator; nothing secret depends on it.
#[derive(Debug, Clone)]
pub(crate) struct Grease {
    state: Option<u64>,
}

impl Grease {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        // Zero would stay zero.
        Self {
            state: seed.map(|seed| seed | 1),
        }
    }

    /// A number for a reserved value, small enough for short encodings.
    pub(crate) fn next(&mut self) -> Option<u32> {
        self.draw().map(|number| (number >> 40) as u32 & 0xff_ffff)
    }

    /// A number in one of `n` cases.
    pub(crate) fn sometimes(&mut self, n: u64) -> Option<u32> {
        let drawn = self.draw()?;
        if (drawn >> 8).is_multiple_of(n) {
            self.next()
        } else {
            None
        }
    }

    fn draw(&mut self) -> Option<u64> {
        let mut state = self.state?;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.state = Some(state);
        Some(state.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_seed_there_is_no_grease() {
        let mut grease = Grease::new(None);
        assert_eq!((grease.next(), grease.sometimes(1)), (None, None));
    }

    #[test]
    fn the_same_seed_gives_the_same_grease_and_some_of_it() {
        let draw = |seed| {
            let mut grease = Grease::new(Some(seed));
            (0..100).map(|_| grease.sometimes(4)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let some = draw(7).iter().flatten().count();
        assert!((5..60).contains(&some), "{some} of 100");
    }
}
