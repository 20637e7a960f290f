//! What becomes of a connection that nobody holds any more.
//!
//! Invariant: it is closed when the peer has acknowledged everything that was finished or reset, or
//! when the time for that is over, whichever comes first.

use super::ConnectionState;
use crate::quic::identifiers::later;
use bytes::Bytes;
use quinn_proto::Dir;
use std::task::Waker;
use std::time::{Duration, Instant};

/// How long finished streams are waited for once nobody holds the connection.
#[derive(Default)]
pub(in crate::quic) struct Linger {
    pub(super) bound: Duration,
    /// Until when, once that is so.
    pub(in crate::quic) until: Option<Instant>,
}

impl ConnectionState {
    /// The last handle is gone, those of the streams included: what was not reset is finished.
    pub(super) fn let_go(&mut self, now: Instant, wakers: &mut Vec<Waker>) {
        // A resident says goodbye in its own way, and its streams need not end.
        if self.residence.is_taken() || self.error().is_some() {
            return self.close_by_default(now, wakers);
        }
        self.streams.linger.until = Some(later(now, self.streams.linger.bound));
        self.end_linger(now, wakers);
        self.touch();
    }

    /// Closes a connection that nobody holds when there is nothing left to wait for.
    pub(in crate::quic) fn end_linger(&mut self, now: Instant, wakers: &mut Vec<Waker>) {
        if let Some(until) = self.streams.linger.until
            && (until <= now || !self.has_unacknowledged())
        {
            self.close_by_default(now, wakers);
        }
    }

    /// Closes the connection with the code for when the application gives none.
    pub(super) fn close_by_default(&mut self, now: Instant, wakers: &mut Vec<Waker>) {
        self.streams.linger.until = None;
        let code = self.defaults.close;
        self.close(now, code, Bytes::new(), wakers);
    }

    /// Whether the peer may still lack something of a stream, other than of those that were opened
    /// in advance and never used.
    fn has_unacknowledged(&mut self) -> bool {
        let unused = self.streams.opening.iter().map(|it| it.spare.len());
        let arrived = self.streams.arrived[Dir::Bi as usize].iter();
        let unused = unused.sum::<usize>() + arrived.filter(|it| it.stopped.is_none()).count();
        self.proto.streams().send_streams() > unused
    }
}
