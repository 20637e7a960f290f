//! What hostile peers and networks may not do to the QUIC driver, on the simulated network.

use crate::quic_driver::{Net, body, exchange};
use crate::support::{ms, seeds};
use portway_sim::{Direction, WireEvent};
use portway_transport::environment::{Environment, UdpBind, UdpSocket};
use portway_transport::quic::{AddressValidation, ConnectionError, StreamError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that came from the client, and those that the server sent to `to`, in their order; the
/// largest excess of the latter over three times of the former.
fn largest_excess(log: &[WireEvent], to: SocketAddr) -> (i64, u64) {
    let mut moments: Vec<_> = log
        .iter()
        .filter_map(|event| match event.host.as_str() {
            "client" => Some((event.arrives?, 0, event.bytes.len())),
            "server" if event.to == to => Some((event.time, 1, event.bytes.len())),
            _ => None,
        })
        .collect();
    // What arrives at a moment is answered at that moment.
    moments.sort_unstable();
    let (mut received, mut sent, mut excess) = (0_i64, 0_i64, i64::MIN);
    for (_, who, bytes) in moments {
        match who {
            0 => received += bytes as i64,
            _ => {
                sent += bytes as i64;
                excess = excess.max(sent - 3 * received);
            }
        }
    }
    (excess, sent as u64)
}

#[test]
fn an_address_that_was_not_shown_gets_at_most_three_times_of_what_came_from_it() {
    for seed in seeds(10) {
        let net = Net::with(seed, |server| {
            server.address_validation = AddressValidation::Never;
        });
        let link = net.sim.link("client", "server");
        link.set_delay(ms(10)).black_hole(Direction::Backward);
        let connecting = net
            .client
            .connect(&net.config, net.remote, crate::support::NAME);
        let connecting = connecting.expect("started");
        // Only the client's first flight comes; the server repeats its own as long as it may.
        net.sim.run_for(ms(5));
        link.black_hole(Direction::Both);
        net.sim.run_for(Duration::from_secs(15));
        drop(connecting);
        let log = net.sim.wire_log();
        let to = log
            .iter()
            .find(|it| it.host == "server")
            .expect("answered")
            .to;
        let (excess, sent) = largest_excess(&log, to);
        assert!(sent > 1200, "{sent} bytes were sent");
        assert!(excess <= 0, "{excess} bytes beyond the limit");
    }
}

#[test]
fn an_address_that_a_client_moved_to_gets_little_before_it_is_shown() {
    for seed in seeds(40) {
        let net = Net::new(seed);
        let link = net.sim.link("client", "server");
        link.set_delay(ms(10));
        let (client, server) = net.connect();
        if seed % 2 == 0 {
            net.sim.run_for(Duration::from_secs(2));
            net.sim.block_on(async {
                let mut stream = server.open_uni().await.expect("it lives");
                stream
                    .write_and_finish(body(1, 300_000))
                    .await
                    .expect("room");
            });
            net.sim.run_for(ms(25));
        } else {
            // The size that the path carries is being looked for.
            net.sim.run_for(ms(seed));
        }
        let before = server.remote_address();
        let moved_at = net.sim.host("client").now();
        net.nat.rebind();
        // The client's packets come from the new address, and it hears nothing there.
        link.black_hole(Direction::Backward);
        client.ping();
        for _ in 0..200 {
            net.sim.run_for(ms(5));
            let path = server.path();
            assert!(path.remote == before || !path.is_validated, "{path:?}");
        }
        let after = server.remote_address();
        let log: Vec<_> = net.sim.wire_log();
        let log: Vec<_> = log.into_iter().filter(|it| it.time >= moved_at).collect();
        let new = log
            .iter()
            .filter(|it| it.host == "server" && it.to != before);
        let to = new.map(|it| it.to).next().expect("it was tried");
        let (excess, sent) = largest_excess(&log, to);
        assert!(sent > 0);
        // RFC 9000 §8.2.1: a challenge fills a datagram, which goes at each attempt, whatever came.
        let attempts = 1 + server.path().moves_taken_back as i64;
        assert!(
            excess < attempts * 1452,
            "{excess} bytes beyond the limit, {sent} sent, {attempts} attempts, at {after}"
        );
        link.restore();
        net.finish((client, server));
    }
}

/// A socket of somebody on the way, who sees everything and can send from any host that is his.
fn stranger(net: &Net, host: &str, address: &str) -> Arc<dyn UdpSocket> {
    let host = net.sim.host(host);
    let address = crate::support::ip(address);
    host.set_addresses(&[address]);
    host.udp_bind(UdpBind::on(SocketAddr::new(address, 0)))
        .expect("a socket")
}

#[test]
fn guessed_resets_and_damaged_replayed_and_foreign_packets_end_nothing() {
    for seed in seeds(5) {
        let net = Net::new(seed);
        net.sim.link("client", "server").set_delay(ms(10));
        let (client, server) = net.connect();
        net.sim.block_on(exchange(&client, &server));
        let attacker = stranger(&net, "attacker", "198.51.100.66");
        let log = net.sim.wire_log();
        let packets: Vec<_> = log.iter().filter(|it| it.host == "client").collect();
        for packet in &packets {
            let replayed = packet.bytes.to_vec();
            let mut damaged = replayed.clone();
            let last = damaged.len() - 1;
            damaged[last] ^= 1;
            // A stateless reset looks like a short packet whose end is the token.
            let mut reset = replayed[..replayed.len().min(21)].to_vec();
            reset[0] = 0x40 | (reset[0] & 0x3f);
            reset.resize(43, 0xaa);
            for forged in [replayed, damaged, reset] {
                // A queue that is full loses them, as a network would.
                let _ = attacker.try_send(&forged, Some(net.remote));
            }
            net.sim.run_for(ms(1));
        }
        net.sim.block_on(exchange(&client, &server));
        assert_eq!(server.error(), None);
        assert_eq!(client.error(), None);
        assert_eq!(
            net.server.connections(),
            1,
            "replayed hellos are of that one"
        );
        drop(attacker);
        net.finish((client, server));
    }
}

#[test]
fn version_negotiation_and_retry_that_are_forged_do_not_stop_a_handshake() {
    for seed in seeds(5) {
        let net = Net::new(seed);
        let link = net.sim.link("client", "server");
        link.set_delay(ms(50));
        let connecting = net
            .client
            .connect(&net.config, net.remote, crate::support::NAME);
        let connecting = connecting.expect("started");
        net.sim.run_for(ms(51));
        // Somebody on the way has seen the first packet, and answers before the server does.
        let log = net.sim.wire_log();
        let first = log.iter().find(|it| it.host == "client").expect("sent");
        let (dcid_len, bytes) = (first.bytes[5] as usize, &first.bytes);
        let dcid = &bytes[6..6 + dcid_len];
        let scid_len = bytes[6 + dcid_len] as usize;
        let scid = &bytes[7 + dcid_len..7 + dcid_len + scid_len];
        let mut header = vec![scid_len as u8];
        header.extend_from_slice(scid);
        header.push(dcid_len as u8);
        header.extend_from_slice(dcid);
        // RFC 9000 §6.2: one that lists the version in use is ignored.
        let negotiation = [&[0x80, 0, 0, 0, 0][..], &header, &[0, 0, 0, 1]].concat();
        // RFC 9001 §5.8: one with a wrong tag, too.
        let retry = [&[0xf0, 0, 0, 0, 1][..], &header, b"token", &[7; 16]].concat();
        let server = net.sim.host("server");
        let spoofing = server.udp_bind(UdpBind::on(SocketAddr::new(net.remote.ip(), 0)));
        let spoofing = spoofing.expect("a socket");
        let to = SocketAddr::new(crate::support::ip("203.0.113.1"), 0);
        let mapped = log
            .iter()
            .find(|it| it.host == "server")
            .map_or(to, |it| it.to);
        for forged in [negotiation, retry] {
            let _ = spoofing.try_send(&forged, Some(mapped));
        }
        drop(spoofing);
        let pair = net.sim.block_on(async {
            let client = connecting.await.expect("connected");
            let server = net.server.accept().await.expect("open");
            (client, server.expect("the handshake"))
        });
        net.sim.block_on(exchange(&pair.0, &pair.1));
        net.finish(pair);
    }
}

#[test]
fn a_flood_of_first_packets_is_bounded_and_those_who_are_known_go_on() {
    let net = Net::with(1, |server| {
        server.incoming.backlog = 16;
        server.address_validation = AddressValidation::Never;
    });
    net.sim.link("client", "server").set_delay(ms(10));
    let (client, server) = net.connect();
    // Each begins and is never heard of again.
    let link = net.sim.link("client", "server");
    link.black_hole(Direction::Backward);
    let flood: Vec<_> = (0..100)
        .map(|_| {
            let name = crate::support::NAME;
            let begun = net.client.connect(&net.config, net.remote, name);
            begun.expect("started")
        })
        .collect();
    net.sim.run_for(ms(100));
    // The one that is known, and the backlog.
    assert!(
        net.server.connections() <= 17,
        "{}",
        net.server.connections()
    );
    link.restore();
    drop(flood);
    net.sim.block_on(exchange(&client, &server));
    // Failures are kept up to a bound of their own.
    net.sim.run_for(Duration::from_secs(15));
    assert_eq!(net.server.connections(), 1);
    net.finish((client, server));
}

#[test]
fn what_a_peer_sends_and_nobody_reads_is_bounded_by_the_windows() {
    let net = Net::with(1, |server| {
        server.transport.streams.window_bytes = 10_000;
        server.transport.streams.connection_window_bytes = 25_000;
        server.transport.streams.connection_window_bytes_max = 25_000;
        server.transport.streams.unidirectional_max = 10;
        server.transport.datagrams.receive_bytes = Some(20_000);
    });
    net.sim.link("client", "server").set_delay(ms(10));
    let (client, server) = net.connect();
    let written = net.sim.block_on(async {
        let mut written = 0;
        let mut streams = Vec::new();
        while client.capacity(portway_transport::quic::StreamKind::Unidirectional) > 0 {
            streams.push(client.open_uni().await.expect("allowed"));
        }
        assert_eq!(streams.len(), 10);
        for stream in &mut streams {
            let whole = vec![0; 50_000];
            let writing = stream.write_all(&whole);
            tokio::select! {
                biased;
                done = writing => panic!("{done:?} beyond the window"),
                () = client.sleep(ms(500)) => written += 1,
            }
        }
        written
    });
    assert_eq!(written, 10, "each waits");
    for _ in 0..100 {
        let _ = client.try_send_datagram(vec![0; 1000].into());
    }
    net.sim.run_for(Duration::from_secs(2));
    let mut datagrams = 0;
    net.sim.block_on(async {
        loop {
            tokio::select! {
                biased;
                datagram = server.receive_datagram() => {
                    datagrams += datagram.map_or(0, |it| it.len());
                }
                () = server.sleep(ms(10)) => break,
            }
        }
    });
    assert!((1000..=20_000).contains(&datagrams), "{datagrams}");
    // What was not read was not given up either.
    let received = net.sim.block_on(async {
        let mut received = 0;
        for _ in 0..10 {
            let stream = tokio::select! {
                biased;
                stream = server.accept_uni() => stream.expect("it came"),
                () = server.sleep(ms(10)) => break,
            };
            let mut stream = stream;
            tokio::select! {
                biased;
                chunk = stream.read_chunk(usize::MAX) => match chunk {
                    Ok(chunk) => received += chunk.map_or(0, |it| it.len()),
                    Err(error) => assert!(matches!(error, StreamError::Reset(_))),
                },
                () = server.sleep(ms(10)) => {}
            }
        }
        received
    });
    assert!(received > 0 && received <= 25_000, "{received}");
    assert!(matches!(
        server.error(),
        None | Some(ConnectionError::ClosedByPeer { .. })
    ));
    net.finish((client, server));
}
