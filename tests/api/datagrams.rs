//! Messages over UDP: boundaries, limits, one connection a peer.

use crate::support::{datagrams, framed, listen, pair, tls_pair};
use portway::framer::{TLV_TYPE, Tlv};
use portway::message::Ecn;
use portway::{
    ConnectionLimits, LengthPrefixed, Message, MessageContext, MessageProperties, RemoteEndpoint,
    Security, SendError,
};
use std::net::UdpSocket;

#[tokio::test]
async fn each_peer_of_a_udp_listener_has_a_connection_of_its_own() {
    let preconnection = datagrams();
    let (mut listener, address) = listen(&preconnection).await;
    let client = preconnection.clone().remote(RemoteEndpoint::from(address));
    let (first, second) = (
        client.initiate().await.expect("one"),
        client.initiate().await.expect("two"),
    );
    first.send("first").await.expect("accepted");
    let at_server = listener.accept().await.expect("a peer");
    second.send("second").await.expect("accepted");
    let other = listener.accept().await.expect("another peer");
    first.send("again").await.expect("accepted");
    assert_eq!(&at_server.receive().await.expect("a message")[..], b"first");
    assert_eq!(&at_server.receive().await.expect("a message")[..], b"again");
    let message = other.receive().await.expect("a message");
    assert_eq!(&message[..], b"second");
    assert_eq!(message.context.remote_endpoint(), second.info().local);
    other.send("answer").await.expect("accepted");
    assert_eq!(&second.receive().await.expect("a message")[..], b"answer");
}

#[tokio::test]
async fn an_empty_datagram_is_a_message_and_a_too_long_one_is_refused() {
    let preconnection = datagrams();
    let (mut listener, address) = listen(&preconnection).await;
    let client = preconnection.clone().remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    let max = client.info().send_message_bytes.expect("UDP has a limit");
    let refused = client.send(vec![0u8; max + 1]).await;
    assert_eq!(
        refused.err(),
        Some(SendError::TooLarge { size: max + 1, max })
    );
    client.send("").await.expect("accepted");
    client.send(vec![1u8; 1000]).await.expect("accepted");
    let server = listener.accept().await.expect("a peer");
    assert_eq!(server.receive().await.expect("a message").len(), 0);
    assert_eq!(server.receive().await.expect("a message").len(), 1000);
}

#[tokio::test]
async fn a_batch_of_datagrams_keeps_every_boundary() {
    let preconnection = datagrams();
    let (mut listener, address) = listen(&preconnection).await;
    let client = preconnection.clone().remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    let messages = (1..=100u8).map(|size| vec![size; usize::from(size)]);
    client.send_batch(messages).await.expect("accepted");
    let server = listener.accept().await.expect("a peer");
    for size in 1..=100u8 {
        let message = server.receive().await.expect("a message");
        assert_eq!(
            &message[..],
            vec![size; usize::from(size)],
            "message {size}"
        );
    }
}

#[tokio::test]
async fn the_three_limits_of_messages_are_read_off_each_connection() {
    let mut limits = ConnectionLimits::default();
    limits.receive_message_bytes = 1000;
    let preconnection = datagrams().limits(limits);
    let (mut listener, address) = listen(&preconnection).await;
    let client = preconnection.clone().remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    let info = client.info();
    let singular = info.singular_transmission_message_bytes;
    let singular = singular.expect("UDP knows its path");
    let longest = info.send_message_bytes.expect("UDP has a limit");
    assert_eq!(longest, 65_535 - 20 - 8, "RFC 768 and RFC 791");
    assert!((1000..=longest).contains(&singular), "{singular}");
    assert_eq!(info.receive_message_bytes, 1000);
    // As long as can be received in one piece, and one byte more.
    for bytes in [1000, 1001] {
        client.send(vec![1u8; bytes]).await.expect("accepted");
    }
    let server = listener.accept().await.expect("a peer");
    let whole = server.receive().await.expect("a message");
    assert_eq!((whole.len(), whole.is_complete()), (1000, true));
    let (first, last) = (server.receive().await, server.receive().await);
    let (first, last) = (first.expect("a part"), last.expect("a part"));
    assert_eq!((first.len(), first.is_end), (1000, false));
    assert_eq!((last.len(), last.is_end), (1, true));

    for (server, client) in [(Security::disabled(), Security::disabled()), tls_pair()] {
        let (client, _server) = pair(&framed(server), &framed(client)).await;
        let info = client.info();
        assert_eq!(info.singular_transmission_message_bytes, None);
        assert_eq!(info.send_message_bytes, None, "a stream has no limit");
        let default = ConnectionLimits::default().receive_message_bytes;
        assert_eq!(info.receive_message_bytes, default);
    }
}

