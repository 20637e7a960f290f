//! Tests of the decoder with bytes written by hand.
//!
//! Invariant: an input that a conforming encoder cannot send has its registered error.

use super::{Decoded, Decoder, DecoderConfig, INSTRUCTIONS_KEPT};
use crate::qpack::{DecodeError, QpackError, QpackErrorKind, SectionLimit};

type Lines = Vec<(String, String)>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn decode(decoder: &mut Decoder, stream: u64, section: &[u8]) -> Result<Lines, DecodeError<()>> {
    let mut lines = Lines::new();
    let decoded = decoder.decode(stream, section, |name, value| {
        lines.push((text(name.as_bytes()), text(value.as_bytes())));
        Ok(())
    })?;
    assert_eq!(decoded, Decoded::Complete);
    Ok(lines)
}

fn decode_unblocked(decoder: &mut Decoder) -> Option<(u64, Lines)> {
    let section = decoder.next_unblocked()?;
    let stream = section.stream();
    let mut lines = Lines::new();
    decoder
        .decode_unblocked(section, |name, value| {
            lines.push((text(name.as_bytes()), text(value.as_bytes())));
            Ok::<(), ()>(())
        })
        .unwrap();
    Some((stream, lines))
}

fn block(decoder: &mut Decoder, stream: u64, section: &[u8]) {
    let decoded = decoder.decode(stream, section, |_, _| -> Result<(), ()> {
        panic!("a blocked section has no lines yet")
    });
    assert_eq!(decoded, Ok(Decoded::Blocked));
}

fn pairs(lines: &[(&str, &str)]) -> Lines {
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    lines.iter().map(owned).collect()
}

fn instructions(decoder: &mut Decoder) -> Vec<u8> {
    decoder.poll_instructions().unwrap_or_default().to_vec()
}

fn config() -> DecoderConfig {
    DecoderConfig {
        table_capacity_max: 220,
        blocked_streams_max: 2,
        ..DecoderConfig::default()
    }
}

/// A decoder with a table of 220 bytes that holds `:authority: www.example.com` and
/// `:path: /sample/path`, as in RFC 9204 Appendix B.2.
fn with_two_entries() -> Decoder {
    let mut decoder = Decoder::new(config());
    decoder.on_encoder_stream(TWO_ENTRIES).unwrap();
    decoder
}

const TWO_ENTRIES: &[u8] = b"\x3f\xbd\x01\xc0\x0fwww.example.com\xc1\x0c/sample/path";

fn kind_of(error: DecodeError<()>) -> QpackErrorKind {
    match error {
        DecodeError::Connection(error) => error.kind(),
        other => panic!("no error of the connection: {other:?}"),
    }
}

fn refused(decoder: &mut Decoder, section: &[u8]) -> QpackErrorKind {
    kind_of(decode(decoder, 0, section).unwrap_err())
}

fn refused_instruction(decoder: &mut Decoder, bytes: &[u8]) -> QpackError {
    let error = decoder.on_encoder_stream(bytes).unwrap_err();
    assert_eq!(error.kind(), QpackErrorKind::EncoderStream);
    assert_eq!(error.code(), 0x201);
    error
}

#[test]
fn memory_of_a_few_instructions_is_used_again() {
    for (count, is_kept) in [(INSTRUCTIONS_KEPT, true), (INSTRUCTIONS_KEPT + 1, false)] {
        let mut decoder = with_two_entries();
        for _ in 0..count {
            let decoded = decode(&mut decoder, 4, &[0x03, 0x81, 0x10, 0x11]);
            assert!(decoded.is_ok());
        }
        assert_eq!(
            decoder.instructions.capacity() > INSTRUCTIONS_KEPT,
            !is_kept
        );
        assert_eq!(instructions(&mut decoder), vec![0x84; count]);
        assert_eq!(decoder.instructions.capacity() > 0, is_kept, "{count}");
        assert!(decoder.poll_instructions().is_none());
    }
}

