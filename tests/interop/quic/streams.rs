//! The table of stream behaviours, cell by cell, with aioquic at the other end: what each of our
//! actions makes it see, and what each of its actions makes us see.

use super::{accepted, connector, context, listener, loopback, scripted};
use crate::authority::Authority;
use crate::peer::{Peer, run};
use bytes::Bytes;
use portway::quic::{
    Connection, ConnectionError, ListenerOptions, StreamError, TransportOptions, VarInt,
};
use tokio::io::AsyncReadExt as _;

fn code(value: u32) -> VarInt {
    VarInt::from_u32(value)
}

/// Our client connected to the script's server, or our server to the script's client.
async fn connected(
    test: &str,
    authority: &Authority,
    is_client: bool,
) -> Option<(Peer, Connection)> {
    connected_with(test, authority, is_client, TransportOptions::default()).await
}

/// The same with limits of our own.
pub(super) async fn connected_with(
    test: &str,
    authority: &Authority,
    is_client: bool,
    transport: TransportOptions,
) -> Option<(Peer, Connection)> {
    let context = context();
    if is_client {
        let (mut peer, address) = scripted::server(test, authority, &[]).await?;
        let connector = connector(authority, &context).transport(transport);
        let connection = connector.connect(address).await;
        peer.after("connected ").await;
        return Some((peer, connection.expect("connected")));
    }
    let mut options = ListenerOptions::default();
    options.context = Some(context);
    options.transport = transport;
    let listener = listener(authority, loopback(), options);
    let mut peer = scripted::client(test, authority, listener.local_address(), &[])?;
    peer.say("connect\n").await;
    Some((peer, accepted(&listener).await))
}

/// Runs a test in both of our roles.
fn in_both_roles(test: &str, check: impl AsyncFn(Peer, Connection)) {
    let authority = Authority::new();
    scripted::prepare();
    for is_client in [true, false] {
        run(async {
            if let Some((peer, connection)) = connected(test, &authority, is_client).await {
                check(peer, connection).await;
            }
        });
    }
}

#[test]
fn what_we_do_to_a_stream_is_what_aioquic_sees() {
    in_both_roles(
        "what_we_do_to_a_stream_is_what_aioquic_sees",
        async |mut peer, connection| {
            // write: the peer reads the data; finish: the peer reads the end.
            let (mut send, mut receive) = connection.open_bi().await.expect("opened");
            let id = send.id();
            send.write_all(b"data").await.expect("written");
            peer.after(&format!("data {id} 4 data")).await;
            send.finish().expect("finished");
            peer.after(&format!("finished {id} 4 ")).await;
            send.writes_closed().await.expect("acknowledged");
            // read: what the peer sends back.
            peer.say(&format!("write {id} back\n")).await;
            let mut back = [0; 4];
            receive.read_exact(&mut back).await.expect("read");
            assert_eq!(&back, b"back");
            // abort read: the peer is asked to stop.
            receive.abort(code(41)).expect("open");
            peer.after(&format!("stopped {id} 41")).await;
            // abort write: the peer's read is reset.
            let (mut send, _receive) = connection.open_bi().await.expect("opened");
            let id = send.id();
            send.write_all(b"data").await.expect("written");
            peer.after(&format!("data {id} 4 data")).await;
            send.abort(code(42)).expect("open");
            peer.after(&format!("reset {id} 42")).await;
            // One way: write with the end in one.
            let mut send = connection.open_uni().await.expect("opened");
            let id = send.id();
            let written = send.write_and_finish(Bytes::from_static(b"all"));
            written.await.expect("written");
            peer.after(&format!("finished {id} 3 ")).await;
            // Drop: an unread side is stopped with the default code, an unfinished one finished.
            let (mut send, receive) = connection.open_bi().await.expect("opened");
            let id = send.id();
            send.write_all(b"x").await.expect("written");
            peer.after(&format!("data {id} 1 x")).await;
            drop(receive);
            peer.after(&format!("stopped {id} 0")).await;
            drop(send);
            peer.after(&format!("finished {id} 1 ")).await;
            connection.close(code(43), b"done");
            peer.after("terminated application 43 done").await;
        },
    );
}

