//! Bridges for existing programs: tokio's byte traits, `Stream` and `Sink`, typed messages.

use crate::support::{framed, pair, tls_pair};
use futures_sink::Sink;
use portway::message::Typed;
use portway::{Message, Preconnection, Security};
use std::future::poll_fn;
use std::pin::Pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_program_of_bytes_runs_over_a_connection() {
    let (server, client) = tls_pair();
    let (client, server) = pair(&Preconnection::new(server), &Preconnection::new(client)).await;
    let (mut client, mut server) = (client.into_byte_stream(), server.into_byte_stream());
    let sent = vec![42u8; 300_000];
    let writing = async {
        client.write_all(&sent).await.expect("written");
        client.shutdown().await.expect("ended");
    };
    let mut received = Vec::new();
    let (read, ()) = tokio::join!(server.read_to_end(&mut received), writing);
    assert_eq!(read.expect("read to the end"), sent.len());
    assert_eq!(received, sent);
    server
        .write_all(b"thanks")
        .await
        .expect("the other direction is open");
    server.shutdown().await.expect("ended");
    let mut answer = String::new();
    client
        .read_to_string(&mut answer)
        .await
        .expect("read to the end");
    assert_eq!(answer, "thanks");
}

#[tokio::test]
async fn messages_are_a_stream_and_a_sink() {
    let (server, client) = tls_pair();
    let (client, server) = pair(&framed(server), &framed(client)).await;
    let mut sink = client.sink();
    for number in 0..10u8 {
        poll_fn(|context| Pin::new(&mut sink).poll_ready(context))
            .await
            .expect("ready");
        Pin::new(&mut sink)
            .start_send(Message::from(vec![number]))
            .expect("accepted");
    }
    poll_fn(|context| Pin::new(&mut sink).poll_close(context))
        .await
        .expect("closed");
    let mut messages = server.messages();
    for number in 0..10u8 {
        let message = messages.next().await.expect("a message").expect("whole");
        assert_eq!(&message[..], [number]);
    }
    assert!(messages.next().await.is_none());
}

#[tokio::test]
async fn typed_messages_cross_as_json() {
    let (server, client) = tls_pair();
    let (client, server) = pair(&framed(server), &framed(client)).await;
    let typed = Typed::<Vec<u32>>::json();
    let message = typed.encode(&vec![1, 2, 3]).expect("encodes");
    client.send(message).await.expect("accepted");
    let received = server.receive().await.expect("a message");
    assert_eq!(typed.decode(&received).expect("decodes"), vec![1, 2, 3]);
}

#[tokio::test]
async fn a_byte_stream_may_be_shut_down_twice() {
    let open = Preconnection::new(Security::disabled());
    let (client, server) = pair(&open, &open).await;
    let (mut client, mut server) = (client.into_byte_stream(), server.into_byte_stream());
    client.shutdown().await.expect("ended");
    client.shutdown().await.expect("has ended already");
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.expect("read");
    assert!(received.is_empty());
}

#[tokio::test]
async fn an_empty_message_is_not_the_end_of_a_byte_stream() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    let mut server = server.into_byte_stream();
    for message in ["one", "", "two"] {
        client.send(message).await.expect("accepted");
    }
    client.end_sending().await.expect("ended");
    let mut received = String::new();
    server.read_to_string(&mut received).await.expect("read");
    assert_eq!(received, "onetwo");
}

#[tokio::test]
async fn a_read_into_nothing_does_not_wait() {
    let open = Preconnection::new(Security::disabled());
    let (client, _server) = pair(&open, &open).await;
    let read = client.into_byte_stream().read(&mut []).await;
    assert_eq!(read.expect("read"), 0);
}

#[tokio::test]
async fn a_sink_may_be_closed_twice() {
    let preconnection = framed(Security::disabled());
    let (client, _server) = pair(&preconnection, &preconnection).await;
    let mut sink = client.sink();
    for _ in 0..2 {
        poll_fn(|context| Pin::new(&mut sink).poll_close(context))
            .await
            .expect("closed");
    }
}

#[tokio::test]
async fn a_dropped_wait_for_the_next_message_leaves_it_to_another_receive() {
    let preconnection = framed(Security::disabled());
    let (client, server) = pair(&preconnection, &preconnection).await;
    let mut messages = server.messages();
    tokio::select! {
        biased;
        _ = messages.next() => panic!("nothing was sent"),
        () = tokio::task::yield_now() => {}
    }
    client.send("for whoever asks").await.expect("accepted");
    let message = server.receive().await.expect("a message");
    assert_eq!(&message[..], b"for whoever asks");
    client.send("for the stream").await.expect("accepted");
    let message = messages.next().await.expect("a message").expect("whole");
    assert_eq!(&message[..], b"for the stream");
}
