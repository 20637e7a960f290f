//! Server push from both sides, and peers that break its rules.

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use portway_h3::error::Code;
use portway_h3::memory::Options;
use portway_h3::{
    Config, Direction, Event, Finish, Incoming, Role, SendError, StreamId, Transport,
};
use support::{
    GET, OK, POST, Pair, Raw, content, events, failure, frame, get, headers, received, request,
    response, section,
};

fn taking(pushes: u64) -> Config {
    let mut config = Config::default();
    config.pushes = pushes;
    config
}

fn pair(pushes: u64) -> Pair {
    Pair::with(taking(pushes), Config::default(), Options::default())
}

/// Opens a stream for a push.
fn open_push(pair: &mut Pair, push_id: u64) -> StreamId {
    let stream = pair
        .network
        .server
        .open(Direction::Unidirectional)
        .expect("a stream");
    pair.server.open_push(push_id, stream).expect("a push");
    stream
}

#[test]
fn a_push_is_promised_and_fulfilled() {
    let mut pair = pair(2);
    let stream = pair.get();
    assert_eq!(pair.server.pushes_available(), 2);
    let push_id = pair
        .server
        .push(stream, &get("/style.css"))
        .expect("a promise");
    pair.answer(stream, 200, b"page");
    let pushed = open_push(&mut pair, push_id);
    pair.server
        .send_response(pushed, &response(200, &[]), Finish::Later)
        .expect("head");
    pair.server
        .send_data(pushed, Bytes::from_static(b"style"), Finish::Now)
        .expect("content");
    pair.run();
    let seen = events(&mut pair.client);
    assert!(seen.contains(&Event::PushPromised { stream, push_id }));
    assert!(seen.contains(&Event::Push {
        push_id,
        stream: pushed
    }));
    assert_eq!(
        pair.client.promise(push_id).map(|head| head.uri.path()),
        Some("/style.css")
    );
    let all = received(&mut pair.client, pushed);
    assert_eq!(
        (content(&all), all.last()),
        (b"style".to_vec(), Some(&Ok(Incoming::End)))
    );
    assert_eq!(content(&received(&mut pair.client, stream)), b"page");
    received(&mut pair.server, stream);
    assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
    assert_eq!(pair.client.promise(push_id), None);
}

#[test]
fn push_is_off_unless_asked() {
    let mut pair = pair(0);
    let stream = pair.get();
    let refused = pair.server.push(stream, &get("/a"));
    assert_eq!(refused, Err(SendError::NotOffered("another push")));
    assert_eq!(pair.server.pushes_available(), 0);
}

#[test]
fn no_more_is_pushed_than_the_client_takes() {
    let mut pair = pair(1);
    let stream = pair.get();
    pair.server.push(stream, &get("/a")).expect("the one");
    let refused = pair.server.push(stream, &get("/b"));
    assert_eq!(refused, Err(SendError::NotOffered("another push")));
    pair.client.allow_pushes(1);
    pair.run();
    pair.server.push(stream, &get("/b")).expect("one more");
}

#[test]
fn only_what_may_be_pushed_is_promised() {
    let mut pair = pair(9);
    let stream = pair.get();
    for head in [
        request(Method::POST, "/", &[]),
        request(Method::GET, "/", &[("content-length", "1")]),
    ] {
        assert!(matches!(
            pair.server.push(stream, &head),
            Err(SendError::Unsendable(_))
        ));
    }
    let from_client = pair.client.push(stream, &get("/"));
    assert!(matches!(from_client, Err(SendError::OutOfOrder(_))));
}

#[test]
fn a_client_cancels_a_push_before_its_stream() {
    let mut pair = pair(1);
    let stream = pair.get();
    let push_id = pair.server.push(stream, &get("/a")).expect("a promise");
    pair.run();
    pair.client.cancel_push(push_id);
    pair.run();
    assert!(events(&mut pair.server).contains(&Event::PushCancelled(push_id)));
    let unopened = pair
        .network
        .server
        .open(Direction::Unidirectional)
        .expect("a stream");
    assert_eq!(
        pair.server.open_push(push_id, unopened),
        Err(SendError::UnknownStream)
    );
}

#[test]
fn a_client_stops_a_push_that_arrives() {
    let mut pair = pair(1);
    let stream = pair.get();
    let push_id = pair.server.push(stream, &get("/a")).expect("a promise");
    let pushed = open_push(&mut pair, push_id);
    pair.server
        .send_response(pushed, &response(200, &[]), Finish::Later)
        .expect("head");
    pair.run();
    pair.client.cancel_push(push_id);
    pair.run();
    let code = Code::H3_REQUEST_CANCELLED;
    assert_eq!(pair.network.client.record().stops, [(pushed, code)]);
    assert_eq!(pair.network.server.record().resets, [(pushed, code)]);
}

