//! Tests of the encoder, whose output a decoder reads and whose bytes are compared where they are
//! fixed.
//!
//! Invariant: what a conforming decoder could say in answer is followed, and nothing else.

use super::{Encoder, EncoderConfig};
use crate::field::FieldName;
use crate::qpack::{Decoded, Decoder, DecoderConfig, QpackErrorKind};
use bytes::BytesMut;

/// An encoder whose peer allows a table of `capacity` bytes and `blocked` blocked streams.
fn encoder(capacity: u64, blocked: u64) -> Encoder {
    let mut encoder = Encoder::new(EncoderConfig::default());
    encoder.on_peer_settings(capacity, blocked).unwrap();
    encoder
}

fn section(encoder: &mut Encoder, stream: u64, lines: &[(&str, &str)]) -> Vec<u8> {
    let lines = lines
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let mut out = BytesMut::from(&b"before"[..]);
    encoder.encode(stream, lines, &mut out);
    assert_eq!(&out[..6], b"before");
    out[6..].to_vec()
}

fn instructions(encoder: &mut Encoder) -> Vec<u8> {
    encoder.poll_instructions().unwrap_or_default().to_vec()
}

/// An encoder whose table has `x-own: 1` and then `x-own: 2`, not acknowledged, sent with the
/// sections of streams 0 and 4.
fn with_two_entries(blocked: u64) -> Encoder {
    let mut encoder = encoder(4096, blocked);
    section(&mut encoder, 0, &[("x-own", "1")]);
    section(&mut encoder, 4, &[("x-own", "2")]);
    instructions(&mut encoder);
    encoder
}

const ONE: &[(&str, &str)] = &[("x-own", "1")];
const TWO: &[(&str, &str)] = &[("x-own", "2")];
/// Sections with a reference to the newer of two entries, and to the older.
const NEWER: [u8; 3] = [3, 0, 0x80];
const OLDER: [u8; 3] = [2, 1, 0x81];
/// A literal with the name `x-own` and the value `1`.
const LITERAL: [u8; 9] = [0, 0, 0x2c, 0xf2, 0xb1, 0xfc, 0x55, 0x01, b'1'];

#[test]
fn without_settings_nothing_but_the_static_table_is_used() {
    for mut encoder in [Encoder::new(EncoderConfig::default()), encoder(0, 100)] {
        for _ in 0..3 {
            let lines = [
                (":method", "GET"),
                (":path", "/1"),
                ("age", "0"),
                ("x-own", "1"),
            ];
            let bytes = section(&mut encoder, 0, &lines);
            let mut expected = vec![0, 0, 0xd1, 0x51, 2, b'/', b'1', 0xc2];
            expected.extend_from_slice(&LITERAL[2..]);
            assert_eq!(bytes, expected);
            assert!(encoder.poll_instructions().is_none());
        }
    }
}

#[test]
fn pseudo_fields_are_lines_like_others_whether_a_table_has_them_or_not() {
    let mut encoder = encoder(0, 0);
    let mut out = BytesMut::new();
    let mut section = encoder.section(0, &mut out);
    section.pseudo(&FieldName::Method, b"GET");
    section.pseudo(&FieldName::Path, b"/1");
    section.finish();
    assert_eq!(out[..], [0, 0, 0xd1, 0x51, 2, b'/', b'1']);
}

#[test]
fn sections_that_refer_to_the_table_are_counted_at_both_ends() {
    let mut encoder = encoder(4096, 1);
    let mut decoder = Decoder::new(DecoderConfig::default());
    for (stream, lines, expected) in [(0, ONE, 1), (4, ONE, 2), (8, &[(":method", "GET")][..], 2)] {
        let section = section(&mut encoder, stream, lines);
        decoder
            .on_encoder_stream(&instructions(&mut encoder))
            .unwrap();
        let decoded = decoder.decode(stream, &section, |_, _| Ok::<(), ()>(()));
        assert_eq!(decoded, Ok(Decoded::Complete));
        let answer = decoder.poll_instructions().unwrap_or_default();
        encoder.on_decoder_stream(&answer).unwrap();
        let counted = decoder.table_use();
        assert_eq!((counted.entries, counted.sections), (1, expected));
        assert_eq!(encoder.table_use(), counted);
    }
}

