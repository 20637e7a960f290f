//! Streams that an application adds to HTTP/3, and padding.

mod support;

use bytes::Bytes;
use portway_h3::error::Code;
use portway_h3::frame::FrameType;
use portway_h3::memory::Options;
use portway_h3::padding::Padding;
use portway_h3::{
    Config, Direction, Event, Finish, Incoming, Role, SendError, StreamId, Transport,
};
use support::{
    GET, Pair, Raw, bidi, content, events, fields, frame, get, headers, received, response,
};

/// The type of a unidirectional stream, and the first type of a bidirectional one.
const UNI: u64 = 0x54;
const BIDI: u64 = 0x41;

fn config() -> Config {
    let mut config = Config::default();
    config.extension_streams = vec![UNI];
    config.extension_bidirectional = vec![FrameType::new(BIDI).expect("62 bits")];
    config
}

fn pair() -> Pair {
    let mut pair = Pair::with(config(), config(), Options::default());
    pair.run();
    events(&mut pair.client);
    events(&mut pair.server);
    pair
}

/// Opens a stream of the extension at one end.
fn open(pair: &mut Pair, role: Role, direction: Direction) -> StreamId {
    let stream = pair.network.end(role).open(direction).expect("a stream");
    let (connection, ty) = match (role, direction) {
        (Role::Client, Direction::Bidirectional) => (&mut pair.client, BIDI),
        (Role::Client, Direction::Unidirectional) => (&mut pair.client, UNI),
        (Role::Server, Direction::Bidirectional) => (&mut pair.server, BIDI),
        (Role::Server, Direction::Unidirectional) => (&mut pair.server, UNI),
    };
    connection.open_extension_stream(stream, ty).expect("free");
    stream
}

#[test]
fn both_ends_open_streams_of_an_extension_in_both_directions() {
    for role in [Role::Client, Role::Server] {
        for direction in [Direction::Unidirectional, Direction::Bidirectional] {
            let mut pair = pair();
            let stream = open(&mut pair, role, direction);
            let (opener, other, ty) = match role {
                Role::Client => (&mut pair.client, Role::Server, "client"),
                Role::Server => (&mut pair.server, Role::Client, "server"),
            };
            println!("from the {ty}, {direction:?}");
            opener
                .send_data(stream, Bytes::from_static(b"\x00raw"), Finish::Now)
                .expect("bytes");
            pair.run();
            let (acceptor, opener) = match other {
                Role::Server => (&mut pair.server, &mut pair.client),
                Role::Client => (&mut pair.client, &mut pair.server),
            };
            let ty = match direction {
                Direction::Unidirectional => UNI,
                Direction::Bidirectional => BIDI,
            };
            let opened = events(acceptor);
            assert_eq!(opened[0], Event::ExtensionStream { stream, ty });
            let got = received(acceptor, stream);
            assert_eq!(content(&got), b"\x00raw", "no frames are around it");
            assert_eq!(got.last(), Some(&Ok(Incoming::End)));
            if direction == Direction::Bidirectional {
                acceptor
                    .send_data(stream, Bytes::from_static(b"back"), Finish::Now)
                    .expect("bytes");
                assert!(opener.receive(stream).is_none());
                pair.run();
                let opener = match role {
                    Role::Client => &mut pair.client,
                    Role::Server => &mut pair.server,
                };
                assert_eq!(content(&received(opener, stream)), b"back");
            }
            assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
        }
    }
}

#[test]
fn a_stream_of_an_extension_split_anywhere_is_the_same() {
    let wire = [&[0x40, BIDI as u8][..], &headers(&GET), b"\xff\xff"].concat();
    for cut in 0..=wire.len() {
        let mut raw = Raw::server(config());
        raw.write(bidi(0), &wire[..cut], false);
        raw.write(bidi(0), &wire[cut..], true);
        let opened = events(&mut raw.connection);
        let stream = bidi(0);
        assert!(opened.contains(&Event::ExtensionStream { stream, ty: BIDI }));
        let got = received(&mut raw.connection, stream);
        assert_eq!(content(&got), wire[2..], "cut at {cut}");
        assert_eq!(got.last(), Some(&Ok(Incoming::End)));
    }
}

