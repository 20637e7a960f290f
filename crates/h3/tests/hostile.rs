//! Bytes that nobody planned, in both roles: no panic, and nothing held without a bound.

mod support;

use portway_h3::datagram::Profiles;
use portway_h3::error::Code;
use portway_h3::memory::Options;
use portway_h3::{Config, Event, Finish, Role, StreamId};
use support::{GET, OK, POST, Raw, bidi, frame, get, headers, received, section};

/// A small generator, so that a seed tells the whole case.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % limit.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// Pieces that peers really send, whole or damaged.
fn pieces() -> Vec<Vec<u8>> {
    vec![
        headers(&GET),
        headers(&POST),
        headers(&OK),
        headers(&[(":status", "103")]),
        headers(&[("a", "b")]),
        headers(&[(":method", "CONNECT"), (":authority", "a:1")]),
        frame(0x00, b"content"),
        frame(0x00, b""),
        frame(0x03, &[0]),
        frame(0x04, &[6, 0x40, 0x80, 0x33, 1]),
        frame(0x04, &[0x01, 0x50, 0x00, 0x07, 0x10]),
        frame(0x05, &[&[0][..], &section(&GET)].concat()),
        frame(0x07, &[0x40, 0x80]),
        frame(0x0c, &[0, 1, b'x']),
        frame(0x0d, &[3]),
        frame(0x21, b"grease"),
        frame(0xf0700, b"\0u=1, i"),
        frame(0xf0701, b"\0u=1"),
        frame(0xffcab5, &[0, 0]),
        frame(0x01, &[0x02, 0x00, 0x80]),
        vec![0x00],
        vec![0x01, 0x00],
        vec![0x02, 0x3f, 0xe1, 0x1f],
        vec![
            0x4a, b'x', b'-', b'a', b'b', b'c', b'd', b'e', b'f', b'g', b'h', 0x01, b'1',
        ],
        vec![0x03, 0x80],
        vec![0x40],
    ]
}

fn piece(random: &mut Random, pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut piece = random.pick(pieces).clone();
    match random.below(6) {
        0 => {
            let at = random.below(piece.len() as u64) as usize;
            piece[at] ^= 1 << random.below(8);
        }
        1 => piece.truncate(random.below(piece.len() as u64 + 1) as usize),
        _ => {}
    }
    piece
}

fn config(random: &mut Random) -> Config {
    let mut config = Config::default();
    config.pushes = random.below(3);
    config.extended_connect = true;
    config.datagrams = *random.pick(&[Profiles::default(), Profiles::rfc9297(), Profiles::all()]);
    config.grease_seed = (random.below(2) == 0).then_some(5);
    config.limits.glitch_burst = 1_000_000;
    config
}

/// One peer that sends whatever it likes for a while.
fn play(role: Role, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let pieces = pieces();
    let config = config(&mut random);
    let mut raw = match random.below(4) {
        0 => Raw::silent(role, config, Options::default()),
        _ => Raw::new(role, config, Options::default()),
    };
    let mut requests = Vec::new();
    for _ in 0..60 {
        let stream = match random.below(3) {
            0 => raw.uni(random.below(6)),
            _ => bidi(random.below(6)),
        };
        match random.below(12) {
            0 => raw.reset(stream, Code::H3_REQUEST_CANCELLED),
            1 => raw.stop(stream, Code::H3_NO_ERROR),
            2 => {
                let bytes = piece(&mut random, &pieces);
                match role {
                    Role::Server => raw.network.client.inject_datagram(&bytes),
                    Role::Client => raw.network.server.inject_datagram(&bytes),
                }
                raw.run();
            }
            3 if role == Role::Client && raw.connection.check_request().is_ok() => {
                requests.push(raw.request(&get("/"), Finish::Now));
            }
            _ => {
                let bytes = piece(&mut random, &pieces);
                raw.write(stream, &bytes, random.below(20) == 0);
            }
        }
        act(&mut raw, &mut random, role, &requests);
    }
    // Whatever happened, everything can be given up and nothing stays.
    let error = portway_h3::error::ConnectionError::peer(Code::H3_NO_ERROR, "over");
    raw.connection.on_closed(error);
    for index in 0..1000 {
        let stream = StreamId::new(index).expect("in range");
        received(&mut raw.connection, stream);
        raw.connection.release(stream);
    }
    assert_eq!(raw.connection.in_flight(), 0, "seed {seed}");
}

/// What an application might do.
fn act(raw: &mut Raw, random: &mut Random, role: Role, requests: &[StreamId]) {
    while let Some(event) = raw.connection.poll_event() {
        if let (Event::Request(stream), Role::Server) = (event, role) {
            if random.below(2) == 0 {
                received(&mut raw.connection, stream);
            }
            let head = support::response(200, &[]);
            let _ = raw.connection.send_response(stream, &head, Finish::Later);
            let _ = raw.connection.push(stream, &get("/pushed"));
            let _ = raw
                .connection
                .send_data(stream, vec![7; 100].into(), Finish::Now);
        }
    }
    if let Some(stream) = requests.last()
        && random.below(4) == 0
    {
        received(&mut raw.connection, *stream);
    }
    if random.below(40) == 0 {
        raw.connection.shutdown();
    }
    raw.run();
}

#[test]
fn whatever_a_client_sends_a_server_stands_it() {
    for seed in 0..400 {
        play(Role::Server, seed);
    }
}

#[test]
fn whatever_a_server_sends_a_client_stands_it() {
    for seed in 0..400 {
        play(Role::Client, seed);
    }
}