#[test]
fn an_inserted_line_is_referred_to_at_once_and_later() {
    let mut encoder = encoder(4096, 1);
    assert_eq!(section(&mut encoder, 0, ONE), [2, 0x80, 0x10]);
    let mut expected = vec![0x3f, 0xe1, 0x1f]; // a table of 4096 bytes
    expected.extend_from_slice(&[0x64, 0xf2, 0xb1, 0xfc, 0x55, 0x01, b'1']);
    let sent = instructions(&mut encoder);
    assert_eq!(sent.len(), expected.len());
    assert_eq!(sent[..3], expected[..3]);
    assert_eq!(section(&mut encoder, 0, ONE), [2, 0, 0x80]);
    assert!(encoder.poll_instructions().is_none());
}

#[test]
fn names_come_from_the_cheapest_place() {
    let mut encoder = encoder(4096, 1);
    section(&mut encoder, 0, ONE);
    instructions(&mut encoder);
    // A static name of an insertion, and a dynamic one.
    section(&mut encoder, 0, &[("x-own", "2"), ("server", "s")]);
    assert_eq!(instructions(&mut encoder), b"\x80\x012\xff\x1d\x01s");
    // Values that are not inserted: with static names, dynamic ones before and behind the base.
    let bytes = section(&mut encoder, 0, &[("x-own", ""), ("date", "d")]);
    let _ = bytes;
    let mut encoder = with_two_entries(2);
    let mut out = BytesMut::new();
    let mut section = encoder.section(0, &mut out);
    section.line(b"x-own", b"3", true);
    section.line(b"date", b"d", true);
    section.line(b"x-new", b"4", false);
    section.line(b"x-new", b"5", true);
    section.line(b"a", b"b", true);
    section.finish();
    let expected = b"\x04\x80\x60\x013\x76\x01d\x10\x08\x015\x31a\x01b";
    assert_eq!(out[..], expected[..]);
}

#[test]
fn never_indexed_values_and_credentials_stay_literals() {
    let mut encoder = encoder(4096, 100);
    for _ in 0..3 {
        let mut out = BytesMut::new();
        let mut section = encoder.section(0, &mut out);
        section.line(b":method", b"GET", true);
        section.line(b"authorization", b"a", false);
        section.line(b"proxy-authorization", b"a", false);
        section.finish();
        assert_eq!(out[..6], *b"\x00\x00\x7f\x00\x03\x47");
        assert_eq!(out[8..12], *b"\x7f\x45\x01a");
        assert_eq!(out[12] & 0xf0, 0x30, "literal name, never indexed");
    }
    instructions(&mut encoder);
    assert_eq!(encoder.table.inserted(), 0);
}

#[test]
fn what_varies_is_inserted_on_second_sight() {
    let mut encoder = encoder(4096, 100);
    for path in ["/1", "/2", "/3"] {
        section(&mut encoder, 0, &[(":path", path)]);
    }
    assert_eq!(encoder.table.inserted(), 0);
    section(&mut encoder, 0, &[(":path", "/2")]);
    assert_eq!(encoder.table.inserted(), 1);
    assert_eq!(section(&mut encoder, 0, &[(":path", "/2")]), [2, 0, 0x80]);
}

#[test]
fn what_was_seen_long_ago_is_not_inserted() {
    let mut encoder = encoder(4096, 100);
    section(&mut encoder, 0, &[(":path", "/first")]);
    for other in 0..32 {
        section(&mut encoder, 0, &[(":path", &format!("/{other}"))]);
    }
    section(&mut encoder, 0, &[(":path", "/first")]);
    assert_eq!(encoder.table.inserted(), 0);
}

