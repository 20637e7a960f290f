//! Cleartext TCP and UDP with nc and socat.

use super::{connect, is_finished, listen, preconnection, read_until, say};
use crate::peer::{Peer, run};
use portway::property::SelectionProperty;
use portway::{
    Connection, LocalEndpoint, MessageProperties, Preconnection, Security, StackId,
    TransportProperties,
};
use std::net::{Ipv4Addr, SocketAddr};

fn tcp() -> Preconnection {
    preconnection(Security::disabled())
}

fn udp() -> Preconnection {
    tcp()
        .properties(
            TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability),
        )
        .message_defaults(MessageProperties::new().with_safely_replayable(true))
}

/// A line to the peer and one back.
async fn exchange(connection: &Connection, peer: &mut Peer) {
    say(connection, "question\n").await;
    peer.after("question").await;
    peer.say("answer\n").await;
    assert_eq!(
        read_until(connection, "\n").await.as_deref(),
        Ok("answer\n")
    );
}

/// A listening nc and where.
async fn listening_nc(test: &str, arguments: &[&str]) -> Option<(Peer, SocketAddr)> {
    let fixed = ["-v", "-n", "127.0.0.1", "0"];
    let mut peer = Peer::start(test, "nc", &[arguments, &fixed].concat())?;
    let port = peer.after(" 127.0.0.1 ").await.parse().expect("a port");
    Some((peer, (Ipv4Addr::LOCALHOST, port).into()))
}

#[test]
fn client_talks_to_nc_and_goes_on_after_its_end() {
    run(async {
        let test = "client_talks_to_nc_and_goes_on_after_its_end";
        let Some((mut peer, address)) = listening_nc(test, &["-l", "-N"]).await else {
            return;
        };
        let connection = connect(&tcp(), address).await;
        assert_eq!(connection.info().stack, Some(StackId::TCP));
        exchange(&connection, &mut peer).await;
        peer.end_input();
        assert!(is_finished(&connection).await);
        say(&connection, "after its end\n").await;
        connection.close().await.expect("acknowledged");
        peer.after("after its end").await;
        assert!(peer.end().await.success());
    });
}

#[test]
fn nc_talks_to_server_which_goes_on_after_our_end() {
    run(async {
        let test = "nc_talks_to_server_which_goes_on_after_our_end";
        let (mut listener, address) = listen(&tcp()).await;
        let port = listener.port().to_string();
        let Some(mut peer) = Peer::start(test, "nc", &["-n", "-N", "127.0.0.1", &port]) else {
            return;
        };
        let connection = listener.accept().await.expect("a connection");
        let local = connection.info().local.map(|local| local.to_string());
        assert_eq!(local, Some(address));
        exchange(&connection, &mut peer).await;
        connection.end_sending().await.expect("sent");
        peer.say("after our end\n").await;
        let rest = read_until(&connection, "\n").await;
        assert_eq!(rest.as_deref(), Ok("after our end\n"));
        peer.end_input();
        assert!(is_finished(&connection).await);
        connection.close().await.expect("acknowledged");
        assert!(peer.end().await.success());
    });
}

#[test]
fn client_talks_to_socat() {
    run(async {
        let listen = "TCP-LISTEN:0,bind=127.0.0.1";
        let arguments = ["-d", "-d", listen, "STDIO"];
        let Some(mut peer) = Peer::start("client_talks_to_socat", "socat", &arguments) else {
            return;
        };
        let address = peer.address_after("listening on AF=2 ").await;
        let connection = connect(&tcp(), address).await;
        exchange(&connection, &mut peer).await;
        connection.close().await.expect("acknowledged");
        assert!(peer.end().await.success());
    });
}

