//! TLS layers against peers that bend or break the rules; the peer is rustls itself or raw bytes.

mod tls_support;

use bytes::{Buf, BytesMut};
use portway_core::security::{ClientAuthentication, TlsVersion};
use portway_core::{FailureKind, Origin};
use portway_transport::layer::{ByteLayer, LayerStatus};
use portway_transport::tls::{TlsEngine, TlsLayer, TlsLimits};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use std::io::{Read, Write};
use std::sync::Arc;
use tls_support::{Authority, LOOPBACK, NAME, Pair, VERSIONS, only, parameters, read_all};

/// rustls's own buffered client against our server.
fn client_peer(authority: &Authority) -> (ClientConnection, TlsLayer) {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone()).expect("a root");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).expect("a name");
    let (_, server) = parameters(authority);
    let layer = TlsEngine::new().server(&server, &[]).expect("a layer");
    (
        ClientConnection::new(Arc::new(config), name).expect("a peer"),
        layer,
    )
}

/// Everything that the peer wants to send.
fn sent_by(peer: &mut impl PeerConnection) -> BytesMut {
    let mut bytes = Vec::new();
    while peer.has_output() {
        peer.send_to(&mut bytes);
    }
    BytesMut::from(&bytes[..])
}

/// What the tests need of both of rustls's connections.
trait PeerConnection {
    fn has_output(&self) -> bool;
    fn send_to(&mut self, to: &mut Vec<u8>);
    fn take(&mut self, bytes: &mut BytesMut);
}

macro_rules! peer_connection {
    ($kind:ty) => {
        impl PeerConnection for $kind {
            fn has_output(&self) -> bool {
                self.wants_write()
            }
            fn send_to(&mut self, to: &mut Vec<u8>) {
                self.write_tls(to).expect("a vector takes everything");
            }
            fn take(&mut self, bytes: &mut BytesMut) {
                while bytes.has_remaining() {
                    self.read_tls(&mut bytes.reader())
                        .expect("memory is readable");
                    self.process_new_packets().expect("portway keeps the rules");
                }
            }
        }
    };
}
peer_connection!(ClientConnection);
peer_connection!(ServerConnection);

fn shake_hands(peer: &mut impl PeerConnection, layer: &mut TlsLayer) {
    let mut out = BytesMut::new();
    layer.start(&mut out).expect("a first flight");
    for _ in 0..4 {
        peer.take(&mut out);
        let mut wire = sent_by(peer);
        layer.on_wire(&mut wire, &mut out).expect("a handshake");
    }
    peer.take(&mut out);
    assert_eq!(layer.status(), LayerStatus::Ready);
}

#[test]
fn key_updates_are_answered() {
    let authority = Authority::new("Root");
    let (mut peer, mut layer) = client_peer(&authority);
    shake_hands(&mut peer, &mut layer);
    for round in 0..40 {
        peer.refresh_traffic_keys().unwrap();
        peer.writer().write_all(b"fresh").unwrap();
        let mut wire = sent_by(&mut peer);
        let mut out = BytesMut::new();
        layer.on_wire(&mut wire, &mut out).unwrap();
        assert_eq!(read_all(&mut layer), b"fresh", "round {round}");
        layer.write(&[b"answer"], &mut out).unwrap();
        peer.take(&mut out);
        let mut answer = [0; 6];
        peer.reader().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }
}

#[test]
fn a_flood_of_key_updates_ends_the_connection() {
    let authority = Authority::new("Root");
    let (mut peer, mut layer) = client_peer(&authority);
    shake_hands(&mut peer, &mut layer);
    let mut taken = 0;
    let failure = loop {
        peer.refresh_traffic_keys().unwrap();
        let mut wire = sent_by(&mut peer);
        let mut out = BytesMut::new();
        match layer.on_wire(&mut wire, &mut out) {
            Ok(()) => taken += 1,
            Err(failure) => break failure,
        }
        assert!(out.len() < 256, "answers do not pile up");
        assert!(taken < 100, "no end of key updates");
    };
    assert_eq!(taken, 32);
    assert_eq!(failure.kind, FailureKind::ProtocolViolation);
    assert!(
        failure.detail.contains("TooManyKeyUpdateRequests"),
        "{failure}"
    );
}

