//! `portway::quic`: listeners by application protocol, connections and streams.

use crate::support::tls_pair;
use bytes::Bytes;
use portway::quic::{
    self, Choice, Connection, ConnectionError, Connector, DefaultCodes, Listener, ListenerOptions,
    ReceiveStream, SendStream, Side, StreamError, StreamKind, TransportOptions, VarInt,
};
use portway::{
    Context, EarlyData, FailureKind, RealConfig, RealEnvironment, Security, self_signed,
};
use std::net::SocketAddr;
use std::sync::Arc;

fn any() -> SocketAddr {
    SocketAddr::new(crate::support::loopback(), 0)
}

fn context() -> Context {
    Context::new(Arc::new(RealEnvironment::new(RealConfig::default())))
}

fn code(value: u32) -> VarInt {
    VarInt::from_u32(value)
}

/// A connection as the client and as the server have it.
async fn pair() -> (Connection, Connection) {
    let mut transport = TransportOptions::default();
    transport.defaults = DefaultCodes::default();
    transport.defaults.close = code(11);
    transport.defaults.stop = code(10);
    let (server, client) = tls_pair();
    let mut options = ListenerOptions::default();
    options.transport = transport.clone();
    let listener = Listener::bind_with(any(), server.with_alpn(["a"]), options).expect("a port");
    let connector = Connector::new(client.with_alpn(["a"])).transport(transport);
    let connecting = connector.connect(listener.local_address());
    let (client, server) = tokio::join!(connecting, listener.accept());
    let server = server.expect("it listens").expect("accepted");
    (client.expect("connected"), server)
}

/// A stream for both ways that both sides know: it has carried one byte.
async fn stream(
    (client, server): &(Connection, Connection),
) -> ((SendStream, ReceiveStream), (SendStream, ReceiveStream)) {
    let mut near = client.open_bi().await.expect("opened");
    near.0.write_all(b".").await.expect("written");
    let mut far = server.accept_bi().await.expect("accepted");
    assert_eq!(far.1.read(&mut [0]).await, Ok(1));
    (near, far)
}

#[tokio::test]
async fn listeners_share_a_port_by_application_protocol() {
    let context = context();
    let (server, client) = tls_pair();
    let listen = |local, protocol: &str| {
        let mut options = ListenerOptions::default();
        options.context = Some(context.clone());
        Listener::bind_with(local, server.clone().with_alpn([protocol]), options)
    };
    let first = listen(any(), "first").expect("a port");
    let port = first.local_address();
    let second = listen(port, "second").expect("the same port");
    assert_eq!(second.local_address(), port);
    let taken = listen(port, "first").expect_err("one protocol has one listener");
    assert_eq!(taken.kind, FailureKind::AddressInUse);
    for (listener, protocol) in [(&second, "second"), (&first, "first")] {
        let connector = Connector::new(client.clone().with_alpn([protocol]));
        let (client, server) = tokio::join!(connector.connect(port), listener.accept());
        let server = server.expect("it listens").expect("accepted");
        assert_eq!(server.alpn().as_deref(), Some(protocol.as_bytes()));
        client.expect("connected").close(code(3), b"");
        let ended = server.closed().await;
        assert!(matches!(ended, ConnectionError::ClosedByPeer { code: it, .. } if it == code(3)));
    }
    let third = Connector::new(client.clone().with_alpn(["third"]));
    let error = third.connect(port).await.expect_err("nobody speaks it");
    assert_eq!(error.kind, FailureKind::AlpnMismatch, "{error}");
    drop(second);
    let gone = Connector::new(client.with_alpn(["second"]));
    assert_eq!(
        gone.connect(port).await.expect_err("gone").kind,
        FailureKind::AlpnMismatch
    );
}

