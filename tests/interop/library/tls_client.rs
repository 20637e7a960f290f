//! Our client with TLS servers.

use super::{
    VERSIONS, client_security, connect, flag, is_finished, preconnection, read_until, say,
};
use crate::authority::Authority;
use crate::peer::{Peer, run};
use portway::{EstablishmentError, FailureKind, Origin, StackId};
use std::net::SocketAddr;

/// An `openssl s_server` and where it listens.
async fn s_server(
    test: &str,
    authority: &Authority,
    arguments: &[&str],
) -> Option<(Peer, SocketAddr)> {
    let (cert, key) = (&authority.server.cert, &authority.server.key);
    let fixed = [
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        cert,
        "-key",
        key,
    ];
    let mut server = Peer::start(test, "openssl", &[&fixed, arguments].concat())?;
    let address = server.address_after("ACCEPT ").await;
    Some((server, address))
}

#[test]
fn client_talks_to_s_server_and_agrees_on_an_application_protocol() {
    run(async {
        let test = "client_talks_to_s_server_and_agrees_on_an_application_protocol";
        let authority = Authority::new();
        for version in VERSIONS {
            let arguments = [flag(version), "-rev", "-alpn", "portway"];
            let Some((_server, address)) = s_server(test, &authority, &arguments).await else {
                return;
            };
            let security = client_security(&authority, version).with_alpn(["other", "portway"]);
            let connection = connect(&preconnection(security), address).await;
            let protection = connection.info().protection.expect("protected");
            assert_eq!(protection.version, version);
            assert_eq!(protection.alpn.as_deref(), Some(&b"portway"[..]));
            assert_eq!(connection.info().stack, Some(StackId::TLS));
            for text in ["abc\n", "de\n"] {
                say(&connection, text).await;
                let line = text.trim_end().chars().rev().chain(['\n']);
                let answer = read_until(&connection, "\n").await.expect("an answer");
                assert_eq!(answer, line.collect::<String>());
            }
            connection.close().await.expect("acknowledged");
        }
    });
}

#[test]
fn an_application_protocol_that_s_server_does_not_speak_is_an_error() {
    run(async {
        let test = "an_application_protocol_that_s_server_does_not_speak_is_an_error";
        let authority = Authority::new();
        for version in VERSIONS {
            let arguments = [flag(version), "-rev", "-alpn", "other"];
            let Some((_server, address)) = s_server(test, &authority, &arguments).await else {
                return;
            };
            let security = client_security(&authority, version).with_alpn(["portway"]);
            let initiate = preconnection(security).remote(address).initiate();
            let error = initiate.await.expect_err("no common protocol");
            assert_eq!(error.kind(), FailureKind::AlpnMismatch, "{error}");
        }
    });
}

