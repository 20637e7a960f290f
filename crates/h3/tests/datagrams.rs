//! HTTP datagrams in their three profiles, and peers that break their rules.

mod support;

use http::Method;
use portway_h3::datagram::{
    ContextChange, Datagram, ExtensionString, FLOW_HEADER, Profile, Profiles,
};
use portway_h3::error::Code;
use portway_h3::memory::Options;
use portway_h3::message::{Protocol, RequestHead};
use portway_h3::{
    Action, Config, Direction, Event, Finish, Incoming, Role, SendError, StreamId, Transport,
    varint,
};
use support::{
    GET, Pair, Raw, bidi, events, failure, fields, frame, get, headers, received, request, response,
};

fn config(datagrams: Profiles) -> Config {
    let mut config = Config::default();
    config.extended_connect = true;
    config.datagrams = datagrams;
    config
}

fn only(profile: Profile) -> Profiles {
    let mut profiles = Profiles::default();
    match profile {
        Profile::Rfc9297 => profiles.rfc9297 = true,
        Profile::Draft01 => profiles.draft_01 = true,
        _ => profiles.draft_00 = true,
    }
    profiles
}

fn pair(profiles: Profiles) -> Pair {
    let mut pair = Pair::with(config(profiles), config(profiles), Options::default());
    pair.run();
    pair
}

fn masque() -> RequestHead {
    let mut head = request(Method::CONNECT, "/udp", &[]);
    head.protocol = Protocol::new("connect-udp");
    head
}

/// Opens a request that has datagrams, known to both applications.
fn session(pair: &mut Pair) -> StreamId {
    let stream = pair.request(&masque(), Finish::Later);
    pair.run();
    received(&mut pair.server, stream);
    events(&mut pair.server);
    stream
}

fn payload(datagram: Option<Datagram>) -> Vec<u8> {
    datagram.expect("a datagram").payload.to_vec()
}

fn text(text: &str) -> ExtensionString {
    ExtensionString::new(text).expect("the grammar")
}

#[test]
fn datagrams_belong_to_requests_in_both_directions() {
    let mut pair = pair(Profiles::rfc9297());
    assert_eq!(pair.client.datagram_profile(), Some(Profile::Rfc9297));
    let (one, two) = (session(&mut pair), session(&mut pair));
    pair.client.send_datagram(one, 0, b"one").expect("sent");
    pair.client.send_datagram(two, 0, b"two").expect("sent");
    pair.client
        .send_datagram(two, 0, b"")
        .expect("empty is fine");
    pair.run();
    let seen = events(&mut pair.server);
    assert_eq!(seen, [Event::Datagram(one), Event::Datagram(two)]);
    assert_eq!(payload(pair.server.receive_datagram(one)), b"one");
    assert_eq!(pair.server.receive_datagram(one), None);
    assert_eq!(payload(pair.server.receive_datagram(two)), b"two");
    assert_eq!(payload(pair.server.receive_datagram(two)), b"");
    pair.server.send_datagram(one, 0, b"back").expect("sent");
    pair.run();
    assert_eq!(payload(pair.client.receive_datagram(one)), b"back");
}

#[test]
fn a_datagram_that_goes_at_once_goes_behind_those_that_wait() {
    let mut pair = pair(Profiles::rfc9297());
    let stream = session(&mut pair);
    pair.client.send_datagram(stream, 0, b"one").expect("sent");
    let end = pair.network.end(Role::Client);
    let sent = pair.client.send_datagram_over(end, stream, 0, b"two");
    sent.expect("sent");
    let max = pair.client.max_datagram_payload(stream, 0).expect("told");
    let long = vec![0; max + 1];
    let end = pair.network.end(Role::Client);
    let refused = pair.client.send_datagram_over(end, stream, 0, &long);
    assert_eq!(refused, Err(SendError::DatagramTooLarge { max }));
    pair.run();
    for sent in [b"one", b"two"] {
        assert_eq!(payload(pair.server.receive_datagram(stream)), sent);
    }
    assert_eq!(pair.server.receive_datagram(stream), None);
}

