//! The short ways of a send that the system takes at once, and of a receive whose message is there.
//!
//! Invariant: a short way does what the long one would do, and gives way to it before it has
//! changed anything: nobody waits, nothing is queued, nothing was said about the message, and the
//! framers only put a header before it.

use super::group::{Group, Sending, Writer};
use super::link::Link;
use super::outbound::Flush;
use super::shared::Shared;
use super::writer;
use crate::error::SendError;
use crate::receipt::Receipt;
use portway_core::framer::Demand;
use portway_core::message::{Message, MessageContext, ReceivedMessage};
use portway_core::property::ConnectionState;
use portway_core::send_queue::COPIED_BYTES_MAX;
use std::sync::Arc;

impl Shared {
    /// Sends a short message; `None` when that takes more than writing it.
    #[inline]
    pub(super) fn send_at_once(
        self: &Arc<Self>,
        message: &Message,
    ) -> Option<Result<Receipt, SendError>> {
        let mut group = self.lock();
        let sent = group.send_at_once(message);
        if group.writer == Writer::Task {
            writer::start_if_needed(self, &mut group);
        }
        sent
    }

    /// Receives the next message; `None` when that takes more than taking it out.
    #[inline]
    pub(super) fn receive_at_once(&self, demand: Demand) -> Option<ReceivedMessage> {
        self.lock().receive_at_once(demand)
    }
}

impl Group {
    fn send_at_once(&mut self, message: &Message) -> Option<Result<Receipt, SendError>> {
        let bytes = message.data.as_short_piece(COPIED_BYTES_MAX)?;
        if !self.takes_at_once(&message.context) {
            return None;
        }
        let Some(Link::Bytes(link)) = &mut self.link else {
            return None;
        };
        let header = self
            .pipeline
            .header(bytes.len(), &self.details.defaults.message)?;
        if bytes.is_empty() && header.bytes().is_empty() {
            return None;
        }
        match self.outbound.send_short(&header, bytes, link) {
            Ok(Flush::Done) => Some(Ok(Receipt::sent())),
            flushed => {
                let sent = self.outbound.after_flush(flushed, bytes.len());
                Some(self.after_direct_send(sent))
            }
        }
    }

    /// Whether a plain message would be written at once by whoever sends it now.
    #[inline]
    fn takes_at_once(&self, context: &MessageContext) -> bool {
        self.state() == ConnectionState::Established
            && self.writer == Writer::Anybody
            && self.sending == Sending::Open
            && !self.waiters.has_senders()
            && context.is_plain()
            && self.details.defaults.is_message_ordinary
            && self.details.direction.can_send()
            && self.outbound.may_send_at_once()
    }

    #[inline]
    fn receive_at_once(&mut self, demand: Demand) -> Option<ReceivedMessage> {
        let is_open = self.state() == ConnectionState::Established;
        // RFC 9622 §9.3.1: receives are served in order, so whoever waits comes first.
        if !is_open || self.waiters.has_receivers() || !self.details.direction.can_receive() {
            return None;
        }
        self.inbound.next_whole(&self.pipeline, demand)
    }
}
