//! The receiving side: order, window, the peer's end.
//!
//! Invariant: the buffer never holds more than its capacity, and nothing is read twice.

use super::connection::{Phase, Receiver, Tie, Wakers};
use super::table::ConnectionId;
use crate::packet::{Segment, SegmentKind};
use crate::state::State;
use bytes::{Buf, Bytes};

impl Receiver {
    pub(crate) fn window(&self) -> u64 {
        self.capacity.saturating_sub(self.buffer.len()) as u64
    }

    /// Whether the peer's FIN is in order: nothing follows what is in the buffer.
    pub(crate) fn is_ended(&self) -> bool {
        self.fin.is_some_and(|fin| self.next > fin)
    }

    /// Whether reading has opened the window enough to tell the peer.
    pub(crate) fn is_update_due(&self, mss: usize) -> bool {
        let threshold = mss.min(self.capacity / 2).max(1) as u64;
        self.advertised < threshold && self.window() >= threshold
    }

    /// Takes payload and FIN; what does not fit the window is dropped.
    fn take(&mut self, seq: u64, data: Bytes, has_fin: bool) {
        let end = seq + data.len() as u64;
        if has_fin {
            self.fin = Some(end);
        }
        let fits = end <= self.next + self.window();
        if !data.is_empty() && fits && end > self.next {
            let kept = self.out_of_order.get(&seq).map_or(0, Bytes::len);
            if data.len() > kept {
                self.out_of_order.insert(seq, data);
            }
        }
        while let Some((&seq, _)) = self.out_of_order.first_key_value()
            && seq <= self.next
        {
            let Some((_, mut data)) = self.out_of_order.pop_first() else {
                break;
            };
            let known = (self.next - seq) as usize;
            if known < data.len() {
                data.advance(known);
                self.next += data.len() as u64;
                self.buffer.extend(data);
            }
        }
        if self.fin == Some(self.next) {
            self.next += 1;
        }
    }
}

impl State {
    /// Takes a segment that belongs to a connection.
    pub(crate) fn connection_segment(&mut self, id: ConnectionId, segment: Segment) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        connection.keep_alive.unanswered = 0;
        connection.keep_alive.heard_at = now;
        match (connection.phase, segment.kind) {
            (Phase::SynSent, SegmentKind::SynAck) => self.syn_acknowledged(id, &segment),
            (Phase::SynSent, SegmentKind::Rst) => {
                self.fail_connection(id, Some(libc::ECONNREFUSED));
            }
            (Phase::SynSent | Phase::Closed, _) => {}
            (_, SegmentKind::Rst) => self.reset_received(id),
            (Phase::SynReceived(_), SegmentKind::Syn) => self.send_bare(id, SegmentKind::SynAck),
            (Phase::Established, SegmentKind::Syn) => {}
            (Phase::Established, SegmentKind::SynAck) => self.send_bare(id, SegmentKind::Ack),
            (phase, _) => {
                if let Phase::SynReceived(listener) = phase
                    && !self.handshake_complete(id, listener)
                {
                    return;
                }
                self.acknowledged(id, &segment);
                self.payload_received(id, segment);
            }
        }
    }

    fn reset_received(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id)
            && let Phase::SynReceived(listener) = connection.phase
        {
            self.forget_half_open(listener);
        }
        self.fail_connection(id, Some(libc::ECONNRESET));
    }

    fn payload_received(&mut self, id: ConnectionId, segment: Segment) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        if connection.tie == Tie::Orphan && !segment.data.is_empty() {
            let end = segment.seq + segment.data.len() as u64;
            if end > connection.receiver.next {
                // RFC 9293 §3.10.7.4: nobody will read it, so the sender is told.
                self.abort_connection(id, None);
                return;
            }
        }
        let wants_ack = !matches!(segment.kind, SegmentKind::Ack);
        let before = connection.receiver.next;
        let receiver = &mut connection.receiver;
        receiver.take(segment.seq, segment.data, segment.has_fin);
        let has_news = receiver.next > before;
        let Wakers { read, .. } = &mut connection.wakers;
        let waker = if has_news { read.take() } else { None };
        self.wake(waker);
        if wants_ack {
            self.send_bare(id, SegmentKind::Ack);
        }
        self.maybe_finish(id);
    }
}
