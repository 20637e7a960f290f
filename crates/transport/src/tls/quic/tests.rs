//! TLS of QUIC between two endpoints of quinn-proto in memory.

mod pair;

use super::*;
use crate::tls::TlsEngine;
use pair::{Ended, Pair, parameters};
use portway_core::FailureKind;
use portway_core::security::{
    CipherSuite, ClientAuthentication, Group, Resumption, TlsParameters, TlsVersion, Trust,
    TrustCallback, TrustDecision,
};
use quinn_proto::crypto::Session;
use std::net::{IpAddr, Ipv4Addr};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn alpn(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

#[test]
fn a_session_is_described_alike_on_both_sides() {
    let (client, mut server) = parameters();
    server.algorithms.groups = vec![Group::X25519];
    let client = client.with_cipher_suites([CipherSuite::Chacha20Poly1305Sha256]);
    let mut pair = Pair::new(&client, &server);
    let [client, server] = pair.connect().expect("a connection").handshakes();
    for (side, handshake) in [("client", &client), ("server", &server)] {
        let protection = handshake.protection.as_ref().expect(side);
        assert_eq!(protection.version, TlsVersion::Tls13);
        assert_eq!(protection.cipher_suite, "TLS_CHACHA20_POLY1305_SHA256");
        assert_eq!(protection.group.as_deref(), Some("x25519"));
        assert_eq!(protection.alpn.as_deref(), Some(&b"perf"[..]));
        assert_eq!(protection.server_name.as_deref(), Some("server.example"));
        assert!(!protection.is_resumed);
    }
    let chain = client.protection.expect("described").peer_certificates;
    assert_eq!(chain.len(), 1);
}

#[test]
fn a_second_connection_is_resumed_and_its_early_data_is_taken() {
    let (client, server) = parameters();
    let mut pair = Pair::new(&client, &server);
    let first = pair.connect().expect("a connection");
    assert!(!first.had_early_keys);
    let second = pair.connect().expect("a connection");
    assert!(second.had_early_keys && second.is_early_data_accepted);
    for handshake in second.handshakes() {
        assert!(handshake.protection.expect("described").is_resumed);
    }
}

#[test]
fn each_attempt_takes_a_ticket_of_its_own() {
    let (client, server) = parameters();
    let mut pair = Pair::new(&client, &server);
    pair.connect().expect("a connection");
    // The server gives two tickets; a third attempt at the same time has none.
    let attempts = [pair.start(), pair.start(), pair.start()];
    assert_eq!(attempts, [true, true, false]);
}

#[test]
fn early_data_needs_the_leave_of_both_sides() {
    use EarlyData::{Allowed, Refused};
    for (of_client, of_server) in [(Allowed, Refused), (Refused, Allowed)] {
        let (client, server) = parameters();
        let mut pair = Pair::new(&client, &server).with_early_data(of_client, of_server);
        pair.connect().expect("a connection");
        let second = pair.connect().expect("a connection");
        assert!(!second.had_early_keys);
        let [client, _] = second.handshakes();
        assert!(client.protection.expect("described").is_resumed);
    }
}

#[test]
fn early_data_is_refused_when_the_server_gives_less_than_before() {
    let (client, server) = parameters();
    let mut pair = Pair::new(&client, &server);
    pair.streams_max = 8;
    pair.connect().expect("a connection");
    pair.streams_max = 9;
    let more = pair.connect().expect("a connection");
    assert!(more.is_early_data_accepted);
    pair.streams_max = 7;
    let less = pair.connect().expect("a connection");
    assert!(less.had_early_keys && !less.is_early_data_accepted);
}

#[test]
fn sessions_are_kept_apart_from_tls_over_tcp_and_other_protocols() {
    let (client, server) = parameters();
    let mut pair = Pair::new(&client, &server);
    pair.alpn = alpn(&["perf", "other"]);
    pair.connect().expect("a connection");
    pair.alpn = alpn(&["perf"]);
    assert!(!pair.connect().expect("a connection").had_early_keys);
    // A hello that offers a session is longer than one of an engine that has none.
    let hello_len = |engine: &TlsEngine| {
        let mut hello = bytes::BytesMut::new();
        let mut over_tcp = engine
            .client(&client, Some("server.example"), LOOPBACK, &pair.alpn)
            .expect("a layer");
        crate::layer::ByteLayer::start(&mut over_tcp, &mut hello).expect("a hello");
        hello.len()
    };
    assert_eq!(hello_len(&pair.engine), hello_len(&TlsEngine::new()));
}

#[test]
fn a_server_forgets_the_oldest_session_and_all_of_them_in_time() {
    let (client, server) = parameters();
    // Two tickets a connection: of the first connection's, one is pushed out by the second's.
    let server = server.with_resumption(Resumption::default().with_sessions_max(2));
    let mut pair = Pair::new(&client, &server);
    pair.connect().expect("a connection");
    let mut other = Pair::new(&client, &server).sharing_server(&pair);
    other.connect().expect("a connection");
    let late = pair.connect().expect("a connection");
    assert!(late.had_early_keys && !late.is_early_data_accepted);
    let (client, server) = parameters();
    let lifetime = std::time::Duration::from_secs(60);
    let server = server.with_resumption(Resumption::default().with_lifetime(lifetime));
    for (age_s, is_expected) in [(59, true), (60, false)] {
        let mut pair = Pair::new(&client, &server);
        pair.connect().expect("a connection");
        pair.age(age_s);
        let second = pair.connect().expect("a connection");
        assert_eq!(second.is_early_data_accepted, is_expected, "{age_s} s");
    }
}

#[test]
fn what_quic_cannot_honour_is_refused_by_name() {
    let engine = TlsEngine::new();
    let (client, server) = parameters();
    let protocols = alpn(&["perf"]);
    let refused = |client: &TlsParameters, server: &TlsParameters, alpn: &[Vec<u8>]| {
        let client = engine
            .quic_client(
                client,
                Some("a.example"),
                LOOPBACK,
                alpn,
                EarlyData::Allowed,
            )
            .expect_err("refused");
        let server = engine
            .quic_server(server, alpn, EarlyData::Allowed)
            .expect_err("refused");
        assert_eq!((client.kind, &client.detail), (server.kind, &server.detail));
        client
    };
    let failure = refused(&client, &server, &[]);
    assert_eq!(failure.kind, FailureKind::InvalidRequest);
    assert!(failure.detail.contains("ALPN"), "{failure}");
    let old = |p: &TlsParameters| p.clone().with_max_version(TlsVersion::Tls12);
    let failure = refused(&old(&client), &old(&server), &protocols);
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert!(failure.detail.contains("TLS 1.3"), "{failure}");
    let nobody = TlsParameters::default();
    let failure = engine
        .quic_server(&nobody, &protocols, EarlyData::Refused)
        .expect_err("no identity");
    assert!(failure.detail.contains("certificate"), "{failure}");
}

#[test]
fn a_client_that_distrusts_says_why_to_its_application_alone() {
    let (client, server) = parameters();
    let client = client.with_trust_callback(TrustCallback::new(|_| {
        TrustDecision::Reject("the face does not fit".to_owned())
    }));
    let Ended { client, server, .. } = Pair::new(&client, &server).fail();
    let failure = client.failure.expect("a reason");
    assert_eq!(failure.kind, FailureKind::CertificateRejected);
    assert!(
        failure.detail.contains("the face does not fit"),
        "{failure}"
    );
    let (told, reason) = server.expect("the server is told");
    assert_eq!(reason, b"");
    // The alert "access denied", and nothing else.
    assert_eq!(told.code, Some(49));
    assert!(!told.detail.contains("face"), "{told}");
}

#[test]
fn an_unknown_server_is_rejected_by_its_chain() {
    let ((stranger, _), (_, server)) = (parameters(), parameters());
    let Ended { client, .. } = Pair::new(&stranger, &server).fail();
    let failure = client.failure.expect("a reason");
    assert_eq!(failure.kind, FailureKind::CertificateRejected);
}

#[test]
fn no_common_protocol_is_told_to_both_sides() {
    let (client, server) = parameters();
    let mut pair = Pair::new(&client, &server);
    pair.alpn = alpn(&["other"]);
    let Ended {
        client_told,
        accept_failure,
        ..
    } = pair.fail();
    let failure = accept_failure.expect("the server's reason");
    assert_eq!(failure.kind, FailureKind::AlpnMismatch);
    let told = client_told.expect("the client is told");
    assert_eq!(told.kind, FailureKind::AlpnMismatch);
    assert_eq!(told.code, Some(120));
}

#[test]
fn a_missing_client_certificate_is_told_to_both_sides() {
    let (client, server) = parameters();
    let demand = ClientAuthentication::Required(Trust::DangerousAnyone);
    let server = server.with_client_authentication(demand);
    let Ended {
        client_told,
        server_failure,
        ..
    } = Pair::new(&client, &server).fail();
    let failure = server_failure.expect("the server's reason");
    assert_eq!(failure.kind, FailureKind::CredentialRequired);
    let told = client_told.expect("the client is told");
    assert_eq!(told.kind, FailureKind::CredentialRequired);
}

#[test]
fn a_client_certificate_is_described_to_the_server() {
    let (client, server) = parameters();
    let identity = crate::tls::self_signed(&["client.example".to_owned()]).expect("an identity");
    let certificate = identity.chain[0].clone();
    let client = client.with_identity(identity);
    let demand = ClientAuthentication::Required(Trust::Pinned(Arc::from([certificate.clone()])));
    let server = server.with_client_authentication(demand);
    let mut pair = Pair::new(&client, &server);
    let [_, server] = pair.connect().expect("a connection").handshakes();
    let chain = server.protection.expect("described").peer_certificates;
    assert_eq!(chain, [certificate]);
}

/// RFC 9001 §A.4.
#[test]
fn the_retry_packet_of_the_specification_is_valid_and_others_are_not() {
    let orig = ConnectionId::new(&0x8394_c8f0_3e51_5708_u64.to_be_bytes());
    let header = [
        0xff, 0, 0, 0, 1, 0, 8, 0xf0, 0x67, 0xa5, 0x50, 0x2a, 0x42, 0x62, 0xb5,
    ];
    let mut payload = b"token".to_vec();
    payload.extend(0x04a2_65ba_2eff_4d82_9058_fb3f_0f24_96ba_u128.to_be_bytes());
    let engine = TlsEngine::new();
    let (client, _) = parameters();
    let config = engine
        .quic_client(&client, None, LOOPBACK, &alpn(&["x"]), EarlyData::Refused)
        .expect("a configuration");
    let session = config.session();
    assert!(session.is_valid_retry(&orig, &header, &payload));
    for index in 0..payload.len() {
        let mut forged = payload.clone();
        forged[index] ^= 1;
        assert!(!session.is_valid_retry(&orig, &header, &forged));
        assert!(!session.is_valid_retry(&orig, &header, &payload[..index]));
    }
    let other = ConnectionId::new(&[7; 8]);
    assert!(!session.is_valid_retry(&other, &header, &payload));
}
