//! Every built-in framer: round trip, truncated and split at each byte, longest, first illegal.

use super::{arrived, bytes_of, drain, framed, one};
use crate::framer::{
    Deframed, Delimited, Demand, Framer, LengthPrefixed, Outgoing, Pipeline, Receive, TLV_TYPE, Tlv,
};
use crate::message::{Message, MessageContext, MetadataValue};
use crate::send_queue::WireBuffer;
use crate::{FailureKind, Origin};
use bytes::BytesMut;

type Make = fn() -> Pipeline;

const ALL: [(&str, Make); 15] = [
    ("u8", || one(LengthPrefixed::u8())),
    ("u16", || one(LengthPrefixed::u16())),
    ("u32", || one(LengthPrefixed::u32())),
    ("u64", || one(LengthPrefixed::u64())),
    ("u16 little", || one(LengthPrefixed::u16().little_endian())),
    ("u32 little", || one(LengthPrefixed::u32().little_endian())),
    ("u32 inclusive", || {
        one(LengthPrefixed::u32().length_includes_header())
    }),
    ("varint", || one(LengthPrefixed::varint())),
    ("varint inclusive", || {
        one(LengthPrefixed::varint().length_includes_header())
    }),
    ("lf", || one(Delimited::lf())),
    ("crlf", || one(Delimited::crlf())),
    ("nul", || one(Delimited::nul())),
    ("word", || one(Delimited::by(b"--end--"))),
    (
        "tlv",
        || one(Tlv::u8(LengthPrefixed::u16()).default_type(3)),
    ),
    ("tlv little", || {
        one(Tlv::u16(LengthPrefixed::u32().little_endian()).default_type(0x102))
    }),
];

const MESSAGES: [&[u8]; 5] = [
    b"hello",
    b"",
    b"x",
    b"a longer message, of 62 bytes or so, to cross varint widths....",
    b"end",
];

#[test]
fn every_framer_gives_back_what_it_framed() {
    for (name, make) in ALL {
        let wire = framed(&mut make(), &MESSAGES);
        let mut received = Vec::new();
        let end = drain(
            &mut arrived(&wire),
            &mut make(),
            Demand::WHOLE,
            &mut received,
        );
        assert!(matches!(end, Ok(Receive::NeedsMore(_))), "{name}: {end:?}");
        assert_eq!(bytes_of(&received), MESSAGES, "{name}");
        assert!(received.iter().all(|m| m.is_complete()), "{name}");
    }
}

#[test]
fn every_framer_takes_its_bytes_one_by_one() {
    for (name, make) in ALL {
        let wire = framed(&mut make(), &MESSAGES);
        let (mut framers, mut stream) = (make(), arrived(b""));
        let mut received = Vec::new();
        for byte in &wire {
            stream.prepare_read().extend_from_slice(&[*byte]);
            let end = drain(&mut stream, &mut framers, Demand::WHOLE, &mut received);
            assert!(
                matches!(end, Ok(Receive::NeedsMore(1..))),
                "{name}: {end:?}"
            );
        }
        assert_eq!(bytes_of(&received), MESSAGES, "{name}");
    }
}

#[test]
fn every_framer_takes_its_bytes_split_anywhere() {
    for (name, make) in ALL {
        let wire = framed(&mut make(), &MESSAGES);
        for at in 0..=wire.len() {
            let (mut framers, mut stream) = (make(), arrived(&wire[..at]));
            let mut received = Vec::new();
            drain(&mut stream, &mut framers, Demand::WHOLE, &mut received).expect("legal");
            stream.on_bytes(bytes::Bytes::copy_from_slice(&wire[at..]));
            drain(&mut stream, &mut framers, Demand::WHOLE, &mut received).expect("legal");
            assert_eq!(bytes_of(&received), MESSAGES, "{name} at {at}");
        }
    }
}

