//! The ends of connections: closing, half closing, aborting, dropping.

use crate::support::*;
use portway::property::ConnectionState;
use portway::{
    CloseError, Completion, Connection, ConnectionEvent, ConnectionLimits, ConnectionProperties,
    Events, FailureKind, Message, MessageContext, ReceiveError, Security, SendError, StackId,
    TransportProperties,
};
use portway_sim::Direction;
use std::time::Duration;
use tokio::sync::oneshot;

/// The security of server and client for every byte stream.
fn byte_streams() -> [(Security, Security); 2] {
    [
        (Security::disabled(), Security::disabled()),
        (server_tls(), client_tls()),
    ]
}

fn pair(net: &Net, security: (Security, Security)) -> (Connection, Connection) {
    let mut listener = net.listen(security.0);
    net.connect(&net.to_server(security.1), &mut listener)
}

/// The events that are there, without waiting for more.
fn drain(net: &Net, events: &mut Events) -> Vec<ConnectionEvent> {
    let mut seen = Vec::new();
    net.sim.block_on(async {
        while let Some(Some(event)) = polled(1, events.next()).await {
            seen.push(event);
        }
    });
    seen
}

#[test]
fn close_is_ok_when_everything_was_acknowledged() {
    for security in byte_streams() {
        let net = Net::named(1);
        let (client, server) = pair(&net, security);
        let mut events = client.events();
        let receipt = net.sim.block_on(client.send("last words")).expect("taken");
        let start = net.sim.now();
        assert_eq!(net.sim.block_on(client.close()), Ok(()));
        assert!(net.sim.now() - start >= ms(20), "one round trip at least");
        assert_eq!(receipt.completion(), Some(Completion::Sent));
        assert_eq!(client.state(), ConnectionState::Closed);
        assert_eq!(drain(&net, &mut events), [ConnectionEvent::Closed]);
        let message = net.sim.block_on(server.receive()).expect("a message");
        assert_eq!(&message[..], b"last words");
        let end = net.sim.block_on(server.receive());
        assert_eq!(end, Err(ReceiveError::Finished));
    }
}

#[test]
fn close_stays_pending_while_acknowledgements_are_dropped() {
    for security in byte_streams() {
        let net = Net::named(2);
        let (client, server) = pair(&net, security);
        let link = net.sim.link("client", "server");
        link.black_hole(Direction::Backward);
        net.sim
            .block_on(client.send("hello"))
            .expect("taken")
            .completion();
        let closing = net.sim.block_on(async {
            let sleep = portway_transport::listen::sleep(&net.at_client, ms(20_000));
            tokio::select! {
                biased;
                closed = client.close() => Some(closed),
                () = sleep => None,
            }
        });
        assert_eq!(closing, None, "the peer has it, but nobody knows");
        let message = net.sim.block_on(server.receive()).expect("it arrived");
        assert_eq!(&message[..], b"hello");
        link.restore();
        assert_eq!(net.sim.block_on(client.close()), Ok(()), "they flow again");
    }
}

#[test]
fn close_times_out_after_conn_timeout_and_never_says_ok() {
    for (server, client) in byte_streams() {
        let net = Net::named(3);
        let mut listener = net.listen(server);
        let properties = TransportProperties::default().with_connection_properties(
            &ConnectionProperties::new().with_conn_timeout(Some(Duration::from_secs(5))),
        );
        let to = net.to_server(client).properties(properties);
        let (client, server) = net.connect(&to, &mut listener);
        net.sim
            .link("client", "server")
            .black_hole(Direction::Backward);
        let mut events = client.events();
        net.sim
            .block_on(client.send("hello"))
            .expect("taken")
            .completion();
        let start = net.sim.now();
        let error = net
            .sim
            .block_on(client.close())
            .expect_err("nothing is acknowledged");
        assert_eq!(error.kind(), FailureKind::TimedOut, "{error}");
        assert!(net.sim.now() - start <= ms(5100), "{}", net.sim.now());
        let seen = drain(&net, &mut events);
        assert!(
            matches!(&seen[..], [ConnectionEvent::ConnectionError(_)]),
            "{seen:?}"
        );
        let again = net.sim.block_on(client.close());
        assert_eq!(again, Err(error), "the end does not change");
        drop((client, server, listener));
        net.sim.run_until_idle();
        assert_eq!(net.sim.sockets_open(), 0);
        assert_eq!(net.sim.tasks_alive(), 0);
    }
}

