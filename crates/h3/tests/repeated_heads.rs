//! Heads that come again as they were are not decoded again, and nobody can tell.

mod support;

use bytes::Bytes;
use http::{HeaderValue, Method};
use portway_h3::error::Code;
use portway_h3::memory::Options;
use portway_h3::{Config, Direction, Finish, Incoming, SendError, StreamId, Transport};
use support::{Pair, Raw, bidi, content, failure, frame, headers, received, request, response};

/// What an application may ask for again and again.
const FIELDS: [(&str, &str); 3] = [
    ("accept", "application/json"),
    ("cookie", "a=1; b=2"),
    ("x-own", "value"),
];

#[test]
fn requests_and_responses_that_repeat_are_all_alike() {
    let mut pair = Pair::new();
    let asked = request(Method::GET, "/resource", &FIELDS);
    let answered = response(200, &[("content-length", "0"), ("server", "x")]);
    for round in 0..40 {
        let stream = pair.request(&asked, Finish::Now);
        pair.run();
        let all = received(&mut pair.server, stream);
        let [Ok(Incoming::Request(head)), Ok(Incoming::End)] = &all[..] else {
            panic!("{round}: {all:?}");
        };
        assert_eq!(**head, asked, "{round}");
        pair.server
            .send_response(stream, &answered, Finish::Now)
            .expect("a response");
        pair.run();
        let all = received(&mut pair.client, stream);
        let [Ok(Incoming::Response(head)), Ok(Incoming::End)] = &all[..] else {
            panic!("{round}: {all:?}");
        };
        assert_eq!(**head, answered, "{round}");
    }
    // All of them that refer to the table are acknowledged, those of the last rounds soon.
    let [sent, _] = pair.client.table_uses();
    let [_, received] = pair.server.table_uses();
    assert!(received.sections >= 39, "{received:?}");
    assert!(sent.sections >= 16, "{sent:?}");
}

#[test]
fn one_that_differs_in_a_byte_is_another() {
    let mut pair = Pair::new();
    let paths = ["/a", "/a", "/a", "/b", "/a", "/a", "/b", "/b", "/b", "/a"];
    for (round, path) in paths.into_iter().cycle().take(50).enumerate() {
        let stream = pair.request(&request(Method::GET, path, &FIELDS), Finish::Now);
        pair.run();
        let all = received(&mut pair.server, stream);
        let Ok(Incoming::Request(head)) = &all[0] else {
            panic!("{round}: {all:?}");
        };
        assert_eq!(head.uri.path(), path, "{round}");
        pair.answer(stream, 200, b"");
        received(&mut pair.client, stream);
    }
}

/// A server whose table has room for one entry, so that what counts its insertions soon begins
/// again, and its client.
fn small_table() -> (Raw, StreamId) {
    let mut config = Config::default();
    config.limits.qpack_table_bytes = 64;
    let mut raw = Raw::server(config);
    let encoder = raw.uni(1);
    raw.write(encoder, &[0x02, 0x3f, 0x21], false);
    (raw, encoder)
}

/// Inserts `x-a` with this value.
fn insert(raw: &mut Raw, encoder: StreamId, value: u8) {
    raw.write(encoder, &[0x43, b'x', b'-', b'a', 1, value], false);
}

/// A request that refers to the newest entry, which is the first, the fifth, or the ninth.
const REFERRING: &[u8] = b"\x02\0\xd1\xd7\xc1\x50\x0bexample.com\x80";