#[test]
fn every_framer_reports_an_end_within_a_message() {
    for (name, make) in ALL {
        let mut ends = vec![0];
        for count in 1..=MESSAGES.len() {
            ends.push(framed(&mut make(), &MESSAGES[..count]).len());
        }
        let wire = framed(&mut make(), &MESSAGES);
        for at in 0..=wire.len() {
            let (mut framers, mut stream) = (make(), arrived(&wire[..at]));
            stream.on_end();
            let mut received = Vec::new();
            let end = drain(&mut stream, &mut framers, Demand::WHOLE, &mut received);
            let whole = ends.iter().filter(|end| **end <= at).count() - 1;
            assert_eq!(bytes_of(&received), MESSAGES[..whole], "{name} at {at}");
            if ends.contains(&at) {
                assert_eq!(end, Ok(Receive::Ended), "{name} at {at}");
            } else {
                let failure = end.expect_err("the end is within a message");
                assert!(failure.is_fatal);
                assert_eq!(failure.failure.kind, FailureKind::Reset, "{name} at {at}");
                assert_eq!(failure.failure.origin, Origin::Framing);
            }
        }
    }
}

#[test]
fn every_framer_delivers_parts_that_add_up() {
    for (name, make) in ALL {
        let wire = framed(&mut make(), &MESSAGES);
        for demand in [
            Demand::ANY,
            Demand::new(1, 1),
            Demand::new(2, 3),
            Demand::new(usize::MAX, 4),
        ] {
            let (mut framers, mut stream) = (make(), arrived(b""));
            let mut parts = Vec::new();
            for byte in &wire {
                stream.prepare_read().extend_from_slice(&[*byte]);
                drain(&mut stream, &mut framers, demand, &mut parts).expect("legal");
            }
            let mut whole: Vec<Vec<u8>> = Vec::new();
            for part in &parts {
                assert!(part.len() <= demand.max, "{name} {demand:?}");
                if part.is_start {
                    whole.push(Vec::new());
                }
                assert_eq!(part.id().expect("received").0, whole.len() as u64 - 1);
                whole
                    .last_mut()
                    .expect("a start came first")
                    .extend_from_slice(part);
            }
            assert_eq!(whole, MESSAGES, "{name} {demand:?}");
            assert_eq!(
                parts.iter().filter(|part| part.is_end).count(),
                MESSAGES.len()
            );
        }
    }
}

#[test]
fn headers_are_what_other_implementations_write() {
    let cases: [(LengthPrefixed, &[u8]); 7] = [
        (LengthPrefixed::u8(), b"\x02hi"),
        (LengthPrefixed::u16(), b"\x00\x02hi"),
        (LengthPrefixed::u32(), b"\x00\x00\x00\x02hi"),
        (LengthPrefixed::u32().little_endian(), b"\x02\x00\x00\x00hi"),
        (LengthPrefixed::u64(), b"\x00\x00\x00\x00\x00\x00\x00\x02hi"),
        (
            LengthPrefixed::u16().length_includes_header(),
            b"\x00\x04hi",
        ),
        (LengthPrefixed::varint(), b"\x02hi"),
    ];
    for (framer, wire) in cases {
        assert_eq!(framed(&mut one(framer), &[b"hi"]), wire);
    }
    let tlv = Tlv::u16(LengthPrefixed::u16()).default_type(0x0102);
    assert_eq!(framed(&mut one(tlv), &[b"hi"]), b"\x01\x02\x00\x02hi");
    assert_eq!(framed(&mut one(Delimited::crlf()), &[b"hi"]), b"hi\r\n");
}

#[test]
fn varints_change_width_where_rfc_9000_says() {
    let cases: [(usize, &[u8]); 6] = [
        (0, &[0]),
        (63, &[63]),
        (64, &[0x40, 64]),
        (16_383, &[0x7f, 0xff]),
        (16_384, &[0x80, 0, 0x40, 0]),
        (20_000, &[0x80, 0, 0x4e, 0x20]),
    ];
    for (length, header) in cases {
        let wire = framed(&mut one(LengthPrefixed::varint()), &[&vec![7; length]]);
        assert_eq!(wire[..header.len()], *header, "{length}");
        assert_eq!(wire.len(), header.len() + length);
    }
}

#[test]
fn inclusive_varint_counts_its_own_width() {
    for length in [62, 63, 64, 16_381, 16_382, 16_383] {
        let make = || one(LengthPrefixed::varint().length_includes_header());
        let message = vec![7; length];
        let wire = framed(&mut make(), &[&message]);
        let mut received = Vec::new();
        drain(
            &mut arrived(&wire),
            &mut make(),
            Demand::WHOLE,
            &mut received,
        )
        .expect("legal");
        assert_eq!(bytes_of(&received), [&message[..]]);
    }
}

