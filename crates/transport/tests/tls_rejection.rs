//! What TLS layers refuse, and how both sides say so.

mod tls_support;

use bytes::BytesMut;
use portway_core::security::{
    ClientAuthentication, Group, Identity, PreSharedKey, SignatureAlgorithm, TlsParameters,
    TlsVersion, Trust,
};
use portway_core::{Advice, Failure, FailureKind, Origin};
use portway_transport::layer::{ByteLayer, LayerStatus};
use portway_transport::tls::{Clock, TlsEngine, self_signed};
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use tls_support::{Authority, Issued, LOOPBACK, NAME, Pair, VERSIONS, only, parameters};

/// A server's certificate that a client refuses.
struct Case {
    what: &'static str,
    issued: Issued,
    details: &'static [&'static str],
    alert: i64,
}

fn refused_servers(authority: &Authority, stranger: &Authority) -> Vec<Case> {
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    let case = |what, issued, details, alert| Case {
        what,
        issued,
        details,
        alert,
    };
    vec![
        case(
            "expired",
            authority.identity(&[NAME], server.clone(), |params| {
                params.not_before = date_time_ymd(2001, 1, 1);
                params.not_after = date_time_ymd(2002, 3, 4);
            }),
            &["expired on 2002-03-04 00:00:00 UTC"],
            45,
        ),
        case(
            "not yet valid",
            authority.identity(&[NAME], server.clone(), |params| {
                params.not_before = date_time_ymd(3001, 2, 3);
                params.not_after = date_time_ymd(3002, 1, 1);
            }),
            &["not valid before 3001-02-03 00:00:00 UTC"],
            45,
        ),
        case(
            "wrong name",
            authority.identity(&["other.example", "10.0.0.1"], server.clone(), |_| {}),
            &["not valid for server.example", "other.example, 10.0.0.1"],
            42,
        ),
        case(
            "unknown authority",
            stranger.identity(&[NAME], server.clone(), |_| {}),
            &["unknown authority", "CN=Stranger"],
            48,
        ),
        case(
            "wrong purpose",
            authority.identity(&[NAME], ExtendedKeyUsagePurpose::ClientAuth, |_| {}),
            &["not meant for server authentication"],
            43,
        ),
    ]
}

#[test]
fn every_unacceptable_server_is_named_on_both_sides() {
    let (authority, stranger) = (Authority::new("Root"), Authority::new("Stranger"));
    for version in VERSIONS {
        for case in refused_servers(&authority, &stranger) {
            let (mut client, mut server) = parameters(&authority);
            only(&mut client, version);
            server.identity = Some(case.issued.identity);
            let mut pair = Pair::new(&client, &server);
            pair.start();
            let failure = pair.client_result.clone().unwrap_err();
            assert_eq!(
                failure.kind,
                FailureKind::CertificateRejected,
                "{}",
                case.what
            );
            assert_eq!(failure.origin, Origin::Tls);
            assert_eq!(failure.code, Some(case.alert), "{}: {failure}", case.what);
            for detail in case.details {
                assert!(failure.detail.contains(detail), "{}: {failure}", case.what);
            }
            assert_eq!(pair.client.status(), LayerStatus::Failed);
            let failure = pair.server_result.clone().unwrap_err();
            assert_eq!(
                failure.kind,
                FailureKind::CertificateRejected,
                "{}",
                case.what
            );
            assert_eq!(failure.code, Some(case.alert), "{}: {failure}", case.what);
        }
    }
}

#[test]
fn every_unacceptable_client_is_named_on_both_sides() {
    let (authority, stranger) = (Authority::new("Root"), Authority::new("Stranger"));
    let expired = |params: &mut rcgen::CertificateParams| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 3, 4);
    };
    let names = &["client.example"];
    for version in VERSIONS {
        for (issued, detail, alert) in [
            (
                authority.identity(names, ExtendedKeyUsagePurpose::ClientAuth, expired),
                "expired on 2002-03-04",
                45,
            ),
            (stranger.client(), "unknown authority", 48),
            (
                authority.server(),
                "not meant for client authentication",
                43,
            ),
        ] {
            let (mut client, mut server) = parameters(&authority);
            only(&mut client, version);
            client.identity = Some(issued.identity);
            for authentication in [
                ClientAuthentication::Optional(authority.trust()),
                ClientAuthentication::Required(authority.trust()),
            ] {
                server.client_authentication = authentication;
                let mut pair = Pair::new(&client, &server);
                pair.start();
                let failure = pair.server_result.clone().unwrap_err();
                assert_eq!(failure.kind, FailureKind::CertificateRejected);
                assert_eq!(failure.code, Some(alert), "{failure}");
                assert!(failure.detail.contains(detail), "{failure}");
                let failure = pair.client_result.clone().unwrap_err();
                assert_eq!(failure.kind, FailureKind::CredentialRequired, "{failure}");
                assert_eq!(failure.code, Some(alert), "{failure}");
                assert_eq!(failure.advice, Advice::NeedsCredential);
            }
        }
    }
}

