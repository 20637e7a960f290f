//! The same bytes in other pieces are the same messages.

mod support;

use bytes::Bytes;
use portway_h3::memory::Options;
use portway_h3::{Config, Event, Finish, Incoming, Role, StreamId};
use support::{
    GET, OK, POST, Pair, Raw, bidi, content, events, fields, frame, get, headers, received,
    request, response, section,
};

fn messages() -> Vec<Vec<u8>> {
    let trailers = headers(&[("a", "b")]);
    vec![
        headers(&GET),
        [headers(&POST), frame(0, b"content")].concat(),
        [
            frame(0x21, b"grease"),
            headers(&POST),
            frame(0, b"con"),
            frame(0x40, b""),
            frame(0, b"tent"),
            trailers.clone(),
            frame(0x1f * 7 + 0x21, b"x"),
        ]
        .concat(),
        [
            headers(&[&POST[..], &[("content-length", "70")]].concat()),
            frame(0, &[7; 70]),
        ]
        .concat(),
        // A field section whose size has two bytes.
        [
            headers(&[&POST[..], &[("a", &"x".repeat(200))]].concat()),
            trailers,
        ]
        .concat(),
    ]
}

/// What a server's application gets of these pieces of one request.
fn requested(pieces: &[&[u8]]) -> Vec<String> {
    let mut raw = Raw::server(Config::default());
    let mut seen = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        raw.write(bidi(0), piece, at + 1 == pieces.len());
        seen.extend(received(&mut raw.connection, bidi(0)));
    }
    raw.assert_open();
    joined(seen)
}

/// Names each thing, with pieces of content joined.
fn joined<E: std::fmt::Debug>(seen: Vec<Result<Incoming, E>>) -> Vec<String> {
    let mut names = Vec::new();
    let mut content = Vec::new();
    for incoming in seen {
        if let Ok(Incoming::Data(bytes)) = &incoming {
            content.extend_from_slice(bytes);
            continue;
        }
        if !content.is_empty() {
            names.push(format!("{:?}", std::mem::take(&mut content)));
        }
        names.push(format!("{incoming:?}"));
    }
    names
}

#[test]
fn a_request_split_anywhere_is_the_same_request() {
    for message in messages() {
        let whole = requested(&[&message]);
        assert!(
            whole.last().is_some_and(|last| last == "Ok(End)"),
            "{whole:?}"
        );
        for cut in 0..=message.len() {
            assert_eq!(
                requested(&[&message[..cut], &message[cut..]]),
                whole,
                "cut at {cut}"
            );
        }
        let bytes: Vec<&[u8]> = message.chunks(1).collect();
        assert_eq!(requested(&bytes), whole);
    }
}

#[test]
fn a_response_split_anywhere_is_the_same_response() {
    let message = [
        headers(&[(":status", "103")]),
        headers(&OK),
        frame(0, b"content"),
        frame(0x21, b"x"),
        headers(&[("a", "b")]),
    ]
    .concat();
    let answered = |pieces: &[&[u8]]| {
        let mut raw = Raw::client(Config::default());
        let stream = raw.request(&get("/"), Finish::Now);
        let mut seen = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            raw.write(stream, piece, at + 1 == pieces.len());
            seen.extend(received(&mut raw.connection, stream));
        }
        joined(seen)
    };
    let whole = answered(&[&message]);
    assert_eq!(whole.len(), 5);
    for cut in 0..=message.len() {
        assert_eq!(
            answered(&[&message[..cut], &message[cut..]]),
            whole,
            "cut at {cut}"
        );
    }
}

#[test]
fn control_frames_split_anywhere_are_the_same_frames() {
    let message = [
        &[0x00][..],
        &frame(4, &[6, 0x40, 0x80]),
        &frame(0x21, b"x"),
        &frame(7, &[4]),
    ]
    .concat();
    for cut in 0..=message.len() {
        let mut raw = Raw::silent(Role::Client, Config::default(), Options::default());
        raw.write(raw.uni(0), &message[..cut], false);
        raw.write(raw.uni(0), &message[cut..], false);
        let seen = events(&mut raw.connection);
        let expected = [
            Event::Settings,
            Event::GoAway { identifier: 4 },
            Event::Drained,
        ];
        assert_eq!(seen, expected, "cut at {cut}");
        let settings = raw.connection.peer_settings().expect("they arrived");
        assert_eq!(settings.max_field_section_bytes, Some(128));
    }
}

