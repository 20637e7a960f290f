//! Listeners: limits, pauses, stopping, silent peers, bounds.

use crate::support::*;
use portway::property::SelectionProperty;
use portway::{
    Connection, FailureKind, ListenLimits, Listener, LocalEndpoint, MessageProperties,
    Preconnection, RemoteEndpoint, Security, TransportProperties,
};
use portway_transport::environment::{Environment, TcpConnect, TcpStream};
use tokio::sync::oneshot;

fn open(net: &Net, security: Security) -> oneshot::Receiver<Connection> {
    let to = net.to_server(security);
    net.spawn(async move { to.initiate().await.expect("connected") })
}

/// A TCP connection that says nothing.
fn silent(net: &Net) -> Box<dyn TcpStream> {
    let request = TcpConnect::to(socket("198.18.0.2:443"));
    net.sim
        .block_on(net.client.tcp_connect(request))
        .expect("connected")
}

/// What the listener has for us now.
fn accept_now(net: &Net, listener: &mut Listener) -> Option<Connection> {
    net.sim.block_on(polled(1, listener.accept())).flatten()
}

fn limited(net: &Net, security: Security, change: impl Fn(&mut ListenLimits)) -> Listener {
    let mut limits = ListenLimits::default();
    change(&mut limits);
    net.listen_with(&net.for_server(security).listen_limits(limits))
}

#[test]
fn limit_counts_down_pauses_and_resumes() {
    for (server, client) in [
        (Security::disabled(), Security::disabled()),
        (server_tls(), client_tls()),
    ] {
        let net = Net::named(1);
        let mut listener = net.listen(server);
        listener.set_connection_limit(Some(2));
        let _clients: Vec<_> = (0..5).map(|_| open(&net, client.clone())).collect();
        net.sim.run_for(ms(5000));
        let mut accepted = Vec::new();
        while let Some(connection) = accept_now(&net, &mut listener) {
            accepted.push(connection);
            net.sim.run_for(ms(100));
        }
        assert_eq!(accepted.len(), 2);
        assert_eq!(listener.connection_limit(), Some(0));
        net.sim.run_for(ms(60_000));
        assert!(accept_now(&net, &mut listener).is_none(), "paused");
        listener.set_connection_limit(Some(1));
        net.sim.run_for(ms(1000));
        assert!(accept_now(&net, &mut listener).is_some(), "resumed");
        net.sim.run_for(ms(1000));
        assert!(accept_now(&net, &mut listener).is_none());
        listener.set_connection_limit(None);
        net.sim.run_for(ms(5000));
        for _ in 0..2 {
            let last = net.sim.block_on(listener.accept());
            assert!(last.is_some(), "all are delivered in the end");
        }
    }
}

#[test]
fn stopped_listener_delivers_what_is_ready_and_then_ends() {
    for (server, client) in [
        (Security::disabled(), Security::disabled()),
        (server_tls(), client_tls()),
    ] {
        let net = Net::named(2);
        let mut listener = net.listen(server);
        let clients: Vec<_> = (0..30).map(|_| open(&net, client.clone())).collect();
        net.sim.run_for(ms(5000));
        let mut ready = 0;
        for mut client in clients {
            ready += usize::from(client.try_recv().is_ok());
        }
        assert_eq!(ready, 30, "every client is connected");
        listener.stop();
        let mut delivered = 0;
        while net.sim.block_on(listener.accept()).is_some() {
            delivered += 1;
        }
        assert_eq!(delivered, 30);
        let late = net.race(&net.to_server(client));
        assert_eq!(late.error().kind(), FailureKind::Refused);
        drop(listener);
        net.sim.run_until_idle();
        assert_eq!(net.server.tasks_alive(), 0);
        assert_eq!(net.server.sockets_open(), 0);
    }
}

#[test]
fn stopping_a_paused_listener_ends_it() {
    let net = Net::named(3);
    let mut listener = net.listen(Security::disabled());
    listener.set_connection_limit(Some(0));
    let _client = open(&net, Security::disabled());
    net.sim.run_for(ms(1000));
    listener.stop();
    assert!(net.sim.block_on(listener.accept()).is_none());
}

#[test]
fn dropped_listener_leaves_nothing_behind_but_what_was_delivered() {
    for (server, client) in [
        (Security::disabled(), Security::disabled()),
        (server_tls(), client_tls()),
    ] {
        let net = Net::named(4);
        let mut listener = net.listen(server);
        let _silent = silent(&net);
        let _clients: Vec<_> = (0..5).map(|_| open(&net, client.clone())).collect();
        net.sim.run_for(ms(1000));
        let delivered = net.sim.block_on(listener.accept()).expect("one");
        drop(listener);
        net.sim.run_for(ms(1000));
        assert_eq!(net.server.tasks_alive(), 0);
        assert_eq!(net.server.sockets_open(), 1, "the delivered one");
        drop(delivered);
        net.sim.run_for(ms(1000));
        assert_eq!(net.server.sockets_open(), 0);
    }
}

