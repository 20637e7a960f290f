//! The UDP model: datagrams over links that lose, delay, double and refuse.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use portway_core::WireProtocol;
use portway_sim::{Direction, WireKind};
use portway_transport::environment::{Environment, UdpBind, UdpSocket};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use support::*;

/// A connected socket of the client and a bound one of the server.
fn sockets(pair: &Pair) -> (Arc<dyn UdpSocket>, Arc<dyn UdpSocket>) {
    let server = pair.server.udp_bind(UdpBind::on(pair.remote())).unwrap();
    let client = pair.client.udp_bind(UdpBind::to(pair.remote())).unwrap();
    (client, server)
}

/// Everything that has arrived, after all packets have.
fn drain(pair: &Pair, socket: &dyn UdpSocket) -> Vec<Vec<u8>> {
    pair.sim.run_for(ms(1000));
    let mut out = vec![0; 65_536];
    let mut all = Vec::new();
    while let Ok(received) = socket.try_receive(&mut out) {
        all.push(out[..received.len].to_vec());
    }
    all
}

#[test]
fn datagram_arrives_whole_with_its_addresses_and_the_answer_comes_back() {
    let pair = pair(1);
    let (client, server) = sockets(&pair);
    client.try_send(b"question", None).unwrap();
    let (received, bytes) = pair.sim.block_on(receive(&*server)).unwrap();
    assert_eq!(bytes, b"question");
    assert_eq!(received.remote, client.local_address());
    assert_eq!(received.local, Some(pair.remote().ip()));
    assert_eq!(received.ecn, Some(0));
    assert_eq!(pair.sim.now(), at(10));
    server.try_send(b"answer", Some(received.remote)).unwrap();
    let (_, bytes) = pair.sim.block_on(receive(&*client)).unwrap();
    assert_eq!(bytes, b"answer");
}

#[test]
fn link_may_mark_congestion() {
    let pair = pair(1);
    let (client, server) = sockets(&pair);
    pair.sim
        .link("client", "server")
        .update(Direction::Forward, |options| options.ecn = Some(3));
    client.try_send(b"x", None).unwrap();
    let (received, _) = pair.sim.block_on(receive(&*server)).unwrap();
    assert_eq!(received.ecn, Some(3));
}

#[test]
fn loss_takes_about_its_share() {
    let pair = pair(7);
    let (client, server) = sockets(&pair);
    pair.sim.link("client", "server").set_loss(0.25);
    for number in 0..1000u16 {
        client.try_send(&number.to_be_bytes(), None).unwrap();
    }
    let arrived = drain(&pair, &*server).len();
    assert!((700..800).contains(&arrived), "{arrived} of 1000 arrived");
}

#[test]
fn reordering_and_duplication_change_order_and_number_but_no_content() {
    let pair = pair(3);
    let (client, server) = sockets(&pair);
    pair.sim
        .link("client", "server")
        .update(Direction::Both, |options| {
            options.reorder = 0.2;
            options.duplicate = 0.2;
        });
    let numbers: Vec<Vec<u8>> = (0..100u8).map(|number| vec![number]).collect();
    for number in &numbers {
        client.try_send(number, None).unwrap();
        pair.sim.run_for(ms(1));
    }
    let arrived = drain(&pair, &*server);
    assert!(arrived.len() > 100, "some arrived twice");
    assert!(!arrived.is_sorted(), "some were overtaken");
    let distinct: BTreeSet<_> = arrived.into_iter().collect();
    assert_eq!(distinct.into_iter().collect::<Vec<_>>(), numbers);
}

