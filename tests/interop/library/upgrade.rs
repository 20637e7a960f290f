//! A live connection that turns to TLS, in the shapes of mail, directory, chat and database
//! protocols, with openssl as the client; and what is injected before.

use super::{flag, listen, preconnection, read_until, say, server_security};
use crate::authority::{Authority, NAME};
use crate::peer::{Peer, run};
use portway::framer::Delimited;
use portway::{
    Connection, ConnectionState, FailureKind, Security, TlsRole, TlsVersion, UpgradeError,
};

/// Turns an accepted connection to TLS and exchanges a line each way.
async fn protect_and_exchange(
    connection: &Connection,
    authority: &Authority,
    client: &mut Peer,
    version: TlsVersion,
) {
    let security = server_security(authority);
    let parameters = security.tls_parameters().expect("TLS");
    let upgrade = connection.upgrade_tls(parameters, TlsRole::Server, None);
    let protection = upgrade.await.expect("an upgrade");
    assert_eq!(protection.version, version);
    assert_eq!(protection.server_name.as_deref(), Some(NAME));
    assert_eq!(connection.info().protection, Some(protection));
    client.say("question\n").await;
    let question = read_until(connection, "\n").await;
    assert_eq!(question.as_deref(), Ok("question\n"));
    say(connection, "answer\n").await;
    client.after("answer").await;
    connection.close().await.expect("acknowledged");
}

/// Starts `openssl s_client -starttls` to a fresh listener and accepts it.
async fn starttls(
    test: &str,
    authority: &Authority,
    protocol: &str,
    version: TlsVersion,
) -> Option<(Connection, Peer)> {
    let (mut listener, address) = listen(&preconnection(Security::disabled())).await;
    let fixed = ["s_client", "-connect", &address, "-starttls", protocol];
    let check = ["-CAfile", &authority.root, "-verify_return_error", "-quiet"];
    let names = ["-servername", NAME, flag(version)];
    let client = Peer::start(test, "openssl", &[&fixed[..], &check, &names].concat())?;
    Some((listener.accept().await.expect("a connection"), client))
}

#[test]
fn server_upgrades_as_a_mail_server_does() {
    run(async {
        let test = "server_upgrades_as_a_mail_server_does";
        let authority = Authority::new();
        for version in super::VERSIONS {
            let Some((connection, mut client)) = starttls(test, &authority, "smtp", version).await
            else {
                return;
            };
            say(&connection, "220 localhost ready\r\n").await;
            let greeting = read_until(&connection, "\r\n").await.expect("a greeting");
            assert!(greeting.starts_with("EHLO "), "{greeting}");
            say(&connection, "250-localhost\r\n250 STARTTLS\r\n").await;
            let command = read_until(&connection, "\r\n").await;
            assert_eq!(command.as_deref(), Ok("STARTTLS\r\n"));
            say(&connection, "220 go ahead\r\n").await;
            protect_and_exchange(&connection, &authority, &mut client, version).await;
        }
    });
}

#[test]
fn server_upgrades_as_a_mailbox_server_does() {
    run(async {
        let test = "server_upgrades_as_a_mailbox_server_does";
        let authority = Authority::new();
        for version in super::VERSIONS {
            let Some((connection, mut client)) = starttls(test, &authority, "imap", version).await
            else {
                return;
            };
            say(&connection, "* OK localhost ready\r\n").await;
            let question = read_until(&connection, "\r\n").await.expect("a command");
            let (tag, command) = question.split_once(' ').expect("a tag");
            assert_eq!(command, "CAPABILITY\r\n");
            let capabilities = "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED";
            say(&connection, &format!("{capabilities}\r\n{tag} OK\r\n")).await;
            let command = read_until(&connection, "\r\n").await.expect("a command");
            let (tag, command) = command.split_once(' ').expect("a tag");
            assert_eq!(command, "STARTTLS\r\n");
            say(&connection, &format!("{tag} OK begin\r\n")).await;
            protect_and_exchange(&connection, &authority, &mut client, version).await;
        }
    });
}

