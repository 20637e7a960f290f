//! The orderly end of a connection: GOAWAY in both directions.
//!
//! Invariant: an identifier never grows, ours or the peer's; a request at or above it is not
//! processed and its client knows.

use bytes::BytesMut;

use super::Connection;
use super::critical::Purpose;
use crate::error::{Code, ConnectionError, Retry, StreamError};
use crate::event::Event;
use crate::frame;
use crate::stream::{Direction, Role, StreamId};
use crate::varint;

/// How far the end is, on either side.
///
/// ```text
///          shutdown()                 finish_shutdown()             nothing in flight
/// Running ────────────▶ Announced ──────────────────────▶ Ending ─────────────────▶ drained
///         largest identifier        what was really seen
/// ```
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    phase: Phase,
    /// The identifier that the peer sent last.
    received: Option<u64>,
    /// One above the last request that the application was given.
    seen: u64,
    /// What the server did with 0-RTT data, if there was any.
    early_data: Option<bool>,
    is_drained_told: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Running,
    Announced,
    Ending(u64),
}

impl Shutdown {
    /// Whether a request beyond what we announced is to be refused.
    pub(super) fn refuses(&self, stream: StreamId) -> bool {
        matches!(self.phase, Phase::Ending(limit) if stream.value() >= limit)
    }

    /// Whether the peer said that it does not process this request.
    pub(super) fn is_refused_by_peer(&self, stream: StreamId) -> bool {
        self.received.is_some_and(|limit| stream.value() >= limit)
    }

    /// Whether no request may be begun.
    pub(super) fn forbids_requests(&self) -> bool {
        self.received.is_some() || self.phase != Phase::Running
    }

    pub(super) fn on_handed_out(&mut self, stream: StreamId) {
        self.seen = self.seen.max(stream.value() + 4);
    }

    pub(super) fn early_data_was_accepted(&self) -> bool {
        self.early_data == Some(true)
    }

    pub(super) fn early_data_was_rejected(&self) -> bool {
        self.early_data == Some(false)
    }
}

/// The largest identifier of a request.
const LAST_REQUEST: u64 = varint::MAX - 3;

impl Connection {
    /// Begins an orderly end: the peer starts nothing new, everything that is on its way is still
    /// answered. Call [`finish_shutdown`](Self::finish_shutdown) about a round trip later.
    // RFC 9114 §5.2: the first GOAWAY has the largest identifier, so that no request is lost.
    pub fn shutdown(&mut self) {
        if self.closed.is_some() || self.shutdown.phase != Phase::Running {
            return;
        }
        self.shutdown.phase = Phase::Announced;
        self.send_goaway(match self.role {
            Role::Server => LAST_REQUEST,
            Role::Client => varint::MAX,
        });
        self.tell_if_drained();
    }

    /// Says which requests were seen and refuses later ones. [`Event::Drained`] follows when
    /// nothing is in flight any more.
    pub fn finish_shutdown(&mut self) {
        self.shutdown();
        if self.closed.is_some() || self.shutdown.phase != Phase::Announced {
            return;
        }
        let limit = match self.role {
            // Streams that were opened and whose requests are incomplete are still served.
            Role::Server => StreamId::nth(
                Role::Client,
                Direction::Bidirectional,
                self.peer.bidirectional.next(),
            )
            .map_or(LAST_REQUEST, StreamId::value)
            .max(self.shutdown.seen),
            Role::Client => self.next_push_id(),
        };
        self.shutdown.phase = Phase::Ending(limit);
        self.send_goaway(limit);
        self.tell_if_drained();
    }

    /// Whether a shutdown was begun by either side.
    pub fn is_going_away(&self) -> bool {
        self.shutdown.forbids_requests()
    }

    /// The transport says whether the server accepted our 0-RTT data.
    ///
    /// If it did not, all streams are gone and this connection is over: every request fails with
    /// the advice to send it again, and a new [`Connection`] begins on the same transport.
    pub fn on_early_data_decided(&mut self, is_accepted: bool) {
        self.shutdown.early_data = Some(is_accepted);
        if !is_accepted {
            let reason = "the server ignored the early data";
            self.on_closed(ConnectionError::peer(Code::H3_NO_ERROR, reason));
        }
    }

    fn send_goaway(&mut self, identifier: u64) {
        let mut frame = BytesMut::new();
        frame::goaway::encode(identifier, &mut frame);
        self.queue_control(frame);
    }

    /// Queues frames on our control stream.
    pub(super) fn queue_control(&mut self, frames: BytesMut) {
        let limit = self.config.limits.control_send_bytes;
        if let Err(error) = self.local.queue(Purpose::Control, frames.freeze(), limit) {
            self.fail(error, true);
        }
    }

    pub(super) fn on_goaway(&mut self, identifier: u64) -> Result<(), ConnectionError> {
        let wrong = |reason| Err(ConnectionError::local(Code::H3_ID_ERROR, reason));
        // RFC 9114 §7.2.6: from a server it is a request stream.
        if self.role == Role::Client && !StreamId::new(identifier).is_some_and(|id| id.is_request())
        {
            return wrong("a GOAWAY for a stream that is no request");
        }
        // RFC 9114 §5.2: an identifier never grows.
        if self.shutdown.received.is_some_and(|last| identifier > last) {
            return wrong("a GOAWAY above the one before");
        }
        self.glitch("GOAWAY frames")?;
        self.shutdown.received = Some(identifier);
        self.out.events.push_back(Event::GoAway { identifier });
        match self.role {
            Role::Client => self.fail_refused(identifier),
            // RFC 9114 §5.2: pushes at or above the identifier are not accepted.
            Role::Server => self.drop_pushes_from(identifier),
        }
        self.tell_if_drained();
        Ok(())
    }

    // RFC 9114 §5.2: requests at or above the identifier are not processed; they are cancelled
    // here and may be sent on another connection.
    fn fail_refused(&mut self, limit: u64) {
        let mut refused: Vec<StreamId> = self
            .exchanges
            .streams()
            .filter(|stream| stream.is_request() && stream.value() >= limit)
            .collect();
        refused.sort_unstable();
        for stream in refused {
            let reason = "the server goes away before this request";
            let error = StreamError::local(Code::H3_REQUEST_CANCELLED, reason);
            self.abort(stream, error.with_retry(Retry::SafeOnNewConnection));
        }
    }

    pub(super) fn tell_if_drained(&mut self) {
        let is_ending = match self.role {
            Role::Server => matches!(self.shutdown.phase, Phase::Ending(_)),
            Role::Client => self.shutdown.forbids_requests(),
        };
        if is_ending && self.exchanges.is_empty() && !self.shutdown.is_drained_told {
            self.shutdown.is_drained_told = true;
            self.out.events.push_back(Event::Drained);
        }
    }
}
