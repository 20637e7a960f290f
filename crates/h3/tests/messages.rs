//! Requests and responses between a client and a server over the network in memory.

mod support;

use bytes::Bytes;
use http::{HeaderMap, Method};
use portway_h3::error::{Code, Retry};
use portway_h3::frame::FrameType;
use portway_h3::limits::Limits;
use portway_h3::memory::Options;
use portway_h3::message::{Protocol, RequestHead};
use portway_h3::{
    Config, Connection, Direction, Event, Finish, Incoming, Role, SendError, StreamId, Transport,
};
use support::{Pair, content, events, failure, fields, get, received, request, response};

#[test]
fn a_request_is_answered_with_content() {
    let mut pair = Pair::new();
    let stream = pair.request(&get("/a"), Finish::Now);
    pair.run();
    assert!(events(&mut pair.server).contains(&Event::Request(stream)));
    let all = received(&mut pair.server, stream);
    let [Ok(Incoming::Request(head)), Ok(Incoming::End)] = &all[..] else {
        panic!("a request and its end: {all:?}");
    };
    assert_eq!(head.uri.path(), "/a");
    pair.answer(stream, 200, b"content");
    let all = received(&mut pair.client, stream);
    assert!(matches!(&all[0], Ok(Incoming::Response(head)) if head.status == 200));
    assert_eq!(content(&all), b"content");
    assert_eq!(all.last(), Some(&Ok(Incoming::End)));
    assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
}

/// A peer that keeps no table, so that nothing is said on the encoder stream.
fn no_table() -> Config {
    let mut config = Config::default();
    config.limits.qpack_table_bytes = 0;
    config
}

#[test]
fn a_small_response_leaves_in_one_write() {
    let mut pair = Pair::with(no_table(), Config::default(), Options::default());
    let stream = pair.get();
    let before = pair.network.server.record().writes.len();
    pair.server
        .send_response(stream, &response(200, &[]), Finish::Later)
        .expect("head");
    pair.server
        .send_data(stream, Bytes::from_static(b"content"), Finish::Now)
        .expect("content");
    let transmit = pair.server.poll_transmit().expect("work");
    assert_eq!(
        (transmit.stream, transmit.chunks.len(), transmit.fin),
        (stream, 2, true)
    );
    pair.server.flush(&mut pair.network.server);
    assert!(pair.network.server.record().writes.len() <= before + 1);
}

#[test]
fn a_request_does_not_wait_for_settings() {
    let mut pair = Pair::new();
    pair.network
        .hold(StreamId::new(3).expect("the server's control stream"));
    let stream = pair.get();
    pair.answer(stream, 200, b"x");
    assert_eq!(pair.client.peer_settings(), None);
    assert_eq!(content(&received(&mut pair.client, stream)), b"x");
}

#[test]
fn settings_are_the_first_thing_on_the_control_stream() {
    let mut pair = Pair::new();
    pair.run();
    assert!(events(&mut pair.client).contains(&Event::Settings));
    let settings = pair.client.peer_settings().expect("they arrived");
    assert_eq!(settings.max_field_section_bytes, Some(16 * 1024));
    assert_eq!(settings.qpack_table_bytes, 4096);
    assert!(pair.network.client.record().remembered.is_some());
    assert!(pair.network.server.record().remembered.is_none());
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let mut pair = Pair::new();
    let stream = pair.get();
    for _ in 0..2 {
        pair.server
            .send_interim(stream, &response(103, &[("link", "</a>")]))
            .expect("interim");
    }
    pair.answer(stream, 200, b"");
    let all = received(&mut pair.client, stream);
    let [
        Ok(Incoming::Interim(first)),
        Ok(Incoming::Interim(_)),
        Ok(Incoming::Response(_)),
        _,
    ] = &all[..]
    else {
        panic!("two interim responses: {all:?}");
    };
    assert_eq!(first.status, 103);
}

