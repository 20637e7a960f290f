//! What TLS layers of one engine share: sessions, bounded and never across parameters; key logs.

mod tls_support;

use bytes::BytesMut;
use portway_core::FailureKind;
use portway_core::security::{Resumption, TlsParameters, Trust};
use portway_transport::layer::ByteLayer;
use portway_transport::tls::{Clock, TlsEngine, TlsLimits};
use rustls_pki_types::UnixTime;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tls_support::{Authority, LOOPBACK, Pair, VERSIONS, only, parameters};

/// Connects, takes the tickets and says whether an earlier session was resumed.
fn is_resumed(
    engine: &TlsEngine,
    client: &TlsParameters,
    server: &TlsParameters,
    name: &str,
) -> bool {
    let mut pair = Pair::of(engine, client, server, &[], &[]);
    pair.client = engine
        .client(client, Some(name), LOOPBACK, &[])
        .expect("a layer");
    pair.start().expect_ready();
    pair.server_says(&[b"tickets come before this"]);
    let protection = pair.client.protection().expect("ready");
    protection.is_resumed
}

#[test]
fn a_session_without_trust_is_not_resumed_with_trust() {
    let (authority, stranger) = (Authority::new("Root"), Authority::new("Stranger"));
    let (strict, mut server) = parameters(&authority);
    server.identity = Some(stranger.server().identity);
    let mut careless = strict.clone();
    careless.trust = Trust::DangerousAnyone;
    let engine = TlsEngine::new();
    let name = tls_support::NAME;
    assert!(!is_resumed(&engine, &careless, &server, name));
    assert!(is_resumed(&engine, &careless, &server, name));
    let mut pair = Pair::of(&engine, &strict, &server, &[], &[]);
    pair.start();
    let failure = pair.client_result.clone().unwrap_err();
    assert_eq!(failure.kind, FailureKind::CertificateRejected);
}

#[test]
fn equal_parameters_share_sessions_even_when_made_apart() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let mut equal = TlsParameters::default();
    equal.trust = authority.trust();
    let engine = TlsEngine::new();
    let name = tls_support::NAME;
    assert!(!is_resumed(&engine, &client, &server, name));
    assert!(is_resumed(&engine, &equal, &server, name));
    assert!(!is_resumed(&TlsEngine::new(), &equal, &server, name));
}

#[test]
fn sessions_are_kept_for_as_many_servers_as_allowed() {
    let authority = Authority::new("Root");
    let (mut client, server) = parameters(&authority);
    client.trust = Trust::DangerousAnyone;
    // rustls keeps up to eight tickets a server and divides the number by that.
    client.resumption = Resumption::default().with_sessions_max(8);
    let engine = TlsEngine::new();
    assert!(!is_resumed(&engine, &client, &server, "a.example"));
    assert!(is_resumed(&engine, &client, &server, "a.example"));
    assert!(!is_resumed(&engine, &client, &server, "b.example"));
    assert!(!is_resumed(&engine, &client, &server, "a.example"));
}

#[test]
fn a_session_is_resumed_until_its_lifetime_has_passed_on_either_side() {
    let authority = Authority::new("Root");
    let name = tls_support::NAME;
    let limited = || Resumption::default().with_lifetime(Duration::from_secs(100));
    for version in VERSIONS {
        for is_client_limited in [true, false] {
            for (age_s, is_expected) in [(99, true), (100, false), (1_000_000, false)] {
                let (mut client, mut server) = parameters(&authority);
                only(&mut client, version);
                if is_client_limited {
                    client.resumption = limited();
                } else {
                    server.resumption = limited();
                }
                let now_s = Arc::new(AtomicU64::new(1_900_000_000));
                let clock = Arc::clone(&now_s);
                let clock = move || {
                    UnixTime::since_unix_epoch(Duration::from_secs(clock.load(Ordering::Relaxed)))
                };
                let engine = TlsEngine::new().with_clock(Clock::Given(Arc::new(clock)));
                assert!(!is_resumed(&engine, &client, &server, name));
                now_s.fetch_add(age_s, Ordering::Relaxed);
                assert_eq!(
                    is_resumed(&engine, &client, &server, name),
                    is_expected,
                    "{version} after {age_s} s, client: {is_client_limited}"
                );
            }
        }
    }
}