#[test]
fn a_ticket_in_many_records_does_not_stop_writing() {
    let authority = Authority::new("Root");
    let issued = authority.server();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            issued.identity.chain.clone(),
            tls_support::key_of(&issued.identity),
        )
        .unwrap();
    config.max_fragment_size = Some(32);
    let mut peer = ServerConnection::new(Arc::new(config)).unwrap();
    let (client, _) = parameters(&authority);
    let engine = TlsEngine::new();
    let mut layer = engine.client(&client, Some(NAME), LOOPBACK, &[]).unwrap();
    let mut out = BytesMut::new();
    layer.start(&mut out).unwrap();
    peer.take(&mut out);
    let mut flight = sent_by(&mut peer);
    layer.on_wire(&mut flight, &mut out).unwrap();
    peer.take(&mut out);
    // The tickets come now, 32 bytes a record.
    let tickets = sent_by(&mut peer);
    assert!(tickets.len() > 200);
    let mut wire = BytesMut::new();
    let mut written = 0;
    for byte in tickets {
        wire.extend_from_slice(&[byte]);
        layer.on_wire(&mut wire, &mut out).unwrap();
        layer.write(&[b"w"], &mut out).unwrap();
        written += 1;
        peer.take(&mut out);
    }
    let mut all = vec![0; written];
    peer.reader().read_exact(&mut all).unwrap();
    assert!(wire.is_empty());
    let mut again = engine.client(&client, Some(NAME), LOOPBACK, &[]).unwrap();
    let mut hello = BytesMut::new();
    again.start(&mut hello).unwrap();
    assert!(
        hello.len() > bytes_without_ticket(&client),
        "a ticket is offered"
    );
}

/// The size of a client hello without a ticket.
fn bytes_without_ticket(client: &portway_core::security::TlsParameters) -> usize {
    let mut layer = TlsEngine::new()
        .client(client, Some(NAME), LOOPBACK, &[])
        .expect("a client hello");
    let mut hello = BytesMut::new();
    layer.start(&mut hello).expect("a client hello");
    hello.len()
}

#[test]
fn damaged_records_fail_after_what_came_before_them() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, server) = parameters(&authority);
        only(&mut client, version);
        let mut pair = Pair::ready(&client, &server);
        pair.client.write(&[b"good"], &mut pair.to_server).unwrap();
        let good = pair.to_server.len();
        pair.client.write(&[b"bad"], &mut pair.to_server).unwrap();
        let last = pair.to_server.len() - 1;
        assert!(last > good);
        pair.to_server[last] ^= 1;
        pair.settle();
        let failure = pair.server_result.clone().unwrap_err();
        assert_eq!(failure.kind, FailureKind::ProtocolViolation);
        assert_eq!(failure.code, Some(20));
        assert_eq!(read_all(&mut pair.server), b"good");
        let failure = pair.client_result.clone().unwrap_err();
        assert_eq!(failure.code, Some(20), "the peer is told: {failure}");
        assert_eq!(failure.origin, Origin::Tls);
    }
}

#[test]
fn every_flipped_byte_of_a_flight_fails_cleanly_or_changes_nothing() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let engine = TlsEngine::new();
    let mut layer = engine.client(&client, Some(NAME), LOOPBACK, &[]).unwrap();
    let mut hello = BytesMut::new();
    layer.start(&mut hello).unwrap();
    for index in 0..hello.len() {
        let mut server = engine.server(&server, &[]).unwrap();
        let mut wire = hello.clone();
        wire[index] ^= 0xff;
        let mut out = BytesMut::new();
        if server.on_wire(&mut wire, &mut out).is_err() {
            assert_eq!(server.status(), LayerStatus::Failed);
        }
    }
    let mut answer = BytesMut::new();
    let mut wire = hello.clone();
    engine
        .server(&server, &[])
        .unwrap()
        .on_wire(&mut wire, &mut answer)
        .unwrap();
    for index in 0..answer.len() {
        // The server's flight belongs to another hello, so the client may fail anywhere.
        let mut client = engine.client(&client, Some(NAME), LOOPBACK, &[]).unwrap();
        let mut out = BytesMut::new();
        client.start(&mut out).unwrap();
        let mut wire = answer.clone();
        wire[index] ^= 0xff;
        if client.on_wire(&mut wire, &mut out).is_err() {
            assert_eq!(client.status(), LayerStatus::Failed);
        }
        assert_ne!(client.status(), LayerStatus::Ready);
    }
}