#[test]
fn requests_go_on_beside_streams_of_an_extension() {
    let mut pair = pair();
    let raw = open(&mut pair, Role::Client, Direction::Bidirectional);
    let request = pair.get();
    let seen = events(&mut pair.server);
    assert!(seen.contains(&Event::Request(request)));
    let opened = Event::ExtensionStream {
        stream: raw,
        ty: BIDI,
    };
    assert!(seen.contains(&opened));
    pair.answer(request, 200, b"content");
    let got = received(&mut pair.client, request);
    assert_eq!(content(&got), b"content");
}

#[test]
fn the_reader_of_an_extensions_stream_sets_its_pace() {
    let mut options = Options::default();
    options.window = 4000;
    options.piece_max = 1000;
    let mut config = config();
    config.limits.receive_buffer_bytes = 2000;
    let mut pair = Pair::with(config.clone(), config, options);
    let stream = open(&mut pair, Role::Client, Direction::Unidirectional);
    let sent: Vec<u8> = (0..60_000u32).map(|n| n as u8).collect();
    pair.client
        .send_data(stream, sent.clone().into(), Finish::Now)
        .expect("bytes");
    pair.run();
    assert!(!pair.server.wants_read(stream));
    let mut got = Vec::new();
    let mut largest = 0;
    while got.len() < sent.len() {
        let piece = content(&received(&mut pair.server, stream));
        largest = largest.max(piece.len());
        got.extend(piece);
        pair.run();
    }
    assert_eq!(got, sent);
    assert!(largest <= 3000, "{largest} bytes waited at once");
}

#[test]
fn a_stream_of_an_extension_has_no_frames_and_no_trailers() {
    let mut pair = pair();
    let stream = open(&mut pair, Role::Client, Direction::Bidirectional);
    let extension = FrameType::new(0x4242).expect("62 bits");
    let wrong = |error| matches!(error, Err(SendError::OutOfOrder(_)));
    let client = &mut pair.client;
    assert!(wrong(client.send_extension_frame(stream, extension, b"x")));
    assert!(wrong(client.send_trailers(stream, &fields(&[]))));
    pair.run();
    assert!(wrong(pair.server.send_response(
        stream,
        &response(200, &[]),
        Finish::Now
    )));
    let request = pair.client.send_request(stream, &get("/"), Finish::Now);
    assert_eq!(request, Err(SendError::UnknownStream));
}

#[test]
fn types_of_http3_and_streams_in_use_are_refused() {
    let mut pair = pair();
    let uni = pair.network.client.open(Direction::Unidirectional);
    let uni = uni.expect("a stream");
    for ty in [0x00, 0x01, 0x02, 0x03, u64::MAX] {
        let refused = pair.client.open_extension_stream(uni, ty);
        assert!(matches!(refused, Err(SendError::OutOfOrder(_))), "{ty:#x}");
    }
    let bidi = pair.network.client.open(Direction::Bidirectional);
    let bidi = bidi.expect("a stream");
    for ty in [0x00, 0x01, 0x04, 0x06, 0x0d, 0xf0700] {
        let refused = pair.client.open_extension_stream(bidi, ty);
        assert!(matches!(refused, Err(SendError::OutOfOrder(_))), "{ty:#x}");
    }
    let open = |stream, connection: &mut portway_h3::Connection| {
        connection.open_extension_stream(stream, UNI)
    };
    assert_eq!(
        open(uni, &mut pair.server),
        Err(SendError::UnknownStream),
        "not ours"
    );
    assert_eq!(open(uni, &mut pair.client), Ok(()));
    assert_eq!(open(uni, &mut pair.client), Err(SendError::UnknownStream));
}

#[test]
fn streams_of_an_extension_are_bounded_until_they_are_released() {
    let mut config = config();
    config.limits.extension_streams = 2;
    let mut raw = Raw::server(config);
    for index in 0..3 {
        raw.write(bidi(index), &[0x40, BIDI as u8, 7], false);
    }
    raw.assert_open();
    let refused = (bidi(2), Code::H3_REQUEST_REJECTED);
    assert!(raw.record().resets.contains(&refused));
    assert!(raw.record().stops.contains(&refused));
    let uni = raw.uni(5);
    raw.write(uni, &[0x40, UNI as u8, 7], false);
    let stopped = (uni, Code::H3_REQUEST_REJECTED);
    assert!(raw.record().stops.contains(&stopped));
    raw.connection.release(bidi(0));
    raw.write(bidi(3), &[0x40, BIDI as u8], false);
    let opened = Event::ExtensionStream {
        stream: bidi(3),
        ty: BIDI,
    };
    assert_eq!(events(&mut raw.connection).last(), Some(&opened));
}

