//! Every future dropped at every await point: what the documentation of each promises then.
//!
//! A scenario is run with one more poll each time until its operation completes.

use crate::support::*;
use portway::{
    Completion, Connection, ConnectionLimits, FailureKind, Listener, LocalEndpoint, Message,
    MessageContext, Preconnection, ReceiveError, RemoteEndpoint, Security, TlsRole, TrySendError,
};
use portway_sim::Direction;
use std::future::IntoFuture;

/// Runs `scenario` with 1, 2, 3... polls until it says that its operation completed.
fn at_every_await_point(scenario: impl Fn(usize) -> bool) -> usize {
    for polls in 1..2000 {
        println!("dropped after {polls} polls");
        if scenario(polls) {
            return polls;
        }
    }
    panic!("the operation never completes");
}

/// Nothing is left of anything.
fn assert_clean(net: &Net) {
    net.sim.run_for(ms(5000));
    assert_eq!(net.sim.tasks_alive(), 0, "tasks");
    assert_eq!(net.sim.sockets_open(), 0, "sockets");
}

fn securities() -> [(Security, Security); 2] {
    [
        (Security::disabled(), Security::disabled()),
        (server_tls(), client_tls()),
    ]
}

fn small(limits_bytes: usize) -> ConnectionLimits {
    let mut limits = ConnectionLimits::default();
    limits.send_queue_bytes = limits_bytes;
    limits
}

/// A pair with small buffers everywhere, so that a sender soon waits.
fn narrow(net: &Net, (server, client): (Security, Security)) -> (Connection, Connection, Listener) {
    net.server.set_tcp_buffers(8 * 1024, 8 * 1024);
    net.client.set_tcp_buffers(8 * 1024, 8 * 1024);
    let mut listener = net.listen_with(&net.for_server(server).limits(small(4000)));
    let to = net.to_server(client).limits(small(4000));
    let (client, server) = net.connect(&to, &mut listener);
    (client, server, listener)
}

/// Sends numbered messages until one would have to wait, and says how many were taken.
fn fill(net: &Net, client: &Connection) -> u32 {
    let mut taken = 0;
    loop {
        net.sim.run_for(ms(200));
        match client.try_send(numbered(taken)) {
            Ok(receipt) => drop(receipt),
            Err(TrySendError::Full(_)) => return taken,
            Err(error) => panic!("{error}"),
        }
        taken += 1;
    }
}