#[test]
fn a_handshake_that_never_ends_reaches_the_limit() {
    let authority = Authority::new("Root");
    let (_, server) = parameters(&authority);
    let mut limits = TlsLimits::default();
    limits.handshake_bytes_max = 4096;
    let engine = TlsEngine::new().with_limits(limits);
    let mut layer = engine.server(&server, &[]).unwrap();
    // A client hello of 60,000 bytes that comes 256 bytes a record.
    let mut first = vec![22, 3, 1, 1, 0, 1, 0, 0xea, 0x60];
    first.resize(5 + 256, 0);
    let mut next = vec![22, 3, 1, 1, 0];
    next.resize(5 + 256, 0);
    let (mut wire, mut out) = (BytesMut::from(&first[..]), BytesMut::new());
    let mut sent = first.len();
    let failure = loop {
        match layer.on_wire(&mut wire, &mut out) {
            Ok(()) => {}
            Err(failure) => break failure,
        }
        wire.extend_from_slice(&next);
        sent += next.len();
        assert!(sent < 10_000, "no limit");
    };
    assert!(sent > 4096);
    assert_eq!(failure.kind, FailureKind::LimitReached);
    assert!(failure.detail.contains("4096"), "{failure}");
}

#[test]
fn claims_beyond_the_limits_of_tls_are_refused_at_once() {
    let authority = Authority::new("Root");
    let (_, server) = parameters(&authority);
    for (what, bytes) in [
        (
            "a message of 16 MB",
            vec![22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
        ),
        ("a record of 64 KB", vec![22, 3, 1, 0xff, 0xff]),
        ("an empty handshake record", vec![22, 3, 1, 0, 0]),
    ] {
        let mut layer = TlsEngine::new().server(&server, &[]).unwrap();
        let (mut wire, mut out) = (BytesMut::from(&bytes[..]), BytesMut::new());
        let failure = layer.on_wire(&mut wire, &mut out).unwrap_err();
        assert_eq!(failure.kind, FailureKind::ProtocolViolation, "{what}");
        assert!(out.starts_with(&[21, 3]), "{what}: an alert goes out");
    }
}

#[test]
fn a_failed_layer_repeats_its_failure() {
    let authority = Authority::new("Root");
    let (client, mut server) = parameters(&authority);
    server.client_authentication = ClientAuthentication::Required(authority.trust());
    let mut pair = Pair::new(&client, &server);
    pair.start();
    let failure = pair.server_result.clone().unwrap_err();
    let mut out = BytesMut::new();
    let mut wire = BytesMut::from(&b"more"[..]);
    assert_eq!(
        pair.server.on_wire(&mut wire, &mut out),
        Err(failure.clone())
    );
    assert_eq!(pair.server.write(&[b"x"], &mut out), Err(failure.clone()));
    assert_eq!(pair.server.start(&mut out), Err(failure.clone()));
    assert_eq!(pair.server.on_end(), Err(failure));
    pair.server.close(&mut out);
    assert!(out.is_empty());
    assert_eq!(&wire[..], b"more");
}

#[test]
fn an_injected_plaintext_hello_fails_the_connection() {
    let authority = Authority::new("Root");
    let (mut client, server) = parameters(&authority);
    only(&mut client, TlsVersion::Tls12);
    let mut pair = Pair::ready(&client, &server);
    assert_eq!(pair.server_says(&[b"one"]), b"one");
    // An injected plaintext client hello is not a record of this connection.
    pair.to_server
        .extend_from_slice(&[22, 3, 3, 0, 4, 1, 0, 0, 0]);
    pair.settle();
    let failure = pair.server_result.clone().unwrap_err();
    assert_eq!(failure.kind, FailureKind::ProtocolViolation);
}
