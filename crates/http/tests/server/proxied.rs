//! What stands between client and server: proxies that say who the client is, and early data.

use crate::net::{Net, ip};
use portway_http::server::Server;

const GET: &str = "GET /peer HTTP/1.1\r\nhost: a\r\n\r\n";

fn trusting(server: Server) -> Server {
    server.trusted_proxies(|address| address == ip("10.0.0.1"))
}

#[test]
fn a_trusted_proxy_says_who_the_client_is() {
    let binary = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..],
        &[1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187],
    ];
    let headers = [
        b"PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n".to_vec(),
        binary.concat(),
    ];
    for header in headers {
        Net::run(trusting, async |net| {
            let mut wire = net.connect().await;
            assert!(wire.send(&header).await);
            let answer = wire.ask(GET).await.expect("an answer");
            let said = String::from_utf8(answer.body).expect("text");
            assert_eq!(said, "1.2.3.4:80 5.6.7.8:443 by 10.0.0.1");
        });
    }
    Net::run(trusting, async |net| {
        let mut wire = net.connect().await;
        assert!(wire.send(b"PROXY UNKNOWN\r\n").await);
        let answer = wire.ask(GET).await.expect("an answer");
        assert!(answer.body.starts_with(b"10.0.0.1:"), "{answer:?}");
    });
}

#[test]
fn a_trusted_proxy_that_says_nothing_is_not_served() {
    Net::run(trusting, async |net| {
        let mut wire = net.connect().await;
        assert!(wire.ask(GET).await.is_none());
        assert!(net.failures()[0].contains("PROXY"), "{:?}", net.failures());
    });
}

#[test]
fn nobody_else_is_believed() {
    let others = |server: Server| server.trusted_proxies(|address| address == ip("10.0.0.9"));
    Net::run(others, async |net| {
        let mut wire = net.connect().await;
        assert!(wire.send(b"PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n").await);
        let answer = wire.ask(GET).await.expect("an answer");
        assert_eq!(answer.status, 400, "it is no request of HTTP");
        let mut wire = net.connect().await;
        let answer = wire.ask(GET).await.expect("an answer");
        assert!(answer.body.starts_with(b"10.0.0.1:"), "{answer:?}");
    });
}

#[test]
fn what_may_have_been_sent_twice_is_not_done_twice() {
    // RFC 8470 §5.1: an intermediary says so by a field.
    let ask = |method: &str| {
        format!("{method} / HTTP/1.1\r\nhost: a\r\nearly-data: 1\r\ncontent-length: 0\r\n\r\n")
    };
    Net::run(std::convert::identity, async |net| {
        let mut wire = net.connect().await;
        for (method, status) in [("GET", 200), ("POST", 425)] {
            let answer = wire.ask(&ask(method)).await.expect("an answer");
            assert_eq!(answer.status, status, "{method}");
        }
    });
    let opted_in = |server: Server| server.early_data_for(|request| request.uri.path() == "/");
    Net::run(opted_in, async |net| {
        let mut wire = net.connect().await;
        let answer = wire.ask(&ask("POST")).await.expect("an answer");
        assert_eq!(answer.status, 200);
    });
}