#[test]
fn a_ticket_from_the_future_is_not_accepted() {
    let authority = Authority::new("Root");
    let (client, mut server) = parameters(&authority);
    server.resumption = Resumption::default().with_lifetime(Duration::from_secs(100));
    let now_s = Arc::new(AtomicU64::new(1_900_000_000));
    let clock = Arc::clone(&now_s);
    let clock =
        move || UnixTime::since_unix_epoch(Duration::from_secs(clock.load(Ordering::Relaxed)));
    let engine = TlsEngine::new().with_clock(Clock::Given(Arc::new(clock)));
    assert!(!is_resumed(&engine, &client, &server, tls_support::NAME));
    now_s.fetch_sub(1, Ordering::Relaxed);
    assert!(!is_resumed(&engine, &client, &server, tls_support::NAME));
}

#[test]
fn the_configuration_used_longest_ago_goes_first() {
    let authority = Authority::new("Root");
    let (first, server) = parameters(&authority);
    let mut second = first.clone();
    second.trust = Trust::DangerousAnyone;
    let mut limits = TlsLimits::default();
    limits.configurations_max = 1;
    let engine = TlsEngine::new().with_limits(limits);
    let name = tls_support::NAME;
    assert!(!is_resumed(&engine, &first, &server, name));
    assert!(is_resumed(&engine, &first, &server, name));
    assert!(!is_resumed(&engine, &second, &server, name));
    assert!(!is_resumed(&engine, &first, &server, name));
}

#[test]
fn the_platform_does_not_know_our_authority() {
    let authority = Authority::new("Root");
    let (mut client, server) = parameters(&authority);
    client.trust = Trust::Platform;
    let engine = TlsEngine::new();
    let mut layer = match engine.client(&client, Some(tls_support::NAME), LOOPBACK, &[]) {
        Ok(layer) => layer,
        Err(failure) => {
            // A machine without a trust store says so.
            assert_eq!(failure.kind, FailureKind::Unsupported);
            assert!(failure.detail.contains("trust store"), "{failure}");
            return;
        }
    };
    let (mut hello, mut flight, mut out) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
    layer.start(&mut hello).unwrap();
    let mut server = engine.server(&server, &[]).unwrap();
    server.on_wire(&mut hello, &mut flight).unwrap();
    let failure = layer.on_wire(&mut flight, &mut out).unwrap_err();
    assert_eq!(failure.kind, FailureKind::CertificateRejected);
    assert!(failure.detail.contains("unknown authority"), "{failure}");
}

#[test]
fn secrets_are_logged_only_on_request() {
    // rustls reads SSLKEYLOGFILE from the environment, so each case is a process of its own.
    if let Ok(wish) = std::env::var(CHILD) {
        let authority = Authority::new("Root");
        let (mut client, server) = parameters(&authority);
        client.key_log = wish == "yes";
        Pair::ready(&client, &server);
        return;
    }
    for (wish, is_expected) in [("yes", true), ("no", false)] {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("keys-{wish}-{}", std::process::id()));
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "secrets_are_logged_only_on_request"])
            .env(CHILD, wish)
            .env("SSLKEYLOGFILE", &log)
            .status()
            .unwrap();
        assert!(status.success());
        let logged = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(&log);
        assert_eq!(logged.contains("CLIENT_TRAFFIC_SECRET_0"), is_expected);
        assert_eq!(logged.is_empty(), !is_expected);
    }
}

const CHILD: &str = "PORTWAY_TEST_KEY_LOG";
