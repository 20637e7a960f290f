//! The frames of HTTP/2 that a client sends, counted on their way to hyper.
//!
//! Invariant: frames are skipped by their length, but for fields, and nothing is kept but nine
//! bytes of a head; what is malformed is hyper's to refuse where it does, and what is too much ends
//! the connection here.

use super::event::Flood;
use super::field_blocks::{FieldBlocks, PseudoField};
use portway_core::Time;

/// Reads frames that come in pieces.
#[derive(Debug)]
pub(super) struct Frames {
    /// What is left of the preface, or of a frame's payload.
    left: usize,
    /// A frame's head as far as it has come.
    head: [u8; HEAD_BYTES],
    head_len: usize,
    /// A block of fields has begun and not ended.
    is_block_open: bool,
    continuations: u32,
    fields: Fields,
    budget: Budget,
}

/// Where the fields of the current frame are.
#[derive(Debug)]
struct Fields {
    blocks: FieldBlocks,
    /// The current frame has some.
    is_here: bool,
    /// Bytes before them: the length of the padding, a priority.
    before: usize,
    /// The first of those is the length of the padding.
    is_padded: bool,
    padding: usize,
    /// They are trailers: their stream has had a head.
    is_trailer: bool,
    /// The newest stream that the client has opened.
    newest: u32,
}

/// Why a connection ends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There was too much of something.
    Flood(Flood),
    /// Trailers have pseudo-fields.
    Malformed,
}

/// Suspicious acts that are left, as HTTP/3 counts them, too.
#[derive(Debug)]
struct Budget {
    left: f64,
    burst: f64,
    per_second: f64,
    filled: Time,
}

impl Frames {
    pub(super) fn new(burst: u32, per_second: u32, now: Time) -> Self {
        Frames {
            left: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            head_len: 0,
            is_block_open: false,
            continuations: 0,
            fields: Fields {
                blocks: FieldBlocks::new(),
                is_here: false,
                before: 0,
                is_padded: false,
                padding: 0,
                is_trailer: false,
                newest: 0,
            },
            budget: Budget {
                left: burst.into(),
                burst: burst.into(),
                per_second: per_second.into(),
                filled: now,
            },
        }
    }

    /// Whether a request's head is under way.
    pub(super) fn is_head_open(&self) -> bool {
        self.is_block_open
    }

    /// Takes bytes; gives whether it has made unreadable what nobody but this refuses.
    ///
    /// # Errors
    /// The connection ends.
    pub(super) fn read(&mut self, mut bytes: &mut [u8], now: Time) -> Result<bool, Refusal> {
        let mut is_spoilt = false;
        loop {
            let skipped = self.left.min(bytes.len());
            let (payload, rest) = bytes.split_at_mut(skipped);
            if self.fields.is_here && skipped > 0 {
                let read = self.fields.read(payload, self.left);
                is_spoilt |= read.map_err(|PseudoField| Refusal::Malformed)?;
            }
            self.left -= skipped;
            bytes = rest;
            if bytes.is_empty() {
                return Ok(is_spoilt);
            }
            let taken = (HEAD_BYTES - self.head_len).min(bytes.len());
            self.head[self.head_len..][..taken].copy_from_slice(&bytes[..taken]);
            self.head_len += taken;
            bytes = &mut bytes[taken..];
            if self.head_len < HEAD_BYTES {
                return Ok(is_spoilt);
            }
            self.head_len = 0;
            self.on_frame(now).map_err(Refusal::Flood)?;
        }
    }

    fn on_frame(&mut self, now: Time) -> Result<(), Flood> {
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        self.fields
            .on_frame(kind, flags, u32::from_be_bytes(stream) & STREAM);
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let costs = match kind {
            DATA if self.left == 0 && flags & END_STREAM == 0 => Some(Flood::EmptyData),
            DATA | WINDOW_UPDATE => None,
            HEADERS | CONTINUATION => {
                self.is_block_open = flags & END_HEADERS == 0;
                self.continuations = match kind {
                    CONTINUATION => self.continuations + 1,
                    _ => 0,
                };
                if self.continuations > CONTINUATIONS_MAX {
                    return Err(Flood::Continuations);
                }
                None
            }
            RST_STREAM => Some(Flood::Resets),
            SETTINGS if flags & ACK == 0 => Some(Flood::Settings),
            PING if flags & ACK == 0 => Some(Flood::Pings),
            SETTINGS | PING | GOAWAY => None,
            _ => Some(Flood::Others),
        };
        match costs {
            Some(flood) if !self.budget.spend(now) => Err(flood),
            _ => Ok(()),
        }
    }
}

