//! Address translation: what each side sees, who may enter, and what a rebinding breaks.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use portway_core::WireProtocol;
use portway_sim::{NatHandle, NatKind};
use portway_transport::environment::{Environment, ListenAddress, TcpConnect, UdpBind, UdpSocket};
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use support::*;

struct Natted {
    pair: Pair,
    nat: NatHandle,
    remote: SocketAddr,
}

/// The client is behind a NAT for IPv4; the server is not.
fn natted() -> Natted {
    let pair = pair(1);
    pair.client.set_addresses(&["10.0.0.2".parse().unwrap()]);
    pair.server.set_addresses(&["192.0.2.80".parse().unwrap()]);
    let nat = pair.sim.nat("203.0.113.1".parse().unwrap(), &["client"]);
    let remote = address(&pair.server, 443);
    Natted { pair, nat, remote }
}

impl Natted {
    fn sockets(&self) -> (Arc<dyn UdpSocket>, Arc<dyn UdpSocket>) {
        let server = self.pair.server.udp_bind(UdpBind::on(self.remote)).unwrap();
        let client = self.pair.client.udp_bind(UdpBind::to(self.remote)).unwrap();
        (client, server)
    }

    /// The address that the server sees when the client sends.
    fn seen(&self, client: &dyn UdpSocket, server: &dyn UdpSocket) -> SocketAddr {
        client.try_send(b"hello", None).unwrap();
        self.pair.sim.block_on(receive(server)).unwrap().0.remote
    }
}

#[test]
fn tcp_works_through_the_nat_and_the_server_sees_the_public_address() {
    let natted = natted();
    let pair = &natted.pair;
    let listener = pair
        .server
        .tcp_listen(ListenAddress::on(natted.remote))
        .unwrap();
    let request = TcpConnect::to(natted.remote);
    pair.sim.block_on(async {
        let stream = pair.client.tcp_connect(request).await.unwrap();
        let accepted = accept(&*listener).await;
        let seen = accepted.peer_address();
        assert_eq!(seen.ip().to_string(), "203.0.113.1");
        let mapped = natted
            .nat
            .public_address(WireProtocol::Tcp, stream.local_address());
        assert_eq!(mapped, Some(seen));
        write_all(&*accepted, b"through").await.unwrap();
        assert_eq!(read_some(&*stream).await.unwrap(), b"through");
    });
}

#[test]
fn rebinding_gives_udp_a_new_port_and_breaks_tcp() {
    let natted = natted();
    let (client, server) = natted.sockets();
    let before = natted.seen(&*client, &*server);
    assert_eq!(natted.seen(&*client, &*server), before);
    let pair = &natted.pair;
    let listener = pair
        .server
        .tcp_listen(ListenAddress::on(natted.remote))
        .unwrap();
    let (stream, _accepted) = pair.sim.block_on(async {
        let request = TcpConnect::to(natted.remote);
        let stream = pair.client.tcp_connect(request).await.unwrap();
        (stream, accept(&*listener).await)
    });
    natted.nat.rebind();
    let after = natted.seen(&*client, &*server);
    assert_eq!(after.ip(), before.ip());
    assert_ne!(after.port(), before.port());
    server.try_send(b"late", Some(before)).unwrap();
    pair.sim.run_for(ms(50));
    let error = client.try_receive(&mut [0; 9]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "the old port is gone");
    stream.try_write_vectored(&[IoSlice::new(b"x")]).unwrap();
    let error = pair.sim.block_on(read_some(&*stream)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn mapping_that_is_not_used_expires() {
    let natted = natted();
    natted.nat.set_timeout(WireProtocol::Udp, ms(30_000));
    let (client, server) = natted.sockets();
    let before = natted.seen(&*client, &*server);
    natted.pair.sim.run_for(Duration::from_secs(29));
    assert_eq!(natted.seen(&*client, &*server), before);
    natted.pair.sim.run_for(Duration::from_secs(31));
    let mapped = natted
        .nat
        .public_address(WireProtocol::Udp, client.local_address());
    assert_eq!(mapped, None);
    assert_ne!(natted.seen(&*client, &*server), before);
}

#[test]
fn only_the_kind_decides_who_may_enter_through_a_mapping() {
    let cases = [
        (NatKind::FullCone, true),
        (NatKind::PortRestricted, false),
        (NatKind::Symmetric, false),
    ];
    for (kind, may_enter) in cases {
        let natted = natted();
        natted.nat.set_kind(kind);
        let (client, server) = natted.sockets();
        let public = natted.seen(&*client, &*server);
        drop(client);
        let local: SocketAddr = "10.0.0.2:49152".parse().unwrap();
        let open = natted.pair.client.udp_bind(UdpBind::on(local)).unwrap();
        let other = SocketAddr::new(natted.remote.ip(), 9999);
        let stranger = natted.pair.server.udp_bind(UdpBind::on(other)).unwrap();
        stranger.try_send(b"uninvited", Some(public)).unwrap();
        natted.pair.sim.run_for(ms(50));
        let entered = open.try_receive(&mut [0; 20]).is_ok();
        assert_eq!(entered, may_enter, "{kind:?}");
    }
}

#[test]
fn symmetric_nat_has_a_port_for_each_peer() {
    for (kind, is_same) in [(NatKind::PortRestricted, true), (NatKind::Symmetric, false)] {
        let natted = natted();
        natted.nat.set_kind(kind);
        let server = |port| {
            let local = SocketAddr::new(natted.remote.ip(), port);
            natted.pair.server.udp_bind(UdpBind::on(local)).unwrap()
        };
        let (one, two) = (server(1001), server(1002));
        let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
        let client = natted.pair.client.udp_bind(UdpBind::on(any)).unwrap();
        let seen_by = |socket: &Arc<dyn UdpSocket>| {
            client.try_send(b"x", Some(socket.local_address())).unwrap();
            natted
                .pair
                .sim
                .block_on(receive(&**socket))
                .unwrap()
                .0
                .remote
        };
        assert_eq!(seen_by(&one) == seen_by(&two), is_same, "{kind:?}");
    }
}

#[test]
fn inside_address_is_not_reachable_from_outside() {
    let natted = natted();
    let inside = address(&natted.pair.client, 7);
    let local = natted.pair.client.udp_bind(UdpBind::on(inside)).unwrap();
    let outside = natted.pair.server.udp_bind(UdpBind::to(inside)).unwrap();
    outside.try_send(b"direct", None).unwrap();
    natted.pair.sim.run_until_idle();
    assert!(local.try_receive(&mut [0; 20]).is_err());
}

#[test]
fn the_port_and_the_address_change_at_the_times_that_were_set() {
    let natted = natted();
    let (client, server) = natted.sockets();
    let moved = "203.0.113.9".parse().unwrap();
    natted.nat.rebind_at(at(1000)).move_at(at(2000), moved);
    let mut seen = Vec::new();
    for time in [0, 990, 1010, 1990, 2010] {
        natted.pair.sim.run_until(at(time));
        seen.push(natted.seen(&*client, &*server));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[2], seen[3]);
    assert_eq!(seen[1].ip(), seen[2].ip());
    assert_ne!(seen[1].port(), seen[2].port());
    assert_eq!(seen[4].ip(), moved);
    // What is still sent to the old address finds nobody.
    server.try_send(b"late", Some(seen[3])).unwrap();
    natted.pair.sim.run_for(ms(100));
    assert!(client.try_receive(&mut [0; 9]).is_err());
}
