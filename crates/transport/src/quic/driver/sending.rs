//! What a connection sends, in its turn and before it.
//!
//! Invariant: a batch goes before its turn only on a connection whose handshake has ended, whose
//! path is the one it was, and behind everything that waits for the socket; the driver still looks
//! at the connection afterwards, which sets its deadlines.

use super::core::Core;
use super::patience::Wait;
use super::slot::Stage;
use crate::quic::connection::{ConnectionShared, ConnectionState};
use std::sync::Arc;
use std::time::Instant;

impl Core {
    /// Sends unless it waits for others; whether there is more, and until when it waits at most.
    pub(super) fn send(
        &mut self,
        state: &mut ConnectionState,
        now: Instant,
        wait: Wait,
    ) -> (bool, Option<Instant>) {
        let (sends, held_until) = match wait {
            Wait::No => (true, None),
            Wait::Turn => (false, None),
            Wait::Until { time, sends } => (sends, Some(time)),
        };
        self.holds_back |= wait == Wait::Turn;
        let has_more = match sends {
            true => self.outgoing.is_blocked() || self.transmit(state, now),
            false => wait == Wait::Turn,
        };
        (has_more, held_until)
    }

    /// Sends a batch of what the application has written so far, since that is enough for one;
    /// false when the driver has to be called for it.
    pub(in crate::quic) fn send_early(
        &mut self,
        connection: &Arc<ConnectionShared>,
        now: Instant,
    ) -> bool {
        let mut state = connection.lock();
        let Some(Some(slot)) = self.slots.get(state.handle.0) else {
            return true;
        };
        let may_send = Arc::ptr_eq(&slot.connection, connection)
            && slot.stage == Stage::Running
            && !slot.has_moved
            && !slot.is_due
            && state.error().is_none()
            && !state.datagrams.splits_batch();
        // The driver may have been quicker.
        if !may_send || !state.streams.unsent.is_enough() || self.outgoing.is_blocked() {
            return true;
        }
        // A window that is full would hold a close back that follows in the same turn. What is long
        // keeps the peer busy anyway.
        if state.streams.unsent.bytes() as u64 > state.proto.congestion_state().window() / 2 {
            return true;
        }
        let mtu = usize::from(state.proto.current_mtu()).max(1);
        // Full packets only: what does not fill one goes with what comes next.
        let full = (state.streams.unsent.bytes() / mtu).max(1);
        let segments = self.segments_max(mtu).min(full);
        let sent = self.transmit_batch(&mut state, now, segments);
        state.streams.unsent.on_sent_early(sent);
        drop(state);
        self.flush();
        !self.outgoing.is_blocked()
    }

    /// Queues what the connection has to send, up to a bound; true when there is more.
    fn transmit(&mut self, state: &mut ConnectionState, now: Instant) -> bool {
        let mtu = usize::from(state.proto.current_mtu()).max(1);
        let segments = self.segments_max(mtu);
        let mut is_alone = state.datagrams.splits_batch();
        for _ in 0..TRANSMITS_MAX + usize::from(is_alone) {
            let segments = match std::mem::take(&mut is_alone) {
                true => 1,
                false => segments,
            };
            if self.transmit_batch(state, now, segments).is_none() {
                state.on_sent();
                return false;
            }
        }
        true
    }

    /// How many packets of this size are a batch.
    fn segments_max(&self, mtu: usize) -> usize {
        self.socket.gso_segments_max().min(BATCH_BYTES_MAX / mtu)
    }

    /// Queues a batch of at most so many packets, and says how many bytes it has; `None` when
    /// nothing can be sent now.
    fn transmit_batch(
        &mut self,
        state: &mut ConnectionState,
        now: Instant,
        segments: usize,
    ) -> Option<usize> {
        let question = state.question();
        let mut buffer = self.outgoing.buffer();
        let Some(mut transmit) = state.proto.poll_transmit(now, segments, &mut buffer) else {
            self.outgoing.give_back(buffer);
            return None;
        };
        if let Some(question) = question {
            state.answer(&question, &transmit);
        }
        state.datagrams.follows_packets = false;
        let size = transmit.size;
        match state.may_send(&mut transmit) {
            true => {
                state.direct(&mut transmit);
                self.outgoing.push(transmit, buffer);
            }
            false => self.outgoing.give_back(buffer),
        }
        Some(size)
    }
}

/// Batches that a connection may send in a round.
const TRANSMITS_MAX: usize = 2;
/// Bytes of a batch: what one datagram of IPv4 could hold, which is what systems segment.
const BATCH_BYTES_MAX: usize = 65_000;
