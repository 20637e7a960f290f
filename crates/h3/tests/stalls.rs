//! Peers that stall, on virtual time: what they started is ended, everything else goes on.

mod support;

use std::time::Duration;

use bytes::Bytes;
use portway_h3::error::Code;
use portway_h3::limits::Patience;
use portway_h3::memory::Options;
use portway_h3::{Config, Event, Finish};
use support::{GET, POST, Pair, Raw, bidi, events, failure, frame, get, headers, received};

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    let mut config = Config::default();
    config.limits.patience.section = Some(10 * SECOND);
    config.limits.patience.blocked = Some(20 * SECOND);
    config.limits.patience.unread = Some(30 * SECOND);
    config
}

/// Lets time pass second by second, as the connection asks for it.
fn wait(raw: &mut Raw, until: Duration) {
    while raw.now < until {
        let next = raw.connection.poll_timeout().unwrap_or(until);
        raw.now = next.clamp(raw.now, until);
        let is_over = raw.now == until;
        raw.run();
        let after = raw.connection.poll_timeout();
        assert!(
            is_over || after.is_none_or(|after| after > raw.now),
            "a timeout comes again and again"
        );
    }
}

/// A section that needs the first entry of the dynamic table.
fn blocked() -> Vec<u8> {
    frame(1, &[0x02, 0x00, 0x80])
}

#[test]
fn a_header_section_that_never_ends_is_given_up() {
    let mut raw = Raw::server(config());
    let request = headers(&GET);
    raw.write(bidi(0), &request[..5], false);
    assert_eq!(raw.connection.poll_timeout(), Some(10 * SECOND));
    // A byte now and then changes nothing.
    for second in 1..10 {
        wait(&mut raw, second * SECOND);
        raw.write(bidi(0), &request[4 + second as usize..][..1], false);
    }
    assert_eq!(raw.connection.in_flight(), 1);
    wait(&mut raw, 10 * SECOND);
    assert_eq!(raw.connection.in_flight(), 0);
    let code = Code::H3_REQUEST_INCOMPLETE;
    assert!(raw.record().resets.contains(&(bidi(0), code)));
    assert!(raw.record().stops.contains(&(bidi(0), code)));
    raw.write(bidi(1), &request, true);
    assert!(events(&mut raw.connection).contains(&Event::Request(bidi(1))));
    assert_eq!(raw.connection.poll_timeout(), None, "nothing is waited for");
}

#[test]
fn unknown_frames_do_not_put_off_the_header_section() {
    let mut raw = Raw::server(config());
    for second in 0..10 {
        raw.now = second * SECOND;
        raw.write(bidi(0), &frame(0x21, b"x"), false);
        assert_eq!(raw.connection.in_flight(), 1);
    }
    wait(&mut raw, 10 * SECOND);
    assert_eq!(raw.connection.in_flight(), 0);
}

#[test]
fn a_stream_without_a_type_is_given_up_too() {
    let mut config = config();
    let ty = portway_h3::frame::FrameType::new(0x41).expect("62 bits");
    config.extension_bidirectional = vec![ty];
    let mut raw = Raw::server(config);
    raw.write(bidi(0), &[0x40], false);
    wait(&mut raw, 10 * SECOND);
    assert_eq!(raw.connection.in_flight(), 0);
}

#[test]
fn trailers_that_never_end_are_given_up_and_content_may_take_its_time() {
    let mut raw = Raw::server(config());
    raw.write(bidi(0), &[headers(&POST), frame(0, b"a")].concat(), false);
    received(&mut raw.connection, bidi(0));
    wait(&mut raw, 1000 * SECOND);
    assert_eq!(raw.connection.in_flight(), 1, "content has no time");
    raw.write(bidi(0), &headers(&[("a", "b")])[..4], false);
    wait(&mut raw, 1010 * SECOND);
    let error = failure(&mut raw.connection, bidi(0));
    assert_eq!(error.code, Code::H3_REQUEST_CANCELLED);
    raw.assert_open();
}

#[test]
fn a_response_may_take_its_time_and_a_begun_section_may_not() {
    let mut raw = Raw::client(config());
    let stream = raw.request(&get("/"), Finish::Now);
    wait(&mut raw, 1000 * SECOND);
    assert!(raw.connection.receive(stream).is_none());
    raw.write(stream, &headers(&[(":status", "200")])[..4], false);
    wait(&mut raw, 1010 * SECOND);
    let error = failure(&mut raw.connection, stream);
    assert_eq!(error.code, Code::H3_REQUEST_CANCELLED);
    raw.assert_open();
}

