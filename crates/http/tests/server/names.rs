//! For whom requests are: names that are missing, said twice, or another server's.

use crate::net::Net;
use portway_http::server::Server;

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
    for (request, status) in rows {
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
    Net::run(named, async |net| {
        let mut http2 = net.connect().await.http2().await;
        // Its :authority is "a".
        http2.get(1, "/").await;
        let answer = http2.next_of(crate::net::HEADERS).await.expect("an answer");
        // HPACK: a literal with the indexed name :status, and "421" in the code of Huffman.
        let status = [0x48, 0x82, 0x68, 0x41];
        assert!(answer.payload.starts_with(&status), "{answer:?}");
    });
}
