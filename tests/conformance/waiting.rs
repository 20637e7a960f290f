//! Waiting for room: in the order of the calls, and without a trace of who gives up.

use crate::support::*;
use portway::{
    Connection, ConnectionLimits, Listener, Message, MessageContext, Security, SendError,
    TrySendError,
};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

const MESSAGE_BYTES: usize = 900;

/// A connection whose queue is full, because its peer does not read.
fn full(net: &Net) -> (Connection, Connection, Listener) {
    net.server.set_tcp_buffers(8 * 1024, 8 * 1024);
    net.client.set_tcp_buffers(8 * 1024, 8 * 1024);
    let mut listener = net.listen(Security::disabled());
    let mut limits = ConnectionLimits::default();
    limits.send_queue_bytes = 2 * MESSAGE_BYTES;
    let to = net.to_server(Security::disabled()).limits(limits);
    let (client, server) = net.connect(&to, &mut listener);
    loop {
        net.sim.run_for(ms(200));
        match client.try_send(vec![0; MESSAGE_BYTES]) {
            Ok(receipt) => drop(receipt),
            Err(TrySendError::Full(message)) => {
                assert_eq!(message.data.len(), MESSAGE_BYTES, "it comes back");
                return (client, server, listener);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Receives until a message with another first byte than zero comes, and gives that byte.
fn next_mark(net: &Net, server: &Connection) -> u8 {
    net.sim.block_on(async {
        loop {
            let message = server.receive().await.expect("a message");
            if message[0] != 0 {
                return message[0];
            }
        }
    })
}

fn marked(mark: u8, bytes: usize) -> Vec<u8> {
    vec![mark; bytes]
}

#[test]
fn senders_that_wait_are_served_in_the_order_of_their_calls() {
    let net = Net::named(1);
    let (client, server, _listener) = full(&net);
    let order = Arc::new(Mutex::new(Vec::new()));
    // Each way to send, and a long message, which all shorter ones behind it wait for.
    for mark in 1..=12u8 {
        let (client, order) = (client.clone(), order.clone());
        drop(net.spawn(async move {
            match mark % 4 {
                0 => {
                    let mut batch = client.batch();
                    batch.send(marked(mark, 10)).await.map(drop)
                }
                1 => client.send(marked(mark, MESSAGE_BYTES)).await.map(drop),
                2 => match client.reserve(2 * MESSAGE_BYTES).await {
                    Ok(permit) => permit
                        .send(marked(mark, 10))
                        .map(drop)
                        .map_err(|_| panic!()),
                    Err(error) => Err(error),
                },
                _ => {
                    let mut partial = client.begin(MessageContext::default(), None);
                    let part = partial.send(marked(mark, 5)).await;
                    part.expect("accepted");
                    partial.finish(marked(mark, 5)).await.map(drop)
                }
            }
            .expect("accepted");
            order.lock().expect("no panic").push(mark);
        }));
        net.sim.run_for(ms(1));
    }
    assert!(order.lock().expect("no panic").is_empty(), "all wait");
    let refused = client.try_send("overtaking");
    assert!(matches!(refused, Err(TrySendError::Full(_))), "{refused:?}");
    let received: Vec<u8> = (1..=12).map(|_| next_mark(&net, &server)).collect();
    let expected: Vec<u8> = (1..=12).collect();
    assert_eq!(received, expected);
    assert_eq!(*order.lock().expect("no panic"), expected);
}

/// Counts its clones by its owner's `Arc`.
struct Quiet;

impl Wake for Quiet {
    fn wake(self: Arc<Self>) {}
}

fn poll_once<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

#[test]
fn who_gives_up_waiting_leaves_nothing_behind_and_passes_the_turn_on() {
    let net = Net::named(2);
    let (client, server, _listener) = full(&net);
    let quiet = Arc::new(Quiet);
    let waker = Waker::from(quiet.clone());
    let idle = Arc::strong_count(&quiet);
    for _ in 0..100 {
        let mut batch = client.batch();
        let mut partial = client.begin(MessageContext::default(), None);
        assert!(poll_once(pin!(client.send("abandoned")), &waker).is_pending());
        assert!(poll_once(pin!(client.reserve(10)), &waker).is_pending());
        assert!(poll_once(pin!(batch.send("abandoned")), &waker).is_pending());
        assert!(poll_once(pin!(partial.send("abandoned")), &waker).is_pending());
    }
    assert_eq!(Arc::strong_count(&quiet), idle, "no waker is kept");

    // The first to wait was offered room, and gives up before it takes any.
    let mut first = Box::pin(client.send(marked(1, MESSAGE_BYTES)));
    assert!(poll_once(first.as_mut(), &waker).is_pending());
    let second = client.clone();
    let mut second = net.spawn(async move { second.send(marked(2, MESSAGE_BYTES)).await });
    net.sim.run_for(ms(1));
    let mut read = 0;
    while let Some(Ok(_)) = net.cut(1000, server.receive()) {
        read += 1;
    }
    assert!(read > 0, "there is room now");
    net.sim.run_for(ms(500));
    assert!(second.try_recv().is_err(), "it is not its turn");
    drop(first);
    net.sim.run_for(ms(500));
    assert!(second.try_recv().expect("its turn has come").is_ok());
}

#[test]
fn a_poll_that_is_never_repeated_keeps_nobody_waiting() {
    use tokio::io::AsyncWrite;
    let net = Net::named(3);
    let (client, server, _listener) = full(&net);
    let waker = Waker::from(Arc::new(Quiet));
    let mut stream = pin!(client.clone().into_byte_stream());
    let written = stream
        .as_mut()
        .poll_write(&mut Context::from_waker(&waker), b"abandoned");
    assert!(written.is_pending());
    let behind = client.clone();
    drop(net.spawn(async move { behind.send(marked(3, MESSAGE_BYTES)).await }));
    net.sim.run_for(ms(1));
    assert_eq!(next_mark(&net, &server), 3);
}

#[test]
fn a_message_that_is_refused_comes_back() {
    let net = Net::named(4);
    let mut listener = net.listen(Security::disabled());
    let to = net.to_server(Security::disabled());
    let (client, _server) = net.connect(&to, &mut listener);
    let permit = net.sim.block_on(client.reserve(10)).expect("room");
    net.sim.block_on(client.close()).expect("acknowledged");
    for refused in [client.try_send("kept"), permit.send("kept")] {
        let error = refused.expect_err("it is closed");
        assert!(!error.is_full());
        let TrySendError::Refused { error: why, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(matches!(**why, SendError::Closed(_)), "{why}");
        let message: Message = error.into_message().expect("nobody has consumed it");
        assert_eq!(message.data.into_bytes(), &b"kept"[..]);
    }
}