#[tokio::test]
async fn the_client_hello_chooses_identity_protocols_and_stream_limits() {
    let context = context();
    let identities = ["one.example", "two.example"]
        .map(|name| self_signed(&[name.to_owned()]).expect("an identity"));
    let roots = identities.each_ref().map(|it| it.chain[0].clone());
    let mut kinds = identities
        .into_iter()
        .zip([3, 7])
        .map(|(identity, streams)| {
            let mut transport = TransportOptions::default();
            transport.streams.bidirectional_max = streams;
            let protocol = format!("protocol-{streams}");
            let security = Security::tls()
                .with_identity(identity)
                .with_alpn([protocol.as_str()]);
            let early_data = EarlyData::Refused;
            let made = quic::server_config(&context, &security, transport, early_data);
            Arc::new(made.expect("a configuration"))
        });
    let (one, two) = (kinds.next().expect("one"), kinds.next().expect("two"));
    let mut options = ListenerOptions::default();
    options.context = Some(context.clone());
    let options = options.choose(move |client| match client.hello.server_name.as_deref() {
        Some("one.example") => Some(Choice::Accept(one.clone())),
        Some("two.example") => Some(Choice::Accept(two.clone())),
        _ => Some(Choice::Refuse),
    });
    let (server, _) = tls_pair();
    let server = server.with_alpn(["protocol-3", "protocol-7"]);
    let listener = Listener::bind_with(any(), server, options).expect("a port");
    for (name, root, streams) in [("one.example", 0, 3), ("two.example", 1, 7)] {
        let trust = Security::tls().with_roots([roots[root].clone()]);
        let trust = trust.with_alpn(["protocol-7", "protocol-3"]);
        let connector = Connector::new(trust).context(&context).server_name(name);
        let connecting = connector.connect(listener.local_address());
        let (client, server) = tokio::join!(connecting, listener.accept());
        let (client, server) = (client.expect("connected"), server.expect("it listens"));
        assert_eq!(
            server.expect("accepted").server_name().as_deref(),
            Some(name)
        );
        assert_eq!(
            client.alpn(),
            Some(format!("protocol-{streams}").into_bytes())
        );
        assert_eq!(client.capacity(StreamKind::Bidirectional), streams);
    }
    let stranger = Security::tls().with_roots(roots).with_alpn(["protocol-3"]);
    let refused = Connector::new(stranger).server_name("three.example");
    let refused = refused.connect(listener.local_address()).await;
    assert_eq!(refused.expect_err("refused").kind, FailureKind::Refused);
}

#[tokio::test]
async fn each_half_ends_as_it_is_asked_to_and_the_other_one_goes_on() {
    let pair = pair().await;
    // Finished: the peer reads the end, and the other way still works.
    let ((mut send, mut receive), (mut far_send, mut far_receive)) = stream(&pair).await;
    let closed = send.writes_closed();
    let written = send.write_and_finish(Bytes::from_static(b"end"));
    written.await.expect("written");
    assert_eq!(far_receive.read_to_end(9).await.expect("all"), b"end");
    assert_eq!(closed.await, Ok(()));
    assert_eq!(far_receive.reads_closed().await, Ok(()));
    assert_eq!(send.write(b"x").await, Err(StreamError::Ended));
    far_send.write_all(b"back").await.expect("written");
    far_send.finish().expect("finished");
    assert_eq!(receive.read_to_end(9).await.expect("all"), b"back");
    // Reset: the peer's read sees the code, "ended" is what this side sees.
    let ((mut send, _receive), (_far_send, mut far_receive)) = stream(&pair).await;
    let seen = far_receive.reads_closed();
    send.abort(code(5)).expect("open");
    assert_eq!(
        far_receive.read(&mut [0]).await,
        Err(StreamError::Reset(code(5)))
    );
    assert_eq!(seen.await, Err(StreamError::Reset(code(5))));
    assert_eq!(send.write(b"x").await, Err(StreamError::Ended));
    // Stopped: the peer's write sees the code.
    let ((_send, mut receive), (mut far_send, _far_receive)) = stream(&pair).await;
    let seen = far_send.writes_closed();
    receive.abort(code(6)).expect("open");
    assert_eq!(seen.await, Err(StreamError::Stopped(code(6))));
    assert_eq!(
        far_send.write(b"x").await,
        Err(StreamError::Stopped(code(6)))
    );
    assert_eq!(receive.read(&mut [0]).await, Err(StreamError::Ended));
}

