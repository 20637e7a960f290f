//! ICMP errors about datagrams do not end a connection (RFC 9622 §8.3.1).

use crate::world::{FAR_V4, FAR_V6, World, plain};
use portway::property::SelectionProperty;
use portway::{
    Completion, ConnectionEvent, ConnectionState, FailureKind, LocalEndpoint, MessageProperties,
    Preconnection, Security, TransportProperties,
};
use std::future::IntoFuture;
use std::net::{IpAddr, SocketAddr, UdpSocket};

#[test]
fn port_unreachable_is_told_and_the_connection_goes_on() {
    let Some(world) = World::new("port_unreachable_is_told_and_the_connection_goes_on") else {
        return;
    };
    world.run(|| async {
        // Never bound: a port that was closed here may live on in a process that another test has
        // just forked.
        let address = SocketAddr::new(FAR_V4.into(), 9);
        let properties = TransportProperties::unreliable_datagram();
        let connection = plain(address)
            .properties(properties.prohibit(SelectionProperty::Reliability))
            .message_defaults(MessageProperties::new().with_safely_replayable(true))
            .initiate()
            .into_future()
            .await
            .expect("a socket");
        let mut events = connection.events();
        let receiving = {
            let connection = connection.clone();
            tokio::spawn(async move { connection.receive().await })
        };
        drop(connection.send("to nobody").await.expect("accepted"));
        let event = events.next().await.expect("an event");
        assert!(
            matches!(&event, ConnectionEvent::SoftError(failure)
                if failure.kind == FailureKind::Refused && failure.code.is_some()),
            "{event:?}"
        );
        assert_eq!(connection.state(), ConnectionState::Established);

        let peer = world.far_udp(address);
        // The peer's socket blocks this thread, so the datagram must have left before.
        let receipt = connection.send("to somebody").await.expect("accepted");
        assert_eq!(receipt.await, Completion::Sent);
        let mut buffer = [0; 64];
        let (len, from) = peer.recv_from(&mut buffer).expect("a datagram");
        assert_eq!(&buffer[..len], b"to somebody");
        peer.send_to(b"answer", from).expect("sent");
        let answer = receiving.await.expect("no panic").expect("a message");
        assert_eq!(&answer[..], b"answer");
        connection.close().await.expect("closed");
    });
}

#[test]
fn an_unreachable_peer_of_a_listener_is_told_to_its_connection_alone() {
    let test = "an_unreachable_peer_of_a_listener_is_told_to_its_connection_alone";
    let Some(world) = World::new(test) else {
        return;
    };
    world.run(|| async {
        for (here, there) in [("192.0.2.1", FAR_V4.into()), ("2001:db8::1", FAR_V6.into())] {
            let here: IpAddr = here.parse().expect("an address");
            let properties = TransportProperties::unreliable_datagram();
            let mut listener = Preconnection::new(Security::disabled())
                .local(LocalEndpoint::address(here))
                .properties(properties.prohibit(SelectionProperty::Reliability))
                .message_defaults(MessageProperties::new().with_safely_replayable(true))
                .listen()
                .await
                .expect("a socket");
            let address = SocketAddr::new(here, listener.port());
            let mut accepted = Vec::new();
            let mut peers: Vec<UdpSocket> = Vec::new();
            for _ in 0..2 {
                let peer = world.far_udp(SocketAddr::new(there, 0));
                peer.send_to(b"hello", address).expect("sent");
                let connection = listener.accept().await.expect("a peer");
                let hello = connection.receive().await.expect("a message");
                assert_eq!(&hello[..], b"hello");
                accepted.push((connection.events(), connection));
                peers.push(peer);
            }
            // The first peer goes away; nothing but its own connection is to notice.
            let gone = peers.remove(0);
            let port = gone.local_addr().expect("bound").port();
            let rule = format!("udp dport {port} reject with icmpx type port-unreachable");
            world.far.nft_input(&rule);
            let (mut events, connection) = accepted.remove(0);
            let (mut others, other) = accepted.remove(0);
            for text in ["to nobody", "to nobody either"] {
                let receipt = connection.send(text).await.expect("accepted");
                assert_eq!(receipt.await, Completion::Sent);
                let receive = connection.receive();
                let event = tokio::select! {
                    event = events.next() => event.expect("an event"),
                    received = receive => panic!("{received:?} from nobody"),
                };
                assert!(
                    matches!(&event, ConnectionEvent::SoftError(failure)
                        if failure.kind == FailureKind::Refused && failure.code.is_some()),
                    "{event:?}"
                );
                let receipt = other.send("to somebody").await.expect("accepted");
                assert_eq!(receipt.await, Completion::Sent);
                let mut buffer = [0; 64];
                let (len, _) = peers[0].recv_from(&mut buffer).expect("a datagram");
                assert_eq!(&buffer[..len], b"to somebody");
            }
            assert_eq!(connection.state(), ConnectionState::Established);
            // It may come back, and the connection goes on.
            world.far.nft_flush();
            gone.send_to(b"back again", address).expect("sent");
            let message = connection.receive().await.expect("a message");
            assert_eq!(&message[..], b"back again");
            other.close().await.expect("closed");
            assert_eq!(others.next().await, Some(ConnectionEvent::Closed));
        }
    });
}

#[test]
fn datagrams_without_a_route_are_lost_one_by_one() {
    let Some(world) = World::new("datagrams_without_a_route_are_lost_one_by_one") else {
        return;
    };
    world.run(|| async {
        let peer = world.far_udp(SocketAddr::new(FAR_V4.into(), 0));
        let address = peer.local_addr().expect("bound");
        let properties = TransportProperties::unreliable_datagram();
        let connection = plain(address)
            .properties(properties.prohibit(SelectionProperty::Reliability))
            .message_defaults(MessageProperties::new().with_safely_replayable(true))
            .initiate()
            .into_future()
            .await
            .expect("a socket");
        let mut events = connection.events();
        let receipt = connection.send("there").await.expect("accepted");
        assert_eq!(receipt.await, Completion::Sent);
        world.near.command("ip route add unreachable 192.0.2.2");
        let refused = connection.send("nowhere").await.expect_err("no route");
        assert_eq!(refused.kind(), FailureKind::Unreachable, "{refused}");
        let event = events.next().await.expect("an event");
        assert!(
            matches!(&event, ConnectionEvent::SoftError(failure)
                if failure.kind == FailureKind::Unreachable),
            "{event:?}"
        );
        // Those that were accepted are lost as the network might have lost them.
        let receipts = connection.send_batch(["lost", "lost as well"]).await;
        for receipt in receipts.expect("accepted") {
            assert_eq!(receipt.await, Completion::Sent);
        }
        assert_eq!(connection.state(), ConnectionState::Established);
        world.near.command("ip route del unreachable 192.0.2.2");
        let receipt = connection.send("there again").await.expect("accepted");
        assert_eq!(receipt.await, Completion::Sent);
        for expected in ["there", "there again"] {
            let mut buffer = [0; 64];
            let (len, _) = peer.recv_from(&mut buffer).expect("a datagram");
            assert_eq!(&buffer[..len], expected.as_bytes());
        }
    });
}
