//! Frames in whatever pieces they come.

use super::*;
use crate::varint;

fn treat(ty: FrameType, len: u64) -> Result<Treatment, &'static str> {
    match ty {
        FrameType::DATA => Ok(Treatment::Stream),
        FrameType::HEADERS if len > 100 => Err("too long"),
        FrameType::HEADERS => Ok(Treatment::Collect),
        _ => Ok(Treatment::Skip),
    }
}

fn frame(ty: u64, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    encode(ty, payload.len(), &mut wire);
    wire.extend_from_slice(payload);
    wire
}

fn encode(ty: u64, len: usize, wire: &mut Vec<u8>) {
    crate::frame::encode_header(FrameType(ty), len, wire);
}

/// Decodes `pieces` and joins pieces of one DATA frame.
fn decode_all(pieces: &[&[u8]]) -> Vec<(u64, Vec<u8>)> {
    let mut decoder = Decoder::default();
    let mut frames: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut in_data = false;
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(decoded) = decoder.decode(&mut input, treat).expect("allowed") {
            match decoded {
                Decoded::Piece { ty, bytes, is_last } => {
                    if !in_data {
                        frames.push((ty.0, Vec::new()));
                    }
                    frames
                        .last_mut()
                        .expect("pushed")
                        .1
                        .extend_from_slice(&bytes);
                    in_data = !is_last;
                }
                Decoded::Whole { ty, payload } => frames.push((ty.0, payload.to_vec())),
                Decoded::Skipped { ty } => frames.push((ty.0, b"skipped".to_vec())),
            }
        }
        assert!(input.is_empty(), "everything is used up");
    }
    assert!(decoder.is_between_frames());
    frames
}

fn sample() -> Vec<u8> {
    [
        frame(1, b"fields"),
        frame(0, b"content"),
        frame(0, b""),
        frame(0x21, b"grease"),
        frame(0x40, b""),
        frame(1, b""),
        frame(0, &[7; 300]),
    ]
    .concat()
}

#[test]
fn every_split_into_two_gives_the_same_frames() {
    let wire = sample();
    let whole = decode_all(&[&wire]);
    assert_eq!(whole.len(), 7);
    assert_eq!(whole[3], (0x21, b"skipped".to_vec()));
    for cut in 0..=wire.len() {
        assert_eq!(
            decode_all(&[&wire[..cut], &wire[cut..]]),
            whole,
            "cut at {cut}"
        );
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(decode_all(&bytes), whole);
}

#[test]
fn pieces_of_data_are_slices_of_the_input() {
    let mut input = Bytes::from(frame(0, b"content"));
    let range = input.as_ptr_range();
    let mut decoder = Decoder::default();
    let Ok(Some(Decoded::Piece {
        bytes,
        is_last: true,
        ..
    })) = decoder.decode(&mut input, treat)
    else {
        panic!("one piece");
    };
    assert!(range.contains(&bytes.as_ptr()));
}

#[test]
fn a_whole_payload_in_the_input_is_not_copied() {
    let mut input = Bytes::from(frame(1, b"fields"));
    let range = input.as_ptr_range();
    let mut decoder = Decoder::default();
    let Ok(Some(Decoded::Whole { payload, .. })) = decoder.decode(&mut input, treat) else {
        panic!("one frame");
    };
    assert!(range.contains(&payload.as_ptr()));
}

#[test]
fn a_huge_unknown_frame_holds_nothing() {
    let mut wire = Vec::new();
    varint::encode(0x21, &mut wire);
    varint::encode(1 << 40, &mut wire);
    let mut decoder = Decoder::default();
    let mut input = Bytes::from(wire);
    assert_eq!(
        decoder.decode(&mut input, treat),
        Ok(Some(Decoded::Skipped {
            ty: FrameType(0x21)
        }))
    );
    let block = Bytes::from_static(&[0; 65_536]);
    for _ in 0..1000 {
        assert_eq!(decoder.decode(&mut block.clone(), treat), Ok(None));
        assert_eq!(decoder.held_bytes(), 0);
    }
    assert!(decoder.finish().is_err());
}

#[test]
fn a_declared_length_is_not_allocated() {
    let mut wire = Vec::new();
    encode(1, 100, &mut wire);
    wire.push(7);
    let mut decoder = Decoder::default();
    assert_eq!(decoder.decode(&mut Bytes::from(wire), treat), Ok(None));
    assert_eq!(decoder.held_bytes(), 1);
    assert!(decoder.collected.capacity() < 100);
}

#[test]
fn only_a_payload_that_is_wanted_whole_is_collected() {
    let mut whole = Vec::new();
    encode(1, 3, &mut whole);
    let mut decoder = Decoder::default();
    assert!(!decoder.is_collecting());
    assert_eq!(decoder.decode(&mut Bytes::from(whole), treat), Ok(None));
    assert!(decoder.is_collecting());
    let rest = decoder.decode(&mut Bytes::from_static(b"abc"), treat);
    assert!(matches!(rest, Ok(Some(Decoded::Whole { .. }))));
    assert!(!decoder.is_collecting());
    let mut streamed = Vec::new();
    encode(0, 3, &mut streamed);
    assert_eq!(decoder.decode(&mut Bytes::from(streamed), treat), Ok(None));
    assert!(!decoder.is_collecting());
}

#[test]
fn a_refused_frame_is_refused_before_its_payload() {
    let mut wire = Vec::new();
    encode(1, 101, &mut wire);
    let refused = Decoder::default().decode(&mut Bytes::from(wire), treat);
    assert_eq!(refused, Err("too long"));
}

#[test]
fn the_stream_may_end_only_between_frames() {
    let wire = frame(1, b"fields");
    for cut in 0..=wire.len() {
        let mut decoder = Decoder::default();
        let mut input = Bytes::copy_from_slice(&wire[..cut]);
        while decoder
            .decode(&mut input, treat)
            .expect("allowed")
            .is_some()
        {}
        assert_eq!(
            decoder.finish().is_ok(),
            cut == 0 || cut == wire.len(),
            "cut at {cut}"
        );
    }
}

#[test]
fn bytes_of_a_payload_are_passed_over_and_no_others() {
    let begun = || {
        let mut decoder = Decoder::default();
        assert!(!decoder.streams_past(1, false), "no frame has begun");
        let mut input = Bytes::from_static(&[0x00, 10, b'a']);
        let piece = decoder.decode(&mut input, treat);
        assert!(
            matches!(piece, Ok(Some(Decoded::Piece { .. }))),
            "{piece:?}"
        );
        decoder
    };
    for is_end in [false, true] {
        let mut decoder = begun();
        assert!(decoder.streams_past(4, false));
        assert!(!decoder.streams_past(6, is_end), "another frame follows");
        assert_eq!(decoder.streams_past(3, is_end), !is_end, "more is to come");
    }
    for is_end in [false, true] {
        let mut decoder = begun();
        assert!(decoder.streams_past(8, false));
        assert!(!decoder.is_between_frames());
        assert!(decoder.streams_past(1, is_end));
        assert!(decoder.is_between_frames());
        assert!(!decoder.streams_past(1, is_end));
    }
    // What is passed over is counted: the rest of the frame comes as it would have.
    let mut decoder = begun();
    assert!(decoder.streams_past(8, false));
    let last = decoder.decode(&mut Bytes::from_static(b"z\x00"), treat);
    let Ok(Some(Decoded::Piece { bytes, is_last, .. })) = last else {
        panic!("{last:?}");
    };
    assert_eq!((&bytes[..], is_last), (&b"z"[..], true));
}
