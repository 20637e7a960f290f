//! Messages that are complete when they are sent, and go to the transport without a queue.
//!
//! Invariant: nothing is overtaken that would have gone before, and what the transport does not
//! take waits as if it had been queued.

use bytes::Bytes;

use super::Connection;
use crate::event::{Finish, Written};
use crate::exchange::{Encoded, Message, SendError};
use crate::message::{RequestHead, ResponseHead};
use crate::padding::Padding;
use crate::stream::StreamId;
use crate::transport::{Transport, WriteError};

impl Connection {
    /// As [`send_request_with`](Self::send_request_with) and [`flush`](Self::flush), for less.
    ///
    /// # Errors
    /// Nothing was sent, and the stream can be used for another request.
    pub fn send_request_over(
        &mut self,
        transport: &mut impl Transport,
        stream: StreamId,
        head: &RequestHead,
        content: Bytes,
        finish: Finish,
    ) -> Result<(), SendError> {
        let message = self.begin_request(stream, head, content, finish)?;
        self.send_over(transport, stream, message);
        Ok(())
    }

    /// As [`send_response_with`](Self::send_response_with) and [`flush`](Self::flush), for less.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_response_over(
        &mut self,
        transport: &mut impl Transport,
        stream: StreamId,
        head: &ResponseHead,
        content: Bytes,
        finish: Finish,
    ) -> Result<(), SendError> {
        let message = self.begin_response(stream, head, content, finish)?;
        self.send_over(transport, stream, message);
        Ok(())
    }

    #[inline]
    fn send_over(&mut self, transport: &mut impl Transport, stream: StreamId, message: Message) {
        if message.finish == Finish::Later || !self.may_go_at_once(stream) {
            self.queue_message(stream, message);
            return self.flush(transport);
        }
        let frame = match message.encoded {
            Encoded::Shared(frame) => frame,
            Encoded::Own(frame) => frame.freeze(),
        };
        let mut pieces = [frame, message.content];
        match transport.write(stream, &mut pieces, true) {
            Ok(written) if written.fin => self.on_sent_at_once(stream),
            written => {
                let [frame, content] = pieces;
                let rest = Message {
                    encoded: Encoded::Shared(frame),
                    content,
                    ..message
                };
                self.on_begun_at_once(transport, stream, rest, written);
            }
        }
    }

    /// Whether a whole message on this stream would be the next that is written.
    #[inline]
    fn may_go_at_once(&self, stream: StreamId) -> bool {
        let is_first = self.exchanges.get(stream).is_some_and(|exchange| {
            // An interim response goes before the final one.
            exchange.send.queued_bytes() == 0 && !exchange.is_blocked
        });
        is_first
            && self.is_settled()
            && !self.sections.is_decoder_stream_worth_sending()
            && self.config.padding == Padding::None
    }

    #[inline]
    fn on_sent_at_once(&mut self, stream: StreamId) {
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return;
        };
        exchange.send.on_sent_at_once();
        let now = self.watch.glitches.now();
        self.watch.stalls.on_moved(exchange.priority, now);
        if exchange.is_over() {
            self.forget(stream);
        }
    }

    /// Queues what the transport has not taken.
    #[cold]
    fn on_begun_at_once(
        &mut self,
        transport: &mut impl Transport,
        stream: StreamId,
        rest: Message,
        written: Result<Written, WriteError>,
    ) {
        if let Some(exchange) = self.exchanges.get_mut(stream) {
            if let Ok(written) = &written {
                exchange.send.on_begun_at_once(written.bytes);
            }
            exchange.send.queue_message(rest, self.config.padding);
        }
        self.on_write(transport, stream, written);
        self.flush(transport);
    }
}
