//! The instructions that the peer's decoder sends (RFC 9204 §4.4), split anywhere.
//!
//! Invariant: an instruction is one integer, so that at most the bytes of one are kept.

use crate::qpack::error::QpackError;
use crate::qpack::integer::{self, IntegerError};

/// An instruction for the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// The earliest section of the stream that is not yet acknowledged has been decoded.
    SectionAcknowledgment { stream: u64 },
    /// Nothing of the stream will be decoded any more.
    StreamCancellation { stream: u64 },
    /// So many more insertions have arrived.
    InsertCountIncrement { increment: u64 },
}

/// The receiving end of a decoder stream.
#[derive(Debug, Default)]
pub(super) struct DecoderStream {
    /// The beginning of an instruction whose end is to come.
    partial: [u8; integer::ENCODED_LEN_MAX],
    partial_len: u8,
}

impl DecoderStream {
    /// Takes the next instruction off the front of `bytes`, or all of them when they end before
    /// one is complete.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Instruction>, QpackError> {
        if self.partial_len == 0 {
            return match parse(bytes)? {
                Some((instruction, taken)) => {
                    *bytes = &bytes[taken..];
                    Ok(Some(instruction))
                }
                None => {
                    self.partial[..bytes.len()].copy_from_slice(bytes);
                    self.partial_len = bytes.len() as u8;
                    *bytes = &[];
                    Ok(None)
                }
            };
        }
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            self.partial[usize::from(self.partial_len)] = byte;
            self.partial_len += 1;
            let partial = &self.partial[..usize::from(self.partial_len)];
            if let Some((instruction, _)) = parse(partial)? {
                self.partial_len = 0;
                return Ok(Some(instruction));
            }
        }
        Ok(None)
    }
}

/// Reads the instruction at the front; None when its end is missing, and then there are fewer
/// bytes than an instruction has at most.
fn parse(bytes: &[u8]) -> Result<Option<(Instruction, usize)>, QpackError> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let prefix_bits = if first & 0x80 != 0 { 7 } else { 6 };
    match integer::decode(prefix_bits, bytes) {
        Ok((value, taken)) => {
            let instruction = match first {
                0x80.. => Instruction::SectionAcknowledgment { stream: value },
                0x40.. => Instruction::StreamCancellation { stream: value },
                _ => Instruction::InsertCountIncrement { increment: value },
            };
            Ok(Some((instruction, taken)))
        }
        Err(IntegerError::Truncated) => Ok(None),
        Err(IntegerError::TooLarge) => Err(QpackError::decoder_stream(
            "an integer has more than 62 bits",
        )),
    }
}