#[test]
fn close_without_any_limit_ends_when_the_system_gives_up() {
    let net = Net::named(4);
    let mut listener = net.listen(Security::disabled());
    let to = net
        .to_server(Security::disabled())
        .limits(lingering(Duration::MAX));
    let (client, _server) = net.connect(&to, &mut listener);
    net.sim.link("client", "server").black_hole(Direction::Both);
    net.sim
        .block_on(client.send("hello"))
        .expect("taken")
        .completion();
    let error = net
        .sim
        .block_on(client.close())
        .expect_err("nobody is there");
    assert!(matches!(error, CloseError::Failed(_)), "{error:?}");
    assert_eq!(error.kind(), FailureKind::TimedOut);
}

fn lingering(linger: Duration) -> ConnectionLimits {
    let mut limits = ConnectionLimits::default();
    limits.linger = linger;
    limits
}

#[test]
fn close_to_a_peer_that_takes_nothing_more_is_given_up() {
    for security in byte_streams() {
        let net = Net::named(20);
        let (client, server) = pair(&net, security);
        let receipt = net.sim.block_on(client.send(vec![9; 3_000_000]));
        let start = net.sim.now();
        let error = net.sim.block_on(client.close()).expect_err("nobody reads");
        let waited = net.sim.now() - start;
        assert!(
            waited >= ms(60_000) && waited < ms(180_000),
            "a minute without progress: {waited:?}"
        );
        assert!(
            matches!(error, CloseError::TimedOut { unacknowledged } if unacknowledged > 0),
            "{error}"
        );
        let completion = receipt.expect("taken").completion();
        assert!(
            matches!(completion, Some(Completion::Failed(_))),
            "{completion:?}"
        );
        drop((client, server));
        net.sim.run_until_idle();
        assert_eq!(net.sim.sockets_open(), 0);
        assert_eq!(net.client.tasks_alive(), 0);
    }
}

#[test]
fn close_lasts_as_long_as_the_peer_takes_something() {
    for (of_server, of_client) in byte_streams() {
        let net = Net::named(21);
        let mut listener = net.listen(of_server);
        let to = net.to_server(of_client).limits(lingering(ms(1000)));
        let (client, server) = net.connect(&to, &mut listener);
        // Thirty seconds for all of it.
        net.sim.link("client", "server").set_rate(10_000, 20_000);
        let receipt = net.sim.block_on(client.send(vec![9; 300_000]));
        let start = net.sim.now();
        let received = net.spawn(async move { server.receive().await });
        assert_eq!(net.sim.block_on(client.close()), Ok(()));
        assert!(net.sim.now() - start > ms(20_000), "{:?}", net.sim.now());
        let received = net.sim.block_on(received).expect("it ran");
        assert_eq!(received.expect("a message").len(), 300_000);
        assert_eq!(receipt.expect("taken").completion(), Some(Completion::Sent));
    }
}

#[test]
fn close_fails_when_the_peer_aborts_before_it_has_everything() {
    for security in byte_streams() {
        let net = Net::named(5);
        net.server.set_tcp_buffers(16 * 1024, 16 * 1024);
        let (client, server) = pair(&net, security);
        let receipt = net
            .sim
            .block_on(client.send(vec![1; 1 << 20]))
            .expect("taken");
        net.sim.run_for(ms(1000));
        server.abort();
        let error = net.sim.block_on(client.close()).expect_err("it is gone");
        assert_eq!(error.kind(), FailureKind::Reset);
        assert!(matches!(receipt.completion(), Some(Completion::Failed(_))));
    }
}

