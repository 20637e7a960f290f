//! Streams of a QUIC connection over real loopback sockets.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod quic_support;

use bytes::Bytes;
use portway_transport::quic::{
    Connection, ConnectionError, ReceiveStream, SendStream, StreamError, StreamKind, VarInt,
};
use quic_support::Pair;
use std::future::Future;
use std::task::{Context, Waker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A bidirectional stream as both sides have it, with one byte from the opening side read.
async fn stream(client: &Connection, server: &Connection) -> (Ends, Ends) {
    let (mut send, receive) = client.open_bi().await.unwrap();
    send.write_all(b"!").await.unwrap();
    let ours = Ends { send, receive };
    let (send, mut receive) = server.accept_bi().await.unwrap();
    assert_eq!(receive.read(&mut [0; 1]).await, Ok(1));
    (ours, Ends { send, receive })
}

struct Ends {
    send: SendStream,
    receive: ReceiveStream,
}

#[tokio::test]
async fn a_bidirectional_stream_echoes() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let serve = async {
        let (mut send, mut receive) = server.accept_bi().await.unwrap();
        let request = receive.read_to_end(100).await.unwrap();
        send.write_and_finish(request.into()).await.unwrap();
        send.writes_closed().await.unwrap();
    };
    let ask = async {
        let (mut send, mut receive) = client.open_bi().await.unwrap();
        send.write_and_finish(Bytes::from_static(b"hello"))
            .await
            .unwrap();
        receive.read_to_end(100).await.unwrap()
    };
    let ((), answer) = tokio::join!(serve, ask);
    assert_eq!(answer, b"hello"[..]);
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn messages_that_fill_a_batch_go_before_those_behind_them_are_written() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    // A batch is at most what half of the congestion window takes, which grows with this.
    let (mut long, _receive) = client.open_bi().await.unwrap();
    long.write_and_finish(vec![7; 300_000].into())
        .await
        .unwrap();
    let (_send, mut receive) = server.accept_bi().await.unwrap();
    assert_eq!(receive.read_to_end(300_000).await.unwrap().len(), 300_000);
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(client.open_bi().await.unwrap().0);
    }
    let sent = || client.statistics().datagrams_sent;
    let (before, mut early) = (sent(), Vec::new());
    // Nothing here waits, so that the driver has no turn meanwhile.
    for send in &mut streams {
        let message = Bytes::from_static(&[7; 1000]);
        send.write_and_finish(message).await.unwrap();
        early.push(sent() - before);
    }
    assert_eq!(early[..10], [0; 10], "a few are no batch");
    assert!(early[19] > 0, "{early:?}");
    for _ in 0..20 {
        let (_, mut receive) = server.accept_bi().await.unwrap();
        assert_eq!(receive.read_to_end(2000).await.unwrap().len(), 1000);
    }
    drop((streams, client, server));
    pair.finish().await;
}

