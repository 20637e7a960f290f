//! Listeners: limits, stopping, several stacks on one port, constrained remotes.

use crate::support::{framed, listen, loopback};
use portway::{
    Context, Environment, EstablishmentError, LocalEndpoint, MessageProperties, Preconnection,
    RealConfig, RealEnvironment, RemoteEndpoint, Security, StackId, TransportProperties,
};
use portway_sim::{Alteration, Altered};
use portway_transport::environment::{ListenAddress, TcpListener, UdpBind, UdpSocket};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

#[tokio::test]
async fn the_limit_counts_down_pauses_at_zero_and_resumes() {
    let preconnection = framed(Security::disabled());
    let (mut listener, address) = listen(&preconnection).await;
    listener.set_connection_limit(Some(1));
    let client = preconnection.clone().remote(RemoteEndpoint::from(address));
    let first = client.initiate().await.expect("a connection");
    let second = client.initiate().await.expect("the system takes it");
    assert!(listener.accept().await.is_some());
    assert_eq!(listener.connection_limit(), Some(0));
    // Nothing is delivered now, however often the listener is asked.
    for _ in 0..16 {
        let mut accept = pin!(listener.accept());
        let is_pending = poll_fn(|context| Poll::Ready(accept.as_mut().poll(context).is_pending()));
        assert!(is_pending.await, "the listener is paused");
        tokio::task::yield_now().await;
    }
    listener.set_connection_limit(None);
    assert!(listener.accept().await.is_some(), "resumed");
    drop((first, second));
}

#[tokio::test]
async fn a_stopped_listener_ends_and_refuses_who_comes_later() {
    let preconnection = framed(Security::disabled());
    let (mut listener, address) = listen(&preconnection).await;
    listener.stop();
    assert!(listener.accept().await.is_none());
    let client = preconnection.clone().remote(RemoteEndpoint::from(address));
    let refused = client.initiate().await.expect_err("nobody listens");
    let report = refused.report().expect("a race");
    assert!(refused.to_string().contains("refused"), "{refused}");
    assert_eq!(report.attempts.len(), 1);
}

#[tokio::test]
async fn tcp_and_udp_share_one_port() {
    let preconnection = Preconnection::new(Security::disabled())
        .properties(TransportProperties::new())
        .message_defaults(MessageProperties::new().with_safely_replayable(true));
    let properties = TransportProperties::new()
        .no_preference(portway::SelectionProperty::Reliability)
        .no_preference(portway::SelectionProperty::PreserveOrder)
        .no_preference(portway::SelectionProperty::CongestionControl);
    let server = preconnection.clone().properties(properties);
    let listener = server
        .local(LocalEndpoint::address(loopback()))
        .listen()
        .await
        .expect("a listener");
    let addresses = listener.local_addresses();
    let stacks: Vec<_> = addresses.iter().map(|(stack, _)| stack.clone()).collect();
    assert!(
        stacks.contains(&StackId::TCP) && stacks.contains(&StackId::UDP),
        "{stacks:?}"
    );
    assert!(
        addresses
            .iter()
            .all(|(_, address)| address.port() == listener.port())
    );
}

#[tokio::test]
async fn a_listener_with_remotes_admits_only_those() {
    let preconnection = framed(Security::disabled());
    let other = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2));
    let server = preconnection.clone().remote(RemoteEndpoint::address(other));
    let (mut listener, address) = listen(&server).await;
    let strange = preconnection.clone().remote(RemoteEndpoint::from(address));
    let strange = strange.initiate().await.expect("TCP alone cannot tell");
    assert!(strange.receive().await.is_err(), "not admitted");
    let known = preconnection.local(LocalEndpoint::address(other));
    let known = known.remote(RemoteEndpoint::from(SocketAddr::new(
        loopback(),
        address.port(),
    )));
    let known = known.initiate().await.expect("a connection");
    let accepted = listener.accept().await.expect("admitted");
    assert_eq!(accepted.info().remote, known.info().local);
}

#[tokio::test]
async fn a_change_after_listen_does_not_reach_the_listener() {
    let preconnection = framed(Security::disabled());
    let local = LocalEndpoint::address(loopback());
    let mut server = preconnection.clone().local(local);
    let mut listener = server.listen().await.expect("a listener");
    // From now on it would admit nobody that this host has, and frame otherwise.
    let stranger = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    server = server.remote(RemoteEndpoint::address(stranger));
    server = server.framer(portway::LengthPrefixed::u8());
    let address = SocketAddr::new(loopback(), listener.port());
    let client = preconnection.remote(RemoteEndpoint::from(address));
    let client = client.initiate().await.expect("a connection");
    client.send("as before").await.expect("accepted");
    let accepted = listener.accept().await.expect("admitted");
    let message = accepted.receive().await.expect("a message");
    assert_eq!(&message[..], b"as before");
    drop(server);
}

/// The real environment of a host whose system lacks address families.
struct Lacking {
    real: RealEnvironment,
    ipv4: bool,
    ipv6: bool,
}

impl Lacking {
    fn check(&self, address: SocketAddr) -> io::Result<()> {
        match address.is_ipv4() && self.ipv4 || address.is_ipv6() && self.ipv6 {
            true => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
            false => Ok(()),
        }
    }
}

impl Alteration for Lacking {
    type Inner = RealEnvironment;

    fn inner(&self) -> &RealEnvironment {
        &self.real
    }

    fn tcp_listen(&self, request: ListenAddress) -> io::Result<Box<dyn TcpListener>> {
        self.check(request.local)?;
        self.real.tcp_listen(request)
    }

    fn udp_bind(&self, request: UdpBind) -> io::Result<Arc<dyn UdpSocket>> {
        self.check(request.local)?;
        self.real.udp_bind(request)
    }
}

#[tokio::test]
async fn a_host_with_one_family_listens_on_that_one() {
    let on_a_host_without = |ipv4, ipv6| {
        let real = RealEnvironment::new(RealConfig::default());
        let context = Context::new(Arc::new(Altered(Lacking { real, ipv4, ipv6 })));
        framed(Security::disabled()).context(&context)
    };
    for (ipv4, ipv6) in [(true, false), (false, true)] {
        let server = on_a_host_without(ipv4, ipv6).local(LocalEndpoint::any());
        let mut listener = server.listen().await.expect("the other family");
        let (own, peer) = match ipv4 {
            true => (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into()),
            false => (IpAddr::from(Ipv4Addr::UNSPECIFIED), loopback()),
        };
        let addresses = listener.local_addresses().iter();
        assert!(addresses.map(|(_, at)| at.ip()).all(|ip| ip == own));
        let remote = RemoteEndpoint::from(SocketAddr::new(peer, listener.port()));
        let client = framed(Security::disabled()).remote(remote);
        client.initiate().await.expect("a connection");
        assert!(listener.accept().await.is_some());
    }
    let nowhere = on_a_host_without(true, true).local(LocalEndpoint::any());
    let error = nowhere.listen().await.expect_err("no family is left");
    assert!(matches!(error, EstablishmentError::Failed(_)), "{error}");
    // An address that was asked for is no choice.
    let asked = on_a_host_without(true, false).local(LocalEndpoint::address(loopback()));
    assert!(asked.listen().await.is_err());
}