#[test]
fn examples_of_the_specification_are_decoded() {
    let mut decoder = Decoder::new(config());
    // B.1: a literal with a static name.
    let lines = decode(&mut decoder, 0, b"\x00\x00\x51\x0b/index.html").unwrap();
    assert_eq!(lines, pairs(&[(":path", "/index.html")]));
    assert!(decoder.poll_instructions().is_none());
    // B.2: two insertions, and a section that refers to them from before the base.
    decoder.on_encoder_stream(TWO_ENTRIES).unwrap();
    let lines = decode(&mut decoder, 4, &[0x03, 0x81, 0x10, 0x11]).unwrap();
    let expected = [(":authority", "www.example.com"), (":path", "/sample/path")];
    assert_eq!(lines, pairs(&expected));
    assert_eq!(instructions(&mut decoder), [0x84]);
    // B.3: an insertion with a literal name.
    let insert = b"\x4a\x63ustom-key\x0c\x63ustom-value";
    decoder.on_encoder_stream(insert).unwrap();
    assert_eq!(instructions(&mut decoder), [0x01]);
    // B.4: the stream of a section that waits for a duplicate is cancelled.
    block(&mut decoder, 8, &[0x05, 0x00, 0x80, 0xc1, 0x81]);
    decoder.cancel_stream(8).unwrap();
    assert_eq!(instructions(&mut decoder), [0x48]);
    decoder.on_encoder_stream(&[0x02]).unwrap();
    assert_eq!(decode_unblocked(&mut decoder), None);
    let lines = decode(&mut decoder, 12, &[0x05, 0x00, 0x80, 0xc1, 0x81]).unwrap();
    let expected = [
        (":authority", "www.example.com"),
        (":path", "/"),
        ("custom-key", "custom-value"),
    ];
    assert_eq!(lines, pairs(&expected));
    // B.5: an insertion that evicts the oldest entry.
    let insert = b"\x81\x0dcustom-value2";
    decoder.on_encoder_stream(insert).unwrap();
    let lines = decode(&mut decoder, 16, &[0x06, 0x00, 0x80, 0x82]).unwrap();
    let expected = [
        ("custom-key", "custom-value2"),
        ("custom-key", "custom-value"),
    ];
    assert_eq!(lines, pairs(&expected));
}

#[test]
fn a_section_that_is_known_is_acknowledged_as_if_it_were_decoded() {
    let mut decoder = with_two_entries();
    let section = [0x03, 0x81, 0x10, 0x11];
    decode(&mut decoder, 4, &section).unwrap();
    assert_eq!(decoder.required(&section), Some(2));
    decoder.pass_over(8, 2).unwrap();
    assert_eq!(instructions(&mut decoder), [0x84, 0x88]);
    assert_eq!(decoder.table_use().sections, 2);
    assert_eq!(decoder.required(&[0, 0, 0xd1]), Some(0));
    decoder.pass_over(12, 0).unwrap();
    assert!(
        decoder.poll_instructions().is_none(),
        "it refers to nothing"
    );
    assert_eq!(decoder.required(&[0xff]), None);
    decoder.config.unsent_bytes_max = 1;
    decoder.pass_over(16, 2).unwrap();
    let error = decoder.pass_over(20, 2).unwrap_err();
    assert_eq!(error.kind(), QpackErrorKind::ExcessiveLoad);
}

#[test]
fn every_representation_is_decoded() {
    let mut decoder = with_two_entries();
    let section = [
        &[0x03, 0x80][..],           // two insertions needed, base 1
        &[0xc0 | 17],                // static
        &[0x80],                     // dynamic, before the base
        &[0x10],                     // dynamic, behind it
        b"\x51\x01a",                // static name
        b"\x40\x01b",                // dynamic name, before the base
        b"\x00\x01c",                // dynamic name, behind it
        b"\x23own\x01d",             // literal name
        b"\x2a\x1c\x85\x82\x29\x4b", // Huffman in both strings
    ]
    .concat();
    let lines = decode(&mut decoder, 0, &section).unwrap();
    let expected = [
        (":method", "GET"),
        (":authority", "www.example.com"),
        (":path", "/sample/path"),
        (":path", "a"),
        (":authority", "b"),
        (":path", "c"),
        ("own", "d"),
        ("aae", "eee"),
    ];
    assert_eq!(lines[..7], pairs(&expected)[..7]);
    assert_eq!(lines[7].1, "eee");
}

