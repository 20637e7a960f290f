//! A listening TCP socket.
//!
//! Invariant: an error of one accept is the caller's to judge and leaves the listener usable.

use super::connect::bind_to_path;
use super::stream::RealTcpStream;
use crate::environment::{ListenAddress, TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};

/// Listens as `request` says.
pub(in crate::real) fn listen(request: &ListenAddress) -> io::Result<Box<dyn TcpListener>> {
    let socket = Socket::new(
        Domain::for_address(request.local),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A server that starts again must not wait for the TIME_WAIT of its predecessor's
    // connections. Two live listeners on one port still exclude each other.
    socket.set_reuse_address(true)?;
    if request.local.is_ipv6() {
        // Each family has a listener of its own, so that `[::]` and `0.0.0.0` share a port and a
        // peer's address never appears as a mapped one.
        socket.set_only_v6(true)?;
    }
    bind_to_path(&socket, request.path)?;
    if request.is_shared {
        share_port(&socket)?;
    }
    socket.bind(&request.local.into())?;
    socket.listen(i32::try_from(request.backlog).unwrap_or(i32::MAX))?;
    adopt(socket)
}

/// Accepts on a socket that listens already.
pub(in crate::real) fn adopt(socket: Socket) -> io::Result<Box<dyn TcpListener>> {
    socket.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    Ok(Box::new(RealTcpListener { listener, local }))
}

#[cfg(target_os = "linux")]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

/// Elsewhere the option means other things, or the last listener takes everything.
#[cfg(not(target_os = "linux"))]
fn share_port(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

struct RealTcpListener {
    listener: tokio::net::TcpListener,
    local: SocketAddr,
}

impl TcpListener for RealTcpListener {
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Box<dyn TcpStream>>> {
        let (stream, peer) = ready!(self.listener.poll_accept(context))?;
        let peer = unmapped(peer);
        let local = (!self.local.ip().is_unspecified()).then_some(self.local);
        Poll::Ready(Ok(Box::new(RealTcpStream::new(stream, peer, local))))
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }

    #[cfg(target_os = "linux")]
    fn prefer_own_processor(&self, prefer: bool) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        crate::real::system::prefer_own_processor(self.listener.as_raw_fd(), prefer)
    }
}

/// The address of IPv4 that one of IPv6 stands for, as a listener for both, which another program
/// has opened, tells it.
fn unmapped(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) if address.is_ipv6() => SocketAddr::new(ip.into(), address.port()),
        _ => address,
    }
}