#[test]
fn trailers_follow_the_content_in_both_directions() {
    let mut pair = Pair::new();
    let stream = pair.request(&request(Method::POST, "/", &[]), Finish::Later);
    pair.client
        .send_data(stream, Bytes::from_static(b"up"), Finish::Later)
        .expect("content");
    pair.client
        .send_trailers(stream, &fields(&[("a", "1")]))
        .expect("trailers");
    pair.run();
    let all = received(&mut pair.server, stream);
    let [
        Ok(Incoming::Request(_)),
        Ok(Incoming::Data(_)),
        Ok(Incoming::Trailers(trailers)),
        Ok(Incoming::End),
    ] = &all[..]
    else {
        panic!("a whole request: {all:?}");
    };
    assert_eq!(trailers["a"], "1");
    pair.server
        .send_response(stream, &response(200, &[]), Finish::Later)
        .expect("head");
    pair.server
        .send_trailers(stream, &fields(&[("b", "2")]))
        .expect("trailers");
    pair.run();
    let all = received(&mut pair.client, stream);
    assert!(matches!(&all[1], Ok(Incoming::Trailers(trailers)) if trailers["b"] == "2"));
    assert_eq!(
        pair.client.send_trailers(stream, &HeaderMap::new()),
        Err(SendError::UnknownStream),
        "the exchange is over"
    );
}

#[test]
fn nothing_is_sent_out_of_order() {
    let mut pair = Pair::new();
    let stream = pair.get();
    let data = Bytes::from_static(b"x");
    let early = pair.server.send_data(stream, data.clone(), Finish::Later);
    assert!(matches!(early, Err(SendError::OutOfOrder(_))));
    let final_as_interim = pair.server.send_interim(stream, &response(200, &[]));
    assert!(matches!(final_as_interim, Err(SendError::OutOfOrder(_))));
    let interim_as_final = pair
        .server
        .send_response(stream, &response(100, &[]), Finish::Now);
    assert!(matches!(interim_as_final, Err(SendError::OutOfOrder(_))));
    pair.server
        .send_response(stream, &response(200, &[]), Finish::Later)
        .expect("head");
    let second = pair
        .server
        .send_response(stream, &response(200, &[]), Finish::Now);
    assert!(matches!(second, Err(SendError::OutOfOrder(_))));
    pair.server.finish(stream).expect("the end");
    let late = pair.server.send_data(stream, data, Finish::Later);
    assert!(matches!(late, Err(SendError::OutOfOrder(_))));
    let from_server = pair.server.send_request(stream, &get("/"), Finish::Now);
    assert!(matches!(from_server, Err(SendError::OutOfOrder(_))));
}

#[test]
fn content_is_sent_as_declared_or_not_at_all() {
    let mut pair = Pair::new();
    let stream = pair.get();
    let head = response(200, &[("content-length", "3")]);
    assert_eq!(
        pair.server.send_response(stream, &head, Finish::Now),
        Err(SendError::ContentLength)
    );
    pair.server
        .send_response(stream, &head, Finish::Later)
        .expect("head");
    let too_much = pair
        .server
        .send_data(stream, Bytes::from_static(b"four"), Finish::Later);
    assert_eq!(too_much, Err(SendError::ContentLength));
    let too_little = pair
        .server
        .send_data(stream, Bytes::from_static(b"tw"), Finish::Now);
    assert_eq!(too_little, Err(SendError::ContentLength));
    assert_eq!(pair.server.finish(stream), Err(SendError::ContentLength));
    pair.server
        .send_data(stream, Bytes::from_static(b"abc"), Finish::Now)
        .expect("exact");
    pair.run();
    assert_eq!(content(&received(&mut pair.client, stream)), b"abc");
}