#[test]
fn a_never_indexed_value_is_marked() {
    let mut decoder = with_two_entries();
    let section = [
        &[0x03, 0x80][..],
        b"\x71\x01a\x51\x01a",
        b"\x60\x01b\x40\x01b",
        b"\x08\x01c\x00\x01c",
        b"\x33own\x01d\x23own\x01d",
    ]
    .concat();
    let mut marks = Vec::new();
    let decoded = decoder.decode(0, &section, |_, value| {
        marks.push(match value {
            crate::field::FieldValue::Valid(value) => value.is_sensitive(),
            // Its value would be marked if it had to be.
            value => matches!(value, crate::field::FieldValue::Malformed(_)),
        });
        Ok::<(), ()>(())
    });
    assert_eq!(decoded, Ok(Decoded::Complete));
    assert_eq!(marks, [true, false].repeat(4));
}

#[test]
fn a_section_waits_for_its_entries_and_is_acknowledged_then() {
    let mut decoder = Decoder::new(config());
    block(&mut decoder, 4, &[0x03, 0x81, 0x10, 0x11]);
    assert_eq!(decoder.blocked_streams(), 1);
    for byte in TWO_ENTRIES {
        assert_eq!(decode_unblocked(&mut decoder), None);
        decoder.on_encoder_stream(&[*byte]).unwrap();
    }
    let expected = [(":authority", "www.example.com"), (":path", "/sample/path")];
    assert_eq!(decode_unblocked(&mut decoder), Some((4, pairs(&expected))));
    assert_eq!(decode_unblocked(&mut decoder), None);
    assert_eq!((decoder.blocked_streams(), decoder.blocked.bytes()), (0, 0));
    assert_eq!(instructions(&mut decoder), [0x84]);
}

#[test]
fn sections_of_one_stream_keep_their_order() {
    let mut decoder = Decoder::new(config());
    block(&mut decoder, 4, &[0x03, 0x81, 0x11]);
    block(&mut decoder, 4, &[0x00, 0x00, 0xc1]);
    block(&mut decoder, 8, &[0x02, 0x00, 0x80]);
    assert_eq!(decoder.blocked_streams(), 2);
    decoder.on_encoder_stream(&TWO_ENTRIES[..20]).unwrap();
    assert_eq!(
        decode_unblocked(&mut decoder).map(|(stream, _)| stream),
        Some(8)
    );
    assert_eq!(decode_unblocked(&mut decoder), None);
    decoder.on_encoder_stream(&TWO_ENTRIES[20..]).unwrap();
    let first = Some((4, pairs(&[(":path", "/sample/path")])));
    assert_eq!(decode_unblocked(&mut decoder), first);
    assert_eq!(
        decode_unblocked(&mut decoder),
        Some((4, pairs(&[(":path", "/")])))
    );
    assert_eq!(instructions(&mut decoder), [0x88, 0x84]);
}

#[test]
fn one_more_blocked_stream_than_promised_closes_the_connection() {
    let mut decoder = Decoder::new(config());
    let section = [0x03, 0x81, 0x10, 0x11];
    block(&mut decoder, 0, &section);
    block(&mut decoder, 4, &section);
    block(&mut decoder, 4, &section);
    let error = decode(&mut decoder, 8, &section).unwrap_err();
    assert_eq!(kind_of(error), QpackErrorKind::DecompressionFailed);
}

#[test]
fn blocked_sections_hold_no_more_bytes_than_configured() {
    let mut decoder = Decoder::new(DecoderConfig {
        blocked_bytes_max: 1000,
        ..config()
    });
    let mut section = vec![0x03, 0x81];
    section.resize(700, 0x10);
    block(&mut decoder, 0, &section);
    let error = decode(&mut decoder, 4, &section).unwrap_err();
    assert_eq!(kind_of(error), QpackErrorKind::ExcessiveLoad);
    // What was cancelled or decoded no longer counts.
    let mut decoder = Decoder::new(DecoderConfig {
        blocked_bytes_max: 1000,
        ..config()
    });
    block(&mut decoder, 0, &section);
    decoder.cancel_stream(0).unwrap();
    block(&mut decoder, 4, &section);
    decoder.on_encoder_stream(TWO_ENTRIES).unwrap();
    let unblocked = decoder.next_unblocked().unwrap();
    decoder.on_encoder_stream(&[0x00; 1]).unwrap();
    drop(unblocked);
    section[0] = 0x05;
    block(&mut decoder, 8, &section);
}

