//! Keep-alive probes (RFC 1122 §4.2.3.6) with the system's usual interval and number.
//!
//! Invariant: the timer runs only for a connection that somebody holds and that asked for it.

use super::connection::{Phase, Tie};
use super::table::ConnectionId;
use crate::packet::SegmentKind;
use crate::state::State;
use std::time::Duration;

impl State {
    /// Starts, moves or stops the timer as the options now say.
    pub(crate) fn arm_keep_alive(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let old = connection.keep_alive.timer.take();
        connection.keep_alive.unanswered = 0;
        let is_wanted = connection.phase == Phase::Established && connection.tie != Tie::Orphan;
        let idle = connection
            .options
            .keep_alive
            .flatten()
            .filter(|_| is_wanted);
        let heard_at = connection.keep_alive.heard_at;
        if let Some(old) = old {
            self.events.remove(old);
        }
        if let Some(idle) = idle {
            self.set_keep_alive(id, (heard_at + idle).saturating_since(self.now));
        }
    }

    fn set_keep_alive(&mut self, id: ConnectionId, after: Duration) {
        let key = self.schedule(self.now + after, move |state| state.keep_alive_due(id));
        if let Some(connection) = self.connection(id) {
            connection.keep_alive.timer = Some(key);
        }
    }

    fn keep_alive_due(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.keep_alive.timer = None;
        let Some(idle) = connection.options.keep_alive.flatten() else {
            return;
        };
        let waited = now.saturating_since(connection.keep_alive.heard_at);
        let unanswered = connection.keep_alive.unanswered;
        let user_timeout = connection.options.user_timeout.flatten();
        if waited < idle {
            self.set_keep_alive(id, idle - waited);
        } else if connection.sender.unacknowledged() > 0 {
            // Data is on its way: its retransmission finds out whether the peer is there.
            self.set_keep_alive(id, idle);
        } else if match user_timeout {
            Some(limit) => unanswered > 0 && waited >= limit,
            None => unanswered >= PROBES_MAX,
        } {
            self.abort_connection(id, Some(libc::ETIMEDOUT));
        } else {
            connection.keep_alive.unanswered += 1;
            self.send_bare(id, SegmentKind::Probe);
            self.set_keep_alive(id, PROBE_INTERVAL);
        }
    }
}

/// As Linux' `tcp_keepalive_intvl` and `tcp_keepalive_probes`.
const PROBE_INTERVAL: Duration = Duration::from_secs(75);
const PROBES_MAX: u32 = 9;