#[test]
fn a_client_certificate_is_checked_asked_for_and_optional() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, mut server) = parameters(&authority);
        only(&mut client, version);
        let identity = authority.client().identity;

        server.client_authentication = ClientAuthentication::Required(authority.trust());
        let mut pair = Pair::new(&client, &server);
        pair.start();
        for result in [&pair.client_result, &pair.server_result] {
            let failure = result.clone().unwrap_err();
            assert_eq!(failure.kind, FailureKind::CredentialRequired, "{failure}");
            assert_eq!(failure.code, Some(116));
        }

        server.client_authentication = ClientAuthentication::Optional(authority.trust());
        let pair = Pair::ready(&client, &server);
        assert!(
            pair.server
                .protection()
                .unwrap()
                .peer_certificates
                .is_empty()
        );

        client.identity = Some(Arc::clone(&identity));
        for authentication in [
            ClientAuthentication::Optional(authority.trust()),
            ClientAuthentication::Required(authority.trust()),
        ] {
            server.client_authentication = authentication;
            let mut pair = Pair::ready(&client, &server);
            assert_eq!(pair.client_says(&[b"it is me"]), b"it is me");
            let certificates = pair.server.protection().unwrap().peer_certificates;
            assert_eq!(certificates, identity.chain);
        }
    }
}

#[test]
fn an_address_is_checked_and_not_sent_as_a_name() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let engine = TlsEngine::new();
    let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
    pair.client = engine.client(&client, None, LOOPBACK, &[]).unwrap();
    pair.start().expect_ready();
    assert_eq!(pair.client.protection().unwrap().server_name, None);
    assert_eq!(pair.server.protection().unwrap().server_name, None);

    let elsewhere = "192.0.2.7".parse().unwrap();
    let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
    pair.client = engine.client(&client, None, elsewhere, &[]).unwrap();
    pair.start();
    let failure = pair.client_result.clone().unwrap_err();
    assert_eq!(failure.kind, FailureKind::CertificateRejected);
    assert!(failure.detail.contains("192.0.2.7"), "{failure}");
}

#[test]
fn the_name_of_the_parameters_goes_before_the_host_name() {
    let authority = Authority::new("Root");
    let (mut client, server) = parameters(&authority);
    client.server_name = Some(format!("{NAME}."));
    let engine = TlsEngine::new();
    let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
    pair.client = engine
        .client(&client, Some("elsewhere.example"), LOOPBACK, &[])
        .unwrap();
    pair.start().expect_ready();
    let sent = pair.server.protection().unwrap().server_name;
    assert_eq!(sent.as_deref(), Some(NAME));
}

#[test]
fn a_pin_accepts_its_certificate_and_no_other() {
    let authority = Authority::new("Root");
    let (mut client, mut server) = parameters(&authority);
    let pinned = self_signed(&["nobody.example".to_owned()]).unwrap();
    client.trust = Trust::Pinned(Arc::from([pinned.chain[0].clone()]));
    server.identity = Some(Arc::new(pinned));
    Pair::ready(&client, &server);

    server.identity = Some(authority.server().identity);
    let mut pair = Pair::new(&client, &server);
    pair.start();
    let failure = pair.client_result.clone().unwrap_err();
    assert_eq!(failure.kind, FailureKind::CertificateRejected);
    assert!(failure.detail.contains("none of the pinned"), "{failure}");
}

#[test]
fn anyone_still_has_to_hold_the_key() {
    let authority = Authority::new("Root");
    let (mut client, mut server) = parameters(&authority);
    client.trust = Trust::DangerousAnyone;
    server.identity = Some(Arc::new(self_signed(&["x.example".to_owned()]).unwrap()));
    Pair::ready(&client, &server);

    // A chain with another key cannot even be configured.
    let chain = authority.server().identity.chain.clone();
    let key = tls_support::key_of(&authority.server().identity);
    server.identity = Some(Arc::new(Identity::new(chain, key)));
    let failure = TlsEngine::new().server(&server, &[]).err().unwrap();
    assert_eq!(failure.kind, FailureKind::InvalidRequest);
    assert!(failure.detail.contains("does not belong"), "{failure}");
}