#[test]
fn a_stream_that_crosses_a_cancellation_is_stopped() {
    let mut pair = pair(1);
    let stream = pair.get();
    let push_id = pair.server.push(stream, &get("/a")).expect("a promise");
    pair.run();
    let pushed = open_push(&mut pair, push_id);
    pair.server
        .send_response(pushed, &response(200, &[]), Finish::Later)
        .expect("head");
    pair.client.cancel_push(push_id);
    pair.run();
    assert_eq!(
        pair.network.client.record().stops,
        [(pushed, Code::H3_REQUEST_CANCELLED)]
    );
}

#[test]
fn a_server_withdraws_a_promise() {
    let mut pair = pair(1);
    let stream = pair.get();
    let push_id = pair.server.push(stream, &get("/a")).expect("a promise");
    pair.run();
    pair.server.cancel_push(push_id);
    pair.run();
    assert!(events(&mut pair.client).contains(&Event::PushCancelled(push_id)));
    assert_eq!(pair.client.promise(push_id), None);
}

#[test]
fn a_push_stream_before_its_promise_waits_for_it() {
    let mut pair = pair(1);
    let stream = pair.get();
    pair.network.hold(stream);
    let push_id = pair.server.push(stream, &get("/a")).expect("a promise");
    let pushed = open_push(&mut pair, push_id);
    pair.server
        .send_response(pushed, &response(200, &[]), Finish::Later)
        .expect("head");
    pair.server
        .send_data(pushed, Bytes::from_static(b"early"), Finish::Now)
        .expect("content");
    pair.run();
    assert!(!events(&mut pair.client).contains(&Event::Push {
        push_id,
        stream: pushed
    }));
    pair.network.release(stream);
    pair.run();
    assert!(events(&mut pair.client).contains(&Event::Push {
        push_id,
        stream: pushed
    }));
    assert_eq!(content(&received(&mut pair.client, pushed)), b"early");
}

#[test]
fn a_push_stream_whose_promise_never_comes_is_given_up() {
    let mut raw = Raw::client(taking(1));
    let pushed = raw.uni(1);
    raw.write(pushed, &[&[0x01, 0x00][..], &headers(&OK)].concat(), false);
    raw.now = Duration::from_secs(9);
    raw.run();
    assert_eq!(raw.record().stops, []);
    raw.now = Duration::from_secs(10);
    raw.run();
    assert_eq!(raw.record().stops, [(pushed, Code::H3_REQUEST_CANCELLED)]);
    assert_eq!(raw.connection.in_flight(), 0);
}

#[test]
fn pushes_beyond_a_clients_goaway_are_dropped() {
    let mut pair = pair(3);
    let stream = pair.get();
    let push_id = pair.server.push(stream, &get("/a")).expect("a promise");
    pair.client.finish_shutdown();
    pair.run();
    assert!(events(&mut pair.server).contains(&Event::PushCancelled(push_id)));
    assert_eq!(
        pair.server.push(stream, &get("/b")),
        Err(SendError::GoingAway)
    );
}

fn promise(push_id: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(0x05, &[&[push_id][..], &section(fields)].concat())
}

/// A client that takes two pushes gets these bytes in answer to a GET.
fn client_gets(bytes: &[u8]) -> (Raw, StreamId) {
    let mut raw = Raw::client(taking(2));
    let stream = raw.request(&get("/"), Finish::Now);
    raw.write(stream, bytes, false);
    (raw, stream)
}

#[test]
fn a_promise_above_the_limit_is_an_id_error() {
    client_gets(&promise(2, &GET))
        .0
        .assert_closed(Code::H3_ID_ERROR);
}

#[test]
fn the_same_promise_twice_must_have_the_same_fields_in_the_same_order() {
    let (mut raw, stream) = client_gets(&promise(0, &GET).repeat(2));
    raw.assert_open();
    let promised = Event::PushPromised { stream, push_id: 0 };
    let times = events(&mut raw.connection)
        .iter()
        .filter(|event| **event == promised)
        .count();
    assert_eq!(times, 2);
    let one = [&GET[..], &[("a", "1"), ("b", "2")]].concat();
    let other = [&GET[..], &[("b", "2"), ("a", "1")]].concat();
    let (mut raw, _) = client_gets(&[promise(0, &one), promise(0, &other)].concat());
    raw.assert_closed(Code::H3_GENERAL_PROTOCOL_ERROR);
    let mut third = GET;
    third[3].1 = "/other";
    let (mut raw, _) = client_gets(&[promise(0, &GET), promise(0, &third)].concat());
    raw.assert_closed(Code::H3_GENERAL_PROTOCOL_ERROR);
}

#[test]
fn promises_that_may_not_be_are_cancelled() {
    let mut elsewhere = GET;
    elsewhere[2].1 = "other.example";
    for fields in [
        &POST[..],
        &[&GET[..], &[("content-length", "5")]].concat(),
        &elsewhere,
    ] {
        let (mut raw, _) = client_gets(&promise(0, fields));
        raw.assert_open();
        assert_eq!(raw.connection.promise(0), None);
        let ours = StreamId::nth(Role::Client, Direction::Unidirectional, 0).expect("in range");
        let sent = raw.sent(ours);
        assert!(sent.ends_with(&[0x03, 0x01, 0x00]), "CANCEL_PUSH: {sent:?}");
    }
}

