//! Bridges for existing programs: tokio's byte traits, `Stream` and `Sink`, typed messages.

use crate::support::{framed, pair, tls_pair};
use futures_sink::Sink;
use portway::message::Typed;
use portway::{Message, Preconnection};
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
