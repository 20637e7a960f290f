//! `close` is Ok only when the peer has acknowledged everything (RFC 9622 §10).

use crate::capture::{ACK, Capture};
use crate::names::NAME;
use crate::world::{FAR_V4, World, block_on, environment, plain};
use portway::property::ConnectionProperties;
use portway::{
    CloseError, Completion, Connection, ConnectionEvent, ConnectionState, Context, FailureKind,
    LocalEndpoint, Preconnection, Security, TransportProperties,
};
use portway_transport::real::DnsConfig;
use portway_transport::tls::self_signed;
use std::future::IntoFuture;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A connection with a peer that reads to the end, and what that peer got.
async fn connected(world: &World, timeout: Option<Duration>) -> (Connection, JoinHandle<Vec<u8>>) {
    let listener = world.far_listener(FAR_V4);
    let address = listener.local_addr().expect("bound");
    let peer = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut received = Vec::new();
        // The end of a connection that was given up is an error and no end of stream.
        let _ = socket.read_to_end(&mut received);
        received
    });
    let limits = ConnectionProperties::new().with_conn_timeout(timeout);
    let properties = TransportProperties::reliable_inorder_stream();
    let connection = plain(address)
        .properties(properties.with_connection_properties(&limits))
        .initiate()
        .into_future()
        .await
        .expect("a connection");
    (connection, peer)
}

fn drop_acknowledgements(world: &World, peer: SocketAddr) {
    let port = peer.port();
    world
        .near
        .nft_input(&format!("tcp sport {port} counter drop"));
}

#[test]
fn close_without_acknowledgements_ends_in_a_timeout() {
    let Some(world) = World::new("close_without_acknowledgements_ends_in_a_timeout") else {
        return;
    };
    world.run(|| async {
        let (connection, peer) = connected(&world, Some(Duration::from_secs(1))).await;
        let remote = connection.info().remote.expect("a peer");
        let mut events = connection.events();
        drop_acknowledgements(&world, remote);
        let receipt = connection.send("farewell").await.expect("accepted");
        assert_eq!(receipt.await, Completion::Sent, "with the system, no more");
        let error = connection.close().await.expect_err("no acknowledgement");
        assert_eq!(error.kind(), FailureKind::TimedOut, "{error}");
        if let CloseError::TimedOut { unacknowledged } = &error {
            assert!(*unacknowledged >= "farewell".len(), "{unacknowledged}");
        }
        assert_eq!(connection.state(), ConnectionState::Closed);
        let last = events.next().await.expect("an event");
        assert!(
            matches!(&last, ConnectionEvent::ConnectionError(failure)
                if failure.kind == FailureKind::TimedOut),
            "{last:?}"
        );
        assert_eq!(events.next().await, None, "nothing follows the end");
        assert_eq!(connection.close().await, Err(error));
        // The peer got the data: not knowing it is the point.
        world.near.nft_flush();
        drop(connection);
        assert_eq!(peer.join().expect("the peer ends"), b"farewell");
    });
}

#[test]
fn close_is_pending_until_acknowledgements_flow_again() {
    let Some(world) = World::new("close_is_pending_until_acknowledgements_flow_again") else {
        return;
    };
    world.run(|| async {
        for timeout in [None, Some(Duration::from_secs(50))] {
            let (connection, peer) = connected(&world, timeout).await;
            let remote = connection.info().remote.expect("a peer");
            let capture = Capture::start(&world.near, "near");
            drop_acknowledgements(&world, remote);
            let receipt = connection.send("farewell").await.expect("accepted");
            assert_eq!(receipt.await, Completion::Sent);
            let closing = {
                let connection = connection.clone();
                tokio::spawn(async move { connection.close().await })
            };
            // The peer acknowledges the data, then the end, then what is sent again.
            for _ in 0..4 {
                let from_peer =
                    |s: &crate::capture::Segment| s.source_port == remote.port() && s.has(ACK);
                capture.next_tcp(from_peer).await;
            }
            assert!(!closing.is_finished(), "nothing was acknowledged yet");
            assert_eq!(connection.state(), ConnectionState::Closing);
            world.near.nft_flush();
            let closed = closing.await.expect("no panic");
            assert_eq!(closed, Ok(()), "with connTimeout {timeout:?}");
            assert_eq!(connection.state(), ConnectionState::Closed);
            assert_eq!(peer.join().expect("the peer ends"), b"farewell");
        }
    });
}

#[test]
fn close_over_tls_without_acknowledgements_ends_in_a_timeout() {
    let Some(world) = World::new("close_over_tls_without_acknowledgements_ends_in_a_timeout")
    else {
        return;
    };
    let identity = self_signed(&[NAME.to_owned()]).expect("an identity");
    let roots = [identity.chain[0].clone()];
    let (sender, bound) = mpsc::channel();
    let peer = world.far.spawn(move || {
        block_on(async move {
            let mut listener = Preconnection::new(Security::tls().with_identity(identity))
                .local(LocalEndpoint::address(FAR_V4))
                .listen()
                .await
                .expect("a listener");
            sender.send(listener.port()).expect("the test waits");
            let connection = listener.accept().await.expect("a connection");
            connection.receive().await.expect("the farewell").data
        })
    });
    let address = SocketAddr::new(FAR_V4.into(), bound.recv().expect("a port"));
    world.run(|| async {
        let limits = ConnectionProperties::new().with_conn_timeout(Some(Duration::from_secs(1)));
        let properties = TransportProperties::reliable_inorder_stream();
        let security = Security::tls().with_roots(roots).with_server_name(NAME);
        let connection = Preconnection::new(security)
            .context(&Context::new(environment(DnsConfig::default())))
            .remote(address)
            .properties(properties.with_connection_properties(&limits))
            .initiate()
            .into_future()
            .await
            .expect("a connection");
        drop_acknowledgements(&world, address);
        drop(connection.send("farewell").await.expect("accepted"));
        let error = connection.close().await.expect_err("no acknowledgement");
        assert_eq!(error.kind(), FailureKind::TimedOut, "{error}");
    });
    assert_eq!(peer.join().expect("the peer ends"), &b"farewell"[..]);
}
