//! UDP of the real environment on loopback.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its sockets shall fail"
)]

use portway_transport::RealEnvironment;
use portway_transport::environment::{
    DatagramBatch, Environment, ReceivedDatagram, Transmit, UdpBind, UdpSocket, shard_of,
};
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

async fn receive_batch(socket: &dyn UdpSocket, batch: &mut DatagramBatch) -> io::Result<usize> {
    loop {
        match socket.try_receive_batch(batch) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| socket.poll_readable(context)).await?;
            }
            result => return result,
        }
    }
}

/// Receives `count` datagrams, in batches.
async fn receive_all(socket: &dyn UdpSocket, count: usize) -> Vec<(Vec<u8>, Option<u8>)> {
    let mut batch = DatagramBatch::new(4);
    let mut all = Vec::new();
    while all.len() < count {
        receive_batch(socket, &mut batch).await.unwrap();
        for message in batch.messages() {
            all.extend(message.datagrams().map(|it| (it.to_vec(), message.ecn)));
        }
    }
    all
}

async fn transmit(socket: &dyn UdpSocket, transmit: &Transmit<'_>) -> io::Result<()> {
    loop {
        match socket.try_transmit(transmit) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| socket.poll_writable(context)).await?;
            }
            result => return result,
        }
    }
}

#[tokio::test]
async fn segments_arrive_as_datagrams_of_their_own_with_their_ecn_bits() {
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let server = bind(UdpBind::on(SocketAddr::new(address, 0)).for_packets());
        let remote = server.local_address();
        let connected = bind(UdpBind::to(remote).for_packets());
        let unconnected = bind(UdpBind::on(SocketAddr::new(address, 0)).for_packets());
        for client in [connected, unconnected] {
            assert!(!client.may_fragment());
            assert!(client.gso_segments_max() >= 20);
            let contents: Vec<u8> = (0..20).flat_map(|number| [number; 1200]).collect();
            let contents = &contents[..contents.len() - 700];
            let segments = Transmit {
                ecn: Some(0b10),
                segment_size: Some(1200),
                ..Transmit::to(remote, contents)
            };
            transmit(&*client, &segments).await.unwrap();
            let all = receive_all(&*server, 20).await;
            let expected: Vec<_> = contents
                .chunks(1200)
                .map(|it| (it.to_vec(), Some(2)))
                .collect();
            assert_eq!(all, expected);
        }
    }
}

#[tokio::test]
async fn a_wildcard_socket_answers_from_the_address_that_was_addressed() {
    // All of 127/8 is this host, so the routing's own choice would be 127.0.0.1.
    let other = Ipv4Addr::new(127, 0, 0, 77);
    for server in [
        on(Ipv4Addr::UNSPECIFIED),
        bind(UdpBind::on((Ipv4Addr::UNSPECIFIED, 0).into()).for_packets()),
    ] {
        let to = SocketAddr::from((other, server.local_address().port()));
        let client = bind(UdpBind::to(to));
        send(&*client, b"question", None).await;
        let mut batch = DatagramBatch::new(1);
        assert_eq!(receive_batch(&*server, &mut batch).await.unwrap(), 1);
        let question = batch.messages().next().unwrap();
        assert_eq!(question.local, Some(other.into()));
        let answer = Transmit {
            source: question.local,
            ecn: Some(1),
            ..Transmit::to(question.remote, b"answer")
        };
        transmit(&*server, &answer).await.unwrap();
        // A connected socket takes datagrams of its peer's address alone.
        let mut out = [0; 10];
        let answer = receive(&*client, &mut out).await.unwrap();
        assert_eq!((&out[..answer.len], answer.ecn), (&b"answer"[..], Some(1)));
    }
}

