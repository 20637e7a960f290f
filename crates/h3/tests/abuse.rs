//! Known attacks, each with what stops it.

mod support;

use std::time::Duration;

use portway_h3::error::Code;
use portway_h3::memory::Options;
use portway_h3::{Config, Event, Finish, Role, varint};
use support::{GET, OK, POST, Raw, bidi, events, frame, get, headers, received, section};

/// A server whose patience is short.
fn server() -> Raw {
    let mut config = Config::default();
    config.limits.glitch_burst = 50;
    Raw::server(config)
}

#[test]
fn open_and_reset_floods_close_the_connection() {
    let mut raw = server();
    for index in 0..51 {
        raw.write(bidi(index), &headers(&GET), false);
        raw.reset(bidi(index), Code::H3_REQUEST_CANCELLED);
        if raw.connection.error().is_some() {
            assert_eq!(index, 50);
        }
        received(&mut raw.connection, bidi(index));
        raw.connection.release(bidi(index));
    }
    raw.assert_closed(Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn requests_count_until_their_application_is_done() {
    let mut config = Config::default();
    config.limits.requests = 10;
    let mut raw = Raw::server(config);
    for index in 0..20 {
        raw.write(bidi(index), &headers(&GET), false);
        raw.reset(bidi(index), Code::H3_REQUEST_CANCELLED);
    }
    let handed_out = events(&mut raw.connection)
        .iter()
        .filter(|event| matches!(event, Event::Request(_)))
        .count();
    assert_eq!(handed_out, 10, "the application never said that it is done");
    let rejected = (bidi(10), Code::H3_REQUEST_REJECTED);
    assert!(raw.record().resets.contains(&rejected));
    raw.connection.release(bidi(0));
    raw.write(bidi(20), &headers(&GET), false);
    assert_eq!(
        events(&mut raw.connection).last(),
        Some(&Event::Request(bidi(20)))
    );
}

#[test]
fn floods_of_control_frames_close_the_connection() {
    for flood in [
        frame(0x21, b""),
        frame(0x0d, &[5]),
        frame(0x07, &[0]),
        frame(0xf0700, b"\0u=1"),
        frame(0x40, &[0; 10]),
    ] {
        let mut raw = server();
        let control = raw.uni(0);
        raw.write(control, &flood.repeat(50), false);
        raw.assert_open();
        raw.write(control, &flood, false);
        raw.assert_closed(Code::H3_EXCESSIVE_LOAD);
    }
}

#[test]
fn time_forgives_what_is_slow() {
    let mut raw = server();
    for second in 0..200 {
        raw.now = Duration::from_secs(second);
        let control = raw.uni(0);
        raw.write(control, &frame(0x21, b"").repeat(30), false);
    }
    raw.assert_open();
}

#[test]
fn empty_data_frames_and_unknown_frames_on_requests_are_counted() {
    // A few of them in a message are padding.
    for flood in [frame(0, b""), frame(0x21, b"")] {
        let mut raw = server();
        let most = [headers(&POST), flood.repeat(50 + 4)].concat();
        raw.write(bidi(0), &most, false);
        raw.assert_open();
        raw.write(bidi(0), &flood, false);
        raw.assert_closed(Code::H3_EXCESSIVE_LOAD);
    }
}

#[test]
fn many_messages_may_each_end_with_an_empty_data_frame() {
    let mut raw = server();
    for index in 0..200 {
        let request = [headers(&POST), frame(0, b"")].concat();
        raw.write(bidi(index), &request, true);
        received(&mut raw.connection, bidi(index));
        let response = support::response(200, &[]);
        let answered = raw
            .connection
            .send_response(bidi(index), &response, Finish::Now);
        answered.expect("answered");
        raw.run();
        raw.assert_open();
    }
}

#[test]
fn floods_of_unknown_streams_close_the_connection() {
    let mut raw = server();
    for index in 1..52 {
        let stream = raw.uni(index);
        raw.write(stream, &[0x21], index % 2 == 0);
    }
    raw.assert_closed(Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn priorities_of_requests_that_never_come_are_bounded() {
    let mut raw = Raw::server(Config::default());
    let control = raw.uni(0);
    for index in 0..=100u64 {
        let mut payload = Vec::new();
        varint::encode(bidi(index).value(), &mut payload);
        payload.extend_from_slice(b"u=1");
        raw.assert_open();
        raw.write(control, &frame(0xf0700, &payload), false);
    }
    raw.assert_closed(Code::H3_ID_ERROR);
}

#[test]
fn a_huge_unknown_frame_is_skipped_without_memory() {
    let mut raw = Raw::server(Config::default());
    let mut start = Vec::new();
    varint::encode(0x21, &mut start);
    varint::encode(1 << 40, &mut start);
    raw.write(bidi(0), &start, false);
    for _ in 0..100 {
        raw.write(bidi(0), &[0; 50_000], false);
    }
    raw.assert_open();
    assert_eq!(raw.network.server.unread(bidi(0)), 0);
}

#[test]
fn a_huge_control_frame_is_refused_by_its_length() {
    for ty in [0x04u64, 0xf0700] {
        let mut raw = Raw::silent(Role::Server, Config::default(), Options::default());
        let mut bytes = vec![0x00];
        if ty != 4 {
            bytes.extend_from_slice(&frame(4, b""));
        }
        varint::encode(ty, &mut bytes);
        varint::encode(1025, &mut bytes);
        raw.write(raw.uni(0), &bytes, false);
        raw.assert_closed(Code::H3_EXCESSIVE_LOAD);
    }
}

#[test]
fn headers_that_never_end_are_refused_by_their_length() {
    let mut raw = Raw::server(Config::default());
    let mut bytes = Vec::new();
    varint::encode(1, &mut bytes);
    varint::encode(1 << 30, &mut bytes);
    raw.write(bidi(0), &bytes, false);
    raw.assert_open();
    assert!(raw.sent(bidi(0)).windows(3).any(|digits| digits == b"431"));
}

#[test]
fn forty_thousand_indexed_fields_in_eighty_kilobytes_are_too_many_and_no_panic() {
    // Each is one byte: an indexed line of the static table.
    let mut encoded = section(&GET);
    encoded.extend(std::iter::repeat_n(0xd1, 40_000));
    let mut config = Config::default();
    config.limits.field_section_bytes = 4 << 20;
    config.limits.fields = 1 << 20;
    for config in [Config::default(), config] {
        let mut raw = Raw::server(config);
        raw.write(bidi(0), &frame(1, &encoded), false);
        raw.assert_open();
        assert!(
            events(&mut raw.connection)
                .iter()
                .all(|event| *event != Event::Request(bidi(0)))
        );
    }
}

#[test]
fn a_cookie_of_many_crumbs_is_too_large() {
    let crumbs: Vec<(&str, &str)> = std::iter::repeat_n(("cookie", ""), 10_000).collect();
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(0), &headers(&[&GET[..], &crumbs].concat()), false);
    raw.assert_open();
    assert!(raw.sent(bidi(0)).windows(3).any(|digits| digits == b"431"));
}

/// A section that needs `count` entries of the dynamic table.
fn blocked(count: u64) -> Vec<u8> {
    // The required insert count is sent modulo twice the number of entries, plus one.
    let encoded = (count % 256) as u8 + 1;
    frame(1, &[encoded, 0x00, 0x80])
}

#[test]
fn more_blocked_streams_than_allowed_close_the_connection() {
    let mut raw = Raw::server(Config::default());
    for index in 0..16 {
        raw.write(bidi(index), &blocked(1), false);
        raw.assert_open();
    }
    raw.write(bidi(16), &blocked(1), false);
    raw.assert_closed(Code::QPACK_DECOMPRESSION_FAILED);
}

#[test]
fn streams_that_are_cancelled_while_blocked_make_room() {
    let mut raw = Raw::server(Config::default());
    for index in 0..100 {
        raw.write(bidi(index), &blocked(1), false);
        raw.reset(bidi(index), Code::H3_REQUEST_CANCELLED);
        raw.assert_open();
    }
    assert_eq!(raw.connection.in_flight(), 0);
}

#[test]
fn a_blocked_stream_is_not_read_further() {
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(0), &blocked(1), false);
    raw.write(bidi(0), &frame(0, &[7; 1000]), false);
    assert!(!raw.connection.wants_read(bidi(0)));
    assert_eq!(raw.network.server.unread(bidi(0)), 1003);
}

#[test]
fn a_peer_that_reads_no_critical_stream_is_closed_before_memory_grows() {
    let mut config = Config::default();
    config.limits.control_send_bytes = 200;
    let mut options = Options::default();
    options.window = 100;
    let mut raw = Raw::new(Role::Client, config, options);
    // The peer reads nothing, and every cancelled stream wants an instruction to be sent.
    for _ in 0..2000 {
        let stream = raw.request(&get("/"), Finish::Now);
        raw.connection.release(stream);
        raw.run();
        if raw.connection.error().is_some() {
            break;
        }
    }
    raw.assert_closed(Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn datagrams_that_nobody_negotiated_change_nothing() {
    let mut raw = Raw::server(Config::default());
    for _ in 0..10_000 {
        raw.network.client.inject_datagram(b"");
        raw.network.client.inject_datagram(&[0xff; 9]);
    }
    raw.run();
    raw.assert_open();
}

#[test]
fn stopping_responses_over_and_over_closes_the_connection() {
    let mut raw = server();
    for index in 0..51 {
        raw.write(bidi(index), &headers(&GET), true);
        raw.stop(bidi(index), Code::H3_REQUEST_CANCELLED);
        received(&mut raw.connection, bidi(index));
    }
    raw.assert_closed(Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn interim_responses_are_bounded() {
    let mut raw = Raw::client(Config::default());
    let stream = raw.request(&get("/"), Finish::Now);
    let interim = headers(&[(":status", "103")]);
    raw.write(stream, &[interim.repeat(8), headers(&OK)].concat(), true);
    assert_eq!(received(&mut raw.connection, stream).len(), 10);
    let stream = raw.request(&get("/"), Finish::Now);
    raw.write(stream, &interim.repeat(9), false);
    let error = support::failure(&mut raw.connection, stream);
    assert_eq!(error.code, Code::H3_EXCESSIVE_LOAD);
}
