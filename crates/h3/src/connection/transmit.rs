//! What goes to the transport, and when.
//!
//! Invariant: critical streams go first, then exchanges in the order of their priorities; a stream
//! that the transport blocks is not tried again before the transport says so.

use super::critical::Purpose;
use super::{Connection, Outbox};
use crate::event::{Event, Transmit, Written};
use crate::exchange::Exchange;
use crate::stream::StreamId;

impl Connection {
    /// Queues what a new connection sends.
    pub(super) fn begin(&mut self) {
        if let Some(settings) = self.control.effective_settings() {
            let (table, blocked) = (settings.qpack_table_bytes, settings.qpack_blocked_streams);
            let applied = self.sections.on_settings(table, blocked);
            debug_assert!(applied.is_ok(), "nothing was remembered before");
        }
        self.allow_pushes(self.config.pushes);
    }

    /// Whether the transport is to open a unidirectional stream; its identifier goes to
    /// [`on_unidirectional_opened`](Self::on_unidirectional_opened).
    #[inline]
    pub fn wants_unidirectional(&self) -> bool {
        self.closed.is_none() && self.local.wants_stream()
    }

    /// The transport opened a unidirectional stream that was wanted.
    pub fn on_unidirectional_opened(&mut self, stream: StreamId) {
        self.local.on_opened(stream);
    }

    /// The next piece for the transport. [`on_transmitted`](Self::on_transmitted) must follow.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        if self.closed.is_some() || !self.may_transmit() {
            return None;
        }
        self.queue_instructions();
        if let Some(at) = self.local.next_writable() {
            let local = self.local.get_mut(at);
            let stream = local.id?;
            let (chunks, fin) = local.pieces();
            return Some(Transmit {
                stream,
                chunks,
                fin,
            });
        }
        let stream = self.next_scheduled()?;
        let exchange = self.exchanges.get_mut(stream)?;
        let (chunks, fin) = exchange.send.pieces();
        Some(Transmit {
            stream,
            chunks,
            fin,
        })
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something: each write is followed by
    /// the question for the next one.
    #[inline]
    pub(crate) fn may_transmit(&self) -> bool {
        !self.out.scheduler.is_empty() || self.local.may_write() || self.sections.is_pressing()
    }

    /// What the transport did with the last [`Transmit`].
    pub fn on_transmitted(&mut self, stream: StreamId, written: Written) {
        if let Some((local, _)) = self.local.find(stream) {
            local.is_blocked = written.is_blocked;
            local.on_written(written.fin);
            return;
        }
        self.on_exchange_transmitted(stream, written);
    }

    #[inline]
    fn on_exchange_transmitted(&mut self, stream: StreamId, written: Written) {
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return;
        };
        let now = self.watch.glitches.now();
        exchange.is_blocked = written.is_blocked;
        if written.bytes > 0 {
            exchange.stalled_since = None;
            self.watch.stalls.on_moved(exchange.priority, now);
        }
        if written.is_blocked {
            let since = *exchange.stalled_since.get_or_insert(now);
            let patience = self.config.limits.patience.unread;
            self.watch.stalls.note(since, patience);
        }
        exchange.send.on_written(written.bytes, written.fin);
        if exchange.send.take_room(&self.config.limits) {
            self.out.events.push_back(Event::Writable(stream));
        }
        if exchange.send.is_over() {
            self.forget_if_over(stream);
        } else {
            self.schedule(stream);
        }
    }

    /// The transport takes more on a stream that it had blocked.
    pub fn on_writable(&mut self, stream: StreamId) {
        if let Some((local, _)) = self.local.find(stream) {
            local.is_blocked = false;
        } else if let Some(exchange) = self.exchanges.get_mut(stream) {
            exchange.is_blocked = false;
            self.schedule(stream);
        }
    }

    /// Puts a stream in line if it has something to write.
    #[inline]
    pub(super) fn schedule(&mut self, stream: StreamId) {
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return;
        };
        Self::put_in_line(&mut self.out, stream, exchange);
    }

    /// The same when the exchange is at hand.
    #[inline]
    pub(super) fn put_in_line(out: &mut Outbox, stream: StreamId, exchange: &mut Exchange) {
        if exchange.send.has_work() && !exchange.is_blocked && !exchange.is_scheduled {
            exchange.is_scheduled = true;
            out.scheduler.add(stream, exchange.priority);
        }
    }

    fn next_scheduled(&mut self) -> Option<StreamId> {
        loop {
            let stream = self.out.scheduler.next()?;
            let Some(exchange) = self.exchanges.get_mut(stream) else {
                continue;
            };
            exchange.is_scheduled = false;
            if exchange.send.has_work() && !exchange.is_blocked {
                return Some(stream);
            }
        }
    }

    /// Moves what QPACK wants to say onto its streams.
    fn queue_instructions(&mut self) {
        let limit = self.config.limits.control_send_bytes;
        if let Some(bytes) = self.sections.poll_encoder_stream() {
            let queued = self.local.queue(Purpose::QpackEncoder, bytes, limit);
            if let Err(error) = queued {
                self.fail(error, true);
            }
        }
        if !self.sections.is_decoder_stream_worth_sending() {
            return;
        }
        let goes_now = self.sections.is_decoder_stream_pressing()
            || self.local.next_writable().is_some()
            || !self.out.scheduler.is_empty();
        if goes_now
            && self.local.room(Purpose::QpackDecoder, limit) > limit / 2
            && let Some(bytes) = self.sections.poll_decoder_stream()
        {
            let queued = self.local.queue(Purpose::QpackDecoder, bytes, limit);
            debug_assert!(
                queued.is_ok(),
                "the decoder holds at most half of the limit"
            );
        }
    }
}