#[test]
fn longest_message_passes_and_the_next_is_refused_on_both_sides() {
    let cases: [(Make, Make, usize); 6] = [
        (
            || one(LengthPrefixed::u8()),
            || one(LengthPrefixed::u16()),
            255,
        ),
        (
            || one(LengthPrefixed::u8().length_includes_header()),
            || one(LengthPrefixed::u16()),
            254,
        ),
        (
            || one(LengthPrefixed::u32().max_length(10)),
            || one(LengthPrefixed::u32()),
            10,
        ),
        (
            || one(LengthPrefixed::varint().max_length(70)),
            || one(LengthPrefixed::varint()),
            70,
        ),
        (
            || one(Delimited::crlf().max_length(10)),
            || one(Delimited::crlf()),
            10,
        ),
        (
            || one(Tlv::u8(LengthPrefixed::u16().max_length(10)).default_type(1)),
            || one(Tlv::u8(LengthPrefixed::u16()).default_type(1)),
            10,
        ),
    ];
    for (index, (limited, unlimited, longest)) in cases.into_iter().enumerate() {
        let wire = framed(&mut limited(), &[&vec![7; longest]]);
        let mut received = Vec::new();
        drain(
            &mut arrived(&wire),
            &mut limited(),
            Demand::WHOLE,
            &mut received,
        )
        .expect("legal");
        assert_eq!(received[0].len(), longest, "case {index}");

        let too_long = vec![7; longest + 1];
        let mut out = WireBuffer::new();
        let error = limited()
            .frame(Message::new(too_long.clone()), &mut out)
            .expect_err("too long to send");
        assert!(out.is_empty() && !error.is_stream_broken, "case {index}");
        assert_eq!(
            error.failure.kind,
            FailureKind::LimitReached,
            "case {index}"
        );
        if longest >= 254 {
            continue; // The length field itself cannot say more.
        }
        let wire = framed(&mut unlimited(), &[&too_long]);
        let error = drain(
            &mut arrived(&wire),
            &mut limited(),
            Demand::WHOLE,
            &mut Vec::new(),
        )
        .expect_err("too long to receive");
        assert_eq!(
            error.failure.kind,
            FailureKind::LimitReached,
            "case {index}"
        );
        assert!(
            error
                .failure
                .detail
                .contains(&format!("{} bytes", longest + 1))
        );
    }
}

#[test]
fn a_claim_of_2_to_the_40_bytes_fails_at_once_and_reserves_nothing() {
    let mut stream = arrived(&(1_u64 << 40).to_be_bytes());
    let before = stream.input_mut().capacity();
    let error = stream
        .receive(&mut one(LengthPrefixed::u64()), Demand::WHOLE)
        .expect_err("above the limit");
    assert!(
        error.failure.detail.contains("1099511627776 bytes"),
        "{error}"
    );
    assert!(stream.input_mut().capacity() <= before);
}

#[test]
fn a_long_claim_within_the_limit_reserves_in_proportion_to_what_came() {
    let mut framers = one(LengthPrefixed::u64().max_length(u64::MAX));
    let mut stream = arrived(&(1_u64 << 40).to_be_bytes());
    assert!(matches!(
        stream.receive(&mut framers, Demand::WHOLE),
        Ok(Receive::NeedsMore(_))
    ));
    assert!(stream.prepare_read().capacity() <= 64 * 1024);
    stream.prepare_read().extend_from_slice(&[0; 100_000]);
    assert!(stream.prepare_read().capacity() <= 500_000);
}

#[test]
fn a_long_message_leaves_room_for_one_like_it_and_a_short_one_does_not() {
    let mut framers = one(LengthPrefixed::u32());
    let mut stream = arrived(&100_000_u32.to_be_bytes());
    stream.prepare_read().extend_from_slice(&[7; 100_000]);
    let found = stream.receive(&mut framers, Demand::WHOLE);
    assert!(matches!(found, Ok(Receive::Message(_))), "{found:?}");
    drop(found);
    let room = stream.prepare_append().capacity();
    assert!((100_004..=200_000).contains(&room), "{room}");
    stream.input_mut().extend_from_slice(b"\0\0\0\x03hey");
    let found = stream.receive(&mut framers, Demand::WHOLE);
    assert!(matches!(found, Ok(Receive::Message(_))), "{found:?}");
    drop(found);
    stream.release_memory();
    assert_eq!(
        stream.prepare_append().capacity(),
        0,
        "a short one came last"
    );
}

