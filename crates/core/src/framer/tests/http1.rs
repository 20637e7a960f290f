//! HTTP/1.1 in both roles: bodies of each form, in pieces, and what is refused.

use super::{arrived, bytes_of, drain, one};
use crate::framer::{
    Demand, HTTP1_FIELDS, HTTP1_METHOD, HTTP1_REASON, HTTP1_STATUS, HTTP1_TARGET, HTTP1_TRAILERS,
    Http1, Outgoing, Pipeline, Receive,
};
use crate::message::{Message, MessageContext, MetadataValue, ReceivedMessage};
use crate::send_queue::WireBuffer;
use crate::{Failure, FailureKind};

const HOST: &str = "Host: a\r\n";

fn request(method: &'static str, fields: &'static str) -> MessageContext {
    MessageContext::new()
        .with_metadata(HTTP1_METHOD, method)
        .with_metadata(HTTP1_TARGET, "/x")
        .with_metadata(HTTP1_FIELDS, fields)
}

fn response(status: u64) -> MessageContext {
    MessageContext::new().with_metadata(HTTP1_STATUS, status)
}

fn sent(framers: &mut Pipeline, body: &str, context: MessageContext) -> Result<String, Failure> {
    let mut wire = WireBuffer::new();
    let message = Message::from(body).with_context(context);
    let framed = framers.frame(message, &mut wire);
    framed.map_err(|error| error.failure)?;
    let bytes: Vec<u8> = wire.iter().flatten().copied().collect();
    Ok(String::from_utf8(bytes).expect("text"))
}

/// A client that waits for responses to these methods.
fn client(methods: &[&'static str]) -> Pipeline {
    let mut framers = one(Http1::client());
    for method in methods {
        sent(&mut framers, "", request(method, HOST)).expect("a request");
    }
    framers
}

/// Everything that `wire` holds, whole, and the failure at its end if there is one.
fn received(framers: &mut Pipeline, wire: &[u8]) -> (Vec<ReceivedMessage>, Option<Failure>) {
    let mut messages = Vec::new();
    let mut buffer = arrived(wire);
    buffer.on_end();
    let end = drain(&mut buffer, framers, Demand::WHOLE, &mut messages);
    (messages, end.err().map(|error| error.failure))
}

fn text<'a>(message: &'a ReceivedMessage, name: &str) -> &'a str {
    let value = message.context.metadata(name);
    let bytes = value.and_then(MetadataValue::as_bytes).unwrap_or_default();
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn requests_and_responses_cross_with_head_and_body() {
    let (mut client, mut server) = (one(Http1::client()), one(Http1::server()));
    let fields = "Host: a\r\nX-Twice: 1\r\nx-twice: 2\r\n";
    let wire = sent(&mut client, "body", request("POST", fields)).expect("a request");
    let expected = format!("POST /x HTTP/1.1\r\n{fields}Content-Length: 4\r\n\r\nbody");
    assert_eq!(wire, expected);
    let (messages, failure) = received(&mut server, wire.as_bytes());
    assert_eq!((bytes_of(&messages), failure), (vec![&b"body"[..]], None));
    assert_eq!(text(&messages[0], HTTP1_METHOD), "POST");
    assert_eq!(text(&messages[0], HTTP1_TARGET), "/x");
    assert!(text(&messages[0], HTTP1_FIELDS).starts_with(fields));

    let context = response(404).with_metadata(HTTP1_REASON, "Not Here");
    let wire = sent(&mut server, "gone", context).expect("a response");
    assert_eq!(
        wire,
        "HTTP/1.1 404 Not Here\r\nContent-Length: 4\r\n\r\ngone"
    );
    let (messages, failure) = received(&mut client, wire.as_bytes());
    assert_eq!((bytes_of(&messages), failure), (vec![&b"gone"[..]], None));
    let status = messages[0].context.metadata(HTTP1_STATUS);
    assert_eq!(status, Some(&MetadataValue::Number(404)));
    assert_eq!(text(&messages[0], HTTP1_REASON), "Not Here");
}

