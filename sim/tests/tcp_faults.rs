//! The TCP model over links that lose, swallow and shrink, and peers that vanish.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use portway_core::WireProtocol;
use portway_sim::Direction;
use portway_transport::environment::{Environment, TcpConnect, TcpOptions};
use std::io::{ErrorKind, IoSlice};
use std::time::Duration;
use support::*;

#[test]
fn random_loss_costs_time_but_no_byte() {
    for seed in 0..20 {
        let pair = pair(seed);
        pair.sim.link("client", "server").set_loss(0.1);
        let (stream, accepted) = pair.connected();
        let payload = pattern(150_000);
        pair.client.spawn(Box::pin(async move {
            write_all(&*stream, &payload).await.unwrap();
        }));
        let received = pair.sim.block_on(read_to_end(&*accepted)).unwrap();
        assert_eq!(received, pattern(150_000), "seed {seed}");
        drop(accepted);
        pair.sim.run_until_idle();
        assert_eq!(pair.sim.sockets_open(), 0, "seed {seed}");
    }
}

#[test]
fn data_sent_into_a_black_hole_arrives_when_it_ends() {
    let pair = pair(1);
    let (stream, accepted) = pair.connected();
    pair.sim
        .link("client", "server")
        .black_hole(Direction::Both);
    pair.sim.at(at(5000), |world| {
        world.link("client", "server").restore();
    });
    stream.try_write_vectored(&[IoSlice::new(b"late")]).unwrap();
    let received = pair.sim.block_on(read_some(&*accepted)).unwrap();
    assert_eq!(received, b"late");
    assert!(pair.sim.now() > at(5000));
}

#[test]
fn swallowed_acknowledgements_keep_data_unacknowledged() {
    let pair = pair(1);
    let (stream, accepted) = pair.connected();
    let link = pair.sim.link("client", "server");
    link.black_hole(Direction::Backward);
    stream.try_write_vectored(&[IoSlice::new(b"data")]).unwrap();
    stream.shutdown_write().unwrap();
    let received = pair.sim.block_on(read_to_end(&*accepted)).unwrap();
    assert_eq!(received, b"data");
    pair.sim.run_for(Duration::from_secs(60));
    assert_eq!(stream.unacknowledged().unwrap(), 5);
    link.restore();
    pair.sim.run_for(Duration::from_secs(120));
    assert_eq!(stream.unacknowledged().unwrap(), 0);
}

#[test]
fn user_timeout_ends_a_connection_whose_data_is_not_acknowledged() {
    let pair = pair(1);
    let (stream, _accepted) = pair.connected();
    let mut options = TcpOptions::default();
    options.user_timeout = Some(Some(ms(3000)));
    stream.set_options(&options).unwrap();
    pair.sim
        .link("client", "server")
        .black_hole(Direction::Both);
    let start = pair.sim.now();
    stream.try_write_vectored(&[IoSlice::new(b"data")]).unwrap();
    let error = pair.sim.block_on(read_some(&*stream)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(pair.sim.now() - start, ms(3000));
    assert!(stream.unacknowledged().is_err());
}

#[test]
fn without_user_timeout_retransmission_gives_up_after_a_quarter_of_an_hour() {
    let pair = pair(1);
    let (stream, _accepted) = pair.connected();
    pair.sim
        .link("client", "server")
        .black_hole(Direction::Both);
    stream.try_write_vectored(&[IoSlice::new(b"data")]).unwrap();
    let error = pair.sim.block_on(read_some(&*stream)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let took = pair.sim.now().since_origin();
    assert!(took > ms(900_000) && took < ms(1_000_000), "took {took:?}");
}

#[test]
fn keep_alive_finds_a_vanished_peer() {
    let pair = pair(1);
    let listener = pair.listen();
    let mut request = TcpConnect::to(pair.remote());
    request.options.keep_alive = Some(Some(ms(10_000)));
    let (stream, _accepted) = pair.sim.block_on(async {
        let stream = pair.client.tcp_connect(request).await.unwrap();
        (stream, accept(&*listener).await)
    });
    pair.sim.run_for(Duration::from_secs(3600));
    assert!(stream.take_error().is_none(), "probes are answered");
    pair.sim.link("client", "server").block(WireProtocol::Tcp);
    let error = pair.sim.block_on(read_some(&*stream)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn segments_shrink_when_the_link_says_that_they_are_too_large() {
    let pair = pair(1);
    let (stream, accepted) = pair.connected();
    pair.sim.link("client", "server").set_mtu(1300);
    let payload = pattern(50_000);
    pair.client.spawn(Box::pin(async move {
        write_all(&*stream, &payload).await.unwrap();
    }));
    let received = pair.sim.block_on(read_to_end(&*accepted)).unwrap();
    assert_eq!(received, pattern(50_000));
    assert!(pair.sim.now() < at(500), "took until {}", pair.sim.now());
    let log = pair.sim.wire_log();
    let delivered = log.iter().filter(|event| event.arrives.is_some());
    let largest = delivered.map(|event| event.bytes.len()).max();
    assert_eq!(
        largest,
        Some(1300 - 60),
        "IPv6 and TCP headers take 60 bytes"
    );
}

#[test]
fn large_segments_vanish_when_the_link_does_not_say_so() {
    let pair = pair(1);
    let (stream, accepted) = pair.connected();
    pair.sim
        .link("client", "server")
        .update(Direction::Both, |options| {
            options.mtu = 1300;
            options.signals_mtu = false;
        });
    stream
        .try_write_vectored(&[IoSlice::new(&pattern(5000))])
        .unwrap();
    pair.sim.run_for(ms(10_000));
    let error = accepted.try_read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(stream.unacknowledged().unwrap(), 5000);
}

#[test]
fn lost_window_update_is_found_by_a_probe() {
    let pair = pair(1);
    pair.server.set_tcp_buffers(4096, 4096);
    let (stream, accepted) = pair.connected();
    let payload = pattern(10_000);
    stream
        .try_write_vectored(&[IoSlice::new(&payload)])
        .unwrap();
    pair.sim.run_for(ms(1000));
    let link = pair.sim.link("client", "server");
    link.black_hole(Direction::Backward);
    let mut out = vec![0; 4096];
    assert_eq!(accepted.try_read(&mut out).unwrap(), 4096);
    link.restore();
    drop(stream);
    let rest = pair.sim.block_on(read_to_end(&*accepted)).unwrap();
    assert_eq!(rest, payload[4096..]);
}

#[test]
fn orphan_that_nobody_answers_ends_in_bounded_time() {
    let pair = pair(1);
    let (stream, accepted) = pair.connected();
    pair.sim
        .link("client", "server")
        .black_hole(Direction::Both);
    stream.try_write_vectored(&[IoSlice::new(b"data")]).unwrap();
    drop((stream, accepted));
    pair.sim.run_until_idle();
    assert!(pair.sim.now() < at(300_000), "ended at {}", pair.sim.now());
}

#[test]
fn address_that_goes_away_is_silent() {
    let pair = pair(1);
    let (stream, _accepted) = pair.connected();
    pair.server.set_paths(Vec::new());
    stream.try_write_vectored(&[IoSlice::new(b"data")]).unwrap();
    pair.sim.run_for(ms(5000));
    assert_eq!(stream.unacknowledged().unwrap(), 4);
}
