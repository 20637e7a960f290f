//! Every bound, hit; whoever keeps within is served meanwhile.

use crate::net::{END_HEADERS, HEADERS, Net, SETTINGS, block};
use crate::support::identity;
use portway_http::server::{End, Server};
use portway_transport::environment::Environment;
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn same(server: Server) -> Server {
    server
}

#[test]
fn a_head_that_does_not_end_in_time_ends_its_connection() {
    Net::run(same, async |net| {
        let mut slow = net.connect().await;
        let mut fine = net.connect().await;
        assert_eq!(fine.ask(GET).await.expect("an answer").status, 200);
        let start = net.client.now();
        assert!(slow.send(b"GET / HTTP/1.1\r\n").await);
        // A byte now and then does not help.
        for _ in 0..5 {
            net.sleep(seconds(5)).await;
            assert!(slow.send(b"x").await);
        }
        assert_eq!(fine.ask(GET).await.expect("an answer").status, 200);
        assert!(slow.answer().await.is_none());
        assert!((seconds(30)..seconds(31)).contains(&net.since(start)));
        assert_eq!(net.ended(1).await, [End::SlowHead]);
        assert_eq!(fine.ask(GET).await.expect("an answer").status, 200);
    });
}

#[test]
fn a_head_of_http2_that_does_not_end_in_time_ends_its_connection() {
    Net::run(same, async |net| {
        let mut slow = net.connect().await.http2().await;
        slow.get(1, "/").await;
        assert!(slow.next_of(HEADERS).await.is_some());
        let start = net.client.now();
        slow.send(HEADERS, 0, 3, &block("/")).await;
        while slow.next().await.is_some() {}
        assert!((seconds(29)..seconds(31)).contains(&net.since(start)));
        assert_eq!(net.ended(1).await, [End::SlowHead]);
    });
}

#[test]
fn a_connection_without_requests_ends_after_the_idle_time() {
    Net::run(same, async |net| {
        let start = net.client.now();
        let mut idle = net.connect().await;
        let mut idle2 = net.connect().await.http2().await;
        assert_eq!(idle.ask(GET).await.expect("an answer").status, 200);
        idle2.get(1, "/").await;
        net.sleep(seconds(60)).await;
        // Another request starts the time anew.
        assert_eq!(idle.ask(GET).await.expect("an answer").status, 200);
        assert!(idle2.next_of(crate::net::GOAWAY).await.is_some());
        while idle2.next().await.is_some() {}
        assert!((seconds(75)..seconds(85)).contains(&net.since(start)));
        assert!(idle.answer().await.is_none());
        assert!((seconds(135)..seconds(145)).contains(&net.since(start)));
        assert_eq!(net.ended(2).await, [End::Idle, End::Idle]);
    });
}

#[test]
fn who_says_nothing_at_all_is_sent_away() {
    Net::run(same, async |net| {
        let start = net.client.now();
        let mut silent = net.connect().await;
        assert!(silent.rest().await.is_empty());
        assert!((seconds(10)..seconds(11)).contains(&net.since(start)));
        assert!(
            net.failures()[0].contains("in time"),
            "{:?}",
            net.failures()
        );
    });
    Net::run(
        |server| server.identities(identity()),
        async |net| {
            let start = net.client.now();
            let mut silent = net.connect().await;
            assert!(silent.send(&[22, 3, 1, 0]).await);
            silent.rest().await;
            assert!((seconds(10)..seconds(11)).contains(&net.since(start)));
            assert!(
                net.failures()[0].contains("in time"),
                "{:?}",
                net.failures()
            );
        },
    );
}

#[test]
fn content_that_stops_coming_fails_its_request() {
    Net::run(same, async |net| {
        let start = net.client.now();
        let mut slow = net.connect().await;
        let head = "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc";
        let answer = slow.ask(head).await.expect("an answer");
        assert_eq!(answer.status, 400, "axum says so when a body fails");
        assert!((seconds(30)..seconds(31)).contains(&net.since(start)));
    });
}

#[test]
fn content_that_is_too_long_is_refused_or_fails() {
    let limited = |server: Server| server.limits(|limits| limits.body_bytes_max = 8);
    Net::run(limited, async |net| {
        for (length, status) in [(8, 200), (9, 413)] {
            let mut wire = net.connect().await;
            let content = "x".repeat(length);
            let request = format!(
                "POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{content}"
            );
            let answer = wire.ask(&request).await.expect("an answer");
            assert_eq!(answer.status, status);
        }
        let mut wire = net.connect().await;
        let chunked = "POST /length HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                       5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n";
        let answer = wire.ask(chunked).await.expect("an answer");
        assert_eq!(answer.status, 400, "axum says so when a body fails");
    });
}