#[test]
fn a_response_to_head_has_no_content_whatever_it_declares() {
    let mut pair = Pair::new();
    let stream = pair.request(&request(Method::HEAD, "/", &[]), Finish::Now);
    pair.run();
    received(&mut pair.server, stream);
    let head = response(200, &[("content-length", "5")]);
    pair.server
        .send_response(stream, &head, Finish::Later)
        .expect("head");
    let with_content = pair
        .server
        .send_data(stream, Bytes::from_static(b"12345"), Finish::Now);
    assert_eq!(with_content, Err(SendError::ContentLength));
    pair.server.finish(stream).expect("the end");
    pair.run();
    let all = received(&mut pair.client, stream);
    assert_eq!(all.last(), Some(&Ok(Incoming::End)));
}

#[test]
fn an_early_response_survives_the_stop_of_its_request() {
    let mut pair = Pair::new();
    let stream = pair.request(&request(Method::POST, "/", &[]), Finish::Later);
    pair.run();
    received(&mut pair.server, stream);
    pair.server
        .send_response(stream, &response(413, &[]), Finish::Now)
        .expect("response");
    pair.server.release(stream);
    pair.run();
    assert_eq!(
        pair.network.server.record().stops,
        [(stream, Code::H3_NO_ERROR)]
    );
    let stopped = events(&mut pair.client)
        .into_iter()
        .find_map(|event| match event {
            Event::Stopped(_, error) => Some(error),
            _ => None,
        });
    assert_eq!(stopped.map(|error| error.code), Some(Code::H3_NO_ERROR));
    let more = pair
        .client
        .send_data(stream, Bytes::from_static(b"x"), Finish::Later);
    assert!(matches!(more, Err(SendError::Stream(_))));
    let all = received(&mut pair.client, stream);
    assert!(matches!(&all[0], Ok(Incoming::Response(head)) if head.status == 413));
    assert_eq!(
        all.last(),
        Some(&Ok(Incoming::End)),
        "the response is complete"
    );
    assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
}

#[test]
fn a_cancelled_request_is_reset_and_stopped_and_others_go_on() {
    let mut pair = Pair::new();
    let cancelled = pair.request(&request(Method::POST, "/", &[]), Finish::Later);
    let kept = pair.request(&get("/"), Finish::Now);
    pair.run();
    received(&mut pair.server, cancelled);
    pair.client.release(cancelled);
    pair.run();
    let code = Code::H3_REQUEST_CANCELLED;
    assert_eq!(pair.network.client.record().resets, [(cancelled, code)]);
    assert_eq!(pair.network.client.record().stops, [(cancelled, code)]);
    let error = failure(&mut pair.server, cancelled);
    assert_eq!((error.code, error.retry), (code, Retry::Unknown));
    pair.answer(kept, 200, b"x");
    assert_eq!(content(&received(&mut pair.client, kept)), b"x");
    received(&mut pair.server, kept);
    pair.server.release(cancelled);
    assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
}

#[test]
fn a_rejected_request_may_be_sent_again() {
    let mut pair = Pair::new();
    let stream = pair.get();
    pair.server.reject(stream).expect("nothing was done");
    pair.run();
    let error = failure(&mut pair.client, stream);
    assert_eq!(
        (error.code, error.retry),
        (Code::H3_REQUEST_REJECTED, Retry::Safe)
    );
}

#[test]
fn a_request_that_was_begun_to_be_answered_is_not_rejected() {
    let mut pair = Pair::new();
    let stream = pair.get();
    pair.server
        .send_response(stream, &response(200, &[]), Finish::Later)
        .expect("head");
    assert!(matches!(
        pair.server.reject(stream),
        Err(SendError::OutOfOrder(_))
    ));
    pair.run();
    pair.server.release(stream);
    pair.run();
    let error = failure(&mut pair.client, stream);
    assert_eq!(
        (error.code, error.retry),
        (Code::H3_REQUEST_CANCELLED, Retry::Unknown)
    );
}

#[test]
fn a_server_can_ask_for_a_lower_version() {
    let mut pair = Pair::new();
    let stream = pair.get();
    pair.server.reset(stream, Code::H3_VERSION_FALLBACK);
    pair.run();
    assert_eq!(failure(&mut pair.client, stream).retry, Retry::LowerVersion);
}

