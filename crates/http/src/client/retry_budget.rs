//! How many requests are sent again, over all requests of a client.
//!
//! Invariant: among any n requests that follow each other, at most `reserve + share * n` are sent
//! again, whatever the peers do.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests a client sends again at most, so that a server in trouble is not made to
/// carry a multiple of its load.
///
/// Requests of which not a byte was sent do not count.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// So large a part of all requests may be sent again, from 0 to 1.
    pub share: f64,
    /// So many may be sent again at once, such as after the end of a connection that carried many.
    pub reserve: u32,
}

impl Default for RetryBudget {
    /// A fifth of all requests, and 500 at once.
    fn default() -> Self {
        RetryBudget {
            share: 0.2,
            reserve: 500,
        }
    }
}

impl RetryBudget {
    /// With this share and reserve.
    pub fn new(share: f64, reserve: u32) -> Self {
        RetryBudget { share, reserve }
    }
}

/// What is left of a budget, in thousandths of a retry.
#[derive(Debug)]
pub(super) struct Balance {
    left: AtomicU64,
    deposit: u64,
    max: u64,
}

impl Balance {
    pub(super) fn new(budget: RetryBudget) -> Self {
        let max = u64::from(budget.reserve) * RETRY;
        Balance {
            left: AtomicU64::new(max),
            // What is no number is no share either.
            deposit: (budget.share.clamp(0.0, 1.0) * RETRY as f64) as u64,
            max: max.max(RETRY),
        }
    }

    /// A request is sent for the first time.
    pub(super) fn on_request(&self) {
        let add = |left: u64| (left < self.max).then(|| (left + self.deposit).min(self.max));
        // Nothing is changed where it is full already.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Whether one may be sent again, which is then taken off.
    pub(super) fn withdraw(&self) -> bool {
        let take = |left: u64| left.checked_sub(RETRY);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

const RETRY: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_a_share_is_sent_again_beyond_the_reserve() {
        for (share, reserve) in [(0.2, 10), (0.0, 3), (0.5, 0), (1.0, 1), (f64::NAN, 2)] {
            let balance = Balance::new(RetryBudget::new(share, reserve));
            let mut again = 0;
            for _ in 0..1000 {
                balance.on_request();
                again += u32::from(balance.withdraw());
                again += u32::from(balance.withdraw());
            }
            let share = if share.is_nan() { 0.0 } else { share };
            let bound = f64::from(reserve) + share * 1000.0;
            let again = f64::from(again);
            assert!(again <= bound, "{again} of {bound}");
            assert!(
                again >= bound - 1.5,
                "what is allowed is used: {again} of {bound}"
            );
        }
    }

    #[test]
    fn what_is_saved_is_bounded() {
        let balance = Balance::new(RetryBudget::new(1.0, 5));
        (0..1000).for_each(|_| balance.on_request());
        assert_eq!((0..1000).filter(|_| balance.withdraw()).count(), 5);
    }
}