#[test]
fn nothing_is_sent_before_both_sides_offered_datagrams() {
    for (client, server) in [
        (Profiles::default(), Profiles::rfc9297()),
        (Profiles::rfc9297(), Profiles::default()),
        (only(Profile::Draft01), only(Profile::Draft00)),
    ] {
        let mut pair = Pair::with(config(client), config(server), Options::default());
        pair.run();
        let stream = session(&mut pair);
        let refused = pair.client.send_datagram(stream, 0, b"x");
        assert_eq!(refused, Err(SendError::NotOffered("datagrams")));
    }
}

#[test]
fn a_request_without_a_use_for_datagrams_gets_none() {
    let mut pair = pair(Profiles::rfc9297());
    let stream = pair.get();
    let refused = pair.client.send_datagram(stream, 0, b"x");
    assert!(matches!(refused, Err(SendError::OutOfOrder(_))));
    pair.client.accept_datagrams(stream);
    // The request itself is over, so that nothing may be sent for it.
    let late = pair.client.send_datagram(stream, 0, b"x");
    assert!(matches!(late, Err(SendError::OutOfOrder(_))));
    let open = pair.request(&request(Method::POST, "/", &[]), Finish::Later);
    pair.run();
    pair.client.accept_datagrams(open);
    pair.client
        .send_datagram(open, 0, b"x")
        .expect("the application says so");
    pair.run();
    let error = failure(&mut pair.server, open);
    assert_eq!(error.code, Code::H3_DATAGRAM_ERROR);
    assert_eq!(pair.server.error(), None);
}

#[test]
fn the_longest_payload_is_told_and_kept() {
    let mut options = Options::default();
    options.datagram_max = Some(100);
    let mut pair = Pair::with(
        config(Profiles::rfc9297()),
        config(Profiles::rfc9297()),
        options,
    );
    pair.run();
    let stream = session(&mut pair);
    assert_eq!(pair.client.max_datagram_payload(stream, 0), Some(99));
    pair.client
        .send_datagram(stream, 0, &[7; 99])
        .expect("fits");
    let refused = pair.client.send_datagram(stream, 0, &[7; 100]);
    assert_eq!(refused, Err(SendError::DatagramTooLarge { max: 99 }));
}

#[test]
fn unread_and_unsent_datagrams_are_bounded() {
    let mut pair = pair(Profiles::rfc9297());
    let stream = session(&mut pair);
    for n in 0..200u8 {
        pair.client.send_datagram(stream, 0, &[n]).expect("queued");
    }
    pair.run();
    let kept: Vec<u8> = std::iter::from_fn(|| pair.server.receive_datagram(stream))
        .map(|datagram| datagram.payload[0])
        .collect();
    assert_eq!(
        kept,
        (136..200).collect::<Vec<u8>>(),
        "the oldest made room"
    );
    for n in 0..200u8 {
        pair.client.send_datagram(stream, 0, &[n]).expect("queued");
        pair.run();
    }
    let kept = std::iter::from_fn(|| pair.server.receive_datagram(stream)).count();
    assert_eq!(kept, 64);
}

#[test]
fn datagrams_of_one_flow_leave_side_by_side_and_in_order() {
    let mut pair = pair(only(Profile::Draft00));
    let stream = |flow: &str, pair: &mut Pair| {
        let mut head = masque();
        let value = flow.parse().expect("a value");
        head.headers.insert("datagram-flow-id", value);
        let stream = pair.request(&head, Finish::Later);
        pair.run();
        stream
    };
    let (first, second) = (stream("0", &mut pair), stream("2", &mut pair));
    for n in 0..6u8 {
        let (stream, flow) = if n % 2 == 0 { (first, 0) } else { (second, 2) };
        let sent = pair.client.send_datagram(stream, flow, &[n]);
        sent.expect("queued");
    }
    let mut left = Vec::new();
    while let Some(action) = pair.client.poll_action() {
        if let Action::Datagram(bytes) = action {
            left.push((bytes[0], bytes[1]));
        }
    }
    assert_eq!(left, [(0, 0), (0, 2), (0, 4), (2, 1), (2, 3), (2, 5)]);
}

