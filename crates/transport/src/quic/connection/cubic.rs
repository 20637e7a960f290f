//! CUBIC (RFC 9438).
//!
//! Invariant: the window shrinks at most once for what was in flight at a time, is never below two
//! packets, and does not grow by what the application left unused. quinn-proto has a CUBIC of its
//! own, which leaves the region friendly to Reno (section 4.3) out in part: decision 0019.

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Makes controllers.
pub(in crate::quic) struct CubicFactory;

impl ControllerFactory for CubicFactory {
    fn build(self: Arc<Self>, _: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Cubic::new(current_mtu))
    }
}

/// The state of one path. Amounts are bytes, and RFC 9438 has segments: a packet of the path's MTU
/// is one.
#[derive(Clone)]
struct Cubic {
    mtu: f64,
    /// cwnd.
    window: f64,
    /// ssthresh.
    slow_start_until: f64,
    /// W_max.
    window_max: f64,
    /// cwnd_prior.
    window_before: f64,
    /// When the window shrank last; what was sent before does not matter any more.
    reduced: Option<Instant>,
    avoidance: Option<Avoidance>,
    /// Since when the application has left some of the window unused.
    unused_since: Option<Instant>,
}

/// A stage of congestion avoidance.
#[derive(Clone)]
struct Avoidance {
    /// When it began; what was not used since is left out (section 4.2).
    began: Instant,
    /// K in seconds.
    inflection: f64,
    /// Where the curve is flat: W_max, or the window when it is beyond that already.
    plateau: f64,
    /// W_est.
    reno: f64,
}

impl Cubic {
    fn new(mtu: u16) -> Self {
        Cubic {
            mtu: f64::from(mtu),
            window: INITIAL_WINDOW,
            slow_start_until: f64::INFINITY,
            window_max: 0.0,
            window_before: 0.0,
            reduced: None,
            avoidance: None,
            unused_since: None,
        }
    }

    fn window_min(&self) -> f64 {
        2.0 * self.mtu
    }

    /// Grows by what was acknowledged.
    fn on_acknowledged(&mut self, now: Instant, bytes: f64, rtt: Duration) {
        if self.window < self.slow_start_until {
            self.window += bytes;
            return;
        }
        let unused = self.unused_since.take();
        let (mtu, window) = (self.mtu, self.window);
        let avoidance = self
            .avoidance
            .get_or_insert_with(|| Avoidance::begin(now, window, self.window_max, mtu));
        if let Some(since) = unused {
            avoidance.began += now.saturating_duration_since(since.max(avoidance.began));
        }
        // Section 4.3: as fast as Reno once the estimate has reached what the window was.
        let alpha = match avoidance.reno >= self.window_before {
            true => 1.0,
            false => ALPHA,
        };
        avoidance.reno += alpha * mtu * bytes / window;
        let elapsed = now.saturating_duration_since(avoidance.began);
        if avoidance.curve(elapsed, mtu) < avoidance.reno {
            self.window = window.max(avoidance.reno);
            return;
        }
        // Section 4.2: what the window shall be a round trip from now.
        let target = avoidance.curve(elapsed + rtt, mtu);
        let target = target.clamp(window, 1.5 * window);
        self.window += (target - window) * bytes / window;
    }

    /// Shrinks, unless it has since this was sent.
    fn on_lost(&mut self, now: Instant, sent: Instant, is_persistent: bool) {
        let is_known = self.reduced.is_some_and(|reduced| sent <= reduced);
        if !is_known {
            self.reduced = Some(now);
            self.window_before = self.window;
            // Section 4.7: a flow that had to shrink again leaves room for others.
            self.window_max = match self.window < self.window_max {
                true => self.window * (1.0 + BETA) / 2.0,
                false => self.window,
            };
            self.window = (self.window * BETA).max(self.window_min());
            self.slow_start_until = self.window;
            self.avoidance = None;
            self.unused_since = None;
        }
        if is_persistent {
            // RFC 9002 §7.6.2, and section 4.8: the next stage begins where slow start ends.
            self.window = self.window_min();
            self.window_max = 0.0;
            self.avoidance = None;
            self.reduced = None;
        }
    }
}

impl Avoidance {
    fn begin(now: Instant, window: f64, window_max: f64, mtu: f64) -> Self {
        let rise = (window_max - window).max(0.0) / mtu;
        Avoidance {
            began: now,
            inflection: (rise / C).cbrt(),
            plateau: window_max.max(window),
            reno: window,
        }
    }

    /// W_cubic.
    fn curve(&self, elapsed: Duration, mtu: f64) -> f64 {
        let t = elapsed.as_secs_f64() - self.inflection;
        self.plateau + C * t * t * t * mtu
    }
}

impl Controller for Cubic {
    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        if self.reduced.is_some_and(|reduced| sent <= reduced) {
            return;
        }
        if app_limited {
            self.unused_since.get_or_insert(now);
            return;
        }
        self.on_acknowledged(now, bytes as f64, rtt.get());
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        _lost_bytes: u64,
    ) {
        self.on_lost(now, sent, is_persistent_congestion);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = f64::from(new_mtu);
        self.window = self.window.max(self.window_min());
    }

    fn window(&self) -> u64 {
        self.window as u64
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.window();
        metrics.ssthresh = Some(self.slow_start_until as u64);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_WINDOW as u64
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// RFC 9002 §7.2 for the smallest packets that every path carries.
const INITIAL_WINDOW: f64 = 12_000.0;
const BETA: f64 = 0.7;
const C: f64 = 0.4;
/// What makes a window that shrinks by [`BETA`] as large as Reno's on average.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

#[cfg(test)]
mod tests;
