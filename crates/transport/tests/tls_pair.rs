//! TLS layers against each other in memory: handshakes, data, closing, resumption, ALPN.

mod tls_support;

use bytes::BytesMut;
use portway_core::FailureKind;
use portway_core::security::{ClientAuthentication, Resumption, TlsVersion};
use portway_transport::layer::{ByteLayer, LayerStatus};
use portway_transport::tls::TlsEngine;
use tls_support::{Authority, NAME, Pair, VERSIONS, only, parameters, read_all};

#[test]
fn both_versions_carry_data_in_pieces_of_any_size() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, mut server) = parameters(&authority);
        only(&mut client, version);
        only(&mut server, version);
        for piece_max in [1, 2, 3, 5, 7, 64, 1000, usize::MAX] {
            let mut pair = Pair::new(&client, &server);
            pair.piece_max = piece_max;
            pair.start().expect_ready();
            assert_eq!(pair.client_says(&[b"hello ", b"server"]), b"hello server");
            assert_eq!(pair.server_says(&[b"hello client"]), b"hello client");
            let protection = pair.client.protection().unwrap();
            assert_eq!(protection.version, version);
            assert!(protection.cipher_suite.starts_with("TLS_"));
            assert!(protection.group.is_some());
            assert_eq!(protection.server_name.as_deref(), Some(NAME));
            assert_eq!(
                protection.peer_certificates,
                server.identity.as_ref().unwrap().chain
            );
            assert!(!protection.is_resumed);
            let protection = pair.server.protection().unwrap();
            assert_eq!(protection.server_name.as_deref(), Some(NAME));
            assert!(protection.peer_certificates.is_empty());
        }
    }
}

#[test]
fn a_split_at_every_byte_of_a_flight_is_harmless() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let mut first = BytesMut::new();
    let engine = TlsEngine::new();
    let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
    pair.client.start(&mut first).unwrap();
    for split in 1..first.len() {
        let mut layer = engine.server(&server, &[]).unwrap();
        let mut out = BytesMut::new();
        let mut wire = BytesMut::from(&first[..split]);
        layer.on_wire(&mut wire, &mut out).unwrap();
        assert!(out.is_empty(), "answered {split} of {} bytes", first.len());
        wire.extend_from_slice(&first[split..]);
        layer.on_wire(&mut wire, &mut out).unwrap();
        assert!(!out.is_empty());
        assert!(wire.is_empty());
    }
}

#[test]
fn large_writes_arrive_whole_whatever_their_parts() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let megabyte: Vec<u8> = (0..1024 * 1024).map(|i| (i % 251) as u8).collect();
    for parts in [
        vec![&megabyte[..]],
        megabyte.chunks(1000).collect(),
        vec![&megabyte[..3], &megabyte[3..50_000], &megabyte[50_000..]],
    ] {
        let mut pair = Pair::ready(&client, &server);
        assert!(pair.client_says(&parts) == megabyte);
        assert!(pair.server_says(&parts) == megabyte);
    }
}

#[test]
fn a_header_and_its_message_take_as_few_records_as_their_length_needs() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let mut pair = Pair::ready(&client, &server);
    for bytes in [
        10_usize, 3000, 16_379, 16_380, 16_381, 16_384, 16_385, 65_536, 70_000,
    ] {
        let message: Vec<u8> = (0..bytes).map(|i| (i % 251) as u8).collect();
        let header = (bytes as u32).to_be_bytes();
        let mut wire = BytesMut::new();
        pair.client.write(&[&header, &message], &mut wire).unwrap();
        let mut records = 0;
        let mut rest = &wire[..];
        while let [_, _, _, high, low, body @ ..] = rest {
            rest = &body[u16::from_be_bytes([*high, *low]).into()..];
            records += 1;
        }
        assert_eq!(records, (4 + bytes).div_ceil(16 * 1024), "{bytes} bytes");
        pair.to_server.extend_from_slice(&wire);
        pair.settle();
        let read = read_all(&mut pair.server);
        assert!(read == [&header[..], &message].concat(), "{bytes} bytes");
    }
}

#[test]
fn a_read_gives_at_most_what_was_asked_for() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let mut pair = Pair::ready(&client, &server);
    pair.client
        .write(&[b"0123456789"], &mut pair.to_server)
        .unwrap();
    pair.settle();
    assert_eq!(pair.server.read(0), None);
    assert_eq!(pair.server.read(4).unwrap(), "0123");
    assert_eq!(pair.server.read(100).unwrap(), "456789");
    assert_eq!(pair.server.read(100), None);
}

#[test]
fn each_direction_is_closed_on_its_own() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, server) = parameters(&authority);
        only(&mut client, version);
        let mut pair = Pair::ready(&client, &server);
        pair.client.close(&mut pair.to_server);
        pair.settle();
        assert_eq!(pair.server.status(), LayerStatus::PeerClosed);
        assert_eq!(pair.server.on_end(), Ok(()));
        assert_eq!(pair.server_says(&[b"still here"]), b"still here");
        let refused = pair.client.write(&[b"x"], &mut pair.to_server);
        assert_eq!(refused.unwrap_err().kind, FailureKind::InvalidRequest);
        pair.server.close(&mut pair.to_client);
        pair.settle();
        assert_eq!(pair.client.status(), LayerStatus::PeerClosed);
    }
}

