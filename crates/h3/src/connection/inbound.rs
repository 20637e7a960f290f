//! What the transport reports about streams.
//!
//! Invariant: an exchange exists from the first report about its stream until nothing is left to
//! do or to tell; reports about streams that are over change nothing.

use bytes::Bytes;
use http::StatusCode;

use super::Connection;
use super::unidirectional::CLOSED_CRITICAL;
use crate::datagram::Profile;
use crate::error::{Code, ConnectionError, Fault, Origin, Retry, StreamError};
use crate::event::{Action, Event};
use crate::exchange::{Answer, Asked, Encoded, FrameOutcome, Receive, SendState};
use crate::message::{Outgoing, ResponseHead};
use crate::priority::Priority;
use crate::stream::{Direction, Role, StreamId};

impl Connection {
    /// Whether bytes of this stream are welcome now. A transport that reads a stream only then
    /// keeps its flow-control window shut for a slow application.
    #[inline]
    pub fn wants_read(&self, stream: StreamId) -> bool {
        if self.closed.is_some() {
            return false;
        }
        match self.exchanges.get(stream) {
            Some(exchange) => exchange.receive.wants_read(&self.config.limits),
            None if stream.initiator() == self.role => false,
            None => match stream.direction() {
                Direction::Bidirectional => !self.peer.bidirectional.was_opened(stream.index()),
                Direction::Unidirectional => self.reads_unidirectional(stream),
            },
        }
    }

    /// Bytes of a stream arrived, in order.
    pub fn on_stream_data(&mut self, stream: StreamId, mut bytes: Bytes, fin: bool) {
        if self.closed.is_some() {
            return;
        }
        if let Some(exchange) = self.exchanges.get_mut(stream)
            && exchange.is_known
            && exchange
                .receive
                .take_more(&mut bytes, fin, &self.config.limits)
        {
            return Self::notify(&mut self.out, stream, exchange);
        }
        let result = match stream.direction() {
            Direction::Bidirectional if stream.is_request() => {
                self.on_request_data(stream, bytes, fin)
            }
            Direction::Bidirectional => self.on_server_stream_data(stream, bytes, fin),
            Direction::Unidirectional if stream.initiator() != self.role => {
                self.on_unidirectional_data(stream, bytes, fin)
            }
            _ => Ok(()),
        };
        self.settle(stream, result);
    }

    /// The peer abruptly ended its sending direction of a stream.
    pub fn on_reset(&mut self, stream: StreamId, code: Code) {
        if self.closed.is_some() {
            return;
        }
        let result = match self.exchanges.contains(stream) {
            true => self.on_exchange_reset(stream, code),
            false if stream.initiator() == self.role => Ok(()),
            false
                if self.role == Role::Client && stream.direction() == Direction::Bidirectional =>
            {
                self.on_server_stream_reset(stream)
            }
            false if stream.direction() == Direction::Unidirectional => {
                self.on_unidirectional_reset(stream)
            }
            false => self.on_unknown_request_reset(stream),
        };
        self.settle(stream, result);
    }

    /// The peer wants no more of what we send on a stream.
    pub fn on_stop_sending(&mut self, stream: StreamId, code: Code) {
        if self.closed.is_some() {
            return;
        }
        if let Some((local, is_critical)) = self.local.find(stream) {
            if is_critical {
                self.fail(CLOSED_CRITICAL, true);
            } else if !local.is_over() {
                // RFC 9114 §6.2.3: a reserved stream is reset by no error.
                let code = Code::no_error(self.grease.next());
                local.abort();
                self.out.actions.push_back(Action::Reset(stream, code));
            }
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return;
        };
        if exchange.send.is_over() {
            return;
        }
        let retry = match self.role {
            Role::Client => Retry::from_peer_code(code),
            Role::Server => Retry::Unknown,
        };
        let error = StreamError::peer(code, "the peer stopped the stream", retry);
        exchange.send.abort(error);
        // RFC 9000 §3.5: the answer is a reset with the same code.
        self.out.actions.push_back(Action::Reset(stream, code));
        if exchange.is_known {
            self.out.events.push_back(Event::Stopped(stream, error));
        }
        let counted = self.glitch("stopped streams");
        self.settle(stream, counted.map_err(Fault::from));
        self.forget_if_over(stream);
    }

