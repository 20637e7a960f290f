//! A live connection that turns to TLS, in the shapes of mail and of PostgreSQL, with openssl as
//! the client.

use super::{flag, listen, preconnection, read_until, say, server_security};
use crate::authority::{Authority, NAME};
use crate::peer::{Peer, run};
use portway::{Connection, Security, TlsRole, TlsVersion};

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