#[test]
fn what_comes_first_pushes_nothing_out() {
    // Room for two entries of 40 bytes, both of which could leave.
    let mut encoder = encoder(80, 100);
    for value in ["1", "2"] {
        section(&mut encoder, 0, &[("x-other", value)]);
    }
    encoder.on_decoder_stream(&[0x80, 0x80]).unwrap();
    assert_eq!(encoder.table.inserted(), 2);
    section(&mut encoder, 0, &[("x-other", "3")]);
    assert_eq!(encoder.table.inserted(), 2);
    encoder.on_decoder_stream(&[0x80]).unwrap();
    section(&mut encoder, 0, &[("x-other", "3")]);
    assert_eq!(encoder.table.inserted(), 3);
}

#[test]
fn what_is_sent_before_the_settings_come_does_not_shorten_the_memory() {
    let mut encoder = Encoder::new(EncoderConfig::default());
    section(&mut encoder, 0, ONE);
    encoder.on_peer_settings(4096, 100).unwrap();
    section(&mut encoder, 0, &[(":path", "/first")]);
    for other in 0..31 {
        section(&mut encoder, 0, &[(":path", &format!("/{other}"))]);
    }
    section(&mut encoder, 0, &[(":path", "/first")]);
    assert_eq!(encoder.table.inserted(), 1);
}

#[test]
fn large_values_are_not_inserted() {
    let mut encoder = encoder(1 << 20, 100);
    encoder.set_table_capacity(1 << 20);
    let large = "a".repeat(5000);
    for _ in 0..3 {
        section(&mut encoder, 0, &[("x-own", &large[..4097])]);
    }
    assert_eq!(encoder.table.inserted(), 0);
    section(&mut encoder, 0, &[("x-own", &large[..4096])]);
    assert_eq!(encoder.table.inserted(), 1);
    let mut encoder = super::Encoder::new(EncoderConfig::default());
    encoder.on_peer_settings(100, 100).unwrap();
    for _ in 0..3 {
        section(&mut encoder, 0, &[("x-own", &large[..64])]);
    }
    assert_eq!(
        encoder.table.inserted(),
        0,
        "69 bytes and 32 do not fit into 100"
    );
    for _ in 0..2 {
        section(&mut encoder, 0, &[("x-own", &large[..63])]);
    }
    assert_eq!(encoder.table.inserted(), 1);
}

#[test]
fn no_more_streams_are_put_at_risk_than_the_peer_allows() {
    let mut encoder = with_two_entries(1);
    // Stream 0 is at risk by its first section, and may go on; stream 4 was not put at risk.
    assert_eq!(section(&mut encoder, 4, ONE), LITERAL);
    assert_eq!(section(&mut encoder, 0, TWO), NEWER);
    assert_eq!(
        section(&mut encoder, 8, TWO)[2..],
        *b"\x2c\xf2\xb1\xfc\x55\x012"
    );
    // With the first insertion known, stream 4 may refer to that one, and 0 remains at risk.
    encoder.on_decoder_stream(&[0x01]).unwrap();
    assert_eq!(section(&mut encoder, 4, ONE), OLDER);
    assert_eq!(section(&mut encoder, 4, TWO)[..3], [2, 1, 0x41]);
    // Both known: nobody is at risk.
    encoder.on_decoder_stream(&[0x01]).unwrap();
    assert_eq!(section(&mut encoder, 8, TWO), NEWER);
    assert_eq!(section(&mut encoder, 12, TWO), NEWER);
}

#[test]
fn an_acknowledgment_or_cancellation_ends_the_risk_of_a_stream() {
    for (answer, is_received) in [(0x80, true), (0x40, false)] {
        let mut encoder = encoder(4096, 1);
        section(&mut encoder, 0, ONE);
        assert_eq!(section(&mut encoder, 4, ONE), LITERAL);
        encoder.on_decoder_stream(&[answer]).unwrap();
        assert_eq!(section(&mut encoder, 4, ONE), [2, 0, 0x80]);
        // RFC 9204 §2.2.2.2: a cancellation does not say that the insertion has arrived.
        let next = section(&mut encoder, 8, ONE);
        assert_eq!(next == [2, 0, 0x80], is_received);
    }
}

