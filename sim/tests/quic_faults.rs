//! First packets and forgeries: what others can make of QUIC between simulated hosts.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod quic_support;

use portway_core::Time;
use portway_sim::{Direction, seeds};
use portway_transport::environment::{Environment, UdpBind};
use portway_transport::quic::{
    AddressValidation, Choice, Chooser, Connection, ConnectionError, Endpoint, EndpointOptions,
    PathEvent, Shard,
};
use quic_support::{NAME, World, either_readable, exchange, join};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

async fn connect(world: &World, server: &Endpoint, remote: SocketAddr) -> (Connection, Connection) {
    let client = world.client();
    let connecting = client
        .connect(&world.client_config(), remote, NAME)
        .unwrap();
    let (ours, theirs) = join(connecting, server.accept()).await;
    (ours.unwrap(), theirs.unwrap().unwrap())
}

/// First datagrams of so many clients, none of which goes on.
fn first_datagrams(world: &World, count: usize) -> Vec<Vec<u8>> {
    let address = SocketAddr::new(world.middle.addresses()[0], 9);
    let collector = world.middle.udp_bind(UdpBind::on(address)).unwrap();
    let client = world.client();
    let mut datagrams = Vec::new();
    let mut buffer = vec![0; 2000];
    while datagrams.len() < count {
        let connecting = client.connect(&world.client_config(), address, NAME);
        world.sim.run_for(Duration::from_millis(11));
        // All that comes are Initial packets; the first one is what is wanted.
        let received = collector.try_receive(&mut buffer).unwrap();
        datagrams.push(buffer[..received.len].to_vec());
        while collector.try_receive(&mut buffer).is_ok() {}
        drop(connecting);
        world.sim.run_for(Duration::from_millis(11));
        while collector.try_receive(&mut buffer).is_ok() {}
    }
    datagrams
}

#[test]
fn a_flood_of_first_packets_costs_a_bounded_amount_and_keeps_nobody_out() {
    let world = World::new(1);
    let mut config = world.server_config();
    config.incoming.backlog = 16;
    config.incoming.retry_above = 8;
    let server = world.server(config);
    let datagrams = first_datagrams(&world, 60);
    for (number, datagram) in datagrams.iter().enumerate() {
        let from = SocketAddr::new(world.middle.addresses()[0], 1000 + number as u16);
        let attacker = world.middle.udp_bind(UdpBind::on(from)).unwrap();
        for _ in 0..3 {
            let sent = attacker.try_send(datagram, Some(server.local_address()));
            sent.unwrap();
        }
        world.sim.run_for(Duration::from_millis(1));
    }
    world.sim.run_for(Duration::from_millis(20));
    assert_eq!(server.connections(), 8);
    world.sim.block_on(async {
        let (ours, theirs) = connect(&world, &server, server.local_address()).await;
        exchange(&ours, &theirs, 10_000).await;
    });
    // What never goes on is given up.
    world.sim.run_for(Duration::from_secs(60));
    assert_eq!(server.connections(), 0);
}

#[test]
fn hellos_that_never_come_whole_are_given_up() {
    let world = World::new(2);
    let mut config = world.server_config();
    config.incoming.retry_above = 8;
    let asked = Arc::new(AtomicUsize::new(0));
    let chooser = {
        let (asked, config) = (Arc::clone(&asked), Arc::new(config.clone()));
        Chooser::new(move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            Choice::Accept(Arc::clone(&config))
        })
    };
    let server = world.server(config.with_chooser(chooser));
    let datagrams = first_datagrams(&world, 40);
    // A post-quantum hello takes two datagrams, and only the first of each is sent.
    for (number, datagram) in datagrams.iter().enumerate() {
        let from = SocketAddr::new(world.middle.addresses()[0], 1000 + number as u16);
        let attacker = world.middle.udp_bind(UdpBind::on(from)).unwrap();
        let sent = attacker.try_send(datagram, Some(server.local_address()));
        sent.unwrap();
        world.sim.run_for(Duration::from_millis(1));
    }
    world.sim.run_for(Duration::from_millis(20));
    assert_eq!(
        (server.connections(), asked.load(Ordering::Relaxed)),
        (0, 0)
    );
    world.sim.block_on(async {
        let (ours, theirs) = connect(&world, &server, server.local_address()).await;
        exchange(&ours, &theirs, 10_000).await;
    });
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    world.sim.run_for(Duration::from_secs(11));
    // Nobody is held any more, so there is no Retry for the next one.
    let before = world.sim.wire_log().len();
    world.sim.block_on(async {
        connect(&world, &server, server.local_address()).await;
    });
    let log = world.sim.wire_log();
    let is_retry = |bytes: &[u8]| bytes[0] & 0xf0 == 0xf0;
    assert!(!log[before..].iter().any(|event| is_retry(&event.bytes)));
    assert!(log.iter().any(|event| is_retry(&event.bytes)));
}

