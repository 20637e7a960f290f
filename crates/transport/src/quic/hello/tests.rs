//! Hellos of the specification and of rustls, in every kind of pieces.

use super::*;
use crate::tls::{EarlyData, TlsEngine, quic_initial_keys};
use portway_core::security::{Group, TlsParameters};
use quinn_proto::crypto::Session;
use quinn_proto::{ClientConfig, Endpoint, EndpointConfig};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// RFC 9001 §A.2, in hexadecimal digits.
const CLIENT_INITIAL: &str = include_str!("tests/client_initial.hex");
const IDENTIFIER: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
/// The bytes in a packet before its number, see [`seal`].
const HEADER_LEN: usize = 1 + 4 + 1 + 8 + 1 + 1 + 2;

fn client_initial() -> Vec<u8> {
    let digits: Vec<u8> = CLIENT_INITIAL
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    let (bytes, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty());
    bytes.iter().map(|[high, low]| high << 4 | low).collect()
}

/// A client's hello as rustls makes it, with its message header.
fn hello_of(groups: &[Group], alpn: &[&str]) -> Vec<u8> {
    let mut session = config(groups, alpn).session();
    let mut hello = Vec::new();
    assert!(session.write_handshake(&mut hello).is_none());
    hello
}

fn config(groups: &[Group], alpn: &[&str]) -> Arc<crate::tls::QuicClientTls> {
    let parameters = TlsParameters::default().with_groups(groups.to_vec());
    let alpn: Vec<Vec<u8>> = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    let remote = IpAddr::V4(Ipv4Addr::LOCALHOST);
    TlsEngine::new()
        .quic_client(
            &parameters,
            Some("Server.Example"),
            remote,
            &alpn,
            EarlyData::Refused,
        )
        .expect("a configuration")
}

/// The datagrams that quinn-proto sends first.
fn first_flight(groups: &[Group]) -> Vec<Vec<u8>> {
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
    let config = ClientConfig::new(config(groups, &["h3"]));
    let (now, remote) = (
        Instant::now(),
        SocketAddr::from((Ipv4Addr::LOCALHOST, 4433)),
    );
    let connected = endpoint.connect(now, config, remote, "server.example");
    let (_, mut connection) = connected.expect("a connection");
    let mut datagrams = Vec::new();
    loop {
        let mut buf = Vec::new();
        let Some(transmit) = connection.poll_transmit(now, 1, &mut buf) else {
            return datagrams;
        };
        buf.truncate(transmit.size);
        datagrams.push(buf);
    }
}

/// An Initial packet of a client with these frames.
fn seal(number: u32, frames: &[u8]) -> Vec<u8> {
    let keys = quic_initial_keys(&IDENTIFIER, rustls::Side::Client).local;
    let mut payload = frames.to_vec();
    payload.resize(payload.len().max(4), 0);
    let tag_len = keys.packet.tag_len();
    let len = u16::try_from(4 + payload.len() + tag_len).expect("short") | 0x4000;
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend(IDENTIFIER);
    packet.extend([0, 0]);
    packet.extend(len.to_be_bytes());
    assert_eq!(packet.len(), HEADER_LEN);
    packet.extend(number.to_be_bytes());
    let tag = keys
        .packet
        .encrypt_in_place(number.into(), &packet, &mut payload)
        .expect("sealed");
    packet.extend(payload);
    packet.extend(tag.as_ref());
    let (header, rest) = packet.split_at_mut(HEADER_LEN);
    let (number, sampled) = rest.split_at_mut(4);
    let sample = &sampled[..keys.header.sample_len()];
    let masked = keys.header.encrypt_in_place(sample, &mut header[0], number);
    masked.expect("masked");
    packet
}

fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    let number = |it: usize| (u16::try_from(it).expect("short") | 0x4000).to_be_bytes();
    let mut frame = vec![6];
    frame.extend(number(offset));
    frame.extend(number(data.len()));
    frame.extend(data);
    frame
}

/// What a reader makes of these datagrams; each but the last leaves it wanting more.
fn read(datagrams: &[Vec<u8>]) -> Result<Option<ClientHello>, HelloError> {
    let mut reader = HelloReader::default();
    let mut last = Ok(None);
    for datagram in datagrams {
        assert!(matches!(last, Ok(None)), "it was whole too early");
        last = reader.on_datagram(datagram);
    }
    last
}

/// A small generator of numbers, for reproducible disorder.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn the_specifications_packet_is_read() {
    let hello = read(&[client_initial()])
        .expect("authentic")
        .expect("whole");
    assert_eq!(hello.server_name.as_deref(), Some("example.com"));
    assert_eq!(hello.alpn, [b"alpn"]);
    assert_eq!(hello.versions, [0x0304]);
    assert_eq!(hello.cipher_suites, [0x1301, 0x1302]);
    assert!(hello.has_transport_parameters);
    assert!(!hello.offers_session && !hello.offers_early_data);
}