#[test]
fn connect_opens_a_tunnel_in_both_directions() {
    let mut pair = Pair::new();
    let head = RequestHead::new(
        Method::CONNECT,
        "example.com:443".parse().expect("a target"),
    );
    let stream = pair.request(&head, Finish::Later);
    pair.run();
    received(&mut pair.server, stream);
    pair.server
        .send_response(stream, &response(200, &[]), Finish::Later)
        .expect("head");
    pair.server
        .send_data(stream, Bytes::from_static(b"down"), Finish::Later)
        .expect("content");
    pair.client
        .send_data(stream, Bytes::from_static(b"up"), Finish::Later)
        .expect("content");
    pair.run();
    assert_eq!(content(&received(&mut pair.server, stream)), b"up");
    assert_eq!(content(&received(&mut pair.client, stream)), b"down");
    let trailers = pair.client.send_trailers(stream, &HeaderMap::new());
    assert!(matches!(trailers, Err(SendError::OutOfOrder(_))));
    pair.client.finish(stream).expect("half closed");
    pair.run();
    assert_eq!(received(&mut pair.server, stream), [Ok(Incoming::End)]);
    pair.server
        .send_data(stream, Bytes::from_static(b"last"), Finish::Now)
        .expect("content");
    pair.run();
    let all = received(&mut pair.client, stream);
    assert_eq!((content(&all), all.len()), (b"last".to_vec(), 2));
}

fn websocket() -> RequestHead {
    let mut head = request(Method::CONNECT, "/chat", &[]);
    head.protocol = Protocol::new("websocket");
    head
}

#[test]
fn extended_connect_waits_for_the_servers_offer() {
    let mut server = Config::default();
    server.extended_connect = true;
    let mut pair = Pair::with(Config::default(), server, Options::default());
    let stream = pair
        .network
        .client
        .open(Direction::Bidirectional)
        .expect("a stream");
    let early = pair
        .client
        .send_request(stream, &websocket(), Finish::Later);
    assert_eq!(early, Err(SendError::NotOffered("extended CONNECT")));
    pair.run();
    pair.client
        .send_request(stream, &websocket(), Finish::Later)
        .expect("offered now");
    pair.run();
    let all = received(&mut pair.server, stream);
    let Ok(Incoming::Request(head)) = &all[0] else {
        panic!("a request: {all:?}")
    };
    assert_eq!(
        head.protocol.as_ref().map(Protocol::as_str),
        Some("websocket")
    );
}

#[test]
fn extended_connect_is_not_sent_to_a_server_that_does_not_offer_it() {
    let mut pair = Pair::new();
    pair.run();
    let stream = pair
        .network
        .client
        .open(Direction::Bidirectional)
        .expect("a stream");
    let refused = pair
        .client
        .send_request(stream, &websocket(), Finish::Later);
    assert_eq!(refused, Err(SendError::NotOffered("extended CONNECT")));
}

#[test]
fn a_section_above_the_peers_limit_is_refused_before_it_is_sent() {
    let mut server = Config::default();
    server.limits.field_section_bytes = 300;
    let mut pair = Pair::with(Config::default(), server, Options::default());
    pair.run();
    let stream = pair
        .network
        .client
        .open(Direction::Bidirectional)
        .expect("a stream");
    let large = request(Method::GET, "/", &[("a", &"x".repeat(200))]);
    let refused = pair.client.send_request(stream, &large, Finish::Now);
    assert!(
        matches!(refused, Err(SendError::Unsendable(_))),
        "{refused:?}"
    );
    pair.client
        .send_request(stream, &get("/"), Finish::Now)
        .expect("the stream is still free");
}

