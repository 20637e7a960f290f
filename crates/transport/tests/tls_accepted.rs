//! Chains that were accepted before: not verified again, and never accepted where they would not
//! be.

mod tls_support;

use portway_core::security::{ClientAuthentication, Resumption, TrustCallback, TrustDecision};
use portway_core::{Failure, FailureKind};
use portway_transport::tls::{Clock, TlsEngine};
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use rustls_pki_types::UnixTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tls_support::{Authority, LOOPBACK, NAME, Pair, parameters};

/// An engine whose clock stands at what is stored.
fn engine_at(now_s: &Arc<AtomicU64>) -> TlsEngine {
    let now_s = now_s.clone();
    let clock =
        move || UnixTime::since_unix_epoch(Duration::from_secs(now_s.load(Ordering::Relaxed)));
    TlsEngine::new().with_clock(Clock::Given(Arc::new(clock)))
}

fn outcome(pair: &mut Pair) -> Result<(), Failure> {
    pair.start();
    pair.client_result.clone().and(pair.server_result.clone())
}

#[test]
fn an_accepted_chain_is_refused_once_it_has_expired() {
    let authority = Authority::new("Root");
    let (mut client, mut server) = parameters(&authority);
    client.resumption = Resumption::disabled();
    let issued = authority.identity(&[NAME], ExtendedKeyUsagePurpose::ServerAuth, |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    server.identity = Some(issued.identity);
    // 2002-01-01 00:00:00 is the last valid second.
    let end_s = 1_009_843_200;
    let now_s = Arc::new(AtomicU64::new(990_000_000));
    let engine = engine_at(&now_s);
    for (time_s, is_valid) in [
        (990_000_000, true),
        (990_000_001, true),
        (end_s, true),
        (end_s + 1, false),
        (end_s, true),
        (900_000_000, false),
    ] {
        now_s.store(time_s, Ordering::Relaxed);
        let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
        let result = outcome(&mut pair);
        assert_eq!(result.is_ok(), is_valid, "at {time_s}: {result:?}");
        if let Err(failure) = result {
            assert_eq!(failure.kind, FailureKind::CertificateRejected, "{failure}");
        }
    }
}

#[test]
fn a_chain_accepted_for_one_name_is_refused_for_another() {
    let authority = Authority::new("Root");
    let (mut client, server) = parameters(&authority);
    client.resumption = Resumption::disabled();
    let engine = TlsEngine::new();
    for (name, is_valid) in [(NAME, true), ("other.example", false), (NAME, true)] {
        let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
        pair.client = engine
            .client(&client, Some(name), LOOPBACK, &[])
            .expect("a layer");
        let result = outcome(&mut pair);
        assert_eq!(result.is_ok(), is_valid, "{name}: {result:?}");
    }
}

#[test]
fn the_application_is_asked_about_every_chain() {
    let authority = Authority::new("Root");
    let (mut client, server) = parameters(&authority);
    client.resumption = Resumption::disabled();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    client.trust_callback = Some(TrustCallback::new(move |question| {
        assert!(question.chain_result.is_ok(), "{:?}", question.chain_result);
        match counter.fetch_add(1, Ordering::Relaxed) {
            2 => TrustDecision::Reject("not today".to_owned()),
            _ => TrustDecision::AsChain,
        }
    }));
    let engine = TlsEngine::new();
    for is_accepted in [true, true, false] {
        let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
        assert_eq!(outcome(&mut pair).is_ok(), is_accepted);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[test]
fn clients_are_known_again_too_and_only_with_their_key() {
    let authority = Authority::new("Root");
    let (mut client, mut server) = parameters(&authority);
    client.resumption = Resumption::disabled();
    client.identity = Some(authority.client().identity);
    server.client_authentication = ClientAuthentication::Required(authority.trust());
    let engine = TlsEngine::new();
    for _ in 0..2 {
        let mut pair = Pair::of(&engine, &client, &server, &[], &[]);
        outcome(&mut pair).expect("a known client");
    }
    // The same certificate with somebody else's key: knowing the chain proves nothing.
    let known = client.identity.take().expect("just set");
    let stranger = authority.client().identity;
    let key = tls_support::key_of(&stranger);
    let stolen = portway_core::security::Identity::new(known.chain.clone(), key);
    client.identity = Some(Arc::new(stolen));
    let refused = engine
        .client(&client, Some(NAME), LOOPBACK, &[])
        .and_then(|layer| {
            let mut pair = Pair::of(&engine, &parameters(&authority).0, &server, &[], &[]);
            pair.client = layer;
            outcome(&mut pair)
        });
    assert!(refused.is_err(), "a certificate without its key");
}