#[test]
fn a_half_frame_names_how_much_of_it_was_there() {
    let mut stream = arrived(b"\x00\x00\x00\x0ahal");
    stream.on_end();
    let error = stream
        .receive(&mut one(LengthPrefixed::u32()), Demand::WHOLE)
        .expect_err("half a frame");
    assert!(error.failure.detail.contains("3 of 10 bytes"), "{error}");
}

#[test]
fn a_length_below_its_own_header_breaks_the_rules() {
    let mut stream = arrived(b"\x00\x01");
    let error = stream
        .receive(
            &mut one(LengthPrefixed::u16().length_includes_header()),
            Demand::WHOLE,
        )
        .expect_err("the header alone is two bytes");
    assert_eq!(error.failure.kind, FailureKind::ProtocolViolation);
    let mut empty = arrived(b"\x00\x02");
    let received = empty.receive(
        &mut one(LengthPrefixed::u16().length_includes_header()),
        Demand::WHOLE,
    );
    assert!(matches!(received, Ok(Receive::Message(message)) if message.is_empty()));
}

#[test]
fn a_message_with_its_delimiter_is_refused() {
    let cases: [(&[u8], &[&[u8]]); 4] = [
        (b"\n", &[b"a\nb", b"\n", b"a\n"]),
        (b"\r\n", &[b"a\r\nb", b"\r\n"]),
        (b"aa", &[b"xa", b"baab", b"a"]),
        (b"aab", &[b"xa", b"xaa"]),
    ];
    for (delimiter, messages) in cases {
        for message in messages {
            let mut out = WireBuffer::new();
            let framed = one(Delimited::by(delimiter)).frame(Message::from(*message), &mut out);
            let found = [*message, delimiter].concat();
            let first = memchr::memmem::find(&found, delimiter).expect("it is at the end");
            assert_eq!(
                framed.is_err(),
                first != message.len(),
                "{delimiter:?} {message:?}"
            );
            assert_eq!(out.is_empty(), framed.is_err());
        }
    }
}

#[test]
fn a_delimiter_across_parts_is_refused() {
    let context = MessageContext::new();
    let mut framer = Delimited::by(b"abc");
    let mut out = WireBuffer::new();
    let part = |data: &str, at| Outgoing::part(data.into(), &context, at, None);
    framer
        .frame(part("xa", (true, false)), &mut out)
        .expect("legal");
    framer
        .frame(part("b", (false, false)), &mut out)
        .expect("legal");
    framer
        .frame(part("c", (false, false)), &mut out)
        .expect_err("the delimiter is complete");
    framer
        .frame(part("x", (false, true)), &mut out)
        .expect("the message may still end");
    framer
        .frame(part("c", (true, true)), &mut out)
        .expect("a new message starts afresh");
    let wire: Vec<u8> = out.iter().flatten().copied().collect();
    assert_eq!(wire, b"xabxabccabc");
}

#[test]
fn pieces_of_one_message_are_searched_across() {
    let pieces = |cuts: &[&'static [u8]]| -> Message {
        let chunks: crate::message::Chunks =
            cuts.iter().map(|c| bytes::Bytes::from_static(c)).collect();
        chunks.into()
    };
    let mut out = WireBuffer::new();
    let mut framers = one(Delimited::by(b"abcd"));
    framers
        .frame(pieces(&[b"a", b"b", b"c", b"d"]), &mut out)
        .expect_err("cut in four");
    framers
        .frame(pieces(&[b"xxab", b"cdxx"]), &mut out)
        .expect_err("cut in two");
    framers
        .frame(pieces(&[b"xxabcdxx"]), &mut out)
        .expect_err("not cut");
    framers
        .frame(pieces(&[b"xxabc", b"xd"]), &mut out)
        .expect("not there");
}

