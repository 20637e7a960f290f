//! The sending side: segments, acknowledgements, retransmission.
//!
//! Invariant: whenever something is unacknowledged or held back by a closed window, a timer runs.

use super::connection::{Connection, Phase, Sender, Tie};
use super::table::ConnectionId;
use crate::packet::{Body, Packet, Segment, SegmentKind};
use crate::state::State;
use bytes::Bytes;
use portway_core::{Time, WireProtocol};
use std::time::Duration;

impl Sender {
    /// The number after the last byte that was written, without the FIN.
    pub(crate) fn data_end(&self) -> u64 {
        self.una.min(self.fin.unwrap_or(u64::MAX)) + self.buffer.len() as u64
    }

    /// Bytes that are not acknowledged, the FIN counted as one.
    pub(crate) fn unacknowledged(&self) -> usize {
        let fin = self.fin.is_some_and(|fin| self.una <= fin);
        self.buffer.len() + usize::from(fin)
    }

    /// Whether the FIN is acknowledged, and so everything.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin.is_some_and(|fin| self.una > fin)
    }

    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.buffer.len())
    }

    /// Whether a writer that waits is woken: as Linux, when a third is free.
    pub(crate) fn has_ample_room(&self) -> bool {
        self.room() > 0 && self.room() >= self.capacity / 3
    }

    /// The next piece to be sent within the peer's window, and whether the FIN goes with it.
    fn next_piece(&self, mss: usize, may_wait: bool) -> Option<(Bytes, bool)> {
        let end = self.data_end();
        if self.next >= end {
            return (self.fin == Some(self.next)).then(|| (Bytes::new(), true));
        }
        let limit = end.min(self.una + self.window);
        let len = usize::try_from(limit.saturating_sub(self.next)).unwrap_or(usize::MAX);
        if len == 0 {
            return None;
        }
        let len = len.min(mss);
        let has_fin = self.fin == Some(self.next + len as u64);
        // RFC 9293 §3.7.4 (Nagle), as Linux has it: one small segment at a time.
        let is_small_out = self.next > self.una && self.small_end > self.una;
        if may_wait && len < mss && !has_fin && is_small_out {
            return None;
        }
        let data = self.slice(self.next, len);
        Some((data, has_fin))
    }

    fn slice(&self, from: u64, len: usize) -> Bytes {
        let start = (from - self.una) as usize;
        self.buffer.range(start..start + len).copied().collect()
    }

    /// Takes what `ack` covers out of the buffer.
    fn advance(&mut self, ack: u64) {
        let data = (ack.min(self.data_end()) - self.una.min(self.data_end())) as usize;
        self.buffer.drain(..data);
        self.una = ack;
        self.next = self.next.max(ack);
        self.duplicate_acks = 0;
    }

    /// RFC 6298 §2: the timeout, with the lower bound that systems use, doubled on each retry.
    fn timeout(&self) -> Duration {
        let timing = &self.retransmission;
        let base = match timing.srtt {
            Some(srtt) => (srtt + 4 * timing.variation).max(RTO_MIN),
            None => RTO_INITIAL,
        };
        (base * 2u32.pow(timing.retries.min(16))).min(RTO_MAX)
    }

    pub(crate) fn measured(&mut self, sample: Duration) {
        let timing = &mut self.retransmission;
        match timing.srtt {
            None => {
                timing.srtt = Some(sample);
                timing.variation = sample / 2;
            }
            Some(srtt) => {
                timing.variation = timing.variation * 3 / 4 + srtt.abs_diff(sample) / 4;
                timing.srtt = Some(srtt * 7 / 8 + sample / 8);
            }
        }
    }

    /// Whether the timer has something to watch over.
    fn is_waiting(&self) -> bool {
        self.unacknowledged() > 0 && (self.next > self.una || self.window == 0)
    }
}

impl State {
    /// Sends all that the windows and the link allow.
    pub(crate) fn pump(&mut self, id: ConnectionId) {
        loop {
            let Some(connection) = self.connection(id) else {
                return;
            };
            if connection.phase != Phase::Established || connection.sender.resume.is_some() {
                break;
            }
            let mss = connection.mss;
            let may_wait = connection.options.no_delay != Some(true);
            let Some((data, has_fin)) = connection.sender.next_piece(mss, may_wait) else {
                break;
            };
            if let Some(at) = self.link_is_full_until(id) {
                let key = self.schedule(at, move |state| {
                    if let Some(connection) = state.connection(id) {
                        connection.sender.resume = None;
                        state.pump(id);
                    }
                });
                if let Some(connection) = self.connection(id) {
                    connection.sender.resume = Some(key);
                }
                break;
            }
            self.send_piece(id, data, has_fin);
        }
        self.arm_retransmission(id);
    }

