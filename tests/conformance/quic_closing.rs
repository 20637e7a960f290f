//! What is lost, and what is not, when handles of QUIC connections are dropped.

use crate::quic_driver::{Net, body};
use crate::support::{ms, seeds};
use portway_sim::Direction;
use portway_transport::environment::Environment;
use portway_transport::quic::{ConnectionError, StreamKind};
use std::time::Duration;

/// How long the client's endpoint takes to be idle from now on.
fn time_until_idle(net: &Net) -> Duration {
    let host = net.sim.host("client");
    let begun = host.now();
    net.sim.block_on(net.client.wait_idle());
    host.now().saturating_since(begun)
}

#[test]
fn everything_dropped_at_once_after_a_finish_arrives_under_loss() {
    for seed in seeds(20) {
        let mut net = Net::new(seed);
        net.config.transport.defaults.close = 9.into();
        net.config.transport.times.linger = Duration::from_secs(60);
        let link = net.sim.link("client", "server");
        link.set_delay(ms(30));
        let (client, server) = net.connect();
        link.set_loss(0.2);
        let whole = body(seed, 40_000);
        net.sim.block_on(async {
            let mut stream = client.open_uni().await.expect("it lives");
            stream.write_and_finish(whole.clone()).await.expect("room");
            // The second one is finished by being dropped.
            let (mut send, receive) = client.open_bi().await.expect("it lives");
            send.write_all(&whole).await.expect("room");
            drop((stream, send, receive, client));
            let mut uni = server.accept_uni().await.expect("it comes");
            assert_eq!(uni.read_all(1 << 20).await.expect("all of it"), whole);
            let (_, mut bi) = server.accept_bi().await.expect("it comes");
            assert_eq!(bi.read_all(1 << 20).await.expect("all of it"), whole);
        });
        net.sim.block_on(net.client.wait_idle());
        assert_eq!(net.client.connections(), 0);
        link.set_loss(0.0);
        // Only the close itself can be lost.
        net.sim.run_for(Duration::from_secs(40));
        let end = server.error().expect("it has ended");
        let (code, reason) = (9.into(), bytes::Bytes::new());
        let is_told = end == ConnectionError::ClosedByPeer { code, reason };
        assert!(
            is_told || matches!(end, ConnectionError::IdleTimedOut | ConnectionError::Reset),
            "{end}"
        );
        drop(server);
        net.sim.block_on(net.server.wait_idle());
    }
}

#[test]
fn a_peer_that_is_gone_is_waited_for_no_longer_than_the_bound() {
    let mut net = Net::new(1);
    net.config.transport.times.linger = Duration::from_secs(3);
    net.config.transport.times.idle = None;
    let link = net.sim.link("client", "server");
    link.set_delay(ms(30));
    let (client, server) = net.connect();
    link.black_hole(Direction::Both);
    net.sim.block_on(async {
        let mut stream = client.open_uni().await.expect("it lives");
        stream.write_and_finish("lost".into()).await.expect("room");
        drop((stream, client));
    });
    let waited = time_until_idle(&net);
    let bound = Duration::from_secs(3);
    assert!(waited >= bound && waited < bound * 4, "{waited:?}");
    drop(server);
}

#[test]
fn a_connection_without_anything_to_acknowledge_is_closed_at_once() {
    let net = Net::new(2);
    net.sim.link("client", "server").set_delay(ms(30));
    let (client, server) = net.connect();
    // Streams that were counted and never used do not keep it.
    assert!(client.capacity(StreamKind::Bidirectional) > 0);
    net.sim.run_for(Duration::from_secs(1));
    let host = net.sim.host("client");
    let begun = host.now();
    drop(client);
    let end = net.sim.block_on(server.closed());
    assert!(matches!(end, ConnectionError::ClosedByPeer { .. }), "{end}");
    assert_eq!(host.now().saturating_since(begun), ms(30));
    drop(server);
    net.sim.block_on(net.server.wait_idle());
}

#[test]
fn a_linger_of_zero_and_a_close_leave_at_once() {
    for is_explicit in [false, true] {
        let mut net = Net::new(3);
        if !is_explicit {
            net.config.transport.times.linger = Duration::ZERO;
        }
        let link = net.sim.link("client", "server");
        link.set_delay(ms(30));
        let (client, server) = net.connect();
        net.sim.run_for(Duration::from_secs(1));
        net.sim.block_on(async {
            let mut stream = client.open_uni().await.expect("it lives");
            let whole = body(3, 500_000);
            stream.write_and_finish(whole).await.expect("room");
            if is_explicit {
                client.close(0.into(), b"");
            }
            drop((stream, client));
            let end = server.closed().await;
            assert!(matches!(end, ConnectionError::ClosedByPeer { .. }), "{end}");
            let mut stream = match server.accept_uni().await {
                Ok(stream) => stream,
                // Not even the first packet came before the close.
                Err(_) => return,
            };
            assert!(stream.read_all(1 << 20).await.is_err());
        });
        drop(server);
        net.sim.block_on(net.server.wait_idle());
    }
}

#[test]
fn a_reset_stream_keeps_the_connection_until_the_peer_knows() {
    for seed in seeds(5) {
        let net = Net::new(seed);
        let link = net.sim.link("client", "server");
        link.set_delay(ms(30));
        let (client, server) = net.connect();
        link.set_loss(0.2);
        net.sim.block_on(async {
            let mut stream = client.open_uni().await.expect("it lives");
            stream.write_all(b"part").await.expect("room");
            stream.reset(5.into()).expect("open");
            drop((stream, client));
            let mut stream = server.accept_uni().await.expect("it comes");
            let end = stream.read_all(100).await.expect_err("a reset");
            assert_eq!(end, portway_transport::quic::StreamError::Reset(5.into()));
        });
        drop(server);
        link.set_loss(0.0);
        net.sim.block_on(net.server.wait_idle());
    }
}
