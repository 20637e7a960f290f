//! Systems without a port of their own: sockets work, what is beyond them says that it does not.

use super::{Precision, TcpInfo};
use socket2::{SockRef, Socket};
use std::io;
use std::net::SocketAddr;

fn unsupported(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("{what} is only implemented on Linux"),
    )
}

pub(crate) fn bind_to_interface(_socket: &Socket, _index: u32) -> io::Result<()> {
    Err(unsupported("binding to a path"))
}

pub(crate) fn bind_without_port(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

pub(crate) fn disconnect(_socket: &SockRef<'_>) -> io::Result<()> {
    Err(unsupported("resetting a connection that is in use"))
}

pub(crate) fn unsent_and_unacknowledged(_socket: &SockRef<'_>) -> io::Result<usize> {
    Err(unsupported("counting unacknowledged bytes"))
}

pub(crate) fn tcp_info(_socket: &SockRef<'_>) -> io::Result<TcpInfo> {
    Err(unsupported("connection statistics"))
}

pub(crate) fn path_mtu(_socket: &SockRef<'_>, _remote: SocketAddr) -> io::Result<usize> {
    Err(unsupported("the path's packet size"))
}

/// Nobody is known to hand sockets over.
pub(crate) fn take_descriptor(_number: i32) -> io::Result<Socket> {
    Err(unsupported("taking sockets that were handed over"))
}

/// There is one clock, which is asked otherwise.
pub(crate) fn monotonic_time(_: Precision) -> Option<std::time::Duration> {
    None
}

/// The system gives turns.
pub(crate) fn make_thread_patient() -> io::Result<()> {
    Err(unsupported("a thread that waits for its turn"))
}

/// The system places threads.
pub(crate) fn pin_thread(_index: usize, _threads: usize) -> io::Result<bool> {
    Ok(false)
}