    fn on_request_data(&mut self, stream: StreamId, bytes: Bytes, fin: bool) -> Result<(), Fault> {
        if !self.exchanges.contains(stream)
            && (self.role == Role::Client || !self.open_request(stream)?)
        {
            return Ok(());
        }
        self.on_exchange_data(stream, bytes, fin)
    }

    /// Begins an exchange for a request stream of the client; `false` when it gets none.
    fn open_request(&mut self, stream: StreamId) -> Result<bool, Fault> {
        if !self.peer.bidirectional.open(stream.index())? {
            return Ok(false);
        }
        // RFC 9114 §5.2: requests beyond our GOAWAY are cancelled as they arrive.
        if self.shutdown.refuses(stream) {
            self.reject_unseen(stream);
            return Ok(false);
        }
        let exchange = self.exchanges.begin(stream);
        if !self.config.extension_bidirectional.is_empty() {
            exchange.receive = Receive::untyped(Answer::Request);
        }
        if let Some(priority) = self.peer.take_early_priority(stream) {
            exchange.priority = priority;
            exchange.has_priority_update = true;
        }
        Ok(true)
    }

    fn reject_unseen(&mut self, stream: StreamId) {
        self.out
            .actions
            .push_back(Action::Reset(stream, Code::H3_REQUEST_REJECTED));
        self.out
            .actions
            .push_back(Action::Stop(stream, Code::H3_REQUEST_REJECTED));
    }

