//! The two halves of a stream at one end.
//!
//! Invariant: what is in flight or unread never exceeds the window.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::Piece;
use crate::error::Code;
use crate::event::{Chunk, Written};
use crate::transport::ReadError;

/// What an end sends.
#[derive(Debug, Default)]
pub(super) struct SendHalf {
    chunks: VecDeque<Bytes>,
    fin: bool,
    is_fin_carried: bool,
    pub(super) is_reset: bool,
    pub(super) stopped: Option<Code>,
    /// Bytes written and not read by the peer.
    unread: usize,
    was_blocked: bool,
}

impl SendHalf {
    pub(super) fn write(&mut self, chunks: &mut [Bytes], fin: bool, window: usize) -> Written {
        let mut bytes = 0;
        for chunk in &mut *chunks {
            let room = window.saturating_sub(self.unread);
            let taken = chunk.split_to(room.min(chunk.len()));
            self.unread += taken.len();
            bytes += taken.len();
            if !taken.is_empty() {
                self.chunks.push_back(taken);
            }
        }
        let is_all = chunks.iter().all(Bytes::is_empty);
        self.fin |= fin && is_all;
        self.was_blocked = !is_all;
        Written {
            bytes,
            fin: fin && is_all,
            is_blocked: !is_all,
        }
    }

    pub(super) fn has_piece(&self) -> bool {
        !self.is_reset && (!self.chunks.is_empty() || (self.fin && !self.is_fin_carried))
    }

    pub(super) fn take_piece(&mut self, len: usize) -> Piece {
        let mut bytes = Bytes::new();
        if let Some(first) = self.chunks.front_mut() {
            bytes = first.split_to(len.min(first.len()));
            if first.is_empty() {
                self.chunks.pop_front();
            }
        }
        let fin = self.fin && self.chunks.is_empty();
        self.is_fin_carried |= fin;
        Piece { bytes, fin }
    }

    pub(super) fn reset(&mut self) {
        self.is_reset = true;
        self.chunks.clear();
    }

    /// The peer read `len` bytes; whether the writer waited for it.
    pub(super) fn credit(&mut self, len: usize) -> bool {
        self.unread -= len.min(self.unread);
        std::mem::take(&mut self.was_blocked)
    }
}

/// What an end receives.
#[derive(Debug, Default)]
pub(super) struct ReceiveHalf {
    chunks: VecDeque<Bytes>,
    fin: bool,
    is_fin_read: bool,
    pub(super) reset: Option<Code>,
    pub(super) is_stopped: bool,
    /// Bytes read that the sender was not told of.
    consumed: usize,
}

impl ReceiveHalf {
    pub(super) fn deliver(&mut self, piece: Piece) {
        if self.is_stopped {
            self.consumed += piece.bytes.len();
            return;
        }
        if !piece.bytes.is_empty() {
            self.chunks.push_back(piece.bytes);
        }
        self.fin |= piece.fin;
    }

    pub(super) fn read(&mut self) -> Result<Chunk, ReadError> {
        if self.is_stopped || self.is_fin_read {
            return Err(ReadError::Closed);
        }
        // A reset may overtake bytes that were not read.
        if let Some(code) = self.reset {
            self.is_fin_read = true;
            return Err(ReadError::Reset(code));
        }
        let bytes = self.chunks.pop_front();
        let fin = self.fin && self.chunks.is_empty();
        self.is_fin_read = fin;
        match bytes {
            Some(bytes) => {
                self.consumed += bytes.remaining();
                Ok(Chunk { bytes, fin })
            }
            None if fin => Ok(Chunk {
                bytes: Bytes::new(),
                fin,
            }),
            None => Err(ReadError::Blocked),
        }
    }

    pub(super) fn take_reset(&mut self) -> Option<Code> {
        if self.is_fin_read {
            return None;
        }
        self.is_fin_read = self.reset.is_some();
        self.reset
    }

    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        self.consumed += self
            .chunks
            .drain(..)
            .map(|chunk| chunk.len())
            .sum::<usize>();
    }

    pub(super) fn take_consumed(&mut self) -> usize {
        std::mem::take(&mut self.consumed)
    }

    pub(super) fn unread(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }
}
