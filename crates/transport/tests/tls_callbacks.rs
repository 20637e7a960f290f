//! The trust callback, the identity challenge callback and keys that stay in their module.

mod tls_support;

use portway_core::security::{
    ChallengeCallback, ClientAuthentication, Identity, IdentityChallenge, SignatureAlgorithm,
    SigningKey, TlsParameters, TlsVersion, Trust, TrustCallback, TrustDecision,
};
use portway_core::{Failure, FailureKind, Origin};
use portway_transport::layer::{ByteLayer, LayerStatus};
use portway_transport::tls::TlsEngine;
use rcgen::ExtendedKeyUsagePurpose;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tls_support::{Authority, Module, NAME, Pair, VERSIONS, only, parameters};

fn always(decision: TrustDecision) -> TrustCallback {
    TrustCallback::new(move |_| decision.clone())
}

fn choose(identity: &Arc<Identity>) -> ChallengeCallback {
    let identity = Arc::clone(identity);
    ChallengeCallback::new(move |_| Some(Arc::clone(&identity)))
}

/// Parameters of both sides where the server demands a certificate.
fn mutual(authority: &Authority, version: TlsVersion) -> (TlsParameters, TlsParameters) {
    let (mut client, mut server) = parameters(authority);
    only(&mut client, version);
    server.client_authentication = ClientAuthentication::Required(authority.trust());
    (client, server)
}

#[test]
fn the_trust_callback_sees_the_peer_and_what_the_chain_is_worth() {
    let (authority, stranger) = (Authority::new("Root"), Authority::new("Stranger"));
    for (trusted, is_chain_good) in [(&authority, true), (&stranger, false)] {
        let (mut client, server) = parameters(&authority);
        client.trust = trusted.trust();
        let shown = server.identity.as_ref().unwrap().chain[0].clone();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        client = client.with_trust_callback(TrustCallback::new(move |question| {
            count.fetch_add(1, Ordering::Relaxed);
            assert_eq!(*question.end_entity, shown);
            assert!(question.intermediates.is_empty());
            assert_eq!(question.server_name, Some(NAME));
            assert_eq!(question.stapled_ocsp, None);
            match question.chain_result {
                Ok(()) => assert!(is_chain_good),
                Err(failure) => {
                    assert!(!is_chain_good);
                    assert_eq!(failure.kind, FailureKind::CertificateRejected);
                    assert!(failure.detail.contains("unknown authority"), "{failure}");
                }
            }
            TrustDecision::AsChain
        }));
        let mut pair = Pair::new(&client, &server);
        pair.start();
        assert_eq!(pair.client_result.is_ok(), is_chain_good);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn the_trust_callback_outweighs_the_chain_either_way() {
    let (authority, stranger) = (Authority::new("Root"), Authority::new("Stranger"));
    for version in VERSIONS {
        let (mut client, server) = parameters(&authority);
        only(&mut client, version);
        let refused = client
            .clone()
            .with_trust_callback(always(TrustDecision::Reject("on our list".into())));
        let mut pair = Pair::new(&refused, &server);
        pair.start();
        let failure = pair.client_result.clone().unwrap_err();
        assert_eq!(failure.kind, FailureKind::CertificateRejected);
        assert!(failure.detail.ends_with("on our list"), "{failure}");
        assert!(pair.server_result.is_err());

        client.trust = stranger.trust();
        let accepted = client.with_trust_callback(always(TrustDecision::Accept));
        Pair::ready(&accepted, &server);
    }
}

#[test]
fn a_server_asks_the_trust_callback_about_its_clients() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, server) = mutual(&authority, version);
        let issued = authority.client();
        client.identity = Some(Arc::clone(&issued.identity));
        let shown = issued.identity.chain[0].clone();
        let callback = TrustCallback::new(move |question| {
            assert!(question.chain_result.is_ok());
            assert_eq!(*question.end_entity, shown);
            assert_eq!(question.server_name, None);
            TrustDecision::Reject("left the company".into())
        });
        let mut pair = Pair::new(&client, &server.clone().with_trust_callback(callback));
        pair.start();
        let failure = pair.server_result.clone().unwrap_err();
        assert_eq!(failure.kind, FailureKind::CertificateRejected);
        assert!(failure.detail.ends_with("left the company"), "{failure}");

        let mut lenient = server;
        lenient.client_authentication =
            ClientAuthentication::Required(Authority::new("Other").trust());
        let lenient = lenient.with_trust_callback(always(TrustDecision::Accept));
        Pair::ready(&client, &lenient);
    }
}