#[test]
fn heads_that_are_too_long_are_answered_with_431() {
    let limited = |server: Server| server.limits(|limits| limits.fields_max = 10);
    Net::run(limited, async |net| {
        let long = format!(
            "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
            "y".repeat(20_000)
        );
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(10));
        let enough = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(9));
        for (request, status) in [(long, 431), (many, 431), (enough, 200)] {
            let mut wire = net.connect().await;
            let answer = wire.ask(&request).await.expect("an answer");
            assert_eq!(answer.status, status);
        }
        let mut http2 = net.connect().await.http2().await;
        let mut fields = block("/");
        for _ in 0..11 {
            fields.extend_from_slice(&[0, 1, b'x', 1, b'y']);
        }
        http2.send(HEADERS, END_HEADERS | 1, 1, &fields).await;
        let answer = http2.next_of(HEADERS).await.expect("an answer");
        // HPACK: a literal with the indexed name :status, and "431" in the code of Huffman.
        let status = [0x48, 0x83, 0x69, 0x90, 0xff];
        assert!(answer.payload.starts_with(&status), "{answer:?}");
        http2.get(3, "/").await;
        let answer = http2.next_of(HEADERS).await.expect("an answer");
        assert_eq!(answer.payload[0], 0x88, "200 by its index");
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    Net::run(same, async |net| {
        let start = net.client.now();
        let mut deaf = net.connect().await;
        assert!(deaf.send(b"GET /whole HTTP/1.1\r\nhost: a\r\n\r\n").await);
        let mut deaf2 = net.connect().await.http2().await;
        deaf2.get(1, "/large").await;
        let ends = net.ended(2).await;
        assert_eq!(ends, [End::Unread, End::Unread]);
        // The last bytes that fit into the client's window are counted as taken.
        assert!((seconds(120)..seconds(180)).contains(&net.since(start)));
        drop((deaf, deaf2));
    });
}

#[test]
fn connections_beyond_the_limit_wait_and_are_not_lost() {
    let limited = |server: Server| server.limits(|limits| limits.connections_max = 2);
    Net::run(limited, async |net| {
        let (mut one, mut two) = (net.connect().await, net.connect().await);
        assert_eq!(one.ask(GET).await.expect("an answer").status, 200);
        assert_eq!(two.ask(GET).await.expect("an answer").status, 200);
        let mut three = net.connect().await;
        assert!(three.send(GET.as_bytes()).await);
        net.sleep(seconds(5)).await;
        assert_eq!(net.serving.connections(), 2);
        drop(one);
        assert_eq!(three.answer().await.expect("an answer").status, 200);
        assert!((seconds(5)..seconds(6)).contains(&net.since(portway_core::Time::ZERO)));
    });
}

#[test]
fn a_lack_of_descriptors_passes() {
    Net::run(same, async |net| {
        let mut one = net.connect().await;
        assert_eq!(one.ask(GET).await.expect("an answer").status, 200);
        net.host.set_descriptors_max(Some(2));
        let mut two = net.connect().await;
        assert!(two.send(GET.as_bytes()).await);
        net.sleep(seconds(10)).await;
        let failures = net.failures();
        assert!(failures[0].starts_with("accept: "), "{failures:?}");
        assert!(failures.len() < 30, "it does not spin: {}", failures.len());
        assert_eq!(one.ask(GET).await.expect("an answer").status, 200);
        net.host.set_descriptors_max(None);
        assert_eq!(two.answer().await.expect("an answer").status, 200);
    });
}

#[test]
fn streams_of_http2_are_as_many_as_was_said() {
    let limited = |server: Server| server.limits(|limits| limits.streams_max = 3);
    Net::run(limited, async |net| {
        let mut http2 = net.connect().await.http2().await;
        let settings = http2.next_of(SETTINGS).await.expect("settings");
        // RFC 9113 §6.5.2: SETTINGS_MAX_CONCURRENT_STREAMS is 3.
        let said = settings
            .payload
            .chunks(6)
            .any(|it| *it == [0, 3, 0, 0, 0, 3]);
        assert!(said, "{settings:?}");
        for stream in [1, 3, 5, 7] {
            http2.get(stream, "/hold").await;
        }
        let refused = http2
            .next_of(crate::net::RST_STREAM)
            .await
            .expect("a refusal");
        assert_eq!(
            (refused.stream, &refused.payload[..]),
            (7, &[0, 0, 0, 7][..])
        );
        assert_eq!(net.serving.requests(), 3);
        net.app.release.notify_waiters();
        for _ in 0..3 {
            let answer = http2.next_of(HEADERS).await.expect("an answer");
            assert!([1, 3, 5].contains(&answer.stream));
        }
    });
}
