//! Which of the threads that share a port gets a connection.
//!
//! Invariant: a thread that is given much more than its part lets chance decide from then on.

use portway_transport::environment::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What one of the threads knows of what it is given, and the others are.
pub(super) struct Steering {
    /// What all threads have accepted.
    all: Arc<AtomicU64>,
    threads: u64,
    /// What this one has accepted since it looked last, and what all had accepted then.
    own: AtomicU64,
    all_before: AtomicU64,
    is_by_chance: AtomicBool,
}

impl Steering {
    /// For one of so many threads.
    pub(super) fn new(all: Arc<AtomicU64>, threads: usize) -> Self {
        Steering {
            all,
            threads: threads as u64,
            own: AtomicU64::new(0),
            all_before: AtomicU64::new(0),
            is_by_chance: AtomicBool::new(threads < 2),
        }
    }

    /// Asks the system for the connections whose packets arrive on this thread's processor: all
    /// that concerns one then is in the caches of one processor, and nobody has to be woken on
    /// another. Whether it does so.
    pub(super) fn begin(&self, listener: &dyn TcpListener) -> bool {
        !self.is_by_chance.load(Relaxed) && listener.prefer_own_processor(true).is_ok()
    }

    /// Takes note of a connection; `is_preferred` is what [`Steering::begin`] has said, and becomes
    /// false when the listener is to be preferred no longer.
    pub(super) fn on_accepted(&self, listener: &dyn TcpListener, is_preferred: &mut bool) {
        let all = self.all.fetch_add(1, Relaxed) + 1;
        if !*is_preferred {
            return;
        }
        if self.own.fetch_add(1, Relaxed) + 1 >= LOOK_AFTER {
            let own = self.own.swap(0, Relaxed);
            let all_since = all - self.all_before.swap(all, Relaxed);
            if is_too_much(own, all_since, self.threads) {
                self.is_by_chance.store(true, Relaxed);
            }
        }
        if self.is_by_chance.load(Relaxed) {
            *is_preferred = false;
            // It was possible before; else the thread goes on as it does.
            let _ = listener.prefer_own_processor(false);
        }
    }
}

/// More than one and a half times a thread's part, as where a network card has one queue, whose
/// packets all arrive on one processor.
fn is_too_much(own: u64, all: u64, threads: u64) -> bool {
    own.saturating_mul(threads).saturating_mul(2) > all.saturating_mul(3)
}

/// After so many connections of its own a thread looks at its part: chance alone is then within a
/// tenth of it.
const LOOK_AFTER: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_and_a_half_is_not_too_much() {
        assert!(!is_too_much(256, 512, 2));
        assert!(!is_too_much(300, 400, 2));
        assert!(is_too_much(301, 400, 2));
        assert!(is_too_much(256, 256, 2));
        assert!(!is_too_much(256, 256, 1));
        assert!(!is_too_much(375, 2000, 8));
        assert!(is_too_much(376, 2000, 8));
    }
}