#[test]
fn messages_with_capsules_have_no_content_of_another_kind() {
    let content_length = [("capsule-protocol", "?1"), ("content-length", "0")];
    let mut raw = raw_server(Profile::Rfc9297);
    raw.write(bidi(0), &connect(&content_length), false);
    assert!(
        raw.record()
            .resets
            .contains(&(bidi(0), Code::H3_MESSAGE_ERROR))
    );
    // The same without the announcement is the business of the protocol.
    raw.write(bidi(1), &connect(&content_length[1..]), false);
    raw.write(
        bidi(2),
        &connect(&[("capsule-protocol", "?0"), ("content-length", "0")]),
        false,
    );
    raw.assert_open();
    assert_eq!(raw.record().resets.len(), 1);

    for (status, header) in [("204", None), ("206", None), ("200", Some("content-type"))] {
        let mut pair = pair(Profiles::rfc9297());
        let mut head = masque();
        head.headers = fields(&[("capsule-protocol", "?1")]);
        let stream = pair.request(&head, Finish::Later);
        pair.run();
        let mut lines = vec![(":status", status), ("capsule-protocol", "?1")];
        lines.extend(header.map(|name| (name, "text/plain")));
        pair.network.server.inject(stream, &headers(&lines), false);
        pair.run();
        let error = failure(&mut pair.client, stream);
        assert_eq!(error.code, Code::H3_MESSAGE_ERROR, "{status}");
    }
}

#[test]
fn capsules_are_not_announced_beside_content() {
    let mut pair = pair(Profiles::rfc9297());
    pair.run();
    let mut head = masque();
    head.headers = fields(&[("capsule-protocol", "?1"), ("content-type", "text/plain")]);
    let stream = pair.network.client.open(Direction::Bidirectional);
    let stream = stream.expect("a stream");
    let refused = pair.client.send_request(stream, &head, Finish::Later);
    assert!(matches!(refused, Err(SendError::Unsendable(_))));
    let stream = session(&mut pair);
    let announced = [("capsule-protocol", "?1")];
    for status in [204, 205, 206, 300, 404] {
        let head = response(status, &announced);
        let refused = pair.server.send_response(stream, &head, Finish::Later);
        assert!(matches!(refused, Err(SendError::Unsendable(_))), "{status}");
    }
    let head = response(200, &announced);
    let sent = pair.server.send_response(stream, &head, Finish::Later);
    assert_eq!(sent, Ok(()));
}

/// A server with a profile, and the client's control stream offering it.
fn raw_server(profile: Profile) -> Raw {
    let mut raw = Raw::silent(Role::Server, config(only(profile)), Options::default());
    let identifier = match profile {
        Profile::Rfc9297 => 0x33,
        Profile::Draft01 => 0xffd276,
        _ => 0x276,
    };
    let mut settings = Vec::new();
    varint::encode(identifier, &mut settings);
    settings.push(1);
    let control = raw.uni(0);
    raw.write(
        control,
        &[&[0x00][..], &frame(4, &settings)].concat(),
        false,
    );
    raw
}

fn connect(extra: &[(&str, &str)]) -> Vec<u8> {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/udp"),
    ];
    headers(&[&fields[..], extra].concat())
}

fn datagram(raw: &mut Raw, bytes: &[u8]) {
    raw.network.client.inject_datagram(bytes);
    raw.run();
}

#[test]
fn a_datagram_before_its_request_waits_for_it() {
    let mut raw = raw_server(Profile::Rfc9297);
    for n in 0..50 {
        datagram(&mut raw, &[0, n]);
    }
    raw.write(bidi(0), &connect(&[]), false);
    let kept: Vec<u8> = std::iter::from_fn(|| raw.connection.receive_datagram(bidi(0)))
        .map(|datagram| datagram.payload[0])
        .collect();
    assert_eq!(kept, (34..50).collect::<Vec<u8>>(), "a few are kept");
}

