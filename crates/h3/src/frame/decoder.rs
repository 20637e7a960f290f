//! The incremental frame decoder of one stream.
//!
//! Invariant: memory held is at most what arrived of one collected payload, which the caller's
//! [`Treatment`] bounds; pieces of DATA are slices of what the transport gave.

use bytes::{Buf, Bytes, BytesMut};

use super::{FrameType, wrong_layout};
use crate::error::ConnectionError;
use crate::varint::Reader;

/// What to do with the payload of a frame, decided when its type and length are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Hand the payload through in pieces, without copying.
    Stream,
    /// Hand the payload over whole. The caller has checked its length against a limit.
    Collect,
    /// Drop the payload as it arrives.
    Skip,
}

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A piece of a payload that is handed through; never empty unless the whole payload is.
    Piece {
        /// The type of its frame.
        ty: FrameType,
        /// The bytes, a slice of the input.
        bytes: Bytes,
        /// Whether the frame ends with this piece.
        is_last: bool,
    },
    /// A whole payload.
    Whole {
        /// The type of the frame.
        ty: FrameType,
        /// The payload.
        payload: Bytes,
    },
    /// A frame of this type begins and its payload is dropped.
    Skipped {
        /// The type of the frame.
        ty: FrameType,
    },
}

/// Splits the bytes of a stream into frames.
///
/// ```text
/// type ──▶ length ──Stream──▶ streaming ──┐
///            │ ├───Collect──▶ collecting ─┼──last byte──▶ type
///            │ └───Skip─────▶ skipping ───┘
///            └─ the treatment refuses: the error goes up
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    integer: Reader,
    collected: BytesMut,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Type,
    Length(FrameType),
    Streaming(FrameType, u64),
    Collecting(FrameType, u64),
    Skipping(u64),
}

impl Decoder {
    /// Takes the next thing from `input`; `None` when `input` is used up.
    ///
    /// `treat` is asked once a frame, before its payload.
    ///
    /// # Errors
    /// Whatever `treat` refuses with.
    pub fn decode<E>(
        &mut self,
        input: &mut Bytes,
        mut treat: impl FnMut(FrameType, u64) -> Result<Treatment, E>,
    ) -> Result<Option<Decoded>, E> {
        loop {
            match self.state {
                State::Type => match self.integer.read(input) {
                    Some(ty) => self.state = State::Length(FrameType(ty)),
                    None => return Ok(None),
                },
                State::Length(ty) => {
                    let Some(len) = self.integer.read(input) else {
                        return Ok(None);
                    };
                    if let Some(decoded) = self.begin(ty, len, treat(ty, len)?) {
                        return Ok(Some(decoded));
                    }
                }
                State::Streaming(ty, left) => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let bytes = take_up_to(input, left);
                    let left = left - bytes.len() as u64;
                    self.state = match left {
                        0 => State::Type,
                        _ => State::Streaming(ty, left),
                    };
                    return Ok(Some(Decoded::Piece {
                        ty,
                        bytes,
                        is_last: left == 0,
                    }));
                }
                State::Collecting(ty, left) => {
                    let Some(payload) = self.collect(input, left) else {
                        return Ok(None);
                    };
                    debug_assert!(matches!(self.state, State::Type));
                    return Ok(Some(Decoded::Whole { ty, payload }));
                }
                State::Skipping(left) => {
                    let dropped = take_up_to(input, left).len() as u64;
                    self.state = match left - dropped {
                        0 => State::Type,
                        left => State::Skipping(left),
                    };
                    if input.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Takes the type of the next frame, or nothing but the beginning of it; its length follows
    /// with [`Decoder::decode`]. A stream that is not made of frames says so by its first type.
    pub fn read_type(&mut self, input: &mut Bytes) -> Option<FrameType> {
        if self.state != State::Type {
            return None;
        }
        let ty = FrameType(self.integer.read(input)?);
        self.state = State::Length(ty);
        Some(ty)
    }

    /// Passes over `len` bytes of a payload that is handed through and goes on behind them, or ends
    /// with them, as it has to if the stream does; false when anything else follows.
    #[inline]
    pub(crate) fn streams_past(&mut self, len: usize, is_end: bool) -> bool {
        let State::Streaming(ty, left) = self.state else {
            return false;
        };
        self.state = match left.checked_sub(len as u64) {
            Some(0) => State::Type,
            Some(left) if !is_end => State::Streaming(ty, left),
            _ => return false,
        };
        true
    }

    /// Begins again, as on a new stream.
    pub fn clear(&mut self) {
        let Self {
            state,
            integer,
            collected,
        } = self;
        *state = State::Type;
        *integer = Reader::default();
        *collected = BytesMut::new();
    }

    /// Whether a payload that is handed over whole has begun and is not complete.
    pub fn is_collecting(&self) -> bool {
        matches!(self.state, State::Collecting(..))
    }

    /// Whether the stream may end here.
    ///
    /// # Errors
    /// H3_FRAME_ERROR inside of a frame.
    // RFC 9114 §7.1: a stream that ends cleanly within a frame is a connection error.
    pub fn finish(&self) -> Result<(), ConnectionError> {
        if self.is_between_frames() {
            Ok(())
        } else {
            Err(wrong_layout("the stream ends within a frame"))
        }
    }

    /// Whether no frame has begun that is not complete.
    pub fn is_between_frames(&self) -> bool {
        self.state == State::Type && self.integer.is_empty()
    }

    /// How many bytes of an unfinished payload are held.
    pub fn held_bytes(&self) -> usize {
        self.collected.len()
    }

    /// Enters the payload; the frame itself if there is nothing to wait for.
    fn begin(&mut self, ty: FrameType, len: u64, treatment: Treatment) -> Option<Decoded> {
        self.state = match (treatment, len) {
            (Treatment::Skip, 0) => State::Type,
            (Treatment::Skip, _) => State::Skipping(len),
            (Treatment::Stream, 0) => {
                self.state = State::Type;
                return Some(Decoded::Piece {
                    ty,
                    bytes: Bytes::new(),
                    is_last: true,
                });
            }
            (Treatment::Stream, _) => State::Streaming(ty, len),
            // An empty payload needs no input, so that it comes out with the frame's last byte.
            (Treatment::Collect, 0) => {
                self.state = State::Type;
                return Some(Decoded::Whole {
                    ty,
                    payload: Bytes::new(),
                });
            }
            (Treatment::Collect, _) => State::Collecting(ty, len),
        };
        (treatment == Treatment::Skip).then_some(Decoded::Skipped { ty })
    }

    /// The whole payload: a slice when all of it is there, a copy when it came in pieces.
    fn collect(&mut self, input: &mut Bytes, left: u64) -> Option<Bytes> {
        let State::Collecting(ty, _) = self.state else {
            return None;
        };
        let piece = take_up_to(input, left);
        let left = left - piece.len() as u64;
        if left > 0 {
            self.collected.extend_from_slice(&piece);
            self.state = State::Collecting(ty, left);
            return None;
        }
        self.state = State::Type;
        if self.collected.is_empty() {
            return Some(piece);
        }
        self.collected.extend_from_slice(&piece);
        Some(std::mem::take(&mut self.collected).freeze())
    }
}

/// The front of `input`, at most `len` bytes of it.
#[inline]
fn take_up_to(input: &mut Bytes, len: u64) -> Bytes {
    let available = input.len() as u64;
    if len >= available {
        return std::mem::take(input);
    }
    let piece = input.slice(..len as usize);
    input.advance(len as usize);
    piece
}

#[cfg(test)]
mod tests;
