//! What clients make a server hold does not grow with how long they go on, nor with time.

use crate::heap::{buffers, live};
use crate::net::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Net, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, Wire, block,
};
use portway_http::server::Server;
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Sends a flood that no budget ends, in portions that the server has read, and compares what is
/// held after one tenth with what is held at the end.
fn is_flat(send: impl AsyncFn(&mut Http2, u32)) {
    let unlimited = |server: Server| server.limits(|limits| limits.glitch_burst = u32::MAX);
    Net::run(unlimited, async |net| {
        let mut flooding = net.connect().await.http2().await;
        let mut early = 0;
        for count in 0..FRAMES {
            send(&mut flooding, count).await;
            if count % PORTION == PORTION - 1 {
                flooding.send(PING, 0, 0, MARK).await;
                while flooding.next_of(PING).await.expect("an answer").payload != MARK {}
            }
            if count == FRAMES / 10 {
                net.sim.clear_wire_log();
                early = live();
            }
        }
        net.sim.clear_wire_log();
        let grown = live() - early;
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more are held");
        let mut other = net.connect().await;
        assert_eq!(other.ask(GET).await.expect("an answer").status, 200);
    });
}

#[test]
fn pings_and_settings_hold_nothing() {
    is_flat(async |http2, _| {
        http2.send(PING, 0, 0, &[7; 8]).await;
    });
    is_flat(async |http2, _| {
        http2.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).await;
    });
}

#[test]
fn frames_that_mean_nothing_hold_nothing() {
    is_flat(async |http2, _| {
        http2.send(0xbb, 0, 0, b"x").await;
    });
    is_flat(async |http2, _| {
        http2.send(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).await;
    });
}

#[test]
fn requests_that_are_reset_hold_nothing() {
    is_flat(async |http2, count| {
        let stream = 2 * count + 1;
        http2.get(stream, "/hold").await;
        http2.send(RST_STREAM, 0, stream, &[0, 0, 0, 8]).await;
    });
}

#[test]
fn requests_of_a_connection_that_are_answered_at_once_are_read_into_one_buffer() {
    Net::run(
        |server| server,
        async |net| {
            let mut wire = net.connect().await;
            assert_eq!(wire.ask(GET).await.expect("an answer").status, 200);
            let early = buffers();
            for _ in 0..100 {
                assert_eq!(wire.ask(GET).await.expect("an answer").status, 200);
            }
            assert_eq!(buffers() - early, 0, "more were taken");
        },
    );
}

/// Floods that a server ends, from one client after the other: what is held at the worst moment of
/// each, and whether anything is left of them.
fn ends_within(bytes_max: isize, send: impl AsyncFn(&mut Http2, u32) -> bool) {
    let unlimited = |server: Server| server.limits(|limits| limits.glitch_burst = u32::MAX);
    Net::run(unlimited, async |net| {
        let mut early = 0;
        for client in 0..FLOODS {
            net.sim.clear_wire_log();
            let before = live();
            let mut flooding = net.connect().await.http2().await;
            let (mut sent, mut worst) = (0, 0);
            while sent < FRAMES && send(&mut flooding, sent).await {
                sent += 1;
                // The server reads it first.
                net.sleep(Duration::from_millis(1)).await;
                net.sim.clear_wire_log();
                worst = worst.max(live() - before);
            }
            assert!(sent < FRAMES, "it was ended");
            assert!(worst < bytes_max, "{worst} bytes are held");
            drop(flooding);
            net.ended(client + 1).await;
            net.sim.clear_wire_log();
            if client == FLOODS / 10 {
                early = live();
            }
        }
        let grown = live() - early;
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more are held");
    });
}

#[test]
fn a_head_that_goes_on_and_on_is_held_as_far_as_heads_may_be() {
    ends_within(HEAD_BYTES_MAX, async |http2, count| {
        // Literals of 127 bytes that enter no table, as large as a frame may be.
        let field = [&[0, 1, b'x', 124][..], &[b'y'; 124]].concat();
        match count {
            0 => http2.send(HEADERS, END_STREAM, 1, &block("/")).await,
            _ => http2.send(CONTINUATION, 0, 1, &field.repeat(128)).await,
        }
    });
}

#[test]
fn content_without_content_holds_nothing() {
    ends_within(EMPTY_BYTES_MAX, async |http2, count| match count {
        0 => http2.send(HEADERS, END_HEADERS, 1, &block("/hold")).await,
        _ => http2.send(DATA, 0, 1, &[]).await,
    });
}

#[test]
fn a_thousand_idle_clients_are_held_and_stay_as_they_are() {
    let patient = |server: Server| {
        let server = server.limits(|limits| limits.connections_max = CLIENTS + 1);
        server.times(|times| times.keep_alive = Duration::from_secs(24 * 3600))
    };
    Net::run(patient, async |net| {
        let mut clients: Vec<Wire> = Vec::with_capacity(CLIENTS);
        let before = live();
        for _ in 0..CLIENTS {
            let mut client = net.connect().await;
            assert_eq!(client.ask(GET).await.expect("an answer").status, 200);
            client.release();
            clients.push(client);
        }
        net.sleep(Duration::from_secs(1)).await;
        net.sim.clear_wire_log();
        let idle = live();
        let each = (idle - before) / CLIENTS as isize;
        assert!(
            each < IDLE_BYTES_MAX,
            "{each} bytes a client, both its ends"
        );
        net.sleep(Duration::from_secs(1800)).await;
        assert_eq!(net.serving.connections(), CLIENTS);
        let grown = live() - idle;
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more are held");
        let last = clients.last_mut().expect("there are some");
        assert_eq!(last.ask(GET).await.expect("an answer").status, 200);
    });
}

/// Clients that flood one after the other.
const FLOODS: usize = 50;

/// h2 takes some frames of 16 KiB, in a buffer that doubles, before it has enough of them.
const HEAD_BYTES_MAX: isize = 320 * 1024;

const EMPTY_BYTES_MAX: isize = 64 * 1024;

const FRAMES: u32 = 20_000;

/// As many resets as the server's HTTP/2 takes before it has looked at them.
const PORTION: u32 = 10;

const MARK: &[u8] = b"portion!";

const GROWTH_BYTES_MAX: isize = 64 * 1024;

const CLIENTS: usize = 1_000;

/// Of the server's and the simulated client's end together.
const IDLE_BYTES_MAX: isize = 32 * 1024;