#[tokio::test]
async fn a_unidirectional_stream_carries_data_one_way_to_its_end() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let mut send = server.open_uni().await.unwrap();
    send.write_all(b"one ").await.unwrap();
    send.write_chunk(Bytes::from_static(b"way")).await.unwrap();
    send.finish().unwrap();
    let mut receive = client.accept_uni().await.unwrap();
    assert_eq!(receive.id(), send.id());
    assert_eq!(receive.id().kind(), StreamKind::Unidirectional);
    assert_eq!(receive.read_to_end(100).await.unwrap(), b"one way"[..]);
    assert_eq!(receive.read_chunk(10).await, Ok(None));
    assert_eq!(receive.reads_closed().await, Ok(()));
    assert_eq!(send.writes_closed().await, Ok(()));
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn the_table_of_reset_and_stop_holds_in_every_cell() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    for is_opener in [true, false] {
        // A reset: the peer's read fails with the code, the local side has ended it.
        let (opener, accepter) = stream(&client, &server).await;
        let (mut ours, mut theirs) = match is_opener {
            true => (opener, accepter),
            false => (accepter, opener),
        };
        let closing = ours.send.writes_closed();
        ours.send.reset(7.into()).unwrap();
        let reset = StreamError::Reset(VarInt::from_u32(7));
        assert_eq!(theirs.receive.read(&mut [0; 9]).await, Err(reset.clone()));
        assert_eq!(theirs.receive.read(&mut [0; 9]).await, Err(reset.clone()));
        assert_eq!(theirs.receive.reads_closed().await, Err(reset));
        assert_eq!(closing.await, Err(StreamError::Ended));
        assert_eq!(ours.send.write(b"x").await, Err(StreamError::Ended));
        assert_eq!(ours.send.finish(), Err(StreamError::Ended));
        assert_eq!(ours.send.reset(8.into()), Err(StreamError::Ended));
        // A stop: the peer's write fails with the code.
        ours.receive.stop(9.into()).unwrap();
        let stopped = StreamError::Stopped(VarInt::from_u32(9));
        assert_eq!(theirs.send.writes_closed().await, Err(stopped.clone()));
        assert_eq!(theirs.send.write(b"x").await, Err(stopped.clone()));
        assert_eq!(theirs.send.finish(), Err(stopped.clone()));
        assert_eq!(
            ours.receive.read(&mut [0; 9]).await,
            Err(StreamError::Ended)
        );
        assert_eq!(ours.receive.stop(1.into()), Err(StreamError::Ended));
        assert_eq!(ours.receive.reads_closed().await, Err(StreamError::Ended));
        // The code of a stop is told even when the answering reset was acknowledged long ago.
        client.ping();
        let (mut again, _far) = stream(&client, &server).await;
        again.send.finish().unwrap();
        assert_eq!(again.send.writes_closed().await, Ok(()));
        assert_eq!(theirs.send.write(b"x").await, Err(stopped));
    }
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn a_reset_that_a_watcher_saw_first_is_told_to_the_reader_too() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let (mut ours, mut theirs) = stream(&client, &server).await;
    let watching = theirs.receive.reads_closed();
    ours.send.reset(5.into()).unwrap();
    let reset = StreamError::Reset(VarInt::from_u32(5));
    assert_eq!(watching.await, Err(reset.clone()));
    assert_eq!(theirs.receive.read(&mut [0; 9]).await, Err(reset));
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn dropping_a_half_finishes_the_sending_and_stops_the_receiving_one() {
    let pair = Pair::with(
        |_| {},
        |server| server.transport.defaults.stop = VarInt::from_u32(0x55),
    );
    let (client, server) = pair.connect().await;
    let (mut ours, mut theirs) = stream(&client, &server).await;
    theirs.send.write_all(b"rest").await.unwrap();
    drop(theirs.send);
    assert_eq!(ours.receive.read_to_end(9).await.unwrap(), b"rest"[..]);
    drop(theirs.receive);
    let stopped = StreamError::Stopped(VarInt::from_u32(0x55));
    assert_eq!(ours.send.writes_closed().await, Err(stopped));
    // One that was read to its end is not stopped.
    let (mut ours, mut theirs) = stream(&client, &server).await;
    ours.send.finish().unwrap();
    assert_eq!(theirs.receive.read(&mut [0; 1]).await, Ok(0));
    drop(theirs.receive);
    assert_eq!(ours.send.writes_closed().await, Ok(()));
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn a_reset_after_finish_and_after_the_acknowledgement_does_no_harm() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let (mut ours, mut theirs) = stream(&client, &server).await;
    ours.send.write_all(&[1; 5000]).await.unwrap();
    ours.send.finish().unwrap();
    ours.send.reset(3.into()).unwrap();
    let read = theirs.receive.read_to_end(10_000).await;
    assert!(
        matches!(read, Ok(_) | Err(StreamError::Reset(_))),
        "{read:?}"
    );
    let (mut ours, mut theirs) = stream(&client, &server).await;
    ours.send.finish().unwrap();
    assert_eq!(theirs.receive.read_to_end(9).await.unwrap(), b""[..]);
    ours.send.writes_closed().await.unwrap();
    ours.send.reset(3.into()).unwrap();
    assert_eq!(ours.send.finish(), Err(StreamError::Ended));
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn everything_on_a_closed_connection_says_who_closed_it() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let (mut ours, mut theirs) = stream(&client, &server).await;
    theirs.send.write_all(b"last").await.unwrap();
    ours.receive.read(&mut [0; 1]).await.unwrap();
    server.close(3.into(), b"enough");
    let ended = ConnectionError::ClosedByPeer {
        code: VarInt::from_u32(3),
        reason: Bytes::from_static(b"enough"),
    };
    let on_stream = StreamError::Connection(ended.clone());
    assert_eq!(client.closed().await, ended);
    assert_eq!(
        ended.to_string(),
        "closed by the peer's application with code 3: enough"
    );
    // What had arrived before is still there.
    assert_eq!(
        ours.receive.read_chunk(9).await,
        Ok(Some(Bytes::from_static(b"ast")))
    );
    assert_eq!(ours.receive.read_chunk(9).await, Err(on_stream.clone()));
    assert_eq!(ours.send.write(b"x").await, Err(on_stream.clone()));
    assert_eq!(ours.send.finish(), Err(on_stream.clone()));
    assert_eq!(ours.send.reset(1.into()), Err(on_stream.clone()));
    assert_eq!(ours.receive.stop(1.into()), Err(on_stream.clone()));
    assert_eq!(ours.send.writes_closed().await, Err(on_stream.clone()));
    assert_eq!(ours.receive.reads_closed().await, Err(on_stream));
    assert_eq!(client.open_bi().await.unwrap_err(), ended);
    assert_eq!(client.accept_uni().await.unwrap_err(), ended);
    assert_eq!(client.receive_datagram().await.unwrap_err(), ended);
    let here = ConnectionError::ClosedLocally {
        code: VarInt::from_u32(3),
    };
    assert_eq!(server.closed().await, here);
    assert_eq!(
        theirs.send.write(b"x").await,
        Err(StreamError::Connection(here))
    );
    drop((ours, theirs, client, server));
    pair.finish().await;
}

