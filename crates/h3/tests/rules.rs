//! Rules that no other test names: what is malformed, what is said, what goes on.

mod support;

use bytes::Bytes;
use http::{Method, StatusCode};
use portway_h3::datagram::Profiles;
use portway_h3::error::Code;
use portway_h3::memory::Options;
use portway_h3::message::{RequestHead, ResponseHead};
use portway_h3::priority::Priority;
use portway_h3::{
    Config, Direction, EarlyData, Event, Finish, Incoming, Role, SendError, StreamId, Transport,
    TransportEvent, varint,
};
use support::{
    GET, OK, POST, Pair, Raw, bidi, content, events, failure, frame, get, headers, received,
    request, response,
};

#[test]
fn a_second_request_or_final_response_on_a_stream_is_malformed() {
    let mut raw = Raw::server(Config::default());
    raw.write(bidi(0), &headers(&POST), false);
    raw.write(bidi(0), &headers(&GET), false);
    let error = failure(&mut raw.connection, bidi(0));
    assert_eq!(error.code, Code::H3_MESSAGE_ERROR);
    raw.assert_open();

    let mut raw = Raw::client(Config::default());
    let stream = raw.request(&get("/"), Finish::Now);
    raw.write(stream, &[headers(&OK), headers(&OK)].concat(), false);
    let error = failure(&mut raw.connection, stream);
    assert_eq!(error.code, Code::H3_MESSAGE_ERROR);
    raw.assert_open();
}

#[test]
fn a_client_goes_on_sending_after_an_early_response() {
    let mut pair = Pair::new();
    let stream = pair.request(&request(Method::POST, "/", &[]), Finish::Later);
    pair.run();
    pair.answer(stream, 200, b"early");
    let early = received(&mut pair.client, stream);
    assert_eq!(early.last(), Some(&Ok(Incoming::End)));
    let rest = Bytes::from_static(b"all of it");
    let sent = pair.client.send_data(stream, rest, Finish::Now);
    assert_eq!(sent, Ok(()));
    pair.run();
    let got = received(&mut pair.server, stream);
    assert_eq!(content(&got), b"all of it");
    assert_eq!(got.last(), Some(&Ok(Incoming::End)));
    assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
}

#[test]
fn a_client_never_says_rejected_of_its_own() {
    let mut raw = Raw::client(Config::default());
    let stream = raw.request(&request(Method::POST, "/", &[]), Finish::Later);
    raw.connection.reset(stream, Code::H3_REQUEST_REJECTED);
    raw.connection.stop(stream, Code::H3_REQUEST_REJECTED);
    raw.run();
    let cancelled = (stream, Code::H3_REQUEST_CANCELLED);
    assert_eq!(raw.record().resets, [cancelled]);
    assert_eq!(raw.record().stops, [cancelled]);
    // In answer to a server that says so, the code is the server's.
    let stream = raw.request(&request(Method::POST, "/", &[]), Finish::Later);
    raw.stop(stream, Code::H3_REQUEST_REJECTED);
    let answered = (stream, Code::H3_REQUEST_REJECTED);
    assert!(raw.record().resets.contains(&answered));
    let refused = raw.connection.reject(stream);
    assert!(matches!(refused, Err(SendError::OutOfOrder(_))));
}

#[test]
fn a_server_that_gives_up_a_response_cancels_it_and_its_client_knows() {
    let mut pair = Pair::new();
    let stream = pair.get();
    received(&mut pair.server, stream);
    let head = response(200, &[]);
    let sent = pair.server.send_response(stream, &head, Finish::Later);
    sent.expect("a response");
    let part = Bytes::from_static(b"part");
    let sent = pair.server.send_data(stream, part, Finish::Later);
    sent.expect("content");
    pair.run();
    pair.server.release(stream);
    pair.run();
    let cancelled = (stream, Code::H3_REQUEST_CANCELLED);
    assert!(pair.network.server.record().resets.contains(&cancelled));
    // The client gets what came and then the failure, never an end.
    let all = received(&mut pair.client, stream);
    let error = all.last().expect("a failure").clone().expect_err("no end");
    assert_eq!(error.code, Code::H3_REQUEST_CANCELLED);
}

