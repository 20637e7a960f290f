//! QUIC as a stack of the interface: streams of one transport connection, and datagrams.

use crate::support::{framed, listen, tls_pair};
use portway::property::Direction;
use portway::{
    Completion, Connection, ConnectionState, Context, FailureKind, Listener, Message,
    MessageContext, Preconnection, RealConfig, RealEnvironment, ReceiveError, RemoteEndpoint,
    Security, SelectionProperty, StackId, TransportProperties,
};
use portway_core::race::AttemptOutcome;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

const ALPN: [&str; 1] = ["portway-test"];

/// What a server and a client need to speak QUIC, or TLS over TCP.
fn protocol_pair() -> (Security, Security) {
    let (server, client) = tls_pair();
    (server.with_alpn(ALPN), client.with_alpn(ALPN))
}

fn context() -> Context {
    Context::new(Arc::new(RealEnvironment::new(RealConfig::default())))
}

/// A listener and a connected client that has said `hello`; the server's side of it last.
async fn greeted(
    server: &Preconnection,
    client: &Preconnection,
) -> (Listener, Connection, Connection) {
    let (mut listener, address) = listen(server).await;
    let to = client.clone().remote(RemoteEndpoint::from(address));
    let client = to.initiate().await.expect("a connection");
    client.send("hello").await.expect("accepted");
    let accepted = listener.accept().await.expect("accepted");
    assert_eq!(&accepted.receive().await.expect("hello")[..], b"hello");
    (listener, client, accepted)
}

async fn greeted_by_default() -> (Listener, Connection, Connection) {
    let (server, client) = protocol_pair();
    greeted(&framed(server), &framed(client)).await
}

#[tokio::test]
async fn quic_is_preferred_where_an_application_protocol_is_named() {
    let (_listener, client, server) = greeted_by_default().await;
    for connection in [&client, &server] {
        let info = connection.info();
        assert_eq!(info.stack, Some(StackId::QUIC));
        let protection = info.protection.expect("protected");
        assert_eq!(protection.alpn.as_deref(), Some(ALPN[0].as_bytes()));
        assert_eq!(protection.server_name.as_deref(), Some("localhost"));
    }
    let receipt = server.send("answer").await.expect("accepted");
    assert_eq!(&client.receive().await.expect("answer")[..], b"answer");
    assert_eq!(receipt.await, Completion::Sent);
    client.close().await.expect("acknowledged");
    assert_eq!(server.receive().await, Err(ReceiveError::Finished));
    server.close().await.expect("acknowledged");
    assert_eq!(client.state(), ConnectionState::Closed);
}

#[tokio::test]
async fn a_large_message_crosses_quic_both_ways() {
    let (_listener, client, server) = greeted_by_default().await;
    let payload: Vec<u8> = (0..4 << 20).map(|at: u32| (at % 251) as u8).collect();
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (sent, received) = tokio::join!(from.send(payload.clone()), to.receive());
        let received = received.expect("a message");
        assert!(received.is_complete() && received[..] == payload);
        assert_eq!(sent.expect("accepted").await, Completion::Sent);
    }
}

#[tokio::test]
async fn siblings_are_streams_of_one_transport_in_both_directions() {
    let (mut listener, client, server) = greeted_by_default().await;
    let sibling = client.open_sibling().await.expect("a stream");
    sibling.send("second").await.expect("accepted");
    let second = listener.accept().await.expect("a stream of the group");
    assert_eq!(&second.receive().await.expect("second")[..], b"second");
    assert_eq!(second.info().remote, server.info().remote);
    assert_eq!(sibling.info().local, client.info().local, "one socket");
    assert_eq!(client.grouped_connections().len(), 2);
    assert_eq!(server.grouped_connections().len(), 2);

    let from_server = server.open_sibling().await.expect("a stream");
    from_server.send("third").await.expect("accepted");
    let third = client.accept_sibling().await.expect("a stream");
    assert_eq!(&third.receive().await.expect("third")[..], b"third");
    assert_eq!(client.grouped_connections().len(), 3);

    // Closing one leaves the others as they are.
    sibling.close().await.expect("acknowledged");
    assert_eq!(second.receive().await, Err(ReceiveError::Finished));
    client.send("still there").await.expect("accepted");
    assert_eq!(&server.receive().await.expect("more")[..], b"still there");
    assert_eq!(client.grouped_connections().len(), 2);
}