#[test]
fn blocked_sections_may_fill_their_bound() {
    let with_bound = |blocked_bytes_max| {
        let mut decoder = Decoder::new(DecoderConfig {
            blocked_bytes_max,
            ..config()
        });
        let result = decode(&mut decoder, 0, &[0x03, 0x81, 0x10]);
        (result.err().map(kind_of), decoder.blocked.bytes())
    };
    let (_, bytes) = with_bound(0);
    assert!(bytes > 3);
    assert_eq!(with_bound(bytes - 1).0, Some(QpackErrorKind::ExcessiveLoad));
    let mut decoder = Decoder::new(DecoderConfig {
        blocked_bytes_max: bytes,
        ..config()
    });
    block(&mut decoder, 0, &[0x03, 0x81, 0x10]);
}

#[test]
fn empty_blocked_sections_are_not_free() {
    let mut decoder = Decoder::new(DecoderConfig {
        blocked_bytes_max: 1000,
        ..config()
    });
    let mut hold = || decoder.decode(0, &[0x03, 0x81], |_, _| Ok::<(), ()>(()));
    assert!(
        (0..30).any(|_| hold().is_err()),
        "30 sections in 1000 bytes"
    );
}

#[test]
fn sections_that_end_early_are_refused() {
    let mut decoder = with_two_entries();
    let sections: [&[u8]; 12] = [
        b"",
        b"\x00",
        b"\xff",
        b"\x00\xff",
        b"\x00\x00\xff",
        b"\x00\x00\x5f",
        b"\x00\x00\x51",
        b"\x00\x00\x51\x02a",
        b"\x00\x00\x27",
        b"\x00\x00\x22a",
        b"\x00\x00\x21a\x01",
        b"\x00\x00\x1f",
    ];
    for section in sections {
        let kind = refused(&mut decoder, section);
        assert_eq!(kind, QpackErrorKind::DecompressionFailed, "{section:x?}");
    }
}

#[test]
fn references_to_nothing_are_refused() {
    let mut decoder = with_two_entries();
    let sections: [&[u8]; 14] = [
        b"\x00\x00\xff\x24",     // static index 99
        b"\x00\x00\x5f\x54\x00", // static name 99
        b"\x00\x00\x80",         // dynamic, although no entry is needed
        b"\x00\x00\x10",
        b"\x00\x00\x40\x00",
        b"\x00\x00\x00\x00",
        b"\x02\x01\x80", // absolute index 1 with a required count of 1
        b"\x02\x00\x10",
        b"\x02\x00\x81", // before the first entry
        b"\x03\x80\x81",
        b"\x03\x80\x11", // behind the last one
        b"\x03\x80\x01\x00",
        b"\x03\x80\x1f\xff\xff\xff\xff\xff\xff\xff\xff\x1f",
        b"\x02\x00\xbf\xff\xff\xff\xff\xff\xff\xff\xff\x1f",
    ];
    for section in sections {
        let kind = refused(&mut decoder, section);
        assert_eq!(kind, QpackErrorKind::DecompressionFailed, "{section:x?}");
    }
}

#[test]
fn a_reference_to_an_evicted_entry_is_refused() {
    let mut decoder = with_two_entries();
    assert!(decode(&mut decoder, 0, &[0x03, 0x00, 0x81]).is_ok());
    // A table of 60 bytes has room for the newer entry only.
    decoder.on_encoder_stream(&[0x3f, 60 - 31]).unwrap();
    assert!(decode(&mut decoder, 0, &[0x03, 0x00, 0x80]).is_ok());
    let kind = refused(&mut decoder, &[0x03, 0x00, 0x81]);
    assert_eq!(kind, QpackErrorKind::DecompressionFailed);
}

#[test]
fn a_base_below_zero_is_refused() {
    let mut decoder = with_two_entries();
    assert!(
        decode(&mut decoder, 0, &[0x02, 0x80, 0x10]).is_ok(),
        "base 0"
    );
    for section in [&[0x02, 0x81, 0x10][..], &[0x00, 0x80, 0xc1]] {
        let kind = refused(&mut decoder, section);
        assert_eq!(kind, QpackErrorKind::DecompressionFailed);
    }
}

