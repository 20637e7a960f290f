//! What the application does with requests and responses.
//!
//! Invariant: a call that fails has queued nothing.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};

use super::Connection;
use super::critical::Purpose;
use crate::datagram::Profile;
use crate::error::{Code, StreamError};
use crate::event::{Action, Finish};
use crate::exchange::{
    Answer, Content, Exchange, Head, Incoming, Receive, SendError, SendState, Sender,
    has_no_content,
};
use crate::frame::{self, FrameType, data};
use crate::message::{Expected, Outgoing, RequestHead, ResponseHead};
use crate::priority::Priority;
use crate::stream::{Role, StreamId};

impl Connection {
    /// Whether a request may be sent now, as far as the connection is concerned.
    ///
    /// # Errors
    /// Why not.
    pub fn check_request(&self) -> Result<(), SendError> {
        self.check_open()?;
        if self.role != Role::Client {
            return Err(SendError::OutOfOrder("a server sends no requests"));
        }
        // RFC 9114 §5.2: no new requests after a GOAWAY.
        if self.shutdown.forbids_requests() {
            Err(SendError::GoingAway)
        } else {
            Ok(())
        }
    }

    /// Sends a request on `stream`, a bidirectional one that the transport has just opened. It
    /// does not wait for the settings of the server.
    ///
    /// # Errors
    /// Nothing was sent, and the stream can be used for another request.
    pub fn send_request(
        &mut self,
        stream: StreamId,
        head: &RequestHead,
        finish: Finish,
    ) -> Result<(), SendError> {
        self.check_request()?;
        if !stream.is_request() || self.exchanges.contains_key(&stream) {
            return Err(SendError::UnknownStream);
        }
        let outgoing = Outgoing::request(head)?;
        // RFC 9220 §3: extended CONNECT only after the server's setting arrived.
        let settings = self.control.effective_settings();
        if head.protocol.is_some() && !settings.is_some_and(|peer| peer.extended_connect) {
            return Err(SendError::NotOffered("extended CONNECT"));
        }
        // RFC 9114 §4.2.2, §7.2.4.2: what the peer's settings forbid is not sent.
        outgoing.check_size(settings.and_then(|peer| peer.max_field_section_bytes))?;
        let expected = outgoing.expected();
        if finish == Finish::Now {
            expected.finish().map_err(|_| SendError::ContentLength)?;
        }
        let answer = Answer::Response {
            to_head: head.method == Method::HEAD,
            to_connect: head.is_connect(),
            is_pushed: false,
        };
        if self.control.datagram_profile() == Some(Profile::Draft00) {
            self.datagrams
                .on_headers(stream, &head.headers)
                .map_err(SendError::Stream)?;
        }
        let encoded = self.encode(stream, FrameType::HEADERS, &outgoing);
        let mut exchange = Exchange::new(Receive::new(answer), Sender::new(SendState::Head));
        exchange.is_known = true;
        exchange.takes_datagrams = head.protocol.is_some();
        if self.pushes.max().is_some() {
            exchange.request_authority = head.uri.authority().cloned();
        }
        let (expected, content) = match head.is_connect() {
            true => (Expected::Any, Content::Tunnel),
            false => (expected, Content::Message),
        };
        exchange
            .send
            .queue_head(encoded, Some(Head { expected, content }));
        let priority = Priority::of_request(&head.headers);
        if priority != exchange.priority {
            exchange.priority = priority;
            self.out
                .actions
                .push_back(Action::Prioritize(stream, priority.for_transport()));
        }
        match finish {
            Finish::Now => exchange.send.end(self.config.padding),
            Finish::Later => exchange.send.pad(self.config.padding),
        }
        self.exchanges.insert(stream, Box::new(exchange));
        self.schedule(stream);
        Ok(())
    }