#[test]
fn ended_direction_lets_the_other_go_on() {
    for security in byte_streams() {
        let net = Net::named(6);
        let (client, server) = pair(&net, security);
        net.sim.block_on(async {
            for text in ["one", "two"] {
                client.send(text).await.expect("taken").await;
            }
            client.end_sending().await.expect("ended");
            let refused = client.send("three").await;
            assert!(matches!(refused, Err(SendError::Closed(_))), "{refused:?}");
            for text in ["one", "two"] {
                assert_eq!(
                    &server.receive().await.expect("a message")[..],
                    text.as_bytes()
                );
            }
            assert_eq!(server.receive().await, Err(ReceiveError::Finished));
            for text in ["four", "five"] {
                server.send(text).await.expect("taken").await;
                assert_eq!(
                    &client.receive().await.expect("a message")[..],
                    text.as_bytes()
                );
            }
            assert_eq!(server.close().await, Ok(()));
            assert_eq!(client.receive().await, Err(ReceiveError::Finished));
            assert_eq!(client.close().await, Ok(()));
        });
    }
}

#[test]
fn final_message_is_the_last_one() {
    for security in byte_streams() {
        let net = Net::named(7);
        let (client, server) = pair(&net, security);
        net.sim.block_on(async {
            let last = Message::from("last").with_context(MessageContext::default().with_final());
            let receipt = client.send(last).await.expect("taken");
            assert!(!client.info().can_send);
            let refused = client.send("more").await;
            assert!(matches!(refused, Err(SendError::Closed(_))), "{refused:?}");
            assert_eq!(receipt.await, Completion::Sent);
            assert_eq!(&server.receive().await.expect("a message")[..], b"last");
            assert_eq!(server.receive().await, Err(ReceiveError::Finished));
            server.send("reply").await.expect("taken").await;
            assert_eq!(&client.receive().await.expect("a message")[..], b"reply");
            assert_eq!(client.close().await, Ok(()));
        });
    }
}

#[test]
fn abort_is_a_reset_for_the_peer_in_mid_message() {
    for security in byte_streams() {
        let net = Net::named(8);
        let (client, server) = pair(&net, security);
        let whole = net.sim.block_on(client.send("whole")).expect("taken");
        let receipt = net
            .sim
            .block_on(client.send(vec![7; 8 << 20]))
            .expect("taken");
        net.sim.run_for(ms(30));
        let mut events = client.events();
        client.abort();
        assert_eq!(whole.completion(), Some(Completion::Sent));
        assert!(matches!(receipt.completion(), Some(Completion::Failed(_))));
        let seen = drain(&net, &mut events);
        assert!(
            matches!(&seen[..], [ConnectionEvent::ConnectionError(failure)]
                if failure.kind == FailureKind::Cancelled),
            "{seen:?}"
        );
        net.sim.run_for(ms(1000));
        let message = net
            .sim
            .block_on(server.receive())
            .expect("what was whole is kept");
        assert_eq!(&message[..], b"whole");
        let error = net.sim.block_on(server.receive()).expect_err("a reset");
        assert_eq!(error.kind(), FailureKind::Reset, "{error}");
        assert!(matches!(error, ReceiveError::Failed(_)), "{error:?}");
    }
}

#[test]
fn abort_ends_every_operation_that_waits() {
    for security in byte_streams() {
        let net = Net::named(9);
        let (client, server) = pair(&net, security);
        let mut filled = Vec::new();
        while let Ok(receipt) = client.try_send(vec![1; 200_000]) {
            filled.push(receipt);
        }
        let failures = waiting_operations(&net, &client);
        net.sim.run_for(ms(500));
        client.abort();
        net.sim.run_for(ms(1));
        for (what, mut failure) in failures {
            let failure = failure
                .try_recv()
                .unwrap_or_else(|_| panic!("{what} still waits"));
            // What was not accepted when the closing began is refused then.
            let expected = [FailureKind::Cancelled, FailureKind::Closed].map(Some);
            assert!(expected.contains(&failure), "{what}: {failure:?}");
        }
        for receipt in filled {
            assert!(receipt.completion().is_some(), "every send completes");
        }
        drop(server);
    }
}