#[test]
fn streams_that_stay_blocked_are_given_up_and_make_room() {
    let mut raw = Raw::server(config());
    for index in 0..16 {
        raw.write(bidi(index), &blocked(), false);
    }
    wait(&mut raw, 19 * SECOND);
    assert_eq!(raw.connection.in_flight(), 16);
    wait(&mut raw, 20 * SECOND);
    assert_eq!(raw.connection.in_flight(), 0);
    let rejected = (bidi(0), Code::H3_REQUEST_REJECTED);
    assert!(raw.record().resets.contains(&rejected), "safe to retry");
    for index in 16..32 {
        raw.write(bidi(index), &blocked(), false);
        raw.assert_open();
    }
    assert_eq!(raw.connection.in_flight(), 16, "the places are free again");
}

#[test]
fn a_section_that_is_unblocked_in_time_is_served() {
    let mut raw = Raw::server(config());
    // :method GET, :scheme https, :path /, and the entry as :authority.
    raw.write(
        bidi(0),
        &frame(1, &[0x02, 0x00, 0xd1, 0xd7, 0xc1, 0x80]),
        false,
    );
    wait(&mut raw, 19 * SECOND);
    let encoder = raw.uni(1);
    raw.write(encoder, &[0x02, 0x3f, 0xe1, 0x1f, 0xc0, 0x01, b'a'], false);
    assert!(events(&mut raw.connection).contains(&Event::Request(bidi(0))));
    wait(&mut raw, 100 * SECOND);
    assert_eq!(raw.connection.in_flight(), 1);
}

/// A server whose client takes little.
fn slow(config: Config) -> Raw {
    let mut options = Options::default();
    options.window = 1000;
    Raw::new(portway_h3::Role::Server, config, options)
}

/// A request and its large response.
fn respond(raw: &mut Raw, index: u64) {
    let stream = bidi(index);
    raw.write(stream, &headers(&GET), true);
    let head = support::response(200, &[]);
    let server = &mut raw.connection;
    server
        .send_response(stream, &head, Finish::Later)
        .expect("head");
    server
        .send_data(stream, Bytes::from(vec![7; 50_000]), Finish::Now)
        .expect("content");
    raw.run();
}

#[test]
fn a_stalled_reader_of_a_large_response_is_given_up() {
    let mut raw = slow(config());
    respond(&mut raw, 0);
    received(&mut raw.connection, bidi(0));
    wait(&mut raw, 29 * SECOND);
    assert!(raw.connection.queued_bytes(bidi(0)) > 0);
    wait(&mut raw, 31 * SECOND);
    assert_eq!(raw.connection.in_flight(), 0);
    let reset = (bidi(0), Code::H3_EXCESSIVE_LOAD);
    assert!(raw.record().resets.contains(&reset));
    raw.assert_open();
}

#[test]
fn a_reader_that_is_slow_but_reads_is_served() {
    let mut raw = slow(config());
    respond(&mut raw, 0);
    received(&mut raw.connection, bidi(0));
    let mut got = 0;
    for round in 1.. {
        got += raw.sent(bidi(0)).len();
        raw.run();
        if raw.connection.in_flight() == 0 {
            break;
        }
        wait(&mut raw, round * 29 * SECOND);
    }
    got += raw.sent(bidi(0)).len();
    assert!(got > 50_000, "{got}");
    let record = raw.record();
    assert!(record.resets.is_empty(), "{:?}", record.resets);
}

#[test]
fn a_response_that_waits_behind_more_urgent_ones_is_not_stalled() {
    let mut raw = slow(config());
    respond(&mut raw, 0);
    respond(&mut raw, 1);
    // The first is read now and then, the second only once in a while.
    let mut now = Duration::ZERO;
    for _ in 0..20 {
        now += 20 * SECOND;
        wait(&mut raw, now);
        raw.sent(bidi(0));
        raw.run();
    }
    assert!(raw.connection.queued_bytes(bidi(1)) > 0, "it may go on");
    wait(&mut raw, now + 64 * SECOND);
    assert_eq!(raw.connection.queued_bytes(bidi(1)), 0);
    assert_eq!(raw.connection.queued_bytes(bidi(0)), 0);
}

