//! Early data of TLS over TCP with openssl, in both roles.

use super::{
    client_security, connect, context, listen, preconnection, read_until, say, server_security,
};
use crate::authority::{Authority, NAME};
use crate::peer::{Peer, run};
use portway::property::SelectionProperty;
use portway::security::TlsVersion;
use portway::{Connection, Message, MessageContext, Preconnection, TransportProperties};
use std::net::SocketAddr;

/// An `openssl s_server` that takes early data, and where it listens.
async fn s_server(test: &str, authority: &Authority) -> Option<(Peer, SocketAddr)> {
    let (cert, key) = (&authority.server.cert, &authority.server.key);
    let arguments = [
        ["s_server", "-accept", "127.0.0.1:0"],
        ["-tls1_3", "-early_data", "-cert"],
    ]
    .concat();
    let arguments = [&arguments[..], &[cert, "-key", key]].concat();
    let mut server = Peer::start(test, "openssl", &arguments)?;
    let address = server.address_after("ACCEPT ").await;
    Some((server, address))
}

/// Connects, and waits for what comes behind the tickets.
async fn visit(to: &Preconnection, address: SocketAddr, server: &mut Peer) {
    let connection = connect(to, address).await;
    server.say("with tickets\n").await;
    let answer = read_until(&connection, "\n").await;
    assert_eq!(answer.as_deref(), Ok("with tickets\n"));
    connection.close().await.expect("acknowledged");
}

async fn send_first(to: &Preconnection, address: SocketAddr, text: &str) -> Connection {
    let replayable = MessageContext::new().with_safely_replayable();
    let first = Message::from(text.to_owned()).with_context(replayable);
    let initiate = to.clone().remote(address).initiate();
    initiate.first_message(first).await.expect("a connection")
}

/// How often the server has written a word.
fn count(server: &Peer, word: &str) -> usize {
    server.output().matches(word).count()
}

#[test]
fn s_server_takes_a_first_message_as_early_data_once() {
    run(async {
        let test = "s_server_takes_a_first_message_as_early_data_once";
        let authority = Authority::new();
        let Some((mut server, address)) = s_server(test, &authority).await else {
            return;
        };
        let to = preconnection(client_security(&authority, TlsVersion::Tls13));
        visit(&to, address, &mut server).await;
        let connection = send_first(&to, address, "first-words\n").await;
        assert_eq!(connection.info().is_early_data_accepted, Some(true));
        server.after("Early data received:").await;
        say(&connection, "later-words\n").await;
        server.wait_for("later-words").await;
        assert_eq!(count(&server, "first-words"), 1, "{}", server.output());
        connection.close().await.expect("acknowledged");
    });
}

#[test]
fn what_s_server_refuses_of_early_data_is_sent_again_and_seen_once() {
    run(async {
        let test = "what_s_server_refuses_of_early_data_is_sent_again_and_seen_once";
        let authority = Authority::new();
        let to = preconnection(client_security(&authority, TlsVersion::Tls13));
        let Some((mut server, address)) = s_server(test, &authority).await else {
            return;
        };
        visit(&to, address, &mut server).await;
        drop(server);
        // It has the same name, and knows nothing of the tickets of the first one.
        let Some((mut server, address)) = s_server(test, &authority).await else {
            return;
        };
        let connection = send_first(&to, address, "first-words\n").await;
        assert_eq!(connection.info().is_early_data_accepted, Some(false));
        server.wait_for("first-words").await;
        say(&connection, "later-words\n").await;
        server.wait_for("later-words").await;
        assert_eq!(count(&server, "first-words"), 1, "{}", server.output());
        assert_eq!(count(&server, "Early data received"), 0);
        connection.close().await.expect("acknowledged");
    });
}

#[test]
fn early_data_of_s_client_is_taken_and_marked() {
    run(async {
        let test = "early_data_of_s_client_is_taken_and_marked";
        let authority = Authority::new();
        let early = TransportProperties::new().prefer(SelectionProperty::ZeroRttMsg);
        let server = Preconnection::new(server_security(&authority))
            .context(&context())
            .properties(early);
        let (mut listener, address) = listen(&server).await;
        let (session, words) = (authority.path("session.pem"), authority.path("words"));
        std::fs::write(&words, "first-words\n").expect("a file");
        let fixed = [
            "s_client",
            "-tls1_3",
            "-connect",
            &address,
            "-servername",
            NAME,
        ];
        let first = [&fixed[..], &["-sess_out", &session]].concat();
        let Some(mut client) = Peer::start(test, "openssl", &first) else {
            return;
        };
        let connection = listener.accept().await.expect("a connection");
        say(&connection, "with tickets\n").await;
        client.after("with tickets").await;
        client.end().await;
        let second = ["-sess_in", &session, "-early_data", &words];
        let second = [&fixed[..], &second[..]].concat();
        let Some(mut client) = Peer::start(test, "openssl", &second) else {
            return;
        };
        let connection = listener.accept().await.expect("a connection");
        let received = connection.receive_partial(1, 64 * 1024).await;
        let received = received.expect("early data");
        assert_eq!(&received.data[..], b"first-words\n");
        assert!(received.context.is_early_data());
        assert_eq!(connection.info().is_early_data_accepted, Some(true));
        client.after("Early data was accepted").await;
        client.say("later-words\n").await;
        let later = read_until(&connection, "\n").await;
        assert_eq!(later.as_deref(), Ok("later-words\n"));
    });
}
