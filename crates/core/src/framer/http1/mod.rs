//! Messages of HTTP/1.1 (RFC 9112): heads as metadata, bodies as the bytes of messages.
//!
//! Invariant: where a message ends is said in one way only. A head in which two ways contradict
//! each other, or that another reader could understand in another way, ends the connection.

mod chunked;
mod head;

use super::body::{Body, Demand, ended_within_message, too_long, unframeable, violation};
use super::{Deframed, Frame, Framer, Outgoing};
use crate::message::MessageContext;
use crate::send_queue::WireBuffer;
use crate::{Failure, FailureKind, Origin};
use bytes::{Buf, BytesMut};
use chunked::Chunked;
use head::{Head, Length};
use memchr::{memchr_iter, memmem};
use std::collections::VecDeque;

/// The metadata name of a request's method, a text.
pub const HTTP1_METHOD: &str = "http1.method";
/// The metadata name of a request's target, a text.
pub const HTTP1_TARGET: &str = "http1.target";
/// The metadata name of a response's status code, a number.
pub const HTTP1_STATUS: &str = "http1.status";
/// The metadata name of a response's reason phrase, bytes; absent when it is empty.
pub const HTTP1_REASON: &str = "http1.reason";
/// The metadata name of a received message's minor version, 0 or 1.
pub const HTTP1_MINOR_VERSION: &str = "http1.minor-version";
/// The metadata name of the header section, bytes: `name: value` lines that end with CR LF.
pub const HTTP1_FIELDS: &str = "http1.fields";
/// The metadata name of the trailer section in the same form. Only of a message with a chunked
/// body that was received in one piece.
pub const HTTP1_TRAILERS: &str = "http1.trailers";

/// Requests and responses of HTTP/1.1, of one role each way.
///
/// A message is a body, possibly empty, and its context the head: [`HTTP1_METHOD`] and
/// [`HTTP1_TARGET`] or [`HTTP1_STATUS`], with [`HTTP1_FIELDS`]. The framer writes Content-Length,
/// or chunks where a message is sent in parts of an unknown length, and refuses fields that say
/// so themselves; but a response to HEAD and one of 304 may say by Content-Length how long the
/// response to GET would be. Requests may be pipelined. After a response of 101, or of 2xx to
/// CONNECT, bytes pass through unframed.
///
/// ```
/// use portway_core::framer::{HTTP1_FIELDS, HTTP1_METHOD, HTTP1_TARGET, Http1};
/// use portway_core::message::{Message, MessageContext};
///
/// let framer = Http1::client().max_body(1 << 20);
/// let mut context = MessageContext::new();
/// context.set_metadata(HTTP1_METHOD, "GET");
/// context.set_metadata(HTTP1_TARGET, "/");
/// context.set_metadata(HTTP1_FIELDS, "Host: example.com\r\n");
/// let request = Message::new("").with_context(context);
/// ```
#[derive(Clone, Debug)]
pub struct Http1 {
    role: Role,
    max_head: usize,
    max_body: u64,
    /// Requests without their final response, oldest first.
    pending: VecDeque<Request>,
    receiving: Receiving,
    /// The head of the message of which no part was delivered yet.
    context: Option<MessageContext>,
    /// What of the input is known not to end a head.
    searched: usize,
    /// Whether the empty line that may stand before the next head was there.
    is_empty_line_read: bool,
    sending: Sending,
    is_tunnel: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// What the response to a request depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    kind: Kind,
    minor_version: u8,
    asks_to_switch: bool,
}

impl Request {
    /// Whether a response with this status ends HTTP on the connection (RFC 9110 §9.3.6, §15.2.2).
    fn opens_tunnel(self, status: u16) -> bool {
        status == 101 || (self.kind == Kind::Connect && (200..300).contains(&status))
    }

    /// Whether a response with this status may have a body (RFC 9112 §6.3).
    fn may_have_body(self, status: u16) -> bool {
        let has_none = status < 200 || status == 204 || status == 304;
        !has_none && self.kind != Kind::Head && !self.opens_tunnel(status)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Head,
    Connect,
    Other,
}

/// What the next bytes are.
#[derive(Clone, Debug)]
enum Receiving {
    Head,
    Sized(Body),
    Chunked(Box<Chunked>),
    /// Everything up to the end of the stream, of which so many bytes were delivered.
    UntilEnd(u64),
}

/// How the rest of a message that is being sent is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Nothing,
    /// So many bytes are to come.
    Sized(u64),
    Chunks,
}

