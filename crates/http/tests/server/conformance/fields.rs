//! How fields may be written (RFC 7541), right and wrong.
//!
//! Invariant: what is right is answered; what is wrong ends the connection, whose table of fields
//! is not known any more.

use super::cases::COMPRESSION;
use super::{Case, Expected::*, Step, case, send};
use crate::net::{END_HEADERS, END_STREAM, HEADERS, block, frame};

/// A GET with more bytes behind its fields.
fn with(more: &[u8]) -> [Step; 1] {
    let fields = [&block("/")[..], more].concat();
    send(&[frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields)])
}

/// A GET with more bytes before its fields.
fn after(more: &[u8]) -> [Step; 1] {
    let fields = [more, &block("/")[..]].concat();
    send(&[frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields)])
}

/// A field whose name is the static user-agent, or a new one; its text as it is, or by Huffman.
fn literal(start: &[u8], is_new: bool, is_coded: bool) -> Vec<u8> {
    let name: &[u8] = match (is_new, is_coded) {
        (false, _) => b"",
        (true, false) => b"\x04test",
        (true, true) => b"\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f",
    };
    let value: &[u8] = match is_coded {
        false => b"\x03302",
        true => b"\x82\x64\x02",
    };
    [start, name, value].concat()
}

/// How a kind of literal begins with a known name and with a new one, its places, and what it is.
type Kind = (&'static [u8], u8, [&'static str; 4], [&'static str; 4]);

pub(super) fn representations() -> Vec<Case> {
    let mut all = vec![case(
        "generic/5/1",
        "an indexed field",
        with(&[0x90]),
        Answer,
    )];
    let kinds: [Kind; 3] = [
        (
            &[0x7a],
            0x40,
            ["generic/5/2", "generic/5/3", "generic/5/4", "generic/5/5"],
            [
                "a literal that is kept, known name",
                "a literal that is kept, known name, Huffman",
                "a literal that is kept, new name",
                "a literal that is kept, new name, Huffman",
            ],
        ),
        (
            &[0x0f, 0x2b],
            0x00,
            ["generic/5/6", "generic/5/7", "generic/5/8", "generic/5/9"],
            [
                "a literal that is not kept, known name",
                "a literal that is not kept, known name, Huffman",
                "a literal that is not kept, new name",
                "a literal that is not kept, new name, Huffman",
            ],
        ),
        (
            &[0x1f, 0x2b],
            0x10,
            [
                "generic/5/10",
                "generic/5/11",
                "generic/5/12",
                "generic/5/13",
            ],
            [
                "a literal that nobody keeps, known name",
                "a literal that nobody keeps, known name, Huffman",
                "a literal that nobody keeps, new name",
                "a literal that nobody keeps, new name, Huffman",
            ],
        ),
    ];
    for (known, new, places, whats) in kinds {
        let forms = [
            literal(known, false, false),
            literal(known, false, true),
            literal(&[new], true, false),
            literal(&[new], true, true),
        ];
        for ((place, what), form) in places.into_iter().zip(whats).zip(forms) {
            all.push(case(place, what, with(&form), Answer));
        }
    }
    all.push(case(
        "generic/5/14",
        "a smaller table",
        after(&[0x20]),
        Answer,
    ));
    let twice = [0x20, 0x3f, 0xe1, 0x1f];
    all.push(case(
        "generic/5/15",
        "a smaller table, then a larger one",
        after(&twice),
        Answer,
    ));
    all
}

pub(super) fn compression() -> Vec<Case> {
    let wrong =
        |place, what, more: &[u8]| case(place, what, with(more), Connection(&[COMPRESSION]));
    vec![
        wrong("hpack/2.3.3/1", "an index beyond the tables", &[0xc6]),
        wrong(
            "hpack/2.3.3/2",
            "a name's index beyond the tables",
            b"\x7f\x07\x01x",
        ),
        wrong("hpack/4.2/1", "a table's size behind fields", &[0x20]),
        wrong(
            "hpack/5.2/1",
            "Huffman with 8 bits of padding",
            b"\x00\x01x\x83\x64\x02\xff",
        ),
        wrong(
            "hpack/5.2/2",
            "Huffman that is padded by zeroes",
            b"\x00\x01x\x81\x18",
        ),
        wrong(
            "hpack/5.2/3",
            "Huffman with its end symbol",
            b"\x00\x01x\x84\xff\xff\xff\xff",
        ),
        wrong("hpack/6.1/1", "index 0", &[0x80]),
        case(
            "hpack/6.3/1",
            "a table larger than was allowed",
            after(&[0x3f, 0xe2, 0x1f]),
            Connection(&[COMPRESSION]),
        ),
    ]
}