#[test]
fn clients_beyond_those_that_are_held_are_refused() {
    let world = World::new(6);
    let mut config = world.server_config();
    config.incoming.backlog = 8;
    config.address_validation = AddressValidation::Never;
    let chooser = Chooser::new(|_| panic!("no hello comes whole"));
    let server = world.server(config.with_chooser(chooser));
    let datagrams = first_datagrams(&world, 20);
    let mut refused = 0;
    for (number, datagram) in datagrams.iter().enumerate() {
        let from = SocketAddr::new(world.middle.addresses()[0], 1000 + number as u16);
        let attacker = world.middle.udp_bind(UdpBind::on(from)).unwrap();
        let sent = attacker.try_send(datagram, Some(server.local_address()));
        sent.unwrap();
        world.sim.run_for(Duration::from_millis(21));
        refused += usize::from(attacker.try_receive(&mut [0; 2000]).is_ok());
    }
    assert_eq!(refused, 12);
}

#[test]
fn waiting_for_a_hello_is_a_part_of_its_handshakes_time() {
    let world = World::new(4);
    let config = world.server_config();
    let asked = Arc::new(AtomicUsize::new(0));
    let chooser = {
        let (asked, config) = (Arc::clone(&asked), Arc::new(config.clone()));
        Chooser::new(move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            Choice::Accept(Arc::clone(&config))
        })
    };
    let server = world.server(config.with_chooser(chooser));
    let address = SocketAddr::new(world.middle.addresses()[0], 9);
    let relay = world.middle.udp_bind(UdpBind::on(address)).unwrap();
    let client = world.client();
    let connecting = client.connect(&world.client_config(), address, NAME);
    world.sim.run_for(Duration::from_millis(11));
    let mut buffer = vec![0; 2000];
    // The rest of the hello comes nine seconds later, and then nothing more.
    for wait in [Duration::from_secs(9), Duration::from_millis(20)] {
        assert_eq!(server.connections(), 0);
        let received = relay.try_receive(&mut buffer).unwrap();
        let datagram = &buffer[..received.len];
        relay
            .try_send(datagram, Some(server.local_address()))
            .unwrap();
        world.sim.run_for(wait);
    }
    assert_eq!(
        (server.connections(), asked.load(Ordering::Relaxed)),
        (1, 1)
    );
    // Another second, and what it takes to forget a connection.
    world.sim.run_for(Duration::from_secs(5));
    assert_eq!(server.connections(), 0);
    drop(connecting);
}

#[test]
fn times_that_no_clock_can_add_are_as_good_as_none() {
    let world = World::new(5);
    let mut config = world.server_config();
    config.transport.times.handshake = Duration::MAX;
    config.transport.times.linger = Duration::MAX;
    let chosen = Arc::new(config.clone());
    let chooser = Chooser::new(move |_| Choice::Accept(Arc::clone(&chosen)));
    let server = world.server(config.with_chooser(chooser));
    let mut config = world.client_config();
    config.transport.times.handshake = Duration::MAX;
    config.transport.times.linger = Duration::MAX;
    let client = world.client();
    world.sim.block_on(async {
        let connecting = client.connect(&config, server.local_address(), NAME);
        let (ours, theirs) = join(connecting.unwrap(), server.accept()).await;
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap().unwrap());
        exchange(&ours, &theirs, 10_000).await;
    });
    world.sim.run_for(Duration::from_secs(60));
    assert_eq!((client.connections(), server.connections()), (0, 0));
}

#[test]
fn a_client_that_does_not_answer_gets_at_most_three_times_what_it_sent() {
    let world = World::new(3);
    let server = world.server(world.server_config());
    let victim = SocketAddr::new(world.middle.addresses()[0], 1000);
    let datagrams = first_datagrams(&world, 1);
    // The whole hello, twice: the second one changes nothing but the allowance.
    let client = world.client();
    let relay = world.middle.udp_bind(UdpBind::on(victim)).unwrap();
    let connecting = client.connect(&world.client_config(), victim, NAME);
    world.sim.run_for(Duration::from_millis(15));
    let mut buffer = vec![0; 2000];
    let mut sent = 0;
    while let Ok(received) = relay.try_receive(&mut buffer) {
        let datagram = &buffer[..received.len];
        relay
            .try_send(datagram, Some(server.local_address()))
            .unwrap();
        sent += received.len;
    }
    drop(connecting);
    assert!(sent >= 1200 && !datagrams.is_empty());
    world.sim.run_for(Duration::from_secs(60));
    let log = world.sim.wire_log();
    let answers = log.iter().filter(|event| event.host == "server");
    let answered: usize = answers.map(|event| event.bytes.len()).sum();
    assert!(
        answered > 0 && answered <= 3 * sent,
        "{answered} for {sent}"
    );
}