#[test]
fn client_shows_its_certificate_to_s_server_that_demands_one() {
    run(async {
        let test = "client_shows_its_certificate_to_s_server_that_demands_one";
        let authority = Authority::new();
        for version in VERSIONS {
            let demand = ["-CAfile", &authority.root, "-verify_return_error"];
            let arguments = [&demand[..], &[flag(version), "-rev", "-Verify", "1"]].concat();
            let Some((_server, address)) = s_server(test, &authority, &arguments).await else {
                return;
            };
            let security = client_security(&authority, version);
            let identified = security.clone().with_identity(authority.client.identity());
            let connection = connect(&preconnection(identified), address).await;
            say(&connection, "abc\n").await;
            assert_eq!(read_until(&connection, "\n").await.as_deref(), Ok("cba\n"));
            connection.close().await.expect("acknowledged");

            // TLS 1.3 tells the client after its handshake is complete.
            let unidentified = preconnection(security).remote(address);
            let failure = match unidentified.initiate().await {
                Ok(connection) => match read_until(&connection, "\n").await {
                    Ok(text) => panic!("accepted without a certificate: {text}"),
                    Err(error) => error.failure(),
                },
                Err(error @ EstablishmentError::Race { .. }) => error.failure(),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(failure.kind, FailureKind::CredentialRequired, "{failure}");
        }
    });
}

#[test]
fn client_resumes_a_session_of_s_server() {
    run(async {
        let test = "client_resumes_a_session_of_s_server";
        let authority = Authority::new();
        for version in VERSIONS {
            let Some((_server, address)) =
                s_server(test, &authority, &[flag(version), "-rev"]).await
            else {
                return;
            };
            let preconnection = preconnection(client_security(&authority, version));
            let mut resumed = Vec::new();
            for _ in 0..2 {
                let connection = connect(&preconnection, address).await;
                // Tickets of TLS 1.3 come with the first data.
                say(&connection, "abc\n").await;
                assert_eq!(read_until(&connection, "\n").await.as_deref(), Ok("cba\n"));
                resumed.push(connection.info().protection.expect("protected").is_resumed);
                connection.close().await.expect("acknowledged");
            }
            assert_eq!(resumed, [false, true], "{version}");
        }
    });
}

#[test]
fn a_certificate_of_another_authority_is_refused_and_the_next_connection_works() {
    run(async {
        let test = "a_certificate_of_another_authority_is_refused_and_the_next_connection_works";
        let (authority, other) = (Authority::new(), Authority::new());
        for version in VERSIONS {
            let Some((mut server, address)) =
                s_server(test, &authority, &[flag(version), "-rev"]).await
            else {
                return;
            };
            let stranger = preconnection(client_security(&other, version));
            let error = stranger.remote(address).initiate().await;
            let error = error.expect_err("an unknown authority");
            assert_eq!(error.kind(), FailureKind::CertificateRejected, "{error}");
            // What openssl calls our alert.
            server.wait_for("unknown ca").await;
            let connection = connect(
                &preconnection(client_security(&authority, version)),
                address,
            )
            .await;
            say(&connection, "abc\n").await;
            assert_eq!(read_until(&connection, "\n").await.as_deref(), Ok("cba\n"));
        }
    });
}

#[test]
fn client_talks_to_socat_with_certificates_on_both_sides() {
    run(async {
        let test = "client_talks_to_socat_with_certificates_on_both_sides";
        let authority = Authority::new();
        for (version, socat) in VERSIONS.into_iter().zip(["TLS1.2", "TLS1.3"]) {
            let listen = format!(
                "OPENSSL-LISTEN:0,bind=127.0.0.1,cert={},key={},cafile={},verify=1,\
                 openssl-min-proto-version={socat},openssl-max-proto-version={socat}",
                authority.server.cert, authority.server.key, authority.root
            );
            let Some(mut server) = Peer::start(test, "socat", &["-d", "-d", &listen, "STDIO"])
            else {
                return;
            };
            let address = server.address_after("listening on AF=2 ").await;
            let security =
                client_security(&authority, version).with_identity(authority.client.identity());
            let connection = connect(&preconnection(security), address).await;
            say(&connection, "question\n").await;
            server.after("question").await;
            server.say("answer\n").await;
            let answer = read_until(&connection, "\n").await;
            assert_eq!(answer.as_deref(), Ok("answer\n"));
            server.end_input();
            assert!(is_finished(&connection).await, "its close_notify is an end");
            connection.close().await.expect("acknowledged");
        }
    });
}

#[test]
fn an_end_without_close_notify_is_a_failure() {
    run(async {
        let test = "an_end_without_close_notify_is_a_failure";
        let authority = Authority::new();
        for version in VERSIONS {
            let Some((mut server, address)) =
                s_server(test, &authority, &[flag(version), "-rev"]).await
            else {
                return;
            };
            let connection = connect(
                &preconnection(client_security(&authority, version)),
                address,
            )
            .await;
            say(&connection, "abc\n").await;
            assert_eq!(read_until(&connection, "\n").await.as_deref(), Ok("cba\n"));
            server.kill().await;
            let error = read_until(&connection, "\n")
                .await
                .expect_err("data may be missing");
            assert_eq!(error.kind(), FailureKind::Reset, "{error}");
            assert_eq!(error.failure().origin, Origin::Tls, "{error}");
        }
    });
}