fn numbered(number: u32) -> Vec<u8> {
    let mut bytes = vec![0x5a; 900];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Receives until the direction ends; the numbers of what came.
async fn drain(server: &Connection) -> (Vec<u32>, ReceiveError) {
    let mut numbers = Vec::new();
    loop {
        match server.receive().await {
            Ok(message) => {
                let number = message[..4].try_into().expect("four bytes");
                numbers.push(u32::from_be_bytes(number));
            }
            Err(error) => return (numbers, error),
        }
    }
}

#[test]
fn dropped_open_leaves_nothing_and_the_next_one_works() {
    let polls = at_every_await_point(|polls| {
        let net = Net::named(1);
        net.sim.link("client", V6).black_hole(Direction::Both);
        let server = Preconnection::new(server_tls())
            .context(&net.at_server)
            .local(LocalEndpoint::any().port(PORT))
            .framer(greeting());
        let mut listener = net.listen_with(&server);
        let to = Preconnection::new(client_tls())
            .context(&net.at_client)
            .remote(RemoteEndpoint::host_name(NAME).port(PORT))
            .framer(greeting());
        let opened = net.sim.block_on(polled(polls, to.initiate().into_future()));
        let is_complete = opened.is_some();
        if !is_complete {
            assert_eq!(
                net.client.sockets_open(),
                0,
                "the attempts end with the future"
            );
        }
        drop(opened);
        // Those that the server saw before are not delivered in place of the next one's.
        net.sim.run_for(ms(2000));
        while net
            .sim
            .block_on(polled(1, listener.accept()))
            .flatten()
            .is_some()
        {}
        let (client, server) = net.connect(&to, &mut listener);
        net.sim.block_on(async {
            client.send("hello").await.expect("taken").await;
            assert_eq!(
                &server.receive_partial(5, 5).await.expect("bytes")[..],
                b"hello"
            );
        });
        drop((client, server, listener));
        assert_clean(&net);
        is_complete
    });
    assert!(
        polls > 5,
        "DNS, two attempts, TLS and framers wait often: {polls}"
    );
}

#[test]
fn dropped_background_open_leaves_nothing() {
    let steps = at_every_await_point(|polls| {
        let net = Net::named(2);
        let listener = net.listen(server_tls());
        let connection = net.to_server(client_tls()).background().expect("planned");
        let ready = net.sim.block_on(polled(polls, connection.ready()));
        // The task of the open has its own await points: time stands for them.
        net.sim.run_for(ms(polls as u64));
        drop((connection, listener));
        assert_clean(&net);
        ready.is_some() && polls > 60
    });
    assert!(steps > 1);
}

#[test]
fn dropped_send_was_either_taken_whole_or_not_at_all() {
    for security in securities() {
        at_every_await_point(|polls| {
            let net = Net::named(3);
            let (client, server, listener) = narrow(&net, security.clone());
            let taken = fill(&net, &client);
            let reader = server.clone();
            let all = net.spawn(async move { drain(&reader).await });
            let sent = net
                .sim
                .block_on(polled(polls, client.send(numbered(u32::MAX))));
            let was_taken = sent.is_some();
            if let Some(receipt) = sent {
                let receipt = receipt.expect("taken");
                assert_eq!(net.sim.block_on(receipt), Completion::Sent);
            }
            net.sim
                .block_on(client.send(numbered(7_000)))
                .expect("works")
                .completion();
            assert_eq!(net.sim.block_on(client.close()), Ok(()));
            let (numbers, end) = net.sim.block_on(all).expect("ran");
            let mut expected: Vec<u32> = (0..taken).collect();
            expected.extend(was_taken.then_some(u32::MAX));
            expected.push(7_000);
            assert_eq!(numbers, expected);
            assert_eq!(end, ReceiveError::Finished);
            drop((client, server, listener));
            assert_clean(&net);
            was_taken
        });
    }
}

#[test]
fn dropped_reserve_keeps_no_room() {
    for security in securities() {
        at_every_await_point(|polls| {
            let net = Net::named(4);
            let (client, server, listener) = narrow(&net, security.clone());
            fill(&net, &client);
            let reader = server.clone();
            let all = net.spawn(async move { drain(&reader).await });
            let reserved = net.sim.block_on(polled(polls, client.reserve(3000)));
            let is_complete = reserved.is_some();
            drop(reserved);
            net.sim.run_for(ms(2000));
            assert_eq!(client.info().queued_bytes, 0);
            let permit = net
                .sim
                .block_on(client.reserve(4000))
                .expect("all of the room");
            let receipt = permit.send(numbered(9)).expect("taken");
            assert_eq!(net.sim.block_on(receipt), Completion::Sent);
            assert_eq!(net.sim.block_on(client.close()), Ok(()));
            assert_eq!(net.sim.block_on(all).expect("ran").0.last(), Some(&9));
            drop((client, server, listener));
            assert_clean(&net);
            is_complete
        });
    }
}

#[test]
fn used_permit_makes_room_for_others_that_wait() {
    let net = Net::named(5);
    let (client, _server, _listener) = narrow(&net, (Security::disabled(), Security::disabled()));
    let first = net.sim.block_on(client.reserve(4000)).expect("room");
    let other = client.clone();
    let mut second = net.spawn(async move { other.reserve(3000).await.map(drop) });
    net.sim.run_for(ms(10));
    assert!(second.try_recv().is_err(), "there is no room");
    first.send("short").expect("taken").completion();
    net.sim.run_for(ms(10));
    assert_eq!(
        second.try_recv(),
        Ok(Ok(())),
        "the rest of the room is free"
    );
}

#[test]
fn dropped_receive_loses_nothing() {
    for security in securities() {
        for polls in 1..6 {
            let net = Net::named(6);
            net.sim.link("client", "server").set_rate(20_000, 3000);
            let (client, server, listener) = narrow(&net, security.clone());
            let writer = client.clone();
            let written = net.spawn(async move {
                for number in 0..40 {
                    writer
                        .send(numbered(number))
                        .await
                        .expect("taken")
                        .completion();
                }
                writer.close().await
            });
            let mut numbers = Vec::new();
            let mut dropped = 0;
            loop {
                match net.sim.block_on(polled(polls, server.receive())) {
                    None => {
                        dropped += 1;
                        net.sim.run_for(ms(17));
                    }
                    Some(Ok(message)) => {
                        let number = message[..4].try_into().expect("four bytes");
                        assert!(message.is_complete());
                        numbers.push(u32::from_be_bytes(number));
                    }
                    Some(Err(error)) => {
                        assert_eq!(error, ReceiveError::Finished);
                        break;
                    }
                }
            }
            assert!(polls > 1 || dropped > 10, "{dropped}");
            assert_eq!(numbers, (0..40).collect::<Vec<_>>());
            assert_eq!(net.sim.block_on(written), Ok(Ok(())));
            drop((client, server, listener));
            assert_clean(&net);
        }
    }
}

#[test]
fn dropped_partial_receive_loses_no_byte() {
    for security in securities() {
        for polls in 1..6 {
            let net = Net::named(7);
            net.sim.link("client", "server").set_rate(20_000, 3000);
            let (client, server, listener) = narrow(&net, security.clone());
            let payload: Vec<u8> = (0..20_000u32).map(|index| index as u8).collect();
            let (writer, bytes) = (client.clone(), payload.clone());
            let written = net.spawn(async move {
                writer.send(bytes).await.expect("taken").completion();
                writer.close().await
            });
            let mut received = Vec::new();
            let mut is_end = false;
            while !is_end {
                match net
                    .sim
                    .block_on(polled(polls, server.receive_partial(100, 700)))
                {
                    None => net.sim.run_for(ms(17)),
                    Some(part) => {
                        let part = part.expect("a part");
                        assert_eq!(part.is_start, received.is_empty());
                        assert!(part.len() <= 700 && (part.len() >= 100 || part.is_end));
                        received.extend_from_slice(&part);
                        is_end = part.is_end;
                    }
                }
            }
            assert_eq!(received, payload);
            assert_eq!(net.sim.block_on(written), Ok(Ok(())));
            drop((client, server, listener));
            assert_clean(&net);
        }
    }
}

#[test]
fn dropped_batch_sends_a_prefix() {
    for security in securities() {
        at_every_await_point(|polls| {
            let net = Net::named(8);
            let (client, server, listener) = narrow(&net, security.clone());
            let reader = server.clone();
            let all = net.spawn(async move { drain(&reader).await });
            let batch = client.send_batch((0..60).map(numbered));
            let sent = net.sim.block_on(polled(polls, batch));
            if let Some(receipts) = &sent {
                assert_eq!(receipts.as_ref().expect("taken").len(), 60);
            }
            assert_eq!(net.sim.block_on(client.close()), Ok(()));
            let (numbers, end) = net.sim.block_on(all).expect("ran");
            assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>());
            assert_eq!(numbers.len() == 60, sent.is_some());
            assert_eq!(end, ReceiveError::Finished);
            drop((client, server, listener));
            assert_clean(&net);
            sent.is_some()
        });
    }
}