#[test]
fn a_packet_that_is_cut_or_damaged_anywhere_is_ignored() {
    let packet = client_initial();
    for at in 0..packet.len() {
        assert_eq!(read(&[packet[..at].to_vec()]), Ok(None), "cut at {at}");
        let mut damaged = packet.clone();
        damaged[at] ^= 0x40;
        assert_eq!(read(&[damaged]), Ok(None), "damaged at {at}");
    }
}

#[test]
fn a_post_quantum_hello_of_a_real_client_needs_two_datagrams() {
    let datagrams = first_flight(&[Group::X25519MlKem768, Group::X25519]);
    assert_eq!(datagrams.len(), 2);
    for order in [[0, 1], [1, 0]] {
        let datagrams = order.map(|index| datagrams[index].clone());
        let hello = read(&datagrams).expect("authentic").expect("whole");
        assert_eq!(hello.server_name.as_deref(), Some("server.example"));
        assert!(hello.offers(b"h3") && !hello.offers(b"h2"));
        assert!(hello.has_transport_parameters);
    }
    let datagrams = first_flight(&[Group::X25519]);
    assert_eq!(datagrams.len(), 1);
    assert!(read(&datagrams).expect("authentic").is_some());
}

#[test]
fn every_split_gives_the_same_hello() {
    let hello = hello_of(&[Group::X25519MlKem768], &["a", "b"]);
    assert!(hello.len() > 1300);
    let expected = read(&[seal(0, &crypto(0, &hello))]).expect("authentic");
    assert_eq!(expected.as_ref().map(|it| it.alpn.len()), Some(2));
    for at in 1..hello.len() {
        let (front, back) = hello.split_at(at);
        let front = crypto(0, front);
        let back = crypto(at, back);
        // In two packets of two datagrams or of one, or in one packet; the wrong way round, too.
        let apart = [seal(0, &front), seal(1, &back)];
        assert_eq!(read(&apart), Ok(expected.clone()), "apart at {at}");
        let swapped = [seal(1, &back), seal(0, &front)];
        assert_eq!(read(&swapped), Ok(expected.clone()), "swapped at {at}");
        let coalesced = [swapped.concat()];
        assert_eq!(read(&coalesced), Ok(expected.clone()), "coalesced at {at}");
        let one = [seal(0, &[&back[..], &[0, 1, 0], &front[..]].concat())];
        assert_eq!(read(&one), Ok(expected.clone()), "in one packet at {at}");
    }
}