#[test]
fn a_required_insert_count_that_no_encoder_sends_is_refused() {
    // 220 bytes have room for six entries, so that counts come modulo twelve.
    let mut decoder = with_two_entries();
    for encoded in [1, 13, 14, 200, 10, 12] {
        let kind = refused(&mut decoder, &[encoded, 0x00]);
        assert_eq!(kind, QpackErrorKind::DecompressionFailed, "{encoded}");
    }
    // Two are inserted and six fit: eight is the largest count that can be meant.
    block(&mut decoder, 0, &[9, 0x00]);
    let mut without_table = Decoder::new(DecoderConfig {
        table_capacity_max: 0,
        ..config()
    });
    let kind = refused(&mut without_table, &[2, 0x00, 0x80]);
    assert_eq!(kind, QpackErrorKind::DecompressionFailed);
}

#[test]
fn the_required_insert_count_wraps_as_in_the_example() {
    // RFC 9204 §4.5.1.1: with 100 bytes and ten insertions, 4 means 9.
    let mut decoder = Decoder::new(DecoderConfig {
        table_capacity_max: 100,
        ..config()
    });
    decoder.on_encoder_stream(&[0x3f, 100 - 31]).unwrap();
    for count in b'0'..b'0' + 10 {
        decoder.on_encoder_stream(&[0xc0, 1, count]).unwrap();
    }
    let lines = decode(&mut decoder, 0, &[4, 0, 0x80]).unwrap();
    assert_eq!(lines, pairs(&[(":authority", "8")]));
}

#[test]
fn integers_beyond_62_bits_fail_the_stream_only() {
    let mut decoder = with_two_entries();
    let huge = [0xff; 10];
    for first in [&[][..], &[0x00], &[0x00, 0x00], &[0x00, 0x00, 0x51]] {
        let section = [first, &huge].concat();
        match decode(&mut decoder, 0, &section) {
            Err(DecodeError::Stream(error)) => assert_eq!(error.code(), 0x200),
            other => panic!("{other:?}"),
        }
    }
    assert!(decode(&mut decoder, 4, &[0x00, 0x00, 0xc1]).is_ok());
}

#[test]
fn strings_not_in_the_huffman_code_are_refused() {
    let mut decoder = with_two_entries();
    let sections: [&[u8]; 3] = [
        b"\x00\x00\x51\x81\x00",
        b"\x00\x00\x29\x00\x01a",
        b"\x00\x00\x51\x84\xff\xff\xff\xff",
    ];
    for section in sections {
        let kind = refused(&mut decoder, section);
        assert_eq!(kind, QpackErrorKind::DecompressionFailed, "{section:x?}");
    }
}

#[test]
fn forty_thousand_indexed_lines_in_eighty_kilobytes_stop_at_the_limit() {
    let mut decoder = with_two_entries();
    let mut section = vec![0x03, 0x00];
    section.resize(80_000, 0x81);
    let mut lines = 0;
    let decoded = decoder.decode(0, &section, |_, _| {
        lines += 1;
        Ok::<(), ()>(())
    });
    assert_eq!(decoded, Err(DecodeError::TooLarge(SectionLimit::Fields)));
    assert_eq!(lines, DecoderConfig::default().section_fields_max);
    // The peer may evict what the section referred to, and everything goes on.
    assert_eq!(instructions(&mut decoder), [0x80]);
    assert!(decode(&mut decoder, 4, &[0x03, 0x00, 0x81]).is_ok());
}

#[test]
fn a_section_may_reach_its_limits_but_not_exceed_them() {
    let mut decoder = Decoder::new(DecoderConfig {
        section_bytes_max: 2 * (7 + 3 + 32),
        section_fields_max: 2,
        ..config()
    });
    let line = 0xc0 | 17;
    assert!(decode(&mut decoder, 0, &[0, 0, line, line]).is_ok());
    let error = decode(&mut decoder, 0, &[0, 0, line, line, line]);
    assert_eq!(error, Err(DecodeError::TooLarge(SectionLimit::Fields)));
    let longest = decode(&mut decoder, 0, b"\x00\x00\xd1\x26method\x04GETS");
    assert!(longest.is_ok(), "{longest:?}");
    let long = decode(&mut decoder, 0, b"\x00\x00\xd1\x26method\x05GETSS");
    assert_eq!(long, Err(DecodeError::TooLarge(SectionLimit::Bytes)));
}

