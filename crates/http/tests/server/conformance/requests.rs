//! Requests: whole ones, and those that are none (RFC 9113 §8).
//!
//! Invariant: what is malformed reaches no service.

use super::cases::{PROTOCOL, data, get, post, post_block, upload};
use super::{Case, Expected::*, Step, case, send};
use crate::net::{END_HEADERS, END_STREAM, HEADERS, block, frame};

/// A field of a new name.
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let lengths = [name.len() as u8, value.len() as u8];
    [&[0, lengths[0]][..], name, &[lengths[1]], value].concat()
}

/// A request of these fields.
fn request(fields: &[Vec<u8>]) -> [Step; 1] {
    let flags = END_HEADERS | END_STREAM;
    send(&[frame(HEADERS, flags, 1, &fields.concat())])
}

pub(super) fn messages() -> Vec<Case> {
    let mut head = block("/");
    head.splice(..1, field(b":method", b"HEAD"));
    let trailers = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &field(b"x-trailer", b"one"),
    );
    vec![
        case("generic/4/1", "GET", send(&[get(1, "/")]), Answer),
        case("generic/4/2", "HEAD", request(&[head]), Answer),
        case(
            "generic/4/3",
            "POST",
            send(&[post(1), data(1, END_STREAM, b"x")]),
            Answer,
        ),
        case(
            "generic/4/4",
            "POST with trailers",
            send(&[post(1), data(1, 0, b"x"), trailers]),
            Answer,
        ),
    ]
}

pub(super) fn malformed() -> Vec<Case> {
    let wrong = |place, what, steps| case(place, what, steps, Stream(&[PROTOCOL]));
    let with = |more: Vec<u8>| request(&[block("/"), more]);
    let trailers = |flags, fields: &[u8]| {
        send(&[
            upload(1),
            data(1, 0, b"x"),
            frame(HEADERS, END_HEADERS | flags, 1, fields),
        ])
    };
    // All but :method, then a field, then that.
    let (others, method) = (block("/")[1..].to_vec(), vec![0x82]);
    let late = request(&[others, field(b"x", b"y"), method]);
    vec![
        wrong(
            "http2/8.1/1",
            "a second HEADERS that is no end",
            trailers(0, &field(b"x", b"y")),
        ),
        wrong(
            "http2/8.1.2/1",
            "a name in capitals",
            with(field(b"X", b"y")),
        ),
        wrong(
            "http2/8.1.2.1/1",
            "an unknown pseudo-field",
            with(field(b":x", b"y")),
        ),
        wrong(
            "http2/8.1.2.1/2",
            "a response's pseudo-field",
            with(field(b":status", b"200")),
        ),
        wrong(
            "http2/8.1.2.1/3",
            "a pseudo-field in trailers",
            trailers(END_STREAM, &field(b":method", b"GET")),
        ),
        wrong("http2/8.1.2.1/4", "a pseudo-field behind a field", late),
        wrong(
            "http2/8.1.2.2/1",
            "a connection's field",
            with(field(b"connection", b"x")),
        ),
        wrong(
            "http2/8.1.2.2/2",
            "TE with more than trailers",
            with(field(b"te", b"gzip")),
        ),
    ]
}

pub(super) fn incomplete() -> Vec<Case> {
    let wrong = |place, what, steps| case(place, what, steps, Stream(&[PROTOCOL]));
    let (method, scheme) = (vec![0x82], vec![0x86]);
    let (path, authority) = (vec![0x84], b"\x41\x01a".to_vec());
    let sized = [post_block(), field(b"content-length", b"1")].concat();
    let sized = frame(HEADERS, END_HEADERS, 1, &sized);
    let two = send(&[sized.clone(), data(1, END_STREAM, b"xy")]);
    let three = send(&[sized, data(1, 0, b"xy"), data(1, END_STREAM, b"z")]);
    let empty_path = field(b":path", b"");
    let promised = [&[0, 0, 0, 2][..], &block("/")].concat();
    let push = send(&[frame(PUSH_PROMISE, END_HEADERS, 1, &promised)]);
    let parts = [&method, &scheme, &path, &authority];
    let of =
        |chosen: &[usize]| -> Vec<Vec<u8>> { chosen.iter().map(|at| parts[*at].clone()).collect() };
    vec![
        wrong(
            "http2/8.1.2.3/1",
            "an empty :path",
            request(&[
                method.clone(),
                scheme.clone(),
                authority.clone(),
                empty_path,
            ]),
        ),
        wrong("http2/8.1.2.3/2", "no :method", request(&of(&[1, 2, 3]))),
        wrong("http2/8.1.2.3/3", "no :scheme", request(&of(&[0, 2, 3]))),
        wrong("http2/8.1.2.3/4", "no :path", request(&of(&[0, 1, 3]))),
        wrong(
            "http2/8.1.2.3/5",
            "two of :method",
            request(&of(&[0, 0, 1, 2, 3])),
        ),
        wrong(
            "http2/8.1.2.3/6",
            "two of :scheme",
            request(&of(&[0, 1, 1, 2, 3])),
        ),
        wrong(
            "http2/8.1.2.3/7",
            "two of :path",
            request(&of(&[0, 1, 2, 2, 3])),
        ),
        wrong("http2/8.1.2.6/1", "more DATA than content-length says", two),
        wrong(
            "http2/8.1.2.6/2",
            "more DATA than content-length says, in two",
            three,
        ),
        case("http2/8.2/1", "PUSH_PROMISE", push, Connection(&[PROTOCOL])),
    ]
}

const PUSH_PROMISE: u8 = 5;