#[tokio::test]
async fn a_thousand_streams_run_at_a_time() {
    let pair = Pair::with(
        |_| {},
        |server| server.transport.streams.bidirectional_max = 1000,
    );
    let (client, server) = pair.connect().await;
    let serving = tokio::spawn(async move {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let (mut send, mut receive) = server.accept_bi().await.unwrap();
            tasks.spawn(async move {
                let request = receive.read_to_end(1 << 20).await.unwrap();
                send.write_and_finish(request.into()).await.unwrap();
                send.writes_closed().await.unwrap();
            });
        }
        tasks.join_all().await;
    });
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..1000_u32 {
        let client = client.clone();
        tasks.spawn(async move {
            let (mut send, mut receive) = client.open_bi().await.unwrap();
            let request: Bytes = number.to_be_bytes().repeat(64).into();
            send.write_and_finish(request.clone()).await.unwrap();
            assert_eq!(receive.read_to_end(1 << 20).await.unwrap(), request);
        });
    }
    tasks.join_all().await;
    serving.await.unwrap();
    drop(client);
    pair.finish().await;
}

#[tokio::test]
async fn streams_beyond_the_peers_limit_wait_and_are_served_by_turn() {
    let pair = Pair::with(
        |_| {},
        |server| server.transport.streams.bidirectional_max = 2,
    );
    let (client, server) = pair.connect().await;
    assert_eq!(client.capacity(StreamKind::Bidirectional), 2);
    let (mut first, _far_first) = stream(&client, &server).await;
    let (second, _far_second) = stream(&client, &server).await;
    assert_eq!(client.capacity(StreamKind::Bidirectional), 0);
    let mut lost = Box::pin(client.open_bi());
    let mut kept = Box::pin(client.open_bi());
    let mut context = Context::from_waker(Waker::noop());
    assert!(lost.as_mut().poll(&mut context).is_pending());
    assert!(kept.as_mut().poll(&mut context).is_pending());
    // One stream ends on both sides, so that the peer allows another one.
    first.send.finish().unwrap();
    drop(first.receive);
    drop(_far_first);
    client.capacity_changed().await.unwrap();
    // It was opened for the future that has waited longest; dropping that one passes it on.
    drop(lost);
    let (send, _receive) = kept.await.unwrap();
    assert_eq!(send.id().index(), second.send.id().index() + 1);
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn raising_the_limit_lets_the_peer_open_more() {
    let pair = Pair::with(
        |_| {},
        |server| server.transport.streams.unidirectional_max = 0,
    );
    let (client, server) = pair.connect().await;
    let mut opening = Box::pin(client.open_uni());
    let mut context = Context::from_waker(Waker::noop());
    assert!(opening.as_mut().poll(&mut context).is_pending());
    server.set_streams_max(StreamKind::Unidirectional, 1);
    let mut send = opening.await.unwrap();
    send.write_and_finish(Bytes::from_static(b"at last"))
        .await
        .unwrap();
    let mut receive = server.accept_uni().await.unwrap();
    assert_eq!(receive.read_to_end(9).await.unwrap(), b"at last"[..]);
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn bulk_both_ways_grows_the_connection_window() {
    const BYTES: usize = 8 << 20;
    let small = |streams: &mut portway_transport::quic::StreamLimits| {
        streams.connection_window_bytes = 64 << 10;
        streams.window_bytes = 1_000_000;
    };
    let pair = Pair::with(
        |client| small(&mut client.streams),
        |server| small(&mut server.transport.streams),
    );
    let (client, server) = pair.connect().await;
    let (ours, theirs) = stream(&client, &server).await;
    async fn pump(mut ends: Ends) {
        let write = async {
            for number in 0..BYTES / 65_536 {
                let chunk = Bytes::from(vec![number as u8; 65_536]);
                ends.send.write_chunk(chunk).await.unwrap();
            }
            ends.send.finish().unwrap();
        };
        let read = async {
            let mut count = 0;
            while let Some(chunk) = ends.receive.read_chunk(usize::MAX).await.unwrap() {
                for (index, byte) in chunk.iter().enumerate() {
                    assert_eq!(*byte, ((count + index) / 65_536) as u8);
                }
                count += chunk.len();
            }
            assert_eq!(count, BYTES);
        };
        tokio::join!(write, read);
        ends.send.writes_closed().await.unwrap();
    }
    tokio::join!(pump(ours), pump(theirs));
    assert!(client.receive_window() > 64 << 10, "it did not grow");
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn a_write_waits_for_the_reader_and_goes_on() {
    let pair = Pair::with(
        |_| {},
        |server| {
            server.transport.streams.window_bytes = 2000;
            server.transport.streams.connection_window_bytes = 2000;
        },
    );
    let (client, server) = pair.connect().await;
    let (mut ours, mut theirs) = stream(&client, &server).await;
    let mut written = 0;
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let chunk = [b'x'; 700];
        match Box::pin(ours.send.write(&chunk))
            .as_mut()
            .poll(&mut context)
        {
            std::task::Poll::Ready(count) => written += count.unwrap(),
            std::task::Poll::Pending => break,
        }
    }
    assert_eq!(
        written, 1999,
        "the window, less what the test has sent before"
    );
    let rest = async {
        ours.send.write_all(&[b'y'; 3000]).await.unwrap();
        ours.send.finish().unwrap();
    };
    let (all, ()) = tokio::join!(theirs.receive.read_to_end(9000), rest);
    assert_eq!(all.unwrap().len(), 1999 + 3000);
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn a_stream_that_is_too_long_is_given_up() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let (mut ours, mut theirs) = stream(&client, &server).await;
    ours.send
        .write_and_finish(vec![0; 1001].into())
        .await
        .unwrap();
    let error = theirs.receive.read_to_end(1000).await.unwrap_err();
    assert_eq!(error, StreamError::TooLong { bytes_max: 1000 });
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn what_has_priority_overtakes_what_waits() {
    const BYTES: usize = 400_000;
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let mut low = client.open_uni().await.unwrap();
    let mut high = client.open_uni().await.unwrap();
    high.set_priority(1).unwrap();
    // Both are written before the driver runs, the less urgent one first and more than the
    // congestion window lets out at once.
    low.write_and_finish(vec![b'l'; BYTES].into())
        .await
        .unwrap();
    high.write_and_finish(vec![b'h'; 2000].into())
        .await
        .unwrap();
    let mut low = server.accept_uni().await.unwrap();
    let mut high = server.accept_uni().await.unwrap();
    assert_eq!(high.read_to_end(9000).await.unwrap().len(), 2000);
    let mut chunks = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    let _ = low.poll_read_chunks(&mut context, usize::MAX, &mut chunks);
    let arrived: usize = chunks.iter().map(Bytes::len).sum();
    assert!(arrived < BYTES, "the urgent stream came last");
    assert_eq!(low.read_to_end(BYTES).await.unwrap().len(), BYTES - arrived);
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn tokios_traits_work_on_both_halves() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let (mut ours, mut theirs) = stream(&client, &server).await;
    AsyncWriteExt::write_all(&mut ours.send, b"through the traits")
        .await
        .unwrap();
    ours.send.shutdown().await.unwrap();
    ours.send.shutdown().await.unwrap();
    let mut text = String::new();
    theirs.receive.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "through the traits");
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn futures_that_are_lost_lose_no_stream_and_no_data() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        let accepting = Box::pin(server.accept_bi()).as_mut().poll(&mut context);
        assert!(accepting.is_pending());
    }
    let (mut ours, mut theirs) = stream(&client, &server).await;
    for _ in 0..3 {
        let mut out = [0; 9];
        let reading = Box::pin(theirs.receive.read(&mut out))
            .as_mut()
            .poll(&mut context);
        assert!(reading.is_pending());
        let watching = Box::pin(ours.send.writes_closed())
            .as_mut()
            .poll(&mut context);
        assert!(watching.is_pending());
        let receiving = Box::pin(server.receive_datagram())
            .as_mut()
            .poll(&mut context);
        assert!(receiving.is_pending());
    }
    ours.send
        .write_and_finish(Bytes::from_static(b"all"))
        .await
        .unwrap();
    assert_eq!(theirs.receive.read_to_end(9).await.unwrap(), b"all"[..]);
    client
        .send_datagram(Bytes::from_static(b"too"))
        .await
        .unwrap();
    assert_eq!(server.receive_datagram().await.unwrap(), b"too"[..]);
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn a_stream_that_was_stopped_before_it_is_accepted_says_so() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let (mut send, mut receive) = client.open_bi().await.unwrap();
    send.write_and_finish("question".into()).await.unwrap();
    receive.stop(7.into()).unwrap();
    // The server answers the stop by a reset although nobody has accepted the stream yet.
    let (mut later, _) = client.open_bi().await.unwrap();
    later.write_and_finish("later".into()).await.unwrap();
    later.writes_closed().await.unwrap();
    let (mut answer, mut question) = server.accept_bi().await.unwrap();
    let stopped = StreamError::Stopped(7.into());
    assert_eq!(question.read_all(100).await.unwrap(), "question");
    assert_eq!(answer.write_all(b"answer").await.unwrap_err(), stopped);
    assert_eq!(answer.writes_closed().await.unwrap_err(), stopped);
    let (_, mut other) = server.accept_bi().await.unwrap();
    assert_eq!(other.read_all(100).await.unwrap(), "later");
    drop((send, receive, later, answer, question, other));
    drop((client, server));
    pair.finish().await;
}
