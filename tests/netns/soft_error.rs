//! ICMP errors about datagrams do not end a connection (RFC 9622 §8.3.1).

use crate::world::{FAR_V4, World, plain};
use portway::property::SelectionProperty;
use portway::{
    Completion, ConnectionEvent, ConnectionState, FailureKind, MessageProperties,
    TransportProperties,
};
use std::future::IntoFuture;
use std::net::SocketAddr;

#[test]
fn port_unreachable_is_told_and_the_connection_goes_on() {
    let Some(world) = World::new("port_unreachable_is_told_and_the_connection_goes_on") else {
        return;
    };
    world.run(|| async {
        let unbound = world.far_udp(SocketAddr::new(FAR_V4.into(), 0));
        let address = unbound.local_addr().expect("bound");
        drop(unbound);
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
