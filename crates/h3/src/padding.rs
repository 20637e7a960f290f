//! Padding: frames that mean nothing, so that the size of a message says less about it.
//!
//! Invariant: with padding, what is written of a message when it pauses or ends is a multiple of
//! the block; a peer sees frames of a reserved type, which it must ignore.

use bytes::BufMut;

use crate::frame::FrameType;
use crate::varint;

/// How the size of messages is hidden. The content itself is not delayed.
// RFC 9114 §10.7: padding is possible by frames that are ignored; it costs bandwidth, so that it
// is off unless asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Padding {
    /// Messages are as long as they are.
    #[default]
    None,
    /// A header section is filled up to a multiple of this many bytes, and so is the whole message
    /// at its end. What is within a tunnel is left alone. At most [`BLOCK_MAX`].
    Blocks(u16),
}

/// The largest block.
pub const BLOCK_MAX: u16 = 16_384;

impl Padding {
    /// The size of the frame that follows `len` bytes; 0 for none.
    pub(crate) fn frame_len(self, len: u64) -> usize {
        let Self::Blocks(block) = self else { return 0 };
        let block = u64::from(block.min(BLOCK_MAX));
        if block < 2 {
            return 0;
        }
        let gap = (block - len % block) % block;
        // No frame is one byte long.
        let gap = if gap == 1 { gap + block } else { gap };
        gap as usize
    }
}

/// Writes a reserved frame of exactly `len` bytes; `len` came from [`Padding::frame_len`].
pub(crate) fn encode(len: usize, out: &mut impl BufMut) {
    debug_assert!(len >= 2, "a frame has a type and a length");
    // The shortest reserved type.
    varint::encode(FrameType::PADDING.value(), out);
    // RFC 9000 §16: a length may be longer than it has to be, which closes the gaps where the
    // length of the length changes.
    let payload = match len - 2 {
        payload @ 0..=0x3f => {
            out.put_u8(payload as u8);
            payload
        }
        longer if longer - 1 <= 0x3fff => {
            out.put_u16((longer - 1) as u16 | 0x4000);
            longer - 1
        }
        longer => {
            out.put_u32((longer - 3) as u32 | 0x8000_0000);
            longer - 3
        }
    };
    out.put_bytes(0, payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Decoded, Decoder, Treatment};
    use bytes::Bytes;

    #[test]
    fn a_frame_of_every_size_is_one_that_is_ignored() {
        for len in (2..300).chain(16_380..16_400) {
            let mut wire = Vec::new();
            encode(len, &mut wire);
            assert_eq!(wire.len(), len);
            let mut decoder = Decoder::default();
            let mut input = Bytes::from(wire);
            let skip = |_, _| Ok::<_, ()>(Treatment::Skip);
            let decoded = decoder.decode(&mut input, skip).expect("a frame");
            let ty = FrameType::PADDING;
            assert_eq!(decoded, Some(Decoded::Skipped { ty }));
            assert_eq!(decoder.decode(&mut input, skip), Ok(None));
            assert!(decoder.is_between_frames(), "{len}");
        }
    }

    #[test]
    fn whatever_was_sent_is_filled_up_to_a_multiple() {
        for block in [2, 3, 64, 66, 67, 1000, BLOCK_MAX, u16::MAX] {
            for len in [0u64, 1, 2, 63, 64, 65, 999, 1001, 16_383, 70_000] {
                let padding = Padding::Blocks(block).frame_len(len);
                let multiple = u64::from(block.min(BLOCK_MAX));
                assert_eq!((len + padding as u64) % multiple, 0);
                assert!(padding != 1 && padding as u64 <= multiple + 1);
            }
        }
        assert_eq!(Padding::None.frame_len(7), 0);
        assert_eq!(Padding::Blocks(0).frame_len(7), 0);
        assert_eq!(Padding::Blocks(1).frame_len(7), 0);
    }
}
