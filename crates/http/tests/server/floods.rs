//! Clients that do much which leads nowhere: each ends with its reason, and costs nobody else.

use crate::net::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Net, PING, RST_STREAM, SETTINGS,
    block,
};
use portway_http::server::{End, Flood, Server};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn limited(server: Server) -> Server {
    server.limits(|limits| limits.glitch_burst = 100)
}

/// Runs a flood of HTTP/2 until the server ends it, while another client is served.
fn flood(expected: Flood, send: impl AsyncFn(&mut Http2, u32) -> bool) {
    Net::run(limited, async |net| {
        let mut other = net.connect().await;
        let mut flooding = net.connect().await.http2().await;
        let mut sent = 0;
        while sent < 10_000 && send(&mut flooding, sent).await {
            sent += 1;
            if sent % 50 == 0 {
                assert_eq!(other.ask(GET).await.expect("an answer").status, 200);
            }
        }
        let ends = net.ended(1).await;
        assert_eq!(ends[0], End::Flood(expected));
        assert!(sent < 1000, "{sent}");
        assert_eq!(other.ask(GET).await.expect("an answer").status, 200);
        assert_eq!(net.serving.requests(), 0);
    });
}

#[test]
fn rapid_resets_end_the_connection() {
    flood(Flood::Resets, async |http2, count| {
        let stream = 2 * count + 1;
        http2.get(stream, "/hold").await && http2.send(RST_STREAM, 0, stream, &[0, 0, 0, 8]).await
    });
}

#[test]
fn pings_end_the_connection() {
    flood(Flood::Pings, async |http2, _| {
        http2.send(PING, 0, 0, &[7; 8]).await
    });
}

#[test]
fn settings_end_the_connection() {
    flood(Flood::Settings, async |http2, _| {
        http2.send(SETTINGS, 0, 0, &[]).await
    });
}

#[test]
fn empty_content_ends_the_connection() {
    flood(Flood::EmptyData, async |http2, count| {
        if count == 0 {
            http2.send(HEADERS, END_HEADERS, 1, &block("/hold")).await;
        }
        http2.send(DATA, 0, 1, &[]).await
    });
}

#[test]
fn continuations_of_a_head_end_the_connection() {
    flood(Flood::Continuations, async |http2, count| {
        if count == 0 {
            http2.send(HEADERS, END_STREAM, 1, &block("/")).await;
        }
        http2.send(CONTINUATION, 0, 1, &[]).await
    });
}

#[test]
fn unknown_frames_end_the_connection() {
    flood(Flood::Others, async |http2, _| {
        http2.send(0xbb, 0, 0, b"x").await
    });
}

#[test]
fn extensions_of_chunks_are_bounded() {
    Net::run(limited, async |net| {
        let mut other = net.connect().await;
        let mut flooding = net.connect().await;
        let head = b"POST /length HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(flooding.send(head).await);
        let chunk = format!("1;{}\r\nx\r\n", "e".repeat(1000));
        let mut sent = 0;
        while sent < 1000 && flooding.send(chunk.as_bytes()).await {
            sent += 1;
        }
        let answer = flooding.answer().await;
        assert!(answer.is_none_or(|answer| answer.status == 400));
        net.ended(1).await;
        assert!(sent < 1000, "{sent}");
        assert_eq!(other.ask(GET).await.expect("an answer").status, 200);
    });
}

/// What hyper decides about requests that two readers may understand in two ways. A refusal is
/// right; what is taken must be read in the one way that RFC 9112 names.
#[test]
fn smuggling_shapes_have_the_outcomes_that_are_written_here() {
    let rows = [
        // RFC 9112 §6.3: Transfer-Encoding counts, and the connection ends after it.
        (
            "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            200,
        ),
        ("content-length: 4\r\ncontent-length: 5\r\n\r\nabcde", 400),
        ("content-length: 4\r\ncontent-length: 4\r\n\r\nabcd", 200),
        ("content-length: 4, 4\r\n\r\nabcd", 400),
        ("content-length: +4\r\n\r\nabcd", 400),
        ("content-length: 0x4\r\n\r\nabcd", 400),
        ("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        ("transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        // RFC 9112 §5.2: obs-fold.
        ("x: a\r\n b\r\ncontent-length: 0\r\n\r\n", 400),
        // RFC 9112 §5.1: no space before the colon.
        ("content-length : 4\r\n\r\nabcd", 400),
        // RFC 9112 §2.2: a bare LF may end a line.
        ("content-length: 4\n\nabcd", 200),
        ("x: a\rb\r\ncontent-length: 0\r\n\r\n", 400),
        ("x: a\0b\r\ncontent-length: 0\r\n\r\n", 400),
        // RFC 9112 §7.1: sizes of chunks.
        ("transfer-encoding: chunked\r\n\r\n-1\r\n\r\n", 400),
        (
            "transfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            400,
        ),
        (
            "transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            400,
        ),
        (
            "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n",
            400,
        ),
    ];
    let mut wrong = Vec::new();
    for (rest, expected) in rows {
        Net::run(limited, async |net| {
            let mut wire = net.connect().await;
            let request = format!("POST /length HTTP/1.1\r\nhost: a\r\n{rest}");
            let status = wire.ask(&request).await.map(|answer| answer.status);
            // What was refused is not followed by anything on its connection.
            let is_over = status == Some(200) || wire.answer().await.is_none();
            if status != Some(expected) || !is_over {
                wrong.push((rest, status, is_over));
            }
        });
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