/// What the request with this number says of `x-a`.
fn asked(raw: &mut Raw, number: u64) -> Option<HeaderValue> {
    raw.write(bidi(number), &frame(0x01, REFERRING), true);
    match raw.connection.receive(bidi(number))? {
        Ok(Incoming::Request(head)) => head.headers.get("x-a").cloned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_bytes_mean_what_the_table_has_now() {
    let (mut raw, encoder) = small_table();
    insert(&mut raw, encoder, b'1');
    for number in 0..5 {
        assert_eq!(asked(&mut raw, number), Some(HeaderValue::from_static("1")));
    }
    for value in b'2'..=b'5' {
        insert(&mut raw, encoder, value);
    }
    for number in 5..10 {
        assert_eq!(asked(&mut raw, number), Some(HeaderValue::from_static("5")));
    }
    raw.assert_open();
    let [_, received] = raw.connection.table_uses();
    assert_eq!(received.sections, 10, "each is acknowledged");
}

#[test]
fn bytes_whose_entry_has_left_fail_however_often_they_were_good() {
    let (mut raw, encoder) = small_table();
    insert(&mut raw, encoder, b'1');
    for number in 0..5 {
        asked(&mut raw, number);
    }
    // The table without a capacity has no entries.
    raw.write(encoder, &[0x20], false);
    raw.write(bidi(5), &frame(0x01, REFERRING), true);
    raw.assert_closed(Code::QPACK_DECOMPRESSION_FAILED);
}

#[test]
fn trailers_are_not_taken_for_the_head_that_they_equal() {
    let mut raw = Raw::server(Config::default());
    for number in 0..4 {
        let head = headers(&support::POST);
        raw.write(bidi(number), &head, false);
        assert!(matches!(
            raw.connection.receive(bidi(number)),
            Some(Ok(Incoming::Request(_)))
        ));
        // RFC 9114 §4.3: pseudo-header fields have no place in trailers.
        raw.write(bidi(number), &head, true);
        let failed = failure(&mut raw.connection, bidi(number));
        assert_eq!(failed.code, Code::H3_MESSAGE_ERROR, "{number}");
    }
}

#[test]
fn a_head_that_repeats_is_as_faulty_as_before() {
    let mut raw = Raw::server(Config::default());
    let mut fields = support::POST.to_vec();
    fields.push(("content-length", "many"));
    for number in 0..4 {
        raw.write(bidi(number), &headers(&fields), true);
        raw.assert_open();
        let sent = raw.record().resets.clone();
        let reset = (bidi(number), Code::H3_MESSAGE_ERROR);
        assert!(sent.contains(&reset), "{number}: {sent:?}");
    }
}

#[test]
fn a_head_that_was_sent_before_is_still_measured_by_what_the_peer_takes() {
    let mut server = Config::default();
    server.limits.field_section_bytes = 300;
    let mut pair = Pair::with(Config::default(), server, Options::default());
    let large = request(Method::GET, "/", &[("a", &"x".repeat(200))]);
    // The server has not said yet what it takes.
    for _ in 0..4 {
        pair.request(&large, Finish::Now);
    }
    pair.run();
    let client = &mut pair.network.client;
    let stream = client.open(Direction::Bidirectional).expect("a stream");
    let refused = pair.client.send_request(stream, &large, Finish::Now);
    assert!(
        matches!(refused, Err(SendError::Unsendable(_))),
        "{refused:?}"
    );
}

#[test]
fn content_is_measured_by_what_each_head_declares_of_it() {
    let mut pair = Pair::new();
    let answered = response(200, &[("content-length", "3"), ("priority", "u=1")]);
    for round in 0..5 {
        let stream = pair.get();
        let server = &mut pair.server;
        let short = Bytes::from_static(b"ab");
        let refused = server.send_response_with(stream, &answered, short, Finish::Now);
        assert_eq!(refused, Err(SendError::ContentLength), "{round}");
        let whole = Bytes::from_static(b"abc");
        let sent = server.send_response_with(stream, &answered, whole, Finish::Now);
        assert_eq!(sent, Ok(()), "{round}");
        let priority = server.priority(stream).expect("it is not over");
        assert_eq!(priority.urgency(), 1, "{round}");
        pair.run();
        let all = received(&mut pair.client, stream);
        assert_eq!(content(&all), b"abc");
    }
}

#[test]
fn what_comes_behind_a_head_that_repeats_is_read_wherever_it_is_cut() {
    let message = [headers(&support::POST), frame(0x21, b"z"), frame(0, b"abc")].concat();
    for cut in 0..=message.len() {
        let mut raw = Raw::server(Config::default());
        for number in 0..4 {
            let (front, rest) = message.split_at(if number < 3 { 0 } else { cut });
            raw.write(bidi(number), front, false);
            raw.write(bidi(number), rest, true);
            let all = received(&mut raw.connection, bidi(number));
            let [Ok(Incoming::Request(head)), .., Ok(Incoming::End)] = &all[..] else {
                panic!("{cut}: {all:?}");
            };
            assert_eq!((&head.method, head.uri.path()), (&Method::POST, "/"));
            assert_eq!(content(&all), b"abc", "{cut}");
        }
        raw.assert_open();
    }
}
