//! Which transfers are tried again, and when.
//!
//! Invariant: whatever a server asks for, the number of tries, each wait and their sum are bounded
//! by what the arguments and this file say.

use crate::arguments::GetTransfer;
use portway_http::client::{Error, ErrorClass, Response};
use std::time::Duration;

/// The tries that are left.
pub(super) struct Tries {
    pub(super) left: u32,
    pause: Duration,
    /// For all tries together.
    limit: Option<Duration>,
}

impl Tries {
    pub(super) fn new(arguments: &GetTransfer) -> Self {
        Tries {
            left: arguments.retry,
            pause: PAUSE_FIRST,
            limit: arguments.retry_max_time,
        }
    }

    /// How long to wait before the next one, so long after the first one began, if the server asks
    /// for that wait; None where there is to be none.
    pub(super) fn next(&mut self, elapsed: Duration, asked: Option<Duration>) -> Option<Duration> {
        let wait = asked.unwrap_or(self.pause).min(PAUSE_MAX);
        let is_late = |limit: Duration| elapsed.saturating_add(wait) > limit;
        if self.left == 0 || self.limit.is_some_and(is_late) {
            return None;
        }
        self.left -= 1;
        self.pause = self.pause.saturating_mul(2).min(PAUSE_MAX);
        Some(wait)
    }
}

/// Whether curl would try again, and for how long the server asks to wait.
pub(super) fn is_passing(answered: &Result<Response, Error>) -> Option<Option<Duration>> {
    match answered {
        Ok(response) => {
            let is_passing = [408, 429, 500, 502, 503, 504].contains(&response.status().as_u16());
            is_passing.then(|| response.head().retry_after())
        }
        Err(error) => matches!(error.class(), ErrorClass::TimedOut(_)).then_some(None),
    }
}

const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// As long as curl waits at most.
const PAUSE_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(left: u32, limit: Option<u64>) -> Tries {
        Tries {
            left,
            pause: PAUSE_FIRST,
            limit: limit.map(Duration::from_secs),
        }
    }

    #[test]
    fn pauses_double_up_to_ten_minutes_and_end_with_the_tries() {
        let mut tries = tries(100, None);
        let waits = std::iter::from_fn(|| tries.next(Duration::ZERO, None));
        let waits: Vec<_> = waits.map(|wait| wait.as_secs()).collect();
        assert_eq!(waits[..11], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
        assert_eq!((waits.len(), waits[99]), (100, 600));
    }

    #[test]
    fn a_server_cannot_ask_for_more_than_ten_minutes() {
        let mut tries = tries(2, None);
        for (asked, waited) in [(3, 3), (u64::MAX, 600)] {
            let wait = tries.next(Duration::ZERO, Some(Duration::from_secs(asked)));
            assert_eq!(wait, Some(Duration::from_secs(waited)));
        }
    }

    #[test]
    fn a_wait_beyond_the_time_for_all_tries_is_not_begun() {
        let mut tries = tries(9, Some(10));
        let second = Duration::from_secs(1);
        assert_eq!(tries.next(9 * second, None), Some(second));
        assert_eq!(
            tries.next(9 * second, None),
            None,
            "it would be two seconds"
        );
        assert_eq!(tries.next(9 * second, Some(second)), Some(second));
        assert_eq!(tries.next(11 * second, Some(Duration::ZERO)), None);
    }
}