/// A server whose client may have ten streams open.
fn limited() -> Raw {
    let mut options = Options::default();
    options.streams_max = 10;
    let mut config = Config::default();
    config.datagrams = Profiles::rfc9297();
    let mut raw = Raw::silent(Role::Server, config, options);
    let settings = [&[0x00][..], &frame(4, &[0x33, 0x01])].concat();
    raw.write(raw.uni(0), &settings, false);
    raw
}

#[test]
fn what_names_a_request_beyond_the_stream_limit_is_an_id_error() {
    for (index, closes) in [(9u64, false), (10, true), (1 << 40, true)] {
        let mut raw = limited();
        let mut datagram = Vec::new();
        varint::encode(index, &mut datagram);
        raw.network.client.inject_datagram(&datagram);
        raw.run();
        match closes {
            true => raw.assert_closed(Code::H3_ID_ERROR),
            false => raw.assert_open(),
        }
        let mut raw = limited();
        let mut update = Vec::new();
        varint::encode(bidi(index).value(), &mut update);
        update.extend(b"u=1");
        raw.write(raw.uni(0), &frame(0xf0700, &update), false);
        match closes {
            true => raw.assert_closed(Code::H3_ID_ERROR),
            false => raw.assert_open(),
        }
    }
}

#[test]
fn a_tunnel_takes_turns_with_responses_of_its_urgency() {
    let mut options = Options::default();
    options.window = 1000;
    let mut pair = Pair::with(Config::default(), Config::default(), options);
    let download = pair.get();
    let connect = RequestHead::new(
        Method::CONNECT,
        "example.com:443".parse().expect("a target"),
    );
    let tunnel = pair.request(&connect, Finish::Later);
    pair.run();
    // A response may be sent before the request is looked at.
    let ok = ResponseHead::new(StatusCode::OK);
    for stream in [download, tunnel] {
        let sent = pair.server.send_response(stream, &ok, Finish::Later);
        sent.expect("a response");
        let bytes = Bytes::from(vec![7; 60_000]);
        let sent = pair.server.send_data(stream, bytes, Finish::Later);
        sent.expect("content");
    }
    // Every stream that has something to write is asked in turn, the tunnel too.
    let mut order = Vec::new();
    for _ in 0..6 {
        let Some(transmit) = pair.server.poll_transmit() else {
            break;
        };
        let stream = transmit.stream;
        let first = transmit.chunks.iter_mut().find(|chunk| !chunk.is_empty());
        let first = first.expect("something to write");
        let taken = first.split_to(first.len().min(10)).len();
        order.push(stream);
        let written = portway_h3::Written {
            bytes: taken,
            fin: false,
            is_blocked: false,
        };
        pair.server.on_transmitted(stream, written);
    }
    order.retain(|stream| stream.is_request());
    assert!(
        order.contains(&tunnel) && order.contains(&download),
        "{order:?}"
    );
}

#[test]
fn a_client_changes_the_priority_of_a_request_and_of_a_push() {
    let mut config = Config::default();
    config.pushes = 1;
    let mut pair = Pair::with(config, Config::default(), Options::default());
    let stream = pair.get();
    let urgent = Priority::new(1, true).expect("up to 7");
    assert_eq!(pair.client.send_priority(stream, urgent), Ok(()));
    pair.run();
    let told = (stream, urgent.for_transport());
    assert_eq!(pair.network.server.record().priorities, [told]);
    // Only what was sent or promised is named.
    let unknown = Err(SendError::UnknownStream);
    assert_eq!(pair.client.send_priority(bidi(7), urgent), unknown);
    assert_eq!(pair.client.send_push_priority(0, urgent), unknown);
    let push_id = pair.server.push(stream, &get("/a")).expect("a promise");
    let pushed = pair.network.server.open(Direction::Unidirectional);
    let pushed = pushed.expect("a stream");
    pair.server.open_push(push_id, pushed).expect("promised");
    pair.run();
    assert_eq!(pair.client.send_push_priority(push_id, urgent), Ok(()));
    pair.run();
    let told = (pushed, urgent.for_transport());
    assert!(pair.network.server.record().priorities.contains(&told));
    assert_eq!(pair.server.error(), None);
    // A server has nothing to update.
    let refused = pair.server.send_priority(stream, urgent);
    assert!(matches!(refused, Err(SendError::OutOfOrder(_))));
}