impl Http1 {
    /// Sends requests and receives responses.
    pub fn client() -> Self {
        Http1::new(Role::Client)
    }

    /// Receives requests and sends responses, in the order of the requests.
    pub fn server() -> Self {
        Http1::new(Role::Server)
    }

    fn new(role: Role) -> Self {
        Http1 {
            role,
            max_head: MAX_HEAD,
            max_body: u64::MAX,
            pending: VecDeque::new(),
            receiving: Receiving::Head,
            context: None,
            searched: 0,
            is_empty_line_read: false,
            sending: Sending::Nothing,
            is_tunnel: false,
        }
    }

    /// The longest head that is received, start line and fields together, and the longest trailer
    /// section; 64 KiB when nothing is said.
    #[must_use]
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.max_head = bytes;
        self
    }

    /// The longest body that is received; any when nothing is said. What is longer than a receive
    /// allows comes in parts.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// The end of the head at the front of `input`, behind its empty line.
    fn find_head(&mut self, input: &mut BytesMut) -> Result<Option<usize>, Failure> {
        // RFC 9112 §2.2: a server ignores an empty line before a request; more are no request.
        let may_skip = self.role == Role::Server && !self.is_empty_line_read;
        if may_skip && self.searched == 0 && input.starts_with(b"\r\n") {
            input.advance(2);
            self.is_empty_line_read = true;
        }
        // RFC 9112 §2.2: a line ends with CR LF; a bare LF is where readers differ.
        for at in memchr_iter(b'\n', &input[self.searched..]) {
            let at = self.searched + at;
            if at == 0 || input[at - 1] != b'\r' {
                return Err(violation(
                    "a line of the head ends without a carriage return",
                ));
            }
            if at + 1 > self.max_head {
                break;
            }
            if at == 1 {
                return Err(violation("a head begins with an empty line"));
            }
            if at >= 3 && &input[at - 3..=at] == b"\r\n\r\n" {
                self.searched = 0;
                self.is_empty_line_read = false;
                return Ok(Some(at + 1));
            }
        }
        // A first byte alone may be the half of an empty line.
        self.searched = if input.len() < 2 { 0 } else { input.len() };
        match input.len() > self.max_head {
            true => Err(too_long(input.len() as u64, self.max_head as u64)),
            false => Ok(None),
        }
    }

    /// Reads a head and says what follows it; false when the message ends with it.
    fn on_head(&mut self, head: &[u8]) -> Result<bool, Failure> {
        let head = match self.role {
            Role::Server => Head::of_request(head)?,
            Role::Client => Head::of_response(head)?,
        };
        let length = match head.status() {
            None => {
                self.pending.push_back(Request {
                    kind: Kind::of(head.method()),
                    minor_version: head.minor_version,
                    asks_to_switch: head.asks_to_switch,
                });
                head.length(Length::Sized(0))
            }
            Some(status) => self.length_of_response(&head, status)?,
        };
        self.context = Some(head.into_context());
        self.receiving = match length {
            Length::Sized(0) => return Ok(false),
            Length::Sized(bytes) if bytes > self.max_body => {
                return Err(too_long(bytes, self.max_body));
            }
            Length::Sized(bytes) => Receiving::Sized(Body::new(bytes)),
            Length::Chunked => {
                Receiving::Chunked(Box::new(Chunked::new(self.max_body, self.max_head)))
            }
            Length::UntilEnd => Receiving::UntilEnd(0),
        };
        Ok(true)
    }

    /// RFC 9112 §6.3: where a response ends depends on what was asked for.
    fn length_of_response(&mut self, head: &Head, status: u16) -> Result<Length, Failure> {
        let Some(request) = self.pending.front().copied() else {
            return Err(violation("a response came that no request asked for"));
        };
        let stated = head.length(Length::UntilEnd);
        if status < 200 || status == 204 {
            if stated != Length::UntilEnd {
                return Err(violation(format!("a response of {status} states a body")));
            }
            // RFC 9110 §15.2.2: a server switches only to what it was asked for.
            if status == 101 && !request.asks_to_switch {
                return Err(violation("a response of 101 to a request without Upgrade"));
            }
        }
        if status >= 200 {
            self.pending.pop_front();
        }
        self.is_tunnel = request.opens_tunnel(status);
        match request.may_have_body(status) {
            true => Ok(stated),
            false => Ok(Length::Sized(0)),
        }
    }

    /// Whether what follows is not read before a response has left.
    fn waits_for_response(&self) -> bool {
        // RFC 9110 §9.3.6: the answer to CONNECT decides what the bytes behind it are.
        let is_undecided = |request: &Request| request.kind == Kind::Connect;
        let is_full = self.pending.len() == PENDING_MAX;
        self.role == Role::Server && (is_full || self.pending.back().is_some_and(is_undecided))
    }

    /// The part that `data` is, with the head if it is the first.
    fn part(&mut self, data: BytesMut, is_end: bool) -> Deframed {
        if is_end {
            self.receiving = Receiving::Head;
        }
        Deframed::Frame(Frame {
            data,
            context: self.context.take().unwrap_or_default(),
            is_end,
        })
    }

    /// Writes the head of a message and says how the rest of it goes.
    fn write_head(
        &mut self,
        part: &Outgoing<'_>,
        out: &mut WireBuffer,
    ) -> Result<Sending, Failure> {
        let length = match part.is_end {
            true => Some(part.data.len() as u64),
            false => part.length,
        };
        let start = head::start_line(part.context, self.role == Role::Client)?;
        let of_another = self.is_without_the_body_of_another(start.status);
        let (fields, asks_to_switch) =
            head::fields_to_send(part.context, self.role == Role::Client, of_another)?;
        let (has_body, may_be_silent) = match self.role {
            Role::Client => {
                if self.pending.len() == PENDING_MAX {
                    return Err(unframeable("too many requests wait for a response"));
                }
                let kind = Kind::of(&start.what);
                self.pending.push_back(Request {
                    kind,
                    minor_version: 1,
                    asks_to_switch,
                });
                // RFC 9110 §8.6: where a body means nothing, none need not be announced.
                let is_bare = matches!(
                    &*start.what,
                    "GET" | "HEAD" | "DELETE" | "OPTIONS" | "TRACE"
                );
                (true, is_bare || kind == Kind::Connect)
            }
            Role::Server => (self.begin_response(start.status, length)?, false),
        };
        out.put_slice(&start.line);
        out.put_slice(fields);
        let sending = match (has_body, length) {
            (false, _) => Sending::Nothing,
            (true, Some(0)) if may_be_silent => Sending::Nothing,
            (true, Some(bytes)) => {
                out.put_slice(format!("Content-Length: {bytes}\r\n").as_bytes());
                Sending::Sized(bytes)
            }
            (true, None) => {
                out.put_slice(b"Transfer-Encoding: chunked\r\n");
                Sending::Chunks
            }
        };
        out.put_slice(b"\r\n");
        Ok(sending)
    }

    /// Whether the response with this status has no body where one to GET would have it.
    fn is_without_the_body_of_another(&self, status: u16) -> bool {
        let request = self.pending.front().filter(|_| self.role == Role::Server);
        request.is_some_and(|request| {
            let is_final = status >= 200 && status != 204 && !request.opens_tunnel(status);
            status == 304 || (request.kind == Kind::Head && is_final)
        })
    }

    /// Whether the response may have a body. Nothing has changed when it is refused.
    fn begin_response(&mut self, status: u16, length: Option<u64>) -> Result<bool, Failure> {
        let Some(request) = self.pending.front().copied() else {
            return Err(unframeable("there is no request to respond to"));
        };
        if status == 101 && !request.asks_to_switch {
            return Err(unframeable("the request did not ask for another protocol"));
        }
        let may_have_body = request.may_have_body(status);
        if !may_have_body && length != Some(0) {
            return Err(unframeable("this response has no body"));
        }
        if length.is_none() && request.minor_version == 0 {
            return Err(unframeable("a peer with HTTP/1.0 takes no chunks"));
        }
        if status >= 200 {
            self.pending.pop_front();
        }
        self.is_tunnel = request.opens_tunnel(status);
        Ok(may_have_body)
    }
}