type Waiting = (&'static str, oneshot::Receiver<Option<FailureKind>>);

/// Operations of a connection whose queue is full, each in a task of its own.
fn waiting_operations(net: &Net, client: &Connection) -> Vec<Waiting> {
    let handle = || client.clone();
    let (a, b, c, d, e, f) = (handle(), handle(), handle(), handle(), handle(), handle());
    vec![
        (
            "receive",
            net.spawn(async move { a.receive().await.err().map(|error| error.kind()) }),
        ),
        (
            "second receive",
            net.spawn(async move {
                b.receive_partial(1, 1)
                    .await
                    .err()
                    .map(|error| error.kind())
            }),
        ),
        (
            "send",
            net.spawn(async move {
                c.send(vec![1; 200_000])
                    .await
                    .err()
                    .map(|error| error.kind())
            }),
        ),
        (
            "reserve",
            net.spawn(async move { d.reserve(200_000).await.err().map(|error| error.kind()) }),
        ),
        (
            "end_sending",
            net.spawn(async move { e.end_sending().await.err().map(|error| error.kind()) }),
        ),
        (
            "close",
            net.spawn(async move { f.close().await.err().map(|error| error.kind()) }),
        ),
    ]
}

#[test]
fn close_ends_a_receive_that_waits() {
    for security in byte_streams() {
        let net = Net::named(10);
        let (client, _server) = pair(&net, security);
        let receiver = client.clone();
        let mut received = net.spawn(async move { receiver.receive().await });
        net.sim.run_for(ms(100));
        assert_eq!(net.sim.block_on(client.close()), Ok(()));
        net.sim.run_for(ms(1));
        let received = received.try_recv().expect("it ends with the connection");
        assert!(
            matches!(received, Err(ReceiveError::Closed(_))),
            "{received:?}"
        );
    }
}

#[test]
fn abort_or_close_of_a_connection_in_establishment_cancels_its_race() {
    for is_abort in [true, false] {
        let net = Net::named(11);
        net.sim.link("client", "server").black_hole(Direction::Both);
        let connection = net.to_server(client_tls()).background().expect("planned");
        net.sim.run_for(ms(100));
        assert_eq!(net.client.sockets_open(), 1);
        match is_abort {
            true => connection.abort(),
            false => {
                let closed = net.sim.block_on(connection.close());
                assert_eq!(
                    closed.map_err(|error| error.kind()),
                    Err(FailureKind::Cancelled)
                );
            }
        }
        net.sim.run_for(ms(1));
        assert_eq!(net.client.sockets_open(), 0, "nothing is left of the race");
        assert_eq!(net.client.tasks_alive(), 0);
        assert_eq!(connection.state(), ConnectionState::Closed);
    }
}

#[test]
fn dropped_connection_still_delivers_and_ends_in_an_orderly_way() {
    for security in byte_streams() {
        for size in [5, 3_000_000] {
            let net = Net::named(12);
            let (client, server) = pair(&net, security.clone());
            net.sim
                .block_on(client.send(vec![9; size]))
                .expect("taken")
                .completion();
            drop(client);
            let message = net.sim.block_on(server.receive()).expect("a message");
            assert_eq!(message.len(), size);
            let end = net.sim.block_on(server.receive());
            assert_eq!(end, Err(ReceiveError::Finished), "{size} bytes");
            drop(server);
            net.sim.run_until_idle();
            assert_eq!(net.client.tasks_alive(), 0);
            assert_eq!(net.sim.sockets_open(), 0);
        }
    }
}

#[test]
fn dropped_connection_to_a_peer_that_never_reads_is_given_up() {
    for security in byte_streams() {
        let net = Net::named(14);
        let (client, server) = pair(&net, security);
        let receipt = net
            .sim
            .block_on(client.send(vec![9; 3_000_000]))
            .expect("taken");
        drop(client);
        net.sim.run_for(ms(59_000));
        assert_eq!(receipt.completion(), None, "there is still time");
        // The last of it that the system took may have counted as progress once.
        net.sim.run_for(ms(80_000));
        let completion = receipt.completion();
        assert!(
            matches!(completion, Some(Completion::Failed(_))),
            "{completion:?}"
        );
        assert_eq!(net.client.tasks_alive(), 0);
        assert_eq!(net.client.sockets_open(), 0);
        drop(server);
    }
}

#[test]
fn dropped_idle_connection_ends_in_an_orderly_way() {
    for security in byte_streams() {
        let net = Net::named(13);
        let (client, server) = pair(&net, security);
        drop(client);
        let end = net.sim.block_on(server.receive());
        assert_eq!(end, Err(ReceiveError::Finished));
    }
}

#[test]
fn both_sides_may_close_at_once() {
    for security in byte_streams() {
        let net = Net::named(14);
        let (client, server) = pair(&net, security);
        let closed = net
            .sim
            .block_on(async { tokio::join!(client.close(), server.close()) });
        assert_eq!(closed, (Ok(()), Ok(())));
    }
}

#[test]
fn both_ends_of_a_quic_stream_may_close_at_once_and_so_may_their_groups() {
    for whole_group in [false, true] {
        for seed in 0..8 {
            let net = Net::named(seed);
            let mut listener = net.listen(server_tls().with_alpn(["close"]));
            let to = net.to_server(client_tls().with_alpn(["close"]));
            let client = net.race(&to).outcome.expect("connected");
            assert_eq!(client.info().stack, Some(StackId::QUIC));
            let server = net.sim.block_on(async {
                client.send("first").await.expect("taken");
                let server = listener.accept().await.expect("accepted");
                server.receive().await.expect("the first message");
                server
            });
            net.sim.block_on(async {
                client.send("from here").await.expect("taken");
            });
            let last = net.sim.block_on(server.send("from there"));
            let last = last.expect("taken");
            let closed = net.sim.block_on(async {
                match whole_group {
                    false => tokio::join!(client.close(), server.close()),
                    true => tokio::join!(client.close_group(), server.close_group()),
                }
            });
            assert_eq!(closed, (Ok(()), Ok(())), "seed {seed}");
            assert_eq!(last.completion(), Some(Completion::Sent));
            for connection in [&client, &server] {
                assert_eq!(connection.state(), ConnectionState::Closed);
            }
        }
    }
}

#[test]
fn nothing_is_taken_or_given_after_the_end() {
    for security in byte_streams() {
        let net = Net::named(15);
        let (client, server) = pair(&net, security);
        net.sim
            .block_on(server.send("unread"))
            .expect("taken")
            .completion();
        net.sim.run_for(ms(100));
        net.sim.block_on(client.close()).expect("acknowledged");
        net.sim.block_on(async {
            assert!(matches!(client.send("x").await, Err(SendError::Closed(_))));
            let refused = client.try_send("x").map_err(|error| error.failure().kind);
            assert_eq!(refused.err(), Some(FailureKind::Closed));
            assert!(matches!(client.reserve(1).await, Err(SendError::Closed(_))));
            assert!(client.send_batch(["x"]).await.is_err());
            assert!(client.end_sending().await.is_ok() || client.end_sending().await.is_err());
            assert!(client.receive().await.is_err());
            assert!(!client.info().can_send && !client.info().can_receive);
            assert_eq!(client.close().await, Ok(()));
        });
        let mut late = client.events();
        assert_eq!(drain(&net, &mut late), [ConnectionEvent::Closed]);
        assert_eq!(net.sim.block_on(late.next()), None);
        client.abort();
        assert_eq!(
            net.sim.block_on(client.close()),
            Ok(()),
            "an abort comes too late"
        );
    }
}