#[test]
fn silent_tls_client_does_not_delay_others_and_is_ended() {
    let net = Net::named(5);
    let mut listener = limited(&net, server_tls(), |limits| {
        limits.handshake_timeout = ms(3000);
    });
    let silent = silent(&net);
    let start = net.sim.now();
    let (client, _server) = net.connect(&net.to_server(client_tls()), &mut listener);
    assert!(net.sim.now() - start < ms(100));
    net.sim.run_for(ms(3100));
    assert!(accept_now(&net, &mut listener).is_none());
    let failures = listener.take_failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].kind, FailureKind::TimedOut);
    assert!(failures[0].detail.contains("198.18.0.1"), "{}", failures[0]);
    assert!(matches!(silent.try_read(&mut [0; 1]), Ok(0) | Err(_)));
    drop(client);
}

#[test]
fn client_that_is_silent_to_a_framer_is_ended() {
    let net = Net::named(6);
    let mut limits = ListenLimits::default();
    limits.handshake_timeout = ms(3000);
    let server = Preconnection::new(Security::disabled())
        .context(&net.at_server)
        .local(LocalEndpoint::any().port(PORT))
        .framer(greeting())
        .listen_limits(limits);
    let mut listener = net.listen_with(&server);
    let _silent = silent(&net);
    let to = Preconnection::new(Security::disabled())
        .context(&net.at_client)
        .remote(RemoteEndpoint::host_name(NAME).port(PORT))
        .framer(greeting());
    let (_client, _server) = net.connect(&to, &mut listener);
    net.sim.run_for(ms(3100));
    assert!(accept_now(&net, &mut listener).is_none());
    let failures = listener.take_failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].kind, FailureKind::TimedOut);
}

#[test]
fn pending_connections_are_bounded() {
    let net = Net::named(7);
    let mut listener = limited(&net, server_tls(), |limits| {
        limits.pending_max = 3;
        limits.handshake_timeout = ms(3000);
    });
    let sockets = net.server.sockets_open();
    let _silent: Vec<_> = (0..10).map(|_| silent(&net)).collect();
    net.sim.run_for(ms(100));
    assert_eq!(
        net.server.sockets_open() - sockets,
        3,
        "the others wait in the system"
    );
    let client = open(&net, client_tls());
    // Ten silent ones leave in turns of three.
    let accepted = net.sim.block_on(listener.accept());
    assert!(accepted.is_some());
    net.sim.block_on(client).expect("connected");
}

#[test]
fn peers_that_are_not_admitted_are_refused() {
    let net = Net::named(8);
    let mut listener = net.listen_with(
        &net.for_server(Security::disabled())
            .remote(RemoteEndpoint::address(ip("198.18.0.1"))),
    );
    let to = net.to_server(Security::disabled());
    let raced = net.race(&to);
    let stranger = raced.connection();
    assert!(stranger.info().remote.expect("an address").is_ipv6());
    let error = net.sim.block_on(stranger.receive()).expect_err("refused");
    assert_eq!(error.kind(), FailureKind::Reset);
    let v4 = Preconnection::new(Security::disabled())
        .context(&net.at_client)
        .remote(RemoteEndpoint::address(ip(V4)).port(PORT))
        .framer(portway::LengthPrefixed::u32());
    let (_client, _server) = net.connect(&v4, &mut listener);
}

fn datagrams(context: &portway::Context) -> Preconnection {
    Preconnection::new(Security::disabled())
        .context(context)
        .properties(
            TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability),
        )
        .message_defaults(MessageProperties::new().with_safely_replayable(true))
}

