//! Heads of HTTP/1.1: read strictly, written so that a strict reader takes them.
//!
//! Invariant: no field that decides where a message ends is accepted in more than one form.

use super::super::body::{unframeable, violation};
use super::{
    HTTP1_FIELDS, HTTP1_METHOD, HTTP1_MINOR_VERSION, HTTP1_REASON, HTTP1_STATUS, HTTP1_TARGET,
};
use crate::Failure;
use crate::message::{MessageContext, MetadataValue};
use bytes::Bytes;

/// Where a message ends, as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Sized(u64),
    Chunked,
    UntilEnd,
}

/// A head that was read.
#[derive(Debug)]
pub(super) struct Head {
    start: Start,
    pub(super) minor_version: u8,
    /// Whether there is an Upgrade field.
    pub(super) asks_to_switch: bool,
    fields: Bytes,
    stated: Option<Length>,
}

#[derive(Debug)]
enum Start {
    Request { method: String, target: String },
    Response { status: u16, reason: Bytes },
}

impl Head {
    /// Reads the head of a request, the empty line at its end included.
    pub(super) fn of_request(head: &[u8]) -> Result<Self, Failure> {
        let (line, fields) = split_start(head)?;
        let malformed = || violation("the request line is malformed");
        let line = std::str::from_utf8(line).map_err(|_| malformed())?;
        // RFC 9112 §3: single spaces; a reader that splits at others sees another target.
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed());
        };
        let is_target = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token(method.as_bytes()) || !is_target {
            return Err(malformed());
        }
        let minor_version = minor_version(version.as_bytes())?;
        let fields = Fields::read(fields)?;
        // RFC 9112 §3.2: without exactly one Host nobody knows whom the request is for.
        if fields.hosts > 1 || (fields.hosts == 0 && minor_version == 1) {
            return Err(violation("a request has one Host field"));
        }
        let start = Start::Request {
            method: method.to_owned(),
            target: target.to_owned(),
        };
        Head::new(start, minor_version, fields)
    }

    /// Reads the head of a response, the empty line at its end included.
    pub(super) fn of_response(head: &[u8]) -> Result<Self, Failure> {
        let (line, fields) = split_start(head)?;
        let malformed = || violation("the status line is malformed");
        let (version, rest) = line.split_at_checked(8).ok_or_else(malformed)?;
        let minor_version = minor_version(version)?;
        let (status, reason) = match rest {
            [b' ', a, b, c] => ([*a, *b, *c], &[][..]),
            [b' ', a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
            _ => return Err(malformed()),
        };
        let is_status = status.iter().all(u8::is_ascii_digit) && status[0] != b'0';
        if !is_status || !reason.iter().copied().all(is_value_byte) {
            return Err(malformed());
        }
        let digits = status.map(|digit| u16::from(digit - b'0'));
        let start = Start::Response {
            status: digits[0] * 100 + digits[1] * 10 + digits[2],
            reason: Bytes::copy_from_slice(reason),
        };
        Head::new(start, minor_version, Fields::read(fields)?)
    }

    fn new(start: Start, minor_version: u8, fields: Fields) -> Result<Self, Failure> {
        let stated = match (fields.length, fields.is_chunked) {
            // RFC 9112 §6.1: both at once is how requests are smuggled.
            (Some(_), true) => {
                return Err(violation("Content-Length stands beside Transfer-Encoding"));
            }
            // RFC 9112 §6.1: HTTP/1.0 has no transfer codings, so its length is in doubt.
            (None, true) if minor_version == 0 => {
                return Err(violation("a message of HTTP/1.0 has a Transfer-Encoding"));
            }
            (None, true) => Some(Length::Chunked),
            (Some(bytes), false) => Some(Length::Sized(bytes)),
            (None, false) => None,
        };
        Ok(Head {
            start,
            minor_version,
            asks_to_switch: fields.has_upgrade,
            fields: fields.text,
            stated,
        })
    }

    /// The status code of a response.
    pub(super) fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The method of a request.
    pub(super) fn method(&self) -> &str {
        match &self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => "",
        }
    }

    /// What the head says, or `otherwise` where it says nothing.
    pub(super) fn length(&self, otherwise: Length) -> Length {
        self.stated.unwrap_or(otherwise)
    }

    /// The head as metadata.
    pub(super) fn into_context(self) -> MessageContext {
        let mut context = MessageContext::new();
        match self.start {
            Start::Request { method, target } => {
                context.set_metadata(HTTP1_METHOD, method);
                context.set_metadata(HTTP1_TARGET, target);
            }
            Start::Response { status, reason } => {
                context.set_metadata(HTTP1_STATUS, u64::from(status));
                if !reason.is_empty() {
                    context.set_metadata(HTTP1_REASON, reason);
                }
            }
        }
        context.set_metadata(HTTP1_MINOR_VERSION, u64::from(self.minor_version));
        context.set_metadata(HTTP1_FIELDS, self.fields);
        context
    }
}

/// A section of fields that was read.
pub(super) struct Fields {
    /// The lines, each with its end.
    pub(super) text: Bytes,
    length: Option<u64>,
    is_chunked: bool,
    hosts: usize,
    has_upgrade: bool,
}

