//! Responses that are dropped before their end: their connection is used again where the rest is
//! short, and closed where it is long.

use super::server::{head, say};
use super::{Net, config, timeouts};
use std::time::Duration;

/// How content says its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Length,
    OneChunk,
    /// A chunk for each byte.
    Chunks,
}

/// What a client reads unless it is told otherwise.
const DRAIN_MAX: u64 = 1024 * 1024;

const MODES: [Mode; 3] = [Mode::Length, Mode::OneChunk, Mode::Chunks];

fn response(mode: Mode, size: usize) -> Vec<u8> {
    let content = "a".repeat(size);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let text = match mode {
        Mode::Length => format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n{content}"),
        _ if size == 0 => format!("{chunked}0\r\n\r\n"),
        Mode::OneChunk => format!("{chunked}{size:x}\r\n{content}\r\n0\r\n\r\n"),
        Mode::Chunks => format!("{chunked}{}0\r\n\r\n", "1\r\na\r\n".repeat(size)),
    };
    text.into_bytes()
}

/// Drops a response of this size when so much was read, and gets it whole then: over how many
/// connections.
async fn connections(net: &Net, mode: Mode, size: usize, read: usize, most: u64) -> usize {
    let server = net.serve(move |_, mut pipe| async move {
        while head(&mut pipe).await.is_some() && say(&mut pipe, response(mode, size)).await {}
    });
    let alone = config(|config| config.connections_per_key_max = 1);
    // So that the size alone decides.
    let patient = timeouts(|limits| limits.drain = None);
    let builder = net.client().pool(alone).timeouts(patient);
    let client = builder.drain_max(most).build();
    let url = server.url("http");
    let mut first = client.get(&url).send().await.expect("an answer");
    let mut seen = 0;
    while seen < read {
        let piece = first
            .chunk()
            .await
            .expect("it comes")
            .expect("there is more");
        seen += piece.len();
    }
    drop(first);
    let second = client.get(&url).send().await.expect("an answer");
    assert_eq!(second.bytes().await.expect("whole").len(), size);
    server.accepted()
}

#[test]
fn a_short_rest_is_read_and_the_connection_used_again() {
    let sizes = [
        (0, 0),
        (1, 0),
        (2, 1),
        (10, 1),
        (100, 10),
        (1000, 950),
        (10_000, 9500),
        (100_000, 1),
    ];
    for mode in MODES {
        for (size, read) in sizes {
            Net::run(async |net| {
                let count = connections(net, mode, size, read, DRAIN_MAX).await;
                assert_eq!(count, 1, "{mode:?} {size} {read}");
            });
        }
    }
    for (mode, size) in [
        (Mode::Length, 800_000),
        (Mode::OneChunk, 800_000),
        (Mode::Length, 1024 * 1024),
    ] {
        Net::run(async |net| {
            let count = connections(net, mode, size, 1, DRAIN_MAX).await;
            assert_eq!(count, 1, "{mode:?} {size}");
        });
    }
}

#[test]
fn a_long_rest_costs_the_connection() {
    for mode in MODES {
        // A twentieth of everything: a chunk for each byte is long.
        for (size, read) in [(100_000, 0), (200_000, 50_000)] {
            Net::run(async |net| {
                let count = connections(net, mode, size, read, DRAIN_MAX / 20).await;
                assert_eq!(count, 2, "{mode:?} {size} {read}");
            });
        }
    }
}

#[test]
fn a_rest_that_does_not_come_is_waited_for_as_long_as_was_said() {
    Net::run(async |net| {
        let server = net.serve(|_, mut pipe| async move {
            if head(&mut pipe).await.is_some() {
                say(
                    &mut pipe,
                    "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart",
                )
                .await;
                super::server::gone(&mut pipe).await;
            }
        });
        let limits = timeouts(|limits| limits.drain = Some(Duration::from_secs(2)));
        let alone = config(|config| config.connections_per_key_max = 1);
        let client = net.client().pool(alone).timeouts(limits).build();
        let first = client.get(server.url("http")).send().await;
        drop(first.expect("an answer"));
        let (second, took) = net.timed(client.get(server.url("http")).send()).await;
        drop(second.expect("an answer"));
        assert_eq!(took, Duration::from_secs(2) + 2 * super::ROUND_TRIP);
        assert_eq!(server.accepted(), 2);
    });
}