#[test]
fn the_huffman_code_cannot_exceed_the_limit() {
    let mut decoder = Decoder::new(DecoderConfig {
        section_bytes_max: 1000,
        ..config()
    });
    // Zeros are the code of "0" in five bits each: 1600 of them in 1000 bytes.
    let value = [&b"\x00\x00\x51\xff\xe9\x06"[..], &[0; 1000]].concat();
    let error = decode(&mut decoder, 0, &value);
    assert_eq!(error, Err(DecodeError::TooLarge(SectionLimit::Bytes)));
    let name = [&b"\x00\x00\x2f\xe1\x07"[..], &[0; 1000], b"\x00"].concat();
    let error = decode(&mut decoder, 0, &name);
    assert_eq!(error, Err(DecodeError::TooLarge(SectionLimit::Bytes)));
}

#[test]
fn what_the_visitor_refuses_is_acknowledged() {
    let mut decoder = with_two_entries();
    let decoded = decoder.decode(4, &[0x03, 0x00, 0x81, 0x80], |_, _| Err("malformed"));
    assert_eq!(decoded, Err(DecodeError::Refused("malformed")));
    assert_eq!(instructions(&mut decoder), [0x84]);
}

#[test]
fn only_sections_with_references_are_acknowledged() {
    let mut decoder = with_two_entries();
    assert!(decode(&mut decoder, 0, &[0x00, 0x00, 0xc1]).is_ok());
    assert_eq!(instructions(&mut decoder), [0x02], "the two insertions");
    assert_eq!(instructions(&mut decoder), []);
    assert!(decode(&mut decoder, 4, &[0x02, 0x00, 0x80]).is_ok());
    assert_eq!(instructions(&mut decoder), [0x84]);
}

#[test]
fn an_acknowledged_section_is_not_counted_again_as_insertions() {
    let mut decoder = with_two_entries();
    assert!(decode(&mut decoder, 4, &[0x02, 0x00, 0x80]).is_ok());
    assert_eq!(instructions(&mut decoder), [0x84, 0x01]);
}

#[test]
fn an_acknowledgment_waits_for_company_when_it_tells_of_no_insertion() {
    let mut decoder = with_two_entries();
    assert!(decoder.is_pressing(), "two insertions");
    assert!(
        decoder.is_worth_sending(),
        "what presses goes with company too"
    );
    assert!(decode(&mut decoder, 0, &[0x03, 0x00, 0x80]).is_ok());
    assert!(decoder.is_pressing(), "the acknowledgment of both");
    instructions(&mut decoder);
    assert!(!decoder.is_pressing() && !decoder.is_worth_sending());
    for stream in 1..=64 {
        assert!(!decoder.is_pressing(), "{stream} acknowledgments");
        // With company, fewer are enough.
        assert_eq!(decoder.is_worth_sending(), stream > 16, "{stream}");
        assert!(decode(&mut decoder, stream, &[0x03, 0x00, 0x80]).is_ok());
    }
    assert!(decoder.is_pressing(), "enough have waited");
    assert_eq!(instructions(&mut decoder).len(), 64);
    decoder.cancel_stream(4).unwrap();
    assert!(decoder.is_pressing(), "the peer waits for a cancellation");
}

#[test]
fn long_acknowledgments_wait_for_company_as_short_ones_do() {
    let mut decoder = with_two_entries();
    instructions(&mut decoder);
    for index in 0..16 {
        assert!(!decoder.is_worth_sending(), "{index}");
        let stream = 4000 + index * 4;
        assert!(decode(&mut decoder, stream, &[0x03, 0x00, 0x80]).is_ok());
    }
    assert!(decoder.is_worth_sending() && !decoder.is_pressing());
    assert_eq!(instructions(&mut decoder).len(), 48);
}

