//! Several certificate chains on one side: which of them a peer is shown.

mod tls_support;

use portway_core::security::{
    ClientAuthentication, Identity, SignatureAlgorithm, TlsParameters, Trust,
};
use portway_transport::layer::ByteLayer;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use rustls_pki_types::CertificateDer;
use std::sync::Arc;
use tls_support::{Authority, NAME, Pair, VERSIONS, only, parameters};

fn server_identity(authority: &Authority, key: KeyPair, name: &str) -> Arc<Identity> {
    let purpose = ExtendedKeyUsagePurpose::ServerAuth;
    authority
        .identity_of(key, &[name], purpose, |_| {})
        .identity
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// What the client sees of the server.
fn shown_to(client: &TlsParameters, server: &TlsParameters) -> Vec<CertificateDer<'static>> {
    let pair = Pair::ready(client, server);
    let protection = pair.client.protection().expect("it is ready");
    protection.peer_certificates
}

#[test]
fn a_server_shows_the_chain_of_the_name_that_is_asked_for() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let names = ["one.example", "two.example", "*.three.example"];
        let identities = names.map(|name| server_identity(&authority, key(), name));
        let mut server = TlsParameters::default();
        for identity in &identities {
            server = server.with_further_identity(Arc::clone(identity));
        }
        let (mut client, _) = parameters(&authority);
        only(&mut client, version);
        let asked = ["one.example", "two.example", "any.three.example"];
        for (name, identity) in asked.into_iter().zip(&identities) {
            let client = client.clone().with_server_name(name);
            assert_eq!(shown_to(&client, &server), identity.chain, "{name}");
        }
        // Nobody is called so: the client is shown the first chain and refuses it.
        let mut pair = Pair::new(&client.clone().with_server_name("four.example"), &server);
        pair.start();
        let refused = pair.client_result.clone().unwrap_err();
        assert!(refused.detail.contains("four.example"), "{refused}");
        assert!(refused.detail.contains("one.example"), "{refused}");
    }
}

#[test]
fn a_server_shows_a_chain_whose_key_can_sign_as_the_client_wants() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let first = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let first = server_identity(&authority, first, NAME);
        let second = server_identity(&authority, key(), NAME);
        let server = TlsParameters::default()
            .with_identity(Arc::clone(&first))
            .with_further_identity(Arc::clone(&second));
        let (mut client, _) = parameters(&authority);
        only(&mut client, version);
        assert_eq!(shown_to(&client, &server), first.chain);
        let wants = [SignatureAlgorithm::EcdsaSecp256r1Sha256];
        let client = client.with_signature_algorithms(wants);
        assert_eq!(shown_to(&client, &server), second.chain);
    }
}

#[test]
fn a_client_shows_the_chain_of_an_authority_that_the_server_names() {
    let (root, other) = (Authority::new("Root"), Authority::new("Other"));
    let stranger = Authority::new("Stranger");
    for version in VERSIONS {
        let (mut client, server) = parameters(&root);
        only(&mut client, version);
        let (of_root, of_other) = (root.client().identity, other.client().identity);
        let client = client
            .with_identity(Arc::clone(&of_root))
            .with_further_identity(Arc::clone(&of_other));
        let asking = |trust: Trust| {
            let demand = ClientAuthentication::Required(trust);
            server.clone().with_client_authentication(demand)
        };
        for (trusted, shown) in [(&root, &of_root), (&other, &of_other)] {
            let pair = Pair::ready(&client, &asking(trusted.trust()));
            let protection = pair.server.protection().unwrap();
            assert_eq!(protection.peer_certificates, shown.chain);
        }
        // No chain is of this authority: the first one is shown, and refused.
        let mut pair = Pair::new(&client, &asking(stranger.trust()));
        pair.start();
        assert!(pair.server_result.is_err());
    }
}

#[test]
fn sessions_and_configurations_are_apart_for_other_further_identities() {
    let authority = Authority::new("Root");
    let (client, server) = parameters(&authority);
    let name = "two.example";
    let more = server_identity(&authority, key(), name);
    let client = client.with_server_name(name);
    let engine = portway_transport::tls::TlsEngine::new();
    let mut alone = Pair::of(&engine, &client, &server, &[], &[]);
    alone.start();
    assert!(
        alone.client_result.is_err(),
        "the chain is for another name"
    );
    let both = server.with_further_identity(more);
    let mut pair = Pair::of(&engine, &client, &both, &[], &[]);
    pair.start().expect_ready();
}
