//! The life of QUIC connections over real loopback sockets: handshakes, closes, timeouts, resets.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod quic_support;

use bytes::Bytes;
use portway_core::failure::{FailureKind, Origin};
use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{
    AddressValidation, ConnectError, Connection, ConnectionError, DatagramError, Endpoint,
    EndpointOptions, Side, StreamError, StreamKind, VarInt,
};
use portway_transport::tls::TlsEngine;
use quic_support::{ALPN, Identity, NAME, Pair, endpoint};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// One request and its answer.
async fn exchange(client: &Connection, server: &Connection) {
    let serve = async {
        let (mut send, mut receive) = server.accept_bi().await.unwrap();
        let request = receive.read_to_end(100).await.unwrap();
        send.write_and_finish(request.into()).await.unwrap();
    };
    let ask = async {
        let (mut send, mut receive) = client.open_bi().await.unwrap();
        send.write_and_finish(Bytes::from_static(b"ping"))
            .await
            .unwrap();
        assert_eq!(receive.read_to_end(100).await.unwrap(), b"ping"[..]);
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn both_sides_know_what_was_agreed_on() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    assert_eq!((client.side(), server.side()), (Side::Client, Side::Server));
    assert_eq!(client.alpn().as_deref(), Some(ALPN));
    assert_eq!(server.alpn().as_deref(), Some(ALPN));
    assert_eq!(server.server_name().as_deref(), Some(NAME));
    assert_eq!(client.remote_address(), pair.server.local_address());
    assert_eq!(server.remote_address(), pair.client.local_address());
    assert_eq!(server.local_ip(), Some(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(client.peer_certificates().unwrap().len(), 1);
    assert_eq!(server.peer_certificates(), None);
    assert_eq!(client.is_early_data_accepted(), None);
    exchange(&client, &server).await;
    let statistics = client.statistics();
    assert!(statistics.datagrams_sent > 1 && statistics.bytes_received > 1200);
    assert!(statistics.rtt > Duration::ZERO && statistics.mtu >= 1200);
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn both_sides_may_close_at_once() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    client.close(1.into(), b"one");
    server.close(2.into(), b"two");
    client.close(9.into(), b"again");
    let (one, two) = tokio::join!(client.closed(), server.closed());
    assert_eq!(one, ConnectionError::ClosedLocally { code: 1.into() });
    assert_eq!(two, ConnectionError::ClosedLocally { code: 2.into() });
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn the_last_handle_closes_with_the_default_code() {
    let pair = Pair::with(
        |client| client.defaults.close = VarInt::from_u32(0x77),
        |_| {},
    );
    let (client, server) = pair.connect().await;
    let (send, receive) = client.open_bi().await.unwrap();
    let another = client.clone();
    drop(client);
    drop((another, send));
    assert_eq!(server.error(), None, "a stream still holds it");
    drop(receive);
    assert_eq!(
        server.closed().await,
        ConnectionError::ClosedByPeer {
            code: 0x77.into(),
            reason: Bytes::new()
        }
    );
    drop(server);
    pair.finish().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_a_connecting_one_abandons_it() {
    let pair = Pair::new();
    let remote = pair.server.local_address();
    drop(pair.client.connect(&pair.config, remote, NAME).unwrap());
    pair.client.wait_idle().await;
    let (client, server) = pair.connect().await;
    exchange(&client, &server).await;
    drop((client, server));
    pair.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_without_answer_times_out_in_its_time() {
    let environment = Arc::new(RealEnvironment::new(Default::default()));
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = endpoint(&environment, None);
    let mut config = Identity::new().client();
    config.transport.times.handshake = Duration::from_secs(3);
    let before = environment.now();
    let error = client
        .connect(&config, silent.local_addr().unwrap(), NAME)
        .unwrap()
        .await
        .unwrap_err();
    assert_eq!(error, ConnectionError::HandshakeTimedOut);
    let failure = error.failure();
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert_eq!((environment.now() - before).as_secs(), 3);
    client.close(0.into(), b"");
    client.wait_idle().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_on_both_sides_unless_it_is_kept_alive() {
    let idle = Duration::from_secs(5);
    let pair = Pair::with(|client| client.times.idle = Some(idle), |_| {});
    let (client, server) = pair.connect().await;
    let before = pair.environment.now();
    let ends = tokio::join!(client.closed(), server.closed());
    assert_eq!(
        ends,
        (ConnectionError::IdleTimedOut, ConnectionError::IdleTimedOut)
    );
    let after = pair.environment.now() - before;
    assert!((4..7).contains(&after.as_secs()), "{after:?}");
    drop((client, server));
    pair.finish().await;

    let pair = Pair::with(
        |client| {
            client.times.idle = Some(idle);
            client.times.keep_alive = Some(Duration::from_secs(1));
        },
        |_| {},
    );
    let (client, server) = pair.connect().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    exchange(&client, &server).await;
    drop((client, server));
    pair.finish().await;
}

#[test]
fn a_server_that_has_lost_everything_resets_its_peers() {
    let options = || {
        let mut options = EndpointOptions::default();
        options.reset_key = Some([7; 64]);
        options
    };
    let identity = Identity::new();
    let bind = |local: SocketAddr| {
        let environment: Arc<dyn Environment> = Arc::new(RealEnvironment::new(Default::default()));
        let server = Some(identity.server());
        Endpoint::bind(environment, UdpBind::on(local), &options(), server).unwrap()
    };
    let mine = tokio::runtime::Runtime::new().unwrap();
    let theirs = tokio::runtime::Runtime::new().unwrap();
    let server = {
        let _guard = theirs.enter();
        bind((Ipv4Addr::LOCALHOST, 0).into())
    };
    let remote = server.local_address();
    let client = {
        let _guard = mine.enter();
        endpoint(&Arc::new(RealEnvironment::new(Default::default())), None)
    };
    let connecting = client.connect(&identity.client(), remote, NAME).unwrap();
    let connection = mine.block_on(connecting).unwrap();
    let kept = mine.block_on(server.accept()).unwrap().unwrap();
    // Without its runtime there is nobody left who could send a word.
    drop(theirs);
    drop((kept, server));
    mine.block_on(async {
        let again = loop {
            match std::net::UdpSocket::bind(remote) {
                Ok(probe) => {
                    drop(probe);
                    break bind(remote);
                }
                Err(_) => tokio::task::yield_now().await,
            }
        };
        // An acknowledgement that was still to be sent may have asked it already.
        if let Ok(mut send) = connection.open_uni().await {
            let _ = send.write_all(&[0; 5000]).await;
        }
        assert_eq!(connection.closed().await, ConnectionError::Reset);
        assert_eq!(
            connection.error().unwrap().failure().kind,
            FailureKind::Reset
        );
        drop(again);
    });
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_is_seen_on_both_sides() {
    let pair = Pair::new();
    let stranger = Identity::new().client();
    let remote = pair.server.local_address();
    let connecting = pair.client.connect(&stranger, remote, NAME).unwrap();
    let (client, server) = tokio::join!(connecting, pair.server.accept());
    let failure = client.unwrap_err().failure();
    assert_eq!(failure.origin, Origin::Tls);
    assert_eq!(failure.kind, FailureKind::CertificateRejected);
    let error = server.unwrap().unwrap_err();
    assert_eq!(error.remote, pair.client.local_address());
    assert!(error.cause.tls_alert().is_some(), "{error}");
    // The next one is not affected.
    let (client, server) = pair.connect().await;
    exchange(&client, &server).await;
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn no_common_application_protocol_is_told_as_such() {
    let pair = Pair::new();
    let other = pair.identity.client_with_alpn(b"other");
    let remote = pair.server.local_address();
    let connecting = pair.client.connect(&other, remote, NAME).unwrap();
    let (client, server) = tokio::join!(connecting, pair.server.accept());
    let error = client.unwrap_err();
    assert_eq!(error.tls_alert(), Some(120));
    assert_eq!(error.failure().kind, FailureKind::AlpnMismatch);
    assert!(server.unwrap().is_err());
    pair.finish().await;
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_said_at_once() {
    let pair = Pair::new();
    let connect = |remote: &str, name| {
        let remote = remote.parse().unwrap();
        pair.client.connect(&pair.config, remote, name).unwrap_err()
    };
    assert!(matches!(
        connect("127.0.0.1:0", NAME),
        ConnectError::InvalidRemote(_)
    ));
    assert!(matches!(
        connect("[::1]:443", NAME),
        ConnectError::InvalidRemote(_)
    ));
    let name = connect("127.0.0.1:443", "not a name");
    assert!(matches!(name, ConnectError::InvalidServerName(_)));
    let mut config = pair.config.clone();
    config.transport.streams.window_bytes = 2_500_001;
    let error = pair
        .client
        .connect(&config, pair.server.local_address(), NAME)
        .unwrap_err();
    assert!(matches!(error, ConnectError::InvalidOptions(_)));
    pair.client.close(0.into(), b"");
    assert_eq!(connect("127.0.0.1:443", NAME), ConnectError::EndpointClosed);
    pair.finish().await;
}

#[tokio::test]
async fn every_client_shows_its_address_first_when_the_server_wants_that() {
    let pair = Pair::with(
        |_| {},
        |server| server.address_validation = AddressValidation::Always,
    );
    let (client, server) = pair.connect().await;
    // Initial, Retry, Initial with the token: one more datagram than without.
    assert!(client.statistics().datagrams_sent >= 3);
    exchange(&client, &server).await;
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn clients_beyond_the_backlog_are_refused() {
    let pair = Pair::with(|_| {}, |server| server.incoming.backlog = 2);
    let remote = pair.server.local_address();
    let connect = || pair.client.connect(&pair.config, remote, NAME).unwrap();
    let first = connect().await.unwrap();
    let second = connect().await.unwrap();
    assert_eq!(connect().await.unwrap_err(), ConnectionError::Refused);
    let accepted = pair.server.accept().await.unwrap().unwrap();
    let third = connect().await.unwrap();
    drop((first, second, third, accepted));
    pair.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_without_a_server_configuration_refuses() {
    let pair = Pair::new();
    pair.server.set_server_config(None).unwrap();
    let mut config = pair.config.clone();
    config.transport.times.handshake = Duration::from_millis(300);
    let remote = pair.server.local_address();
    let error = pair
        .client
        .connect(&config, remote, NAME)
        .unwrap()
        .await
        .unwrap_err();
    assert_eq!(error, ConnectionError::HandshakeTimedOut);
    pair.server
        .set_server_config(Some(pair.identity.server()))
        .unwrap();
    let (client, server) = pair.connect().await;
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn keys_can_be_changed_many_times() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    for _ in 0..5 {
        client.force_key_update();
        exchange(&client, &server).await;
        server.force_key_update();
        exchange(&server, &client).await;
    }
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn datagrams_have_a_largest_size_and_a_full_buffer_makes_wait() {
    let pair = Pair::with(|client| client.datagrams.send_bytes = 3000, |_| {});
    let (client, server) = pair.connect().await;
    let max = client.datagram_size_max().unwrap();
    assert!(max > 1100);
    let too_large = client.try_send_datagram(vec![0; max + 1].into());
    assert!(
        matches!(too_large, Err(DatagramError::TooLarge { .. })),
        "{too_large:?}"
    );
    client.try_send_datagram(vec![1; 1100].into()).unwrap();
    client.try_send_datagram(vec![2; 1100].into()).unwrap();
    let full = client.try_send_datagram(vec![3; 1100].into());
    assert_eq!(full, Err(DatagramError::Blocked));
    client.send_datagram(vec![3; 1100].into()).await.unwrap();
    for number in 1..=3 {
        let datagram = server.receive_datagram().await.unwrap();
        assert_eq!(datagram, vec![number; 1100]);
    }
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn datagrams_that_the_peer_does_not_take_are_not_sent() {
    let pair = Pair::with(
        |_| {},
        |server| server.transport.datagrams.receive_bytes = None,
    );
    let (client, server) = pair.connect().await;
    assert_eq!(client.datagram_size_max(), None);
    let refused = client.send_datagram(Bytes::from_static(b"x")).await;
    assert_eq!(refused, Err(DatagramError::UnsupportedByPeer));
    let refused = server.send_datagram(Bytes::from_static(b"x")).await;
    assert_eq!(refused, Err(DatagramError::Disabled));
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn datagrams_that_nobody_receives_push_out_the_oldest() {
    let pair = Pair::with(
        |_| {},
        |server| server.transport.datagrams.receive_bytes = Some(5000),
    );
    let (client, server) = pair.connect().await;
    for number in 0..20 {
        client
            .send_datagram(vec![number; 1000].into())
            .await
            .unwrap();
    }
    exchange(&client, &server).await;
    let first = server.receive_datagram().await.unwrap();
    assert!(first[0] > 10, "{} should have been dropped", first[0]);
    drop((client, server));
    pair.finish().await;
}

/// A client that has a ticket for early data.
async fn with_ticket() -> Pair {
    let pair = Pair::with(|_| {}, |server| server.hands_over_early = true);
    let (client, server) = pair.connect().await;
    exchange(&client, &server).await;
    drop((client, server));
    pair
}

#[tokio::test]
async fn early_data_arrives_marked_when_it_is_taken() {
    let pair = with_ticket().await;
    let remote = pair.server.local_address();
    let client = pair
        .client
        .connect(&pair.config, remote, NAME)
        .unwrap()
        .into_early()
        .unwrap();
    let (mut send, mut receive) = client.open_bi().await.unwrap();
    assert!(send.is_early_data());
    send.write_and_finish(Bytes::from_static(b"early"))
        .await
        .unwrap();
    let server = pair.server.accept().await.unwrap().unwrap();
    let (mut answer, mut request) = server.accept_bi().await.unwrap();
    assert!(request.is_early_data());
    assert_eq!(request.read_to_end(9).await.unwrap(), b"early"[..]);
    answer
        .write_and_finish(Bytes::from_static(b"answer"))
        .await
        .unwrap();
    assert_eq!(receive.read_to_end(9).await.unwrap(), b"answer"[..]);
    client.handshake_confirmed().await.unwrap();
    server.handshake_confirmed().await.unwrap();
    assert_eq!(client.is_early_data_accepted(), Some(true));
    assert_eq!(server.is_early_data_accepted(), Some(true));
    let mut late = client.open_uni().await.unwrap();
    assert!(!late.is_early_data());
    late.write_all(b"x").await.unwrap();
    assert!(!server.accept_uni().await.unwrap().is_early_data());
    drop((client, server, send, receive, answer, request, late));
    pair.finish().await;
}

#[tokio::test]
async fn early_data_is_marked_when_the_connection_is_handed_over_late() {
    let pair = with_ticket().await;
    let mut config = pair.identity.server();
    config.crypto = pair.server_crypto.clone();
    config.hands_over_early = false;
    pair.server.set_server_config(Some(config)).unwrap();
    let remote = pair.server.local_address();
    let client = pair
        .client
        .connect(&pair.config, remote, NAME)
        .unwrap()
        .into_early()
        .unwrap();
    let mut send = client.open_uni().await.unwrap();
    send.write_and_finish(Bytes::from_static(b"early"))
        .await
        .unwrap();
    let server = pair.server.accept().await.unwrap().unwrap();
    server.handshake_confirmed().await.unwrap();
    let mut receive = server.accept_uni().await.unwrap();
    assert!(receive.is_early_data());
    assert_eq!(receive.read_to_end(9).await.unwrap(), b"early"[..]);
    drop((client, server, send, receive));
    pair.finish().await;
}

#[tokio::test]
async fn early_data_that_is_refused_fails_its_streams_and_nothing_else() {
    let pair = with_ticket().await;
    // Other keys for tickets: the old ones are worth nothing.
    pair.server
        .set_server_config(Some(pair.identity.server_of(&TlsEngine::new())))
        .unwrap();
    let remote = pair.server.local_address();
    let client = pair
        .client
        .connect(&pair.config, remote, NAME)
        .unwrap()
        .into_early()
        .unwrap();
    let (mut send, mut receive) = client.open_bi().await.unwrap();
    send.write_all(b"early").await.unwrap();
    let closing = send.writes_closed();
    let reading = receive.reads_closed();
    let refused = StreamError::EarlyDataRejected;
    assert_eq!(receive.read(&mut [0; 9]).await, Err(refused.clone()));
    assert_eq!(closing.await, Err(refused.clone()));
    assert_eq!(reading.await, Err(refused.clone()));
    client.handshake_confirmed().await.unwrap();
    assert_eq!(client.is_early_data_accepted(), Some(false));
    assert_eq!(send.write(b"x").await, Err(refused.clone()));
    assert_eq!(send.finish(), Err(refused.clone()));
    assert_eq!(send.writes_closed().await, Err(refused));
    let server = pair.server.accept().await.unwrap().unwrap();
    // New streams take the same identifiers; the old handles do not disturb them.
    let asking = exchange(&client, &server);
    drop((send, receive));
    asking.await;
    assert_eq!(client.capacity(StreamKind::Bidirectional), 99);
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn without_a_ticket_there_is_no_early_data() {
    let pair = Pair::new();
    let remote = pair.server.local_address();
    let connecting = pair.client.connect(&pair.config, remote, NAME).unwrap();
    let connecting = connecting.into_early().unwrap_err();
    let (client, server) = tokio::join!(connecting, pair.server.accept());
    let server = server.unwrap().unwrap();
    exchange(&client.unwrap(), &server).await;
    drop(server);
    pair.finish().await;
}

#[tokio::test]
async fn a_client_that_moves_to_another_socket_goes_on() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    exchange(&client, &server).await;
    let before = pair.client.local_address();
    pair.client
        .rebind(UdpBind::on((Ipv4Addr::LOCALHOST, 0).into()))
        .unwrap();
    assert_ne!(pair.client.local_address(), before);
    exchange(&client, &server).await;
    exchange(&server, &client).await;
    assert_eq!(server.remote_address(), pair.client.local_address());
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn one_pair_of_endpoints_carries_many_connections() {
    let pair = Pair::new();
    let mut connections = Vec::new();
    for _ in 0..100 {
        connections.push(pair.connect().await);
    }
    assert_eq!(pair.client.connections(), 100);
    for (client, server) in &connections {
        exchange(client, server).await;
    }
    drop(connections);
    pair.finish().await;
}

#[tokio::test]
async fn closing_an_endpoint_ends_its_connections_and_its_accepts() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    let waiting = pair.connect().await;
    pair.server.close(4.into(), b"over");
    assert!(pair.server.accept().await.is_none());
    let over = ConnectionError::ClosedByPeer {
        code: 4.into(),
        reason: Bytes::from_static(b"over"),
    };
    assert_eq!(client.closed().await, over);
    assert_eq!(waiting.0.closed().await, over);
    let error = pair
        .client
        .connect(&pair.config, pair.server.local_address(), NAME)
        .unwrap()
        .await
        .unwrap_err();
    assert_eq!(error, ConnectionError::Refused);
    drop((client, server, waiting));
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn everything_works_on_several_threads() {
    let pair = Pair::with(
        |_| {},
        |server| server.transport.streams.bidirectional_max = 64,
    );
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (client, server) = pair.connect().await;
        tasks.spawn(async move {
            let mut answering = tokio::task::JoinSet::new();
            while let Ok((mut send, mut receive)) = server.accept_bi().await {
                answering.spawn(async move {
                    let request = receive.read_to_end(1 << 20).await.unwrap();
                    send.write_and_finish(request.into()).await.unwrap();
                    let _ = send.writes_closed().await;
                });
            }
        });
        tasks.spawn(async move {
            let mut asking = tokio::task::JoinSet::new();
            for number in 0..200_usize {
                let client = client.clone();
                asking.spawn(async move {
                    let (mut send, mut receive) = client.open_bi().await.unwrap();
                    let request = Bytes::from(vec![number as u8; number * 20]);
                    send.write_and_finish(request.clone()).await.unwrap();
                    assert_eq!(receive.read_to_end(1 << 20).await.unwrap(), request);
                });
            }
            asking.join_all().await;
            client.close(0.into(), b"");
        });
    }
    tasks.join_all().await;
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_nobody_reads_do_not_stop_the_others_on_several_threads() {
    let pair = Pair::with(
        |_| {},
        |server| server.transport.streams.bidirectional_max = 64,
    );
    let (client, server) = pair.connect().await;
    let answering = tokio::spawn(async move {
        let mut unread = Vec::new();
        while let Ok((mut send, mut receive)) = server.accept_bi().await {
            if unread.len() < 32 && send.id().index() % 2 == 0 {
                unread.push((send, receive));
                continue;
            }
            let request = receive.read_all(100).await.unwrap();
            send.write_and_finish(request).await.unwrap();
        }
        unread.len()
    });
    for _ in 0..32 {
        let mut unread = client.open_bi().await.unwrap();
        let (mut send, mut receive) = client.open_bi().await.unwrap();
        let nobody = Bytes::from_static(b"nobody reads this");
        unread.0.write_chunk(nobody).await.unwrap();
        send.write_and_finish(Bytes::from_static(b"ping"))
            .await
            .unwrap();
        assert_eq!(receive.read_all(100).await.unwrap(), b"ping"[..]);
    }
    client.close(0.into(), b"");
    assert_eq!(answering.await.unwrap(), 32);
    drop(client);
    pair.finish().await;
}

#[tokio::test]
async fn an_abandoned_endpoint_serves_what_it_has_and_then_ends() {
    let Pair {
        environment,
        client,
        server,
        config,
        ..
    } = Pair::new();
    let connecting = client.connect(&config, server.local_address(), NAME);
    let (connection, accepted) = tokio::join!(connecting.unwrap(), server.accept());
    let (connection, accepted) = (connection.unwrap(), accepted.unwrap().unwrap());
    drop((client, server));
    exchange(&connection, &accepted).await;
    assert_eq!(environment.tasks_alive(), 2);
    drop((connection, accepted));
    while environment.tasks_alive() > 0 {
        tokio::task::yield_now().await;
    }
}