#[test]
fn an_acknowledgment_waits_for_a_bounded_number_of_sections() {
    let mut decoder = with_two_entries();
    instructions(&mut decoder);
    for round in 0..2 {
        assert!(decode(&mut decoder, 4, &[0x03, 0x00, 0x80]).is_ok());
        for others in 0..15 {
            assert!(!decoder.is_worth_sending(), "{round}, {others}");
            assert!(decode(&mut decoder, 8, &[0x00, 0x00, 0xc1]).is_ok());
        }
        assert!(decoder.is_worth_sending() && !decoder.is_pressing());
        assert_eq!(instructions(&mut decoder), [0x84]);
    }
    for _ in 0..100 {
        assert!(decode(&mut decoder, 8, &[0x00, 0x00, 0xc1]).is_ok());
    }
    assert!(!decoder.is_worth_sending(), "there is nothing to send");
}

#[test]
fn a_decoder_without_a_table_cancels_nothing() {
    let mut decoder = Decoder::new(DecoderConfig {
        table_capacity_max: 0,
        ..config()
    });
    decoder.cancel_stream(4).unwrap();
    assert!(decoder.poll_instructions().is_none());
}

#[test]
fn instructions_that_nobody_takes_are_bounded() {
    let mut decoder = Decoder::new(DecoderConfig {
        unsent_bytes_max: 100,
        ..config()
    });
    let refused = (0..1000).find_map(|stream| decoder.cancel_stream(4 * stream).err());
    let error = refused.unwrap();
    assert_eq!(error.kind(), QpackErrorKind::ExcessiveLoad);
    assert_eq!(error.code(), 0x107);
    assert!(instructions(&mut decoder).len() < 110);
    decoder.cancel_stream(4).unwrap();
}

#[test]
fn instructions_that_cannot_be_followed_are_refused() {
    let inputs: [&[u8]; 9] = [
        b"\x3f\xbe\x01", // a capacity of 221
        b"\x3f\xff\xff\xff\xff\xff\xff\xff\xff\x1f",
        b"\x02",         // a duplicate of what is not there
        b"\x82\x00",     // a name of what is not there
        b"\xff\x24\x00", // static index 99
        b"\xc1\x81\x00", // not in the Huffman code
        b"\x61\x00\x00",
        b"\x1f\xff\xff\xff\xff\xff\xff\xff\xff\xff", // more than 62 bits
        b"\xc1\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for input in inputs {
        for split in 0..=input.len() {
            let mut decoder = with_two_entries();
            let (first, second) = input.split_at(split);
            let error = decoder
                .on_encoder_stream(first)
                .and_then(|()| decoder.on_encoder_stream(second))
                .unwrap_err();
            assert_eq!(error.kind(), QpackErrorKind::EncoderStream, "{input:x?}");
        }
    }
}

#[test]
fn an_entry_larger_than_the_table_is_refused() {
    // 183 bytes with `:path` and the 32 of a line fill the table of 220.
    let value = |length: u8| {
        [
            &[0xc1, 0x7f, length - 127][..],
            &[b'a'; 200][..length.into()],
        ]
        .concat()
    };
    with_two_entries().on_encoder_stream(&value(183)).unwrap();
    refused_instruction(&mut with_two_entries(), &value(184));
    let name = |length: u8| {
        [
            &[0x5f, 0x80 | (length - 31), 1][..],
            &[b'a'; 200][..length.into()],
            &[0],
        ]
        .concat()
    };
    with_two_entries().on_encoder_stream(&name(188)).unwrap();
    refused_instruction(&mut with_two_entries(), &name(189));
}

#[test]
fn an_entry_without_a_value_may_fill_the_table() {
    let mut decoder = Decoder::new(config());
    // A capacity of 42 bytes for the name `:authority` and the 32 of any entry.
    decoder.on_encoder_stream(b"\x3f\x0b\xc0\x00").unwrap();
    assert_eq!(instructions(&mut decoder), [0x01]);
}

#[test]
fn a_string_larger_than_the_table_is_refused_before_it_comes() {
    let mut decoder = with_two_entries();
    // A value of 216 bytes after a name of five.
    refused_instruction(&mut decoder, b"\xc1\x7f\x59");
    let mut decoder = with_two_entries();
    refused_instruction(&mut decoder, b"\x5f\xbe\x01");
    let mut decoder = with_two_entries();
    // In the Huffman code nothing below 221 symbols has 830 bytes.
    refused_instruction(&mut decoder, b"\x7f\x9f\x06");
    let mut decoder = Decoder::new(config());
    refused_instruction(&mut decoder, b"\xc0\x01");
    // A name that is complete is refused before its value comes.
    let mut decoder = Decoder::new(config());
    refused_instruction(&mut decoder, b"\x41a");
}

