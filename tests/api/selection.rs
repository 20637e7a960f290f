//! What preferences, profiles, directions and paths make of a connection over real sockets.

use crate::support::{listen, tls_pair};
use portway::property::Direction;
use portway::{
    LengthPrefixed, Listener, MessageProperties, Preconnection, ReceiveError, RemoteEndpoint,
    Security, SelectionProperty, SendError, StackId, TransportProperties,
};
use std::net::SocketAddr;

/// Takes TCP as well as UDP.
fn any_stack() -> TransportProperties {
    TransportProperties::new()
        .no_preference(SelectionProperty::Reliability)
        .no_preference(SelectionProperty::PreserveOrder)
        .no_preference(SelectionProperty::CongestionControl)
}

fn with(properties: TransportProperties) -> Preconnection {
    Preconnection::new(Security::disabled())
        .properties(properties)
        .message_defaults(MessageProperties::new().with_safely_replayable(true))
}

/// A listener for TCP and UDP on one port.
async fn both() -> (Listener, SocketAddr) {
    let (listener, address) = listen(&with(any_stack())).await;
    assert_eq!(listener.local_addresses().len(), 2);
    (listener, address)
}

#[tokio::test]
async fn each_preference_decides_between_tcp_and_udp_on_one_port() {
    use SelectionProperty as P;
    let (_listener, address) = both().await;
    let rows = [
        (any_stack().prefer(P::Reliability), StackId::TCP),
        (any_stack().avoid(P::Reliability), StackId::UDP),
        (any_stack().require(P::Reliability), StackId::TCP),
        (any_stack().prohibit(P::Reliability), StackId::UDP),
        (any_stack().prefer(P::PreserveMsgBoundaries), StackId::UDP),
        (any_stack().avoid(P::PreserveMsgBoundaries), StackId::TCP),
        (any_stack().avoid(P::CongestionControl), StackId::UDP),
        (any_stack().prefer(P::KeepAlive), StackId::TCP),
        (any_stack().require(P::SoftErrorNotify), StackId::UDP),
        // UDP opens by its first write, so the peer cannot write before.
        (any_stack().require(P::ActiveReadBeforeSend), StackId::TCP),
        (any_stack().prefer(P::ActiveReadBeforeSend), StackId::TCP),
        // A requirement weighs more than any number of wishes.
        (
            any_stack()
                .prefer(P::Reliability)
                .prefer(P::PreserveOrder)
                .prefer(P::CongestionControl)
                .prefer(P::KeepAlive)
                .require(P::PreserveMsgBoundaries),
            StackId::UDP,
        ),
        (TransportProperties::reliable_inorder_stream(), StackId::TCP),
        (TransportProperties::unreliable_datagram(), StackId::UDP),
    ];
    for (properties, stack) in rows {
        let wished = format!("{properties:?}");
        let client = with(properties).remote(RemoteEndpoint::from(address));
        let connection = client.initiate().await.expect("a connection");
        assert_eq!(connection.info().stack, Some(stack), "{wished}");
    }
    // A framer gives TCP the boundaries that this profile is about.
    let messages = with(TransportProperties::reliable_message()).framer(LengthPrefixed::u32());
    let client = messages.remote(RemoteEndpoint::from(address));
    let connection = client.initiate().await.expect("a connection");
    assert_eq!(connection.info().stack, Some(StackId::TCP));
}

#[tokio::test]
async fn an_explicit_wish_outweighs_the_default_that_chooses_quic() {
    use SelectionProperty as P;
    let (server, client) = tls_pair();
    let server = Preconnection::new(server.with_alpn(["choice"])).framer(LengthPrefixed::u32());
    let (listener, address) = listen(&server).await;
    assert_eq!(listener.local_addresses().len(), 2, "TCP and UDP");
    let rows = [
        // RFC 9622 §6.2.8: several streams in one transport connection are preferred by default.
        (TransportProperties::new(), StackId::QUIC),
        (
            TransportProperties::new().prefer(P::ActiveReadBeforeSend),
            StackId::TLS,
        ),
        // As an explicit wish it weighs as much as the other one.
        (
            TransportProperties::new()
                .prefer(P::ActiveReadBeforeSend)
                .prefer(P::Multistreaming),
            StackId::QUIC,
        ),
        (
            TransportProperties::new().avoid(P::Multistreaming),
            StackId::TLS,
        ),
    ];
    for (properties, stack) in rows {
        let wished = format!("{properties:?}");
        let client = Preconnection::new(client.clone().with_alpn(["choice"]))
            .properties(properties)
            .framer(LengthPrefixed::u32())
            .remote(RemoteEndpoint::from(address));
        let connection = client.initiate().await.expect("a connection");
        assert_eq!(connection.info().stack, Some(stack), "{wished}");
    }
}

#[tokio::test]
async fn a_passive_side_may_write_first_where_it_is_asked_for() {
    let (mut listener, address) = both().await;
    let properties = any_stack().require(SelectionProperty::ActiveReadBeforeSend);
    let client = with(properties).remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    let server = listener.accept().await.expect("nothing was sent yet");
    server.send("welcome").await.expect("accepted");
    let part = client.receive_partial(7, 7).await.expect("the greeting");
    assert_eq!(&part[..], b"welcome");
}

#[tokio::test]
async fn a_connection_in_one_direction_refuses_the_other() {
    let framed = |direction| {
        let properties = TransportProperties::new().with_direction(direction);
        with(properties).framer(LengthPrefixed::u32())
    };
    let (mut listener, address) = listen(&framed(Direction::UnidirectionalReceive)).await;
    let sending = framed(Direction::UnidirectionalSend).remote(RemoteEndpoint::from(address));
    let sender = sending.initiate().await.expect("a connection");
    let receiver = listener.accept().await.expect("a peer");
    let (at_sender, at_receiver) = (sender.info(), receiver.info());
    assert!(at_sender.can_send && !at_sender.can_receive);
    assert!(at_receiver.can_receive && !at_receiver.can_send);
    let refused = receiver.send("against the stream").await;
    let Err(SendError::InconsistentProperties(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("direction"), "{why}");
    assert_eq!(sender.receive().await, Err(ReceiveError::Finished));
    sender.send("along").await.expect("accepted");
    assert_eq!(&receiver.receive().await.expect("a message")[..], b"along");
    sender.close().await.expect("acknowledged");
}
