//! Requests of one connection of HTTP/2, beside each other.
//!
//! Invariant: time is virtual, so a handler that is held is held for as long as the test wants.

use super::net::{END_HEADERS, END_STREAM, HEADERS, Http2, Net, RST_STREAM, block, frame};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Asks for a path so often in one write, so that the server reads all of it at once.
async fn ask_together(http2: &mut Http2, count: u32, path: &str) {
    let flags = END_HEADERS | END_STREAM;
    let requests = (0..count).map(|index| frame(HEADERS, flags, 2 * index + 1, &block(path)));
    let requests: Vec<u8> = requests.flatten().collect();
    assert!(http2.wire.send(&requests).await);
}

#[test]
fn others_have_their_turn_between_many_requests_of_one_connection() {
    Net::run(
        |server| server,
        async |net| {
            let mut http2 = net.connect().await.http2().await;
            ask_together(&mut http2, 64, "/hold").await;
            // This has its turn when the first handler was called.
            net.app.held.notified().await;
            let calls = net.app.calls.load(Ordering::Relaxed);
            assert!(calls <= 16, "{calls} came first");
            while net.app.calls.load(Ordering::Relaxed) < 64 {
                net.app.held.notified().await;
            }
        },
    );
}

#[test]
fn requests_that_wait_for_their_turn_end_with_their_connection() {
    Net::run(
        |server| server,
        async |net| {
            let mut http2 = net.connect().await.http2().await;
            ask_together(&mut http2, 64, "/hold").await;
            net.app.held.notified().await;
            // It ends when every connection has given its place back.
            let left = net.serving.drain(Duration::ZERO).await;
            assert_eq!(left.connections, 1);
            let calls = net.app.calls.load(Ordering::Relaxed);
            assert!(calls < 64, "none of {calls} had to wait");
        },
    );
}

#[test]
fn many_requests_that_come_together_are_all_answered() {
    Net::run(
        |server| server,
        async |net| {
            let mut http2 = net.connect().await.http2().await;
            ask_together(&mut http2, 100, "/").await;
            let mut answered = Vec::new();
            while answered.len() < 100 {
                let head = http2.next_of(HEADERS).await.expect("an answer");
                answered.push(head.stream);
            }
            answered.sort_unstable();
            assert!(answered.into_iter().eq((0..100).map(|index| 2 * index + 1)));
        },
    );
}

#[test]
fn a_handler_that_panics_fails_its_request_and_no_other() {
    Net::run(
        |server| server,
        async |net| {
            let mut http2 = net.connect().await.http2().await;
            http2.get(1, "/hold").await;
            net.app.held.notified().await;
            http2.get(3, "/fault").await;
            let reset = http2.next_of(RST_STREAM).await.expect("nobody answers it");
            assert_eq!(reset.stream, 3);
            http2.get(5, "/").await;
            let answer = http2.next_of(HEADERS).await.expect("an answer");
            assert_eq!(answer.stream, 5);
            net.app.release.notify_one();
            let answer = http2.next_of(HEADERS).await.expect("an answer");
            assert_eq!(answer.stream, 1);
        },
    );
}