#[tokio::test]
async fn a_group_is_closed_with_everything_delivered() {
    let (mut listener, client, server) = greeted_by_default().await;
    let sibling = client.open_sibling().await.expect("a stream");
    for (connection, text) in [(&client, "last"), (&sibling, "words")] {
        connection.send(text).await.expect("accepted");
    }
    client.close_group().await.expect("acknowledged");
    assert_eq!(sibling.state(), ConnectionState::Closed);
    assert_eq!(&server.receive().await.expect("last")[..], b"last");
    let second = listener.accept().await.expect("a stream");
    assert_eq!(&second.receive().await.expect("words")[..], b"words");
    for connection in [&server, &second] {
        assert_eq!(connection.receive().await, Err(ReceiveError::Finished));
        connection.close().await.expect("acknowledged");
    }
    assert!(client.grouped_connections().is_empty());
}

#[tokio::test]
async fn an_abort_is_a_reset_for_its_stream_and_for_no_other() {
    let (mut listener, client, server) = greeted_by_default().await;
    let sibling = client.open_sibling().await.expect("a stream");
    sibling.send("second").await.expect("accepted");
    let second = listener.accept().await.expect("a stream");
    assert_eq!(&second.receive().await.expect("second")[..], b"second");
    sibling.abort();
    let error = second.receive().await.expect_err("reset");
    assert_eq!(error.kind(), FailureKind::Reset, "{error}");
    client.send("alive").await.expect("accepted");
    assert_eq!(&server.receive().await.expect("alive")[..], b"alive");
    client.abort_group();
    let error = server.receive().await.expect_err("reset");
    assert_eq!(error.kind(), FailureKind::Reset, "{error}");
}

#[tokio::test]
async fn the_direction_chooses_the_kind_of_stream() {
    let (server, client) = protocol_pair();
    let one_way = TransportProperties::new().with_direction(Direction::UnidirectionalSend);
    let client = framed(client).properties(one_way);
    let (_listener, client, server) = greeted(&framed(server), &client).await;
    assert_eq!(client.info().stack, Some(StackId::QUIC));
    assert!(client.info().can_send && !client.info().can_receive);
    assert!(server.info().can_receive && !server.info().can_send);
    client.close().await.expect("acknowledged");
    assert_eq!(server.receive().await, Err(ReceiveError::Finished));
    server.close().await.expect("nothing to acknowledge");
}

#[tokio::test]
async fn datagrams_of_quic_are_a_connection_of_their_own() {
    let (server, client) = protocol_pair();
    let datagrams = |security| {
        let properties =
            TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability);
        Preconnection::new(security).properties(properties)
    };
    let (mut listener, address) = listen(&datagrams(server)).await;
    let to = datagrams(client).remote(RemoteEndpoint::from(address));
    let (client, server) = tokio::join!(async { to.initiate().await }, listener.accept());
    let (client, server) = (client.expect("connected"), server.expect("accepted"));
    assert_eq!(client.info().stack, Some(StackId::QUIC_DATAGRAM));
    for (from, to) in [(&client, &server), (&server, &client)] {
        from.send("a datagram").await.expect("accepted");
        assert_eq!(&to.receive().await.expect("it")[..], b"a datagram");
    }
    let longest = client.info().send_message_bytes.expect("a limit");
    assert!((1000..65_536).contains(&longest), "{longest}");
    assert!(client.send(vec![0; longest + 1]).await.is_err());
    client.send("last words").await.expect("accepted");
    client.close().await.expect("sent");
    assert_eq!(&server.receive().await.expect("it")[..], b"last words");
}

#[tokio::test]
async fn a_server_without_quic_is_reached_over_tls() {
    let (server, client) = protocol_pair();
    let only_tls =
        portway::LocalEndpoint::address(crate::support::loopback()).for_stack(StackId::TLS);
    let mut listener = framed(server).local(only_tls).listen().await.expect("it");
    let address = std::net::SocketAddr::new(crate::support::loopback(), listener.port());
    let to = framed(client)
        .context(&context())
        .remote(RemoteEndpoint::from(address));
    let (client, server) = tokio::join!(async { to.initiate().await }, listener.accept());
    let (client, _server) = (client.expect("connected"), server.expect("accepted"));
    assert_eq!(client.info().stack, Some(StackId::TLS));
    let report = client.report().expect("a report");
    let first = &report.attempts[0];
    assert_eq!(first.leaf.stack, StackId::QUIC);
    // The system told that nobody is there, so that the race did not have to wait.
    let refused = matches!(&first.outcome, AttemptOutcome::Failed(failure)
        if failure.kind == FailureKind::Refused);
    assert!(refused, "{:?}", first.outcome);
}