#[test]
fn bytes_after_close_notify_stay_on_the_wire() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let mut pair = Pair::ready(&client, &server);
    pair.client.close(&mut pair.to_server);
    pair.to_server.extend_from_slice(b"plaintext again");
    pair.settle();
    assert_eq!(pair.server.status(), LayerStatus::PeerClosed);
    assert_eq!(&pair.server_wire[..], b"plaintext again");
}

#[test]
fn an_end_without_close_notify_is_a_reset_that_keeps_what_came() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let mut pair = Pair::ready(&client, &server);
    pair.client.write(&[b"half"], &mut pair.to_server).unwrap();
    pair.settle();
    let failure = pair.server.on_end().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Reset);
    assert!(failure.detail.contains("close_notify"), "{failure}");
    assert_eq!(read_all(&mut pair.server), b"half");
    assert_eq!(pair.server.status(), LayerStatus::Failed);
}

#[test]
fn an_end_during_the_handshake_is_a_reset() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let mut pair = Pair::new(&client, &server);
    pair.client.start(&mut pair.to_server).unwrap();
    let failure = pair.client.on_end().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Reset);
    assert!(failure.detail.contains("handshake"), "{failure}");
}

#[test]
fn nothing_can_be_written_before_the_handshake_is_complete() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let mut pair = Pair::new(&client, &server);
    let mut out = BytesMut::new();
    assert!(pair.client.write(&[b"early"], &mut out).is_err());
    pair.client.close(&mut out);
    assert!(out.is_empty());
}

#[test]
fn a_second_connection_resumes_unless_switched_off() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        for (sessions_max, is_expected) in [(16, true), (0, false)] {
            let (mut client, mut server) = parameters(&authority);
            only(&mut client, version);
            client.resumption = Resumption::default().with_sessions_max(sessions_max);
            server.resumption = Resumption::default().with_sessions_max(sessions_max);
            let engine = TlsEngine::new();
            for is_second in [false, true] {
                let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
                pair.start().expect_ready();
                pair.server_says(&[b"x"]);
                let expected = is_second && is_expected;
                assert_eq!(pair.client.protection().unwrap().is_resumed, expected);
                let protection = pair.server.protection().unwrap();
                assert_eq!(protection.is_resumed, expected);
                assert_eq!(protection.server_name.as_deref(), Some(NAME));
            }
        }
    }
}

#[test]
fn sessions_stay_with_their_parameters() {
    let authority = Authority::new("Root");
    let (client, mut server) = parameters(&authority);
    let engine = TlsEngine::new();
    Pair::of(&engine, &client, &server, &[], &[])
        .start()
        .expect_ready();
    // The server now demands what the ticket does not prove.
    let identity = authority.client().identity;
    server.client_authentication = ClientAuthentication::Required(authority.trust());
    let mut client = client;
    client.identity = Some(identity);
    let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
    pair.start().expect_ready();
    let protection = pair.server.protection().unwrap();
    assert!(!protection.is_resumed);
    assert_eq!(protection.peer_certificates.len(), 1);
}

#[test]
fn application_protocols_are_agreed_on() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, server) = parameters(&authority);
        only(&mut client, version);
        let mut pair = Pair::with_alpn(&client, &server, &[b"h2", b"http/1.1"], &[b"http/1.1"]);
        pair.start().expect_ready();
        for layer in [&pair.client, &pair.server] {
            let alpn = layer.protection().unwrap().alpn;
            assert_eq!(alpn.as_deref(), Some(b"http/1.1".as_slice()));
        }
    }
}

#[test]
fn no_common_application_protocol_fails_both_sides() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, server) = parameters(&authority);
        only(&mut client, version);
        for (ours, theirs) in [
            (vec![b"h2".as_slice()], vec![b"smtp".as_slice()]),
            (vec![], vec![b"smtp".as_slice()]),
        ] {
            let mut pair = Pair::with_alpn(&client, &server, &ours, &theirs);
            pair.start();
            for result in [&pair.client_result, &pair.server_result] {
                let failure = result.clone().unwrap_err();
                assert_eq!(failure.kind, FailureKind::AlpnMismatch, "{failure}");
                assert_eq!(failure.code, Some(120));
            }
        }
    }
}

#[test]
fn a_server_that_ignores_the_offer_fails_a_client_that_demands() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let mut pair = Pair::with_alpn(&client, &server, &[b"h2"], &[]);
    pair.start();
    let failure = pair.client_result.clone().unwrap_err();
    assert_eq!(failure.kind, FailureKind::AlpnMismatch);
    assert_eq!(pair.client.status(), LayerStatus::Failed);
}

#[test]
fn versions_without_overlap_fail_both_sides() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, mut server) = parameters(&authority);
        only(&mut client, version);
        only(
            &mut server,
            match version {
                TlsVersion::Tls12 => TlsVersion::Tls13,
                _ => TlsVersion::Tls12,
            },
        );
        let mut pair = Pair::new(&client, &server);
        pair.start();
        for result in [&pair.client_result, &pair.server_result] {
            let failure = result.clone().unwrap_err();
            assert_eq!(failure.kind, FailureKind::Unsupported, "{failure}");
        }
    }
}
