//! How far the window of a connection grows.
//!
//! Invariant: the window never shrinks and never exceeds its limit, and it grows by itself only
//! while the application reads as fast as it is filled.

use crate::quic::options::StreamLimits;
use std::time::{Duration, Instant};

/// The receive window of a connection.
pub(in crate::quic) struct Window {
    bytes: u32,
    bytes_max: u32,
    /// What was read since `since`.
    consumed: u64,
    since: Option<Instant>,
}

impl Window {
    pub(in crate::quic) fn new(limits: &StreamLimits) -> Self {
        Window {
            bytes: limits.connection_window_bytes,
            bytes_max: limits.connection_window_bytes_max,
            consumed: 0,
            since: None,
        }
    }

    /// The window now.
    pub(in crate::quic) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Makes it so large, limit and all; false where it is so already.
    pub(in crate::quic) fn raise(&mut self, bytes: u32) -> bool {
        let is_more = bytes > self.bytes;
        if is_more {
            self.bytes = bytes;
            self.bytes_max = self.bytes_max.max(bytes);
        }
        is_more
    }

    /// Notes that the application has read; true when it is time to ask [`Window::grow`].
    pub(in crate::quic) fn consume(&mut self, bytes: usize) -> bool {
        self.consumed += bytes as u64;
        self.bytes < self.bytes_max && self.consumed >= u64::from(self.bytes / 2)
    }

    /// The new window when half of the present one was read within two round trips: the window
    /// then limits the peer, and not the application.
    pub(in crate::quic) fn grow(&mut self, now: Instant, rtt: Duration) -> Option<u32> {
        let since = self.since.replace(now);
        self.consumed = 0;
        if now.saturating_duration_since(since?) > rtt * 2 {
            return None;
        }
        self.bytes = self.bytes.saturating_mul(2).min(self.bytes_max);
        Some(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window::new(&StreamLimits {
            connection_window_bytes: 1000,
            connection_window_bytes_max: 3000,
            ..StreamLimits::default()
        })
    }

    #[test]
    fn a_window_read_within_two_round_trips_doubles_up_to_its_limit() {
        let (mut window, start, rtt) = (window(), Instant::now(), Duration::from_millis(100));
        assert!(!window.consume(499));
        assert!(window.consume(1));
        assert_eq!(window.grow(start, rtt), None);
        assert!(window.consume(500));
        assert_eq!(window.grow(start + rtt, rtt), Some(2000));
        assert!(!window.consume(999));
        assert!(window.consume(1));
        assert_eq!(window.grow(start + rtt * 2, rtt), Some(3000));
        assert!(!window.consume(1 << 20));
    }

    #[test]
    fn a_window_that_the_application_reads_slowly_stays() {
        let (mut window, start, rtt) = (window(), Instant::now(), Duration::from_millis(100));
        assert!(window.consume(500));
        assert_eq!(window.grow(start, rtt), None);
        assert!(window.consume(500));
        assert_eq!(window.grow(start + rtt * 3, rtt), None);
    }

    #[test]
    fn it_is_raised_beyond_its_limit_and_never_lowered() {
        let mut window = window();
        assert!(!window.raise(1000));
        assert!(window.raise(5000));
        assert!(!window.raise(2000));
        assert_eq!(window.bytes(), 5000);
        assert!(!window.consume(5000), "there is no more to grow");
    }
}
