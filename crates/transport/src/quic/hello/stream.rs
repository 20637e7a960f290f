//! The bytes that CRYPTO frames carry, put in order.
//!
//! Invariant: a byte that has come once is not changed by what comes later, and memory is bounded
//! by the limits whatever offsets a client names.

use super::initial::Fields;
use super::{HelloError, HelloLimits};
use std::ops::Range;

/// The handshake bytes of the Initial level, with gaps.
#[derive(Default)]
pub(super) struct CryptoStream {
    bytes: Vec<u8>,
    /// What of `bytes` has come: in order, and none touches the next.
    pieces: Vec<Range<usize>>,
}

impl CryptoStream {
    /// Takes the frames of a packet.
    pub(super) fn on_frames(
        &mut self,
        payload: &[u8],
        limits: &HelloLimits,
    ) -> Result<(), HelloError> {
        let mut fields = Fields(payload);
        while let Some(kind) = fields.byte() {
            self.on_frame(kind, &mut fields, limits)?;
        }
        Ok(())
    }

    fn on_frame(
        &mut self,
        kind: u8,
        fields: &mut Fields<'_>,
        limits: &HelloLimits,
    ) -> Result<(), HelloError> {
        // RFC 9000 §17.2.2: the frames that an Initial packet may hold.
        match kind {
            PADDING | PING => {}
            ACK | ACK_ECN => skip_ack(kind, fields).ok_or(CUT)?,
            CRYPTO => {
                let offset = fields.length().ok_or(CUT)?;
                let len = fields.length().ok_or(CUT)?;
                let data = fields.take(len).ok_or(CUT)?;
                self.put(offset, data, limits)?;
            }
            CLOSE => skip_close(fields).ok_or(CUT)?,
            _ => return Err(HelloError::Malformed("a frame that no first packet has")),
        }
        Ok(())
    }

    fn put(&mut self, offset: usize, data: &[u8], limits: &HelloLimits) -> Result<(), HelloError> {
        let end = offset.saturating_add(data.len());
        if end > limits.bytes_max {
            return Err(HelloError::TooLong("a frame beyond the largest hello"));
        }
        if data.is_empty() {
            return Ok(());
        }
        // Pieces are in order by both their ends, since none overlaps another.
        let first = self.pieces.partition_point(|piece| piece.end < offset);
        let last = self.pieces.partition_point(|piece| piece.start <= end);
        for piece in &self.pieces[first..last] {
            let common = piece.start.max(offset)..piece.end.min(end);
            let new = &data[common.start - offset..common.end - offset];
            if self.bytes[common] != *new {
                return Err(HelloError::Contradiction);
            }
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(data);
        let joined = match self.pieces[first..last] {
            [] => offset..end,
            [ref only] => only.start.min(offset)..only.end.max(end),
            [ref front, .., ref back] => front.start.min(offset)..back.end.max(end),
        };
        self.pieces.splice(first..last, [joined]);
        if self.pieces.len() > limits.pieces_max {
            return Err(HelloError::TooLong("it comes in too many pieces"));
        }
        Ok(())
    }

    /// The body of the hello when it is whole.
    pub(super) fn hello(&self, limits: &HelloLimits) -> Result<Option<&[u8]>, HelloError> {
        let Some(front) = self.pieces.first().filter(|piece| piece.start == 0) else {
            return Ok(None);
        };
        let front = &self.bytes[front.clone()];
        // RFC 8446 §4: a type and a length of three bytes.
        if front[0] != CLIENT_HELLO {
            return Err(HelloError::Malformed("the first message is another one"));
        }
        let Some(([_, len @ ..], rest)) = front.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = len
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte));
        if len + 4 > limits.bytes_max {
            return Err(HelloError::TooLong("it says so"));
        }
        Ok(rest.get(..len))
    }
}

/// RFC 9000 §19.3.
fn skip_ack(kind: u8, fields: &mut Fields<'_>) -> Option<()> {
    fields.number()?;
    fields.number()?;
    let ranges = fields.number()?;
    fields.number()?;
    let counts = if kind == ACK_ECN { 3 } else { 0 };
    // Ends at the payload's end, however many are named.
    for _ in 0..ranges {
        fields.number()?;
        fields.number()?;
    }
    for _ in 0..counts {
        fields.number()?;
    }
    Some(())
}

/// RFC 9000 §19.19, without an application's code.
fn skip_close(fields: &mut Fields<'_>) -> Option<()> {
    fields.number()?;
    fields.number()?;
    let len = fields.length()?;
    fields.take(len).map(drop)
}

const CUT: HelloError = HelloError::Malformed("a frame that is cut");
const PADDING: u8 = 0x00;
const PING: u8 = 0x01;
const ACK: u8 = 0x02;
const ACK_ECN: u8 = 0x03;
const CRYPTO: u8 = 0x06;
const CLOSE: u8 = 0x1c;
const CLIENT_HELLO: u8 = 1;
