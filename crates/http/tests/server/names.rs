//! For whom requests are: names that are missing, said twice, or another server's.

use crate::net::{END_HEADERS, END_STREAM, HEADERS, Net};
use portway_http::server::Server;

/// The start of an HTTP/2 answer's block: a reference to the static table, or a literal with the
/// indexed name :status and the code of Huffman.
fn status_block(status: u16) -> &'static [u8] {
    match status {
        200 => &[0x88],
        400 => &[0x8c],
        421 => &[0x48, 0x82, 0x68, 0x41],
        _ => unreachable!("no row has {status}"),
    }
}

/// A GET of HTTP/2 with such fields, as literals whose names are in HPACK's static table.
fn block(authority: Option<&str>, host: Option<&str>) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84];
    // 1 is :authority and 38 is host; literals that are not kept.
    for (name, value) in [(&[0x01][..], authority), (&[0x0f, 38 - 15], host)] {
        if let Some(value) = value {
            block.extend_from_slice(name);
            block.push(value.len() as u8);
            block.extend_from_slice(value.as_bytes());
        }
    }
    block
}

#[test]
fn a_request_names_one_host() {
    let rows = [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n", 400),
    ];
    // Among many fields they are found in another way.
    let many = "x: y\r\n".repeat(20);
    let rows = rows.into_iter().flat_map(|(request, status)| {
        let (head, _) = request.rsplit_once("\r\n").expect("an empty line");
        [
            (request.to_owned(), status),
            (format!("{head}{many}\r\n"), status),
        ]
    });
    for (request, status) in rows {
        let request = request.as_str();
        Net::run(std::convert::identity, async |net| {
            let mut wire = net.connect().await;
            let answer = wire.ask(request).await.expect("an answer");
            assert_eq!(answer.status, status, "{request:?}");
        });
    }
}

#[test]
fn names_that_are_not_served_are_misdirected() {
    let named = |server: Server| server.names(["one.example", "*.two.example", "::1", "10.0.0.2"]);
    let rows = [
        ("/", "one.example", 200),
        ("/", "ONE.example.:443", 200),
        ("/", "a.two.example", 200),
        ("/", "[::1]:80", 200),
        ("/", "10.0.0.2:443", 200),
        ("/", "two.example", 421),
        ("/", "a.b.two.example", 421),
        ("/", "three.example", 421),
        ("/", "a b", 400),
        ("/", "", 400),
        // RFC 9112 §3.2.2: the target counts, whatever the field says.
        ("http://one.example/", "three.example", 200),
        ("http://three.example/", "one.example", 421),
    ];
    Net::run(named, async |net| {
        let mut wire = net.connect().await;
        for (target, host, status) in rows {
            let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
            let answer = wire.ask(&request).await.expect("an answer");
            assert_eq!(answer.status, status, "{target} {host}");
        }
        let answer = wire.ask("GET / HTTP/1.0\r\n\r\n").await.expect("an answer");
        assert_eq!(answer.status, 200, "HTTP/1.0 has no names");
    });
}

#[test]
fn requests_of_http2_name_one_host_too() {
    let rows = [
        // The authority, the Host field, without names, with them.
        (Some("one.example"), None, 200, 200),
        (Some("three.example"), None, 200, 421),
        (None, Some("one.example"), 200, 200),
        (None, Some("three.example"), 200, 421),
        (None, Some("a b"), 400, 400),
        (None, Some("user@one.example"), 400, 400),
        (None, Some(""), 400, 400),
        (None, None, 400, 400),
        // RFC 9113 §8.3.1: they name the same, or it is malformed.
        (Some("one.example"), Some("one.example"), 200, 200),
        (Some("one.example"), Some("ONE.example:80"), 200, 200),
        (Some("one.example"), Some("one.example:81"), 400, 400),
        (Some("one.example"), Some("three.example"), 400, 400),
        (Some("three.example"), Some("one.example"), 400, 400),
        (Some("one.example"), Some(""), 400, 400),
    ];
    for is_named in [false, true] {
        let change = |server: Server| match is_named {
            true => server.names(["one.example"]),
            false => server,
        };
        Net::run(change, async |net| {
            for (authority, host, without, with) in rows {
                let mut http2 = net.connect().await.http2().await;
                let block = block(authority, host);
                let flags = END_HEADERS | END_STREAM;
                http2.send(HEADERS, flags, 1, &block).await;
                let answer = http2.next_of(HEADERS).await.expect("an answer");
                let expected = status_block(if is_named { with } else { without });
                let told = (authority, host, is_named, &answer.payload);
                assert!(answer.payload.starts_with(expected), "{told:x?}");
            }
        });
    }
}

#[test]
fn the_service_sees_the_host_that_the_target_names() {
    let named = |server: Server| server.names(["one.example"]);
    let rows = [
        ("http://one.example/host", "three.example", "one.example"),
        (
            "http://one.example:81/host",
            "one.example",
            "one.example:81",
        ),
        (
            "http://user@one.example/host",
            "three.example",
            "one.example",
        ),
        ("http://one.example/host", "", "one.example"),
        ("/host", "ONE.example", "ONE.example"),
    ];
    Net::run(named, async |net| {
        let mut wire = net.connect().await;
        for (target, host, expected) in rows {
            let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
            let answer = wire.ask(&request).await.expect("an answer");
            let seen = String::from_utf8_lossy(&answer.body);
            assert_eq!((answer.status, &*seen), (200, expected), "{target} {host}");
        }
    });
}

#[test]
fn names_are_compared_without_brackets_and_ports() {
    let names = [
        "[::1]",
        "a.example:8443",
        "[2001:DB8::0:2]:443",
        "B.example.",
    ];
    let rows = [
        ("[::1]", 200),
        ("[0:0::1]:80", 200),
        ("[2001:db8::2]", 200),
        ("a.example", 200),
        ("A.example:443", 200),
        ("b.example:1", 200),
        ("[::2]", 421),
        ("c.example", 421),
    ];
    Net::run(
        |server| server.names(names),
        async |net| {
            let mut wire = net.connect().await;
            for (host, status) in rows {
                let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
                let answer = wire.ask(&request).await.expect("an answer");
                assert_eq!(answer.status, status, "{host}");
            }
        },
    );
}
