//! Bodies in chunks (RFC 9112 §7.1).
//!
//! Invariant: what is kept is what arrived, never what a size claims.

use super::super::body::{Demand, too_long, violation};
use super::ends_section;
use super::head::Fields;
use crate::Failure;
use bytes::{Buf, Bytes, BytesMut};

#[derive(Clone, Debug)]
pub(super) struct Chunked {
    max_body: u64,
    max_trailers: usize,
    /// Bytes of the body that were not delivered.
    body: BytesMut,
    /// How long the body is so far.
    length: u64,
    extension_bytes: usize,
    state: State,
    trailers: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Data(u64),
    /// The line end behind the data of a chunk.
    DataEnd,
    Trailers,
    Done,
}

impl Chunked {
    pub(super) fn new(max_body: u64, max_trailers: usize) -> Self {
        Chunked {
            max_body,
            max_trailers,
            body: BytesMut::new(),
            length: 0,
            extension_bytes: 0,
            state: State::Size,
            trailers: None,
        }
    }

    /// The part that `demand` asks for and whether it is the last; `None` when more must come.
    pub(super) fn take(
        &mut self,
        input: &mut BytesMut,
        demand: Demand,
    ) -> Result<Option<(BytesMut, bool)>, Failure> {
        while self.body.len() < demand.max && self.step(input)? {}
        let rest = (self.state == State::Done).then_some(self.body.len() as u64);
        let Some(count) = demand.take(self.body.len(), rest) else {
            return Ok(None);
        };
        let data = self.body.split_to(count);
        Ok(Some((data, rest.is_some() && self.body.is_empty())))
    }

    pub(super) fn take_trailers(&mut self) -> Option<Bytes> {
        self.trailers.take()
    }

    /// Bytes of the body that came, with those that were not looked at.
    pub(super) fn taken(&self, unread: usize) -> u64 {
        self.length + unread as u64
    }

    /// Goes on by one line or piece; false when more must come, or nothing does.
    fn step(&mut self, input: &mut BytesMut) -> Result<bool, Failure> {
        match self.state {
            State::Done => return Ok(false),
            State::Size => {
                let Some(line) = take_line(input)? else {
                    return Ok(false);
                };
                self.on_size(&line)?;
            }
            State::Data(rest) => {
                let count = input.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
                if count == 0 {
                    return Ok(false);
                }
                match self.body.is_empty() {
                    true => self.body = input.split_to(count),
                    false => self.body.extend_from_slice(&input.split_to(count)),
                }
                self.length += count as u64;
                self.state = match rest - count as u64 {
                    0 => State::DataEnd,
                    rest => State::Data(rest),
                };
            }
            State::DataEnd => {
                if input.len() < 2 {
                    return Ok(false);
                }
                if !input.starts_with(b"\r\n") {
                    return Err(violation("a chunk is longer than its size"));
                }
                input.advance(2);
                self.state = State::Size;
            }
            State::Trailers => {
                let Some(end) = ends_section(input) else {
                    return match input.len() > self.max_trailers {
                        true => Err(too_long(input.len() as u64, self.max_trailers as u64)),
                        false => Ok(false),
                    };
                };
                if end > self.max_trailers {
                    return Err(too_long(end as u64, self.max_trailers as u64));
                }
                self.on_trailers(&input.split_to(end))?;
            }
        }
        Ok(true)
    }

    fn on_size(&mut self, line: &[u8]) -> Result<(), Failure> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let digits = digits.count();
        let (size, extension) = line.split_at(digits);
        // Sixteen digits always fit; more would be another number for a reader that wraps.
        let text = std::str::from_utf8(size)
            .ok()
            .filter(|text| text.len() <= 16);
        let size = text.and_then(|text| u64::from_str_radix(text, 16).ok());
        let size = size.ok_or_else(|| violation("the size of a chunk is no number"))?;
        // RFC 9112 §7.1.1: extensions that are not known are skipped, within reason.
        self.extension_bytes += extension.len();
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            let (is, max) = (self.extension_bytes as u64, EXTENSION_BYTES_MAX as u64);
            return Err(too_long(is, max));
        }
        let is_extension = extension
            .trim_ascii_start()
            .first()
            .is_none_or(|b| *b == b';');
        let has_control = extension
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t');
        if !is_extension || has_control {
            return Err(violation("behind the size of a chunk stands no extension"));
        }
        let length = self.length.saturating_add(size);
        if length > self.max_body {
            return Err(too_long(length, self.max_body));
        }
        self.state = match size {
            0 => State::Trailers,
            size => State::Data(size),
        };
        Ok(())
    }

    fn on_trailers(&mut self, section: &[u8]) -> Result<(), Failure> {
        let text = section.strip_suffix(b"\r\n").unwrap_or(section);
        let fields = Fields::read(text)?;
        // RFC 9110 §6.5.1: what decides where a message ends has no place behind it.
        if fields.states_length() {
            return Err(violation("the trailers say where the message ends"));
        }
        self.trailers = Some(fields.text).filter(|text| !text.is_empty());
        self.state = State::Done;
        Ok(())
    }
}

/// Takes a line out without its end; `None` when it is not all there.
fn take_line(input: &mut BytesMut) -> Result<Option<BytesMut>, Failure> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return match input.len() > LINE_BYTES_MAX {
            true => Err(too_long(input.len() as u64, LINE_BYTES_MAX as u64)),
            false => Ok(None),
        };
    };
    if end == 0 || input[end - 1] != b'\r' {
        return Err(violation(
            "the size of a chunk ends without a carriage return",
        ));
    }
    if end > LINE_BYTES_MAX {
        return Err(too_long(end as u64, LINE_BYTES_MAX as u64));
    }
    let mut line = input.split_to(end + 1);
    line.truncate(end - 1);
    Ok(Some(line))
}

/// A size with its extensions.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// Extensions of all chunks of a body.
const EXTENSION_BYTES_MAX: usize = 16 * 1024;
