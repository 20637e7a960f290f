//! Paths of QUIC connections over real sockets: tokens that show an address, and path events.

mod quic_support;

use portway_transport::environment::UdpBind;
use portway_transport::quic::{
    AddressTokens, AddressValidation, Choice, Chooser, Connection, ConnectionError, PathEvent,
    ServerConfig, StreamKind,
};
use quic_support::{NAME, Pair};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

async fn exchange(from: &Connection, to: &Connection) {
    let mut send = from.open_uni().await.expect("a stream");
    send.write_and_finish("hello".into())
        .await
        .expect("there is room");
    let mut receive = to.accept_uni().await.expect("a stream");
    assert_eq!(receive.read_to_end(100).await.expect("all of it"), b"hello");
}

#[tokio::test]
async fn a_token_of_an_earlier_connection_shows_the_address_of_the_next_one() {
    let validated = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&validated);
    let choose = move |config: &ServerConfig| {
        let config = Arc::new(config.clone());
        Chooser::new(move |client| {
            let is_validated = client.is_address_validated;
            seen.lock().expect("no panic").push(is_validated);
            Choice::Accept(Arc::clone(&config))
        })
    };
    let mut pair = Pair::with(
        |_| {},
        |server| {
            server.address_validation = AddressValidation::Never;
            server.tokens_sent = 1;
            *server = server.clone().with_chooser(choose(server));
        },
    );
    let tokens = AddressTokens::default();
    pair.config.tokens = Some(tokens.clone());
    for _ in 0..3 {
        let (client, server) = pair.connect().await;
        // What comes behind the token tells that it is here.
        exchange(&server, &client).await;
        assert!(tokens.count(NAME) > 0);
    }
    // Without the store nothing is shown nor kept.
    let before = tokens.count(NAME);
    pair.config.tokens = None;
    let (client, server) = pair.connect().await;
    exchange(&server, &client).await;
    assert_eq!(tokens.count(NAME), before);
    assert_eq!(
        *validated.lock().expect("no panic"),
        [false, true, true, false]
    );
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn a_token_saves_the_retry_of_a_server_that_always_asks() {
    let mut pair = Pair::with(
        |client| client.mtu.is_discovered = false,
        |server| {
            server.address_validation = AddressValidation::Always;
            server.transport.mtu.is_discovered = false;
        },
    );
    let tokens = AddressTokens::default();
    pair.config.tokens = Some(tokens.clone());
    let mut asked = Vec::new();
    for _ in 0..2 {
        let (client, server) = pair.connect().await;
        // A client that was sent back has sent its hello twice.
        asked.push(client.statistics().bytes_sent);
        exchange(&server, &client).await;
    }
    assert!(asked[0] >= asked[1] + 1200, "{asked:?}");
    pair.finish().await;
}

#[tokio::test]
async fn a_move_of_the_peer_is_an_event_for_everybody_who_watches() {
    let pair = Pair::new();
    let (client, server) = pair.connect().await;
    exchange(&client, &server).await;
    let mut watching = [server.path_events(), server.path_events()];
    let from = pair.client.local_address();
    assert_eq!(server.path().remote, from);
    let any = UdpBind::on((Ipv4Addr::LOCALHOST, 0).into());
    pair.client.rebind(any).expect("a socket");
    let to = pair.client.local_address();
    let moved = async {
        let mut moves = Vec::new();
        for events in &mut watching {
            moves.push(loop {
                match events.next().await.expect("it lives") {
                    PathEvent::PeerMoved { from, to } => break (from, to),
                    // The size of packets is looked for meanwhile.
                    PathEvent::MtuChanged { .. } => {}
                    other => panic!("{other:?}"),
                }
            });
        }
        moves
    };
    let (moves, ()) = tokio::join!(moved, exchange(&client, &server));
    assert_eq!(moves, [(from, to), (from, to)]);
    assert_eq!(server.path().remote, to);
    let mut watching = client.path_events();
    client.close(3.into(), b"");
    let end = loop {
        match watching.next().await {
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    assert_eq!(end, ConnectionError::ClosedLocally { code: 3.into() });
    drop((client, server));
    pair.finish().await;
}

#[tokio::test]
async fn waiting_for_a_stream_that_nobody_may_open_is_an_error_until_somebody_may() {
    let pair = Pair::with(
        |_| {},
        |server| {
            server.transport.streams.bidirectional_max = 0;
            server.transport.streams.unidirectional_max = 0;
        },
    );
    let (client, server) = pair.connect().await;
    let none = ConnectionError::NoIncomingStreams;
    assert_eq!(server.accept_bi().await.expect_err("none"), none);
    assert_eq!(server.accept_uni().await.expect_err("none"), none);
    assert_eq!(server.error(), None, "the connection goes on");
    server.set_streams_max(StreamKind::Unidirectional, 1);
    exchange(&client, &server).await;
    exchange(&server, &client).await;
    drop((client, server));
    pair.finish().await;
}
