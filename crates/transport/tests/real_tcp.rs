//! TCP of the real environment, against sockets of the standard library on loopback.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set up its sockets shall fail"
)]

use portway_transport::RealEnvironment;
use portway_transport::environment::{
    Environment, ListenAddress, TcpConnect, TcpListener, TcpStream,
};
use portway_transport::real::Config;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

fn environment() -> RealEnvironment {
    RealEnvironment::new(Config::default())
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn read(stream: &dyn TcpStream, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.try_read(out) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| stream.poll_readable(context)).await?;
            }
            result => return result,
        }
    }
}

async fn write_all(stream: &dyn TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write_vectored(&[IoSlice::new(bytes)]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll_fn(|context| stream.poll_writable(context)).await?;
            }
            result => bytes = &bytes[result?..],
        }
    }
    Ok(())
}

async fn accept(listener: &dyn TcpListener) -> io::Result<Box<dyn TcpStream>> {
    poll_fn(|context| listener.poll_accept(context)).await
}

/// A stream of ours and the standard library's socket at its other end.
async fn pair() -> (Box<dyn TcpStream>, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let stream = environment()
        .tcp_connect(TcpConnect::to(listener.local_addr().unwrap()))
        .await
        .unwrap();
    (stream, listener.accept().unwrap().0)
}