#[tokio::test]
async fn a_message_that_is_not_replayable_is_refused_alone() {
    let preconnection = datagrams();
    let (mut listener, address) = listen(&preconnection).await;
    let client = preconnection.clone().remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    let mut context = MessageContext::new();
    *context.properties_mut() = MessageProperties::new().with_safely_replayable(false);
    let once = Message::new("transfer the money").with_context(context);
    let refused = client.send(once).await;
    assert!(
        matches!(&refused, Err(SendError::InconsistentProperties(why)) if why.contains("UDP")),
        "{refused:?}"
    );
    client.send("again and again").await.expect("accepted");
    let server = listener.accept().await.expect("a peer");
    let message = server.receive().await.expect("a message");
    assert_eq!(&message[..], b"again and again");
}

#[tokio::test]
async fn a_message_that_demands_order_or_reliability_is_refused_alone() {
    let replayable = || MessageProperties::new().with_safely_replayable(true);
    let demands = [
        (replayable().with_ordered(true), "msgOrdered"),
        (replayable().with_reliable(true), "msgReliable"),
    ];
    let stream = framed(Security::disabled());
    let (client, server) = pair(&stream, &stream).await;
    let preconnection = datagrams();
    let (mut listener, address) = listen(&preconnection).await;
    let to = preconnection.clone().remote(RemoteEndpoint::from(address));
    let over_udp = to.initiate().await.expect("a connection");
    for (demand, name) in demands {
        let message = || {
            let mut context = MessageContext::new();
            *context.properties_mut() = demand;
            Message::new(name).with_context(context)
        };
        let refused = over_udp.send(message()).await;
        assert!(
            matches!(&refused, Err(SendError::InconsistentProperties(why)) if why.contains(name)),
            "{refused:?}"
        );
        // A byte stream gives both anyway.
        client.send(message()).await.expect("accepted");
        assert_eq!(&server.receive().await.expect("it")[..], name.as_bytes());
    }
    over_udp.send("any").await.expect("accepted");
    let peer = listener.accept().await.expect("a peer");
    assert_eq!(&peer.receive().await.expect("a message")[..], b"any");
}

#[tokio::test]
async fn framers_work_on_datagrams() {
    let framed = datagrams().framer(Tlv::u8(LengthPrefixed::u16()));
    let (mut listener, address) = listen(&framed).await;
    let client = framed.clone().remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    for kind in [7u64, 8] {
        let context = MessageContext::new().with_metadata(TLV_TYPE, kind);
        let message = Message::new("typed").with_context(context);
        client.send(message).await.expect("accepted");
    }
    let server = listener.accept().await.expect("a peer");
    for kind in [7, 8] {
        let message = server.receive().await.expect("a message");
        assert_eq!((&message[..], message.is_complete()), (&b"typed"[..], true));
        let told = message.context.metadata(TLV_TYPE);
        let told = told.and_then(portway::message::MetadataValue::as_number);
        assert_eq!(told, Some(kind));
    }
    // What stands in the datagrams, and several messages in one of them.
    let plain = UdpSocket::bind((crate::support::loopback(), 0)).expect("a port");
    plain.connect(address).expect("a peer");
    plain.send(b"\x01\x00\x03one\x02\x00\x03two").expect("sent");
    let second = listener.accept().await.expect("another peer");
    for text in ["one", "two"] {
        let message = second.receive().await.expect("a message");
        assert_eq!(&message[..], text.as_bytes());
    }
    // Half of a message is an error of that datagram and no more.
    plain.send(b"\x01\x00\x09half").expect("sent");
    let error = second.receive().await.expect_err("half a message");
    assert!(
        matches!(error, portway::ReceiveError::Framer(_)),
        "{error:?}"
    );
    let context = MessageContext::new().with_metadata(TLV_TYPE, 3u64);
    let message = Message::new("answer").with_context(context);
    second.send(message).await.expect("the connection goes on");
    let mut buffer = [0; 64];
    let len = plain.recv(&mut buffer).expect("a datagram");
    assert_eq!(&buffer[..len], b"\x03\x00\x06answer");
}

#[tokio::test]
async fn a_congestion_mark_is_told_with_its_message() {
    let (mut listener, address) = listen(&datagrams()).await;
    let peer = socket2::Socket::from(UdpSocket::bind((crate::support::loopback(), 0)).expect("a"));
    peer.connect(&address.into()).expect("a peer");
    let marks = [
        (0, Ecn::NotEct),
        (1, Ecn::Ect1),
        (2, Ecn::Ect0),
        (3, Ecn::Ce),
    ];
    for (bits, _) in marks {
        peer.set_tos_v4(bits).expect("an option");
        peer.send(b"marked").expect("sent");
    }
    let connection = listener.accept().await.expect("a peer");
    for (_, mark) in marks {
        let message = connection.receive().await.expect("a message");
        assert_eq!(message.context.ecn(), Some(mark));
    }
}