#[test]
fn a_malformed_promise_ends_its_request_only() {
    let (mut raw, stream) = client_gets(&promise(0, &GET[..2]));
    raw.assert_open();
    assert_eq!(
        failure(&mut raw.connection, stream).code,
        Code::H3_MESSAGE_ERROR
    );
}

#[test]
fn a_promise_that_is_too_large_ends_its_request_only() {
    let value = "x".repeat(17_000);
    let (mut raw, stream) = client_gets(&promise(0, &[&GET[..], &[("a", &value)]].concat()));
    raw.assert_open();
    assert_eq!(
        failure(&mut raw.connection, stream).code,
        Code::H3_EXCESSIVE_LOAD
    );
}

#[test]
fn a_promise_on_a_push_stream_is_unexpected() {
    let (mut raw, _) = client_gets(&promise(0, &GET));
    let pushed = raw.uni(1);
    raw.write(
        pushed,
        &[&[0x01, 0x00][..], &promise(1, &GET)].concat(),
        false,
    );
    raw.assert_closed(Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn a_push_identifier_is_used_by_one_stream_within_the_limit() {
    let (mut raw, _) = client_gets(&promise(0, &GET));
    for index in [1, 2] {
        raw.assert_open();
        let pushed = raw.uni(index);
        raw.write(pushed, &[0x01, 0x00], false);
    }
    raw.assert_closed(Code::H3_ID_ERROR);
    let (mut raw, _) = client_gets(&[]);
    let pushed = raw.uni(1);
    raw.write(pushed, &[0x01, 0x02], false);
    raw.assert_closed(Code::H3_ID_ERROR);
}

#[test]
fn a_push_stream_may_end_before_its_header() {
    let (mut raw, _) = client_gets(&[]);
    for (index, bytes) in [&[][..], &[0x01], &[0x01, 0x40]].iter().enumerate() {
        let pushed = raw.uni(1 + index as u64);
        raw.write(pushed, bytes, true);
    }
    let pushed = raw.uni(4);
    raw.write(pushed, &[0x01], false);
    raw.reset(pushed, Code::H3_NO_ERROR);
    raw.assert_open();
}

#[test]
fn a_push_that_ends_without_a_response_fails_alone() {
    let (mut raw, _) = client_gets(&promise(0, &GET));
    let pushed = raw.uni(1);
    raw.write(pushed, &[0x01, 0x00], true);
    raw.assert_open();
    assert_eq!(
        failure(&mut raw.connection, pushed).code,
        Code::H3_MESSAGE_ERROR
    );
}

#[test]
fn cancel_push_is_checked_against_what_was_allowed_or_promised() {
    let (mut raw, _) = client_gets(&[]);
    let control = raw.uni(0);
    raw.write(control, &frame(0x03, &[1]), false);
    raw.assert_open();
    raw.write(control, &frame(0x03, &[2]), false);
    raw.assert_closed(Code::H3_ID_ERROR);
}

#[test]
fn a_promise_that_was_withdrawn_before_it_came_is_not_told() {
    let (mut raw, stream) = client_gets(&[]);
    let control = raw.uni(0);
    raw.write(control, &frame(0x03, &[0]), false);
    raw.write(stream, &promise(0, &GET), false);
    raw.assert_open();
    assert_eq!(raw.connection.promise(0), None);
}

#[test]
fn a_promise_of_what_was_consumed_is_ignored() {
    let (mut raw, stream) = client_gets(&promise(0, &GET));
    let pushed = raw.uni(1);
    raw.write(pushed, &[&[0x01, 0x00][..], &headers(&OK)].concat(), true);
    received(&mut raw.connection, pushed);
    events(&mut raw.connection);
    raw.write(stream, &promise(0, &GET), false);
    raw.assert_open();
    assert_eq!(events(&mut raw.connection), []);
}

#[test]
fn the_priority_of_a_push_can_change() {
    let mut pair = pair(1);
    let stream = pair.get();
    let push_id = pair.server.push(stream, &get("/a")).expect("a promise");
    let pushed = open_push(&mut pair, push_id);
    pair.run();
    let control = StreamId::nth(Role::Client, Direction::Unidirectional, 0).expect("in range");
    pair.network
        .client
        .inject(control, &frame(0xf0701, b"\0u=0"), false);
    pair.run();
    assert_eq!(pair.network.server.record().priorities, [(pushed, 7)]);
    pair.network
        .client
        .inject(control, &frame(0xf0701, b"\x01u=0"), false);
    pair.run();
    assert_eq!(
        pair.server.error().map(|error| error.code),
        Some(Code::H3_ID_ERROR)
    );
}

#[test]
fn floods_of_promises_are_counted() {
    let mut config = taking(1);
    config.limits.glitch_burst = 20;
    let mut raw = Raw::client(config);
    let stream = raw.request(&get("/"), Finish::Now);
    raw.write(stream, &promise(0, &GET).repeat(21), false);
    raw.assert_closed(Code::H3_EXCESSIVE_LOAD);
}
