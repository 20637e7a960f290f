//! Capsules of RFC 9297 in pieces of any size, and those of draft-01 on a request.
//!
//! Invariant: no panic, nothing is held beyond what arrived of a collected value, the pieces do not
//! matter, and what was decoded can be encoded and decoded again.

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use portway_h3::capsule::{Capsule, CapsuleType, Decoder, encode};
use portway_h3::datagram::Profiles;
use portway_h3::error::Code;
use portway_h3::frame::Treatment;
use portway_h3::memory::{Network, Options};
use portway_h3::{Config, Connection, Direction, Role, StreamId, varint};
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Input {
    piece: u8,
    stream: Vec<u8>,
    /// Payloads of CAPSULE frames.
    drafts: Vec<Vec<u8>>,
}

pub(crate) fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let whole = capsules(input.stream.len().max(1), &input.stream);
    let pieces = capsules(usize::from(input.piece).max(1), &input.stream);
    assert_eq!(whole, pieces);
    let (whole, _) = whole;
    let again: Vec<u8> = whole
        .iter()
        .flat_map(|(ty, value)| encode(CapsuleType::new(*ty).expect("decoded"), value))
        .collect();
    assert_eq!(capsules(again.len().max(1), &again), (whole, true));
    draft(&input.drafts);
}

/// Type and value of each capsule that is not skipped, and whether the stream may end there.
fn capsules(piece: usize, bytes: &[u8]) -> (Vec<(u64, Vec<u8>)>, bool) {
    let mut decoder = Decoder::default();
    let mut capsules: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut is_open = false;
    for piece in bytes.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(capsule) = decoder.decode(&mut input, treat) {
            match capsule {
                Capsule::Whole { ty, value } => capsules.push((ty.value(), value.to_vec())),
                Capsule::Piece { ty, bytes, is_last } => {
                    if !is_open {
                        capsules.push((ty.value(), Vec::new()));
                    }
                    if let Some((_, value)) = capsules.last_mut() {
                        value.extend_from_slice(&bytes);
                    }
                    is_open = !is_last;
                }
            }
        }
        assert!(decoder.held_bytes() <= LIMIT);
    }
    if is_open {
        // Of a value that is cut off, how much came depends on nothing but the bytes.
        capsules.pop();
    }
    (capsules, decoder.finish().is_ok())
}

fn treat(ty: CapsuleType, len: u64) -> Treatment {
    match ty.value() {
        0 if len <= LIMIT as u64 => Treatment::Collect,
        1 => Treatment::Stream,
        _ => Treatment::Skip,
    }
}

/// The capsules of draft-01 on a request of a server.
fn draft(payloads: &[Vec<u8>]) {
    let mut config = Config::default();
    config.extended_connect = true;
    config.datagrams = Profiles::all();
    let mut connection = Connection::new(Role::Server, config);
    let mut network = Network::new(Options::default());
    let control = StreamId::nth(Role::Client, Direction::Unidirectional, 0).expect("in range");
    let settings = [0x00, 0x04, 0x05, 0x80, 0xff, 0xd2, 0x76, 0x01];
    network.client.inject(control, &settings, false);
    let mut wire = CONNECT.to_vec();
    for payload in payloads {
        varint::encode(CAPSULE_FRAME, &mut wire);
        varint::encode(payload.len() as u64, &mut wire);
        wire.extend_from_slice(payload);
    }
    let stream = StreamId::new(0).expect("in range");
    network.client.inject(stream, &wire, false);
    loop {
        connection.drive(&mut network.server, Duration::ZERO);
        if !network.step() {
            break;
        }
    }
    if let Some(error) = connection.error() {
        // A flood of unknown capsules; whatever else is wrong with one ends its stream only.
        assert_eq!(error.code, Code::H3_EXCESSIVE_LOAD, "{error}");
        return;
    }
    while connection.receive(stream).is_some() {}
    let waiting = std::iter::from_fn(|| connection.receive_datagram(stream)).count();
    assert!(waiting <= 64);
    connection.release(stream);
    assert_eq!(connection.in_flight(), 0);
}

/// HEADERS with `:method: CONNECT`, `:protocol: a`, `:scheme: https`, `:authority: a`, `:path: /`.
const CONNECT: &[u8] = b"\x01\x15\0\0\xcf\x27\x02:protocol\x01a\xd7\x50\x01a\xc1";

const CAPSULE_FRAME: u64 = 0xffcab5;

const LIMIT: usize = 100;