#[test]
fn forged_version_negotiation_and_retry_change_nothing() {
    let world = World::new(4);
    let server = world.server(world.server_config());
    let mut forged = 0;
    let middle = world.tamper(server.local_address(), move |is_clients, datagram| {
        if !is_clients || datagram[0] & 0x80 == 0 || forged > 8 {
            return vec![(is_clients, datagram)];
        }
        forged += 1;
        // The identifiers change their places in an answer.
        let (to, from) = identifiers(&datagram);
        let mut versions = vec![0xc0, 0, 0, 0, 0, from.len() as u8];
        versions.extend(&from);
        versions.push(to.len() as u8);
        versions.extend(&to);
        // RFC 9000 §6.2: one that names the version in use is a forgery.
        versions.extend([0x1a, 0x2a, 0x3a, 0x4a, 0, 0, 0, 1]);
        let mut retry = vec![0xf0, 0, 0, 0, 1, from.len() as u8];
        retry.extend(&from);
        retry.extend([8, 1, 2, 3, 4, 5, 6, 7, 8]);
        // A token, and a tag that cannot be right.
        retry.extend([9; 40]);
        vec![(false, versions), (false, retry), (true, datagram)]
    });
    world.sim.block_on(async {
        let (ours, theirs) = connect(&world, &server, middle).await;
        exchange(&ours, &theirs, 50_000).await;
    });
}

#[test]
fn a_handshake_packet_shows_the_address_when_the_initial_packets_are_lost() {
    // The chain takes more than three times what the client's first packets have.
    let world = World::with_names(5, 300);
    let server = world.server(world.server_config());
    let mut initials = 0;
    let middle = world.tamper(server.local_address(), move |is_clients, datagram| {
        let is_initial = is_clients && datagram[0] & 0xb0 == 0x80;
        initials += u32::from(is_initial);
        match is_initial && initials > 2 {
            true => Vec::new(),
            false => vec![(is_clients, datagram)],
        }
    });
    world.sim.block_on(async {
        let (ours, theirs) = connect(&world, &server, middle).await;
        exchange(&ours, &theirs, 50_000).await;
    });
}

#[test]
fn a_client_that_goes_to_another_address_of_the_server_is_answered_from_there() {
    let world = World::new(6);
    let addresses = [3, 4].map(|last| IpAddr::from([192, 0, 2, last]));
    world.server.set_addresses(&addresses);
    let any = UdpBind::on(SocketAddr::from(([0, 0, 0, 0], 443)));
    let options = EndpointOptions::default();
    let config = Some(world.server_config());
    let server = Endpoint::bind(world.server.clone(), any, &options, config).unwrap();
    // The middle goes to the second address from the tenth packet with a short header on, and
    // hears only that one then.
    let address = SocketAddr::new(world.middle.addresses()[0], 443);
    let front = world.middle.udp_bind(UdpBind::on(address)).unwrap();
    let to = |address| UdpBind::to(SocketAddr::new(address, 443));
    let backs = addresses.map(|address| world.middle.udp_bind(to(address)).unwrap());
    world.middle.spawn(Box::pin(async move {
        let (mut client, mut count, mut buffer) = (None, 0, vec![0; 65_536]);
        loop {
            let back = &backs[usize::from(count >= 10)];
            either_readable(&*front, &**back).await;
            while let Ok(received) = back.try_receive(&mut buffer) {
                let _ = front.try_send(&buffer[..received.len], client);
            }
            if let Ok(received) = front.try_receive(&mut buffer) {
                client = Some(received.remote);
                count += u32::from(buffer[0] & 0x80 == 0);
                let _ = backs[usize::from(count >= 10)].try_send(&buffer[..received.len], None);
            }
        }
    }));
    world.sim.block_on(async {
        let (ours, theirs) = connect(&world, &server, address).await;
        assert_eq!(theirs.local_ip(), Some(addresses[0]));
        let mut events = theirs.path_events();
        exchange(&ours, &theirs, 200_000).await;
        assert_eq!(theirs.local_ip(), Some(addresses[1]));
        let (from, to) = (Some(addresses[0]), Some(addresses[1]));
        while events.next().await != Ok(PathEvent::LocalAddressChanged { from, to }) {}
    });
}