#[test]
fn server_upgrades_as_a_directory_server_does() {
    run(async {
        let test = "server_upgrades_as_a_directory_server_does";
        let authority = Authority::new();
        for version in super::VERSIONS {
            let Some((connection, mut client)) = starttls(test, &authority, "ldap", version).await
            else {
                return;
            };
            let request = connection.receive_partial(31, 31).await.expect("a request");
            let is_named = request.ends_with(b"1.3.6.1.4.1.1466.20037");
            assert!(is_named, "{:?}", &request[..]);
            // Message 1, an extended response: success, no name, no words.
            let response = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
            let receipt = connection.send(&response[..]).await.expect("accepted");
            receipt.await.into_result().expect("sent");
            protect_and_exchange(&connection, &authority, &mut client, version).await;
        }
    });
}

#[test]
fn server_upgrades_as_a_chat_server_does() {
    run(async {
        let test = "server_upgrades_as_a_chat_server_does";
        let authority = Authority::new();
        for version in super::VERSIONS {
            let Some((connection, mut client)) = starttls(test, &authority, "xmpp", version).await
            else {
                return;
            };
            let opening = read_until(&connection, "version='1.0'>").await;
            assert!(opening.expect("a stream").starts_with("<stream:stream "));
            say(
                &connection,
                "<stream:stream version='1.0'><stream:features>\
                 <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
            )
            .await;
            let request = read_until(&connection, "/>").await.expect("a request");
            assert_eq!(
                request,
                "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
            );
            say(
                &connection,
                "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            )
            .await;
            protect_and_exchange(&connection, &authority, &mut client, version).await;
        }
    });
}

#[test]
fn server_upgrades_as_postgresql_does() {
    run(async {
        let test = "server_upgrades_as_postgresql_does";
        let authority = Authority::new();
        for version in super::VERSIONS {
            let Some((connection, mut client)) =
                starttls(test, &authority, "postgres", version).await
            else {
                return;
            };
            let request = connection.receive_partial(8, 8).await.expect("a request");
            assert_eq!(&request[..], super::postgres::SSL_REQUEST);
            say(&connection, "S").await;
            protect_and_exchange(&connection, &authority, &mut client, version).await;
        }
    });
}

/// Upgrades after a command that somebody has put more behind.
async fn upgrade_of_injected(test: &str, sent: &str, is_framed: bool) -> Option<UpgradeError> {
    let authority = Authority::new();
    let plain = preconnection(Security::disabled());
    let framed = plain.clone().framer(Delimited::crlf());
    let (mut listener, _) = listen(if is_framed { &framed } else { &plain }).await;
    let port = listener.port().to_string();
    let mut client = Peer::start(test, "nc", &["-n", "127.0.0.1", &port])?;
    let connection = listener.accept().await.expect("a connection");
    client.say(sent).await;
    let command = match is_framed {
        true => connection.receive().await.expect("a command"),
        false => connection.receive_partial(8, 8).await.expect("a command"),
    };
    assert_eq!(&command[..], b"STARTTLS");
    let security = server_security(&authority);
    let parameters = security.tls_parameters().expect("TLS");
    let upgrade = connection.upgrade_tls(parameters, TlsRole::Server, None);
    let error = upgrade.await.expect_err("somebody speaks in cleartext");
    assert_eq!(connection.state(), ConnectionState::Closed);
    assert!(
        connection.receive().await.is_err(),
        "nothing of it is delivered"
    );
    Some(error)
}

#[test]
fn plaintext_behind_the_command_is_refused() {
    run(async {
        let test = "plaintext_behind_the_command_is_refused";
        let Some(error) = upgrade_of_injected(test, "STARTTLS\r\nEVIL\r\n", true).await else {
            return;
        };
        assert_eq!(error, UpgradeError::BufferedPlaintext { bytes: 6 });
    });
}

#[test]
fn plaintext_instead_of_a_handshake_is_refused() {
    run(async {
        let test = "plaintext_instead_of_a_handshake_is_refused";
        let Some(error) = upgrade_of_injected(test, "STARTTLSEVIL\n", false).await else {
            return;
        };
        assert_eq!(error.kind(), FailureKind::ProtocolViolation, "{error}");
    });
}
