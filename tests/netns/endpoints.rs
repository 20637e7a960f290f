//! Local endpoints, interfaces and scope zones on a host with two cables (RFC 9622 §6.1).

use crate::capture::{Capture, SYN, Segment, TCP};
use crate::log::Log;
use crate::namespace::Namespace;
use crate::world::{BEYOND, FAR_V4, World, initiate, plain};
use portway::property::InterfaceSelector;
use portway::race::EventKind;
use portway::{
    Completion, LocalEndpoint, MessageProperties, Preconnection, Preference, RemoteEndpoint,
    Security, SelectionProperty, StackId, TransportProperties,
};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};

const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NEAR2: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// The connections that were begun over the captured interface.
fn begun(capture: &Capture) -> usize {
    let frames = capture.frames();
    let segments = frames.iter().filter_map(|frame| Segment::parse(frame));
    segments
        .filter(|segment| segment.protocol == TCP && segment.flags == SYN)
        .count()
}

#[test]
fn an_interface_on_a_local_endpoint_binds_the_connection_to_it() {
    let test = "an_interface_on_a_local_endpoint_binds_the_connection_to_it";
    let Some(world) = World::with_two_cables(test) else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(BEYOND);
        let address = listener.local_addr().expect("bound");
        for (interface, expected) in [(None, NEAR), (Some("near"), NEAR), (Some("near2"), NEAR2)] {
            let (first, second) = (
                Capture::start(&world.near, "near"),
                Capture::start(&world.near, "near2"),
            );
            let preconnection = interface.map_or_else(
                || plain(address),
                |name| plain(address).local(LocalEndpoint::any().interface(name)),
            );
            let connection = preconnection.initiate().await.expect("a route");
            let local = connection.info().local.expect("a socket").ip();
            assert_eq!(local, expected, "with {interface:?}");
            let counts = (begun(&first), begun(&second));
            let expected = if expected == NEAR { (1, 0) } else { (0, 1) };
            assert_eq!(counts, expected, "with {interface:?}");
        }
    });
}

/// Connects from `far` over TCP to an address of `near`.
fn connect(world: &World, address: impl Into<IpAddr>, port: u16) -> std::io::Result<TcpStream> {
    let address = SocketAddr::new(address.into(), port);
    world.far.run(|| TcpStream::connect(address))
}