#[test]
fn a_datagram_before_the_settings_waits_for_them() {
    let mut raw = Raw::silent(
        Role::Server,
        config(Profiles::rfc9297()),
        Options::default(),
    );
    datagram(&mut raw, b"\0early");
    let control = raw.uni(0);
    raw.write(
        control,
        &[&[0x00][..], &frame(4, &[0x33, 1])].concat(),
        false,
    );
    raw.write(bidi(0), &connect(&[]), false);
    assert_eq!(payload(raw.connection.receive_datagram(bidi(0))), b"early");
}

#[test]
fn datagrams_for_streams_that_are_over_are_dropped() {
    let mut raw = raw_server(Profile::Rfc9297);
    raw.write(bidi(0), &connect(&[]), true);
    received(&mut raw.connection, bidi(0));
    datagram(&mut raw, b"\0late");
    assert_eq!(raw.connection.receive_datagram(bidi(0)), None);
    raw.connection.release(bidi(0));
    datagram(&mut raw, b"\0later");
    raw.assert_open();
}

#[test]
fn a_datagram_that_names_no_stream_closes_the_connection() {
    for profile in [Profile::Rfc9297, Profile::Draft01, Profile::Draft00] {
        let code = match profile {
            Profile::Rfc9297 => Code::H3_DATAGRAM_ERROR,
            _ => Code::H3_GENERAL_PROTOCOL_ERROR,
        };
        for broken in [&[][..], &[0x40], &[0xc0, 0, 0]] {
            let mut raw = raw_server(profile);
            datagram(&mut raw, broken);
            raw.assert_closed(code);
        }
    }
    let mut raw = raw_server(Profile::Rfc9297);
    let mut beyond = Vec::new();
    varint::encode(1 << 60, &mut beyond);
    datagram(&mut raw, &beyond);
    raw.assert_closed(Code::H3_DATAGRAM_ERROR);
}

#[test]
fn zero_length_payloads_in_a_loop_hold_a_bounded_number() {
    let mut raw = raw_server(Profile::Rfc9297);
    raw.write(bidi(0), &connect(&[]), false);
    for _ in 0..10_000 {
        raw.network.client.inject_datagram(&[0]);
    }
    raw.run();
    raw.assert_open();
    assert_eq!(
        std::iter::from_fn(|| raw.connection.receive_datagram(bidi(0))).count(),
        64
    );
}

#[test]
fn contexts_of_draft_01_are_registered_used_and_closed() {
    let mut pair = pair(only(Profile::Draft01));
    assert_eq!(pair.client.datagram_profile(), Some(Profile::Draft01));
    let stream = session(&mut pair);
    let refused = pair.client.send_datagram(stream, 0, b"x");
    assert!(
        matches!(refused, Err(SendError::OutOfOrder(_))),
        "not registered"
    );
    let context = pair
        .client
        .open_context(stream, &text("a=b"))
        .expect("a context");
    assert_eq!(context, 0);
    pair.client
        .send_datagram(stream, context, b"x")
        .expect("registered");
    pair.client
        .send_datagram_on_stream(stream, context, b"reliable")
        .expect("registered");
    pair.run();
    let registered = ContextChange::Registered {
        context,
        extensions: text("a=b"),
    };
    let all = received(&mut pair.server, stream);
    assert_eq!(all, [Ok(Incoming::Context(registered))]);
    let got: Vec<Vec<u8>> = std::iter::from_fn(|| pair.server.receive_datagram(stream))
        .map(|datagram| datagram.payload.to_vec())
        .collect();
    assert!(got.contains(&b"reliable".to_vec()), "{got:?}");
    assert_eq!(
        pair.server
            .open_context(stream, &text(""))
            .expect("a context"),
        1
    );
    pair.server
        .close_context(stream, context, &text(""))
        .expect("open");
    pair.run();
    let all = received(&mut pair.client, stream);
    assert_eq!(all.len(), 2, "registered and closed: {all:?}");
    let late = pair.client.send_datagram(stream, context, b"x");
    assert!(matches!(late, Err(SendError::OutOfOrder(_))));
    let again = pair.client.close_context(stream, context, &text(""));
    assert!(matches!(again, Err(SendError::OutOfOrder(_))));
}

