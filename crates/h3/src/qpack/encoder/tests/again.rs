//! Sections that are sent again as they were.

use super::{ONE, TWO, encoder, instructions, section, with_two_entries};
use crate::qpack::encoder::{Encoder, References};
use bytes::BytesMut;

/// Encodes a section and asks whether it can be sent again.
fn tell(
    encoder: &mut Encoder,
    stream: u64,
    lines: &[(&str, &str)],
) -> (Vec<u8>, Option<References>) {
    let mut out = BytesMut::new();
    let mut section = encoder.section(stream, &mut out);
    for (name, value) in lines {
        section.line(name.as_bytes(), value.as_bytes(), false);
    }
    let references = section.finish_and_tell();
    (out.to_vec(), references)
}

/// The bytes of a section that is sent again.
fn again(
    encoder: &mut Encoder,
    stream: u64,
    of: &(Vec<u8>, Option<References>),
) -> Option<Vec<u8>> {
    let references = of.1.as_ref().expect("it can be sent again");
    let is_sent = encoder.repeat(stream, references);
    is_sent.then(|| of.0.clone())
}

/// An encoder whose peer has both entries, and the sections that brought them.
fn acknowledged() -> Encoder {
    let mut encoder = with_two_entries(2);
    encoder.on_decoder_stream(&[0x80, 0x84]).unwrap();
    encoder
}

#[test]
fn what_the_peer_has_is_sent_again_as_it_was_encoded() {
    let mut encoder = acknowledged();
    let first = tell(&mut encoder, 8, ONE);
    let second = again(&mut encoder, 12, &first).expect("nothing has changed");
    assert_eq!(second, section(&mut encoder, 16, ONE));
    // RFC 9204 §4.4.1: each of them may be acknowledged.
    for stream in [8, 12, 16] {
        assert!(encoder.on_decoder_stream(&[0x80 + stream]).is_ok());
        assert!(encoder.on_decoder_stream(&[0x80 + stream]).is_err());
    }
}

#[test]
fn a_section_without_references_is_not_to_be_acknowledged() {
    let mut encoder = acknowledged();
    let first = tell(&mut encoder, 8, &[(":method", "GET")]);
    assert_eq!(again(&mut encoder, 12, &first), Some(first.0.clone()));
    assert!(encoder.on_decoder_stream(&[0x80 + 12]).is_err());
}

#[test]
fn what_teaches_the_encoder_or_puts_a_stream_at_risk_is_encoded_anew() {
    let mut encoder = acknowledged();
    for lines in [&[("x-own", "3")][..], &[("age", "7")], &[(":path", "/7")]] {
        assert_eq!(tell(&mut encoder, 8, lines).1, None, "{lines:?}");
    }
    for (blocked, why) in [
        (3, "the peer may not have it"),
        (2, "a literal for now"),
        (0, "a literal for now"),
    ] {
        let mut encoder = with_two_entries(blocked);
        assert_eq!(tell(&mut encoder, 8, ONE).1, None, "{why}");
    }
    // What is never in the table is a literal each time.
    let mut encoder = acknowledged();
    let credential = &[("authorization", "secret")];
    assert!(tell(&mut encoder, 8, credential).1.is_some());
}

#[test]
fn nothing_is_sent_again_with_another_table() {
    let mut encoder = acknowledged();
    let first = tell(&mut encoder, 8, ONE);
    section(&mut encoder, 12, &[("x-own", "3")]);
    assert!(!instructions(&mut encoder).is_empty(), "it is inserted");
    assert_eq!(again(&mut encoder, 16, &first), None);
    let mut encoder = acknowledged();
    let first = tell(&mut encoder, 8, &[(":method", "GET")]);
    encoder.set_table_capacity(100);
    assert_eq!(again(&mut encoder, 12, &first), None, "it is to be smaller");
    section(&mut encoder, 12, TWO);
    assert_eq!(again(&mut encoder, 16, &first), None, "it is smaller");
}

#[test]
fn without_settings_sections_are_the_same_until_they_come() {
    let mut encoder = Encoder::new(super::EncoderConfig::default());
    let first = tell(&mut encoder, 0, ONE);
    assert_eq!(again(&mut encoder, 4, &first), Some(first.0.clone()));
    encoder.on_peer_settings(4096, 1).unwrap();
    assert_eq!(again(&mut encoder, 8, &first), None);
}

#[test]
fn one_that_is_sent_again_keeps_its_entries() {
    // Room for two entries of 40 bytes, of which the older one is draining.
    let mut encoder = encoder(80, 100);
    let lines = ["1", "2", "3", "4"].map(|value| [("x-other", value)]);
    section(&mut encoder, 0, &lines[0]);
    section(&mut encoder, 4, &lines[1]);
    encoder.on_decoder_stream(&[0x80, 0x84]).unwrap();
    let first = tell(&mut encoder, 8, &lines[1]);
    again(&mut encoder, 12, &first).expect("nothing has changed");
    encoder.on_decoder_stream(&[0x88]).unwrap();
    let mut inserted_after = |lines: &[(&str, &str)], stream| {
        for _ in 0..2 {
            section(&mut encoder, stream, lines);
        }
        // Whatever it refers to is not what keeps the entry.
        while encoder.on_decoder_stream(&[0x80 + stream as u8]).is_ok() {}
        encoder.table.inserted()
    };
    assert_eq!(inserted_after(&lines[2], 16), 3, "the older one leaves");
    assert_eq!(inserted_after(&lines[3], 20), 3, "stream 12 refers to it");
    // Now it is acknowledged, too.
    assert_eq!(inserted_after(&lines[3], 12), 3);
    assert_eq!(inserted_after(&lines[3], 20), 4);
}

#[test]
fn sections_that_nobody_acknowledges_are_bounded_however_they_are_sent() {
    let mut encoder = acknowledged();
    encoder.config.unacknowledged_sections_max = 2;
    let first = tell(&mut encoder, 8, ONE);
    assert!(again(&mut encoder, 12, &first).is_some());
    assert_eq!(again(&mut encoder, 16, &first), None);
    assert_eq!(tell(&mut encoder, 16, ONE).1, None, "a literal for now");
    // What refers to nothing is told, and sent again once there is room.
    let first = tell(&mut encoder, 16, &[(":method", "GET")]);
    assert_eq!(again(&mut encoder, 20, &first), None);
    encoder.on_decoder_stream(&[0x88]).unwrap();
    assert_eq!(again(&mut encoder, 20, &first), Some(first.0.clone()));
}
