//! UDP of the real environment on loopback.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its sockets shall fail"
)]

use portway_transport::RealEnvironment;
use portway_transport::environment::{Environment, ReceivedDatagram, UdpBind, UdpSocket};
use portway_transport::real::Config;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

fn bind(request: UdpBind) -> Arc<dyn UdpSocket> {
    RealEnvironment::new(Config::default())
        .udp_bind(request)
        .unwrap()
}

fn on(address: impl Into<IpAddr>) -> Arc<dyn UdpSocket> {
    bind(UdpBind::on(SocketAddr::new(address.into(), 0)))
}

async fn receive(socket: &dyn UdpSocket, out: &mut [u8]) -> io::Result<ReceivedDatagram> {
    loop {
        match socket.try_receive(out) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| socket.poll_readable(context)).await?;
            }
            result => return result,
        }
    }
}

async fn send(socket: &dyn UdpSocket, datagram: &[u8], remote: Option<SocketAddr>) {
    loop {
        match socket.try_send(datagram, remote) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| socket.poll_writable(context))
                    .await
                    .unwrap();
            }
            result => return result.unwrap(),
        }
    }
}

#[tokio::test]
async fn datagrams_arrive_whole_with_sender_local_address_and_ecn() {
    let families: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for address in families {
        let any: IpAddr = match address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let server = on(any);
        let to = SocketAddr::new(address, server.local_address().port());
        let mut request = UdpBind::to(to);
        request.dscp = Some(46);
        let client = bind(request);
        send(&*client, b"one", None).await;
        send(&*client, b"", None).await;
        let mut out = [0; 16];
        let received = receive(&*server, &mut out).await.unwrap();
        assert_eq!(&out[..received.len], b"one");
        assert_eq!(received.remote, client.local_address());
        assert_eq!(received.local, Some(address));
        assert_eq!(received.ecn, Some(0));
        assert_eq!(receive(&*server, &mut out).await.unwrap().len, 0);

        send(&*server, b"back", Some(received.remote)).await;
        let received = receive(&*client, &mut out).await.unwrap();
        assert_eq!((&out[..received.len], received.remote), (&b"back"[..], to));
    }
}

#[tokio::test]
async fn ecn_bits_are_seen() {
    let server = on(Ipv4Addr::LOCALHOST);
    let client = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket2::SockRef::from(&client).set_tos_v4(2).unwrap();
    client.send_to(b"x", server.local_address()).unwrap();
    let received = receive(&*server, &mut [0; 4]).await.unwrap();
    assert_eq!(received.ecn, Some(2));
}

#[tokio::test]
async fn a_datagram_that_does_not_fit_is_an_error_and_the_next_one_arrives() {
    let server = on(Ipv4Addr::LOCALHOST);
    let client = bind(UdpBind::to(server.local_address()));
    for datagram in [&b"12345"[..], b"1234"] {
        send(&*client, datagram, None).await;
    }
    let mut out = [0; 4];
    let error = receive(&*server, &mut out).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(receive(&*server, &mut out).await.unwrap().len, 4);
}

#[tokio::test]
async fn a_batch_keeps_boundaries_and_order() {
    let server = on(Ipv6Addr::LOCALHOST);
    let connected = bind(UdpBind::to(server.local_address()));
    let unconnected = on(Ipv6Addr::LOCALHOST);
    let datagrams: Vec<Vec<u8>> = (0..100).map(|len| vec![len; usize::from(len)]).collect();
    let datagrams: Vec<&[u8]> = datagrams.iter().map(Vec::as_slice).collect();
    for (client, remote) in [
        (&connected, None),
        (&unconnected, Some(server.local_address())),
    ] {
        let mut out = [0; 128];
        let mut sent = 0;
        while sent < datagrams.len() {
            poll_fn(|context| client.poll_writable(context))
                .await
                .unwrap();
            let taken = client.try_send_batch(&datagrams[sent..], remote).unwrap();
            assert!(taken > 0);
            for expected in &datagrams[sent..sent + taken] {
                let received = receive(&*server, &mut out).await.unwrap();
                assert_eq!(&out[..received.len], *expected);
                assert_eq!(received.remote, client.local_address());
            }
            sent += taken;
        }
        assert_eq!(client.try_send_batch(&[], remote).unwrap(), 0);
    }
}

#[tokio::test]
async fn a_refusal_by_the_peers_host_is_told_to_a_connected_socket() {
    let closed = on(Ipv4Addr::LOCALHOST);
    let address = closed.local_address();
    drop(closed);
    let client = bind(UdpBind::to(address));
    send(&*client, b"x", None).await;
    let error = receive(&*client, &mut [0; 4]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    // The socket is as good as before.
    let server = bind(UdpBind::on(address));
    send(&*client, b"y", None).await;
    assert_eq!(receive(&*server, &mut [0; 4]).await.unwrap().len, 1);
}

#[tokio::test]
async fn the_largest_payload_is_sent_and_one_byte_more_is_not() {
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let server = on(address);
        let remote = server.local_address();
        let client = bind(UdpBind::to(remote));
        let max = client.payload_max(remote, true);
        assert_eq!(max, if address.is_ipv4() { 65_507 } else { 65_527 });
        send(&*client, &vec![1; max], None).await;
        let mut out = vec![0; 70_000];
        assert_eq!(receive(&*server, &mut out).await.unwrap().len, max);
        let error = client.try_send(&vec![1; max + 1], None).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    }
}

#[tokio::test]
async fn without_fragmentation_the_paths_mtu_limits() {
    let server = on(Ipv4Addr::LOCALHOST);
    let remote = server.local_address();
    let environment = RealEnvironment::new(Config::default());
    let paths = environment.paths();
    let loopback = paths.iter().find(|path| path.interface == "lo").unwrap();
    let mtu = usize::try_from(loopback.mtu).unwrap();
    let expected = (mtu - 28).min(65_507);
    let connected = bind(UdpBind::to(remote));
    assert_eq!(connected.payload_max(remote, false), expected);
    assert_eq!(server.payload_max(remote, false), expected);
}