impl Fields {
    fn on_frame(&mut self, kind: u8, flags: u8, stream: u32) {
        self.is_here = matches!(kind, HEADERS | CONTINUATION);
        if !self.is_here {
            return;
        }
        let flag = |flag: u8| kind == HEADERS && flags & flag != 0;
        self.is_padded = flag(PADDED);
        self.padding = 0;
        self.before = usize::from(self.is_padded) + if flag(PRIORITIZED) { 5 } else { 0 };
        if kind == HEADERS {
            self.blocks.begin();
            // RFC 9113 §5.1.1: a client's streams have higher and higher numbers.
            self.is_trailer = stream <= self.newest;
            self.newest = self.newest.max(stream);
        }
    }

    /// Takes a piece of a payload of which so much was left.
    fn read(&mut self, bytes: &mut [u8], left: usize) -> Result<bool, PseudoField> {
        let before = self.before.min(bytes.len());
        if before > 0 && std::mem::take(&mut self.is_padded) {
            self.padding = bytes[0].into();
        }
        self.before -= before;
        let fragment = (left - before).saturating_sub(self.padding);
        let end = bytes.len().min(before + fragment);
        self.blocks.read(&mut bytes[before..end], self.is_trailer)
    }
}

impl Budget {
    /// Takes one, if there is one.
    fn spend(&mut self, now: Time) -> bool {
        let passed = now.saturating_since(self.filled).as_secs_f64();
        self.filled = now;
        self.left = (self.left + passed * self.per_second).min(self.burst) - 1.0;
        self.left >= 0.0
    }
}

/// The preface of a client, RFC 9113 §3.4.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PREFACE_BYTES: usize = PREFACE.len();
/// RFC 9113 §4.1.
const HEAD_BYTES: usize = 9;
/// A head of 16 KiB, the smallest frame that everybody takes, needs a few at most.
const CONTINUATIONS_MAX: u32 = 16;

// RFC 9113 §6: types and flags.
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
/// RFC 9113 §4.1: the bit before a stream's number says nothing.
const STREAM: u32 = u32::MAX >> 1;
const PADDED: u8 = 0x8;
const PRIORITIZED: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(HEAD_BYTES + payload, 7);
        bytes
    }

    fn read(frames: &mut Frames, bytes: &[u8], now: Time) -> Result<bool, Refusal> {
        frames.read(&mut bytes.to_vec(), now)
    }

    fn begun(burst: u32) -> Frames {
        let mut frames = Frames::new(burst, 1, Time::ZERO);
        read(&mut frames, PREFACE, Time::ZERO).unwrap();
        frames
    }

    #[test]
    fn frames_count_the_same_however_they_are_cut() {
        let all: Vec<u8> = [
            frame(SETTINGS, 0, 6),
            frame(HEADERS, 0, 20),
            frame(CONTINUATION, END_HEADERS, 3),
            frame(DATA, 0, 0),
            frame(RST_STREAM, 0, 4),
        ]
        .concat();
        for size in 1..=all.len() {
            let mut frames = begun(3);
            for piece in all.chunks(size) {
                read(&mut frames, piece, Time::ZERO).unwrap();
            }
            assert_eq!(frames.budget.left as u32, 0, "in pieces of {size}");
            let ping = frame(PING, 0, 8);
            assert_eq!(
                read(&mut frames, &ping, Time::ZERO),
                Err(Refusal::Flood(Flood::Pings))
            );
        }
    }

    #[test]
    fn what_is_spent_comes_back_with_time() {
        let mut frames = begun(2);
        let reset = frame(RST_STREAM, 0, 4);
        read(&mut frames, &[&reset[..], &reset].concat(), Time::ZERO).unwrap();
        assert_eq!(
            read(&mut frames, &reset, Time::ZERO),
            Err(Refusal::Flood(Flood::Resets))
        );
        let mut frames = begun(2);
        read(&mut frames, &[&reset[..], &reset].concat(), Time::ZERO).unwrap();
        let later = Time::from_origin(Duration::from_secs(1));
        read(&mut frames, &reset, later).unwrap();
        assert_eq!(
            read(&mut frames, &reset, later),
            Err(Refusal::Flood(Flood::Resets))
        );
    }

    #[test]
    fn a_head_is_open_until_its_last_frame_and_has_so_many_at_most() {
        let mut frames = begun(10);
        read(&mut frames, &frame(HEADERS, 0, 5), Time::ZERO).unwrap();
        assert!(frames.is_head_open());
        let more = frame(CONTINUATION, 0, 1);
        for _ in 0..CONTINUATIONS_MAX {
            read(&mut frames, &more, Time::ZERO).unwrap();
        }
        assert_eq!(
            read(&mut frames, &more, Time::ZERO),
            Err(Refusal::Flood(Flood::Continuations))
        );
        let mut frames = begun(10);
        read(&mut frames, &frame(HEADERS, END_HEADERS, 5), Time::ZERO).unwrap();
        assert!(!frames.is_head_open());
    }
}