#[test]
fn resets_and_stops_of_an_extensions_stream_carry_its_codes() {
    let mut pair = pair();
    let stream = open(&mut pair, Role::Server, Direction::Bidirectional);
    pair.run();
    let code = Code::new(0x52e4a40fa8db);
    pair.client.reset(stream, code);
    pair.client.stop(stream, code);
    pair.run();
    assert_eq!(support::failure(&mut pair.server, stream).code, code);
    let seen = events(&mut pair.server);
    let stop = seen.iter().find_map(|event| match event {
        Event::Stopped(id, error) if *id == stream => Some(error.code),
        _ => None,
    });
    assert_eq!(stop, Some(code));
    assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
}

#[test]
fn what_no_extension_explains_is_refused_as_before() {
    let mut raw = Raw::client(config());
    let stream = StreamId::nth(Role::Server, Direction::Bidirectional, 0).expect("in range");
    raw.write(stream, &headers(&GET), false);
    raw.assert_closed(Code::H3_STREAM_CREATION_ERROR);

    let mut raw = Raw::server(config());
    raw.write(raw.uni(7), &[0x40, 0x55], false);
    raw.assert_open();
    let refused = (raw.uni(7), Code::H3_STREAM_CREATION_ERROR);
    assert!(raw.record().stops.contains(&refused));
}

#[test]
fn the_first_type_of_an_extensions_stream_is_fatal_within_a_message() {
    let mut raw = Raw::server(config());
    raw.write(bidi(0), &[headers(&GET), frame(BIDI, b"x")].concat(), false);
    raw.assert_closed(Code::H3_FRAME_ERROR);
}

#[test]
fn a_stream_that_ends_before_its_type_ends_alone() {
    let mut raw = Raw::client(config());
    let stream = StreamId::nth(Role::Server, Direction::Bidirectional, 0).expect("in range");
    raw.write(stream, &[], true);
    raw.assert_open();
    assert_eq!(raw.connection.in_flight(), 0);
    let stream = StreamId::nth(Role::Server, Direction::Bidirectional, 1).expect("in range");
    raw.reset(stream, Code::H3_NO_ERROR);
    raw.assert_open();
    assert_eq!(raw.connection.in_flight(), 0);
}

#[test]
fn padded_messages_are_a_multiple_of_the_block_and_read_the_same() {
    for block in [64u16, 100, 1000] {
        let mut config = Config::default();
        config.padding = Padding::Blocks(block);
        let block = usize::from(block);
        let mut raw = Raw::client(config.clone());
        let head = support::request(http::Method::POST, "/", &[("a", "b")]);
        let stream = raw.request(&head, Finish::Later);
        let head = raw.sent(stream);
        assert_eq!(head.len() % block, 0, "the header section");
        raw.connection
            .send_data(stream, vec![7; 777].into(), Finish::Later)
            .expect("content");
        raw.connection
            .send_trailers(stream, &fields(&[("t", "u")]))
            .expect("trailers");
        raw.run();
        let wire = [head, raw.sent(stream)].concat();
        assert_eq!(wire.len() % block, 0, "the message");

        let mut server = Raw::server(Config::default());
        server.write(bidi(0), &wire, true);
        let got = received(&mut server.connection, bidi(0));
        assert_eq!(content(&got), [7; 777]);
        assert!(matches!(got[2], Ok(Incoming::Trailers(_))), "{got:?}");
        assert_eq!(got.len(), 4);

        let mut pair = Pair::with(config.clone(), config, Options::default());
        let stream = pair.get();
        pair.answer(stream, 200, b"content");
        assert_eq!(content(&received(&mut pair.client, stream)), b"content");
        assert_eq!(pair.client.error(), None);
    }
}

#[test]
fn many_padded_messages_are_no_flood() {
    let mut config = Config::default();
    config.padding = Padding::Blocks(128);
    config.limits.glitch_burst = 10;
    let mut pair = Pair::with(config.clone(), config, Options::default());
    for _ in 0..100 {
        let stream = pair.get();
        received(&mut pair.server, stream);
        pair.answer(stream, 200, b"content");
        received(&mut pair.client, stream);
    }
    assert_eq!((pair.client.error(), pair.server.error()), (None, None));
}