#[tokio::test]
async fn a_dropped_half_is_finished_or_stopped_and_a_dropped_connection_is_closed() {
    let pair = pair().await;
    let ((send, receive), (mut far_send, mut far_receive)) = stream(&pair).await;
    let stopped = far_send.writes_closed();
    drop(receive);
    assert_eq!(
        stopped.await,
        Err(StreamError::Stopped(code(10))),
        "the default code"
    );
    assert_eq!(
        far_send.write(b"x").await,
        Err(StreamError::Stopped(code(10)))
    );
    drop(send);
    assert_eq!(
        far_receive.read_to_end(9).await,
        Ok(Vec::new()),
        "an orderly end"
    );
    let (client, server) = pair;
    drop(client);
    let ended = server.closed().await;
    assert!(
        matches!(ended, ConnectionError::ClosedByPeer { code: it, .. } if it == code(11)),
        "{ended}"
    );
    let error = server.open_bi().await.expect_err("closed");
    assert_eq!(error, ended);
}

#[tokio::test]
async fn one_way_streams_and_datagrams_cross() {
    let (client, server) = pair().await;
    let mut send = server.open_uni().await.expect("opened");
    send.write_and_finish("one way".into())
        .await
        .expect("written");
    let mut receive = client.accept_uni().await.expect("accepted");
    assert_eq!(receive.id().kind(), StreamKind::Unidirectional);
    assert_eq!(receive.id().initiator(), Side::Server);
    assert_eq!(receive.read_to_end(99).await.expect("all"), b"one way");
    client
        .send_datagram("a datagram".into())
        .await
        .expect("sent");
    assert_eq!(
        &server.receive_datagram().await.expect("it")[..],
        b"a datagram"
    );
    // The peer's limit grows while the connection lives.
    assert_eq!(client.capacity(StreamKind::Unidirectional), 100);
    let raised = client.capacity_changed();
    server.set_streams_max(StreamKind::Unidirectional, 120);
    raised.await.expect("alive");
    assert_eq!(client.capacity(StreamKind::Unidirectional), 120);
    assert!(client.statistics().datagrams_received > 0);
}

#[tokio::test]
async fn early_data_is_marked_and_taken_with_a_ticket() {
    let context = context();
    let (server, client) = tls_pair();
    let mut options = ListenerOptions::default();
    options.context = Some(context.clone());
    options.early_data = true;
    let listener = Listener::bind_with(any(), server.with_alpn(["a"]), options).expect("a port");
    let address = listener.local_address();
    let connector = Connector::new(client.with_alpn(["a"]))
        .context(&context)
        .early_data();
    let (first, accepted) = tokio::join!(connector.connect(address), listener.accept());
    let first = first.expect("connected");
    let accepted = accepted.expect("it listens").expect("accepted");
    // What comes behind the tickets tells that they are here.
    let mut late = accepted.open_uni().await.expect("opened");
    late.write_and_finish("late".into()).await.expect("written");
    let mut late = first.accept_uni().await.expect("accepted");
    assert_eq!(late.read_to_end(9).await.expect("all"), b"late");
    let early = connector.connect_early(address).await.expect("a ticket");
    assert!(early.may_send_early_data());
    let (mut send, _receive) = early.open_bi().await.expect("opened");
    send.write_and_finish("early".into())
        .await
        .expect("written");
    let server = listener
        .accept()
        .await
        .expect("it listens")
        .expect("accepted");
    let (_send, mut receive) = server.accept_bi().await.expect("accepted");
    assert!(receive.is_early_data());
    assert_eq!(receive.read_to_end(9).await.expect("all"), b"early");
    early.handshake_confirmed().await.expect("confirmed");
    assert_eq!(early.is_early_data_accepted(), Some(true));
}

#[tokio::test]
async fn support_is_told_for_each_role_with_its_reason() {
    let context = context();
    let (server, client) = tls_pair();
    let (server, client) = (server.with_alpn(["a"]), client.with_alpn(["a"]));
    quic::is_supported(&context, Side::Client, &client).expect("supported");
    quic::is_supported(&context, Side::Server, &server).expect("supported");
    let missing = quic::is_supported(&context, Side::Server, &client);
    assert!(
        missing
            .expect_err("no identity")
            .detail
            .contains("certificate")
    );
    let off = quic::is_supported(&context, Side::Client, &Security::disabled());
    assert!(
        off.expect_err("disabled")
            .detail
            .contains("always encrypted")
    );
    let old = client.with_max_version(portway::TlsVersion::Tls12);
    assert!(quic::is_supported(&context, Side::Client, &old).is_err());
}