#[test]
fn validity_follows_the_clock_that_is_given() {
    let authority = Authority::new("Root");
    let (client, mut server) = parameters(&authority);
    let issued = authority.identity(&[NAME], ExtendedKeyUsagePurpose::ServerAuth, |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    server.identity = Some(issued.identity);
    let at = |seconds| {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        TlsEngine::new().with_clock(Clock::Given(Arc::new(move || now)))
    };
    Pair::of(&at(990_000_000), &client, &server, &[], &[])
        .start()
        .expect_ready();
    let mut pair = Pair::of(&at(1_010_000_000), &client, &server, &[], &[]);
    pair.start();
    let failure = pair.client_result.clone().unwrap_err();
    assert!(failure.detail.contains("it is now 2002-01-02"), "{failure}");
}

#[test]
fn a_peer_that_speaks_plaintext_is_quoted() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let engine = TlsEngine::new();
    let quoted = |failure: Failure, text: &str| {
        assert_eq!(failure.kind, FailureKind::ProtocolViolation);
        assert!(failure.detail.contains("does not speak TLS"), "{failure}");
        assert!(failure.detail.contains(text), "{failure}");
    };
    for (text, shown) in [
        (
            "HTTP/1.1 400 Bad Request\r\n",
            "HTTP/1.1 400 Bad Request\\r\\n",
        ),
        ("SSH-2.0-OpenSSH", "SSH-2.0-OpenSSH"),
        ("220 smtp", "220 smtp"),
        ("G", "\"G\""),
    ] {
        let mut out = BytesMut::new();
        let mut layer = engine.client(&client, Some(NAME), LOOPBACK, &[]).unwrap();
        layer.start(&mut out).unwrap();
        let mut wire = BytesMut::from(text);
        quoted(layer.on_wire(&mut wire, &mut out).unwrap_err(), shown);
        assert_eq!(layer.status(), LayerStatus::Failed);
        let again = layer.on_wire(&mut wire, &mut out).unwrap_err();
        quoted(again, shown);
        assert_eq!(&wire[..], text.as_bytes(), "what is not TLS stays");

        let mut layer = engine.server(&server, &[]).unwrap();
        quoted(layer.on_wire(&mut wire, &mut out).unwrap_err(), shown);
    }
}

#[test]
fn parameters_that_cannot_be_met_say_why() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let engine = TlsEngine::new();
    let refused = |change: &dyn Fn(&mut TlsParameters), detail: &str| {
        let mut changed = client.clone();
        change(&mut changed);
        let failure = engine
            .client(&changed, Some(NAME), LOOPBACK, &[])
            .err()
            .unwrap();
        assert_eq!(failure.kind, FailureKind::InvalidRequest);
        assert!(failure.detail.contains(detail), "{failure}");
    };
    refused(
        &|p| {
            p.min_version = TlsVersion::Tls13;
            p.max_version = TlsVersion::Tls12;
        },
        "no TLS version",
    );
    refused(
        &|p| p.trust = Trust::Roots(Arc::from([])),
        "no usable trust anchor",
    );
    refused(
        &|p| p.trust = Trust::Roots(Arc::from([CertificateDer::from(vec![1, 2, 3])])),
        "malformed",
    );
    refused(&|p| p.trust = Trust::Pinned(Arc::from([])), "pinned");
    refused(&|p| p.server_name = Some("no name".into()), "no name");

    refused(
        &|p| {
            p.algorithms.groups = vec![Group::MlKem768];
            p.max_version = TlsVersion::Tls12;
        },
        "no TLS version from TLS 1.2 to TLS 1.2 works with the groups that are allowed",
    );
    refused(
        &|p| {
            p.identity = Some(Arc::new(Identity::new(
                Vec::new(),
                tls_support::key_of(server.identity.as_ref().unwrap()),
            )))
        },
        "no certificate",
    );
    refused(
        &|p| {
            p.identity.clone_from(&server.identity);
            p.algorithms.signature_algorithms = vec![SignatureAlgorithm::Ed25519];
        },
        "can sign with none",
    );
    let shared = client
        .clone()
        .with_pre_shared_key(PreSharedKey::new("me", "hush"));
    let failure = engine
        .client(&shared, Some(NAME), LOOPBACK, &[])
        .err()
        .unwrap();
    assert_eq!(failure.kind, FailureKind::Unsupported);
    assert!(failure.detail.contains("pre-shared key me"), "{failure}");

    let mut nameless = server;
    nameless.identity = None;
    let failure = engine.server(&nameless, &[]).err().unwrap();
    assert!(failure.detail.contains("needs a certificate"), "{failure}");
}
