//! Bytes leave in order, marks when they should, and small pieces as one slice.

use super::*;
use crate::message::Chunks;
use bytes::Bytes;
use std::io::IoSlice;

fn large(byte: u8) -> Bytes {
    vec![byte; COPIED_BYTES_MAX + 1].into()
}

fn contents(wire: &WireBuffer) -> Vec<u8> {
    wire.iter().flatten().copied().collect()
}

#[test]
fn a_hundred_small_messages_are_one_slice() {
    let mut wire = WireBuffer::new();
    for _ in 0..100 {
        wire.put_slice(b"head");
        wire.put_bytes(vec![1; 64].into());
    }
    let mut slots = [IoSlice::new(b""); 8];
    assert_eq!(wire.slices(&mut slots), 1);
    assert_eq!(slots[0].len(), 6800);
    assert_eq!(wire.first_slice().len(), 6800);
}

#[test]
fn large_pieces_are_not_copied_and_small_ones_are() {
    let mut wire = WireBuffer::new();
    let payload = large(7);
    let address = payload.as_ptr();
    let small = Bytes::from(vec![8; COPIED_BYTES_MAX]);
    let small_address = small.as_ptr();
    wire.put_slice(b"head");
    wire.put_bytes(payload);
    wire.put_bytes(small);
    let slices: Vec<_> = wire.iter().collect();
    assert_eq!(slices.len(), 3);
    assert_eq!(slices[0], b"head");
    assert_eq!(slices[1].as_ptr(), address);
    assert_ne!(slices[2].as_ptr(), small_address);
    assert_eq!(wire.len(), 4 + 2 * COPIED_BYTES_MAX + 1);
}

#[test]
fn a_header_goes_before_its_message_whatever_its_length() {
    let header = crate::framer::Header::new(b"head").expect("it is short");
    let mut wire = WireBuffer::new();
    wire.put_message(&header, Chunks::from("one"));
    wire.put_message(&crate::framer::Header::EMPTY, Chunks::from("two"));
    assert_eq!((wire.first_slice(), wire.len()), (&b"headonetwo"[..], 10));
    let short = Bytes::from(vec![8; COPIED_BYTES_MAX]);
    let pieces = [Bytes::from_static(b"a"), Bytes::from_static(b"b")];
    wire.put_message(&header, short.clone().into());
    wire.put_message(&header, large(7).into());
    wire.put_message(&header, pieces.into_iter().collect());
    let expected = [b"headonetwohead", &short[..], b"head", &large(7), b"headab"].concat();
    assert_eq!(contents(&wire), expected);
    assert_eq!(wire.iter().count(), 3, "only the large one is not copied");
    assert_eq!(wire.advance(12), 0);
    assert_eq!(contents(&wire), expected[12..]);
    assert_eq!(wire.advance(expected.len() - 12), 0);
    assert!(wire.is_empty() && wire.first_slice().is_empty());
}

#[test]
fn fewer_slots_than_slices_are_filled_in_order() {
    let mut wire = WireBuffer::new();
    wire.put_slice(b"a");
    wire.put_bytes(large(1));
    wire.put_slice(b"b");
    let mut slots = [IoSlice::new(b""); 2];
    assert_eq!(wire.slices(&mut slots), 2);
    assert_eq!((slots[0].len(), slots[1].len()), (1, COPIED_BYTES_MAX + 1));
}

#[test]
fn bytes_leave_in_order_however_they_are_taken() {
    for step in [1, 2, 3, 700, 1500, 10_000] {
        let mut wire = WireBuffer::new();
        wire.put_bytes(large(1));
        wire.put_slice(b"ab");
        wire.put_bytes(large(2));
        wire.put_bytes(large(3));
        wire.put_slice(b"cde");
        let mut expected = contents(&wire);
        while !wire.is_empty() {
            assert!(!wire.first_slice().is_empty());
            assert!(expected.starts_with(wire.first_slice()));
            let count = step.min(wire.len());
            wire.advance(count);
            expected.drain(..count);
            assert_eq!(contents(&wire), expected, "step {step}");
            assert_eq!(wire.len(), expected.len());
        }
        wire.put_slice(b"again");
        assert_eq!(contents(&wire), b"again");
    }
}

#[test]
fn a_mark_is_due_with_its_last_byte() {
    let mut wire = WireBuffer::new();
    wire.mark();
    assert_eq!(
        (wire.marks(), wire.take_due_marks(), wire.marks()),
        (1, 1, 0)
    );
    wire.put_slice(b"abc");
    wire.mark();
    wire.mark();
    wire.put_bytes(large(1));
    wire.mark();
    assert_eq!(wire.advance(2), 0);
    assert_eq!(wire.advance(1), 2);
    assert_eq!(wire.advance(COPIED_BYTES_MAX), 0);
    assert_eq!(wire.advance(1), 1);
    wire.put_slice(b"z");
    wire.mark();
    assert_eq!(wire.advance(1), 1);
}

#[test]
#[should_panic(expected = "more bytes left than there were")]
fn more_than_there_is_cannot_leave() {
    WireBuffer::new().advance(1);
}

#[test]
fn chunks_are_taken_without_the_bytes_that_left() {
    let mut wire = WireBuffer::new();
    wire.put_slice(b"abc");
    wire.put_bytes(large(1));
    wire.put_slice(b"def");
    wire.advance(2);
    let expected = contents(&wire);
    assert_eq!(wire.take_chunks().into_bytes(), expected);
    assert!(wire.is_empty() && wire.iter().next().is_none());
    wire.put_slice(b"x");
    wire.mark();
    assert_eq!(contents(&wire), b"x");
    assert_eq!(wire.advance(1), 1);
}

#[test]
fn clearing_reports_the_marks_that_will_never_be_due() {
    let mut wire = WireBuffer::new();
    wire.put_slice(b"abc");
    wire.mark();
    wire.put_bytes(large(1));
    wire.mark();
    assert_eq!((wire.clear(), wire.len(), wire.marks()), (2, 0, 0));
    wire.put_slice(b"x");
    wire.mark();
    assert_eq!(contents(&wire), b"x");
    assert_eq!(wire.advance(1), 1);
}

#[test]
fn chunks_go_in_piece_by_piece() {
    let mut wire = WireBuffer::new();
    let chunks: Chunks = [Bytes::from_static(b"a"), large(1), Bytes::from_static(b"b")]
        .into_iter()
        .collect();
    wire.put_chunks(chunks.clone());
    assert_eq!(contents(&wire), chunks.into_bytes());
}

#[test]
fn an_empty_buffer_keeps_little_and_gives_it_back() {
    let mut wire = WireBuffer::new();
    wire.put_slice(&[0; 40_000]);
    wire.advance(40_000);
    assert!(wire.retained_bytes() <= 16 * 1024);
    wire.put_slice(&[0; 4000]);
    wire.release_memory();
    assert_eq!(wire.len(), 4000, "what waits is kept");
    wire.advance(4000);
    assert!(wire.retained_bytes() >= 4000, "for the next message");
    wire.release_memory();
    assert_eq!(wire.retained_bytes(), 0);
}