#[test]
fn bodies_end_by_length_by_chunks_with_the_head_or_with_the_stream() {
    let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
        HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n\
        HTTP/1.1 200 \r\ntransfer-encoding: Chunked\r\n\r\n\
        4;x=\"y\"\r\ndefg\r\n1\r\nh\r\n0\r\nT: 1\r\n\r\n\
        HTTP/1.1 200\r\nContent-Length: 999\r\n\r\n\
        HTTP/1.1 304 Not Modified\r\nContent-Length: 999\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.0 200 OK\r\n\r\nto the end";
    let methods = ["GET", "GET", "HEAD", "GET", "GET", "GET"];
    let (messages, failure) = received(&mut client(&methods), wire);
    let expected: [&[u8]; 7] = [b"abc", b"", b"defgh", b"", b"", b"", b"to the end"];
    assert_eq!((bytes_of(&messages), failure), (expected.to_vec(), None));
    assert_eq!(text(&messages[2], HTTP1_TRAILERS), "T: 1\r\n");
    assert!(messages.iter().all(ReceivedMessage::is_complete));
}

#[test]
fn every_split_of_the_input_gives_the_same() {
    let wire = b"\r\nPOST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n10;ext\r\n0123456789abcdef\r\n0\r\n\r\n\
        PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    for split in 0..=wire.len() {
        let mut framers = one(Http1::server());
        let mut messages = Vec::new();
        let mut buffer = arrived(&wire[..split]);
        drain(&mut buffer, &mut framers, Demand::WHOLE, &mut messages).expect("well-formed");
        buffer.prepare_read().extend_from_slice(&wire[split..]);
        let end = drain(&mut buffer, &mut framers, Demand::WHOLE, &mut messages);
        assert!(matches!(end, Ok(Receive::NeedsMore(_))), "{split}: {end:?}");
        let expected: [&[u8]; 2] = [b"abc0123456789abcdef", b"hello"];
        assert_eq!(bytes_of(&messages), expected, "{split}");
    }
}

#[test]
fn one_empty_line_is_skipped_before_each_request_however_it_is_split() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (wire, count, is_refused) in [
        (format!("\r\n{get}\r\n{get}"), 2, false),
        (format!("\r\n\r\n{get}"), 0, true),
        (format!("{get}\r\n\r\n{get}"), 1, true),
    ] {
        for split in 0..=wire.len() {
            let mut framers = one(Http1::server());
            let mut messages = Vec::new();
            let mut buffer = arrived(&wire.as_bytes()[..split]);
            let mut end = drain(&mut buffer, &mut framers, Demand::WHOLE, &mut messages);
            if end.is_ok() {
                buffer
                    .prepare_read()
                    .extend_from_slice(&wire.as_bytes()[split..]);
                end = drain(&mut buffer, &mut framers, Demand::WHOLE, &mut messages);
            }
            let found = (messages.len(), end.is_err());
            assert_eq!(found, (count, is_refused), "{wire:?} at {split}");
        }
    }
}

#[test]
fn requests_beyond_the_limit_are_read_when_responses_leave() {
    let (mut client, mut server) = (one(Http1::client()), one(Http1::server()));
    let mut wire = String::new();
    for _ in 0..128 {
        wire += &sent(&mut client, "", request("GET", HOST)).expect("below the limit");
    }
    sent(&mut client, "", request("GET", HOST)).expect_err("above the limit");
    let last = "PUT /last HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let mut buffer = arrived((wire + last).as_bytes());
    let mut messages = Vec::new();
    for count in [128, 129] {
        let end = drain(&mut buffer, &mut server, Demand::WHOLE, &mut messages);
        assert!(matches!(end, Ok(Receive::NeedsMore(_))), "{end:?}");
        assert_eq!(messages.len(), count);
        let wire = sent(&mut server, "", response(200)).expect("a response");
        assert_eq!(received(&mut client, wire.as_bytes()).0.len(), 1);
    }
    assert_eq!(text(&messages[128], HTTP1_METHOD), "PUT");
    sent(&mut client, "", request("GET", HOST)).expect("below the limit again");
}

