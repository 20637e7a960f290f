//! Groups, cipher suites and signature algorithms: what is allowed is what is used, on each side.

mod tls_support;

use portway_core::FailureKind;
use portway_core::security::{CipherSuite, Group, SignatureAlgorithm, TlsParameters, TlsVersion};
use portway_transport::layer::ByteLayer;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use tls_support::{Authority, NAME, Pair, VERSIONS, only, parameters};

/// Restricts one side, then the other one, then both.
fn on_each_side(
    client: &TlsParameters,
    server: &TlsParameters,
    restrict: impl Fn(TlsParameters) -> TlsParameters,
) -> [(TlsParameters, TlsParameters); 3] {
    let (narrow_client, narrow_server) = (restrict(client.clone()), restrict(server.clone()));
    [
        (narrow_client.clone(), server.clone()),
        (client.clone(), narrow_server.clone()),
        (narrow_client, narrow_server),
    ]
}

fn expect_unsupported(client: &TlsParameters, server: &TlsParameters) {
    let mut pair = Pair::new(client, server);
    pair.start();
    for result in [&pair.client_result, &pair.server_result] {
        let failure = result.clone().expect_err("nothing in common");
        assert_eq!(failure.kind, FailureKind::Unsupported, "{failure}");
    }
}

#[test]
fn every_group_is_used_where_it_is_the_only_one_allowed() {
    let authority = Authority::new("Root");
    // The other groups are not used unless both sides ask for them.
    let is_default = |group| {
        use Group::{Secp256r1, Secp384r1, X25519, X25519MlKem768};
        matches!(group, X25519MlKem768 | X25519 | Secp256r1 | Secp384r1)
    };
    for version in VERSIONS {
        let (mut client, server) = parameters(&authority);
        only(&mut client, version);
        for &group in Group::ALL.iter().filter(|group| group.is_usable(version)) {
            let restrict = |p: TlsParameters| p.with_groups([group]);
            let mut sides = on_each_side(&client, &server, restrict).to_vec();
            if !is_default(group) {
                sides.drain(..2);
            }
            for (client, server) in sides {
                let pair = Pair::ready(&client, &server);
                for layer in [&pair.client, &pair.server] {
                    let used = layer.protection().unwrap().group;
                    assert_eq!(used.as_deref(), Some(group.as_str()), "{version}");
                }
            }
        }
    }
}

#[test]
fn every_cipher_suite_is_used_where_it_is_the_only_one_allowed() {
    let authority = Authority::new("Root");
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let purpose = ExtendedKeyUsagePurpose::ServerAuth;
    let rsa = authority.identity_of(rsa, &[NAME], purpose, |_| {});
    for &suite in CipherSuite::ALL {
        let (client, mut server) = parameters(&authority);
        if suite.as_str().contains("_RSA_") {
            server.identity = Some(rsa.identity.clone());
        }
        let restrict = |p: TlsParameters| p.with_cipher_suites([suite]);
        for (client, server) in on_each_side(&client, &server, restrict) {
            let pair = Pair::ready(&client, &server);
            for layer in [&pair.client, &pair.server] {
                let protection = layer.protection().unwrap();
                assert_eq!(protection.cipher_suite, suite.as_str());
                assert_eq!(protection.version, suite.version());
            }
        }
    }
}

#[test]
fn nothing_in_common_fails_both_sides() {
    let authority = Authority::new("Root");
    for version in VERSIONS {
        let (mut client, mut server) = parameters(&authority);
        only(&mut client, version);
        only(&mut server, version);
        expect_unsupported(
            &client.clone().with_groups([Group::X25519]),
            &server.clone().with_groups([Group::Secp384r1]),
        );
        let (one, other) = match version {
            TlsVersion::Tls12 => (
                CipherSuite::EcdheEcdsaAes128GcmSha256,
                CipherSuite::EcdheEcdsaAes256GcmSha384,
            ),
            _ => (CipherSuite::Aes128GcmSha256, CipherSuite::Aes256GcmSha384),
        };
        expect_unsupported(
            &client.with_cipher_suites([one]),
            &server.with_cipher_suites([other]),
        );
    }
}

#[test]
fn a_signature_of_another_algorithm_is_neither_made_nor_accepted() {
    let authority = Authority::new("Root");
    let p256 = SignatureAlgorithm::EcdsaSecp256r1Sha256;
    let (client, server) = parameters(&authority);
    let restrict = |p: TlsParameters| p.with_signature_algorithms([p256]);
    for (client, server) in on_each_side(&client, &server, restrict) {
        Pair::ready(&client, &server);
    }
    // The server's key is of P-256.
    let (mut client, server) = parameters(&authority);
    only(&mut client, TlsVersion::Tls13);
    let other = [SignatureAlgorithm::EcdsaSecp384r1Sha384];
    expect_unsupported(&client.with_signature_algorithms(other), &server);
}

#[test]
fn certificates_are_signed_with_what_is_allowed_too() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let authority = Authority::with_key("P-384", key);
    let (client, server) = parameters(&authority);
    let p256 = SignatureAlgorithm::EcdsaSecp256r1Sha256;
    let p384 = SignatureAlgorithm::EcdsaSecp384r1Sha384;
    Pair::ready(
        &client.clone().with_signature_algorithms([p256, p384]),
        &server,
    );
    let mut pair = Pair::new(&client.with_signature_algorithms([p256]), &server);
    pair.start();
    let failure = pair.client_result.clone().expect_err("nothing in common");
    assert_eq!(failure.kind, FailureKind::CertificateRejected, "{failure}");
}