#[test]
fn sessions_are_not_shared_between_callbacks() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, server) = parameters(&authority);
        only(&mut client, version);
        let make = || {
            client
                .clone()
                .with_trust_callback(always(TrustDecision::AsChain))
        };
        let (one, other) = (make(), make());
        let engine = TlsEngine::new();
        for (client, is_expected) in [(&one, false), (&one, true), (&other, false)] {
            let mut pair = Pair::of(&engine, client, &server, &[], &[]);
            pair.start().expect_ready();
            pair.server_says(&[b"tickets come before this"]);
            assert_eq!(pair.client.protection().unwrap().is_resumed, is_expected);
        }
    }
}

#[test]
fn a_handshake_within_a_callback_leaves_the_outer_one_alone() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let inner = (client.clone(), server.clone());
    let client = client.with_trust_callback(TrustCallback::new(move |_| {
        Pair::ready(&inner.0, &inner.1);
        TrustDecision::Reject("after all that".into())
    }));
    let mut pair = Pair::new(&client, &server);
    pair.start();
    let failure = pair.client_result.clone().unwrap_err();
    assert!(failure.detail.ends_with("after all that"), "{failure}");
}

#[test]
fn a_client_is_challenged_with_what_the_server_accepts() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (client, server) = mutual(&authority, version);
        let identity = authority.client().identity;
        let given = Arc::clone(&identity);
        let callback = ChallengeCallback::new(move |challenge| {
            let IdentityChallenge::ByServer {
                authorities,
                signature_algorithms,
                ..
            } = challenge
            else {
                panic!("a client is asked by a server");
            };
            assert_eq!(authorities.len(), 1);
            assert!(authorities[0].windows(4).any(|part| part == b"Root"));
            assert!(signature_algorithms.contains(&SignatureAlgorithm::EcdsaSecp256r1Sha256));
            Some(Arc::clone(&given))
        });
        let pair = Pair::ready(&client.with_challenge_callback(callback), &server);
        let shown = pair.server.protection().unwrap().peer_certificates;
        assert_eq!(shown, identity.chain);
    }
}

#[test]
fn without_an_answer_the_identity_of_the_parameters_is_shown() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (client, server) = mutual(&authority, version);
        let client = client.with_challenge_callback(ChallengeCallback::new(|_| None));
        let mut pair = Pair::new(&client, &server);
        pair.start();
        let failure = pair.server_result.clone().unwrap_err();
        assert_eq!(failure.kind, FailureKind::CredentialRequired);

        let identity = authority.client().identity;
        let pair = Pair::ready(&client.with_identity(Arc::clone(&identity)), &server);
        let shown = pair.server.protection().unwrap().peer_certificates;
        assert_eq!(shown, identity.chain);
    }
}

#[test]
fn a_server_is_challenged_with_the_client_hello_and_chooses_by_name() {
    let authority = Authority::new("Root");
    let purpose = || ExtendedKeyUsagePurpose::ServerAuth;
    let identity = authority.identity(&[NAME], purpose(), |_| {}).identity;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (given, log) = (Arc::clone(&identity), Arc::clone(&seen));
    let callback = ChallengeCallback::new(move |challenge| {
        let IdentityChallenge::ByClient {
            server_name, alpn, ..
        } = challenge
        else {
            panic!("a server is asked by a client");
        };
        let alpn = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        log.lock()
            .unwrap()
            .push((server_name.map(str::to_owned), alpn));
        (*server_name == Some(NAME)).then(|| Arc::clone(&given))
    });
    for version in VERSIONS {
        let (mut client, mut server) = parameters(&authority);
        only(&mut client, version);
        server.identity = None;
        let server = server.with_challenge_callback(callback.clone());
        let mut pair = Pair::with_alpn(&client, &server, &[b"h2"], &[b"h2"]);
        pair.start().expect_ready();
        let expected = (Some(NAME.to_owned()), vec![b"h2".to_vec()]);
        assert_eq!(seen.lock().unwrap().pop(), Some(expected));

        let mut pair = Pair::new(&client.with_server_name("other.example"), &server);
        pair.start();
        for result in [&pair.client_result, &pair.server_result] {
            let failure = result.clone().unwrap_err();
            assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
        }
        let failure = pair.server_result.clone().unwrap_err();
        assert!(failure.detail.contains("other.example"), "{failure}");
        assert_eq!(pair.client_result.clone().unwrap_err().code, Some(112));
    }
}

