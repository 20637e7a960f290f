//! Peers that stall: a header section that does not end, instructions that do not come, a
//! response that nobody takes.
//!
//! Invariant: whatever waits for a peer has been noted here, so that a check at
//! [`Stalls::next_check`] finds it when its time is over.

use std::time::Duration;

use super::Connection;
use crate::error::{Code, ConnectionError, StreamError};
use crate::exchange::{Exchange, Wait};
use crate::limits::Patience;
use crate::priority::Priority;
use crate::stream::{Role, StreamId};

/// When to look for stalled streams, and what a stalled response is measured against.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    next_check: Option<Duration>,
    /// When anything was last taken by the transport, for each urgency.
    moved: [Duration; 8],
}

/// How long after a check the next one is at the earliest, so that many streams cost few checks.
const BETWEEN_CHECKS: Duration = Duration::from_secs(1);

impl Stalls {
    /// When the next check is due.
    #[inline]
    pub(super) fn next_check(&self) -> Option<Duration> {
        self.next_check
    }

    /// Something waits for the peer since `since`.
    pub(super) fn note(&mut self, since: Duration, patience: Option<Duration>) {
        if let Some(patience) = patience {
            let due = since.saturating_add(patience);
            self.next_check = Some(self.next_check.map_or(due, |next| next.min(due)));
        }
    }

    /// A stream waits for this now.
    #[inline]
    pub(super) fn note_wait(&mut self, wait: Wait, patience: &Patience) {
        match wait {
            Wait::Nothing => {}
            Wait::Section(since) => self.note(since, patience.section),
            Wait::Blocked(since) => self.note(since, patience.blocked),
        }
    }

    /// The transport took bytes of this priority.
    #[inline]
    pub(super) fn on_moved(&mut self, priority: Priority, now: Duration) {
        self.moved[usize::from(priority.urgency())] = now;
    }

    /// When anything at least as urgent last moved. A stream that waits behind others is not
    /// stalled by its peer.
    fn moved_before(&self, priority: Priority) -> Duration {
        let levels = &self.moved[..=usize::from(priority.urgency())];
        levels.iter().copied().max().unwrap_or_default()
    }

    /// What a stream waits for: since when, how long it may, and what the end is.
    fn waits(
        &self,
        exchange: &Exchange,
        patience: &Patience,
        role: Role,
    ) -> [Option<(Duration, StreamError)>; 2] {
        let receiving = match exchange.receive.wait() {
            Wait::Nothing => None,
            Wait::Section(since) => due(since, patience.section, section_error(exchange, role)),
            Wait::Blocked(since) => due(since, patience.blocked, blocked_error(exchange, role)),
        };
        let stalled_since = exchange.stalled_since.filter(|_| !exchange.send.is_over());
        let sending = stalled_since.and_then(|since| {
            let since = since.max(self.moved_before(exchange.priority));
            due(since, patience.unread, UNREAD)
        });
        [receiving, sending]
    }
}

fn due(
    since: Duration,
    patience: Option<Duration>,
    error: StreamError,
) -> Option<(Duration, StreamError)> {
    Some((since.saturating_add(patience?), error))
}

const UNREAD: StreamError =
    StreamError::local(Code::H3_EXCESSIVE_LOAD, "the peer does not take the stream");

// RFC 9114 §4.1.1: a request that nothing was done for is rejected, so that it may be sent again.
fn blocked_error(exchange: &Exchange, role: Role) -> StreamError {
    let code = match role == Role::Server && !exchange.is_known {
        true => Code::H3_REQUEST_REJECTED,
        false => Code::H3_REQUEST_CANCELLED,
    };
    StreamError::local(code, "the instructions for a field section do not come")
}

fn section_error(exchange: &Exchange, role: Role) -> StreamError {
    let code = match role == Role::Server && !exchange.is_known {
        true => Code::H3_REQUEST_INCOMPLETE,
        false => Code::H3_REQUEST_CANCELLED,
    };
    StreamError::local(code, "a field section does not end")
}

impl Connection {
    /// Ends the streams whose peer has stalled for too long.
    pub(super) fn end_stalled(&mut self) {
        let now = self.watch.glitches.now();
        let is_due = self.watch.stalls.next_check.is_some_and(|due| due <= now);
        if !is_due || self.closed.is_some() {
            return;
        }
        let patience = &self.config.limits.patience;
        let mut stalled: Vec<(StreamId, StreamError)> = Vec::new();
        let mut next: Option<Duration> = None;
        for (stream, exchange) in self.exchanges.iter() {
            let waits = self.watch.stalls.waits(exchange, patience, self.role);
            for (due, error) in waits.into_iter().flatten() {
                if due <= now {
                    stalled.push((stream, error));
                } else {
                    next = Some(next.map_or(due, |next| next.min(due)));
                }
            }
        }
        self.watch.stalls.next_check = next.map(|next| next.max(now + BETWEEN_CHECKS));
        stalled.sort_unstable_by_key(|(stream, _)| *stream);
        for (stream, error) in stalled {
            if let Err(error) = self.end_one_stalled(stream, error) {
                return self.fail(error, true);
            }
        }
    }

    fn end_one_stalled(
        &mut self,
        stream: StreamId,
        error: StreamError,
    ) -> Result<(), ConnectionError> {
        self.glitch("stalled streams")?;
        self.abort(stream, error);
        Ok(())
    }
}