    #[inline]
    pub(super) fn on_exchange_data(
        &mut self,
        stream: StreamId,
        mut bytes: Bytes,
        fin: bool,
    ) -> Result<(), Fault> {
        let has_flows = self.control.datagram_profile() == Some(Profile::Draft00);
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return Ok(());
        };
        if fin
            && !has_flows
            && let Some((kept, content_at)) = self.sections.find_whole(&bytes)
            && exchange
                .receive
                .take_whole(&kept.head, &mut bytes, content_at)
        {
            self.sections.pass_over(stream, kept.required)?;
            return self.after_progress(stream);
        }
        exchange.receive.arrive(bytes, fin);
        self.process(stream)
    }

    /// Goes on with a stream in whose buffer room was made.
    pub(super) fn go_on(&mut self, stream: StreamId) {
        let Some(exchange) = self.exchanges.get(stream) else {
            return;
        };
        if exchange.receive.has_unread() {
            let processed = self.process(stream);
            self.settle(stream, processed);
        }
        // What the transport holds back can be read.
        if self.wants_read(stream) && self.exchanges.contains(stream) {
            self.out.resumed.push_back(stream);
        }
    }

    /// Makes messages of what arrived on a stream.
    fn process(&mut self, stream: StreamId) -> Result<(), Fault> {
        loop {
            let (exchange, mut context) = self.split(stream);
            let Some(exchange) = exchange else {
                return Ok(());
            };
            match exchange.receive.process(&mut context)? {
                FrameOutcome::Idle => break,
                FrameOutcome::Promise(push_id, section) => {
                    self.on_promise(stream, push_id, *section)?;
                }
                FrameOutcome::Capsule(payload) => self.on_draft_capsule(stream, payload)?,
                FrameOutcome::Extension(ty) => self.on_extension_stream(stream, ty.value())?,
            }
        }
        self.after_progress(stream)
    }

    /// Tells the application, which may get a new request by it.
    #[inline]
    fn after_progress(&mut self, stream: StreamId) -> Result<(), Fault> {
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return Ok(());
        };
        let patience = &self.config.limits.patience;
        self.watch
            .stalls
            .note_wait(exchange.receive.wait(), patience);
        if !exchange.is_known {
            // A push stream waits for its promise.
            if !exchange.receive.has_head() || self.role == Role::Client {
                return Ok(());
            }
            // A request counts until its application is done with it, so that opening and
            // resetting streams does not start work without bound.
            if self.handed_out.requests >= self.config.limits.requests {
                let reason = "too many requests are being handled";
                return Err(StreamError::local(Code::H3_REQUEST_REJECTED, reason).into());
            }
            self.hand_out(stream);
            return Ok(());
        }
        Self::notify(&mut self.out, stream, exchange);
        Ok(())
    }

    fn hand_out(&mut self, stream: StreamId) {
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return;
        };
        exchange.is_known = true;
        exchange.is_told = true;
        self.handed_out.requests += 1;
        let mut wanted = exchange.priority;
        if let Some(head) = exchange.receive.request_head() {
            // RFC 9218 §7: a PRIORITY_UPDATE is newer than the header field, whenever it arrived.
            if !exchange.has_priority_update && !head.headers.is_empty() {
                wanted = Priority::of_request(&head.headers);
            }
            exchange.asked = Asked::from(&head.method);
            if head.protocol.is_some() {
                exchange.takes_datagrams = true;
                self.datagrams.become_of_use();
            }
        }
        exchange.priority = Priority::default();
        let has_datagrams = exchange.datagrams.is_some();
        if wanted != Priority::default() {
            self.set_priority(stream, wanted);
        }
        self.shutdown.on_handed_out(stream);
        self.out.events.push_back(Event::Request(stream));
        if has_datagrams {
            self.tell_datagrams(stream);
        }
        self.deliver_early();
    }

    /// Goes on with streams whose sections were waiting for the encoder stream.
    pub(super) fn resume_blocked(&mut self) -> Result<(), ConnectionError> {
        while let Some((stream, section)) = self.sections.next_unblocked() {
            let result = section.and_then(|section| {
                let (exchange, mut context) = self.split(stream);
                let Some(exchange) = exchange else {
                    return Ok(());
                };
                if let FrameOutcome::Promise(push_id, section) =
                    exchange.receive.on_unblocked(section, &mut context)?
                {
                    self.on_promise(stream, push_id, *section)?;
                }
                self.process(stream)
            });
            match result {
                Ok(()) => self.out.resumed.push_back(stream),
                Err(Fault::Stream(error)) => self.abort(stream, error),
                Err(Fault::Connection(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn on_exchange_reset(&mut self, stream: StreamId, code: Code) -> Result<(), Fault> {
        let role = self.role;
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return Ok(());
        };
        if !exchange.receive.is_open() {
            return Ok(());
        }
        let retry = match role {
            // RFC 9114 §4.1.1: a rejection cannot follow a response.
            Role::Client if !exchange.receive.has_head() => Retry::from_peer_code(code),
            _ => Retry::Unknown,
        };
        exchange
            .receive
            .fail(StreamError::peer(code, "the peer reset the stream", retry));
        self.glitch("reset streams")?;
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return Ok(());
        };
        if exchange.is_known {
            Self::notify(&mut self.out, stream, exchange);
        } else {
            // RFC 9114 §4.1.1: a request that was cancelled before anybody saw it is rejected.
            if !exchange.send.is_over() {
                self.out
                    .actions
                    .push_back(Action::Reset(stream, Code::H3_REQUEST_REJECTED));
            }
            self.forget(stream);
        }
        self.sections.cancel(stream)?;
        self.forget_if_over(stream);
        Ok(())
    }

    fn on_unknown_request_reset(&mut self, stream: StreamId) -> Result<(), Fault> {
        if self.role == Role::Server && self.peer.bidirectional.open(stream.index())? {
            self.glitch("reset streams")?;
            self.out
                .actions
                .push_back(Action::Reset(stream, Code::H3_REQUEST_REJECTED));
        }
        Ok(())
    }

    /// Answers a request whose header section is too large, where a response is possible.
    // RFC 9114 §4.2.2: 431 tells the client more than a reset.
    pub(super) fn answer_too_large(&mut self, stream: StreamId, error: StreamError) -> bool {
        let is_ours = error == StreamError::TOO_LARGE && error.origin == Origin::Local;
        if self.role != Role::Server || !is_ours {
            return false;
        }
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return false;
        };
        if exchange.is_known || exchange.send.state() != SendState::Head {
            return false;
        }
        if !exchange.receive.has_fin() {
            self.out
                .actions
                .push_back(Action::Stop(stream, Code::H3_NO_ERROR));
        }
        exchange.receive.close();
        self.cancel_sections(stream);
        let head = ResponseHead::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let outgoing = Outgoing::response(&head).expect("a status without fields can be sent");
        let encoded = self.encode(stream, &outgoing);
        if let Some(exchange) = self.exchanges.get_mut(stream) {
            exchange.send.queue_head(Encoded::Own(encoded), None);
            exchange.send.end(self.config.padding);
        }
        self.schedule(stream);
        true
    }
}
