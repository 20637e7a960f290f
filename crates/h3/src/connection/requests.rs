//! What the application does with requests and responses.
//!
//! Invariant: a call that fails has queued nothing.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::Connection;
use super::Sections;
use super::critical::Purpose;
use super::resent::SentHead;
use crate::datagram::Profile;
use crate::error::{Code, StreamError};
use crate::event::{Action, Finish};
use crate::exchange::{
    Answer, Asked, Content, Encoded, Head, Incoming, Message, SendError, SendState, has_no_content,
};
use crate::frame::{self, FrameType, data};
use crate::message::{Checked, Expected, Outgoing, RequestHead, ResponseHead};
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
        self.send_request_with(stream, head, Bytes::new(), finish)
    }

    /// The same with content, all of it or its beginning, which goes out in the same piece.
    ///
    /// # Errors
    /// Nothing was sent, and the stream can be used for another request.
    pub fn send_request_with(
        &mut self,
        stream: StreamId,
        head: &RequestHead,
        content: Bytes,
        finish: Finish,
    ) -> Result<(), SendError> {
        let message = self.begin_request(stream, head, content, finish)?;
        self.queue_message(stream, message);
        Ok(())
    }

    /// Begins the exchange of a request, whose message is then to be sent.
    #[inline]
    pub(super) fn begin_request(
        &mut self,
        stream: StreamId,
        head: &RequestHead,
        content: Bytes,
        finish: Finish,
    ) -> Result<Message, SendError> {
        self.check_request()?;
        if !stream.is_request() || self.exchanges.contains(stream) {
            return Err(SendError::UnknownStream);
        }
        let (sent, mut fields) = (SentHead::Request(head), None);
        let checked = self.check_head(sent, &mut fields)?;
        // RFC 9220 §3: extended CONNECT only after the server's setting arrived.
        let settings = self.control.effective_settings();
        if head.protocol.is_some() && !settings.is_some_and(|peer| peer.extended_connect) {
            return Err(SendError::NotOffered("extended CONNECT"));
        }
        let asked = Asked::from(&head.method);
        let (expected, kind) = match asked {
            Asked::Connect => (Expected::Any, Content::Tunnel),
            _ => (checked.expected, Content::Message),
        };
        check_content(expected, content.len(), finish)?;
        if asked == Asked::Connect && finish == Finish::Now {
            check_content(checked.expected, 0, finish)?;
        }
        let answer = Answer::Response {
            to_head: asked == Asked::Head,
            to_connect: asked == Asked::Connect,
            is_pushed: false,
        };
        if self.control.datagram_profile() == Some(Profile::Draft00) {
            self.datagrams
                .on_headers(stream, &head.headers)
                .map_err(SendError::Stream)?;
        }
        let behind = Behind::message(content.len(), finish);
        let encoded = self.encode_head(stream, sent, fields.as_ref(), behind);
        let exchange = self.exchanges.begin(stream);
        exchange.receive.await_answer(answer);
        exchange.is_known = true;
        if head.protocol.is_some() {
            exchange.takes_datagrams = true;
            self.datagrams.become_of_use();
        }
        if self.pushes.max().is_some() {
            exchange.request_authority = head.uri.authority().cloned();
        }
        let priority = match checked.has_priority {
            true => Priority::of_request(&head.headers),
            false => Priority::default(),
        };
        if priority != exchange.priority {
            exchange.priority = priority;
            let action = Action::Prioritize(stream, priority.for_transport());
            self.out.actions.push_back(action);
        }
        let head = Head {
            expected,
            content: kind,
        };
        Ok(Message {
            encoded,
            head,
            content,
            finish,
        })
    }

    /// Puts a message in line that was begun.
    pub(super) fn queue_message(&mut self, stream: StreamId, message: Message) {
        if let Some(exchange) = self.exchanges.get_mut(stream) {
            exchange.send.queue_message(message, self.config.padding);
            Self::put_in_line(&mut self.out, stream, exchange);
        }
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
        let (sent, mut fields) = (SentHead::Response(head), None);
        self.check_head(sent, &mut fields)?;
        let encoded = self.encode_head(stream, sent, fields.as_ref(), Behind::Nothing);
        if let Some(exchange) = self.exchanges.get_mut(stream) {
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
        self.send_response_with(stream, head, Bytes::new(), finish)
    }

    /// Sends the final response with content, all of it or its beginning, which goes out in the
    /// same piece.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn send_response_with(
        &mut self,
        stream: StreamId,
        head: &ResponseHead,
        content: Bytes,
        finish: Finish,
    ) -> Result<(), SendError> {
        let message = self.begin_response(stream, head, content, finish)?;
        self.queue_message(stream, message);
        Ok(())
    }

    /// Checks and encodes a final response, which is then to be sent.
    #[inline]
    pub(super) fn begin_response(
        &mut self,
        stream: StreamId,
        head: &ResponseHead,
        content: Bytes,
        finish: Finish,
    ) -> Result<Message, SendError> {
        if head.status.is_informational() {
            return Err(SendError::OutOfOrder(
                "a final response has no status of 1xx",
            ));
        }
        let asked = self.check_response(stream)?;
        let (sent, mut fields) = (SentHead::Response(head), None);
        let checked = self.check_head(sent, &mut fields)?;
        let is_tunnel = asked == Asked::Connect && head.status.is_success();
        let (expected, kind) = match is_tunnel {
            true => (Expected::Any, Content::Tunnel),
            false if asked == Asked::Head || has_no_content(head.status) => {
                (Expected::Nothing, Content::Message)
            }
            false => (checked.expected, Content::Message),
        };
        check_content(expected, content.len(), finish)?;
        let behind = Behind::message(content.len(), finish);
        let encoded = self.encode_head(stream, sent, fields.as_ref(), behind);
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return Err(SendError::UnknownStream);
        };
        // RFC 9218 §8: a server's own view of a response refines what the client asked for.
        let mut priority = match checked.has_priority {
            true => exchange.priority.refined_by_response(&head.headers),
            false => exchange.priority,
        };
        if is_tunnel {
            // RFC 9218 §10.1: a tunnel lasts, so that it takes turns with what is beside it.
            priority = priority.taking_turns();
        }
        if priority != exchange.priority {
            self.set_priority(stream, priority);
        }
        let head = Head {
            expected,
            content: kind,
        };
        Ok(Message {
            encoded,
            head,
            content,
            finish,
        })
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
            .get_mut(stream)
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
            .get_mut(stream)
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
        let exchange = self.exchanges.get(stream).ok_or(SendError::UnknownStream)?;
        exchange.send.check_trailers()?;
        let outgoing = Outgoing::trailers(trailers)?;
        let settings = self.control.effective_settings();
        outgoing.check_size(settings.and_then(|peer| peer.max_field_section_bytes))?;
        let encoded = self.encode(stream, &outgoing);
        if let Some(exchange) = self.exchanges.get_mut(stream) {
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
            .get_mut(stream)
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
        let exchange = self.exchanges.get_mut(stream)?;
        let was_ample = exchange.receive.is_ample(&self.config.limits);
        let taken = exchange.receive.take();
        let has_drained = was_ample && !exchange.receive.is_ample(&self.config.limits);
        match &taken {
            None => exchange.is_told = false,
            Some(Ok(Incoming::Request(_))) => {}
            Some(Ok(Incoming::Data(_) | Incoming::Extension(..))) => {
                if has_drained {
                    self.go_on(stream);
                }
            }
            Some(_) => self.forget_if_over(stream),
        }
        taken
    }

    /// Takes content, if that comes next on a stream, and says whether the message ends behind it.
    /// Whatever else comes is left for [`Connection::receive`].
    pub fn receive_content(&mut self, stream: StreamId) -> (Bytes, bool) {
        let Some(exchange) = self.exchanges.get_mut(stream) else {
            return (Bytes::new(), false);
        };
        let was_ample = exchange.receive.is_ample(&self.config.limits);
        let taken = exchange.receive.take_content();
        let has_drained = was_ample && !exchange.receive.is_ample(&self.config.limits);
        if taken.1 {
            self.forget_if_over(stream);
        } else if has_drained {
            self.go_on(stream);
        }
        taken
    }

    /// The next thing that came in on a stream, and what of [`Connection::receive_content`] follows
    /// it already.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn receive_with_content(
        &mut self,
        stream: StreamId,
    ) -> Option<(Result<Incoming, StreamError>, Bytes, bool)> {
        let exchange = self.exchanges.get_mut(stream)?;
        if !exchange.receive.has_news() {
            exchange.is_told = false;
            return None;
        }
        if !exchange.receive.is_head_next() {
            let next = self.receive(stream)?;
            let (content, is_end) = match next {
                Ok(Incoming::End) | Err(_) => (Bytes::new(), false),
                Ok(_) => self.receive_content(stream),
            };
            return Some((next, content, is_end));
        }
        let was_ample = exchange.receive.is_ample(&self.config.limits);
        let head = exchange.receive.take()?;
        let (content, is_end) = exchange.receive.take_content();
        let has_drained = was_ample && !exchange.receive.is_ample(&self.config.limits);
        if is_end {
            self.forget_if_over(stream);
        } else if has_drained {
            self.go_on(stream);
        }
        Some((head, content, is_end))
    }

    /// Abruptly ends what we send on a stream. A client that says H3_REQUEST_REJECTED, which is
    /// for servers to say, cancels.
    pub fn reset(&mut self, stream: StreamId, code: Code) {
        let code = self.own_code(code);
        let Some(exchange) = self.exchanges.get_mut(stream) else {
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
        let Some(exchange) = self.exchanges.get_mut(stream) else {
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
        let Some(exchange) = self.exchanges.get_mut(stream) else {
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
        let exchange = self.exchanges.get(stream).ok_or(SendError::UnknownStream)?;
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
            .get(stream)
            .map_or(0, |exchange| exchange.send.queued_bytes())
    }

    pub(super) fn check_open(&self) -> Result<(), SendError> {
        match self.closed {
            Some(closed) => Err(SendError::Connection(closed.error)),
            None => Ok(()),
        }
    }

    /// Checks that a response can be sent now, and says what was asked for.
    fn check_response(&mut self, stream: StreamId) -> Result<Asked, SendError> {
        self.check_open()?;
        let exchange = self
            .exchanges
            .get_mut(stream)
            .ok_or(SendError::UnknownStream)?;
        match exchange.send.state() {
            SendState::Head if self.role == Role::Server => Ok(exchange.asked),
            SendState::Aborted(error) => Err(SendError::Stream(error)),
            _ => Err(SendError::OutOfOrder("a response after the final one")),
        }
    }

    /// Checks that this head can be sent and that the peer takes it. It gives the fields where they
    /// are needed: the connection has the frame of a head that is sent again.
    fn check_head<'a>(
        &self,
        head: SentHead<'a>,
        fields: &mut Option<Outgoing<'a>>,
    ) -> Result<Checked, SendError> {
        let checked = match self.sections.checked(head) {
            Some(checked) => checked,
            None => fields.insert(head.fields()?).checked(),
        };
        let settings = self.control.effective_settings();
        // RFC 9114 §4.2.2, §7.2.4.2: what the peer's settings forbid is not sent.
        checked.check_size(settings.and_then(|peer| peer.max_field_section_bytes))?;
        Ok(checked)
    }

    /// Encodes a head into a HEADERS frame; `fields` are what [`Connection::check_head`] gave.
    #[inline]
    fn encode_head(
        &mut self,
        stream: StreamId,
        head: SentHead<'_>,
        fields: Option<&Outgoing<'_>>,
        behind: Behind,
    ) -> Encoded {
        if fields.is_none() && self.sections.repeat(stream) {
            let content_len = match behind {
                Behind::Nothing => None,
                Behind::Content(len) => Some(len),
                Behind::Room => {
                    let encode = |sections: &mut Sections, _, out: &mut BytesMut| {
                        out.extend_from_slice(sections.frame_again());
                    };
                    return Encoded::Own(self.encode_frame(behind, encode));
                }
            };
            return Encoded::Shared(self.sections.begin_again(content_len));
        }
        let anew;
        let fields = match fields {
            Some(fields) => fields,
            None => {
                anew = head.fields().expect("the same head was sent before");
                &anew
            }
        };
        Encoded::Own(self.encode_frame(behind, |sections, room, out| {
            sections.encode_head(stream, head, fields, room, out);
        }))
    }

    /// Encodes trailers, or a head that is sent once, into a HEADERS frame.
    pub(super) fn encode(&mut self, stream: StreamId, fields: &Outgoing<'_>) -> BytesMut {
        self.encode_frame(Behind::Nothing, |sections, room, out| {
            frame::headers::encode_with(FrameType::HEADERS, out, |out| {
                sections.encode(stream, fields, room, out);
            });
        })
    }

    /// Gives memory to `encode`, which writes a HEADERS frame, and says how much the encoder
    /// stream can take.
    fn encode_frame(
        &mut self,
        behind: Behind,
        encode: impl FnOnce(&mut Sections, usize, &mut BytesMut),
    ) -> BytesMut {
        let limit = self.config.limits.control_send_bytes;
        let room = self.local.room(Purpose::QpackEncoder, limit);
        // One allocation serves many sections, where there are many. A single exchange gets what
        // the last section took: messages of a connection are alike.
        let is_alone = self.exchanges.len() <= 1;
        let (sections, memory) = (&mut self.sections, &mut self.out.sections);
        // Memory from the start: to get it for what has none costs twice as much.
        let mut own = match is_alone {
            true => BytesMut::with_capacity(memory.last_bytes),
            false => BytesMut::new(),
        };
        let buffer = match is_alone {
            true => &mut own,
            false => {
                if memory.shared.capacity() - memory.shared.len() < SECTION_ROOM {
                    memory.shared.reserve(SECTIONS_ROOM);
                }
                &mut memory.shared
            }
        };
        encode(sections, room, buffer);
        match behind {
            Behind::Nothing => {}
            Behind::Content(len) => data::encode(len, buffer),
            Behind::Room => {
                let len = buffer.len();
                buffer.resize(len + data::HEADER_LEN_MAX, 0);
                if is_alone {
                    memory.last_bytes = buffer.len().min(SECTION_ROOM);
                }
                let mut encoded = buffer.split();
                encoded.truncate(len);
                return encoded;
            }
        }
        if !is_alone {
            return buffer.split();
        }
        memory.last_bytes = own.len().min(SECTION_ROOM);
        own
    }
}

/// What follows a field section in the memory that it is encoded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Nothing,
    /// The header of a DATA frame with so much content.
    Content(usize),
    /// Room for the header of a DATA frame whose content is still to come.
    Room,
}

impl Behind {
    fn message(content_len: usize, finish: Finish) -> Self {
        match (content_len, finish) {
            (0, Finish::Now) => Self::Nothing,
            (0, Finish::Later) => Self::Room,
            _ => Self::Content(content_len),
        }
    }
}

/// Checks content that goes out with the header section against what that declares.
fn check_content(mut expected: Expected, len: usize, finish: Finish) -> Result<(), SendError> {
    let is_over = match finish {
        Finish::Now => expected.take(len as u64).and_then(|()| expected.finish()),
        Finish::Later => expected.take(len as u64),
    };
    is_over.map_err(|_| SendError::ContentLength)
}

/// How much room most sections need.
const SECTION_ROOM: usize = 256;

/// How much is allocated for several sections at once.
const SECTIONS_ROOM: usize = 1024;