#[test]
fn a_mebibyte_comes_back_from_an_echoing_socat() {
    run(async {
        let test = "a_mebibyte_comes_back_from_an_echoing_socat";
        let listen = "TCP-LISTEN:0,bind=127.0.0.1";
        let Some(mut peer) = Peer::start(test, "socat", &["-d", "-d", listen, "PIPE"]) else {
            return;
        };
        let address = peer.address_after("listening on AF=2 ").await;
        let connection = connect(&tcp(), address).await;
        let sent: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 7) as u8).collect();
        let sending = async {
            let receipt = connection.send(sent.clone()).await.expect("accepted");
            receipt.await.into_result().expect("sent");
            connection.end_sending().await.expect("sent");
        };
        let receiving = async {
            let mut received = Vec::new();
            loop {
                let part = connection.receive_partial(1, 1 << 16).await;
                let part = part.expect("a part");
                received.extend_from_slice(&part.data);
                if part.is_end {
                    return received;
                }
            }
        };
        let (received, ()) = tokio::join!(receiving, sending);
        assert!(
            received == sent,
            "{} of {} bytes",
            received.len(),
            sent.len()
        );
        connection.close().await.expect("acknowledged");
    });
}

#[test]
fn socat_talks_to_server() {
    run(async {
        let (mut listener, address) = listen(&tcp()).await;
        let connect = format!("TCP:{address}");
        let Some(mut peer) = Peer::start("socat_talks_to_server", "socat", &["STDIO", &connect])
        else {
            return;
        };
        let connection = listener.accept().await.expect("a connection");
        exchange(&connection, &mut peer).await;
        connection.close().await.expect("acknowledged");
        assert!(peer.end().await.success());
    });
}

#[test]
fn datagrams_go_to_nc_and_back() {
    run(async {
        let test = "datagrams_go_to_nc_and_back";
        let Some((mut peer, address)) = listening_nc(test, &["-l", "-u"]).await else {
            return;
        };
        let connection = connect(&udp(), address).await;
        assert_eq!(connection.info().stack, Some(StackId::UDP));
        exchange_datagrams(&connection, &mut peer).await;
    });
}

#[test]
fn datagrams_go_to_socat_and_back() {
    run(async {
        let listen = "UDP-LISTEN:0,bind=127.0.0.1";
        let arguments = ["-d", "-d", listen, "STDIO"];
        let test = "datagrams_go_to_socat_and_back";
        let Some(mut peer) = Peer::start(test, "socat", &arguments) else {
            return;
        };
        let address = peer.address_after("listening on UDP AF=2 ").await;
        let connection = connect(&udp(), address).await;
        exchange_datagrams(&connection, &mut peer).await;
    });
}

#[test]
fn datagrams_of_nc_and_of_socat_are_two_connections_of_one_listener() {
    run(async {
        let test = "datagrams_of_nc_and_of_socat_are_two_connections_of_one_listener";
        let local = LocalEndpoint::address(Ipv4Addr::LOCALHOST);
        let mut listener = udp().local(local).listen().await.expect("a listener");
        let port = listener.port().to_string();
        let connect = format!("UDP:127.0.0.1:{port}");
        let nc = Peer::start(test, "nc", &["-n", "-u", "127.0.0.1", &port]);
        let socat = Peer::start(test, "socat", &["STDIO", &connect]);
        let (Some(mut nc), Some(mut socat)) = (nc, socat) else {
            return;
        };
        let mut connections = Vec::new();
        for peer in [&mut nc, &mut socat] {
            peer.say("question\n").await;
            let connection = listener.accept().await.expect("a connection");
            let question = connection.receive().await.expect("a datagram");
            assert_eq!(&question[..], b"question\n");
            connections.push(connection);
        }
        for (connection, peer) in connections.iter().zip([&mut nc, &mut socat]) {
            say(connection, "answer\n").await;
            peer.after("answer").await;
            peer.say("more\n").await;
            let more = connection.receive().await.expect("a datagram");
            assert_eq!(&more[..], b"more\n");
        }
        let addresses = connections
            .iter()
            .map(|connection| connection.info().remote);
        let addresses: Vec<SocketAddr> = addresses.map(|a| a.expect("a peer")).collect();
        assert_ne!(addresses[0], addresses[1]);
    });
}

async fn exchange_datagrams(connection: &Connection, peer: &mut Peer) {
    say(connection, "question\n").await;
    peer.after("question").await;
    peer.say("answer\n").await;
    let answer = connection.receive().await.expect("a datagram");
    assert_eq!(&answer[..], b"answer\n");
    assert!(answer.is_complete());
    connection.close().await.expect("closed");
}