#[test]
fn sections_of_a_stream_are_acknowledged_in_their_order() {
    let mut encoder = with_two_entries(100);
    section(&mut encoder, 0, TWO);
    assert_eq!(encoder.known_received, 0);
    encoder.on_decoder_stream(&[0x80]).unwrap();
    assert_eq!(encoder.known_received, 1);
    encoder.on_decoder_stream(&[0x80]).unwrap();
    assert_eq!(encoder.known_received, 2);
    encoder.on_decoder_stream(&[0x84]).unwrap();
    assert_eq!(encoder.unacknowledged.len(), 0);
}

#[test]
fn what_no_decoder_says_is_refused() {
    let inputs: [&[u8]; 6] = [
        b"\x88",     // a section of stream 8 was never sent
        b"\x80\x80", // that of stream 0 has been acknowledged
        b"\x40\x80", // or cancelled
        b"\x00",     // an increment by nothing
        b"\x03",     // by more than was inserted
        b"\x3f\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    for input in inputs {
        for split in 0..=input.len() {
            let mut encoder = with_two_entries(100);
            let (first, second) = input.split_at(split);
            let result = encoder
                .on_decoder_stream(first)
                .and_then(|()| encoder.on_decoder_stream(second));
            let error = result.unwrap_err();
            assert_eq!(error.kind(), QpackErrorKind::DecoderStream, "{input:x?}");
            assert_eq!(error.code(), 0x202);
        }
    }
    let mut encoder = with_two_entries(100);
    encoder.on_decoder_stream(&[0x02]).unwrap();
    assert!(encoder.on_decoder_stream(&[0x01]).is_err());
}

#[test]
fn instructions_may_be_split_anywhere() {
    // Acknowledge streams 0 and 500, cancel 4 and 1000, and count one insertion.
    let input = b"\x80\xff\xf5\x02\x44\x7f\xa9\x07\x01";
    for split in 0..=input.len() {
        let mut encoder = with_two_entries(100);
        section(&mut encoder, 500, ONE);
        let (first, second) = input.split_at(split);
        encoder.on_decoder_stream(first).unwrap();
        encoder.on_decoder_stream(second).unwrap();
        assert_eq!(encoder.known_received, 2);
        assert_eq!(encoder.unacknowledged.len(), 0);
    }
}

#[test]
fn a_cancelled_stream_that_is_unknown_changes_nothing() {
    let mut encoder = with_two_entries(100);
    encoder
        .on_decoder_stream(&[0x48, 0x7f, 0x80, 0x10])
        .unwrap();
    assert_eq!(encoder.unacknowledged.len(), 2);
}

#[test]
fn an_entry_that_is_referred_to_is_not_evicted() {
    // Room for two entries of 40 bytes.
    let mut encoder = encoder(80, 100);
    let lines = ["1", "2", "3"].map(|value| [("x-other", value)]);
    section(&mut encoder, 0, &lines[0]);
    section(&mut encoder, 4, &lines[1]);
    for _ in 0..2 {
        section(&mut encoder, 8, &lines[2]);
    }
    assert_eq!(encoder.table.inserted(), 2);
    // Received but still referred to; then not referred to but not received.
    encoder.on_decoder_stream(&[0x02]).unwrap();
    section(&mut encoder, 8, &lines[2]);
    assert_eq!(encoder.table.inserted(), 2);
    let mut other = super::tests::encoder(80, 100);
    section(&mut other, 0, &lines[0]);
    section(&mut other, 4, &lines[1]);
    other.on_decoder_stream(&[0x40, 0x44]).unwrap();
    for _ in 0..2 {
        section(&mut other, 8, &lines[2]);
    }
    assert_eq!(other.table.inserted(), 2);
    // Both.
    encoder.on_decoder_stream(&[0x80]).unwrap();
    section(&mut encoder, 8, &lines[2]);
    assert_eq!(encoder.table.inserted(), 3);
}