#[test]
fn what_aioquic_does_to_a_stream_is_what_we_see() {
    in_both_roles(
        "what_aioquic_does_to_a_stream_is_what_we_see",
        async |mut peer, connection| {
            let mut opened = async |kind: &str| {
                peer.say(&format!("open {kind}\n")).await;
                peer.after("opened ").await
            };
            let first = opened("bidi").await;
            let second = opened("bidi").await;
            let one_way = opened("uni").await;
            // Data and the end.
            peer.say(&format!("write {first} data\nfinish {first}\n"))
                .await;
            let (mut send, mut receive) = connection.accept_bi().await.expect("accepted");
            assert_eq!(receive.read_to_end(9).await.expect("all"), b"data");
            receive.reads_closed().await.expect("read to its end");
            // Our side of it is still open; a stop of the peer is seen by the writer.
            send.write_all(b"still").await.expect("written");
            let closed = send.writes_closed();
            peer.say(&format!("stop {first} 51\n")).await;
            assert_eq!(closed.await, Err(StreamError::Stopped(code(51))));
            assert_eq!(send.write(b"x").await, Err(StreamError::Stopped(code(51))));
            peer.after(&format!("reset {first} 51")).await;
            // A reset of the peer is seen by the reader.
            peer.say(&format!("write {second} data\n")).await;
            let (_send, receive) = connection.accept_bi().await.expect("accepted");
            let closed = receive.reads_closed();
            peer.say(&format!("reset {second} 52\n")).await;
            assert_eq!(closed.await, Err(StreamError::Reset(code(52))));
            // One way: there is nothing to write on, so that does not compile.
            peer.say(&format!("write {one_way} all\nfinish {one_way}\n"))
                .await;
            let mut receive = connection.accept_uni().await.expect("accepted");
            assert_eq!(receive.read_to_end(9).await.expect("all"), b"all");
            peer.say("close 53 bye\n").await;
            let ended = connection.closed().await;
            let ConnectionError::ClosedByPeer { code: seen, reason } = &ended else {
                panic!("{ended}");
            };
            assert_eq!((*seen, &reason[..]), (code(53), &b"bye"[..]));
        },
    );
}

#[test]
fn what_we_do_to_a_stream_that_aioquic_opened_is_what_it_sees() {
    in_both_roles(
        "what_we_do_to_a_stream_that_aioquic_opened_is_what_it_sees",
        async |mut peer, connection| {
            let mut opened = async |kind: &str| {
                peer.say(&format!("open {kind}\n")).await;
                let id = peer.after("opened ").await;
                peer.say(&format!("write {id} hello\n")).await;
                id
            };
            let (first, second) = (opened("bidi").await, opened("bidi").await);
            let one_way = opened("uni").await;
            // write and finish: the peer reads the data and the end, and may go on itself.
            let (mut send, mut receive) = connection.accept_bi().await.expect("accepted");
            send.write_all(b"data").await.expect("written");
            peer.after(&format!("data {first} 4 data")).await;
            send.finish().expect("finished");
            peer.after(&format!("finished {first} 4 ")).await;
            peer.say(&format!("write {first} more\nfinish {first}\n"))
                .await;
            assert_eq!(receive.read_to_end(20).await.expect("all"), b"hellomore");
            // abort write: the peer's read is reset; abort read: its write is stopped.
            let (mut send, mut receive) = connection.accept_bi().await.expect("accepted");
            send.abort(code(61)).expect("open");
            peer.after(&format!("reset {second} 61")).await;
            assert!(send.write(b"x").await.is_err());
            receive.abort(code(62)).expect("open");
            peer.after(&format!("stopped {second} 62")).await;
            assert!(receive.read(&mut [0; 9]).await.is_err());
            // One way, the peer's: only reading can be aborted.
            let mut receive = connection.accept_uni().await.expect("accepted");
            receive.abort(code(63)).expect("open");
            peer.after(&format!("stopped {one_way} 63")).await;
            // One way, our own: only writing can be.
            let mut send = connection.open_uni().await.expect("opened");
            let id = send.id();
            send.write_all(b"data").await.expect("written");
            peer.after(&format!("data {id} 4 data")).await;
            send.abort(code(64)).expect("open");
            peer.after(&format!("reset {id} 64")).await;
        },
    );
}