#[test]
fn an_entry_may_take_its_name_from_one_that_it_evicts() {
    let mut decoder = Decoder::new(config());
    decoder.on_encoder_stream(b"\x3f\x0b\x43own\x01a").unwrap();
    decoder.on_encoder_stream(b"\x80\x02bb").unwrap();
    let lines = decode(&mut decoder, 0, &[0x03, 0x00, 0x80]).unwrap();
    assert_eq!(lines, pairs(&[("own", "bb")]));
    let kind = refused(&mut decoder, &[0x03, 0x00, 0x81]);
    assert_eq!(kind, QpackErrorKind::DecompressionFailed);
}

#[test]
fn equal_entries_are_no_error() {
    let mut decoder = with_two_entries();
    decoder.on_encoder_stream(&[0x00]).unwrap();
    let lines = decode(&mut decoder, 0, &[0x04, 0x00, 0x80, 0x81]).unwrap();
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn errors_name_what_failed() {
    let error = Decoder::new(config())
        .on_encoder_stream(&[0x02])
        .unwrap_err();
    let text = "encoder stream is in error: the dynamic table has no such entry";
    assert_eq!(error.to_string(), text);
    assert_eq!(error.reason(), "the dynamic table has no such entry");
    let section = decode(&mut Decoder::new(config()), 0, b"").unwrap_err();
    let DecodeError::Connection(error) = section else {
        panic!("{section:?}")
    };
    assert_eq!(error.code(), 0x200);
    assert_eq!(
        error.to_string(),
        "field section cannot be decoded: a section ends within a line"
    );
}

#[test]
fn errors_of_a_section_name_their_source() {
    use std::error::Error as _;
    let config = DecoderConfig {
        section_bytes_max: 50,
        section_fields_max: 1,
        ..config()
    };
    let mut decoder = Decoder::new(config);
    let refusal = QpackError::decompression_failed("of the visitor");
    let mut error_of = |section: &[u8]| {
        decoder
            .decode(0, section, |_, _| Err::<(), _>(refusal))
            .unwrap_err()
    };
    let refused = error_of(&[0, 0, 0xc1]);
    assert_eq!(refused.to_string(), refusal.to_string());
    assert!(refused.source().is_some());
    let failed = error_of(&[0, 0, 0x80]);
    assert!(
        failed
            .to_string()
            .starts_with("field section cannot be decoded")
    );
    assert!(failed.source().is_some());
    let huge = error_of(&[0xff; 12]);
    assert!(matches!(huge, DecodeError::Stream(_)) && huge.source().is_some());
    let long = error_of(b"\x00\x00\x51\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(long.to_string(), "field section is too large");
    assert!(long.source().is_none());
    let many = decoder.decode(0, &[0, 0, 0xc1, 0xc1], |_, _| Ok::<(), QpackError>(()));
    assert_eq!(
        many.unwrap_err().to_string(),
        "field section has too many lines"
    );
}

#[test]
fn a_large_string_leaves_no_memory_behind() {
    let mut decoder = Decoder::new(DecoderConfig {
        table_capacity_max: 4096,
        ..config()
    });
    let value = |length: u8| {
        [
            &[0x7f, length][..],
            &[b'a'; 300][..127 + usize::from(length)],
        ]
        .concat()
    };
    let section = [&[0, 0, 0x51][..], &value(100)].concat();
    assert!(decode(&mut decoder, 0, &section).is_ok());
    let small = decoder.scratch.capacity();
    assert!((1..=512).contains(&small), "{small}");
    let large = [&[0, 0, 0x51, 0x7f, 0x81, 0x07][..], &[b'a'; 1024]].concat();
    assert!(decode(&mut decoder, 0, &large).is_ok());
    assert_eq!(decoder.scratch.capacity(), 0);
    let instruction = [
        &[0x3f, 0xe1, 0x1f, 0xc1, 0x7f, 0x81, 0x07][..],
        &[b'a'; 1024],
    ]
    .concat();
    decoder.on_encoder_stream(&instruction).unwrap();
    assert_eq!(decoder.scratch.capacity(), 0);
    assert!(decode(&mut decoder, 0, &[2, 0, 0x80]).is_ok());
}