#[test]
fn a_key_in_a_module_signs_on_either_side() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (client, server) = mutual(&authority, version);
        let (at_client, client_identity) = Module::take_in(&authority.client());
        let (at_server, server_identity) = Module::take_in(&authority.server());
        let mut pair = Pair::ready(
            &client.with_challenge_callback(choose(&client_identity)),
            &server.with_identity(Arc::clone(&server_identity)),
        );
        assert_eq!(pair.client_says(&[b"signed"]), b"signed");
        let shown = pair.server.protection().unwrap().peer_certificates;
        assert_eq!(shown, client_identity.chain);
        for module in [at_client, at_server] {
            assert_eq!(module.signatures.load(Ordering::Relaxed), 1);
        }
    }
}

#[test]
fn a_module_that_does_not_sign_ends_the_handshake_with_its_own_reason() {
    struct Locked;
    impl SigningKey for Locked {
        fn algorithms(&self) -> &[SignatureAlgorithm] {
            &[SignatureAlgorithm::EcdsaSecp256r1Sha256]
        }

        fn sign(&self, _: SignatureAlgorithm, _: &[u8]) -> Result<Vec<u8>, Failure> {
            let kind = FailureKind::PermissionDenied;
            Err(Failure::new(Origin::System, kind, "the token is locked"))
        }
    }
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (client, server) = mutual(&authority, version);
        let chain = |identity: &Identity| identity.chain.clone();
        let locked = |chain| Arc::new(Identity::new(chain, Arc::new(Locked)));

        let at_server = locked(chain(server.identity.as_ref().unwrap()));
        let mut pair = Pair::new(&client, &server.clone().with_identity(at_server));
        pair.start();
        let failure = pair.server_result.clone().unwrap_err();
        assert_eq!(failure.kind, FailureKind::PermissionDenied);
        assert_eq!(failure.detail, "the token is locked");
        assert_eq!(pair.client_result.clone().unwrap_err().code, Some(80));

        let at_client = locked(chain(&authority.client().identity));
        let mut pair = Pair::new(&client.with_identity(at_client), &server);
        pair.start();
        let failure = pair.client_result.clone().unwrap_err();
        assert_eq!(failure.detail, "the token is locked");
        assert_eq!(pair.client.status(), LayerStatus::Failed);
        assert_ne!(pair.server.status(), LayerStatus::Ready);
    }
}

#[test]
fn an_identity_that_cannot_be_used_fails_the_handshake_and_not_only_the_request() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (client, server) = mutual(&authority, version);
        let foreign = tls_support::key_of(&authority.server().identity);
        let chain = authority.client().identity.chain.clone();
        let mismatched = Arc::new(Identity::new(chain, foreign));
        let callback = choose(&mismatched);
        let mut pair = Pair::new(
            &client.clone().with_challenge_callback(callback.clone()),
            &server,
        );
        pair.start();
        let failure = pair.client_result.clone().unwrap_err();
        assert!(failure.detail.contains("does not belong"), "{failure}");
        assert_ne!(pair.server.status(), LayerStatus::Ready);

        let mut pair = Pair::new(&client, &server.with_challenge_callback(callback));
        pair.start();
        let failure = pair.server_result.clone().unwrap_err();
        assert!(failure.detail.contains("does not belong"), "{failure}");
    }
}

#[test]
fn pinned_certificates_and_the_callback_go_together() {
    let authority = Authority::new("Root");
    let (mut client, server) = parameters(&authority);
    let pin = server.identity.as_ref().unwrap().chain[0].clone();
    client.trust = Trust::Pinned(Arc::from([pin]));
    let pinned =
        client.with_trust_callback(TrustCallback::new(|question| match question.chain_result {
            Ok(()) => TrustDecision::AsChain,
            Err(failure) => TrustDecision::Reject(failure.detail.clone()),
        }));
    Pair::ready(&pinned, &server);
    let (_, other) = parameters(&authority);
    let mut pair = Pair::new(&pinned, &other);
    pair.start();
    let failure = pair.client_result.clone().unwrap_err();
    assert!(
        failure.detail.contains("none of the pinned ones"),
        "{failure}"
    );
}
