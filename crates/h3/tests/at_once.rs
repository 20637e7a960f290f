//! Messages that go to the transport without a queue are those that would have gone through it.

mod support;

use bytes::Bytes;
use http::Method;
use portway_h3::error::{Code, StreamError};
use portway_h3::memory::Options;
use portway_h3::{Config, Direction, Event, Finish, Incoming, StreamId, Transport};
use support::{Pair, events, get, received, request, response};

const CONTENT: &[u8] = b"content of thirty bytes, or so";

/// Opens a stream and sends a request with content on it at once.
fn ask(pair: &mut Pair) -> StreamId {
    let transport = &mut pair.network.client;
    let stream = transport.open(Direction::Bidirectional).expect("a stream");
    let head = request(Method::POST, "/", &[("content-length", "30")]);
    let content = Bytes::from_static(CONTENT);
    let sent = pair
        .client
        .send_request_over(transport, stream, &head, content, Finish::Now);
    sent.expect("a request");
    stream
}

/// Asserts that this is a head, the content, and the end.
fn assert_whole(all: &[Result<Incoming, StreamError>]) {
    let [Ok(head), Ok(Incoming::Data(content)), Ok(Incoming::End)] = all else {
        panic!("{all:?}");
    };
    assert!(matches!(head, Incoming::Request(_) | Incoming::Response(_)));
    assert_eq!(content, CONTENT);
}

/// Answers with content at once.
fn answer(pair: &mut Pair, stream: StreamId) {
    let head = response(200, &[("server", "x")]);
    let content = Bytes::from_static(CONTENT);
    let transport = &mut pair.network.server;
    let sent = pair
        .server
        .send_response_over(transport, stream, &head, content, Finish::Now);
    sent.expect("a response");
}

#[test]
fn a_whole_message_is_one_write_of_its_head_and_its_content() {
    let mut pair = Pair::new();
    pair.run();
    for round in 0..8 {
        let before = pair.network.client.record().writes.len();
        let stream = ask(&mut pair);
        let writes = pair.network.client.record().writes[before..].to_vec();
        // What teaches QPACK's table goes first.
        assert!(round < 3 || writes == [2], "{round}: {writes:?}");
        assert_eq!(pair.client.queued_bytes(stream), 0);
        pair.run();
        let all = received(&mut pair.server, stream);
        assert_whole(&all);
        answer(&mut pair, stream);
        assert_eq!(pair.server.in_flight(), 0, "nothing is left to do");
        pair.run();
        let all = received(&mut pair.client, stream);
        assert_whole(&all);
        assert_eq!(pair.client.in_flight(), 0);
    }
}

#[test]
fn what_waits_already_is_not_overtaken() {
    let mut pair = Pair::new();
    pair.run();
    let first = pair.request(&get("/"), Finish::Now);
    let second = ask(&mut pair);
    pair.run();
    let told: Vec<Event> = events(&mut pair.server);
    let requests = [Event::Request(first), Event::Request(second)];
    assert!(told.ends_with(&requests), "{told:?}");
    let interim = response(103, &[("link", "</style.css>")]);
    let sent = pair.server.send_interim(second, &interim);
    sent.expect("an interim response");
    answer(&mut pair, second);
    pair.run();
    let all = received(&mut pair.client, second);
    assert!(
        matches!(
            &all[..],
            [
                Ok(Incoming::Interim(_)),
                Ok(Incoming::Response(_)),
                Ok(Incoming::Data(_)),
                Ok(Incoming::End)
            ]
        ),
        "{all:?}"
    );
}

/// Lets both ends work until the smallest window has let everything through: that there is credit
/// again moves nothing by itself.
fn run_through(pair: &mut Pair) {
    (0..400).for_each(|_| pair.run());
}

#[test]
fn what_the_window_does_not_take_follows() {
    for window in (1..40).chain([60, 80, 100, 120]) {
        let mut options = Options::default();
        options.window = window;
        let mut pair = Pair::with(Config::default(), Config::default(), options);
        run_through(&mut pair);
        for _ in 0..4 {
            let stream = ask(&mut pair);
            run_through(&mut pair);
            let all = received(&mut pair.server, stream);
            assert_whole(&all);
            answer(&mut pair, stream);
            run_through(&mut pair);
            let all = received(&mut pair.client, stream);
            assert_whole(&all);
            assert_eq!(pair.server.in_flight(), 0);
        }
        assert_eq!((pair.client.error(), pair.server.error()), (None, None));
    }
}

#[test]
fn a_stream_that_was_stopped_meanwhile_is_reset() {
    let mut pair = Pair::new();
    pair.run();
    let stream = ask(&mut pair);
    pair.run();
    received(&mut pair.server, stream);
    events(&mut pair.server);
    pair.client.stop(stream, Code::H3_REQUEST_CANCELLED);
    pair.client.drive(&mut pair.network.client, pair.now);
    // The server's end knows, and the server does not yet.
    pair.network.settle();
    answer(&mut pair, stream);
    let resets = &pair.network.server.record().resets;
    assert_eq!(resets[..], [(stream, Code::H3_REQUEST_CANCELLED)]);
    let told = events(&mut pair.server);
    assert!(
        matches!(&told[..], [Event::Stopped(stopped, _)] if *stopped == stream),
        "{told:?}"
    );
    assert_eq!(pair.server.in_flight(), 0);
}
