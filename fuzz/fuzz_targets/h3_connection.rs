//! A peer that does anything to a whole connection, in either role.
//!
//! Invariant: no panic, what waits is bounded, and nothing stays when everything is given up.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use portway_h3::datagram::Profiles;
use portway_h3::error::{Code, ConnectionError};
use portway_h3::memory::{Network, Options};
use portway_h3::message::{RequestHead, ResponseHead};
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
    Shutdown,
}

fuzz_target!(|input: (bool, Vec<Act>)| {
    let (is_client, acts) = input;
    let role = if is_client {
        Role::Client
    } else {
        Role::Server
    };
    let peer = if is_client {
        Role::Server
    } else {
        Role::Client
    };
    let mut config = Config::default();
    config.pushes = 3;
    config.extended_connect = true;
    config.datagrams = Profiles::all();
    let mut connection = Connection::new(role, config);
    let mut network = Network::new(Options::default());
    let control = StreamId::nth(peer, Direction::Unidirectional, 0).expect("in range");
    network
        .end(peer)
        .inject(control, &[0x00, 0x04, 0x00], false);
    let mut streams = Vec::new();
    for act in acts {
        apply(act, peer, &mut connection, &mut network, &mut streams);
        run(role, &mut connection, &mut network);
        answer(&mut connection, &mut streams);
    }
    connection.on_closed(ConnectionError::peer(Code::H3_NO_ERROR, "over"));
    for index in 0..2000 {
        let stream = StreamId::new(index).expect("in range");
        while connection.receive(stream).is_some() {}
        connection.release(stream);
    }
    assert_eq!(connection.in_flight(), 0);
});

fn apply(
    act: Act,
    peer: Role,
    connection: &mut Connection,
    network: &mut Network,
    streams: &mut Vec<StreamId>,
) {
    let stream = |is_uni: bool, index: u8| {
        let (initiator, direction) = match is_uni {
            true => (peer, Direction::Unidirectional),
            false => (Role::Client, Direction::Bidirectional),
        };
        StreamId::nth(initiator, direction, u64::from(index % 16)).expect("in range")
    };
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
        Act::Shutdown => connection.shutdown(),
    }
}

fn answer(connection: &mut Connection, streams: &mut Vec<StreamId>) {
    while let Some(event) = connection.poll_event() {
        if let Event::Request(stream) = event {
            streams.push(stream);
            let head = ResponseHead::new(http::StatusCode::OK);
            let _ = connection.send_response(stream, &head, Finish::Later);
            let _ = connection.send_data(stream, Bytes::from_static(b"x"), Finish::Now);
        }
    }
}

fn run(role: Role, connection: &mut Connection, network: &mut Network) {
    loop {
        connection.drive(network.end(role), Duration::ZERO);
        if !network.step() {
            return;
        }
    }
}