#[test]
fn pieces_in_any_order_that_overlap_and_repeat_give_the_same_hello() {
    let hello = hello_of(&[Group::X25519MlKem768], &["a", "b"]);
    let expected = read(&[seal(0, &crypto(0, &hello))]).expect("authentic");
    for seed in 1..=200 {
        println!("seed {seed}");
        let mut numbers = Numbers(seed);
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < hello.len() {
            let start = at - numbers.below(at.min(20) + 1);
            at = (at + 1 + numbers.below(200)).min(hello.len());
            pieces.push(crypto(start, &hello[start..at]));
        }
        for index in 0..pieces.len() {
            let other = numbers.below(pieces.len());
            pieces.swap(index, other);
        }
        let mut reader = HelloReader::default();
        let mut found = None;
        for (number, piece) in pieces.iter().enumerate() {
            let packet = seal(number as u32, piece);
            // A repeated packet changes nothing.
            let datagram = [&packet[..], &packet].concat();
            found = found.or(reader.on_datagram(&datagram).expect("authentic"));
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn other_frames_and_packets_around_it_are_passed_over() {
    let hello = hello_of(&[Group::X25519], &["a"]);
    let mut frames = vec![1, 2, 5, 0, 1, 0, 0, 1];
    frames.extend([3, 5, 0, 0, 0, 1, 2, 3, 0x1c, 0, 0, 2, b'n', b'o']);
    frames.extend(crypto(0, &hello));
    // A 0-RTT packet of three bytes before it; a short header and padding behind it.
    let mut datagram = vec![0xd0, 0, 0, 0, 1, 8];
    datagram.extend(IDENTIFIER);
    datagram.extend([0, 3, 7, 7, 7]);
    datagram.extend(seal(0, &frames));
    datagram.extend([0x40, 1, 2, 3, 0, 0, 0]);
    assert!(read(&[datagram]).expect("authentic").is_some());
}

#[test]
fn contradictions_are_an_error() {
    let hello = hello_of(&[Group::X25519], &["a"]);
    let mut other = hello[50..100].to_vec();
    other[49] ^= 1;
    let datagrams = [
        seal(0, &crypto(0, &hello[..100])),
        seal(1, &crypto(50, &other)),
    ];
    assert_eq!(read(&datagrams), Err(HelloError::Contradiction));
    // The same packet number with other content is not read at all.
    let datagrams = [
        seal(0, &crypto(0, &hello[..100])),
        seal(0, &crypto(50, &other)),
    ];
    assert_eq!(read(&datagrams), Ok(None));
}

#[test]
fn limits_are_kept() {
    let too_long = |result| matches!(result, Err(HelloError::TooLong(_)));
    assert!(too_long(read(&[seal(0, &crypto(16_383, b"ab"))])));
    assert_eq!(read(&[seal(0, &crypto(16_383, b"a"))]), Ok(None));
    assert!(too_long(read(&[seal(0, &crypto(0, &[1, 0, 0x3f, 0xfd]))])));
    assert_eq!(read(&[seal(0, &crypto(0, &[1, 0, 0x3f, 0xfc]))]), Ok(None));
    let gaps = |count| {
        (0..count)
            .flat_map(|it| crypto(it * 2 + 1, b"x"))
            .collect::<Vec<u8>>()
    };
    assert!(too_long(read(&[seal(0, &gaps(65))])));
    assert_eq!(read(&[seal(0, &gaps(64))]), Ok(None));
    let pings: Vec<_> = (0..33).map(|number| seal(number, &[1])).collect();
    assert_eq!(read(&pings[..32]), Ok(None));
    assert!(too_long(read(&pings)));
}

#[test]
fn what_no_first_packet_holds_is_malformed() {
    let malformed = |result| matches!(result, Err(HelloError::Malformed(_)));
    // A STREAM frame, cut frames, another message than a hello.
    for frames in [
        &[8, 0, 1, 1][..],
        &[6, 0, 0x7f, 0xff],
        &[2, 0, 0, 0x7f, 0xff, 0],
        &[0x1c, 0, 0, 9],
        &crypto(0, &[2, 0, 0, 0]),
    ] {
        assert!(malformed(read(&[seal(0, frames)])), "{frames:?}");
    }
}

#[test]
fn a_message_that_is_cut_or_padded_anywhere_is_malformed() {
    let hello = hello_of(&[Group::X25519], &["a"]);
    let body = &hello[4..];
    assert!(message::parse(body).is_ok());
    for len in 0..body.len() {
        assert!(message::parse(&body[..len]).is_err(), "cut at {len}");
    }
    let padded = [body, &[0]].concat();
    assert!(message::parse(&padded).is_err());
}

#[test]
fn extensions_are_judged() {
    let with = |extensions: &[u8]| {
        let mut body = vec![3; 34];
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        message::parse(&body)
    };
    assert_eq!(with(&[]).expect("valid").cipher_suites, [0x1301]);
    let upper = with(&[0, 0, 0, 6, 0, 4, 0, 0, 1, b'A']).expect("valid");
    assert_eq!(upper.server_name.as_deref(), Some("a"));
    let sessions = with(&[0, 41, 0, 0, 0, 42, 0, 0]).expect("valid");
    assert!(sessions.offers_session && sessions.offers_early_data);
    for malformed in [
        // The same extension twice.
        &[0, 42, 0, 0, 0, 42, 0, 0][..],
        // A name that is none, two names, a list that is longer than the extension.
        &[0, 0, 0, 6, 0, 4, 0, 0, 1, b' '],
        &[0, 0, 0, 10, 0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b'],
        &[0, 0, 0, 6, 0, 5, 0, 0, 1, b'a'],
        // No application protocol, and an empty one.
        &[0, 16, 0, 2, 0, 0],
        &[0, 16, 0, 3, 0, 1, 0],
        // Half a version.
        &[0, 43, 0, 2, 1, 3],
    ] {
        assert!(with(malformed).is_err(), "{malformed:?}");
    }
    let many: Vec<u8> = (200..329_u16)
        .flat_map(|kind| [kind.to_be_bytes(), [0, 0]].concat())
        .collect();
    assert!(with(&many[4..]).is_ok());
    assert!(matches!(with(&many), Err(HelloError::TooLong(_))));
}

#[test]
fn other_versions_and_kinds_of_packets_are_ignored() {
    let packet = seal(0, &crypto(0, &hello_of(&[Group::X25519], &["a"])));
    for (at, bits) in [
        // A short header, another version, a Handshake packet, a Retry.
        (0, 0x80),
        (4, 0x03),
        (0, 0x20),
        (0, 0x30),
    ] {
        let mut other = packet.clone();
        other[at] ^= bits;
        assert_eq!(read(&[other]), Ok(None));
    }
    // Two identifiers that name different connections: the first one counts.
    let mut reader = HelloReader::default();
    let (front, back) = (client_initial(), packet);
    assert!(reader.on_datagram(&front).expect("authentic").is_some());
    assert!(reader.on_datagram(&back).expect("authentic").is_some());
    let mut reader = HelloReader::default();
    assert_eq!(reader.on_datagram(&seal(0, &[1])), Ok(None));
    assert_eq!(reader.on_datagram(&front), Ok(None));
}
