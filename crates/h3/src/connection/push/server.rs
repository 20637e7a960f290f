//! The server's side of push: promises that were made, and the streams that fulfil them.
//!
//! Invariant: identifiers are used in sequence, and none above what the client allowed.

use std::collections::BTreeMap;

use bytes::BytesMut;
use http::Method;

use super::super::Connection;
use super::super::critical::{Purpose, stream_type};
use super::wrong_id;
use crate::error::{Code, ConnectionError};
use crate::event::Event;
use crate::exchange::{Asked, Exchange, Receive, SendError, SendState, Sender};
use crate::frame;
use crate::message::{Outgoing, RequestHead, Unsendable, push_refusal};
use crate::priority::Priority;
use crate::stream::{Direction, Role, StreamId};
use crate::varint;

/// The pushes of a server.
#[derive(Debug, Default)]
pub(in crate::connection) struct Promises {
    next: u64,
    /// Those that were promised and are not over.
    open: BTreeMap<u64, Promise>,
}

#[derive(Debug)]
struct Promise {
    method: Method,
    priority: Priority,
    stream: Option<StreamId>,
}

impl Connection {
    /// Promises the client a response to `head`, which belongs to the request on `stream`, and
    /// gives the push identifier.
    ///
    /// # Errors
    /// When the client takes no push, or not this one.
    pub fn push(&mut self, stream: StreamId, head: &RequestHead) -> Result<u64, SendError> {
        self.check_open()?;
        if self.role != Role::Server {
            return Err(SendError::OutOfOrder("a client pushes nothing"));
        }
        let push_id = self.pushes.promises.next;
        // RFC 9114 §4.6, §7.2.5: never above MAX_PUSH_ID; §5.2: nothing new after a GOAWAY.
        if self.pushes.max.is_none_or(|max| push_id > max) {
            return Err(SendError::NotOffered("another push"));
        }
        if self.shutdown.forbids_requests() {
            return Err(SendError::GoingAway);
        }
        if let Some(reason) = push_refusal(head) {
            return Err(Unsendable::Line(reason).into());
        }
        let outgoing = Outgoing::request(head)?;
        let settings = self.control.effective_settings();
        outgoing.check_size(settings.and_then(|peer| peer.max_field_section_bytes))?;
        let exchange = self.exchanges.get(stream).ok_or(SendError::UnknownStream)?;
        exchange.send.check_frame(&self.config.limits)?;
        let limit = self.config.limits.control_send_bytes;
        let room = self.local.room(Purpose::QpackEncoder, limit);
        let sections = &mut self.sections;
        let mut encoded = BytesMut::with_capacity(256);
        frame::push_promise::encode(push_id, &mut encoded, |out| {
            sections.encode(stream, &outgoing, room, out);
        });
        if let Some(exchange) = self.exchanges.get_mut(stream) {
            exchange.send.queue_frame(encoded);
        }
        self.schedule(stream);
        self.pushes.promises.next += 1;
        let priority = Priority::of_request(&head.headers);
        let promise = Promise {
            method: head.method.clone(),
            priority,
            stream: None,
        };
        self.pushes.promises.open.insert(push_id, promise);
        Ok(push_id)
    }

    /// Fulfils a promise on `stream`, a unidirectional one that the transport has just opened. The
    /// response follows as on a request stream.
    ///
    /// # Errors
    /// When the push was cancelled, or has a stream already.
    pub fn open_push(&mut self, push_id: u64, stream: StreamId) -> Result<(), SendError> {
        self.check_open()?;
        let is_free = stream.direction() == Direction::Unidirectional
            && stream.initiator() == Role::Server
            && self.local.find(stream).is_none()
            && !self.exchanges.contains(stream);
        let promise = self.pushes.promises.open.get_mut(&push_id);
        let promise = promise.filter(|promise| is_free && promise.stream.is_none());
        let promise = promise.ok_or(SendError::UnknownStream)?;
        promise.stream = Some(stream);
        let mut sender = Sender::new(SendState::Head);
        let mut header = BytesMut::with_capacity(1 + varint::LEN_MAX);
        varint::encode(stream_type::PUSH, &mut header);
        varint::encode(push_id, &mut header);
        sender.queue_frame(header);
        let mut exchange = Exchange::new(Receive::none(), sender);
        exchange.is_known = true;
        exchange.asked = Asked::from(&promise.method);
        let priority = promise.priority;
        self.exchanges.insert(stream, exchange);
        self.set_priority(stream, priority);
        self.schedule(stream);
        Ok(())
    }

    /// How many pushes the client takes now.
    pub fn pushes_available(&self) -> u64 {
        match self.pushes.max {
            Some(max) if self.role == Role::Server && !self.shutdown.forbids_requests() => {
                (max + 1).saturating_sub(self.pushes.promises.next)
            }
            _ => 0,
        }
    }

    /// The client does not want a push.
    pub(super) fn on_push_unwanted(&mut self, push_id: u64) -> Result<(), ConnectionError> {
        // RFC 9114 §7.2.3: only what was promised can be cancelled.
        if push_id >= self.pushes.promises.next {
            return Err(wrong_id("CANCEL_PUSH for a push that was not promised"));
        }
        self.drop_push(push_id);
        Ok(())
    }

    /// Ends a push that the client will not take.
    fn drop_push(&mut self, push_id: u64) {
        let Some(promise) = self.pushes.promises.open.remove(&push_id) else {
            return;
        };
        self.out.events.push_back(Event::PushCancelled(push_id));
        if let Some(stream) = promise.stream {
            self.reset(stream, Code::H3_REQUEST_CANCELLED);
        }
    }

    /// Tells the client that a promise will not be fulfilled.
    // RFC 9114 §7.2.3: CANCEL_PUSH whether or not the stream is open, and then a reset.
    pub(super) fn withdraw_push(&mut self, push_id: u64) {
        let Some(promise) = self.pushes.promises.open.remove(&push_id) else {
            return;
        };
        self.send_cancel_push(push_id);
        if let Some(stream) = promise.stream {
            self.reset(stream, Code::H3_REQUEST_CANCELLED);
        }
    }

    /// The client takes no push from `limit` on.
    pub(in crate::connection) fn drop_pushes_from(&mut self, limit: u64) {
        let refused: Vec<u64> = self
            .pushes
            .promises
            .open
            .range(limit..)
            .map(|(push_id, _)| *push_id)
            .collect();
        for push_id in refused {
            self.drop_push(push_id);
        }
    }

    /// Forgets the push of a stream that is over.
    pub(in crate::connection) fn forget_promise_stream(&mut self, over: StreamId) {
        self.pushes
            .promises
            .open
            .retain(|_, promise| promise.stream != Some(over));
    }

    // RFC 9218 §7.2: a push that was promised, within what the client allowed.
    pub(in crate::connection) fn on_push_priority_update(
        &mut self,
        push_id: u64,
        value: &[u8],
    ) -> Result<(), ConnectionError> {
        self.glitch("priority updates")?;
        if push_id >= self.pushes.promises.next {
            return Err(wrong_id("a priority for a push that was not promised"));
        }
        let priority = Priority::parse(value).unwrap_or_default();
        if let Some(promise) = self.pushes.promises.open.get_mut(&push_id) {
            promise.priority = priority;
            if let Some(stream) = promise.stream {
                self.set_priority(stream, priority);
            }
        }
        Ok(())
    }
}
