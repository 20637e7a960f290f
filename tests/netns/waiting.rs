//! Connections that wait for a route instead of failing (RFC 9622 §7.1, ledger T41).

use crate::log::Log;
use crate::names::{NAME, Names};
use crate::world::{BEYOND, FAR_V4, World, context_with_dns, plain};
use portway::race::EventKind;
use portway::{Connection, ConnectionEvent, Events, Preconnection, RemoteEndpoint, Security};

/// Starts a connection that has to wait, and gives the reason once it does.
async fn waiting(preconnection: &Preconnection, log: &Log) -> (Connection, Events, String) {
    let initiate = preconnection.initiate().on_event(log.sink());
    let connection = initiate.background().expect("a plan");
    let mut events = connection.events();
    loop {
        match events.next().await.expect("an event") {
            ConnectionEvent::Waiting(reason) => return (connection, events, reason),
            ConnectionEvent::Race(_) => {}
            other => panic!("{other:?} before a route was there"),
        }
    }
}

/// After the change of the network: the monitor told of it, which resumed the race.
fn assert_woken(log: &Log) {
    eprintln!("{}\n", log.text());
    log.assert_order(&[
        ("it waits", &|event| {
            matches!(event, EventKind::Waiting { .. })
        }),
        ("the monitor tells", &|event| {
            matches!(event, EventKind::PathsChanged { .. })
        }),
        ("an attempt", &|event| {
            matches!(event, EventKind::AttemptStarted { .. })
        }),
        ("it wins", &|event| matches!(event, EventKind::Won { .. })),
    ]);
}

#[test]
fn a_connection_comes_up_when_the_default_route_is_added() {
    let Some(world) = World::unconnected("a_connection_comes_up_when_the_default_route_is_added")
    else {
        return;
    };
    world.far.command("ip addr add 198.51.100.1/32 dev lo");
    world.near.command("ip addr add 192.0.2.1/24 dev near");
    world.run(|| async {
        let listener = world.far_listener(BEYOND);
        let address = listener.local_addr().expect("bound");
        let log = Log::default();
        let (connection, mut events, reason) = waiting(&plain(address), &log).await;
        assert!(reason.contains("no route to 198.51.100.1"), "{reason}");
        world.near.command("ip route add default via 192.0.2.2");
        connection.ready().await.expect("a route is there");
        assert_woken(&log);
        assert_eq!(connection.info().remote, Some(address));
        let mut told = Vec::new();
        while told.last() != Some(&ConnectionEvent::Ready) {
            told.push(events.next().await.expect("an event"));
        }
    });
}

#[test]
fn a_connection_comes_up_when_a_route_to_its_network_is_added() {
    let Some(world) =
        World::unconnected("a_connection_comes_up_when_a_route_to_its_network_is_added")
    else {
        return;
    };
    world.far.command("ip addr add 198.51.100.1/32 dev lo");
    world.near.command("ip addr add 192.0.2.1/24 dev near");
    world.run(|| async {
        let listener = world.far_listener(BEYOND);
        let address = listener.local_addr().expect("bound");
        let log = Log::default();
        let (connection, _, reason) = waiting(&plain(address), &log).await;
        assert!(reason.contains("no route to 198.51.100.1"), "{reason}");
        world
            .near
            .command("ip route add 198.51.100.0/24 via 192.0.2.2");
        connection.ready().await.expect("a route is there");
        assert_woken(&log);
    });
}

#[test]
fn a_connection_comes_up_when_an_address_is_added() {
    let Some(world) = World::unconnected("a_connection_comes_up_when_an_address_is_added") else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let address = listener.local_addr().expect("bound");
        let log = Log::default();
        let (connection, _, reason) = waiting(&plain(address), &log).await;
        assert!(reason.contains("no path has an IPv4 route"), "{reason}");
        world.near.command("ip addr add 192.0.2.1/24 dev near");
        connection.ready().await.expect("a route is there");
        assert_woken(&log);
    });
}

#[test]
fn a_connection_comes_up_when_its_interface_does() {
    let Some(world) = World::new("a_connection_comes_up_when_its_interface_does") else {
        return;
    };
    world.near.command("ip link set near down");
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let address = listener.local_addr().expect("bound");
        let log = Log::default();
        let (connection, _, reason) = waiting(&plain(address), &log).await;
        assert!(!reason.is_empty());
        world.near.command("ip link set near up");
        connection.ready().await.expect("a route is there");
        assert_woken(&log);
    });
}

#[test]
fn a_name_is_asked_for_again_when_the_route_is_there() {
    let Some(world) = World::unconnected("a_name_is_asked_for_again_when_the_route_is_there")
    else {
        return;
    };
    world.run(|| async {
        let listener = world.far_listener(FAR_V4);
        let port = listener.local_addr().expect("bound").port();
        let names = Names::start(&world, &[FAR_V4.into()], None);
        let preconnection = Preconnection::new(Security::disabled())
            .context(&context_with_dns(names.address))
            .remote(RemoteEndpoint::host_name(NAME).port(port));
        let log = Log::default();
        let (connection, _, reason) = waiting(&preconnection, &log).await;
        assert!(reason.contains("route"), "{reason}");
        world.near.command("ip addr add 192.0.2.1/24 dev near");
        world.near.command("ip route add default via 192.0.2.2");
        connection.ready().await.expect("a route is there");
        assert_woken(&log);
    });
}