impl Kind {
    fn of(method: &str) -> Self {
        match method {
            "HEAD" => Kind::Head,
            "CONNECT" => Kind::Connect,
            _ => Kind::Other,
        }
    }
}

impl Framer for Http1 {
    // RFC 9112 §9.3.2: nothing but their order says which request a response is for.
    fn keeps_order(&self) -> bool {
        true
    }

    fn frame(&mut self, part: Outgoing<'_>, out: &mut WireBuffer) -> Result<(), Failure> {
        if self.is_tunnel && self.sending == Sending::Nothing {
            let has = |name| part.context.metadata(name).is_some();
            if part.is_start && (has(HTTP1_METHOD) || has(HTTP1_STATUS)) {
                return Err(unframeable("the connection speaks another protocol now"));
            }
            out.put_chunks(part.data);
            return Ok(());
        }
        if part.is_start {
            self.sending = self.write_head(&part, out)?;
        }
        let bytes = part.data.len() as u64;
        match &mut self.sending {
            Sending::Nothing => {}
            Sending::Sized(rest) => {
                *rest = rest
                    .checked_sub(bytes)
                    .ok_or_else(|| unframeable("more bytes than were announced"))?;
                out.put_chunks(part.data);
            }
            Sending::Chunks => {
                if bytes > 0 {
                    out.put_slice(format!("{bytes:x}\r\n").as_bytes());
                    out.put_chunks(part.data);
                    out.put_slice(b"\r\n");
                }
                if part.is_end {
                    out.put_slice(b"0\r\n\r\n");
                }
            }
        }
        if part.is_end {
            self.sending = Sending::Nothing;
        }
        Ok(())
    }