/// What a peer writes on its streams, in this order: each stream, its bytes, and whether it ends.
type Script = Vec<(StreamId, Vec<u8>, bool)>;

/// Everything that an application sees of a script whose step `at` is cut at `cut`.
fn played(mut raw: Raw, script: &Script, at: usize, cut: usize) -> Vec<String> {
    for (step, (stream, bytes, fin)) in script.iter().enumerate() {
        if step == at {
            raw.write(*stream, &bytes[..cut], false);
            raw.write(*stream, &bytes[cut..], *fin);
        } else {
            raw.write(*stream, bytes, *fin);
        }
    }
    let mut seen = Vec::new();
    for event in events(&mut raw.connection) {
        // How often something is readable depends on the pieces.
        if !matches!(event, Event::Readable(_)) {
            seen.push(format!("{event:?}"));
        }
    }
    let mut streams: Vec<StreamId> = script.iter().map(|(stream, ..)| *stream).collect();
    streams.sort_unstable();
    streams.dedup();
    for stream in streams {
        seen.extend(joined(received(&mut raw.connection, stream)));
        while let Some(datagram) = raw.connection.receive_datagram(stream) {
            seen.push(format!("{datagram:?}"));
        }
    }
    seen.push(format!("{:?}", raw.connection.error()));
    // Acknowledgments and cancellations may be grouped in another way, and say the same.
    seen
}

/// Cuts every step of a script at every byte.
fn is_the_same_everywhere(make: impl Fn() -> (Raw, Script), parts: usize) {
    let (raw, script) = make();
    let whole = played(raw, &script, usize::MAX, 0);
    assert!(whole.len() >= parts, "{whole:#?}");
    for at in 0..script.len() {
        for cut in 0..=script[at].1.len() {
            let (raw, script) = make();
            assert_eq!(
                played(raw, &script, at, cut),
                whole,
                "step {at} cut at {cut}"
            );
        }
    }
}

/// Inserts `x: y` and `t: u`, with names and values of either kind of string.
fn instructions() -> Vec<u8> {
    vec![
        0x02, 0x3f, 0xe1, 0x1f, 0x41, b'x', 0x01, b'y', 0x41, b't', 0x01, b'u', 0x00,
    ]
}

#[test]
fn streams_of_the_connection_split_at_every_byte_are_the_same() {
    // Sections come before and after the instructions that they need.
    is_the_same_everywhere(
        || {
            let raw = Raw::silent(Role::Server, Config::default(), Options::default());
            let request = frame(
                1,
                &[0x03, 0x00, 0xd1, 0xd7, 0xc1, 0x50, 0x01, b'a', 0x81, 0x80],
            );
            let trailers = frame(1, &[0x03, 0x00, 0x80]);
            let content = [frame(0, b"content"), trailers].concat();
            let script = vec![
                (
                    raw.uni(0),
                    [&[0x00][..], &frame(4, &[6, 0x60, 0])].concat(),
                    false,
                ),
                (bidi(0), request.clone(), false),
                (raw.uni(1), instructions(), false),
                (bidi(0), content, true),
                (bidi(1), request, true),
                // Stream cancellations, which an encoder may always get.
                (raw.uni(2), vec![0x03, 0x44, 0x7f, 0x80, 0x01], false),
            ];
            (raw, script)
        },
        8,
    );
}

#[test]
fn pushes_split_at_every_byte_are_the_same() {
    is_the_same_everywhere(
        || {
            let mut config = Config::default();
            config.pushes = 4;
            let mut raw = Raw::client(config);
            let stream = raw.request(&get("/"), Finish::Now);
            let promise = |push_id: u8| frame(5, &[&[push_id][..], &section(&GET)].concat());
            let response = [headers(&OK), frame(0, b"content")].concat();
            let pushed = |push_id: u8| {
                let trailers = headers(&[("t", "u")]);
                [
                    &[0x01, push_id][..],
                    &response,
                    &frame(0x21, b""),
                    &trailers,
                ]
                .concat()
            };
            let script = vec![
                (raw.uni(1), pushed(1), true),
                (
                    stream,
                    [promise(0), response.clone(), promise(1)].concat(),
                    true,
                ),
                (raw.uni(2), pushed(0), true),
            ];
            (raw, script)
        },
        12,
    );
}