    fn send_piece(&mut self, id: ConnectionId, data: Bytes, has_fin: bool) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let host = connection.host;
        let len = data.len() as u64 + u64::from(has_fin);
        let seq = connection.sender.next;
        connection.sender.next += len;
        let end = connection.sender.next;
        if data.len() < connection.mss {
            connection.sender.small_end = end;
        }
        // RFC 6298 §3 (Karn): what may have been sent before is not timed.
        let timing = &mut connection.sender.retransmission;
        if timing.sample.is_none() && timing.retries == 0 && end > connection.sender.recover {
            timing.sample = Some((end, now));
        }
        timing.since.get_or_insert(now);
        let packet = with_fin(connection.segment(SegmentKind::Data, seq, data), has_fin);
        self.transmit(host, packet);
    }

    /// When the link has room again, if it has none now.
    fn link_is_full_until(&mut self, id: ConnectionId) -> Option<Time> {
        let connection = self.connection(id)?;
        let (host, local, remote) = (connection.host, connection.local, connection.remote);
        let size = connection.mss;
        if self.host(host).has_address(remote.ip()) {
            return None;
        }
        let way = self.way_from(host, WireProtocol::Tcp, local, remote);
        self.links.way(way).room_at(self.now, size)
    }

    /// Sends the first unacknowledged segment again.
    fn resend_first(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let sender = &mut connection.sender;
        sender.retransmission.sample = None;
        let una = sender.una;
        let len = (sender.data_end().saturating_sub(una) as usize).min(connection.mss);
        let data = sender.slice(una.min(sender.data_end()), len);
        let has_fin = sender.fin == Some(una + len as u64);
        if len == 0 && !has_fin {
            return;
        }
        let host = connection.host;
        let packet = with_fin(connection.segment(SegmentKind::Data, una, data), has_fin);
        self.transmit(host, packet);
    }

    /// Takes an acknowledgement. Only those without data count as duplicates.
    pub(crate) fn acknowledged(&mut self, id: ConnectionId, segment: &Segment) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let sender = &mut connection.sender;
        if segment.ack < sender.una {
            return;
        }
        let is_duplicate = segment.ack == sender.una
            && sender.next > sender.una
            && segment.kind == SegmentKind::Ack
            && segment.window == sender.window;
        sender.window = segment.window;
        let mut resend = false;
        if segment.ack > sender.una {
            if let Some((end, at)) = sender.retransmission.sample
                && segment.ack >= end
            {
                sender.retransmission.sample = None;
                sender.measured(now.saturating_since(at));
            }
            sender.advance(segment.ack);
            sender.retransmission.retries = 0;
            sender.retransmission.since = (sender.unacknowledged() > 0).then_some(now);
            // RFC 6582 §3.2: a partial acknowledgement names the next hole.
            resend = sender.una < sender.recover && sender.next > sender.una;
            let waker = sender
                .has_ample_room()
                .then(|| connection.wakers.write.take());
            self.wake(waker.flatten());
        } else if is_duplicate {
            sender.duplicate_acks += 1;
            if sender.duplicate_acks == 3 {
                sender.recover = sender.next;
                resend = true;
            }
        }
        if resend {
            self.resend_first(id);
        }
        self.disarm_retransmission(id);
        self.pump(id);
        self.maybe_finish(id);
    }

    fn disarm_retransmission(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connection(id)
            && let Some(timer) = connection.sender.retransmission.timer.take()
        {
            self.events.remove(timer);
        }
    }

    fn arm_retransmission(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let user_timeout = user_timeout(connection);
        let sender = &mut connection.sender;
        if sender.retransmission.timer.is_some() || !sender.is_waiting() {
            return;
        }
        let since = *sender.retransmission.since.get_or_insert(now);
        let mut at = now + sender.timeout();
        if let Some(user_timeout) = user_timeout {
            at = at.min(since + user_timeout).max(now);
        }
        let key = self.schedule(at, move |state| state.retransmission_due(id));
        if let Some(connection) = self.connection(id) {
            connection.sender.retransmission.timer = Some(key);
        }
    }

    fn retransmission_due(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connection(id) else {
            return;
        };
        let user_timeout = user_timeout(connection);
        let retries_max = match connection.tie {
            Tie::Orphan => ORPHAN_RETRIES_MAX,
            _ => RETRIES_MAX,
        };
        let sender = &mut connection.sender;
        sender.retransmission.timer = None;
        if !sender.is_waiting() {
            return;
        }
        let waited = now.saturating_since(sender.retransmission.since.unwrap_or(now));
        let is_over = match user_timeout {
            Some(limit) => waited >= limit,
            None => sender.retransmission.retries >= retries_max,
        };
        if is_over {
            self.fail_connection(id, Some(libc::ETIMEDOUT));
            return;
        }
        sender.retransmission.retries += 1;
        sender.retransmission.sample = None;
        sender.recover = sender.recover.max(sender.next);
        sender.next = sender.una;
        if sender.window == 0 {
            self.send_bare(id, SegmentKind::Probe);
            self.arm_retransmission(id);
        } else {
            self.pump(id);
        }
    }

    /// Closes the writing end; the FIN follows what was written.
    pub(crate) fn close_writing(&mut self, id: ConnectionId) {
        let Some(connection) = self.connection(id) else {
            return;
        };
        let sender = &mut connection.sender;
        if sender.fin.is_none() {
            sender.fin = Some(sender.data_end());
            self.pump(id);
        }
    }
}

fn with_fin(mut packet: Packet, has_fin: bool) -> Packet {
    if let Body::Tcp(segment) = &mut packet.body {
        segment.has_fin = has_fin;
    }
    packet
}

fn user_timeout(connection: &Connection) -> Option<Duration> {
    connection.options.user_timeout.flatten()
}

const RTO_MIN: Duration = Duration::from_millis(200);
const RTO_INITIAL: Duration = Duration::from_secs(1);
const RTO_MAX: Duration = Duration::from_secs(120);
/// As Linux' `tcp_retries2`: about a quarter of an hour.
const RETRIES_MAX: u32 = 15;
/// As Linux' `tcp_orphan_retries` when it is zero.
const ORPHAN_RETRIES_MAX: u32 = 8;