impl Fields {
    /// Reads the lines of a section, without the empty line that ends it.
    pub(super) fn read(text: &[u8]) -> Result<Self, Failure> {
        let mut fields = Fields {
            text: Bytes::copy_from_slice(text),
            length: None,
            is_chunked: false,
            hosts: 0,
            has_upgrade: false,
        };
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        for (count, line) in lines.enumerate() {
            if count == FIELDS_MAX {
                return Err(super::too_long(count as u64 + 1, FIELDS_MAX as u64));
            }
            // RFC 9112 §2.2: a line ends with CR LF; a bare LF is where readers differ.
            let Some(line) = line.strip_suffix(b"\r\n") else {
                return Err(violation("a field ends without a carriage return"));
            };
            let (name, value) = field(line)?;
            fields.note(name, value)?;
        }
        Ok(fields)
    }

    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Failure> {
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.has_upgrade = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            // RFC 9112 §6.3: two values, even equal ones, are no length.
            if self.length.replace(decimal(value)?).is_some() {
                return Err(violation("Content-Length stands twice"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // RFC 9112 §6.1: a coding that is not understood hides where the message ends.
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(violation(
                    "Transfer-Encoding is something else than chunked",
                ));
            }
            self.is_chunked = true;
        }
        Ok(())
    }

    /// Whether a field says where a message ends.
    pub(super) fn states_length(&self) -> bool {
        self.length.is_some() || self.is_chunked
    }
}

/// The start line of a message that is to be sent.
pub(super) struct StartLine {
    pub(super) line: Vec<u8>,
    /// The method of a request.
    pub(super) what: String,
    pub(super) status: u16,
}

/// Makes the start line that a context asks for.
pub(super) fn start_line(context: &MessageContext, is_request: bool) -> Result<StartLine, Failure> {
    let text = |name| context.metadata(name).and_then(MetadataValue::as_text);
    if is_request {
        let (Some(method), Some(target)) = (text(HTTP1_METHOD), text(HTTP1_TARGET)) else {
            return Err(unframeable("a request has a method and a target"));
        };
        let is_target = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token(method.as_bytes()) || !is_target {
            return Err(unframeable("the method or the target is malformed"));
        }
        return Ok(StartLine {
            line: format!("{method} {target} HTTP/1.1\r\n").into_bytes(),
            what: method.to_owned(),
            status: 0,
        });
    }
    let status = context.metadata(HTTP1_STATUS);
    let status = status.and_then(MetadataValue::as_number);
    let status = status.and_then(|status| u16::try_from(status).ok());
    let Some(status @ 100..=999) = status else {
        return Err(unframeable("a response has a status code of three digits"));
    };
    let reason = context.metadata(HTTP1_REASON);
    let reason = reason.and_then(MetadataValue::as_bytes).unwrap_or_default();
    if !reason.iter().copied().all(is_value_byte) {
        return Err(unframeable("the reason phrase is malformed"));
    }
    let line = [format!("HTTP/1.1 {status} ").as_bytes(), reason, b"\r\n"].concat();
    Ok(StartLine {
        line,
        what: String::new(),
        status,
    })
}

/// The fields that a context asks for, and whether Upgrade is one of them. `of_another` says that
/// the message is without a body where another one would have it, whose length may be told.
pub(super) fn fields_to_send(
    context: &MessageContext,
    is_request: bool,
    of_another: bool,
) -> Result<(&[u8], bool), Failure> {
    let fields = context.metadata(HTTP1_FIELDS);
    let fields = fields.and_then(MetadataValue::as_bytes).unwrap_or_default();
    let read = Fields::read(fields).map_err(|failure| unframeable(failure.detail))?;
    // RFC 9112 §3.2: a server refuses a request of which nobody knows whom it is for.
    if is_request && read.hosts != 1 {
        return Err(unframeable("a request has one Host field"));
    }
    // RFC 9110 §8.6: a response to HEAD, and 304, may say how long the response to GET is.
    let is_told = of_another && !read.is_chunked;
    match read.states_length() && !is_told {
        true => Err(unframeable("where a message ends is the framer's to say")),
        false => Ok((fields, read.has_upgrade)),
    }
}

fn split_start(head: &[u8]) -> Result<(&[u8], &[u8]), Failure> {
    let end = memchr::memmem::find(head, b"\r\n");
    let end = end.ok_or_else(|| violation("the head has no lines"))?;
    let fields = &head[end + 2..];
    Ok((&head[..end], fields.strip_suffix(b"\r\n").unwrap_or(fields)))
}

/// Name and value of a field line.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Failure> {
    let colon = memchr::memchr(b':', line);
    let colon = colon.ok_or_else(|| violation("a field has no colon"))?;
    // RFC 9112 §5.1, §5.2: a space before the colon or at the start of a line, which would fold
    // it, is no part of a name.
    if !is_token(&line[..colon]) {
        return Err(violation("the name of a field is malformed"));
    }
    // RFC 9112 §5: only spaces and tabs around a value are not part of it; what else looks like
    // a space is a control character, which another reader may keep.
    let value = trim_blanks(&line[colon + 1..]);
    match value.iter().copied().all(is_value_byte) {
        true => Ok((&line[..colon], value)),
        false => Err(violation("the value of a field has a control character")),
    }
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn decimal(value: &[u8]) -> Result<u64, Failure> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| is_number);
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| violation("Content-Length is no number"))
}

fn minor_version(version: &[u8]) -> Result<u8, Failure> {
    match version {
        b"HTTP/1.1" => Ok(1),
        b"HTTP/1.0" => Ok(0),
        _ => Err(violation("the version is neither HTTP/1.0 nor HTTP/1.1")),
    }
}

fn is_token(name: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Field lines of one section.
const FIELDS_MAX: usize = 256;
