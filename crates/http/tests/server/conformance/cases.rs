//! The list: what every server takes, and the parts by their sections.
//!
//! Invariant: places are those of the public list.

use super::fields::{compression, representations};
use super::frames::{connection, streams};
use super::requests::{incomplete, malformed, messages};
use super::{Case, Expected::*, Step, case, send};
use crate::net::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame,
};

pub(super) fn all() -> Vec<Case> {
    [
        generic(),
        generic_frames(),
        generic_rest(),
        messages(),
        representations(),
        compression(),
        connection(),
        streams(),
        malformed(),
        incomplete(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A GET of a path.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(path))
}

/// The fields of a POST of `/`.
pub(super) fn post_block() -> Vec<u8> {
    let mut fields = block("/");
    fields[0] = 0x83;
    fields
}

/// The head of a POST, whose content follows.
pub(super) fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &post_block())
}

/// The head of a POST to a service that reads its content.
pub(super) fn upload(stream: u32) -> Vec<u8> {
    let mut fields = block("/length");
    fields[0] = 0x83;
    frame(HEADERS, END_HEADERS, stream, &fields)
}

pub(super) fn data(stream: u32, flags: u8, content: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, content)
}

pub(super) fn priority(stream: u32, depends_on: u32, weight: u8) -> Vec<u8> {
    let payload = [&depends_on.to_be_bytes()[..], &[weight]].concat();
    frame(PRIORITY, 0, stream, &payload)
}

pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub(super) fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

pub(super) fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

pub(super) fn continuation(stream: u32, flags: u8, fields: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, flags, stream, fields)
}

fn generic() -> Vec<Case> {
    let ask = |before: Vec<u8>| send(&[before, get(1, "/")]);
    let behind = |after: Vec<u8>| send(&[get(1, "/"), after]);
    let end = Step::Answered(1);
    let [first] = send(&[get(1, "/")]);
    let [late] = send(&[priority(1, 0, 15)]);
    vec![
        case("generic/1/1", "the preface of a client", [], Goes),
        case(
            "generic/2/1",
            "PRIORITY on an idle stream",
            ask(priority(1, 0, 15)),
            Answer,
        ),
        case(
            "generic/2/2",
            "WINDOW_UPDATE on a half-closed stream",
            behind(window(1, 1)),
            Answer,
        ),
        case(
            "generic/2/3",
            "PRIORITY on a half-closed stream",
            behind(priority(1, 0, 15)),
            Answer,
        ),
        case(
            "generic/2/4",
            "RST_STREAM on a half-closed stream",
            behind(reset(1, 8)),
            Goes,
        ),
        case(
            "generic/2/5",
            "PRIORITY on a closed stream",
            [first, end, late],
            Goes,
        ),
    ]
}

fn generic_frames() -> Vec<Case> {
    let body = |frames: &[Vec<u8>]| send(&[&[post(1)], frames].concat());
    let flags = END_HEADERS | END_STREAM;
    let padded = [&[3][..], &block("/"), &[0; 3]].concat();
    let weighted = [&[0, 0, 0, 0, 15][..], &block("/")].concat();
    let ask = |before: Vec<u8>| send(&[before, get(1, "/")]);
    vec![
        case(
            "generic/3.1/1",
            "DATA",
            body(&[data(1, END_STREAM, b"x")]),
            Answer,
        ),
        case(
            "generic/3.1/2",
            "DATA twice",
            body(&[data(1, 0, b"x"), data(1, END_STREAM, b"y")]),
            Answer,
        ),
        case(
            "generic/3.1/3",
            "DATA with padding",
            body(&[data(1, END_STREAM | PADDED, &[2, b'x', 0, 0])]),
            Answer,
        ),
        case("generic/3.2/1", "HEADERS", send(&[get(1, "/")]), Answer),
        case(
            "generic/3.2/2",
            "HEADERS with padding",
            send(&[frame(HEADERS, flags | PADDED, 1, &padded)]),
            Answer,
        ),
        case(
            "generic/3.2/3",
            "HEADERS with a priority",
            send(&[frame(HEADERS, flags | PRIORITIZED, 1, &weighted)]),
            Answer,
        ),
        case(
            "generic/3.3/1",
            "PRIORITY of weight 1",
            ask(priority(1, 0, 0)),
            Answer,
        ),
        case(
            "generic/3.3/2",
            "PRIORITY of weight 256",
            ask(priority(1, 0, 255)),
            Answer,
        ),
        case(
            "generic/3.3/3",
            "PRIORITY below 3",
            ask(priority(1, 3, 15)),
            Answer,
        ),
        case(
            "generic/3.3/4",
            "PRIORITY, alone",
            ask(priority(1, ALONE, 15)),
            Answer,
        ),
        case(
            "generic/3.3/5",
            "PRIORITY of an idle stream, then HEADERS of a lower one",
            ask(priority(3, 0, 15)),
            Answer,
        ),
    ]
}

fn generic_rest() -> Vec<Case> {
    let body = |frames: &[Vec<u8>]| send(&[&[post(1)], frames].concat());
    let (begin, rest) = (&block("/")[..3], &block("/")[3..]);
    let begun = frame(HEADERS, END_STREAM, 1, begin);
    let ask = |before: Vec<u8>| send(&[before, get(1, "/")]);
    vec![
        case(
            "generic/3.4/1",
            "RST_STREAM",
            send(&[post(1), reset(1, 8)]),
            Goes,
        ),
        case("generic/3.5/1", "SETTINGS", send(&[setting(3, 100)]), Goes),
        case(
            "generic/3.7/1",
            "PING",
            send(&[frame(PING, 0, 0, &[1; 8])]),
            Goes,
        ),
        case(
            "generic/3.8/1",
            "GOAWAY",
            send(&[frame(GOAWAY, 0, 0, &[0; 8])]),
            GoesOrEnds,
        ),
        case(
            "generic/3.9/1",
            "WINDOW_UPDATE of all",
            ask(window(0, 1)),
            Answer,
        ),
        case(
            "generic/3.9/2",
            "WINDOW_UPDATE of a stream",
            body(&[window(1, 1), data(1, END_STREAM, b"")]),
            Answer,
        ),
        case(
            "generic/3.10/1",
            "CONTINUATION",
            send(&[begun.clone(), continuation(1, END_HEADERS, rest)]),
            Answer,
        ),
        case(
            "generic/3.10/2",
            "CONTINUATION twice",
            send(&[
                begun,
                continuation(1, 0, &rest[..1]),
                continuation(1, END_HEADERS, &rest[1..]),
            ]),
            Answer,
        ),
    ]
}

/// Exclusively below stream 3.
const ALONE: u32 = 0x8000_0003;

pub(super) const PRIORITY: u8 = 2;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITIZED: u8 = 0x20;

// RFC 9113 §7.
pub(super) const PROTOCOL: u32 = 1;
pub(super) const FLOW: u32 = 3;
pub(super) const CLOSED: u32 = 5;
pub(super) const SIZE: u32 = 6;
pub(super) const REFUSED: u32 = 7;
pub(super) const COMPRESSION: u32 = 9;
