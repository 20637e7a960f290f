//! Opens TCP connections.
//!
//! Invariant: options, local address and path hold before the first packet leaves.

use super::options;
use super::stream::RealTcpStream;
use crate::environment::{TcpConnect, TcpStream};
use crate::real::system;
use portway_core::path::PathId;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use tokio::net::TcpSocket;

/// Connects as `request` says. Dropping the future closes the socket.
pub(in crate::real) async fn connect(request: TcpConnect) -> io::Result<Box<dyn TcpStream>> {
    let socket = prepare(&request)?;
    let socket = TcpSocket::from_std_stream(socket.into());
    let stream = socket.connect(request.remote).await?;
    let local = stream.local_addr()?;
    if local == request.remote {
        // Without a listener, a port of this host that the system happens to choose as the local
        // one connects to itself (simultaneous open). No peer is there, so nobody accepted.
        SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO))?;
        return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    }
    Ok(Box::new(RealTcpStream::new(
        stream,
        request.remote,
        Some(local),
    )))
}

fn prepare(request: &TcpConnect) -> io::Result<Socket> {
    let socket = new_socket(Domain::for_address(request.remote))?;
    options::apply(
        SockRef::from(&socket),
        request.remote.ip(),
        &request.options,
    )?;
    bind_to_path(&socket, request.path)?;
    if let Some(local) = request.local {
        if local.port() == 0 {
            system::bind_without_port(&socket)?;
        } else {
            socket.set_reuse_address(true)?;
        }
        socket.bind(&local.into())?;
    }
    Ok(socket)
}

/// A socket that never blocks, by one system call where the system has one.
fn new_socket(domain: Domain) -> io::Result<Socket> {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    return Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP));
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Ties the socket to the path's interface. Path zero, which is no interface, leaves the choice
/// to the system's routing.
pub(in crate::real) fn bind_to_path(socket: &Socket, path: Option<PathId>) -> io::Result<()> {
    match path {
        None | Some(PathId(0)) => Ok(()),
        Some(PathId(index)) => system::bind_to_interface(socket, index),
    }
}