#[test]
fn a_stream_that_blocks_long_after_the_last_event_has_its_full_time() {
    let mut raw = slow(config());
    raw.write(bidi(0), &headers(&GET), true);
    received(&mut raw.connection, bidi(0));
    let head = support::response(200, &[]);
    let server = &mut raw.connection;
    server
        .send_response(bidi(0), &head, Finish::Later)
        .expect("head");
    server
        .send_data(bidi(0), Bytes::from(vec![7; 50_000]), Finish::Now)
        .expect("content");
    // The application writes, and nothing has come for longer than a stall may last.
    raw.now = 100 * SECOND;
    raw.network.server.set_time(raw.now);
    raw.connection.flush(&mut raw.network.server);
    raw.run();
    wait(&mut raw, 129 * SECOND);
    assert!(raw.connection.queued_bytes(bidi(0)) > 0);
    wait(&mut raw, 131 * SECOND);
    assert_eq!(raw.connection.in_flight(), 0);
}

#[test]
fn many_stalled_streams_cost_few_checks_and_are_counted() {
    let mut config = config();
    config.limits.glitch_burst = 20;
    config.limits.glitches_per_second = 0;
    let mut raw = Raw::server(config);
    for index in 0..21 {
        raw.now = Duration::from_millis(index * 10);
        raw.write(bidi(index), &headers(&GET)[..5], false);
    }
    let mut checks = 0;
    while let Some(next) = raw.connection.poll_timeout() {
        checks += 1;
        raw.now = next;
        raw.run();
    }
    assert!(checks <= 3, "{checks} checks");
    raw.assert_closed(Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn endless_patience_waits_for_ever() {
    let mut config = Config::default();
    config.limits.patience = Patience::endless();
    let mut raw = slow(config);
    raw.write(bidi(0), &headers(&GET)[..5], false);
    raw.write(bidi(1), &blocked(), false);
    respond(&mut raw, 2);
    assert_eq!(raw.connection.poll_timeout(), None);
    raw.now = Duration::from_secs(1 << 40);
    raw.run();
    assert_eq!(raw.connection.in_flight(), 3);
}

#[test]
fn a_pair_that_does_its_work_never_waits_for_a_timeout() {
    let mut pair = Pair::with(config(), config(), Options::default());
    for _ in 0..10 {
        let stream = pair.get();
        received(&mut pair.server, stream);
        pair.answer(stream, 200, b"content");
        received(&mut pair.client, stream);
    }
    // What was noted on the way is over when it is looked at.
    pair.now = 1000 * SECOND;
    pair.run();
    assert_eq!(pair.client.poll_timeout(), None);
    assert_eq!(pair.server.poll_timeout(), None);
    assert_eq!(pair.get().index(), 10, "and the connections go on");
}

#[test]
fn memory_for_the_next_request_is_given_back_when_none_comes() {
    let mut raw = Raw::server(Config::default());
    assert!(raw.connection.is_at_rest());
    let answer = |raw: &mut Raw, index: u64| {
        respond(raw, index);
        assert!(!raw.connection.is_at_rest());
        let got = received(&mut raw.connection, bidi(index));
        assert!(!got.is_empty());
        assert_eq!(raw.connection.in_flight(), 0);
    };
    raw.now = SECOND;
    answer(&mut raw, 0);
    let due = raw
        .connection
        .poll_timeout()
        .expect("it is kept for a while");
    assert!(due > SECOND && due < 2 * SECOND);
    assert!(!raw.connection.is_at_rest());
    // A request puts it off, and memory that is in use has no time.
    raw.now = due - Duration::from_millis(1);
    answer(&mut raw, 1);
    let put_off = raw
        .connection
        .poll_timeout()
        .expect("it is kept for a while");
    assert!(put_off > due);
    wait(&mut raw, put_off);
    raw.run();
    assert!(raw.connection.is_at_rest());
    assert_eq!(raw.connection.poll_timeout(), None);
    answer(&mut raw, 2);
}

#[test]
fn a_connection_that_was_closed_keeps_no_memory_for_the_next_request() {
    let mut raw = Raw::server(Config::default());
    respond(&mut raw, 0);
    raw.connection.close(Code::H3_NO_ERROR, "");
    raw.run();
    received(&mut raw.connection, bidi(0));
    assert_eq!(raw.connection.in_flight(), 0);
    assert!(raw.connection.is_at_rest());
}