#[tokio::test]
async fn a_wrong_application_protocol_fails_over_quic_and_tls_alike() {
    let (server, client) = tls_pair();
    let (_listener, address) = listen(&framed(server.with_alpn(["theirs"]))).await;
    let client = framed(client.with_alpn(["ours"]))
        .context(&context())
        .remote(RemoteEndpoint::from(address));
    let error = client.initiate().await.expect_err("no common protocol");
    assert_eq!(error.kind(), FailureKind::AlpnMismatch, "{error}");
    let attempts = &error.report().expect("a report").attempts;
    let stacks: Vec<_> = attempts.iter().map(|it| it.leaf.stack.clone()).collect();
    assert_eq!(stacks, [StackId::QUIC, StackId::TLS]);
}

#[tokio::test]
async fn shared_properties_follow_in_a_group_and_the_priority_is_each_ones_own() {
    let (_listener, client, _server) = greeted_by_default().await;
    client.set("connPriority", "7").expect("a property");
    let sibling = client.open_sibling().await.expect("a stream");
    let of =
        |connection: &Connection, name| connection.get(name).expect("it").map(|it| it.to_string());
    assert_eq!(
        of(&sibling, "connPriority").as_deref(),
        Some("7"),
        "that of its parent"
    );
    let effect = sibling.set("connPriority", "9").expect("a property");
    assert!(effect.is_effective(), "{effect}");
    assert_eq!(of(&client, "connPriority").as_deref(), Some("7"));
    client.set("connTimeout", "30s").expect("a property");
    assert_eq!(of(&sibling, "connTimeout"), of(&client, "connTimeout"));
}

#[tokio::test]
async fn siblings_over_tls_have_transports_of_their_own() {
    let (server, client) = tls_pair();
    let (mut listener, address) = listen(&framed(server)).await;
    let to = framed(client).remote(RemoteEndpoint::from(address));
    let (client, server) = tokio::join!(async { to.initiate().await }, listener.accept());
    let (client, server) = (client.expect("connected"), server.expect("accepted"));
    assert_eq!(client.info().stack, Some(StackId::TLS));
    let (sibling, second) = tokio::join!(client.open_sibling(), listener.accept());
    let (sibling, second) = (sibling.expect("connected"), second.expect("accepted"));
    assert_ne!(sibling.info().local, client.info().local, "two sockets");
    assert_eq!(client.grouped_connections().len(), 2);
    let error = server
        .open_sibling()
        .await
        .expect_err("it cannot know where");
    assert_eq!(error.kind(), FailureKind::Unsupported);
    client.close_group().await.expect("acknowledged");
    for connection in [&server, &second] {
        assert_eq!(connection.receive().await, Err(ReceiveError::Finished));
    }
    assert_eq!(sibling.state(), ConnectionState::Closed);
}

fn replayable(data: &str) -> Message {
    Message::from(data).with_context(MessageContext::new().with_safely_replayable())
}

/// A server that takes early data.
async fn early_server(security: &Security, context: &Context) -> (Listener, std::net::SocketAddr) {
    let early = TransportProperties::new().prefer(SelectionProperty::ZeroRttMsg);
    let local = portway::LocalEndpoint::address(crate::support::loopback());
    let server = framed(security.clone()).context(context).properties(early);
    let listener = server.local(local).listen().await.expect("a listener");
    let address = std::net::SocketAddr::new(crate::support::loopback(), listener.port());
    (listener, address)
}

/// Connects once, so that the client has tickets.
async fn visit(to: &Preconnection, listener: &mut Listener) {
    let (client, server) = tokio::join!(
        async { to.initiate().first_message("hello").await },
        listener.accept()
    );
    let (client, server) = (client.expect("connected"), server.expect("accepted"));
    assert_eq!(client.info().stack, Some(StackId::QUIC));
    assert_eq!(client.info().is_early_data_accepted, None);
    let hello = server.receive().await.expect("hello");
    assert!(!hello.context.is_early_data());
    server.send("behind the tickets").await.expect("accepted");
    client.receive().await.expect("an answer");
    client.close().await.expect("acknowledged");
}