/// The parts of a message, each of which waits for room, with and without a known length. Without
/// one the framer makes them wait for the last, so that the message must fit into the queue.
const PARTS: [(Option<u64>, usize); 2] = [(None, 900), (Some(9000), 3000)];

#[test]
fn dropped_partial_send_never_looks_like_the_end_of_its_message() {
    for security in securities() {
        for (length, part_bytes) in PARTS {
            at_every_await_point(|polls| {
                let net = Net::named(9);
                let (client, server, listener) = narrow(&net, security.clone());
                let taken = fill(&net, &client);
                let reader = server.clone();
                let all = net.spawn(async move { drain(&reader).await });
                let (sending, part) = (client.clone(), vec![0xff; part_bytes]);
                let sent = net.sim.block_on(polled(polls, async move {
                    let mut message = sending.begin(MessageContext::default(), length);
                    message.send(part.clone()).await?.completion();
                    message.send(part.clone()).await?.completion();
                    message.finish(part).await
                }));
                let is_complete = sent.is_some();
                if let Some(receipt) = sent {
                    assert_eq!(net.sim.block_on(receipt.expect("taken")), Completion::Sent);
                }
                let next = net.sim.block_on(client.send(numbered(7_000)));
                let closed = net.sim.block_on(client.close());
                let (numbers, end) = net.sim.block_on(all).expect("ran");
                let mut expected: Vec<u32> = (0..taken).collect();
                expected.extend(is_complete.then_some(u32::MAX));
                expected.push(7_000);
                match next {
                    Ok(_) => {
                        assert_eq!(closed, Ok(()));
                        assert_eq!((numbers, end), (expected, ReceiveError::Finished));
                    }
                    Err(_) => {
                        assert!(!is_complete && closed.is_err());
                        assert!(expected.starts_with(&numbers), "{numbers:?}");
                        assert_eq!(end.kind(), FailureKind::Reset, "{end}");
                    }
                }
                drop((client, server, listener));
                assert_clean(&net);
                is_complete
            });
        }
    }
}