#[test]
fn delimiter_can_be_kept_and_the_last_one_left_out() {
    let mut framers = one(Delimited::crlf().keep_delimiter().last_may_be_undelimited());
    let mut stream = arrived(b"one\r\n\r\ntwo");
    stream.on_end();
    let mut received = Vec::new();
    let end = drain(&mut stream, &mut framers, Demand::WHOLE, &mut received);
    assert_eq!(end, Ok(Receive::Ended));
    assert_eq!(bytes_of(&received), [&b"one\r\n"[..], b"\r\n", b"two"]);
    assert!(received[2].context.is_final() && !received[1].context.is_final());
}

#[test]
fn an_endless_line_fails_at_its_limit() {
    let mut framer = Delimited::crlf().max_length(8);
    let mut input = BytesMut::from(&b"12345678\r"[..]);
    assert_eq!(
        framer.deframe(&mut input, Demand::WHOLE),
        Ok(Deframed::NeedsMore(1))
    );
    input.extend_from_slice(b"x");
    framer
        .deframe(&mut input, Demand::WHOLE)
        .expect_err("nine bytes are not the delimiter");
}

#[test]
fn limits_count_what_was_delivered_in_parts() {
    let mut framer = Delimited::lf().max_length(8);
    let mut input = BytesMut::from(&b"12345"[..]);
    assert!(matches!(
        framer.deframe(&mut input, Demand::ANY),
        Ok(Deframed::Frame(_))
    ));
    input.extend_from_slice(b"6789\n");
    framer
        .deframe(&mut input, Demand::ANY)
        .expect_err("nine bytes in two parts");
}

#[test]
fn tlv_types_travel_in_the_context() {
    let make = || one(Tlv::u16(LengthPrefixed::u8()));
    let typed = |value: u64| {
        Message::new("v").with_context(MessageContext::new().with_metadata(TLV_TYPE, value))
    };
    let mut wire = WireBuffer::new();
    let mut framers = make();
    framers.frame(typed(0xfffe), &mut wire).expect("legal");
    framers
        .frame(typed(0x1_0000), &mut wire)
        .expect_err("does not fit");
    framers
        .frame("v".into(), &mut wire)
        .expect_err("no type and no default");
    let named = MessageContext::new().with_metadata(TLV_TYPE, "text");
    framers
        .frame(Message::new("v").with_context(named), &mut wire)
        .expect_err("not a number");
    let bytes: Vec<u8> = wire.iter().flatten().copied().collect();
    assert_eq!(bytes, b"\xff\xfe\x01v");
    let mut received = Vec::new();
    drain(
        &mut arrived(&bytes),
        &mut make(),
        Demand::WHOLE,
        &mut received,
    )
    .expect("legal");
    let value = received[0]
        .context
        .metadata(TLV_TYPE)
        .and_then(MetadataValue::as_number);
    assert_eq!(value, Some(0xfffe));
}

#[test]
fn a_length_prefix_needs_the_length_before_the_first_part() {
    let context = MessageContext::new();
    let mut framer = LengthPrefixed::u8();
    assert!(framer.needs_length() && Tlv::u8(LengthPrefixed::u8()).needs_length());
    assert!(!Delimited::lf().needs_length());
    let mut out = WireBuffer::new();
    let part = |data: &str, at, length| Outgoing::part(data.into(), &context, at, length);
    framer
        .frame(part("he", (true, false), None), &mut out)
        .expect_err("unknown");
    framer
        .frame(part("hello", (true, false), Some(4)), &mut out)
        .expect_err("too much");
    framer
        .frame(part("hel", (true, true), Some(4)), &mut out)
        .expect_err("too little");
    assert!(out.is_empty());
    framer
        .frame(part("he", (true, false), Some(5)), &mut out)
        .expect("announced");
    framer
        .frame(part("llo!", (false, true), None), &mut out)
        .expect_err("one too many");
    framer
        .frame(part("ll", (false, true), None), &mut out)
        .expect_err("one too few");
    framer
        .frame(part("llo", (false, true), None), &mut out)
        .expect("as announced");
    framer
        .frame(part("x", (true, true), None), &mut out)
        .expect("whole by itself");
    let wire: Vec<u8> = out.iter().flatten().copied().collect();
    assert_eq!(wire, b"\x05hello\x01x");
}