#[test]
fn capsules_split_at_every_byte_are_the_same() {
    is_the_same_everywhere(
        || {
            let mut config = Config::default();
            config.extended_connect = true;
            config.datagrams.draft_01 = true;
            let raw = Raw::silent(Role::Server, config, Options::default());
            let connect = [
                (":method", "CONNECT"),
                (":protocol", "connect-udp"),
                (":scheme", "https"),
                (":authority", "example.com"),
                (":path", "/"),
            ];
            let capsule = |payload: &[u8]| frame(0xffcab5, payload);
            let stream = [
                headers(&connect),
                capsule(&[0x00, 0x00, b'a', b'=', b'b']),
                capsule(&[0x02, 0x00, 1, 2, 3]),
                capsule(&[0x17, 0x00]),
                frame(0, b"content"),
                capsule(&[0x01, 0x00]),
            ];
            let settings = frame(4, &[0x80, 0xff, 0xd2, 0x76, 1]);
            let script = vec![
                (raw.uni(0), [&[0x00][..], &settings].concat(), false),
                (bidi(0), stream.concat(), true),
            ];
            (raw, script)
        },
        8,
    );
}

#[test]
fn whole_conversations_survive_every_order_and_size_of_pieces() {
    for seed in 0..20 {
        println!("seed {seed}");
        let mut options = Options::default();
        options.seed = seed;
        options.piece_max = [1, 2, 7, 100, 5000][seed as usize % 5];
        options.window = [64, 500, 10_000][seed as usize % 3];
        options.reorders = true;
        let mut config = Config::default();
        config.grease_seed = (seed % 2 == 0).then_some(seed);
        let mut pair = Pair::with(config.clone(), config, options);
        let up: Vec<u8> = (0..1000u32).map(|n| (n * 7 + seed as u32) as u8).collect();
        let post = request(
            http::Method::POST,
            "/up",
            &[("cookie", "a=1; b=2"), ("x", "y")],
        );
        let streams: Vec<_> = (0..5).map(|_| pair.request(&post, Finish::Later)).collect();
        for stream in &streams {
            let data = Bytes::copy_from_slice(&up);
            pair.client
                .send_data(*stream, data, Finish::Later)
                .expect("content");
            pair.client
                .send_trailers(*stream, &fields(&[("t", "u")]))
                .expect("trailers");
        }
        let got = exchange(&mut pair, &streams);
        for (request, answer) in got {
            assert_eq!(content(&request), up);
            assert_eq!(
                request.len(),
                request.iter().filter(|item| item.is_ok()).count()
            );
            assert!(matches!(
                request[request.len() - 2],
                Ok(Incoming::Trailers(_))
            ));
            assert_eq!(content(&answer), up);
            assert_eq!(answer.last(), Some(&Ok(Incoming::End)));
        }
        assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
    }
}

type Received = Vec<Result<Incoming, portway_h3::error::StreamError>>;

/// The server echoes; gives what each side got on each stream.
fn exchange(pair: &mut Pair, streams: &[portway_h3::StreamId]) -> Vec<(Received, Received)> {
    let mut got: Vec<(Received, Received)> = streams.iter().map(|_| Default::default()).collect();
    let is_end = |all: &Received| matches!(all.last(), Some(Ok(Incoming::End)));
    for _ in 0..20_000 {
        pair.run();
        for (stream, (request, answer)) in streams.iter().zip(&mut got) {
            let was_complete = is_end(request);
            request.extend(received(&mut pair.server, *stream));
            if is_end(request) && !was_complete {
                let head = response(200, &[("a", "b")]);
                pair.server
                    .send_response(*stream, &head, Finish::Later)
                    .expect("head");
                let body = content(request).into();
                pair.server
                    .send_data(*stream, body, Finish::Now)
                    .expect("content");
            }
            answer.extend(received(&mut pair.client, *stream));
        }
        if got.iter().all(|(_, answer)| is_end(answer)) {
            return got;
        }
    }
    panic!("the conversation does not end");
}