fn capsule(payload: &[u8]) -> Vec<u8> {
    frame(0xffcab5, payload)
}

#[test]
fn rules_of_contexts_end_their_stream_only() {
    for capsules in [
        vec![&[0x00, 1][..]],
        vec![&[0x00, 0], &[0x00, 0]],
        vec![&[0x01, 0]],
        vec![&[0x00, 0], &[0x01, 0], &[0x01, 0]],
        vec![&[0x00]],
        vec![&[]],
    ] {
        let mut raw = raw_server(Profile::Draft01);
        raw.write(bidi(0), &connect(&[]), false);
        for payload in capsules {
            raw.write(bidi(0), &capsule(payload), false);
        }
        raw.assert_open();
        let error = failure(&mut raw.connection, bidi(0));
        assert_eq!(error.code, Code::H3_GENERAL_PROTOCOL_ERROR);
    }
}

#[test]
fn a_datagram_without_its_context_ends_its_stream_only() {
    let mut raw = raw_server(Profile::Draft01);
    raw.write(bidi(0), &connect(&[]), false);
    datagram(&mut raw, &[0x00]);
    raw.assert_open();
    let error = failure(&mut raw.connection, bidi(0));
    assert_eq!(error.code, Code::H3_GENERAL_PROTOCOL_ERROR);
}

#[test]
fn datagrams_of_unknown_and_closed_contexts_are_dropped() {
    let mut raw = raw_server(Profile::Draft01);
    raw.write(bidi(0), &connect(&[]), false);
    datagram(&mut raw, b"\0\0unknown");
    raw.write(
        bidi(0),
        &[capsule(&[0x00, 0]), capsule(&[0x01, 0])].concat(),
        false,
    );
    datagram(&mut raw, b"\0\0closed");
    raw.assert_open();
    assert_eq!(raw.connection.receive_datagram(bidi(0)), None);
}

#[test]
fn an_extension_string_that_cannot_be_is_refused() {
    let mut raw = raw_server(Profile::Draft01);
    raw.write(
        bidi(0),
        &[connect(&[]), capsule(b"\x00\x00a b")].concat(),
        false,
    );
    raw.assert_open();
    let sent = raw.sent(bidi(0));
    assert!(sent.ends_with(&capsule(&[0x01, 0x00])), "{sent:?}");
    let mut raw = raw_server(Profile::Draft01);
    raw.write(
        bidi(0),
        &[connect(&[]), capsule(b"\x00\x00timestamp")].concat(),
        false,
    );
    assert!(matches!(
        received(&mut raw.connection, bidi(0))[1],
        Ok(Incoming::Context(_))
    ));
}

#[test]
fn unknown_and_huge_capsules_are_skipped() {
    let mut raw = raw_server(Profile::Draft01);
    let huge = [&[0x02, 0x00][..], &[7; 20_000]].concat();
    let bytes = [connect(&[]), capsule(&[0x17, 1, 2]), capsule(&huge)].concat();
    raw.write(bidi(0), &bytes, true);
    raw.assert_open();
    assert_eq!(
        received(&mut raw.connection, bidi(0)).last(),
        Some(&Ok(Incoming::End))
    );
}

#[test]
fn without_draft_01_its_frame_is_unknown() {
    let mut raw = raw_server(Profile::Rfc9297);
    raw.write(bidi(0), &[connect(&[]), capsule(&[0x01, 0])].concat(), true);
    raw.assert_open();
    assert_eq!(received(&mut raw.connection, bidi(0)).len(), 2);
}