#[test]
fn connected_socket_learns_that_the_port_is_closed_and_others_do_not() {
    let pair = pair(1);
    let connected = pair.client.udp_bind(UdpBind::to(pair.remote())).unwrap();
    let any: SocketAddr = "[::]:0".parse().unwrap();
    let unconnected = pair.client.udp_bind(UdpBind::on(any)).unwrap();
    connected.try_send(b"x", None).unwrap();
    unconnected.try_send(b"x", Some(pair.remote())).unwrap();
    let error = pair.sim.block_on(receive(&*connected)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(pair.sim.now(), at(20));
    pair.sim.run_until_idle();
    let error = unconnected.try_receive(&mut [0; 9]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    connected.try_send(b"y", None).unwrap();
}

#[test]
fn silent_port_and_blocked_protocol_answer_nothing() {
    let pair = pair(1);
    let (client, server) = sockets(&pair);
    pair.server.silence(WireProtocol::Udp, 443);
    client.try_send(b"silenced", None).unwrap();
    assert!(drain(&pair, &*server).is_empty());
    pair.server.unsilence(WireProtocol::Udp, 443);
    pair.sim.link("client", "server").block(WireProtocol::Udp);
    client.try_send(b"blocked", None).unwrap();
    assert!(drain(&pair, &*server).is_empty());
    assert!(client.take_nothing(), "no ICMP error came back");
    let _listener = pair.listen();
    let request = portway_transport::environment::TcpConnect::to(pair.remote());
    let stream = pair.sim.block_on(pair.client.tcp_connect(request));
    assert!(stream.is_ok(), "TCP is not blocked");
}

trait TakeNothing {
    fn take_nothing(&self) -> bool;
}

impl TakeNothing for Arc<dyn UdpSocket> {
    fn take_nothing(&self) -> bool {
        let result = self.try_receive(&mut [0; 1]);
        result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

#[test]
fn payload_above_the_protocols_limit_is_refused() {
    let pair = pair(1);
    let (client, server) = sockets(&pair);
    let max = client.payload_max(pair.remote(), true);
    assert_eq!(max, 65_527);
    let error = client.try_send(&vec![0; max + 1], None).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    client.try_send(&pattern(max), None).unwrap();
    assert_eq!(drain(&pair, &*server), [pattern(max)], "in fragments");
}

#[test]
fn link_with_a_smaller_mtu_refuses_once_and_then_fragments_pass() {
    let pair = pair(1);
    let (client, server) = sockets(&pair);
    pair.sim.link("client", "server").set_mtu(1300);
    assert_eq!(client.payload_max(pair.remote(), false), 1452);
    client.try_send(&pattern(1400), None).unwrap();
    let error = pair.sim.block_on(receive(&*client)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(client.payload_max(pair.remote(), false), 1252);
    client.try_send(&pattern(1400), None).unwrap();
    assert_eq!(drain(&pair, &*server), [pattern(1400)]);
}

#[test]
fn datagram_longer_than_the_buffer_is_an_error_and_consumed() {
    let pair = pair(1);
    let (client, server) = sockets(&pair);
    client.try_send(b"too long", None).unwrap();
    client.try_send(b"fits", None).unwrap();
    pair.sim.run_for(ms(20));
    let mut out = [0; 4];
    let error = server.try_receive(&mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(server.try_receive(&mut out).unwrap().len, 4);
    assert_eq!(&out, b"fits");
}

#[test]
fn connected_socket_takes_only_its_peer_and_the_bound_one_the_rest() {
    let pair = pair(1);
    let third = pair.sim.host("third");
    let (client, server) = sockets(&pair);
    let peer = UdpBind::to(pair.remote());
    let stranger = third.udp_bind(peer).unwrap();
    stranger.try_send(b"from third", None).unwrap();
    stranger
        .try_send(b"to client", Some(client.local_address()))
        .unwrap();
    assert_eq!(drain(&pair, &*server), [b"from third"]);
    assert!(client.take_nothing());
}

#[test]
fn full_queue_loses_datagrams_or_holds_the_sender() {
    for holds_senders in [false, true] {
        let pair = pair(1);
        let (client, server) = sockets(&pair);
        let link = pair.sim.link("client", "server");
        link.set_rate(100_000, 10_000);
        link.update(Direction::Both, |options| {
            options.holds_senders = holds_senders
        });
        pair.sim.block_on(async {
            for _ in 0..50 {
                let datagram = [0; 952];
                while let Err(error) = client.try_send(&datagram, None) {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    std::future::poll_fn(|context| client.poll_writable(context))
                        .await
                        .unwrap();
                }
            }
        });
        let arrived = drain(&pair, &*server).len();
        assert_eq!(arrived, if holds_senders { 50 } else { 10 });
    }
}

#[test]
fn receive_buffer_has_a_bound() {
    let pair = pair(1);
    let (client, server) = sockets(&pair);
    for _ in 0..300 {
        client.try_send(&[0; 1000], None).unwrap();
    }
    assert_eq!(drain(&pair, &*server).len(), 212);
}

#[test]
fn batch_sends_every_datagram() {
    let pair = pair(1);
    let (client, server) = sockets(&pair);
    let sent = client.try_send_batch(&[b"one", b"two"], None).unwrap();
    assert_eq!(sent, 2);
    assert_eq!(drain(&pair, &*server), [b"one", b"two"]);
    let log = pair.sim.wire_log();
    assert!(log.iter().all(|event| event.kind == WireKind::Datagram));
    drop((client, server));
    assert_eq!(pair.sim.sockets_open(), 0);
}