#[tokio::test]
async fn a_code_point_stays_when_ecn_bits_are_sent() {
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let receiver = std::net::UdpSocket::bind((address, 0)).unwrap();
        let receiver_ref = socket2::SockRef::from(&receiver);
        match address {
            IpAddr::V4(_) => receiver_ref.set_recv_tos_v4(true).unwrap(),
            IpAddr::V6(_) => receiver_ref.set_recv_tclass_v6(true).unwrap(),
        }
        let remote = receiver.local_addr().unwrap();
        let expect = |field: u8, what: &str| {
            let mut payload = [std::mem::MaybeUninit::uninit(); 4];
            let mut slices = [socket2::MaybeUninitSlice::new(&mut payload)];
            let mut control = [std::mem::MaybeUninit::zeroed(); 64];
            let mut message = socket2::MsgHdrMut::new()
                .with_buffers(&mut slices)
                .with_control(&mut control);
            receiver_ref.recvmsg(&mut message, 0).unwrap();
            assert!(message.control_len() > 16);
            // SAFETY: the array was zeroed, and the system writes initialised bytes only.
            let seen = unsafe { control[16].assume_init() };
            assert_eq!(seen, field, "{address}, {what}");
        };
        let requests = [
            UdpBind::on(SocketAddr::new(address, 0)),
            UdpBind::to(remote),
        ];
        for request in requests {
            let mut request = request.for_packets();
            request.dscp = Some(46);
            let is_connected = request.remote.is_some();
            let sender = bind(request);
            for (ecn, dscp, field) in [
                (Some(0b01), None, 0b1011_1001),
                (Some(0b01), None, 0b1011_1001),
                (Some(0b01), Some(8), 0b0010_0001),
                (None, None, 0b1011_1000),
                (Some(0b10), None, 0b1011_1010),
            ] {
                let marked = Transmit {
                    ecn,
                    dscp,
                    ..Transmit::to(remote, b"x")
                };
                transmit(&*sender, &marked).await.unwrap();
                expect(field, &format!("{is_connected}, {ecn:?}, {dscp:?}"));
            }
            send(&*sender, b"x", (!is_connected).then_some(remote)).await;
            expect(0b1011_1000, "without a choice of ECN bits");
        }
    }
}

#[tokio::test]
async fn packets_are_not_fragmented() {
    let server = bind(UdpBind::on((Ipv4Addr::LOCALHOST, 0).into()).for_packets());
    let client = bind(UdpBind::to(server.local_address()).for_packets());
    let max = client.payload_max(server.local_address(), false);
    let too_long = vec![0; max + 1];
    let too_long = Transmit::to(server.local_address(), &too_long);
    let error = transmit(&*client, &too_long).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    let error = client.try_receive(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_batch_takes_datagrams_of_any_length_and_tells_a_refusal() {
    let server = on(Ipv4Addr::LOCALHOST);
    let client = bind(UdpBind::to(server.local_address()));
    for len in [0, 65_507, 3] {
        send(&*client, &vec![7; len], None).await;
    }
    let all = receive_all(&*server, 3).await;
    let lens: Vec<_> = all.iter().map(|(data, _)| data.len()).collect();
    assert_eq!(lens, [0, 65_507, 3]);
    let refused = bind(UdpBind::to(server.local_address()).for_packets());
    drop(server);
    for client in [client, refused] {
        send(&*client, b"x", None).await;
        let mut batch = DatagramBatch::new(2);
        let error = receive_batch(&*client, &mut batch).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(batch.is_empty());
    }
}

#[tokio::test]
async fn sockets_that_share_a_port_get_the_packets_that_name_them() {
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let shards = 3;
        let first = UdpBind::on(SocketAddr::new(address, 0)).for_packets();
        let first = bind(first.sharded(shards));
        let shared = first.local_address();
        let bind_next = || bind(UdpBind::on(shared).for_packets().sharded(shards));
        let sockets = [first, bind_next(), bind_next()];
        for number in 0..24_u16 {
            let [high, low] = (number * 1021).to_be_bytes();
            let long = [0xc0, 0, 0, 0, 1, 8, high, low, 1, 2, 3, 4, 5, 6];
            let short = [0x40, high, low, 1, 2, 3];
            for packet in [&long[..], &short] {
                // A port of its own each time: the peer's address plays no part.
                let client = bind(UdpBind::to(shared));
                send(&*client, packet, None).await;
                let expected = usize::from(shard_of(packet, shards));
                let mut batch = DatagramBatch::new(2);
                receive_batch(&*sockets[expected], &mut batch)
                    .await
                    .unwrap();
                assert_eq!(batch.messages().next().unwrap().contents, packet);
            }
        }
        for socket in &sockets {
            let error = socket
                .try_receive_batch(&mut DatagramBatch::new(1))
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        // Who does not share is refused.
        let environment = RealEnvironment::new(Config::default());
        assert!(environment.udp_bind(UdpBind::on(shared)).is_err());
    }
}