#[test]
fn dropped_close_goes_on() {
    for security in securities() {
        at_every_await_point(|polls| {
            let net = Net::named(10);
            let (client, server, listener) = narrow(&net, security.clone());
            let taken = fill(&net, &client);
            let reader = server.clone();
            let all = net.spawn(async move { drain(&reader).await });
            let closed = net.sim.block_on(polled(polls, client.close()));
            assert!(client.try_send("late").is_err());
            let (numbers, end) = net.sim.block_on(all).expect("ran");
            assert_eq!(numbers, (0..taken).collect::<Vec<_>>());
            assert_eq!(end, ReceiveError::Finished);
            assert_eq!(net.sim.block_on(client.close()), Ok(()));
            drop((client, server, listener));
            assert_clean(&net);
            closed.is_some()
        });
    }
}

#[test]
fn dropped_end_of_sending_goes_on() {
    for security in securities() {
        at_every_await_point(|polls| {
            let net = Net::named(11);
            let (client, server, listener) = narrow(&net, security.clone());
            let taken = fill(&net, &client);
            let reader = server.clone();
            let all = net.spawn(async move { drain(&reader).await });
            let ended = net.sim.block_on(polled(polls, client.end_sending()));
            let (numbers, end) = net.sim.block_on(all).expect("ran");
            assert_eq!(numbers, (0..taken).collect::<Vec<_>>());
            assert_eq!(end, ReceiveError::Finished);
            net.sim.block_on(async {
                server.send("back").await.expect("taken").await;
                assert_eq!(&client.receive().await.expect("a message")[..], b"back");
            });
            drop((client, server, listener));
            assert_clean(&net);
            ended.is_some()
        });
    }
}

#[test]
fn dropped_accept_loses_no_connection() {
    for security in securities() {
        for polls in 1..5 {
            let net = Net::named(12);
            let mut listener = net.listen(security.0.clone());
            let to = net.to_server(security.1.clone());
            let clients: Vec<_> = (0..10)
                .map(|number| {
                    let to = to.clone();
                    net.spawn(async move {
                        let client = to.initiate().await.expect("connected");
                        client.send(numbered(number)).await.expect("taken").await;
                        client
                    })
                })
                .collect();
            let mut numbers = Vec::new();
            for _ in 0..100 {
                match net.cut(polls, listener.accept()).flatten() {
                    None => net.sim.run_for(ms(3)),
                    Some(server) => {
                        let message = net.sim.block_on(server.receive()).expect("a message");
                        let number = message[..4].try_into().expect("four bytes");
                        numbers.push(u32::from_be_bytes(number));
                    }
                }
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (0..10).collect::<Vec<_>>());
            drop((clients, listener));
            assert_clean(&net);
        }
    }
}

