//! How many writes messages cost, as the peer's system counts them.

use crate::support::{framed, loopback};
use portway::{Completion, Connection, RemoteEndpoint, Security};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// A connection without Nagle's algorithm, where each write is a segment of its own, and the
/// peer's socket.
async fn connected() -> (Connection, TcpStream) {
    let listener = TcpListener::bind((loopback(), 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let client = framed(Security::disabled()).remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    (client, listener.accept().expect("a connection").0)
}

/// Segments with data that the socket has received (`tcpi_data_segs_in`).
fn data_segments(socket: &TcpStream) -> u32 {
    const DATA_SEGS_IN: usize = 152;
    let mut info = [0u8; 256];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: the pointers lead to the array and its length, which outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    assert_eq!(result, 0, "TCP_INFO");
    assert!(len as usize >= DATA_SEGS_IN + 4, "the system tells it");
    let field = info[DATA_SEGS_IN..DATA_SEGS_IN + 4].try_into();
    u32::from_ne_bytes(field.expect("four bytes"))
}

/// Reads a message of one byte as it was framed.
fn read_message(mut peer: &TcpStream, number: u8) {
    let mut framed = [0; 4 + 1];
    peer.read_exact(&mut framed).expect("a message");
    assert_eq!(framed, [0, 0, 0, 1, number]);
}

/// Reads a hundred messages, and counts the segments that they came in.
fn segments_of_a_hundred(peer: &TcpStream) -> u32 {
    (0..100).for_each(|number| read_message(peer, number));
    data_segments(peer)
}

#[tokio::test]
async fn a_batch_of_a_hundred_messages_takes_a_tenth_of_the_writes_at_most() {
    let (client, peer) = connected().await;
    for number in 0..100u8 {
        let receipt = client.send([number].to_vec()).await.expect("accepted");
        assert_eq!(receipt.await, Completion::Sent);
        // Small segments that wait for TCP's window would be joined.
        read_message(&peer, number);
    }
    let single = data_segments(&peer);
    assert_eq!(single, 100, "each message leaves at once");

    let (client, peer) = connected().await;
    let messages = (0..100u8).map(|number| vec![number]);
    for receipt in client.send_batch(messages).await.expect("accepted") {
        assert_eq!(receipt.await, Completion::Sent);
    }
    let batched = segments_of_a_hundred(&peer);
    assert!(batched * 10 <= single, "{batched} writes and not {single}");

    let (client, peer) = connected().await;
    let mut batch = client.batch();
    for number in 0..100u8 {
        batch.send([number].to_vec()).await.expect("accepted");
    }
    assert_eq!(data_segments(&peer), 0, "nothing leaves before the flush");
    batch.flush();
    let flushed = segments_of_a_hundred(&peer);
    assert!(flushed * 10 <= single, "{flushed} writes and not {single}");
}