#[test]
fn a_section_does_not_evict_what_it_refers_to() {
    let mut encoder = encoder(80, 100);
    let (one, two, three) = (("x-other", "1"), ("x-other", "2"), ("x-other", "3"));
    section(&mut encoder, 0, &[one]);
    section(&mut encoder, 4, &[two]);
    section(&mut encoder, 8, &[three]);
    encoder.on_decoder_stream(&[0x80, 0x84]).unwrap();
    assert!(
        encoder.unacknowledged.lowest_reference() < 2,
        "stream 8 has a name of an entry"
    );
    encoder.on_decoder_stream(&[0x88]).unwrap();
    // The second is referred to before the third would evict the first and then it.
    section(&mut encoder, 12, &[two, three, ("x-other", "4"), three]);
    assert!(encoder.table.inserted() <= 3);
    let mut decoder = Decoder::new(DecoderConfig {
        table_capacity_max: 80,
        ..DecoderConfig::default()
    });
    decoder
        .on_encoder_stream(&instructions(&mut encoder))
        .unwrap();
}

#[test]
fn a_draining_entry_is_duplicated_before_it_is_referred_to() {
    let mut encoder = encoder(400, 100);
    let line = |number: usize| {
        [(
            "x-other",
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][number],
        )]
    };
    for number in 0..10 {
        section(&mut encoder, 0, &line(number));
    }
    // Ten entries of 40 bytes fill the table: two of them make up an eighth of it.
    assert_eq!(encoder.table.inserted(), 10);
    assert_eq!(encoder.table.draining(), 2);
    encoder.on_decoder_stream(&[0x80; 10]).unwrap();
    instructions(&mut encoder);
    section(&mut encoder, 4, &line(2));
    assert_eq!(instructions(&mut encoder), []);
    encoder.on_decoder_stream(&[0x84]).unwrap();
    let bytes = section(&mut encoder, 8, &line(1));
    assert_eq!(
        instructions(&mut encoder),
        [0x08],
        "the ninth before the newest"
    );
    assert_eq!(bytes, [12, 0x80, 0x10]);
}

#[test]
fn a_long_prefix_moves_the_lines_behind_it() {
    let mut encoder = encoder(4096, 100);
    let mut decoder = Decoder::new(DecoderConfig::default());
    let mut long_prefixes = 0;
    for number in 0..600u64 {
        let value = number.to_string();
        for stream in [8 * number, 8 * number + 4] {
            let bytes = section(&mut encoder, stream, &[("x-own", &value), (":path", "/")]);
            decoder
                .on_encoder_stream(&instructions(&mut encoder))
                .unwrap();
            let mut values = Vec::new();
            let decoded = decoder.decode(stream, &bytes, |_, value| {
                values.push(String::from_utf8(value.as_bytes().to_vec()));
                Ok::<(), ()>(())
            });
            assert_eq!(decoded, Ok(Decoded::Complete));
            assert_eq!(values, [Ok(value.clone()), Ok("/".to_owned())]);
            let answer = decoder.poll_instructions().unwrap_or_default();
            encoder.on_decoder_stream(&answer).unwrap();
            long_prefixes += usize::from(bytes[0] == 0xff);
        }
    }
    assert!(encoder.table.inserted() > 512, "the count has wrapped");
    assert!(long_prefixes > 0, "a count of 255 or 256 takes two bytes");
}

#[test]
fn a_smaller_table_waits_until_its_entries_may_leave() {
    let mut encoder = with_two_entries(100);
    encoder.set_table_capacity(40);
    assert_eq!(section(&mut encoder, 8, TWO), NEWER);
    assert_eq!(instructions(&mut encoder), []);
    encoder.on_decoder_stream(&[0x80, 0x84]).unwrap();
    // Stream 8 still refers to the newer one, which may stay.
    section(&mut encoder, 12, TWO);
    assert_eq!(instructions(&mut encoder), [0x3f, 40 - 31]);
    encoder.set_table_capacity(4096);
    section(&mut encoder, 16, &[]);
    assert_eq!(instructions(&mut encoder), [0x3f, 0xe1, 0x1f]);
    encoder.set_table_capacity(0);
    encoder.on_decoder_stream(&[0x88, 0x8c]).unwrap();
    section(&mut encoder, 20, &[]);
    assert_eq!(instructions(&mut encoder), [0x20]);
    assert_eq!(section(&mut encoder, 24, ONE), LITERAL);
}