#[test]
fn a_slow_reader_keeps_at_most_its_buffers() {
    let mut client = Config::default();
    client.limits.receive_buffer_bytes = 1000;
    let mut options = Options::default();
    options.window = 4000;
    let mut pair = Pair::with(client, Config::default(), options);
    let stream = pair.get();
    pair.server
        .send_response(stream, &response(200, &[]), Finish::Later)
        .expect("head");
    let chunk = Bytes::from(vec![7; 500]);
    let mut sent = 0;
    while pair
        .server
        .send_data(stream, chunk.clone(), Finish::Later)
        .is_ok()
    {
        sent += chunk.len();
        pair.run();
    }
    let held = pair.network.client.unread(stream);
    assert!(held <= 4000, "{held} bytes wait in the transport");
    assert!(
        sent <= 4000 + 1500 + Limits::default().send_buffer_bytes + 500,
        "{sent}"
    );
    // Reading makes room all the way back.
    let mut read = 0;
    for _ in 0..1000 {
        read += content(&received(&mut pair.client, stream)).len();
        pair.run();
    }
    assert_eq!(read, sent);
    assert!(events(&mut pair.server).contains(&Event::Writable(stream)));
}

#[test]
fn a_full_buffer_is_filled_again_when_half_of_it_was_read() {
    let mut client = Config::default();
    // Four pieces and what each costs beside its bytes.
    client.limits.receive_buffer_bytes = 4 * (2000 + 128);
    let mut pair = Pair::with(client, Config::default(), Options::default());
    let stream = pair.get();
    pair.server
        .send_response(stream, &response(200, &[]), Finish::Later)
        .expect("head");
    for _ in 0..8 {
        let content = Bytes::from(vec![7; 2000]);
        pair.server
            .send_data(stream, content, Finish::Later)
            .expect("room");
        pair.run();
    }
    let read = |client: &mut Connection| client.receive(stream).expect("it is there");
    assert!(matches!(read(&mut pair.client), Ok(Incoming::Response(_))));
    let mut refills = Vec::new();
    for _ in 0..8 {
        assert!(matches!(read(&mut pair.client), Ok(Incoming::Data(_))));
        refills.push(pair.client.has_resumed());
        pair.run();
    }
    // After the third time nothing more has come.
    let (no, yes) = (false, true);
    assert_eq!(refills, [no, yes, no, yes, no, yes, no, no]);
}

#[test]
fn what_follows_is_received_together_and_in_the_same_order() {
    // Content that is given out with the head makes room, too.
    let mut client = Config::default();
    client.limits.receive_buffer_bytes = 2 * (2000 + 128);
    let mut pair = Pair::with(client, Config::default(), Options::default());
    for (pieces, has_trailers) in [(0, false), (1, false), (4, false), (0, true), (4, true)] {
        let stream = pair.get();
        let (head, _, is_end) = pair.server.receive_with_content(stream).expect("a request");
        assert!(matches!(head, Ok(Incoming::Request(_))) && is_end);
        pair.server
            .send_response(stream, &response(200, &[]), Finish::Later)
            .expect("head");
        for piece in 0..pieces {
            let content = Bytes::from(vec![piece; 2000]);
            pair.server
                .send_data(stream, content, Finish::Later)
                .expect("room");
        }
        match has_trailers {
            true => pair.server.send_trailers(stream, &HeaderMap::new()),
            false => pair.server.finish(stream),
        }
        .expect("the end");
        pair.run();
        let mut all = Vec::new();
        while let Some((next, content, is_end)) = pair.client.receive_with_content(stream) {
            all.push(next);
            if !content.is_empty() {
                all.push(Ok(Incoming::Data(content)));
            }
            if is_end {
                all.push(Ok(Incoming::End));
            }
            pair.run();
        }
        assert!(matches!(all.first(), Some(Ok(Incoming::Response(_)))));
        let expected: Vec<u8> = (0..pieces).flat_map(|piece| [piece; 2000]).collect();
        assert_eq!(content(&all), expected);
        assert_eq!(all.last(), Some(&Ok(Incoming::End)));
        let is_trailers = |it: &Result<_, _>| matches!(it, Ok(Incoming::Trailers(_)));
        assert_eq!(all.iter().any(is_trailers), has_trailers);
        assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
    }
}

