//! Paths that lose in ways that random loss does not: many gaps at once, and large packets only.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod quic_support;

use portway_core::Time;
use portway_sim::Direction;
use portway_transport::environment::Environment;
use quic_support::{World, exchange, join};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Of a transfer, the first packet and then every other one, until so many are lost.
const LOSSES: u64 = 601;

#[test]
fn six_hundred_losses_behind_one_gap_of_the_largest_window_end_nothing() {
    let world = World::new(60);
    // As much is under way as the window of a stream has bytes.
    let near = world.sim.link("server", "middle");
    near.set_delay(Duration::from_millis(30));
    near.set_rate(50_000_000, 16 << 20);
    let far = world.sim.link("client", "middle");
    far.set_delay(Duration::from_millis(30));
    let mut client_config = world.client_config();
    client_config.transport.streams.window_bytes = 2_500_000;
    let server = world.server(world.server_config());
    let is_losing = Arc::new(AtomicBool::new(false));
    let lost: Arc<Mutex<Vec<Time>>> = Arc::default();
    let (switch, losses) = (Arc::clone(&is_losing), Arc::clone(&lost));
    let (clock, mut count) = (Arc::clone(&world.middle), 0);
    let middle = world.tamper(server.local_address(), move |is_clients, datagram| {
        if !is_clients && switch.load(Ordering::Relaxed) && datagram.len() > 1_000 {
            count += 1;
            let mut losses = losses.lock().unwrap();
            if count % 2 == 1 && losses.len() < LOSSES as usize {
                losses.push(clock.now());
                return Vec::new();
            }
        }
        vec![(is_clients, datagram)]
    });
    world.sim.block_on(async {
        let endpoint = world.client();
        let connecting = endpoint.connect(&client_config, middle, quic_support::NAME);
        let (ours, theirs) = join(connecting.unwrap(), server.accept()).await;
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap().unwrap());
        let bytes: Vec<u8> = (0..16_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut send = theirs.open_uni().await.unwrap();
        // The congestion window is to be as large as the stream's before anything is lost.
        let sending = async {
            let (first, rest) = bytes.split_at(10_000_000);
            send.write_all(first).await.unwrap();
            is_losing.store(true, Ordering::Relaxed);
            send.write_all(rest).await.unwrap();
            send.finish().unwrap();
        };
        let receiving = async {
            let mut receive = ours.accept_uni().await.unwrap();
            receive.read_to_end(bytes.len()).await.unwrap()
        };
        let ((), received) = join(sending, receiving).await;
        assert!(received == bytes);
        exchange(&ours, &theirs, 1_000).await;
        assert_eq!((ours.error(), theirs.error()), (None, None));
    });
    let lost = lost.lock().unwrap();
    assert_eq!(lost.len() as u64, LOSSES);
    // None of them was noticed before the last was lost: a round trip is 120 ms.
    let took = lost[lost.len() - 1].saturating_since(lost[0]);
    assert!(took < Duration::from_millis(120), "{took:?}");
}

#[test]
fn a_path_that_swallows_large_packets_without_a_word_is_noticed() {
    let world = World::new(61);
    let link = world.sim.link("client", "server");
    let server = world.server(world.server_config());
    world.sim.block_on(async {
        let client = world.client();
        let connecting = client.connect(
            &world.client_config(),
            server.local_address(),
            quic_support::NAME,
        );
        let (ours, theirs) = join(connecting.unwrap(), server.accept()).await;
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap().unwrap());
        exchange(&ours, &theirs, 300_000).await;
        let large = world.sim.wire_log().iter().map(|it| it.bytes.len()).max();
        assert!(large > Some(1_400), "the path's size was found: {large:?}");
        link.update(Direction::Both, |options| {
            options.mtu = 1_300;
            options.signals_mtu = false;
        });
        let begun = world.sim.now();
        exchange(&ours, &theirs, 300_000).await;
        let took = world.sim.now().saturating_since(begun);
        assert!(took < Duration::from_secs(10), "{took:?}");
        let log = world.sim.wire_log();
        let passed = log.iter().rev().filter(|it| it.arrives.is_some());
        let last = passed.take(50).map(|it| it.bytes.len()).max();
        assert!(last <= Some(1_272), "{last:?}");
    });
}