#[test]
fn each_udp_peer_is_one_connection() {
    let net = Net::named(9);
    let server = datagrams(&net.at_server).local(LocalEndpoint::any().port(PORT));
    let mut listener = net.listen_with(&server);
    let to = datagrams(&net.at_client).remote(RemoteEndpoint::host_name(NAME).port(PORT));
    let clients: Vec<_> = (0..3).map(|_| net.race(&to)).collect();
    net.sim.block_on(async {
        for round in 0..3u8 {
            for (index, client) in clients.iter().enumerate() {
                let sent = client.connection().send(vec![index as u8, round]).await;
                sent.expect("taken").await;
            }
        }
    });
    net.sim.run_for(ms(100));
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(net.sim.block_on(listener.accept()).expect("a peer"));
    }
    assert!(accept_now(&net, &mut listener).is_none());
    net.sim.block_on(async {
        for server in &servers {
            let first = server.receive().await.expect("a message");
            for round in 1..3u8 {
                let next = server.receive().await.expect("a message");
                assert_eq!(&next[..], [first[0], round]);
            }
            server.send(vec![first[0]]).await.expect("taken").await;
        }
        for (index, client) in clients.iter().enumerate() {
            let reply = client.connection().receive().await.expect("a reply");
            assert_eq!(&reply[..], [index as u8]);
        }
    });
    drop((servers, clients, listener));
    net.sim.run_for(ms(2000));
    assert_eq!(net.server.sockets_open(), 0, "the shared socket is closed");
    assert_eq!(net.server.tasks_alive(), 0);
}

#[test]
fn udp_peers_are_bounded_and_leave_room_when_they_go() {
    let net = Net::named(10);
    let mut limits = ListenLimits::default();
    limits.datagrams.peers_max = 2;
    let server = datagrams(&net.at_server)
        .local(LocalEndpoint::any().port(PORT))
        .listen_limits(limits);
    let mut listener = net.listen_with(&server);
    let to = datagrams(&net.at_client).remote(RemoteEndpoint::host_name(NAME).port(PORT));
    let clients: Vec<_> = (0..3).map(|_| net.race(&to)).collect();
    let say = |index: usize| {
        let sent = net
            .sim
            .block_on(clients[index].connection().send(vec![index as u8]));
        sent.expect("taken").completion();
        net.sim.run_for(ms(100));
    };
    (0..3).for_each(say);
    let first = net.sim.block_on(listener.accept()).expect("a peer");
    let _second = net.sim.block_on(listener.accept()).expect("a peer");
    assert!(
        accept_now(&net, &mut listener).is_none(),
        "no more than two"
    );
    drop(first);
    say(2);
    let third = net
        .sim
        .block_on(listener.accept())
        .expect("there is room again");
    let message = net.sim.block_on(third.receive()).expect("a message");
    assert_eq!(&message[..], [2]);
}

#[test]
fn udp_datagrams_that_nobody_takes_are_bounded_over_all_peers() {
    let net = Net::named(13);
    let mut limits = ListenLimits::default();
    limits.datagrams.waiting_bytes_total_max = 2_500;
    let server = datagrams(&net.at_server)
        .local(LocalEndpoint::any().port(PORT))
        .listen_limits(limits);
    let mut listener = net.listen_with(&server);
    let to = datagrams(&net.at_client).remote(RemoteEndpoint::host_name(NAME).port(PORT));
    let clients: Vec<_> = (0..2).map(|_| net.race(&to)).collect();
    let say = |index: usize, text: u8| {
        let sent = net
            .sim
            .block_on(clients[index].connection().send(vec![text; 1000]));
        sent.expect("taken").completion();
        net.sim.run_for(ms(100));
    };
    say(0, 1);
    say(1, 2);
    say(0, 3);
    let first = net.sim.block_on(listener.accept()).expect("a peer");
    let second = net.sim.block_on(listener.accept()).expect("a peer");
    for (peer, text) in [(&first, 1), (&second, 2)] {
        let message = net.sim.block_on(peer.receive()).expect("a message");
        assert_eq!(message[0], text);
    }
    say(0, 4);
    let message = net.sim.block_on(first.receive()).expect("room again");
    assert_eq!(message[0], 4, "the third datagram found no room");
}

#[test]
fn udp_connection_outlives_its_listener() {
    let net = Net::named(11);
    let server = datagrams(&net.at_server).local(LocalEndpoint::any().port(PORT));
    let mut listener = net.listen_with(&server);
    let to = datagrams(&net.at_client).remote(RemoteEndpoint::host_name(NAME).port(PORT));
    let client = net.race(&to);
    let client = client.connection();
    net.sim
        .block_on(client.send("one"))
        .expect("taken")
        .completion();
    let server = net.sim.block_on(listener.accept()).expect("a peer");
    listener.stop();
    drop(listener);
    net.sim.block_on(async {
        assert_eq!(&server.receive().await.expect("a message")[..], b"one");
        client.send("two").await.expect("taken").await;
        assert_eq!(&server.receive().await.expect("a message")[..], b"two");
        server.send("three").await.expect("taken").await;
        assert_eq!(&client.receive().await.expect("a message")[..], b"three");
    });
}
