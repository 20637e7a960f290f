//! Messages that end with a byte sequence, such as lines.
//!
//! Invariant: what is sent can be found again: a message in which the delimiter occurs, or
//! would seem to occur earlier because of how it ends, is refused.

use super::body::{ended_within_message, too_long, unframeable};
use super::{Deframed, Demand, Frame, Framer, Outgoing};
use crate::Failure;
use crate::message::Chunks;
use crate::send_queue::WireBuffer;
use bytes::{Buf, BytesMut};
use memchr::memmem::Finder;

/// Messages with a delimiter behind each of them.
///
/// ```
/// use portway_core::framer::Delimited;
///
/// let lines = Delimited::crlf().max_length(1024);
/// let records = Delimited::by(b"--end--").keep_delimiter();
/// ```
#[derive(Clone, Debug)]
pub struct Delimited {
    finder: Finder<'static>,
    max_length: u64,
    keeps_delimiter: bool,
    may_end_without: bool,
    /// How much of the input is known not to have a delimiter that starts in it.
    searched: usize,
    /// What of the message in the input was delivered.
    delivered: u64,
    /// The last bytes of the message that is being sent: one fewer than the delimiter has.
    sent_tail: Vec<u8>,
    /// The bytes of that message.
    sent: u64,
}

impl Delimited {
    /// Messages that end with `delimiter`.
    ///
    /// # Panics
    /// When the delimiter is empty.
    pub fn by(delimiter: &[u8]) -> Self {
        assert!(!delimiter.is_empty(), "an empty delimiter is everywhere");
        Delimited {
            finder: Finder::new(delimiter).into_owned(),
            max_length: DEFAULT_MAX_LENGTH,
            keeps_delimiter: false,
            may_end_without: false,
            searched: 0,
            delivered: 0,
            sent_tail: Vec::new(),
            sent: 0,
        }
    }

    /// Lines that end with a line feed.
    pub fn lf() -> Self {
        Delimited::by(b"\n")
    }

    /// Lines that end with carriage return and line feed.
    pub fn crlf() -> Self {
        Delimited::by(b"\r\n")
    }

    /// Messages that end with a zero byte.
    pub fn nul() -> Self {
        Delimited::by(b"\0")
    }

    /// The longest message, without its delimiter, to be sent or received; 1 MiB when nothing
    /// is said.
    #[must_use]
    pub fn max_length(mut self, bytes: u64) -> Self {
        self.max_length = bytes;
        self
    }

    /// Leaves the delimiter at the end of received messages. It is added to sent ones all the
    /// same.
    #[must_use]
    pub fn keep_delimiter(mut self) -> Self {
        self.keeps_delimiter = true;
        self
    }

    /// Takes what stands behind the last delimiter at the end of the stream for a message too.
    /// Without this it is an error.
    #[must_use]
    pub fn last_may_be_undelimited(mut self) -> Self {
        self.may_end_without = true;
        self
    }

    fn delimiter(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Whether a part can follow what was sent of its message; returns the new tail.
    fn check(&self, data: &Chunks, is_start: bool, is_end: bool) -> Result<Vec<u8>, Failure> {
        let overlap = self.delimiter().len() - 1;
        if overlap == 0 {
            return match data.iter().any(|piece| self.finder.find(piece).is_some()) {
                true => Err(unframeable("message contains its own delimiter")),
                false => Ok(Vec::new()),
            };
        }
        let mut tail = match is_start {
            true => Vec::new(),
            false => self.sent_tail.clone(),
        };
        for piece in data.iter() {
            let across = &piece[..piece.len().min(overlap)];
            tail.extend_from_slice(across);
            if self.finder.find(&tail).is_some() || self.finder.find(piece).is_some() {
                return Err(unframeable("message contains its own delimiter"));
            }
            let behind = &piece[across.len()..];
            tail.extend_from_slice(&behind[behind.len().saturating_sub(overlap)..]);
            tail.drain(..tail.len().saturating_sub(overlap));
        }
        if is_end {
            let end = [&tail, self.delimiter()].concat();
            if self.finder.find(&end) != Some(tail.len()) {
                return Err(unframeable("message ends with a part of its delimiter"));
            }
        }
        Ok(tail)
    }

    fn part(&mut self, input: &mut BytesMut, count: usize, safe: usize) -> Deframed {
        self.delivered += count as u64;
        self.searched = safe - count;
        Deframed::Frame(Frame::new(input.split_to(count), false))
    }
}

impl Framer for Delimited {
    fn frame(&mut self, part: Outgoing<'_>, out: &mut WireBuffer) -> Result<(), Failure> {
        let before = if part.is_start { 0 } else { self.sent };
        let length = before + part.data.len() as u64;
        if length > self.max_length {
            return Err(too_long(length, self.max_length));
        }
        self.sent_tail = self.check(&part.data, part.is_start, part.is_end)?;
        self.sent = length;
        out.put_chunks(part.data);
        if part.is_end {
            out.put_slice(self.finder.needle());
        }
        Ok(())
    }

    fn deframe(&mut self, input: &mut BytesMut, demand: Demand) -> Result<Deframed, Failure> {
        let width = self.delimiter().len();
        let found = self.finder.find(&input[self.searched..]);
        let Some(offset) = found else {
            let safe = input.len().saturating_sub(width - 1);
            let length = self.delivered + safe as u64;
            if length > self.max_length {
                return Err(too_long(length, self.max_length));
            }
            self.searched = safe;
            return Ok(match demand.take(safe, None) {
                Some(count) => self.part(input, count, safe),
                None => Deframed::NeedsMore(1),
            });
        };
        let body = self.searched + offset;
        let length = self.delivered + body as u64;
        if length > self.max_length {
            return Err(too_long(length, self.max_length));
        }
        if body > demand.max {
            return Ok(self.part(input, demand.max, body));
        }
        self.searched = 0;
        self.delivered = 0;
        let taken = match self.keeps_delimiter {
            true => body + width,
            false => body,
        };
        let data = input.split_to(taken);
        input.advance(body + width - taken);
        Ok(Deframed::Frame(Frame::new(data, true)))
    }

    fn end_of_input(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, Failure> {
        self.searched = 0;
        let there = std::mem::take(&mut self.delivered) + input.len() as u64;
        let data = input.split();
        match there {
            0 => Ok(None),
            _ if self.may_end_without => Ok(Some(Frame::new(data, true))),
            _ => Err(ended_within_message(there, None)),
        }
    }
}

const DEFAULT_MAX_LENGTH: u64 = 1024 * 1024;