    /// Sends an interim response; several may precede the final one.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_interim(&mut self, stream: StreamId, head: &ResponseHead) -> Result<(), SendError> {
        if !head.status.is_informational() {
            return Err(SendError::OutOfOrder(
                "an interim response has a status of 1xx",
            ));
        }
        self.check_response(stream)?;
        let outgoing = self.check_outgoing_response(head)?;
        let encoded = self.encode(stream, FrameType::HEADERS, &outgoing);
        if let Some(exchange) = self.exchanges.get_mut(&stream) {
            exchange.send.queue_head(encoded, None);
        }
        self.schedule(stream);
        Ok(())
    }

    /// Sends the final response.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_response(
        &mut self,
        stream: StreamId,
        head: &ResponseHead,
        finish: Finish,
    ) -> Result<(), SendError> {
        if head.status.is_informational() {
            return Err(SendError::OutOfOrder(
                "a final response has no status of 1xx",
            ));
        }
        self.check_response(stream)?;
        let outgoing = self.check_outgoing_response(head)?;
        let Some(exchange) = self.exchanges.get(&stream) else {
            return Err(SendError::UnknownStream);
        };
        let declared = outgoing.expected();
        let to_head = exchange.request_method == Some(Method::HEAD);
        let is_tunnel =
            exchange.request_method == Some(Method::CONNECT) && head.status.is_success();
        let (expected, content) = match is_tunnel {
            true => (Expected::Any, Content::Tunnel),
            false if to_head || has_no_content(head.status) => {
                (Expected::Nothing, Content::Message)
            }
            false => (declared, Content::Message),
        };
        if finish == Finish::Now {
            expected.finish().map_err(|_| SendError::ContentLength)?;
        }
        let encoded = self.encode(stream, FrameType::HEADERS, &outgoing);
        let mut priority = exchange_priority(&self.exchanges[&stream], head);
        if is_tunnel {
            // RFC 9218 §10.1: a tunnel lasts, so that it takes turns with what is beside it.
            priority = priority.taking_turns();
        }
        if let Some(exchange) = self.exchanges.get_mut(&stream) {
            exchange
                .send
                .queue_head(encoded, Some(Head { expected, content }));
            match finish {
                Finish::Now => exchange.send.end(self.config.padding),
                Finish::Later => exchange.send.pad(self.config.padding),
            }
        }
        self.set_priority(stream, priority);
        self.schedule(stream);
        Ok(())
    }

    /// Sends content; the bytes are not copied.
    ///
    /// # Errors
    /// Nothing was sent. [`SendError::WouldBlock`] is followed by
    /// [`Event::Writable`](crate::Event::Writable).
    pub fn send_data(
        &mut self,
        stream: StreamId,
        content: Bytes,
        finish: Finish,
    ) -> Result<(), SendError> {
        self.check_open()?;
        let exchange = self
            .exchanges
            .get_mut(&stream)
            .ok_or(SendError::UnknownStream)?;
        if let Err(error) = exchange
            .send
            .check_data(content.len(), finish, &self.config.limits)
        {
            if error == SendError::WouldBlock {
                exchange.send.want_room();
            }
            return Err(error);
        }
        exchange.send.queue_data(content);
        if finish == Finish::Now {
            exchange.send.end(self.config.padding);
        }
        self.schedule(stream);
        Ok(())
    }

    /// Whether there is room for content on a stream.
    ///
    /// # Errors
    /// [`SendError::WouldBlock`] is followed by [`Event::Writable`](crate::Event::Writable).
    pub fn poll_room(&mut self, stream: StreamId) -> Result<(), SendError> {
        self.check_open()?;
        let exchange = self
            .exchanges
            .get_mut(&stream)
            .ok_or(SendError::UnknownStream)?;
        let room = exchange
            .send
            .check_data(1, Finish::Later, &self.config.limits);
        if room == Err(SendError::WouldBlock) {
            exchange.send.want_room();
        }
        room
    }

    /// Sends trailers, which end the message.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_trailers(
        &mut self,
        stream: StreamId,
        trailers: &HeaderMap,
    ) -> Result<(), SendError> {
        self.check_open()?;
        let exchange = self
            .exchanges
            .get(&stream)
            .ok_or(SendError::UnknownStream)?;
        exchange.send.check_trailers()?;
        let outgoing = Outgoing::trailers(trailers)?;
        let settings = self.control.effective_settings();
        outgoing.check_size(settings.and_then(|peer| peer.max_field_section_bytes))?;
        let encoded = self.encode(stream, FrameType::HEADERS, &outgoing);
        if let Some(exchange) = self.exchanges.get_mut(&stream) {
            exchange.send.queue_frame(encoded);
            exchange.send.end(self.config.padding);
        }
        self.schedule(stream);
        Ok(())
    }

    /// Ends the message.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn finish(&mut self, stream: StreamId) -> Result<(), SendError> {
        self.send_data(stream, Bytes::new(), Finish::Now)
    }

    /// Sends a frame of an extension on a request stream. Its meaning must have been negotiated
    /// unless the peer may ignore it.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_extension_frame(
        &mut self,
        stream: StreamId,
        ty: FrameType,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.check_open()?;
        if ty.name().is_some() || ty.is_http2_only() {
            return Err(SendError::OutOfOrder(
                "a frame type that HTTP/3 defines or reserves",
            ));
        }
        let exchange = self
            .exchanges
            .get_mut(&stream)
            .ok_or(SendError::UnknownStream)?;
        exchange.send.check_frame(&self.config.limits)?;
        let mut encoded = BytesMut::new();
        frame::encode_header(ty, payload.len(), &mut encoded);
        encoded.extend_from_slice(payload);
        exchange.send.queue_frame(encoded);
        self.schedule(stream);
        Ok(())
    }

    /// The next thing that came in on a stream; `None` when there is nothing now.
    ///
    /// # Errors
    /// The end of the stream, once; what came before it was given before.
    pub fn receive(&mut self, stream: StreamId) -> Option<Result<Incoming, StreamError>> {
        let exchange = self.exchanges.get_mut(&stream)?;
        let was_full = exchange.receive.is_full(&self.config.limits);
        let taken = exchange.receive.take();
        match &taken {
            None => exchange.is_told = false,
            Some(Ok(Incoming::Request(_))) => {}
            Some(Ok(Incoming::Data(_) | Incoming::Extension(..))) => {
                if was_full {
                    self.go_on(stream);
                }
            }
            Some(_) => self.forget_if_over(stream),
        }
        taken
    }

    /// Abruptly ends what we send on a stream. A client that says H3_REQUEST_REJECTED, which is
    /// for servers to say, cancels.
    pub fn reset(&mut self, stream: StreamId, code: Code) {
        let code = self.own_code(code);
        let Some(exchange) = self.exchanges.get_mut(&stream) else {
            return;
        };
        if !exchange.send.is_over() {
            exchange
                .send
                .abort(StreamError::local(code, "reset by the application"));
            self.out.actions.push_back(Action::Reset(stream, code));
            self.forget_if_over(stream);
        }
    }

    /// Reads a stream no more. A server that does not need the rest of a request says
    /// [`Code::H3_NO_ERROR`], and its response is kept by the client.
    pub fn stop(&mut self, stream: StreamId, code: Code) {
        let code = self.own_code(code);
        let Some(exchange) = self.exchanges.get_mut(&stream) else {
            return;
        };
        let was_open = exchange.receive.is_open();
        if was_open && !exchange.receive.has_fin() {
            self.out.actions.push_back(Action::Stop(stream, code));
        }
        exchange.receive.close();
        if was_open {
            self.cancel_sections(stream);
        }
        self.forget_if_over(stream);
    }

    // RFC 9114 §4.1.1: a client uses H3_REQUEST_REJECTED only in answer to the same from a server,
    // which is how a stopped stream is reset.
    fn own_code(&self, code: Code) -> Code {
        match (self.role, code) {
            (Role::Client, Code::H3_REQUEST_REJECTED) => Code::H3_REQUEST_CANCELLED,
            _ => code,
        }
    }

    /// The application is done with a stream. Whatever is not complete is cancelled: an unread
    /// request by H3_NO_ERROR if its response is complete, everything else by
    /// H3_REQUEST_CANCELLED.
    pub fn release(&mut self, stream: StreamId) {
        let Some(exchange) = self.exchanges.get_mut(&stream) else {
            return;
        };
        let is_complete = matches!(
            exchange.send.state(),
            SendState::Ended | SendState::Finished
        );
        // RFC 9114 §4.1: after a complete response, no error is what stops the request.
        let code = match self.role == Role::Server && is_complete {
            true => Code::no_error(self.grease.sometimes(8)),
            // RFC 9114 §4.1.1: how clients cancel, and servers that have begun to process.
            false => Code::H3_REQUEST_CANCELLED,
        };
        if !is_complete {
            self.reset(stream, code);
        }
        self.stop(stream, code);
    }

    /// Refuses a request that nothing was done for; the client may send it again.
    ///
    /// # Errors
    /// A response was begun, so that the client must not conclude that nothing was done.
    // RFC 9114 §4.1.1: H3_REQUEST_REJECTED only from servers and only without any processing.
    pub fn reject(&mut self, stream: StreamId) -> Result<(), SendError> {
        let exchange = self
            .exchanges
            .get(&stream)
            .ok_or(SendError::UnknownStream)?;
        if self.role != Role::Server || exchange.send.state() != SendState::Head {
            return Err(SendError::OutOfOrder(
                "a request that was processed is not rejected",
            ));
        }
        self.reset(stream, Code::H3_REQUEST_REJECTED);
        self.stop(stream, Code::H3_REQUEST_REJECTED);
        Ok(())
    }

    /// How many bytes wait to be sent on a stream.
    pub fn queued_bytes(&self, stream: StreamId) -> usize {
        self.exchanges
            .get(&stream)
            .map_or(0, |exchange| exchange.send.queued_bytes())
    }

    pub(super) fn check_open(&self) -> Result<(), SendError> {
        match self.closed {
            Some(closed) => Err(SendError::Connection(closed.error)),
            None => Ok(()),
        }
    }

    fn check_response(&self, stream: StreamId) -> Result<(), SendError> {
        self.check_open()?;
        let exchange = self
            .exchanges
            .get(&stream)
            .ok_or(SendError::UnknownStream)?;
        match exchange.send.state() {
            SendState::Head if self.role == Role::Server => Ok(()),
            SendState::Aborted(error) => Err(SendError::Stream(error)),
            _ => Err(SendError::OutOfOrder("a response after the final one")),
        }
    }

    fn check_outgoing_response<'a>(
        &self,
        head: &'a ResponseHead,
    ) -> Result<Outgoing<'a>, SendError> {
        let outgoing = Outgoing::response(head)?;
        let settings = self.control.effective_settings();
        outgoing.check_size(settings.and_then(|peer| peer.max_field_section_bytes))?;
        Ok(outgoing)
    }

    /// Encodes a section into a frame, with room for the header of a DATA frame behind it.
    pub(super) fn encode(
        &mut self,
        stream: StreamId,
        ty: FrameType,
        fields: &Outgoing<'_>,
    ) -> BytesMut {
        let limit = self.config.limits.control_send_bytes;
        let room = self.local.room(Purpose::QpackEncoder, limit);
        let sections = &mut self.sections;
        let buffer = &mut self.out.buffer;
        if buffer.capacity() - buffer.len() < SECTION_ROOM {
            buffer.reserve(BUFFER_BYTES);
        }
        frame::headers::encode_with(ty, buffer, |out| sections.encode(stream, fields, room, out));
        let len = buffer.len();
        buffer.reserve(data::HEADER_LEN_MAX);
        buffer.resize(len + data::HEADER_LEN_MAX, 0);
        let mut encoded = buffer.split();
        encoded.truncate(len);
        encoded
    }
}

// RFC 9218 §8: a server's own view of a response refines what the client asked for.
fn exchange_priority(exchange: &Exchange, head: &ResponseHead) -> Priority {
    exchange.priority.refined_by_response(&head.headers)
}

/// How much room most sections need.
const SECTION_ROOM: usize = 256;

/// How much is allocated at once, for a dozen sections.
const BUFFER_BYTES: usize = 1024;
