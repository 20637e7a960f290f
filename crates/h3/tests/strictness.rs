//! Peers that break rules, written byte by byte: what they get, and that other streams go on.

mod support;

use portway_h3::error::{Code, Retry};
use portway_h3::memory::Options;
use portway_h3::{Config, Event, Finish, Incoming, Role, StreamId, varint};
use support::{GET, OK, POST, Raw, bidi, events, failure, frame, get, headers, received, section};

/// A server gets these bytes on a fresh request stream and closes the connection.
#[track_caller]
fn server_closes(bytes: &[u8], fin: bool, code: Code) {
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(0), bytes, fin);
    raw.assert_closed(code);
}

/// A server gets these bytes, ends that stream and goes on.
#[track_caller]
fn server_resets(bytes: &[u8], fin: bool, code: Code) {
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(0), bytes, fin);
    raw.assert_open();
    assert_eq!(raw.record().resets, [(bidi(0), code)]);
    raw.write(bidi(1), &headers(&GET), true);
    assert!(
        events(&mut raw.connection).contains(&Event::Request(bidi(1))),
        "others go on"
    );
}

/// A client gets these bytes as the answer to a GET and closes the connection.
#[track_caller]
fn client_closes(bytes: &[u8], fin: bool, code: Code) {
    let mut raw = Raw::client(Config::default());
    let stream = raw.request(&get("/"), Finish::Now);
    raw.write(stream, bytes, fin);
    raw.assert_closed(code);
    assert_eq!(failure(&mut raw.connection, stream).code, code);
}

/// A client gets these bytes as the answer to a GET, fails that request and goes on.
#[track_caller]
fn client_fails(bytes: &[u8], fin: bool, code: Code) {
    let mut raw = Raw::client(Config::default());
    let stream = raw.request(&get("/"), Finish::Now);
    let other = raw.request(&get("/"), Finish::Now);
    raw.write(stream, bytes, fin);
    raw.assert_open();
    assert_eq!(failure(&mut raw.connection, stream).code, code);
    raw.write(other, &headers(&OK), true);
    assert_eq!(
        received(&mut raw.connection, other).len(),
        2,
        "others go on"
    );
}

/// The peer's control stream has these bytes after SETTINGS.
#[track_caller]
fn control_closes(role: Role, bytes: &[u8], code: Code) {
    let mut raw = Raw::new(role, Config::default(), Options::default());
    raw.write(raw.uni(0), bytes, false);
    raw.assert_closed(code);
}

#[track_caller]
fn control_is_fine(role: Role, bytes: &[u8]) {
    let mut raw = Raw::new(role, Config::default(), Options::default());
    raw.write(raw.uni(0), bytes, false);
    raw.assert_open();
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];