/// A server that takes early data, and what opens a connection to it with a ticket.
async fn visited() -> (Security, Listener, Preconnection) {
    let (server, client) = protocol_pair();
    let (mut listener, address) = early_server(&server, &context()).await;
    let to = framed(client)
        .context(&context())
        .remote(RemoteEndpoint::from(address));
    visit(&to, &mut listener).await;
    (server, listener, to)
}

#[tokio::test]
async fn readers_and_byte_streams_tell_of_early_data() {
    for is_early in [true, false] {
        let (_, mut listener, to) = visited().await;
        let first = match is_early {
            true => replayable("early"),
            false => "early".into(),
        };
        let (client, server) = tokio::join!(
            async { to.initiate().first_message(first).await },
            listener.accept()
        );
        let (client, server) = (client.expect("connected"), server.expect("accepted"));
        let mut reader = server.binary_reader();
        assert!(!reader.is_early_data(), "nothing was read");
        let read = reader.read_bytes(2).await.expect("a part");
        assert_eq!((&read[..], reader.is_early_data()), (&b"ea"[..], is_early));
        let mut stream = reader.into_byte_stream();
        assert_eq!(stream.is_early_data(), is_early);
        let mut rest = [0; 3];
        stream.read_exact(&mut rest).await.expect("the rest");
        assert_eq!((&rest, stream.is_early_data()), (b"rly", is_early));
        let (sent, late) = tokio::join!(client.send("late"), stream.read_u8());
        sent.expect("accepted");
        assert_eq!(late.expect("a byte"), b'l');
        assert!(!stream.is_early_data(), "another message");
    }
}

#[tokio::test]
async fn a_replayable_first_message_is_taken_as_early_data_and_marked() {
    let (_, mut listener, to) = visited().await;
    let (client, server) = tokio::join!(
        async { to.initiate().first_message(replayable("early")).await },
        listener.accept()
    );
    let (client, server) = (client.expect("connected"), server.expect("accepted"));
    let early = server.receive().await.expect("a message");
    assert_eq!(&early[..], b"early");
    assert!(early.context.is_early_data());
    assert_eq!(client.info().is_early_data_accepted, Some(true));
    assert!(client.info().protection.expect("protected").is_resumed);
    let (late, sent) = tokio::join!(server.receive(), client.send("late"));
    assert_eq!(sent.expect("accepted").await, Completion::Sent);
    assert_eq!(&late.expect("a message")[..], b"late");
    server.send("answer").await.expect("accepted");
    assert_eq!(&client.receive().await.expect("answer")[..], b"answer");
    client.close().await.expect("acknowledged");
}