#[tokio::test]
async fn pieces_arrive_in_their_order_however_long_they_are_together() {
    let (stream, mut peer) = pair().await;
    for lengths in [[1, 1000, 1047], [1, 1000, 1048], [0, 2000, 0], [3000, 0, 5]] {
        let bytes: Vec<u8> = (0..lengths.iter().sum())
            .map(|at: usize| at as u8)
            .collect();
        let (first, rest) = bytes.split_at(lengths[0]);
        let (second, third) = rest.split_at(lengths[1]);
        let slices = [first, second, third].map(IoSlice::new);
        assert_eq!(stream.try_write_vectored(&slices).unwrap(), bytes.len());
        let mut read = vec![0; bytes.len()];
        peer.read_exact(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}

#[tokio::test]
async fn bytes_flow_both_ways_and_end_with_zero() {
    let environment = environment();
    let listener = environment
        .tcp_listen(ListenAddress::on(loopback()))
        .unwrap();
    let client = environment
        .tcp_connect(TcpConnect::to(listener.local_address()))
        .await
        .unwrap();
    let server = accept(&*listener).await.unwrap();
    assert_eq!(client.local_address(), server.peer_address());
    assert_eq!(client.peer_address(), server.local_address());

    write_all(&*client, b"hello").await.unwrap();
    let mut out = [0; 16];
    assert_eq!(read(&*server, &mut out).await.unwrap(), 5);
    assert_eq!(&out[..5], b"hello");

    let slices = [IoSlice::new(b"good"), IoSlice::new(b"bye")];
    assert_eq!(server.try_write_vectored(&slices).unwrap(), 7);
    server.shutdown_write().unwrap();
    assert_eq!(read(&*client, &mut out).await.unwrap(), 7);
    assert_eq!(&out[..7], b"goodbye");
    assert_eq!(read(&*client, &mut out).await.unwrap(), 0);
    // The other direction is still open.
    write_all(&*client, b"!").await.unwrap();
    assert_eq!(read(&*server, &mut out).await.unwrap(), 1);
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = environment()
        .tcp_connect(TcpConnect::to(address))
        .await
        .err()
        .unwrap();
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[tokio::test]
async fn abort_resets_the_peer_while_the_stream_is_still_held() {
    let (stream, mut peer) = pair().await;
    stream.abort();
    let error = peer.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    drop(stream);
}

#[tokio::test]
async fn abort_loses_what_is_queued_and_wakes_a_waiting_reader() {
    let (stream, mut peer) = pair().await;
    let stream: std::sync::Arc<dyn TcpStream> = stream.into();
    let local = stream.local_address();
    let block = vec![7; 1 << 20];
    while stream.try_write_vectored(&[IoSlice::new(&block)]).is_ok() {}
    let reader = std::sync::Arc::clone(&stream);
    let waiting = tokio::spawn(async move { read(&*reader, &mut [0; 8]).await });
    tokio::task::yield_now().await;
    stream.abort();
    assert!(!matches!(waiting.await.unwrap(), Ok(1..)));
    assert_eq!(stream.local_address(), local);
    assert!(stream.unacknowledged().is_err());
    let error = io::copy(&mut peer, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn abort_after_half_close_still_resets() {
    let (stream, mut peer) = pair().await;
    stream.shutdown_write().unwrap();
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    stream.abort();
    // The first write meets the reset, whenever it arrives; loopback delivers it at once.
    let error = peer.write_all(b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn unacknowledged_falls_to_zero_once_the_peer_has_the_fin() {
    let (stream, mut peer) = pair().await;
    write_all(&*stream, b"hello").await.unwrap();
    stream.shutdown_write().unwrap();
    io::copy(&mut peer, &mut io::sink()).unwrap();
    // The peer's own FIN carries the acknowledgement, and loopback delivers it at once.
    drop(peer);
    assert_eq!(stream.unacknowledged().unwrap(), 0);
}

#[tokio::test]
async fn unacknowledged_counts_what_the_peer_has_no_room_for() {
    let (stream, _peer) = pair().await;
    let block = vec![7; 1 << 20];
    while stream.try_write_vectored(&[IoSlice::new(&block)]).is_ok() {}
    let before = stream.unacknowledged().unwrap();
    assert!(before > 0);
    stream.shutdown_write().unwrap();
    assert_eq!(stream.unacknowledged().unwrap(), before + 1);
}

#[tokio::test]
async fn unacknowledged_after_a_reset_is_an_error_and_never_zero() {
    let (stream, peer) = pair().await;
    write_all(&*stream, b"hello").await.unwrap();
    // Closing with unread data resets.
    drop(peer);
    for _ in 0..2 {
        let error = stream.unacknowledged().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    assert!(stream.take_error().is_none(), "told once only");
}

#[tokio::test]
async fn options_hold_from_the_first_packet_and_can_change() {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let mut request = TcpConnect::to(listener.local_addr().unwrap());
    request.options.no_delay = Some(true);
    request.options.keep_alive = Some(Some(Duration::from_millis(10)));
    request.options.user_timeout = Some(Some(Duration::from_secs(5)));
    request.options.dscp = Some(46);
    let stream = environment().tcp_connect(request.clone()).await.unwrap();
    assert!(stream.max_segment_size().unwrap() > 500);
    assert!(stream.rtt().unwrap() > Duration::ZERO);
    request.options.dscp = Some(64);
    let error = stream.set_options(&request.options).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    request.options.dscp = Some(0);
    request.options.keep_alive = Some(None);
    request.options.user_timeout = Some(None);
    stream.set_options(&request.options).unwrap();
}

#[tokio::test]
async fn a_local_address_is_bound() {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let mut request = TcpConnect::to(listener.local_addr().unwrap());
    request.local = Some((Ipv4Addr::new(127, 0, 0, 9), 0).into());
    let stream = environment().tcp_connect(request).await.unwrap();
    let peer = listener.accept().unwrap().1;
    assert_eq!(peer.ip(), Ipv4Addr::new(127, 0, 0, 9));
    assert_eq!(stream.local_address(), peer);
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_an_error() {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let mut request = TcpConnect::to(listener.local_addr().unwrap());
    request.path = Some(portway_core::path::PathId(987_654));
    let error = environment().tcp_connect(request).await.err().unwrap();
    assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
}

#[tokio::test]
async fn loopback_is_a_path_that_can_be_bound() {
    let listener = std::net::TcpListener::bind(loopback()).unwrap();
    let mut request = TcpConnect::to(listener.local_addr().unwrap());
    request.path = Some(portway_core::path::PathId(1));
    environment().tcp_connect(request).await.unwrap();
}

#[tokio::test]
async fn both_families_share_a_port() {
    let environment = environment();
    let six = environment
        .tcp_listen(ListenAddress::on((Ipv6Addr::UNSPECIFIED, 0).into()))
        .unwrap();
    let port = six.local_address().port();
    let four = environment
        .tcp_listen(ListenAddress::on((Ipv4Addr::UNSPECIFIED, port).into()))
        .unwrap();
    let client = environment
        .tcp_connect(TcpConnect::to((Ipv4Addr::LOCALHOST, port).into()))
        .await
        .unwrap();
    let server = accept(&*four).await.unwrap();
    assert_eq!(server.local_address(), client.peer_address());
    let client = environment
        .tcp_connect(TcpConnect::to((Ipv6Addr::LOCALHOST, port).into()))
        .await
        .unwrap();
    let server = accept(&*six).await.unwrap();
    assert_eq!(server.peer_address(), client.local_address());
}

#[tokio::test]
async fn a_port_in_use_says_so() {
    let environment = environment();
    let listener = environment
        .tcp_listen(ListenAddress::on(loopback()))
        .unwrap();
    let error = environment
        .tcp_listen(ListenAddress::on(listener.local_address()))
        .err()
        .unwrap();
    assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
}

#[tokio::test]
async fn bulk_data_in_odd_sizes_arrives_complete_and_in_order() {
    const TOTAL: usize = 8 << 20;
    let environment = environment();
    let listener = environment
        .tcp_listen(ListenAddress::on(loopback()))
        .unwrap();
    let client = environment
        .tcp_connect(TcpConnect::to(listener.local_address()))
        .await
        .unwrap();
    let server = accept(&*listener).await.unwrap();
    let byte_at = |at: usize| (at % 251) as u8;
    let sender = tokio::spawn(async move {
        let data: Vec<u8> = (0..TOTAL).map(byte_at).collect();
        for chunk in data.chunks(70_001) {
            write_all(&*client, chunk).await.unwrap();
        }
        client.shutdown_write().unwrap();
    });
    let mut out = vec![0; 33_333];
    let mut at = 0;
    loop {
        // Sizes around what one segment holds make full and partial reads alternate.
        let size = 1 + (at * 7) % out.len();
        let len = read(&*server, &mut out[..size]).await.unwrap();
        if len == 0 {
            break;
        }
        assert!(
            out[..len]
                .iter()
                .enumerate()
                .all(|(n, byte)| *byte == byte_at(at + n))
        );
        at += len;
    }
    assert_eq!(at, TOTAL);
    sender.await.unwrap();
}

#[tokio::test]
async fn what_came_before_a_failed_write_can_still_be_read() {
    let (stream, mut peer) = pair().await;
    write_all(&*stream, b"unread").await.unwrap();
    peer.write_all(b"why").unwrap();
    // Closing with something unread resets the connection.
    drop(peer);
    let written = stream.try_write_vectored(&[IoSlice::new(b"more")]);
    assert!(written.is_err(), "{written:?}");
    // Nothing was awaited, so the reactor cannot have told of any of it.
    let mut out = [0; 16];
    assert_eq!(stream.try_read(&mut out).unwrap(), 3);
    assert_eq!(&out[..3], b"why");
}
