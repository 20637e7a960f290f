//! Batches that go before the driver's turn, while several threads write to one connection.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod quic_support;

use bytes::Bytes;
use portway_transport::quic::{Connection, ConnectionError, ReceiveStream, SendStream, VarInt};
use quic_support::Pair;
use std::collections::HashSet;
use tokio::task::JoinSet;

/// Tasks that write at a time, and how many messages each of them sends.
const WRITERS: u32 = 8;
const MESSAGES: u32 = 96;

/// A message that says whose it is and in which order its bytes come: long enough that a few of
/// them are a batch.
fn message(writer: u32, number: u32) -> Vec<u8> {
    let words = 100 + (writer * 37 + number * 11) % 400;
    let head = [writer, number, words];
    let all = head.into_iter().chain(0..words);
    all.flat_map(u32::to_be_bytes).collect()
}

/// Whose message this is, if all of it is there in its order.
fn sender(message_bytes: &[u8]) -> (u32, u32) {
    let word = |at: usize| {
        let word = message_bytes[4 * at..][..4].try_into().unwrap();
        u32::from_be_bytes(word)
    };
    let (writer, number) = (word(0), word(1));
    assert_eq!(message_bytes, message(writer, number));
    (writer, number)
}

/// Sends a message, in one piece or in three.
async fn write(send: &mut SendStream, writer: u32, number: u32) -> Result<(), ()> {
    let mut bytes = Bytes::from(message(writer, number));
    if number.is_multiple_of(3) {
        for _ in 0..2 {
            let piece = bytes.split_to(150);
            send.write_chunk(piece).await.map_err(drop)?;
        }
    }
    send.write_and_finish(bytes).await.map_err(drop)
}

/// Lets all writers send on streams of their own, each as a task; an error ends a writer.
fn write_all(connection: &Connection) -> JoinSet<Result<(), ()>> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let connection = connection.clone();
        writers.spawn(async move {
            for number in 0..MESSAGES {
                let mut send = connection.open_uni().await.map_err(drop)?;
                write(&mut send, writer, number).await?;
            }
            Ok(())
        });
    }
    writers
}

async fn read(mut receive: ReceiveStream) -> (u32, u32) {
    sender(&receive.read_to_end(10_000).await.unwrap())
}

/// The windows have grown when this has come.
async fn grow_windows(client: &Connection, server: &Connection) {
    let mut long = client.open_uni().await.unwrap();
    let write = long.write_and_finish(vec![7; 300_000].into());
    let read = async {
        let mut receive = server.accept_uni().await.unwrap();
        receive.read_to_end(300_000).await.unwrap().len()
    };
    let (written, read) = tokio::join!(write, read);
    written.unwrap();
    assert_eq!(read, 300_000);
}

/// Reads as many messages as are sent, all of which are different.
async fn read_all(server: &Connection) {
    read_rest(server, Vec::new()).await;
}

/// The same when the streams of some were accepted.
async fn read_rest(server: &Connection, unread: Vec<ReceiveStream>) {
    let mut readers: JoinSet<_> = unread.into_iter().map(read).collect();
    while readers.len() < (WRITERS * MESSAGES) as usize {
        let receive = server.accept_uni().await.unwrap();
        readers.spawn(read(receive));
    }
    let senders: HashSet<(u32, u32)> = readers.join_all().await.into_iter().collect();
    assert_eq!(senders.len(), (WRITERS * MESSAGES) as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_that_several_threads_write_at_once_arrives_in_the_order_of_its_stream() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    grow_windows(&client, &server).await;
    let writers = write_all(&client);
    read_all(&server).await;
    assert!(writers.join_all().await.into_iter().all(|end| end.is_ok()));
    drop((client, server));
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_ends_write_at_once() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    grow_windows(&client, &server).await;
    let writers = [write_all(&client), write_all(&server)];
    tokio::join!(read_all(&server), read_all(&client));
    for writers in writers {
        assert!(writers.join_all().await.into_iter().all(|end| end.is_ok()));
    }
    drop((client, server));
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_that_blocks_in_the_middle_gets_the_rest_when_it_reads_on() {
    // A few messages fill the window of the connection, and one may fill that of its stream.
    let pair = Pair::with(
        |_| {},
        |server| {
            server.transport.streams.window_bytes = 1500;
            server.transport.streams.connection_window_bytes = 6000;
        },
    );
    let (client, server) = pair.connect().await;
    let writers = write_all(&client);
    let mut unread = Vec::new();
    for _ in 0..3 {
        unread.push(server.accept_uni().await.unwrap());
    }
    // Whatever else was written waits for these to be read.
    read_rest(&server, unread).await;
    assert!(writers.join_all().await.into_iter().all(|end| end.is_ok()));
    drop((client, server));
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_peer_that_closes_in_the_middle_ends_every_writer() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    grow_windows(&client, &server).await;
    let mut writers = write_all(&client);
    for _ in 0..WRITERS * MESSAGES / 3 {
        read(server.accept_uni().await.unwrap()).await;
    }
    let code = VarInt::from(7_u32);
    server.close(code, b"enough");
    while let Some(end) = writers.join_next().await {
        // Some may have written everything before.
        let _ = end.unwrap();
    }
    let closed = client.closed().await;
    assert!(
        matches!(&closed, ConnectionError::ClosedByPeer { code: found, .. } if *found == code),
        "{closed:?}"
    );
    assert!(client.open_uni().await.is_err());
    drop((client, server));
    pair.finish().await;
}
