//! Sockets for packets: segments, batches, no fragmentation, a chosen source.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use portway_sim::Direction;
use portway_transport::environment::{DatagramBatch, Environment, Transmit, UdpBind, UdpSocket};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use support::*;

fn packet_sockets(pair: &Pair) -> (Arc<dyn UdpSocket>, Arc<dyn UdpSocket>) {
    let server = UdpBind::on(pair.remote()).for_packets();
    let client = UdpBind::to(pair.remote()).for_packets();
    let server = pair.server.udp_bind(server).unwrap();
    (pair.client.udp_bind(client).unwrap(), server)
}

#[test]
fn segments_travel_apart_and_arrive_joined_with_their_ecn_bits() {
    let pair = pair(46);
    let (client, server) = packet_sockets(&pair);
    let contents = pattern(5 * 1000 + 400);
    let transmit = Transmit {
        ecn: Some(0b10),
        segment_size: Some(1000),
        ..Transmit::to(pair.remote(), &contents)
    };
    client.try_transmit(&transmit).unwrap();
    assert_eq!(pair.sim.wire_log().len(), 6);
    pair.sim.run_for(ms(1000));
    let mut batch = DatagramBatch::new(4);
    assert_eq!(server.try_receive_batch(&mut batch).unwrap(), 1);
    let message = batch.messages().next().unwrap();
    assert_eq!(message.contents, contents);
    assert_eq!((message.stride, message.ecn), (1000, Some(2)));
    assert_eq!(message.local, Some(pair.remote().ip()));
    let error = server.try_receive_batch(&mut batch).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn segments_are_lost_and_marked_one_by_one() {
    let pair = pair(47);
    let (client, server) = packet_sockets(&pair);
    pair.sim.link("client", "server").set_loss(0.5);
    let contents: Vec<u8> = (0..60).flat_map(|number| [number; 100]).collect();
    let transmit = Transmit {
        segment_size: Some(100),
        ..Transmit::to(pair.remote(), &contents)
    };
    client.try_transmit(&transmit).unwrap();
    pair.sim.run_for(ms(1000));
    let mut batch = DatagramBatch::new(8);
    server.try_receive_batch(&mut batch).unwrap();
    let arrived: Vec<u8> = batch
        .messages()
        .flat_map(|message| message.datagrams().map(|it| it[0]).collect::<Vec<_>>())
        .collect();
    assert!((10..50).contains(&arrived.len()), "{arrived:?}");
    assert!(arrived.is_sorted());
}

#[test]
fn packets_are_never_fragmented_whatever_the_host_has_learnt() {
    let pair = pair(48);
    let (client, server) = packet_sockets(&pair);
    assert!(!client.may_fragment());
    let send = |len: usize| client.try_transmit(&Transmit::to(pair.remote(), &pattern(len)));
    assert_eq!(send(1453).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE));
    let link = pair.sim.link("client", "server");
    link.update(Direction::Both, |options| options.signals_mtu = false);
    link.set_mtu(1300);
    // A black hole for what is longer than 1252: it vanishes, whatever is tried again.
    for len in [1452, 1252, 1253, 1200] {
        send(len).unwrap();
    }
    pair.sim.run_for(ms(1000));
    let mut batch = DatagramBatch::new(8);
    server.try_receive_batch(&mut batch).unwrap();
    let lens: Vec<usize> = batch
        .messages()
        .flat_map(|message| message.datagrams().map(<[u8]>::len).collect::<Vec<_>>())
        .collect();
    assert_eq!(lens, [1252, 1200]);
}

#[test]
fn a_source_is_chosen_among_the_hosts_own_addresses() {
    let pair = pair(49);
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), pair.remote().port());
    let server = pair
        .server
        .udp_bind(UdpBind::on(any).for_packets())
        .unwrap();
    let client = pair.client.udp_bind(UdpBind::to(pair.remote())).unwrap();
    let answer = |source: IpAddr| {
        server.try_transmit(&Transmit {
            source: Some(source),
            ..Transmit::to(client.local_address(), b"answer")
        })
    };
    answer(pair.remote().ip()).unwrap();
    let foreign = answer(client.local_address().ip()).unwrap_err();
    assert_eq!(foreign.raw_os_error(), Some(libc::EINVAL));
    pair.sim.run_for(ms(1000));
    assert_eq!(client.try_receive(&mut [0; 9]).unwrap().len, 6);
}

#[test]
fn a_damaged_datagram_differs_in_one_bit_and_the_others_in_none() {
    let seed = 50;
    println!("seed {seed}");
    let pair = pair(seed);
    let (client, server) = packet_sockets(&pair);
    let link = pair.sim.link("client", "server");
    link.update(Direction::Forward, |options| options.corrupt = 0.3);
    let sent = pattern(900);
    let mut batch = DatagramBatch::new(1);
    let mut damaged = 0;
    for _ in 0..200 {
        client
            .try_transmit(&Transmit::to(pair.remote(), &sent))
            .unwrap();
        pair.sim.run_for(ms(20));
        server.try_receive_batch(&mut batch).unwrap();
        let message = batch.messages().next().unwrap();
        assert_eq!(message.contents.len(), sent.len());
        let pairs = message.contents.iter().zip(&sent);
        let bits: u32 = pairs.map(|(it, was)| (it ^ was).count_ones()).sum();
        assert!(bits <= 1);
        damaged += bits;
    }
    assert!((30..90).contains(&damaged), "{damaged} of 200");
}
