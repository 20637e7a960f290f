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
    now: Duration,
    /// When tokens were last brought back.
    refilled: Duration,
}

impl Glitches {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            tokens: limits.glitch_burst,
            burst: limits.glitch_burst,
            per_second: limits.glitches_per_second,
            now: Duration::ZERO,
            refilled: Duration::ZERO,
        }
    }

    /// Tells the time, which never goes back.
    pub(crate) fn set_time(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// The time that was told last.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Takes `count` tokens.
    ///
    /// # Errors
    /// H3_EXCESSIVE_LOAD when too few are left.
    // RFC 9114 §10.5: traffic that wastes work may end the connection with this code.
    pub(crate) fn take(&mut self, count: u32, reason: &'static str) -> Result<(), ConnectionError> {
        if self.tokens < count {
            self.refill();
        }
        match self.tokens.checked_sub(count) {
            Some(left) => {
                self.tokens = left;
                Ok(())
            }
            None => Err(ConnectionError::local(Code::H3_EXCESSIVE_LOAD, reason)),
        }
    }

    fn refill(&mut self) {
        let now = self.now;
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
            bucket.take(1, "x").expect("within the burst");
        }
        let error = bucket.take(1, "x").expect_err("one more");
        assert_eq!(error.code, Code::H3_EXCESSIVE_LOAD);
    }

    #[test]
    fn time_forgives_up_to_the_burst() {
        let mut bucket = bucket(3, 2);
        bucket.take(3, "x").expect("the burst");
        bucket.set_time(Duration::from_millis(499));
        bucket.take(1, "x").expect_err("too early");
        bucket.set_time(Duration::from_millis(500));
        bucket.take(1, "x").expect("one came back");
        bucket.set_time(Duration::from_secs(3600));
        bucket.take(4, "x").expect_err("never above the burst");
        bucket.take(3, "x").expect("the burst again");
    }

    #[test]
    fn time_that_goes_back_forgives_nothing() {
        let mut bucket = bucket(1, 1000);
        bucket.set_time(Duration::from_secs(9));
        bucket.take(1, "x").expect("the burst");
        bucket
            .take(1, "x")
            .expect("the first refill counts from zero");
        bucket.set_time(Duration::from_secs(1));
        bucket.take(1, "x").expect_err("the past brings nothing");
    }
}