#[test]
fn what_follows_connect_is_read_when_its_response_says_what_it_is() {
    let next = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (status, unframed) in [(200, next), (407, "")] {
        let mut server = one(Http1::server());
        let wire = format!("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n{next}");
        let mut buffer = arrived(wire.as_bytes());
        let mut messages = Vec::new();
        drain(&mut buffer, &mut server, Demand::ANY, &mut messages).expect("well-formed");
        assert_eq!(messages.len(), 1);
        sent(&mut server, "", response(status)).expect("a response");
        drain(&mut buffer, &mut server, Demand::ANY, &mut messages).expect("well-formed");
        assert_eq!(bytes_of(&messages), [&b""[..], unframed.as_bytes()]);
    }
}

#[test]
fn what_waits_for_responses_is_bounded() {
    let mut buffer = arrived(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
    buffer.prepare_read().extend_from_slice(&[b'x'; 256 * 1024]);
    let (mut server, mut messages) = (one(Http1::server()), Vec::new());
    let end = drain(&mut buffer, &mut server, Demand::WHOLE, &mut messages);
    assert!(matches!(end, Ok(Receive::NeedsMore(_))), "{end:?}");
    buffer.prepare_read().extend_from_slice(b"x");
    let end = drain(&mut buffer, &mut server, Demand::WHOLE, &mut messages);
    let failure = end.expect_err("too much").failure;
    assert_eq!(failure.kind, FailureKind::LimitReached);
    assert!(failure.detail.contains("no response"), "{failure}");
}

#[test]
fn a_message_that_ends_early_is_never_complete() {
    for wire in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ] {
        let (messages, failure) = received(&mut client(&["GET"]), wire);
        assert!(messages.iter().all(|message| !message.is_end));
        assert_eq!(failure.map(|f| f.kind), Some(FailureKind::Reset));
    }
}

#[test]
fn heads_that_could_be_read_in_two_ways_are_refused() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    for (head, reason) in [
        (
            format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked"),
            "beside",
        ),
        (
            format!("{post}Content-Length: 3\r\nContent-Length: 3"),
            "twice",
        ),
        (format!("{post}Content-Length: 3, 3"), "no number"),
        (format!("{post}Content-Length: +3"), "no number"),
        (format!("{post}Content-Length: 0x3"), "no number"),
        (format!("{post}Content-Length:"), "no number"),
        (
            format!("{post}Content-Length: 18446744073709551616"),
            "no number",
        ),
        (
            format!("{post}Transfer-Encoding: gzip, chunked"),
            "than chunked",
        ),
        (format!("{post}Transfer-Encoding: xchunked"), "than chunked"),
        (
            format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            "than chunked",
        ),
        (format!("{post}Transfer-Encoding : chunked"), "name"),
        (format!("{post}X: a\r\n folded"), "no colon"),
        (format!("{post}X: a\r\n b: c"), "name"),
        (format!("{post}X: a\0b"), "control"),
        (format!("{post}X: a\rb"), "control"),
        (format!("{post}X: a\r"), "control"),
        (format!("{post}X:\ra"), "control"),
        (format!("{post}Content-Length: 3\r"), "control"),
        (format!("{post}Transfer-Encoding:\x0cchunked"), "control"),
        (format!("{post}X: a\nY: b"), "carriage return"),
        (format!("{post}Host: b"), "one Host"),
        ("GET / HTTP/1.1\r\nX: a".to_owned(), "one Host"),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked".to_owned(),
            "HTTP/1.0",
        ),
        ("GET  / HTTP/1.1\r\nHost: a".to_owned(), "request line"),
        ("GET / x HTTP/1.1\r\nHost: a".to_owned(), "request line"),
        ("GET / HTTP/2.0\r\nHost: a".to_owned(), "version"),
        ("G(T / HTTP/1.1\r\nHost: a".to_owned(), "request line"),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a".to_owned(), "empty line"),
    ] {
        let wire = format!("{head}\r\n\r\nabc");
        let (messages, failure) = received(&mut one(Http1::server()), wire.as_bytes());
        assert!(messages.is_empty(), "{head:?}");
        let failure = failure.expect("refused");
        assert_eq!(failure.kind, FailureKind::ProtocolViolation, "{head:?}");
        assert!(failure.detail.contains(reason), "{head:?}: {failure}");
    }
}