#[test]
fn a_listener_on_an_interface_hears_that_interface_only() {
    let test = "a_listener_on_an_interface_hears_that_interface_only";
    let Some(world) = World::with_two_cables(test) else {
        return;
    };
    world.run(|| async {
        let local = LocalEndpoint::any().interface("near2");
        let mut listener = Preconnection::new(Security::disabled())
            .local(local)
            .listen()
            .await
            .expect("sockets");
        let port = listener.port();
        let refused = connect(&world, NEAR, port).expect_err("another interface");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        connect(&world, NEAR2, port).expect("over its own cable");
        let accepted = listener.accept().await.expect("a connection");
        assert_eq!(accepted.info().local, Some(SocketAddr::new(NEAR2, port)));
        // The same address by way of the other cable.
        world
            .far
            .command("ip route add 203.0.113.1/32 via 192.0.2.1 dev far");
        let refused = connect(&world, NEAR2, port).expect_err("another interface");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_listener_follows_the_addresses_of_its_interface() {
    let test = "a_listener_follows_the_addresses_of_its_interface";
    let Some(world) = World::with_two_cables(test) else {
        return;
    };
    world.run(|| async {
        let on_interface = LocalEndpoint::any().interface("near2");
        for local in [on_interface, LocalEndpoint::any()] {
            let mut listener = Preconnection::new(Security::disabled())
                .local(local)
                .listen()
                .await
                .expect("sockets");
            let port = listener.port();
            let late: [IpAddr; 2] = [
                Ipv4Addr::new(203, 0, 113, 77).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 77).into(),
            ];
            world
                .far
                .command("ip addr replace 2001:db8:2::2/64 dev far2 nodad");
            for (address, length) in late.iter().zip([24, 64]) {
                let change = |what: &str| {
                    let line = format!("ip addr {what} {address}/{length} dev near2");
                    world.near.command(&line);
                };
                change("add");
                connect(&world, *address, port).expect("the address is there");
                let accepted = listener.accept().await.expect("a connection");
                assert_eq!(accepted.info().local, Some(SocketAddr::new(*address, port)));
                change("del");
            }
        }
    });
}

#[test]
fn a_listener_takes_a_link_local_address_with_its_interface() {
    let test = "a_listener_takes_a_link_local_address_with_its_interface";
    let Some(world) = World::with_two_cables(test) else {
        return;
    };
    world
        .near
        .command("ip addr add fe80::77/64 dev near2 nodad");
    world.run(|| async {
        let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77);
        let local = LocalEndpoint::address(address).interface("near2");
        let mut listener = Preconnection::new(Security::disabled())
            .local(local)
            .listen()
            .await
            .expect("sockets");
        let zone = index(&world.far, "far2");
        let address = SocketAddrV6::new(address, listener.port(), 0, zone);
        let peer = world.far.run(|| TcpStream::connect(address));
        let peer = peer.expect("a neighbour").local_addr().expect("bound");
        let accepted = listener.accept().await.expect("a connection");
        let told = accepted.info().remote.expect("a peer");
        assert_eq!((told.ip(), told.port()), (peer.ip(), peer.port()));
    });
}

/// The index of an interface, which is its zone for the system.
fn index(namespace: &Namespace, interface: &str) -> u32 {
    let line = namespace.command(&format!("ip -o link show dev {interface}"));
    let index = line.split(':').next().expect("an index");
    index.trim().parse().expect("a number")
}

#[test]
fn a_zone_decides_which_of_two_equal_addresses_is_meant() {
    let Some(world) =
        World::with_two_cables("a_zone_decides_which_of_two_equal_addresses_is_meant")
    else {
        return;
    };
    let both = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xff);
    let mut listeners = Vec::new();
    let mut port = 0;
    for interface in ["far", "far2"] {
        let command = format!("ip addr add {both}/64 dev {interface} nodad");
        world.far.command(&command);
        let address = SocketAddrV6::new(both, port, 0, index(&world.far, interface));
        let listener = world.far.run(|| TcpListener::bind(address));
        let listener = listener.expect("a port of its own");
        port = listener.local_addr().expect("bound").port();
        listeners.push(listener);
    }
    world.run(|| async {
        for (interface, listener) in ["near", "near2"].iter().zip(&listeners) {
            let text = format!("[{both}%{interface}]:{port}");
            let parsed = text.parse::<RemoteEndpoint>().expect("an endpoint");
            let stated = RemoteEndpoint::address(both)
                .port(port)
                .interface(*interface);
            assert_eq!(parsed, stated);
            let connection = plain(stated).initiate().await.expect("a neighbour");
            let (socket, peer) = listener.accept().expect("it came by this cable");
            assert_eq!(
                Some(peer.port()),
                connection.info().local.map(|local| local.port())
            );
            drop(socket);
        }
    });
}

#[test]
fn several_local_endpoints_are_raced_as_equals() {
    let Some(world) = World::with_two_cables("several_local_endpoints_are_raced_as_equals") else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(BEYOND);
        let address = listener.local_addr().expect("bound");
        // What leaves from the first address is not answered.
        world
            .far
            .nft_input(&format!("ip saddr {NEAR} meta l4proto tcp drop"));
        let by_address = [LocalEndpoint::address(NEAR), LocalEndpoint::address(NEAR2)];
        let by_interface = ["near", "near2"].map(|name| LocalEndpoint::any().interface(name));
        for locals in [by_address, by_interface] {
            let log = Log::default();
            let preconnection = locals.iter().fold(plain(address), |preconnection, local| {
                preconnection.local(local.clone())
            });
            let connection = initiate(&preconnection, &log).await;
            eprintln!("{}\n", log.text());
            let connection = connection.expect("the other address is answered");
            assert_eq!(connection.info().local.map(|local| local.ip()), Some(NEAR2));
            assert_eq!(log.attempts(), [address, address]);
        }
    });
}