#[test]
fn dropped_upgrade_fails_the_connection_with_a_reason() {
    for role in [TlsRole::Client, TlsRole::Server] {
        at_every_await_point(|polls| {
            let net = Net::named(13);
            let clear = (Security::disabled(), Security::disabled());
            let (client, server, listener) = narrow(&net, clear);
            let (mine, other) = match role {
                TlsRole::Client => (client_tls(), server_tls()),
                TlsRole::Server => (server_tls(), client_tls()),
            };
            let other_role = match role {
                TlsRole::Client => TlsRole::Server,
                TlsRole::Server => TlsRole::Client,
            };
            let peer = server.clone();
            let peers = net.spawn(async move {
                let tls = other.tls_parameters().expect("tls");
                peer.upgrade_tls(tls, other_role, Some(NAME)).await
            });
            let tls = mine.tls_parameters().expect("tls");
            let upgraded = net
                .sim
                .block_on(polled(polls, client.upgrade_tls(tls, role, Some(NAME))));
            let is_complete = upgraded.is_some();
            match upgraded {
                Some(protected) => {
                    protected.expect("protected");
                    net.sim.block_on(peers).expect("ran").expect("protected");
                    net.sim.block_on(async {
                        client.send("after").await.expect("taken").await;
                        let message = server.receive().await.expect("a message");
                        assert_eq!(&message[..], b"after");
                    });
                }
                None => {
                    let refused = net.sim.block_on(client.send("after"));
                    let error = refused.expect_err("the handshake was cut");
                    assert_eq!(error.kind(), FailureKind::Cancelled);
                    assert!(!net.sim.was_sent(b"after"));
                    // A client may be done before the server knows that it is.
                    if net.sim.block_on(peers).expect("ran").is_ok() {
                        assert!(net.sim.block_on(server.receive()).is_err());
                    }
                }
            }
            drop((client, server, listener));
            assert_clean(&net);
            is_complete
        });
    }
}

#[test]
fn dropped_resolution_abandons_its_questions() {
    at_every_await_point(|polls| {
        let net = Net::named(14);
        let to = net.to_server(client_tls());
        let resolved = net.sim.block_on(polled(polls, to.resolve()));
        if let Some(resolved) = &resolved {
            assert_eq!(resolved.as_ref().expect("resolved").remotes.len(), 2);
        }
        assert_clean(&net);
        resolved.is_some()
    });
}

#[test]
fn operations_dropped_before_the_connection_is_ready_are_harmless() {
    at_every_await_point(|polls| {
        let net = Net::named(15);
        let mut listener = net.listen(server_tls());
        let to = net.to_server(client_tls());
        let client = to.background().expect("planned");
        net.cut(polls, client.receive());
        net.cut(polls, client.receive_partial(1, 10));
        net.cut(polls, client.end_sending());
        let refused = client.try_send("after the end");
        assert!(
            matches!(refused, Err(TrySendError::Refused { .. })),
            "{refused:?}"
        );
        let server = net.sim.block_on(listener.accept()).expect("accepted");
        let end = net.sim.block_on(server.receive());
        assert_eq!(end, Err(ReceiveError::Finished));
        drop((client, server, listener));
        assert_clean(&net);
        polls == 5
    });
}

#[test]
fn partial_send_begun_before_the_framers_are_known_is_framed_whole() {
    let net = Net::named(16);
    let mut listener = net.listen(server_tls());
    let client = net.to_server(client_tls()).background().expect("planned");
    let mut message = client.begin(MessageContext::default(), None);
    net.sim.block_on(async {
        let one = message.send("one ").await.expect("taken");
        let two = message.finish("two").await.expect("taken");
        let server = listener.accept().await.expect("accepted");
        let received = server.receive().await.expect("a message");
        assert_eq!(&received[..], b"one two");
        assert_eq!(one.await, Completion::Sent);
        assert_eq!(two.await, Completion::Sent);
        let next = Message::from("next");
        client.send(next).await.expect("taken").await;
        assert_eq!(&server.receive().await.expect("a message")[..], b"next");
    });
}