#[test]
fn data_before_headers_closes_the_connection() {
    server_closes(&frame(0, b"x"), false, Code::H3_FRAME_UNEXPECTED);
    client_closes(&frame(0, b"x"), false, Code::H3_FRAME_UNEXPECTED);
    server_closes(&frame(0, b""), false, Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn data_after_an_interim_response_closes_the_connection() {
    let bytes = [headers(&[(":status", "103")]), frame(0, b"x")].concat();
    client_closes(&bytes, false, Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn nothing_but_unknown_frames_follows_trailers() {
    let trailers = headers(&[("a", "b")]);
    let start = [headers(&POST), trailers.clone()].concat();
    server_closes(
        &[start.clone(), frame(0, b"x")].concat(),
        false,
        Code::H3_FRAME_UNEXPECTED,
    );
    server_closes(
        &[start.clone(), trailers].concat(),
        false,
        Code::H3_FRAME_UNEXPECTED,
    );
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(0), &[start, frame(0x21, b"x")].concat(), true);
    raw.assert_open();
    assert_eq!(
        received(&mut raw.connection, bidi(0)).last(),
        Some(&Ok(Incoming::End))
    );
}

#[test]
fn frames_of_the_control_stream_close_the_connection_elsewhere() {
    for ty in [0x03, 0x04, 0x07, 0x0d, 0xf0700, 0xf0701] {
        let bytes = [headers(&GET), frame(ty, &[0])].concat();
        server_closes(&bytes, false, Code::H3_FRAME_UNEXPECTED);
        server_closes(&frame(ty, &[0]), false, Code::H3_FRAME_UNEXPECTED);
        client_closes(&frame(ty, &[0]), false, Code::H3_FRAME_UNEXPECTED);
    }
}

#[test]
fn frames_of_http2_close_the_connection_everywhere() {
    for ty in [0x02, 0x06, 0x08, 0x09] {
        server_closes(&frame(ty, b""), false, Code::H3_FRAME_UNEXPECTED);
        client_closes(&frame(ty, b""), false, Code::H3_FRAME_UNEXPECTED);
        for role in ROLES {
            control_closes(role, &frame(ty, b""), Code::H3_FRAME_UNEXPECTED);
        }
    }
}

#[test]
fn frames_of_requests_close_the_connection_on_the_control_stream() {
    for ty in [0x00, 0x01, 0x05] {
        for role in ROLES {
            control_closes(role, &frame(ty, b""), Code::H3_FRAME_UNEXPECTED);
        }
    }
}

#[test]
fn a_promise_from_a_client_closes_the_connection() {
    let promise = frame(0x05, &[&[0][..], &section(&GET)].concat());
    server_closes(&promise, false, Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn a_promise_without_leave_is_an_id_error() {
    let promise = frame(0x05, &[&[0][..], &section(&GET)].concat());
    client_closes(&promise, false, Code::H3_ID_ERROR);
}

#[test]
fn unknown_frames_are_skipped_everywhere() {
    let unknown = [
        frame(0x21, b"x"),
        frame(0x40, &[7; 300]),
        frame(0xffff, b""),
    ]
    .concat();
    let mut raw = Raw::server(Config::default());
    let bytes = [
        &unknown[..],
        &headers(&POST),
        &unknown,
        &frame(0, b"x"),
        &unknown,
    ]
    .concat();
    raw.write(bidi(0), &bytes, true);
    raw.write(raw.uni(0), &unknown, false);
    raw.assert_open();
    assert_eq!(received(&mut raw.connection, bidi(0)).len(), 3);
}

#[test]
fn origin_frames_outside_of_a_servers_control_stream_are_ignored() {
    let mut raw = Raw::server(Config::default());
    raw.write(raw.uni(0), &frame(0x0c, b"junk"), false);
    raw.write(
        bidi(0),
        &[headers(&GET), frame(0x0c, b"junk")].concat(),
        true,
    );
    raw.assert_open();
    let mut raw = Raw::client(Config::default());
    let stream = raw.request(&get("/"), Finish::Now);
    raw.write(stream, &frame(0x0c, b"junk"), false);
    raw.assert_open();
}

#[test]
fn a_stream_that_ends_within_a_frame_closes_the_connection() {
    let whole = headers(&GET);
    for cut in 1..whole.len() {
        server_closes(&whole[..cut], true, Code::H3_FRAME_ERROR);
    }
    let short = [headers(&POST), frame(0, b"content")].concat();
    server_closes(&short[..short.len() - 1], true, Code::H3_FRAME_ERROR);
    client_closes(&[0x21, 0x05, 0x00], true, Code::H3_FRAME_ERROR);
}

#[test]
fn a_request_without_headers_is_incomplete() {
    server_resets(b"", true, Code::H3_REQUEST_INCOMPLETE);
    server_resets(&frame(0x21, b""), true, Code::H3_REQUEST_INCOMPLETE);
}

#[test]
fn a_response_that_never_comes_is_malformed() {
    client_fails(b"", true, Code::H3_MESSAGE_ERROR);
    client_fails(
        &headers(&[(":status", "103")]),
        true,
        Code::H3_MESSAGE_ERROR,
    );
}

#[test]
fn malformed_messages_end_their_stream_only() {
    server_resets(&headers(&GET[..3]), false, Code::H3_MESSAGE_ERROR);
    server_resets(
        &headers(&[&GET[..], &[("Upper", "x")]].concat()),
        true,
        Code::H3_MESSAGE_ERROR,
    );
    client_fails(&headers(&[]), false, Code::H3_MESSAGE_ERROR);
    client_fails(
        &headers(&[(":status", "101")]),
        false,
        Code::H3_MESSAGE_ERROR,
    );
    let pseudo_in_trailers = [headers(&OK), headers(&OK)].concat();
    client_fails(&pseudo_in_trailers, false, Code::H3_MESSAGE_ERROR);
}

#[test]
fn draft_32_calls_a_malformed_message_a_general_error() {
    let mut config = Config::default();
    config.version = portway_h3::version::Version::Draft32;
    let mut raw = Raw::server(config);
    raw.write(bidi(0), &headers(&GET[..3]), false);
    raw.assert_open();
    assert_eq!(
        raw.record().resets,
        [(bidi(0), Code::H3_GENERAL_PROTOCOL_ERROR)]
    );
}

/// A server gets a request whose application knows it before the rest comes.
#[track_caller]
fn server_fails(head: &[u8], rest: &[u8], fin: bool, code: Code) {
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(0), head, false);
    raw.write(bidi(0), rest, fin);
    raw.assert_open();
    assert_eq!(failure(&mut raw.connection, bidi(0)).code, code);
    assert_eq!(raw.record().resets, [(bidi(0), code)]);
}

fn post_of(len: &str, content: &[u8]) -> Vec<u8> {
    let head = headers(&[&POST[..], &[("content-length", len)]].concat());
    [head, frame(0, content)].concat()
}

#[test]
fn content_differs_from_content_length() {
    let head = |len| headers(&[&POST[..], &[("content-length", len)]].concat());
    let code = Code::H3_MESSAGE_ERROR;
    server_fails(&head("3"), &frame(0, b"four"), false, code);
    server_fails(&head("5"), &frame(0, b"four"), true, code);
    // The length of the frame is enough; its content need not come.
    server_fails(&head("3"), &[0x00, 0x04], false, code);
    // All of it at once never reaches the application.
    server_resets(&post_of("3", b"four"), false, code);
}

#[test]
fn content_after_a_head_a_204_or_a_304_is_malformed() {
    for status in ["204", "304"] {
        let declared = headers(&[(":status", status), ("content-length", "4")]);
        let mut raw = Raw::client(Config::default());
        let stream = raw.request(&get("/"), Finish::Now);
        raw.write(stream, &declared, true);
        assert_eq!(
            received(&mut raw.connection, stream).len(),
            2,
            "declared and not sent"
        );
        client_fails(
            &[declared, frame(0, b"four")].concat(),
            true,
            Code::H3_MESSAGE_ERROR,
        );
    }
    let mut raw = Raw::client(Config::default());
    let head = support::request(http::Method::HEAD, "/", &[]);
    let stream = raw.request(&head, Finish::Now);
    raw.write(stream, &[headers(&OK), frame(0, b"x")].concat(), true);
    assert_eq!(
        failure(&mut raw.connection, stream).code,
        Code::H3_MESSAGE_ERROR
    );
}

#[test]
fn a_tunnel_has_data_only() {
    let connect = headers(&[(":method", "CONNECT"), (":authority", "example.com:443")]);
    for ty in [0x01, 0x05, 0x04] {
        let bytes = [connect.clone(), frame(0, b"x"), frame(ty, &section(&OK))].concat();
        server_closes(&bytes, false, Code::H3_FRAME_UNEXPECTED);
    }
    let mut raw = Raw::server(Config::default());
    raw.write(
        bidi(0),
        &[connect, frame(0x21, b"x"), frame(0, b"x")].concat(),
        true,
    );
    raw.assert_open();
    assert_eq!(received(&mut raw.connection, bidi(0)).len(), 3);
}

#[test]
fn the_control_stream_starts_with_settings() {
    for first in [
        frame(0x07, &[0]),
        frame(0x21, b"x"),
        frame(0x0d, &[0]),
        frame(0x00, b""),
    ] {
        for role in ROLES {
            let mut raw = Raw::silent(role, Config::default(), Options::default());
            raw.write(raw.uni(0), &[&[0x00][..], &first].concat(), false);
            raw.assert_closed(Code::H3_MISSING_SETTINGS);
        }
    }
}

#[test]
fn a_second_settings_frame_closes_the_connection() {
    for role in ROLES {
        control_closes(role, &frame(0x04, b""), Code::H3_FRAME_UNEXPECTED);
    }
}

#[test]
fn wrong_settings_close_the_connection() {
    for (payload, code) in [
        (&[0x06, 0x01, 0x06, 0x01][..], Code::H3_SETTINGS_ERROR),
        (&[0x02, 0x01], Code::H3_SETTINGS_ERROR),
        (&[0x08, 0x02], Code::H3_SETTINGS_ERROR),
        (&[0x06], Code::H3_FRAME_ERROR),
    ] {
        for role in ROLES {
            let mut raw = Raw::silent(role, Config::default(), Options::default());
            raw.write(
                raw.uni(0),
                &[&[0x00][..], &frame(0x04, payload)].concat(),
                false,
            );
            raw.assert_closed(code);
        }
    }
}

#[test]
fn critical_streams_exist_once() {
    for ty in [0x00, 0x02, 0x03] {
        for role in ROLES {
            let mut raw = Raw::new(role, Config::default(), Options::default());
            raw.write(raw.uni(1), &[ty], false);
            if ty != 0 {
                raw.assert_open();
                raw.write(raw.uni(2), &[ty], false);
            }
            raw.assert_closed(Code::H3_STREAM_CREATION_ERROR);
        }
    }
}

#[test]
fn critical_streams_never_end() {
    for ty in [0x00, 0x02, 0x03] {
        for role in ROLES {
            let mut raw = Raw::silent(role, Config::default(), Options::default());
            let first = if ty == 0 { vec![0, 4, 0] } else { vec![ty] };
            raw.write(raw.uni(0), &first, true);
            raw.assert_closed(Code::H3_CLOSED_CRITICAL_STREAM);
            let mut raw = Raw::silent(role, Config::default(), Options::default());
            raw.write(raw.uni(0), &first, false);
            raw.reset(raw.uni(0), Code::H3_NO_ERROR);
            raw.assert_closed(Code::H3_CLOSED_CRITICAL_STREAM);
        }
    }
}

#[test]
fn our_critical_streams_are_not_to_be_stopped() {
    for role in ROLES {
        for index in 0..3 {
            let mut raw = Raw::new(role, Config::default(), Options::default());
            let ours = StreamId::nth(role, portway_h3::Direction::Unidirectional, index);
            raw.stop(ours.expect("in range"), Code::H3_NO_ERROR);
            raw.assert_closed(Code::H3_CLOSED_CRITICAL_STREAM);
        }
    }
}

#[test]
fn streams_of_unknown_type_are_stopped_and_nothing_else() {
    let mut raw = Raw::server(Config::default());
    let unknown = raw.uni(1);
    raw.write(unknown, &[0x21, 1, 2, 3], false);
    assert_eq!(
        raw.record().stops,
        [(unknown, Code::H3_STREAM_CREATION_ERROR)]
    );
    raw.write(raw.uni(1), &[4, 5, 6], true);
    raw.write(raw.uni(2), &[0x21], true);
    raw.write(raw.uni(3), &[], true);
    raw.reset(raw.uni(4), Code::H3_NO_ERROR);
    raw.assert_open();
}

#[test]
fn a_push_stream_from_a_client_is_a_stream_creation_error() {
    let mut raw = Raw::server(Config::default());
    raw.write(raw.uni(1), &[0x01, 0x00], false);
    raw.assert_closed(Code::H3_STREAM_CREATION_ERROR);
}

#[test]
fn a_push_stream_without_leave_is_an_id_error() {
    let mut raw = Raw::client(Config::default());
    raw.write(raw.uni(1), &[0x01, 0x00], false);
    raw.assert_closed(Code::H3_ID_ERROR);
}

#[test]
fn a_bidirectional_stream_from_a_server_is_a_stream_creation_error() {
    let mut raw = Raw::client(Config::default());
    let stream = StreamId::nth(Role::Server, portway_h3::Direction::Bidirectional, 0);
    raw.write(stream.expect("in range"), b"x", false);
    raw.assert_closed(Code::H3_STREAM_CREATION_ERROR);
}

#[test]
fn goaway_names_a_request_and_never_grows() {
    for wrong in [1, 2, 3, 5] {
        control_closes(Role::Client, &frame(0x07, &[wrong]), Code::H3_ID_ERROR);
        control_is_fine(Role::Server, &frame(0x07, &[wrong]));
    }
    for role in ROLES {
        let grows = [frame(0x07, &[4]), frame(0x07, &[8])].concat();
        control_closes(role, &grows, Code::H3_ID_ERROR);
        control_is_fine(
            role,
            &[frame(0x07, &[8]), frame(0x07, &[8]), frame(0x07, &[0])].concat(),
        );
    }
}

#[test]
fn identifier_frames_have_one_identifier() {
    for ty in [0x03, 0x07, 0x0d] {
        for payload in [&[][..], &[0x40], &[0, 0], &[0; 9]] {
            control_closes(Role::Server, &frame(ty, payload), Code::H3_FRAME_ERROR);
        }
    }
}

#[test]
fn max_push_id_comes_from_clients_and_never_shrinks() {
    control_closes(Role::Client, &frame(0x0d, &[1]), Code::H3_FRAME_UNEXPECTED);
    let shrinks = [frame(0x0d, &[5]), frame(0x0d, &[4])].concat();
    control_closes(Role::Server, &shrinks, Code::H3_ID_ERROR);
    control_is_fine(
        Role::Server,
        &[frame(0x0d, &[5]), frame(0x0d, &[5])].concat(),
    );
}

#[test]
fn cancel_push_names_a_push_that_can_be() {
    for role in ROLES {
        control_closes(role, &frame(0x03, &[0]), Code::H3_ID_ERROR);
    }
}

#[test]
fn priority_updates_come_from_clients_and_name_requests() {
    for ty in [0xf0700, 0xf0701] {
        control_closes(
            Role::Client,
            &frame(ty, b"\0u=1"),
            Code::H3_FRAME_UNEXPECTED,
        );
        control_closes(Role::Server, &frame(ty, b""), Code::H3_FRAME_ERROR);
    }
    control_closes(Role::Server, &frame(0xf0700, b"\x01u=1"), Code::H3_ID_ERROR);
    control_closes(Role::Server, &frame(0xf0701, b"\0u=1"), Code::H3_ID_ERROR);
    control_is_fine(Role::Server, &frame(0xf0700, b"\0u=1, i"));
    control_is_fine(Role::Server, &frame(0xf0700, b"\0?"));
}

#[test]
fn a_priority_update_before_its_request_counts_more_than_the_header_field() {
    let mut raw = Raw::server(Config::default());
    raw.write(raw.uni(0), &frame(0xf0700, b"\0u=1"), false);
    raw.write(
        bidi(0),
        &headers(&[&GET[..], &[("priority", "u=6")]].concat()),
        true,
    );
    assert_eq!(raw.record().priorities, [(bidi(0), 6)]);
    raw.write(raw.uni(0), &frame(0xf0700, b"\0u=7"), false);
    assert_eq!(raw.record().priorities.last(), Some(&(bidi(0), 0)));
}

#[test]
fn broken_field_compression_closes_the_connection() {
    server_closes(
        &frame(0x01, &[0xff]),
        false,
        Code::QPACK_DECOMPRESSION_FAILED,
    );
    client_closes(
        &frame(0x01, &[0, 0, 0xff, 0xff, 0xff]),
        false,
        Code::QPACK_DECOMPRESSION_FAILED,
    );
    let mut raw = Raw::server(Config::default());
    raw.write(raw.uni(1), &[0x02, 0x80, 0x00], false);
    raw.assert_closed(Code::QPACK_ENCODER_STREAM_ERROR);
}

#[test]
fn a_section_that_is_too_large_is_answered_with_431() {
    let value = "x".repeat(17_000);
    let large = headers(&[&GET[..], &[("a", &value)]].concat());
    let crumbs: Vec<(&str, &str)> = (0..130).map(|_| ("cookie", "a=b")).collect();
    let many = headers(&[&GET[..], &crumbs].concat());
    for bytes in [large, many] {
        let mut raw = Raw::server(Config::default());
        raw.write(bidi(0), &bytes, false);
        raw.assert_open();
        assert_eq!(raw.record().stops, [(bidi(0), Code::H3_NO_ERROR)]);
        assert_eq!(raw.record().resets, []);
        let answer = raw.sent(bidi(0));
        assert!(
            answer.windows(3).any(|digits| digits == b"431"),
            "{answer:?}"
        );
        assert_eq!(raw.connection.in_flight(), 0);
        raw.write(bidi(1), &headers(&GET), true);
        assert_eq!(
            events(&mut raw.connection).last(),
            Some(&Event::Request(bidi(1)))
        );
    }
}

#[test]
fn a_response_that_is_too_large_fails_its_request_only() {
    let value = "x".repeat(17_000);
    let large = headers(&[&OK[..], &[("a", &value)]].concat());
    client_fails(&large, false, Code::H3_EXCESSIVE_LOAD);
    let interim = headers(&[(":status", "103")]);
    client_fails(&interim.repeat(9), false, Code::H3_EXCESSIVE_LOAD);
}

#[test]
fn trailers_that_are_too_large_end_their_stream_only() {
    let value = "x".repeat(17_000);
    server_fails(
        &headers(&POST),
        &headers(&[("a", &value)]),
        false,
        Code::H3_EXCESSIVE_LOAD,
    );
}

#[test]
fn a_reset_before_the_request_is_complete_is_a_rejection() {
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(0), &headers(&GET)[..3], false);
    raw.reset(bidi(0), Code::H3_REQUEST_CANCELLED);
    assert_eq!(raw.record().resets, [(bidi(0), Code::H3_REQUEST_REJECTED)]);
    raw.reset(bidi(1), Code::H3_REQUEST_CANCELLED);
    assert_eq!(raw.record().resets.len(), 2);
    raw.assert_open();
    assert_eq!(raw.connection.in_flight(), 0);
}

#[test]
fn codes_of_resets_are_kept_and_unknown_ones_mean_nothing() {
    let code = Code::new(0x4242);
    let mut raw = Raw::client(Config::default());
    let stream = raw.request(&get("/"), Finish::Now);
    raw.reset(stream, code);
    let error = failure(&mut raw.connection, stream);
    assert_eq!(
        (error.code, error.code.effective()),
        (code, Code::H3_NO_ERROR)
    );
    assert_eq!(error.retry, Retry::Unknown);
}

#[test]
fn a_rejection_after_a_response_gives_no_leave_to_retry() {
    let mut raw = Raw::client(Config::default());
    let stream = raw.request(&get("/"), Finish::Now);
    raw.write(stream, &headers(&OK), false);
    raw.reset(stream, Code::H3_REQUEST_REJECTED);
    assert_eq!(failure(&mut raw.connection, stream).retry, Retry::Unknown);
}

#[test]
fn identifiers_beyond_any_limit_are_told_by_the_largest_varint() {
    let mut payload = Vec::new();
    varint::encode(varint::MAX - 3, &mut payload);
    control_is_fine(Role::Client, &frame(0x07, &payload));
}

#[test]
fn settings_that_shrank_after_early_data_close_the_connection() {
    for is_accepted in [true, false] {
        let mut config = Config::default();
        // A field section limit of 200.
        config.remembered = Some(bytes::Bytes::from_static(&[0x06, 0x40, 0xc8]));
        let mut raw = Raw::silent(Role::Client, config, Options::default());
        let stream = raw.request(&get("/"), Finish::Now);
        let large = support::request(http::Method::GET, "/", &[("a", &"x".repeat(200))]);
        let refused = raw.connection.send_request(bidi(9), &large, Finish::Now);
        assert!(refused.is_err(), "remembered settings are kept to");
        if is_accepted {
            raw.connection.on_early_data_decided(true);
        }
        let control = raw.uni(0);
        raw.write(control, &[0x00, 0x04, 0x03, 0x06, 0x40, 0xc7], false);
        match is_accepted {
            true => raw.assert_closed(Code::H3_SETTINGS_ERROR),
            false => raw.assert_open(),
        }
        assert_eq!(raw.connection.in_flight(), 1, "{stream} waits for its end");
    }
}
