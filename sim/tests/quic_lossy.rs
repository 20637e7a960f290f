//! Handshakes over a link that loses a third of what passes, however long they take, and bursts of
//! any length where little is lost.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod quic_support;

use bytes::Bytes;
use portway_core::Time;
use portway_sim::{Direction, seeds};
use portway_transport::quic::{Choice, Chooser, ConnectionError};
use quic_support::{NAME, World, join};
use std::sync::Arc;
use std::time::Duration;

/// Eight flights in a row, each after twice the time of the one before, have to be lost to miss it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Connects once, to a server that asks its application about each client or does not.
fn connect(seed: u64, chooses: bool) -> Result<Duration, ConnectionError> {
    let world = World::new(seed);
    let link = world.sim.link("client", "server");
    link.update(Direction::Both, |options| options.loss = 0.3);
    let mut config = world.server_config();
    config.transport.times.handshake = PATIENCE;
    config.transport.times.idle = Some(PATIENCE);
    let config = match chooses {
        false => config,
        true => {
            let chosen = Arc::new(config.clone());
            config.with_chooser(Chooser::new(move |_| Choice::Accept(Arc::clone(&chosen))))
        }
    };
    let server = world.server(config);
    let client = world.client();
    let mut config = world.client_config();
    config.transport.times.handshake = PATIENCE;
    config.transport.times.idle = Some(PATIENCE);
    world.sim.block_on(async {
        let connecting = client.connect(&config, server.local_address(), NAME);
        connecting.unwrap().await.map(drop)
    })?;
    Ok(world.sim.now().saturating_since(Time::ZERO))
}

#[test]
fn a_hello_in_several_packets_arrives_however_much_is_lost() {
    for chooses in [false, true] {
        let mut longest = Duration::ZERO;
        for seed in seeds(100) {
            let after = connect(seed, chooses);
            longest = longest.max(after.expect("a connection"));
        }
        println!("asked about: {chooses}, the longest took {longest:?}");
    }
}

/// Sends half a megabyte over a link that loses a packet in a hundred, so many packets together.
fn upload(seed: u64, burst_packets: u8) {
    let world = World::new(seed);
    let link = world.sim.link("client", "server");
    link.update(Direction::Both, |options| options.loss = 0.01);
    let server = world.server(world.server_config());
    let client = world.client();
    let mut config = world.client_config();
    config.transport.burst_packets = burst_packets;
    let content = Bytes::from(vec![7; 500_000]);
    world.sim.block_on(async {
        let connecting = client.connect(&config, server.local_address(), NAME);
        let (connection, accepted) = join(connecting.unwrap(), server.accept()).await;
        let (connection, accepted) = (connection.unwrap(), accepted.unwrap().unwrap());
        let send = async {
            let mut send = connection.open_uni().await.unwrap();
            send.write_and_finish(content.clone()).await.unwrap();
        };
        let receive = async {
            let mut receive = accepted.accept_uni().await.unwrap();
            receive.read_to_end(content.len()).await.unwrap()
        };
        let ((), received) = join(send, receive).await;
        assert_eq!(received, content);
        let window = connection.statistics().congestion_window;
        assert!(window > 0, "told while it is held");
    });
    let after = world.sim.now().saturating_since(Time::ZERO);
    println!("bursts of {burst_packets}: {after:?}");
    assert!(after < Duration::from_secs(30));
}

#[test]
fn a_window_that_opens_for_bursts_carries_everything() {
    for burst_packets in [0, 1, 3, u8::MAX] {
        seeds(3).for_each(|seed| upload(seed, burst_packets));
    }
}