#[test]
fn a_capsule_on_a_push_stream_closes_the_connection() {
    let mut config = config(only(Profile::Draft01));
    config.pushes = 1;
    let mut raw = Raw::silent(Role::Client, config, Options::default());
    let settings = frame(4, &[0x80, 0xff, 0xd2, 0x76, 1]);
    raw.write(raw.uni(0), &[&[0x00][..], &settings].concat(), false);
    let pushed = raw.uni(1);
    raw.write(
        pushed,
        &[&[0x01, 0x00][..], &capsule(&[0, 1])].concat(),
        false,
    );
    raw.assert_closed(Code::H3_FRAME_UNEXPECTED);
}

#[test]
fn flows_of_draft_00_are_named_by_requests() {
    let mut pair = pair(only(Profile::Draft00));
    let flow = pair.client.allocate_flow().expect("a flow");
    let mut head = masque();
    head.headers
        .insert(FLOW_HEADER, flow.to_string().parse().expect("a value"));
    let stream = pair.request(&head, Finish::Later);
    pair.client
        .send_datagram(stream, flow, b"x")
        .expect("named");
    let other = pair.client.send_datagram(stream, flow + 2, b"x");
    assert!(matches!(other, Err(SendError::OutOfOrder(_))));
    pair.run();
    let datagram = pair.server.receive_datagram(stream).expect("a datagram");
    assert_eq!((datagram.context, &datagram.payload[..]), (flow, &b"x"[..]));
    pair.server
        .send_datagram(stream, flow, b"back")
        .expect("named by the client");
    pair.run();
    assert_eq!(payload(pair.client.receive_datagram(stream)), b"back");
    assert_eq!(pair.server.allocate_flow(), Some(1));
}

#[test]
fn a_flow_before_its_request_waits_and_a_broken_name_is_malformed() {
    let mut raw = raw_server(Profile::Draft00);
    datagram(&mut raw, b"\x06early");
    raw.write(bidi(0), &connect(&[(FLOW_HEADER, "6")]), false);
    assert_eq!(payload(raw.connection.receive_datagram(bidi(0))), b"early");
    raw.write(
        bidi(1),
        &connect(&[(FLOW_HEADER, "1000000000000000")]),
        false,
    );
    assert_eq!(raw.record().resets, [(bidi(1), Code::H3_MESSAGE_ERROR)]);
    raw.assert_open();
}

#[test]
fn the_drafts_need_the_transport_parameter() {
    for (profile, settings) in [
        (Profile::Draft01, &[0x80, 0xff, 0xd2, 0x76, 1][..]),
        (Profile::Draft00, &[0x42, 0x76, 1]),
    ] {
        let mut options = Options::default();
        options.datagram_max = None;
        let mut raw = Raw::silent(Role::Server, config(only(profile)), options);
        let control = raw.uni(0);
        raw.write(control, &[&[0x00][..], &frame(4, settings)].concat(), false);
        raw.assert_closed(Code::H3_SETTINGS_ERROR);
    }
}

#[test]
fn a_request_that_never_asked_is_ended_when_a_datagram_comes() {
    let mut raw = raw_server(Profile::Rfc9297);
    raw.write(bidi(0), &headers(&GET), false);
    datagram(&mut raw, b"\0x");
    raw.assert_open();
    assert_eq!(
        failure(&mut raw.connection, bidi(0)).code,
        Code::H3_DATAGRAM_ERROR
    );
}

#[test]
fn origins_are_told_by_servers() {
    let mut pair = Pair::new();
    pair.server
        .send_origins(&["https://example.com", "https://b.example"])
        .expect("sent");
    pair.server
        .send_origins(&["https://b.example", "https://c.example"])
        .expect("sent");
    assert!(pair.client.send_origins(&[]).is_err());
    assert_eq!(pair.client.origins(), None);
    pair.run();
    assert!(events(&mut pair.client).contains(&Event::Origins));
    let expected = [
        "https://example.com",
        "https://b.example",
        "https://c.example",
    ];
    assert_eq!(pair.client.origins().expect("told"), expected);
    let mut raw = Raw::client(Config::default());
    raw.request(&get("/"), Finish::Now);
    let control = raw.uni(0);
    raw.write(control, &frame(0x0c, &[0, 9, b'x']), false);
    raw.assert_closed(Code::H3_FRAME_ERROR);
}
