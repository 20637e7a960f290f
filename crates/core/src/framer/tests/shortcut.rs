//! Shortcuts: they say what the framer would have done, or nothing.

use super::{arrived, framed, one};
use crate::framer::{
    Deframed, Delimited, Demand, Framer, Header, LengthPrefixed, Outgoing, Pipeline, Receive, Tlv,
    Whole,
};
use crate::message::MessageContext;
use crate::send_queue::WireBuffer;
use bytes::BytesMut;

fn length_prefixed() -> Vec<LengthPrefixed> {
    let widths = [
        LengthPrefixed::u8(),
        LengthPrefixed::u16(),
        LengthPrefixed::u32(),
        LengthPrefixed::u64(),
        LengthPrefixed::varint(),
    ];
    let ordered = widths
        .into_iter()
        .flat_map(|framer| [framer.clone(), framer.little_endian()]);
    let counted = ordered.flat_map(|framer| [framer.clone(), framer.length_includes_header()]);
    counted.map(|framer| framer.max_length(70_000)).collect()
}

/// What `framer` itself writes for a whole message; `None` when it refuses it.
fn written(mut framer: LengthPrefixed, message: &[u8]) -> Option<Vec<u8>> {
    let context = MessageContext::new();
    let mut wire = WireBuffer::new();
    let part = Outgoing::whole(message.into(), &context);
    framer.frame(part, &mut wire).ok()?;
    Some(wire.iter().flatten().copied().collect())
}

#[test]
fn a_header_is_what_the_framer_writes_before_the_message() {
    for framer in length_prefixed() {
        for length in [
            0, 1, 63, 64, 247, 248, 254, 255, 256, 65_535, 65_536, 70_000, 70_001,
        ] {
            let message = vec![7; length];
            let header = framer.header(length, &MessageContext::new());
            let expected = written(framer.clone(), &message);
            let shortcut = header.map(|header| [header.bytes(), &message].concat());
            assert_eq!(shortcut, expected, "{length} bytes by {framer:?}");
        }
    }
}

#[test]
fn what_is_seen_at_the_front_is_what_the_framer_finds() {
    for framer in length_prefixed() {
        let message = [7; 100];
        let Some(mut wire) = written(framer.clone(), &message) else {
            panic!("100 bytes fit behind every length");
        };
        wire.extend_from_slice(b"next");
        for there in 0..=wire.len() {
            let mut input = BytesMut::from(&wire[..there]);
            let seen = framer.peek(&input);
            let mut itself = framer.clone();
            let found = itself.deframe(&mut input, Demand::WHOLE).expect("valid");
            match (seen, found) {
                (
                    Some(Whole {
                        header_bytes,
                        bytes,
                    }),
                    Deframed::Frame(frame),
                ) => {
                    assert_eq!(frame.data, wire[header_bytes..header_bytes + bytes]);
                    assert_eq!(input, wire[header_bytes + bytes..there]);
                }
                (None, Deframed::NeedsMore(_)) => {}
                (seen, found) => panic!("{seen:?}, {found:?} with {there} bytes by {framer:?}"),
            }
        }
    }
}

#[test]
fn nothing_is_seen_in_what_the_framer_refuses() {
    let framer = LengthPrefixed::u32().max_length(4);
    assert_eq!(framer.peek(b"\0\0\0\x05hello"), None);
    let counted = LengthPrefixed::u16().length_includes_header();
    assert_eq!(counted.peek(b"\0\x01..."), None, "less than its own header");
}

#[test]
fn a_message_that_has_begun_to_be_taken_out_is_left_to_the_framer() {
    let mut framers = one(LengthPrefixed::u32());
    let mut arrived = arrived(b"\0\0\0\x05he");
    let demand = Demand::new(1, 2);
    let first = arrived.receive(&mut framers, demand).expect("a part");
    assert!(matches!(first, Receive::Message(part) if &part[..] == b"he" && !part.is_end));
    // Four of these bytes look like the header of an empty message.
    arrived
        .input_mut()
        .extend_from_slice(b"\0\0\0\0\0\0\0\x01x");
    assert_eq!(arrived.next_whole(&framers, Demand::WHOLE), None);
    let rest = arrived
        .receive(&mut framers, Demand::WHOLE)
        .expect("a part");
    assert!(matches!(rest, Receive::Message(part) if &part[..] == b"\0\0\0" && part.is_end));
}

#[test]
fn a_message_longer_than_wanted_is_left_to_the_framer() {
    let framers = one(LengthPrefixed::u32());
    let mut arrived = arrived(b"\0\0\0\x05hello");
    assert_eq!(arrived.next_whole(&framers, Demand::new(1, 4)), None);
    let whole = arrived.next_whole(&framers, Demand::new(1, 5));
    assert_eq!(&whole.expect("it fits")[..], b"hello");
}

#[test]
fn the_last_message_of_a_stream_is_told_to_be_the_last() {
    let mut framers = one(LengthPrefixed::u32());
    let mut arrived = arrived(b"\0\0\0\x01a\0\0\0\x01b");
    arrived.on_end();
    let mut finals = Vec::new();
    while let Ok(Receive::Message(message)) = arrived.receive(&mut framers, Demand::WHOLE) {
        finals.push(message.context.is_final());
    }
    assert_eq!(finals, [false, true]);
}

#[test]
fn only_a_framer_that_stands_alone_has_shortcuts() {
    let plain = MessageContext::new();
    assert_eq!(Pipeline::empty().header(9, &plain), Some(Header::EMPTY));
    assert_eq!(one(Delimited::lf()).header(9, &plain), None);
    assert_eq!(one(Tlv::u8(LengthPrefixed::u8())).header(9, &plain), None);
    let two = || Box::new(LengthPrefixed::u8()) as Box<dyn Framer>;
    let mut stack = Pipeline::new([two(), two()]);
    stack.start(&mut WireBuffer::new()).expect("no handshake");
    assert_eq!(stack.header(9, &plain), None);
    let bytes = framed(&mut stack, &[b"hi"]);
    assert_eq!(bytes, b"\x03\x02hi");
    assert_eq!(arrived(&bytes).next_whole(&stack, Demand::WHOLE), None);
}

#[test]
fn a_header_takes_sixteen_bytes_and_no_more() {
    assert_eq!(Header::new(&[1; 16]).expect("it fits").bytes(), [1; 16]);
    assert_eq!(Header::new(&[1; 17]), None);
}