#[tokio::test]
async fn rejected_early_data_is_sent_again_and_seen_once() {
    let (server, listener, to) = visited().await;
    let address = std::net::SocketAddr::new(crate::support::loopback(), listener.port());
    drop(listener);
    // Another context knows nothing of the tickets. The port is free again once the sockets of
    // the first listener are closed by its tasks.
    let restarted = context();
    let mut listener = loop {
        let early = TransportProperties::new().prefer(SelectionProperty::ZeroRttMsg);
        let local = portway::LocalEndpoint::address(address.ip()).port(address.port());
        let again = framed(server.clone())
            .context(&restarted)
            .properties(early)
            .local(local);
        match again.listen().await {
            Ok(listener) => break listener,
            Err(error) if error.kind() == FailureKind::AddressInUse => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    let (client, server) = tokio::join!(
        async { to.initiate().first_message(replayable("first")).await },
        listener.accept()
    );
    let (client, server) = (client.expect("connected"), server.expect("accepted"));
    assert_eq!(client.info().stack, Some(StackId::QUIC));
    assert_eq!(client.info().is_early_data_accepted, Some(false));
    client.send("second").await.expect("accepted");
    for expected in ["first", "second"] {
        let message = server.receive().await.expect("a message");
        assert_eq!(&message[..], expected.as_bytes());
        assert!(!message.context.is_early_data());
    }
    client.close().await.expect("acknowledged");
    assert_eq!(server.receive().await, Err(ReceiveError::Finished));
}

#[tokio::test]
async fn a_member_that_ends_leaves_its_group() {
    let (mut listener, client, _server) = greeted_by_default().await;
    let mut members = Vec::new();
    for text in ["closes", "aborts", "is dropped"] {
        let sibling = client.open_sibling().await.expect("a stream");
        sibling.send(text).await.expect("accepted");
        let accepted = listener.accept().await.expect("a stream");
        assert_eq!(&accepted.receive().await.expect("it")[..], text.as_bytes());
        members.push((sibling, accepted));
    }
    assert_eq!(client.grouped_connections().len(), 4);
    let (closes, _) = &members[0];
    closes.close().await.expect("acknowledged");
    assert_eq!(client.grouped_connections().len(), 3);
    assert!(closes.grouped_connections().is_empty());
    let error = closes.open_sibling().await.expect_err("it is in no group");
    assert_eq!(error.kind(), FailureKind::Closed, "{error}");
    let (aborts, _) = &members[1];
    aborts.abort();
    assert_eq!(client.grouped_connections().len(), 2);
    assert!(aborts.grouped_connections().is_empty());
    members.truncate(2);
    assert_eq!(client.grouped_connections().len(), 1);
    // The group is what the members that are left make of it.
    let sibling = client.open_sibling().await.expect("a stream");
    assert_eq!(sibling.grouped_connections().len(), 2);
}

#[tokio::test]
async fn a_listener_for_streams_and_datagrams_serves_both() {
    let (server, client) = protocol_pair();
    let either = TransportProperties::new()
        .no_preference(SelectionProperty::Reliability)
        .no_preference(SelectionProperty::PreserveOrder)
        .no_preference(SelectionProperty::Multistreaming);
    let server = Preconnection::new(server).properties(either);
    let (mut listener, address) = listen(&server).await;
    let remote = || RemoteEndpoint::from(address);
    let datagrams =
        TransportProperties::unreliable_datagram().prohibit(SelectionProperty::Reliability);
    let to = Preconnection::new(client.clone())
        .properties(datagrams)
        .remote(remote());
    let datagram = to.initiate().await.expect("connected");
    assert_eq!(datagram.info().stack, Some(StackId::QUIC_DATAGRAM));
    datagram.send("a datagram").await.expect("accepted");
    let accepted = listener.accept().await.expect("a connection");
    assert_eq!(accepted.info().stack, Some(StackId::QUIC_DATAGRAM));
    assert_eq!(&accepted.receive().await.expect("it")[..], b"a datagram");
    accepted.send("an answer").await.expect("accepted");
    assert_eq!(&datagram.receive().await.expect("it")[..], b"an answer");

    let to = Preconnection::new(client).remote(remote());
    let stream = to.initiate().first_message("a stream").await;
    let stream = stream.expect("connected");
    assert_eq!(stream.info().stack, Some(StackId::QUIC));
    let accepted = listener.accept().await.expect("a connection");
    assert_eq!(accepted.info().stack, Some(StackId::QUIC));
    assert_eq!(&accepted.receive().await.expect("it")[..], b"a stream");
}

#[tokio::test]
async fn a_context_keeps_what_shows_its_address_to_a_server() {
    let (server, client) = protocol_pair();
    let (mut listener, address) = listen(&framed(server)).await;
    let context = context();
    let to = framed(client)
        .context(&context)
        .remote(RemoteEndpoint::from(address));
    let count = || context.history().address_tokens().count("localhost");
    assert_eq!(count(), 0);
    for _ in 0..2 {
        let client = to.initiate().first_message("hello").await.expect("it");
        let server = listener.accept().await.expect("accepted");
        server.send("behind the tokens").await.expect("accepted");
        client.receive().await.expect("an answer");
        assert!((2..=4).contains(&count()), "{}", count());
    }
    let kept = count();
    let learned = context.export_learned().to_json();
    assert_eq!(count(), 0, "each is shown once, so they are gone from here");
    let later = self::context();
    let learned = portway::learned::Learned::from_json(&learned).expect("what was exported");
    later.import_learned(learned);
    let history = later.history();
    assert_eq!(history.address_tokens().count("localhost"), kept);
}