#[test]
fn priorities_that_nobody_reads_are_not_queued_without_end() {
    let mut options = Options::default();
    options.window = 100;
    let mut raw = Raw::new(Role::Client, Config::default(), options);
    let stream = raw.request(&request(Method::POST, "/", &[]), Finish::Later);
    let urgent = Priority::new(1, false).expect("up to 7");
    let sent = (0..10_000).take_while(|_| raw.connection.send_priority(stream, urgent).is_ok());
    assert!(sent.count() < 2000);
    let refused = raw.connection.send_priority(stream, urgent);
    assert_eq!(refused, Err(SendError::WouldBlock));
    raw.assert_open();
}

#[test]
fn a_reserved_stream_is_given_up_by_no_error() {
    let mut config = Config::default();
    config.grease_seed = Some(7);
    let mut options = Options::default();
    options.window = 0;
    let mut raw = Raw::silent(Role::Server, config, options);
    raw.run();
    let grease = StreamId::nth(Role::Server, Direction::Unidirectional, 3).expect("in range");
    raw.stop(grease, Code::H3_STREAM_CREATION_ERROR);
    let code = |raw: &mut Raw| {
        let resets = raw.record().resets.clone();
        resets
            .iter()
            .find(|(stream, _)| *stream == grease)
            .map(|(_, code)| *code)
    };
    let code = code(&mut raw).expect("it is reset");
    assert_eq!(code.effective(), Code::H3_NO_ERROR);
    raw.assert_open();
}

#[test]
fn settings_that_arrived_are_obeyed_by_the_next_request() {
    let mut raw = Raw::silent(Role::Client, Config::default(), Options::default());
    let long = request(Method::GET, "/", &[("x", &"y".repeat(300))]);
    let settings = [&[0x00][..], &frame(4, &[0x06, 0x40, 0x80])].concat();
    raw.write(raw.uni(0), &settings, false);
    let stream = raw.network.client.open(Direction::Bidirectional);
    let sent = raw
        .connection
        .send_request(stream.expect("a stream"), &long, Finish::Now);
    assert!(matches!(sent, Err(SendError::Unsendable(_))));
}

#[test]
fn remembered_settings_bind_early_requests_and_new_ones_bind_the_next() {
    let mut server = Config::default();
    server.limits.field_section_bytes = 250;
    server.extended_connect = true;
    let mut config = Config::default();
    config.remembered = Some(server.settings(Role::Server).to_remember());
    let mut pair = Pair::with(config, server, Options::default());
    let long = request(Method::GET, "/", &[("x", &"y".repeat(300))]);
    let open = |pair: &mut Pair| {
        let stream = pair.network.client.open(Direction::Bidirectional);
        stream.expect("a stream")
    };
    let early = open(&mut pair);
    let sent = pair.client.send_request(early, &long, Finish::Now);
    assert!(matches!(sent, Err(SendError::Unsendable(_))), "remembered");
    let sent = pair.client.send_request(early, &get("/"), Finish::Now);
    assert_eq!(sent, Ok(()));
    let accepted = TransportEvent::EarlyData(EarlyData::Accepted);
    pair.network.client.inject_event(accepted);
    pair.run();
    assert!(events(&mut pair.server).contains(&Event::Request(early)));
    let late = open(&mut pair);
    let sent = pair.client.send_request(late, &long, Finish::Now);
    assert!(matches!(sent, Err(SendError::Unsendable(_))), "told");
    assert_eq!(pair.client.error(), None);
}

#[test]
fn a_field_section_of_crumbs_keeps_other_fields_apart() {
    let mut raw = Raw::server(Config::default());
    let lines = [
        &GET[..],
        &[("cookie", "a=1"), ("x", "1"), ("cookie", "b=2"), ("x", "2")],
    ];
    raw.write(bidi(0), &headers(&lines.concat()), true);
    let got = received(&mut raw.connection, bidi(0));
    let Some(Ok(Incoming::Request(head))) = got.first() else {
        panic!("{got:?}");
    };
    assert_eq!(head.headers["cookie"], "a=1; b=2");
    let values: Vec<_> = head.headers.get_all("x").iter().collect();
    assert_eq!(values, ["1", "2"]);
}
