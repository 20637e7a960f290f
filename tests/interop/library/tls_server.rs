//! Our server with TLS clients.

use super::{VERSIONS, flag, is_finished, listen, preconnection, read_until, say, server_security};
use crate::authority::{Authority, NAME};
use crate::peer::{Peer, run};
use portway::security::ClientAuthentication;
use portway::{Connection, FailureKind, Listener, Security, TlsVersion};

/// A started client of openssl.
fn s_client(test: &str, address: &str, arguments: &[&str]) -> Option<Peer> {
    let fixed = ["s_client", "-connect", address, "-servername", NAME];
    Peer::start(test, "openssl", &[&fixed, arguments].concat())
}

/// A line in each direction.
async fn exchange(connection: &Connection, client: &mut Peer) {
    client.say("question\n").await;
    let question = read_until(connection, "\n").await;
    assert_eq!(question.as_deref(), Ok("question\n"));
    say(connection, "answer\n").await;
    client.after("answer").await;
}

async fn accept(listener: &mut Listener) -> Connection {
    listener.accept().await.expect("a connection")
}

#[test]
fn s_client_talks_to_server() {
    run(async {
        let test = "s_client_talks_to_server";
        let authority = Authority::new();
        let security = server_security(&authority).with_alpn(["portway"]);
        let (mut listener, address) = listen(&preconnection(security)).await;
        for version in VERSIONS {
            let check = ["-CAfile", &authority.root, "-verify_return_error", "-quiet"];
            let arguments = [&check[..], &["-alpn", "other,portway", flag(version)]].concat();
            let Some(mut client) = s_client(test, &address, &arguments) else {
                return;
            };
            let connection = accept(&mut listener).await;
            let protection = connection.info().protection.expect("protected");
            assert_eq!(protection.version, version);
            assert_eq!(protection.server_name.as_deref(), Some(NAME));
            assert_eq!(protection.alpn.as_deref(), Some(&b"portway"[..]));
            exchange(&connection, &mut client).await;
            connection.close().await.expect("acknowledged");
            client.end().await;
        }
    });
}

#[test]
fn server_takes_a_client_certificate_and_refuses_who_has_none() {
    run(async {
        let test = "server_takes_a_client_certificate_and_refuses_who_has_none";
        let authority = Authority::new();
        let demand = ClientAuthentication::Required(authority.trust());
        let security =
            server_security(&authority).with_tls(|tls| tls.with_client_authentication(demand));
        let (mut listener, address) = listen(&preconnection(security)).await;
        for version in VERSIONS {
            let anonymous = ["-CAfile", &authority.root, "-quiet", flag(version)];
            let Some(mut client) = s_client(test, &address, &anonymous) else {
                return;
            };
            // TLS 1.3 tells the client when it reads.
            client.after("alert").await;
            let (cert, key) = (&authority.client.cert, &authority.client.key);
            let identified = [&anonymous[..], &["-cert", cert, "-key", key]].concat();
            let Some(mut client) = s_client(test, &address, &identified) else {
                return;
            };
            let connection = accept(&mut listener).await;
            let certificates = connection.info().protection.expect("protected");
            let expected = authority.client.identity().chain;
            assert_eq!(certificates.peer_certificates[0], expected[0]);
            exchange(&connection, &mut client).await;
            let failures = listener.take_failures();
            let kinds: Vec<FailureKind> = failures.iter().map(|failure| failure.kind).collect();
            assert_eq!(kinds, [FailureKind::CredentialRequired], "{failures:?}");
        }
    });
}

#[test]
fn s_client_resumes_a_session_of_the_server() {
    run(async {
        let test = "s_client_resumes_a_session_of_the_server";
        let authority = Authority::new();
        let (mut listener, address) = listen(&preconnection(server_security(&authority))).await;
        for version in VERSIONS {
            let session = authority.path(&format!("session{}", flag(version)));
            let first = [flag(version), "-sess_out", &session];
            let second = [flag(version), "-sess_in", &session];
            for (arguments, is_resumed) in [(first, false), (second, true)] {
                let Some(mut client) = s_client(test, &address, &arguments) else {
                    return;
                };
                let connection = accept(&mut listener).await;
                let protection = connection.info().protection.expect("protected");
                assert_eq!(protection.is_resumed, is_resumed, "{version}");
                exchange(&connection, &mut client).await;
                // The session is written by now, or at the latest when s_client ends.
                client.say("Q\n").await;
                client.end().await;
            }
        }
    });
}

#[test]
fn socat_talks_to_server_and_its_end_is_an_end() {
    run(async {
        let test = "socat_talks_to_server_and_its_end_is_an_end";
        let authority = Authority::new();
        for (version, name) in VERSIONS.into_iter().zip(["TLS1.2", "TLS1.3"]) {
            let (mut listener, address) = listen(&preconnection(only(&authority, version))).await;
            let connect = format!(
                "OPENSSL:{address},cafile={},commonname={NAME},\
                 openssl-min-proto-version={name},openssl-max-proto-version={name}",
                authority.root
            );
            let Some(mut client) = Peer::start(test, "socat", &["STDIO", &connect]) else {
                return;
            };
            let connection = accept(&mut listener).await;
            assert_eq!(
                connection.info().protection.expect("protected").version,
                version
            );
            exchange(&connection, &mut client).await;
            client.end_input();
            assert!(is_finished(&connection).await, "its close_notify is an end");
            connection.close().await.expect("acknowledged");
            assert!(client.end().await.success(), "{}", client.output());
        }
    });
}

fn only(authority: &Authority, version: TlsVersion) -> Security {
    server_security(authority)
        .with_min_version(version)
        .with_max_version(version)
}
