//! The frame decoder, in pieces of any size.
//!
//! Invariant: no panic, nothing is held beyond what arrived of a collected payload, and the same
//! bytes in other pieces are the same frames.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use portway_h3::frame::{Decoded, Decoder, FrameType, Treatment};

/// The size of the pieces, and the bytes.
type Input = (u8, Vec<u8>);

pub(crate) fn run(data: &[u8]) {
    let Ok((piece, bytes)) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let whole = frames(bytes.len().max(1), &bytes);
    let pieces = frames(usize::from(piece).max(1), &bytes);
    assert_eq!(whole, pieces);
}

/// Type and payload of every frame; what is cut off at the end included.
fn frames(piece: usize, bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut decoder = Decoder::default();
    let mut frames: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut is_open = false;
    for piece in bytes.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Ok(Some(decoded)) = decoder.decode(&mut input, treat) {
            match decoded {
                Decoded::Piece { ty, bytes, is_last } => {
                    if !is_open {
                        frames.push((ty.value(), Vec::new()));
                    }
                    if let Some((_, payload)) = frames.last_mut() {
                        payload.extend_from_slice(&bytes);
                    }
                    is_open = !is_last;
                }
                Decoded::Whole { ty, payload } => frames.push((ty.value(), payload.to_vec())),
                Decoded::Skipped { ty } => frames.push((ty.value(), Vec::new())),
            }
        }
        assert!(decoder.held_bytes() <= LIMIT);
    }
    frames
}

fn treat(ty: FrameType, len: u64) -> Result<Treatment, ()> {
    match ty {
        FrameType::DATA => Ok(Treatment::Stream),
        FrameType::HEADERS if len <= LIMIT as u64 => Ok(Treatment::Collect),
        _ => Ok(Treatment::Skip),
    }
}

const LIMIT: usize = 100;