/// Destination and source of a packet with a long header.
fn identifiers(packet: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let len = usize::from(packet[5]);
    let (destination, rest) = packet[6..].split_at(len);
    let source = &rest[1..1 + usize::from(rest[0])];
    (destination.to_vec(), source.to_vec())
}

#[test]
fn guesses_at_stateless_resets_end_no_connection() {
    for seed in seeds(5) {
        let world = World::new(seed);
        let server = world.server(world.server_config());
        let mut numbers = seed;
        let middle = world.tamper(server.local_address(), move |is_clients, datagram| {
            let mut guess = vec![0; 60];
            for byte in &mut guess {
                numbers = numbers.wrapping_mul(6_364_136_223_846_793_005) + 1;
                *byte = (numbers >> 56) as u8;
            }
            guess[0] = 0x40 | guess[0] & 0x3f;
            if datagram[0] & 0x80 == 0 {
                // The identifier that is in use, to whomever it goes.
                guess[1..9].copy_from_slice(&datagram[1..9]);
            }
            vec![(is_clients, guess), (is_clients, datagram)]
        });
        world.sim.block_on(async {
            let (ours, theirs) = connect(&world, &server, middle).await;
            exchange(&ours, &theirs, 50_000).await;
            assert_eq!((ours.error(), theirs.error()), (None, None));
        });
    }
}

#[test]
fn damaged_and_cut_packets_are_as_good_as_lost() {
    for seed in seeds(20) {
        let world = World::new(seed);
        let link = world.sim.link("client", "middle");
        link.update(Direction::Both, |options| options.corrupt = 0.05);
        let server = world.server(world.server_config());
        let mut numbers = seed;
        let middle = world.tamper(server.local_address(), move |is_clients, mut datagram| {
            numbers = numbers.wrapping_mul(6_364_136_223_846_793_005) + 1;
            let number = (numbers >> 33) as usize;
            if number.is_multiple_of(20) {
                datagram.truncate(number / 20 % datagram.len());
            }
            vec![(is_clients, datagram)]
        });
        world.sim.block_on(async {
            let (ours, theirs) = connect(&world, &server, middle).await;
            exchange(&ours, &theirs, 100_000).await;
        });
    }
}

#[test]
fn a_client_behind_a_nat_that_changes_its_mind_keeps_its_connection_and_its_shard() {
    for seed in seeds(4) {
        let world = World::new(seed);
        let public = "203.0.113.1".parse().unwrap();
        let nat = world.sim.nat(public, &["client"]);
        for second in 1..8 {
            let at = Time::from_origin(Duration::from_secs(second * 4));
            nat.rebind_at(at);
            let moved = format!("203.0.113.{}", 10 + second).parse().unwrap();
            nat.move_at(at + Duration::from_secs(2), moved);
        }
        let shards: Vec<Endpoint> = Shard::group(3)
            .into_iter()
            .map(|shard| world.shard(world.server_config(), Some(shard)))
            .collect();
        let client = world.client();
        let remote = shards[0].local_address();
        world.sim.block_on(async {
            let connecting = client.connect(&world.client_config(), remote, NAME);
            let ours = connecting.unwrap().await.unwrap();
            let holder = shards.iter().position(|it| it.connections() == 1).unwrap();
            let theirs = shards[holder].accept().await.unwrap().unwrap();
            let mut seen = std::collections::BTreeSet::new();
            while world.sim.now() < Time::from_origin(Duration::from_secs(33)) {
                exchange(&ours, &theirs, 5_000).await;
                seen.insert(theirs.remote_address());
                let mut timer = world.client.timer();
                timer.reset(Some(world.sim.now() + Duration::from_millis(900)));
                std::future::poll_fn(|context| timer.poll_expired(context)).await;
            }
            assert!(seen.len() > 10, "{seen:?}");
            let counts = shards.iter().map(Endpoint::connections);
            assert_eq!(counts.sum::<usize>(), 1);
            assert_eq!(shards[holder].connections(), 1);
            ours.close(1.into(), b"");
            let closed = theirs.closed().await;
            assert!(matches!(closed, ConnectionError::ClosedByPeer { .. }));
        });
    }
}