#[test]
fn the_table_is_no_larger_than_the_peer_allows() {
    let mut encoder = encoder(100, 100);
    encoder.set_table_capacity(1000);
    section(&mut encoder, 0, &[]);
    assert_eq!(instructions(&mut encoder), [0x3f, 100 - 31]);
}

#[test]
fn instructions_beyond_the_credit_are_not_written() {
    let mut encoder = encoder(4096, 100);
    encoder.set_instruction_credit(0);
    assert_eq!(section(&mut encoder, 0, ONE), LITERAL);
    assert!(encoder.poll_instructions().is_none());
    // Enough for the capacity and the insertion, to the byte.
    encoder.set_instruction_credit(3 + 7 - 1);
    assert_eq!(section(&mut encoder, 0, ONE), LITERAL);
    assert_eq!(instructions(&mut encoder), [0x3f, 0xe1, 0x1f]);
    assert_eq!(
        section(&mut encoder, 0, ONE),
        LITERAL,
        "six of seven bytes are left"
    );
    encoder.set_instruction_credit(7);
    assert_eq!(section(&mut encoder, 0, ONE), [2, 0x80, 0x10]);
    assert_eq!(instructions(&mut encoder).len(), 7);
    assert_eq!(encoder.credit, 0);
    // Neither can an entry be duplicated without credit.
    assert!(encoder.duplicate(0).is_none());
    assert_eq!(encoder.table.inserted(), 1);
}

#[test]
fn instructions_that_nobody_takes_are_bounded() {
    let mut encoder = Encoder::new(EncoderConfig {
        unsent_bytes_max: 100,
        ..EncoderConfig::default()
    });
    encoder.on_peer_settings(4096, 100).unwrap();
    for number in 0..100 {
        section(&mut encoder, 0, &[("x-own", &number.to_string())]);
    }
    assert!((90..=100).contains(&encoder.instructions.len()));
}

#[test]
fn sections_that_nobody_acknowledges_are_bounded() {
    let mut encoder = Encoder::new(EncoderConfig {
        unacknowledged_sections_max: 3,
        ..EncoderConfig::default()
    });
    encoder.on_peer_settings(4096, 100).unwrap();
    for stream in [0, 4, 8] {
        assert_ne!(section(&mut encoder, stream, ONE), LITERAL);
    }
    assert_eq!(section(&mut encoder, 12, ONE), LITERAL);
    encoder.on_decoder_stream(&[0x84]).unwrap();
    assert_ne!(section(&mut encoder, 12, ONE), LITERAL);
}

#[test]
fn remembered_settings_may_be_raised_from_zero_only() {
    let mut encoder = Encoder::new(EncoderConfig::default());
    encoder.on_peer_settings(0, 0).unwrap();
    encoder.on_peer_settings(100, 1).unwrap();
    encoder.on_peer_settings(100, 2).unwrap();
    for capacity in [0, 99, 101] {
        let error = encoder.on_peer_settings(capacity, 2).unwrap_err();
        assert_eq!(error.kind(), QpackErrorKind::DecoderStream);
    }
}

#[test]
fn a_section_that_is_not_finished_holds_nothing() {
    let mut encoder = encoder(4096, 100);
    let mut out = BytesMut::new();
    let mut unfinished = encoder.section(0, &mut out);
    unfinished.line(b"x-own", b"1", false);
    drop(unfinished);
    assert_eq!(encoder.unacknowledged.len(), 0);
    assert_eq!(section(&mut encoder, 4, ONE), [2, 0, 0x80]);
}

mod again;
