//! Messages over UDP: boundaries, limits, one connection a peer.

use crate::support::{datagrams, listen};
use portway::{RemoteEndpoint, SendError};

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