    fn deframe(&mut self, input: &mut BytesMut, demand: Demand) -> Result<Deframed, Failure> {
        if let Receiving::Head = self.receiving {
            if self.is_tunnel {
                return Ok(Deframed::Passthrough);
            }
            if self.waits_for_response() {
                return match input.len() > UNREAD_BYTES_MAX {
                    true => Err(too_much_unread(input.len())),
                    false => Ok(Deframed::NeedsMore(1)),
                };
            }
            let Some(end) = self.find_head(input)? else {
                return Ok(Deframed::NeedsMore(1));
            };
            let head = input.split_to(end);
            if !self.on_head(&head)? {
                return Ok(self.part(BytesMut::new(), true));
            }
        }
        match &mut self.receiving {
            Receiving::Head => Ok(Deframed::NeedsMore(1)),
            Receiving::Sized(body) => match body.take(input, demand) {
                Ok(frame) => Ok(self.part(frame.data, frame.is_end)),
                Err(missing) => Ok(Deframed::NeedsMore(missing)),
            },
            Receiving::Chunked(chunks) => {
                let Some((data, is_end)) = chunks.take(input, demand)? else {
                    return Ok(Deframed::NeedsMore(1));
                };
                if let (true, Some(context)) = (is_end, &mut self.context)
                    && let Some(trailers) = chunks.take_trailers()
                {
                    context.set_metadata(HTTP1_TRAILERS, trailers);
                }
                Ok(self.part(data, is_end))
            }
            Receiving::UntilEnd(delivered) => {
                // No head said how long it is, so it is measured as it comes.
                let length = *delivered + input.len() as u64;
                if length > self.max_body {
                    return Err(too_long(length, self.max_body));
                }
                let Some(count) = demand.take(input.len(), None) else {
                    return Ok(Deframed::NeedsMore(1));
                };
                *delivered += count as u64;
                let data = input.split_to(count);
                Ok(self.part(data, false))
            }
        }
    }

    fn end_of_input(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Failure> {
        self.searched = 0;
        self.is_empty_line_read = false;
        let context = self.context.take();
        let unread = input.len();
        let cut_short = match std::mem::replace(&mut self.receiving, Receiving::Head) {
            Receiving::Head if unread == 0 => return Ok(None),
            Receiving::Head => ended_within_message(unread as u64, None),
            // RFC 9112 §8: a body that lacks a part of its length is incomplete.
            Receiving::Sized(body) => body.cut_short(unread),
            Receiving::Chunked(chunks) => ended_within_message(chunks.taken(unread), None),
            Receiving::UntilEnd(_) => {
                return Ok(Some(Frame {
                    data: input.split(),
                    context: context.unwrap_or_default(),
                    is_end: true,
                }));
            }
        };
        input.clear();
        Err(cut_short)
    }
}

fn too_much_unread(bytes: usize) -> Failure {
    Failure::new(
        Origin::Framing,
        FailureKind::LimitReached,
        format!("{bytes} bytes wait behind requests that have no response"),
    )
}

/// Whether `text` has the empty line that ends a section.
fn ends_section(text: &[u8]) -> Option<usize> {
    match text.starts_with(b"\r\n") {
        true => Some(2),
        false => memmem::find(text, b"\r\n\r\n").map(|at| at + 4),
    }
}

const MAX_HEAD: usize = 64 * 1024;
/// Requests that may wait for their responses.
const PENDING_MAX: usize = 128;
/// What may arrive behind requests that must have their responses first.
const UNREAD_BYTES_MAX: usize = 256 * 1024;