#[test]
fn paths_are_decided_before_protocols() {
    let Some(world) = World::with_two_cables("paths_are_decided_before_protocols") else {
        return;
    };
    let any_stack = || {
        TransportProperties::new()
            .no_preference(SelectionProperty::Reliability)
            .no_preference(SelectionProperty::PreserveOrder)
            .no_preference(SelectionProperty::CongestionControl)
    };
    let second = || InterfaceSelector::Instance("near2".to_owned());
    world.run(|| async {
        let listener = world.far_listener(BEYOND);
        let address = listener.local_addr().expect("bound");
        // The preferred path refuses the preferred protocol and has the other one.
        world
            .far
            .nft_input("iif far2 meta l4proto tcp reject with tcp reset");
        let rows = [
            (Preference::Prefer, StackId::UDP, NEAR2),
            (Preference::Avoid, StackId::TCP, NEAR),
            (Preference::Require, StackId::UDP, NEAR2),
            (Preference::Prohibit, StackId::TCP, NEAR),
        ];
        for (level, stack, local) in rows {
            let log = Log::default();
            let properties = any_stack()
                .prefer(SelectionProperty::Reliability)
                .with_interface(level, second());
            let preconnection = plain(address)
                .properties(properties)
                .message_defaults(MessageProperties::new().with_safely_replayable(true));
            let connection = initiate(&preconnection, &log).await;
            eprintln!("{}\n", log.text());
            let info = connection.expect("one of them is there").info();
            assert_eq!(info.stack, Some(stack), "{level:?}");
            assert_eq!(info.local.map(|local| local.ip()), Some(local), "{level:?}");
            let first = log.find_map(|event| match event {
                EventKind::AttemptStarted { leaf, .. } => Some(leaf.stack.clone()),
                _ => None,
            });
            assert_eq!(first[0], StackId::TCP, "the preferred protocol of its path");
        }
    });
}

#[test]
fn datagrams_are_answered_from_the_address_that_they_came_to() {
    let test = "datagrams_are_answered_from_the_address_that_they_came_to";
    let Some(world) = World::with_two_cables(test) else {
        return;
    };
    // Routing would answer each of them from the address of the first cable.
    world
        .far
        .command("ip route add 203.0.113.1/32 via 192.0.2.1 dev far");
    world
        .near
        .command("ip route add 203.0.113.2/32 via 192.0.2.2 dev near");
    world
        .near
        .command("ip addr add 2001:db8::77/64 dev near nodad");
    let datagrams = TransportProperties::unreliable_datagram();
    let datagrams = datagrams.prohibit(SelectionProperty::Reliability);
    world.run(|| async {
        let mut listener = Preconnection::new(Security::disabled())
            .local(LocalEndpoint::any())
            .properties(datagrams)
            .message_defaults(MessageProperties::new().with_safely_replayable(true))
            .listen()
            .await
            .expect("sockets");
        let any = |address: IpAddr| match address {
            IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            IpAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        let addresses: [IpAddr; 4] = [
            NEAR,
            NEAR2,
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77).into(),
        ];
        let mut peers = [any(NEAR), any(addresses[2])].map(|any| world.far_udp(any));
        for address in addresses {
            // One socket asks both addresses of a family, so that each is a connection.
            let peer = &mut peers[usize::from(address.is_ipv6())];
            let asked = SocketAddr::new(address, listener.port());
            peer.send_to(b"question", asked).expect("sent");
            let connection = listener.accept().await.expect("a peer");
            let question = connection.receive().await.expect("a message");
            assert_eq!(question.context.local_endpoint(), Some(asked));
            assert_eq!(connection.info().local, Some(asked));
            let receipt = connection.send("answer").await.expect("accepted");
            assert_eq!(receipt.await, Completion::Sent);
            let batch = connection.send_batch(["one", "two"]).await;
            for receipt in batch.expect("accepted") {
                assert_eq!(receipt.await, Completion::Sent);
            }
            for expected in ["answer", "one", "two"] {
                let mut buffer = [0; 64];
                let (len, from) = peer.recv_from(&mut buffer).expect("a datagram");
                assert_eq!(&buffer[..len], expected.as_bytes());
                assert_eq!(from, asked);
            }
        }
        // A broadcast address is nobody's to answer from.
        let peer = world.far_udp(SocketAddr::new(FAR_V4.into(), 0));
        peer.set_broadcast(true).expect("an option");
        let all = SocketAddr::from(([192, 0, 2, 255], listener.port()));
        peer.send_to(b"anybody?", all).expect("sent");
        let connection = listener.accept().await.expect("a peer");
        let receipt = connection.send("here").await.expect("accepted");
        assert_eq!(receipt.await, Completion::Sent);
        let mut buffer = [0; 64];
        let (len, from) = peer.recv_from(&mut buffer).expect("a datagram");
        assert_eq!((&buffer[..len], from.ip()), (&b"here"[..], NEAR));
    });
}
