//! Names: resolved by the product's own resolver, early or within a race.

use crate::support::{framed, listen, loopback};
use portway::{RemoteEndpoint, Security};

#[tokio::test]
async fn localhost_connects_without_any_route_to_the_outside() {
    let preconnection = framed(Security::disabled());
    let (mut listener, address) = listen(&preconnection).await;
    let remote = RemoteEndpoint::host_name("localhost").port(address.port());
    let client = preconnection
        .clone()
        .remote(remote)
        .initiate()
        .await
        .expect("a connection");
    client.send("hello").await.expect("accepted");
    let server = listener.accept().await.expect("a peer");
    assert_eq!(&server.receive().await.expect("a message")[..], b"hello");
    assert!(
        client
            .report()
            .is_some_and(|report| report.winner().is_some())
    );
}

#[tokio::test]
async fn resolve_gives_addresses_of_both_sides() {
    let remote = RemoteEndpoint::host_name("localhost").port(7);
    let preconnection = framed(Security::disabled()).remote(remote);
    let resolved = preconnection
        .resolve()
        .await
        .expect("localhost always resolves");
    let addresses: Vec<_> = resolved
        .remotes
        .iter()
        .filter_map(RemoteEndpoint::ip_address)
        .collect();
    assert!(addresses.contains(&loopback()), "{addresses:?}");
    assert!(
        resolved
            .remotes
            .iter()
            .all(|remote| remote.resolved_port() == Some(7))
    );
    let locals: Vec<_> = resolved
        .locals
        .iter()
        .filter_map(portway::LocalEndpoint::ip_address)
        .collect();
    assert!(locals.contains(&loopback()), "{locals:?}");
}

#[tokio::test]
async fn a_local_port_that_was_asked_for_is_the_one_in_use() {
    let preconnection = framed(Security::disabled());
    let (_listener, address) = listen(&preconnection).await;
    let port = portway_tests::free_port();
    let local = portway::LocalEndpoint::address(loopback()).port(port);
    let client = preconnection
        .local(local)
        .remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    assert_eq!(client.info().local.map(|local| local.port()), Some(port));
}