#[test]
fn chunks_that_could_be_read_in_two_ways_are_refused() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3 z\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "0\r\nContent-Length: 3\r\n\r\n",
        "0\r\nX: a\nY: b\r\n\r\n",
        "0\r\nX: a\r\r\n\r\n",
        "0\r\nX:\x0ca\r\n\r\n",
    ] {
        let wire = format!("{head}{body}");
        let (messages, failure) = received(&mut one(Http1::server()), wire.as_bytes());
        assert!(messages.iter().all(|message| !message.is_end), "{body:?}");
        let kind = failure.map(|failure| failure.kind);
        assert_eq!(kind, Some(FailureKind::ProtocolViolation), "{body:?}");
    }
}

#[test]
fn responses_that_contradict_their_status_or_come_unasked_are_refused() {
    for (methods, wire) in [
        (&["GET"][..], "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n"),
        (
            &["GET"],
            "HTTP/1.1 100 Go\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (&["GET"], "HTTP/1.1 101 Unasked\r\n\r\nraw"),
        (&["CONNECT"], "HTTP/1.1 101 Unasked\r\n\r\nraw"),
        (&["GET"], "HTTP/1.1 099 No\r\n\r\n"),
        (&["GET"], "HTTP/1.1 20 No\r\n\r\n"),
        (&["GET"], "HTTP/1.1  200 OK\r\n\r\n"),
        (&["GET"], "ICY 200 OK\r\n\r\n"),
        (&[], "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let (messages, failure) = received(&mut client(methods), wire.as_bytes());
        assert!(messages.is_empty(), "{wire:?}");
        let kind = failure.map(|failure| failure.kind);
        assert_eq!(kind, Some(FailureKind::ProtocolViolation), "{wire:?}");
    }
}

#[test]
fn limits_hold_for_heads_fields_bodies_extensions_and_trailers() {
    let server = || Http1::server().max_head(400).max_body(10);
    let start = "POST / HTTP/1.1\r\nHost: a\r\n";
    let chunked = format!("{start}Transfer-Encoding: chunked\r\n\r\n");
    let mut many = start.to_owned();
    many.extend((0..300).map(|_| "a:\r\n"));
    for (framer, wire) in [
        (server(), format!("{start}X: {}", "x".repeat(400))),
        (server(), format!("{start}X: {}\r\n\r\n", "x".repeat(400))),
        (server().max_head(4000), format!("{many}\r\n")),
        (server(), format!("{start}Content-Length: 11\r\n\r\n")),
        (
            server(),
            format!("{start}Content-Length: 1099511627776\r\n\r\n"),
        ),
        (server(), format!("{chunked}6\r\n123456\r\n5\r\n")),
        (server(), format!("{chunked}fffffffffffffff\r\n")),
        (server(), format!("{chunked}1;{}", "x".repeat(5000))),
        (server(), format!("{chunked}1;{}\r\n", "x".repeat(5000))),
        (server(), format!("{chunked}0\r\nX: {}", "x".repeat(400))),
        (
            server(),
            format!("{chunked}0\r\nX: {}\r\n\r\n", "x".repeat(400)),
        ),
        (
            server().max_body(1 << 20),
            format!(
                "{chunked}{}",
                format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(20)
            ),
        ),
    ] {
        let mut buffer = arrived(wire.as_bytes());
        let mut messages = Vec::new();
        let end = drain(&mut buffer, &mut one(framer), Demand::WHOLE, &mut messages);
        let kind = end.map_err(|error| error.failure.kind);
        assert_eq!(kind, Err(FailureKind::LimitReached), "{}", &wire[..60]);
        assert!(messages.is_empty());
    }
}

#[test]
fn a_body_that_ends_with_the_stream_is_bounded_as_it_comes() {
    for (body, expected) in [
        ("1234567890", None),
        ("12345678901", Some(FailureKind::LimitReached)),
    ] {
        for demand in [Demand::WHOLE, Demand::new(1, 4)] {
            let mut framers = one(Http1::client().max_body(10));
            sent(&mut framers, "", request("GET", HOST)).expect("a request");
            let mut buffer = arrived(b"HTTP/1.1 200 OK\r\n\r\n");
            let mut messages = Vec::new();
            // In pieces, so that no single one is above the limit.
            let mut end = Ok(Receive::NeedsMore(1));
            for piece in body.as_bytes().chunks(3) {
                buffer.prepare_read().extend_from_slice(piece);
                end = drain(&mut buffer, &mut framers, demand, &mut messages);
            }
            if end.is_ok() {
                buffer.on_end();
                end = drain(&mut buffer, &mut framers, demand, &mut messages);
            }
            let kind = end.err().map(|error| error.failure.kind);
            assert_eq!(kind, expected, "{body} {demand:?}");
            let bytes: usize = messages.iter().map(|part| part.len()).sum();
            assert!(bytes <= 10);
        }
    }
}

#[test]
fn a_long_body_comes_in_parts_of_one_message_with_its_head() {
    for body in [
        "Content-Length: 9\r\n\r\nabcdefghi",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n4\r\nfghi\r\n0\r\n\r\n",
    ] {
        let wire = format!("HTTP/1.1 200 OK\r\n{body}");
        let mut messages = Vec::new();
        let mut buffer = arrived(wire.as_bytes());
        let demand = Demand::new(1, 4);
        drain(&mut buffer, &mut client(&["GET"]), demand, &mut messages).expect("well-formed");
        let all: Vec<u8> = messages.iter().flat_map(|part| part.to_vec()).collect();
        assert_eq!(all, b"abcdefghi");
        assert!(
            messages
                .iter()
                .all(|part| part.len() <= 4 && part.id() == messages[0].id())
        );
        let ends: Vec<bool> = messages.iter().map(|part| part.is_end).collect();
        assert_eq!(ends.iter().filter(|is_end| **is_end).count(), 1);
        assert!(ends[ends.len() - 1]);
        let status = messages[0].context.metadata(HTTP1_STATUS);
        assert_eq!(status, Some(&MetadataValue::Number(200)));
    }
}

#[test]
fn a_message_in_parts_of_unknown_length_leaves_in_chunks() {
    let mut framers = one(Http1::client());
    let context = request("POST", HOST);
    let mut wire = WireBuffer::new();
    for (data, ends) in [
        ("abc", (true, false)),
        ("", (false, false)),
        ("de", (false, true)),
    ] {
        let part = Outgoing::part(data.into(), &context, ends, None);
        framers.frame_part(part, &mut wire).expect("framed");
    }
    let bytes: Vec<u8> = wire.iter().flatten().copied().collect();
    let expected = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(String::from_utf8(bytes).expect("text"), expected);
}

#[test]
fn what_cannot_be_framed_is_refused_alone() {
    let mut framers = one(Http1::client());
    for context in [
        MessageContext::new(),
        response(200),
        request("G T", HOST),
        request("GET", "Host: a"),
        request("GET", "Host: a\r\n\r\nGET / HTTP/1.1\r\n"),
        request("GET", "Host: a\nX: b\r\n"),
        request("GET", "Host: a\r\nX: b\r\r\n"),
        request("GET", "Host: a\r\nX:\x0cb\r\n"),
        request("GET", "Host: a\r\nContent-Length: 3\r\n"),
        request("GET", "Host: a\r\nTransfer-Encoding: chunked\r\n"),
        request("GET", "X: a\r\n"),
        request("GET", "Host: a\r\nHost: a\r\n"),
    ] {
        let refused = sent(&mut framers, "abc", context.clone()).expect_err("refused");
        assert_eq!(refused.kind, FailureKind::InvalidRequest, "{context:?}");
    }
    sent(&mut framers, "", request("GET", HOST)).expect("the next one is sent");

    let mut server = one(Http1::server());
    let unasked = sent(&mut server, "", response(200)).expect_err("nobody asked");
    assert_eq!(unasked.kind, FailureKind::InvalidRequest);
    let asked = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.0\r\n\r\n";
    assert_eq!(received(&mut server, asked).0.len(), 2);
    sent(&mut server, "abc", response(200)).expect_err("a response to HEAD has no body");
    sent(&mut server, "abc", response(204)).expect_err("204 has no body");
    sent(&mut server, "", response(42)).expect_err("no status code");
    sent(&mut server, "", response(101)).expect_err("nobody asked for another protocol");
    let wire = sent(&mut server, "", response(200)).expect("without a body");
    assert_eq!(wire, "HTTP/1.1 200 \r\n\r\n");
    let context = response(200);
    let part = Outgoing::part("abc".into(), &context, (true, false), None);
    let refused = server.frame_part(part, &mut WireBuffer::new());
    assert!(refused.is_err_and(|error| !error.is_stream_broken));
    let wire = sent(&mut server, "abc", response(200)).expect("of known length");
    assert!(wire.ends_with("Content-Length: 3\r\n\r\nabc"), "{wire}");
}

#[test]
fn bytes_pass_through_after_a_switch_or_a_tunnel() {
    for (method, status) in [("GET", 101), ("CONNECT", 200)] {
        let (mut client, mut server) = (one(Http1::client()), one(Http1::server()));
        let fields = "Host: a\r\nConnection: upgrade\r\nUpgrade: x\r\n";
        let asked = sent(&mut client, "", request(method, fields)).expect("a request");
        assert_eq!(received(&mut server, asked.as_bytes()).0.len(), 1);
        let head = sent(&mut server, "", response(status)).expect("a response");
        let raw = sent(&mut server, "raw", MessageContext::new()).expect("as it is");
        assert_eq!(raw, "raw");
        let mut messages = Vec::new();
        let mut buffer = arrived(format!("{head}{raw}").as_bytes());
        drain(&mut buffer, &mut client, Demand::ANY, &mut messages).expect("well-formed");
        assert_eq!(bytes_of(&messages), [&b""[..], b"raw"]);
        sent(&mut server, "", response(200)).expect_err("no response any more");
        let raw = sent(&mut client, "back", MessageContext::new()).expect("as it is");
        assert_eq!(raw, "back");
    }
}

#[test]
fn a_response_without_its_body_may_tell_the_length_of_that() {
    let told = |status, fields: &'static str| {
        let mut context = response(status);
        context.set_metadata(HTTP1_FIELDS, fields);
        context
    };
    let mut server = one(Http1::server());
    let asked = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\
                  GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(received(&mut server, asked).0.len(), 3);
    for (status, fields) in [
        (200, "Transfer-Encoding: chunked\r\n"),
        (200, "Content-Length: x\r\n"),
        (200, "Content-Length: 7\r\nContent-Length: 7\r\n"),
        (204, "Content-Length: 7\r\n"),
        (103, "Content-Length: 7\r\n"),
    ] {
        sent(&mut server, "", told(status, fields)).expect_err(fields);
    }
    let wire = sent(&mut server, "", told(200, "Content-Length: 7\r\n")).expect("for HEAD");
    assert_eq!(wire, "HTTP/1.1 200 \r\nContent-Length: 7\r\n\r\n");
    sent(&mut server, "", told(200, "Content-Length: 7\r\n")).expect_err("the framer's to say");
    let wire = sent(&mut server, "", told(304, "Content-Length: 7\r\n")).expect("of 304");
    assert_eq!(wire, "HTTP/1.1 304 \r\nContent-Length: 7\r\n\r\n");
    let wire = sent(&mut server, "abc", response(200)).expect("the next one");
    assert!(wire.ends_with("Content-Length: 3\r\n\r\nabc"), "{wire}");
    let mut client = one(Http1::client());
    let request = request("HEAD", "Host: a\r\nContent-Length: 7\r\n");
    sent(&mut client, "", request).expect_err("a request has its own body");
}
