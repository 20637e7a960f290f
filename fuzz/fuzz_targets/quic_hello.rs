//! First packets of hostile QUIC clients through the reader of client hellos.
//!
//! Invariant: no panic, whether the bytes are packets as they came or frames under a protection
//! that is right, which anybody can apply.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use portway_transport::quic::HelloReader;
use rustls::quic::{DirectionalKeys, Version};

#[derive(Arbitrary, Debug)]
enum Datagram {
    Raw(Vec<u8>),
    Frames(u8, Vec<u8>),
    /// Parts of a hello: where each begins, and its bytes.
    Pieces(u8, Vec<(u8, Vec<u8>)>),
}

fuzz_target!(|datagrams: Vec<Datagram>| {
    let keys = keys();
    let mut reader = HelloReader::default();
    for datagram in datagrams.iter().take(64) {
        let bytes = match datagram {
            Datagram::Raw(bytes) => bytes.clone(),
            Datagram::Frames(number, frames) => seal(&keys, *number, frames),
            Datagram::Pieces(number, pieces) => {
                let mut frames = Vec::new();
                for (offset, data) in pieces {
                    frames.extend([6, 0x40, *offset]);
                    frames.extend((data.len().min(4000) as u16 | 0x4000).to_be_bytes());
                    frames.extend(&data[..data.len().min(4000)]);
                }
                seal(&keys, *number, &frames)
            }
        };
        match reader.on_datagram(&bytes) {
            Ok(None) => {}
            Ok(Some(hello)) => {
                assert!(hello.alpn.iter().all(|protocol| !protocol.is_empty()));
                return;
            }
            Err(_) => return,
        }
    }
});

fn keys() -> DirectionalKeys {
    rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(|suite| suite.quic_suite())
        .expect("the suite is one of QUIC")
        .keys(&IDENTIFIER, rustls::Side::Client, Version::V1)
        .local
}

fn seal(keys: &DirectionalKeys, number: u8, frames: &[u8]) -> Vec<u8> {
    let mut payload = frames[..frames.len().min(16_000)].to_vec();
    payload.resize(payload.len().max(4), 0);
    let len = (4 + payload.len() + keys.packet.tag_len()) as u16 | 0x4000;
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend(IDENTIFIER);
    packet.extend([0, 0]);
    packet.extend(len.to_be_bytes());
    let header_len = packet.len();
    packet.extend([0, 0, 0, number]);
    let tag = keys
        .packet
        .encrypt_in_place(number.into(), &packet, &mut payload)
        .expect("sealed");
    packet.extend(payload);
    packet.extend(tag.as_ref());
    let (header, rest) = packet.split_at_mut(header_len);
    let (number, sampled) = rest.split_at_mut(4);
    let sample = &sampled[..keys.header.sample_len()];
    keys.header
        .encrypt_in_place(sample, &mut header[0], number)
        .expect("masked");
    packet
}

const IDENTIFIER: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
