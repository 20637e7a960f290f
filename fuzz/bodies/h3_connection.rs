//! A peer that does anything to a whole connection, in either role.
//!
//! Invariant: no panic, what waits is bounded, and nothing stays when everything is given up.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use portway_h3::datagram::Profiles;
use portway_h3::error::{Code, ConnectionError};
use portway_h3::frame::FrameType;
use portway_h3::memory::{Network, Options};
use portway_h3::message::{RequestHead, ResponseHead};
use portway_h3::padding::Padding;
use portway_h3::{Config, Connection, Direction, Event, Finish, Role, StreamId, Transport};
use std::time::Duration;

#[derive(Arbitrary, Debug)]
enum Act {
    Write {
        is_uni: bool,
        index: u8,
        bytes: Vec<u8>,
        fin: bool,
    },
    Reset {
        is_uni: bool,
        index: u8,
    },
    Stop {
        is_uni: bool,
        index: u8,
    },
    Datagram(Vec<u8>),
    Request,
    Receive,
    Release(u8),
    Open {
        is_uni: bool,
    },
    Wait(u8),
    Shutdown,
}

#[derive(Arbitrary, Debug)]
struct Input {
    is_client: bool,
    is_padded: bool,
    has_extensions: bool,
    acts: Vec<Act>,
}

/// How many streams of each kind the peer acts on.
const PEER_STREAMS: u8 = 16;

/// The type of streams of an extension, in both directions.
const EXTENSION: u64 = 0x21 + 0x1f;

pub(crate) fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let (role, peer) = match input.is_client {
        true => (Role::Client, Role::Server),
        false => (Role::Server, Role::Client),
    };
    let mut config = Config::default();
    config.pushes = 3;
    config.extended_connect = true;
    config.datagrams = Profiles::all();
    if input.is_padded {
        config.padding = Padding::Blocks(64);
    }
    if input.has_extensions {
        config.extension_streams = vec![EXTENSION];
        config.extension_bidirectional = FrameType::new(EXTENSION).into_iter().collect();
    }
    let mut connection = Connection::new(role, config);
    let mut network = Network::new(Options::default());
    let control = StreamId::nth(peer, Direction::Unidirectional, 0).expect("in range");
    network
        .end(peer)
        .inject(control, &[0x00, 0x04, 0x00], false);
    let mut streams = Vec::new();
    let mut now = Duration::ZERO;
    for act in input.acts {
        if let Act::Wait(seconds) = act {
            now += Duration::from_secs(seconds.into());
        }
        apply(act, peer, &mut connection, &mut network, &mut streams);
        settle(role, &mut connection, &mut network, now);
        answer(&mut connection, &mut streams);
    }
    connection.on_closed(ConnectionError::peer(Code::H3_NO_ERROR, "over"));
    let of_peer =
        (0..PEER_STREAMS).flat_map(|index| [false, true].map(|uni| named(peer, uni, index)));
    for stream in of_peer.chain(streams) {
        while connection.receive(stream).is_some() {}
        connection.release(stream);
    }
    assert_eq!(connection.in_flight(), 0);
}

/// A stream that the peer acts on.
fn named(peer: Role, is_uni: bool, index: u8) -> StreamId {
    let (initiator, direction) = match is_uni {
        true => (peer, Direction::Unidirectional),
        false => (Role::Client, Direction::Bidirectional),
    };
    StreamId::nth(initiator, direction, index.into()).expect("in range")
}

fn apply(
    act: Act,
    peer: Role,
    connection: &mut Connection,
    network: &mut Network,
    streams: &mut Vec<StreamId>,
) {
    let stream = |is_uni: bool, index: u8| named(peer, is_uni, index % PEER_STREAMS);
    match act {
        Act::Write {
            is_uni,
            index,
            bytes,
            fin,
        } => {
            network.end(peer).inject(stream(is_uni, index), &bytes, fin);
        }
        Act::Reset { is_uni, index } => {
            network
                .end(peer)
                .reset(stream(is_uni, index), Code::H3_REQUEST_CANCELLED);
        }
        Act::Stop { is_uni, index } => {
            network
                .end(peer)
                .stop(stream(is_uni, index), Code::H3_NO_ERROR);
        }
        Act::Datagram(bytes) => network.end(peer).inject_datagram(&bytes),
        Act::Request if connection.check_request().is_ok() => {
            let uri = "https://example.com/".parse().expect("a target");
            let head = RequestHead::new(http::Method::GET, uri);
            let opened = network
                .client
                .open(Direction::Bidirectional)
                .expect("a stream");
            if connection.send_request(opened, &head, Finish::Now).is_ok() {
                streams.push(opened);
            }
        }
        Act::Request => {}
        Act::Receive => {
            for stream in streams {
                let _ = connection.receive(*stream);
            }
        }
        Act::Release(index) => {
            if let Some(stream) = streams.get(usize::from(index)) {
                connection.release(*stream);
            }
        }
        Act::Open { is_uni } => {
            let direction = match is_uni {
                true => Direction::Unidirectional,
                false => Direction::Bidirectional,
            };
            let role = connection.role();
            let opened = network.end(role).open(direction).expect("a stream");
            if connection.open_extension_stream(opened, EXTENSION).is_ok() {
                let _ = connection.send_data(opened, Bytes::from_static(b"raw"), Finish::Later);
                streams.push(opened);
            }
        }
        Act::Wait(_) => {}
        Act::Shutdown => connection.shutdown(),
    }
}

fn answer(connection: &mut Connection, streams: &mut Vec<StreamId>) {
    while let Some(event) = connection.poll_event() {
        if let Event::ExtensionStream { stream, .. } = event {
            streams.push(stream);
            let _ = connection.send_data(stream, Bytes::from_static(b"x"), Finish::Now);
        }
        if let Event::Request(stream) = event {
            streams.push(stream);
            let head = ResponseHead::new(http::StatusCode::OK);
            let _ = connection.send_response(stream, &head, Finish::Later);
            let _ = connection.send_data(stream, Bytes::from_static(b"x"), Finish::Now);
        }
    }
}

fn settle(role: Role, connection: &mut Connection, network: &mut Network, now: Duration) {
    loop {
        connection.drive(network.end(role), now);
        if !network.step() {
            return;
        }
    }
}
