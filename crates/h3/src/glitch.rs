//! Suspicious acts: each is allowed, a flood of them is not.
//!
//! Invariant: a peer gets `burst` acts at once and `per_second` on average, whatever time it is.

use std::time::Duration;

use crate::error::{Code, ConnectionError};
use crate::limits::Limits;

/// A token bucket: every suspicious act takes a token, time brings them back.
#[derive(Debug, Clone)]
pub(crate) struct Glitches {
    tokens: u32,
    burst: u32,
    per_second: u32,
    /// When tokens were last brought back.
    refilled: Duration,
}

impl Glitches {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            tokens: limits.glitch_burst,
            burst: limits.glitch_burst,
            per_second: limits.glitches_per_second,
            refilled: Duration::ZERO,
        }
    }

    /// Takes `count` tokens for acts at `now`.
    ///
    /// # Errors
    /// H3_EXCESSIVE_LOAD when too few are left.
    // RFC 9114 §10.5: traffic that wastes work may end the connection with this code.
    pub(crate) fn take(
        &mut self,
        now: Duration,
        count: u32,
        reason: &'static str,
    ) -> Result<(), ConnectionError> {
        if self.tokens < count {
            self.refill(now);
        }
        match self.tokens.checked_sub(count) {
            Some(left) => {
                self.tokens = left;
                Ok(())
            }
            None => Err(ConnectionError::local(Code::H3_EXCESSIVE_LOAD, reason)),
        }
    }

    fn refill(&mut self, now: Duration) {
        let earned =
            now.saturating_sub(self.refilled).as_millis() * u128::from(self.per_second) / 1000;
        if earned == 0 {
            return;
        }
        self.refilled = now;
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(earned).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(glitch_burst: u32, glitches_per_second: u32) -> Glitches {
        Glitches::new(&Limits {
            glitch_burst,
            glitches_per_second,
            ..Limits::default()
        })
    }

    #[test]
    fn a_burst_is_allowed_and_one_more_is_not() {
        let mut bucket = bucket(3, 1);
        for _ in 0..3 {
            bucket
                .take(Duration::ZERO, 1, "x")
                .expect("within the burst");
        }
        let error = bucket.take(Duration::ZERO, 1, "x").expect_err("one more");
        assert_eq!(error.code, Code::H3_EXCESSIVE_LOAD);
    }

    #[test]
    fn time_forgives_up_to_the_burst() {
        let mut bucket = bucket(3, 2);
        bucket.take(Duration::ZERO, 3, "x").expect("the burst");
        bucket
            .take(Duration::from_millis(499), 1, "x")
            .expect_err("too early");
        bucket
            .take(Duration::from_millis(500), 1, "x")
            .expect("one came back");
        bucket
            .take(Duration::from_secs(3600), 4, "x")
            .expect_err("never above the burst");
        bucket
            .take(Duration::from_secs(3600), 3, "x")
            .expect("the burst again");
    }

    #[test]
    fn time_that_goes_back_forgives_nothing() {
        let mut bucket = bucket(1, 1000);
        bucket
            .take(Duration::from_secs(9), 1, "x")
            .expect("the burst");
        bucket
            .take(Duration::from_secs(9), 1, "x")
            .expect("the first refill counts from zero");
        bucket
            .take(Duration::from_secs(1), 1, "x")
            .expect_err("the past brings nothing");
    }
}