#[test]
fn every_request_fails_when_the_connection_is_lost() {
    let mut pair = Pair::new();
    let sent = pair.get();
    let unsent = pair.request(&get("/"), Finish::Now);
    pair.server.close(Code::H3_INTERNAL_ERROR, "broken");
    pair.server.flush(&mut pair.network.server);
    pair.network.settle();
    while let Some(event) = pair.network.client.poll_event() {
        if let portway_h3::TransportEvent::Closed(error) = event {
            pair.client.on_closed(error);
        }
    }
    assert_eq!(failure(&mut pair.client, sent).retry, Retry::Unknown);
    let error = failure(&mut pair.client, unsent);
    assert_eq!(error.code, Code::H3_INTERNAL_ERROR);
    assert_eq!(
        error.retry,
        Retry::SafeOnNewConnection,
        "no byte of it was sent"
    );
    assert!(matches!(
        pair.client.check_request(),
        Err(SendError::Connection(_))
    ));
    assert_eq!(pair.client.in_flight(), 0);
}

#[test]
fn requests_that_the_server_ignored_as_early_data_may_be_sent_again() {
    let mut pair = Pair::new();
    let stream = pair.get();
    pair.client.on_early_data_decided(false);
    assert_eq!(failure(&mut pair.client, stream).retry, Retry::Safe);
}

fn uni(index: u64) -> StreamId {
    StreamId::nth(Role::Client, Direction::Unidirectional, index).expect("in range")
}

#[test]
fn grease_disturbs_nobody() {
    let mut config = Config::default();
    config.grease_seed = Some(42);
    let mut pair = Pair::with(config.clone(), config, Options::default());
    let stream = pair.get();
    pair.answer(stream, 200, b"x");
    assert_eq!(content(&received(&mut pair.client, stream)), b"x");
    assert_eq!((pair.client.error(), pair.server.error()), (None, None));
    assert_eq!(
        pair.network.client.open(Direction::Unidirectional),
        Some(uni(4)),
        "one more"
    );
}

#[test]
fn the_most_urgent_response_is_written_first() {
    let mut pair = Pair::with(no_table(), Config::default(), Options::default());
    let late = pair.request(
        &request(Method::GET, "/", &[("priority", "u=5")]),
        Finish::Now,
    );
    let soon = pair.request(
        &request(Method::GET, "/", &[("priority", "u=1")]),
        Finish::Now,
    );
    pair.run();
    for stream in [late, soon] {
        pair.server
            .send_response(stream, &response(200, &[]), Finish::Now)
            .expect("response");
    }
    assert_eq!(
        pair.server.poll_transmit().map(|transmit| transmit.stream),
        Some(soon)
    );
    assert!(pair.network.server.record().priorities.contains(&(soon, 6)));
}

#[test]
fn frames_of_an_extension_are_handed_over_when_asked_for() {
    let ty = FrameType::new(0x1234).expect("in range");
    let mut server = Config::default();
    server.extension_frames = vec![ty];
    server.extension_settings = vec![(0x4242, 7)];
    let mut client = Config::default();
    client.extension_settings = vec![(0x4242, 1)];
    let mut pair = Pair::with(client, server, Options::default());
    let stream = pair.request(&request(Method::POST, "/", &[]), Finish::Later);
    pair.client
        .send_extension_frame(stream, ty, b"own")
        .expect("sent");
    let known = pair
        .client
        .send_extension_frame(stream, FrameType::GOAWAY, b"");
    assert!(matches!(known, Err(SendError::OutOfOrder(_))));
    pair.run();
    let settings = pair.client.peer_settings().expect("they arrived");
    assert_eq!(settings.extension(0x4242), Some(7));
    let all = received(&mut pair.server, stream);
    assert_eq!(
        all[1],
        Ok(Incoming::Extension(ty, Bytes::from_static(b"own")))
    );
    // The client did not ask for any, so that they are skipped there.
    pair.server
        .send_extension_frame(stream, ty, b"own")
        .expect("sent");
    pair.answer(stream, 200, b"x");
    assert_eq!(content(&received(&mut pair.client, stream)), b"x");
}
