//! ICMP errors about what an unconnected socket has sent: the system queues them, with the peer
//! that each datagram was for.
//!
//! Invariant: what cannot be understood is left out.

use super::control;
use super::watched::Inner;
use socket2::{MsgHdrMut, SockAddr, SockRef, Socket};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

/// Asks the system to tell. A refusal only means that less is known later.
pub(super) fn request(socket: &Socket, local: IpAddr) {
    let (level, name) = match local {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    let _ = crate::real::system::set_option(socket.as_raw_fd(), level, name, 1);
}

/// Takes the next error from the queue.
pub(super) fn take(socket: &Inner) -> Option<(SocketAddr, io::Error)> {
    // Errors of this host's own making were told by the call that met them.
    for _ in 0..OWN_ERRORS_MAX {
        let (peer, code) = receive(&SockRef::from(socket))?;
        if let (Some(peer), Some(code)) = (peer, code) {
            return Some((peer, io::Error::from_raw_os_error(code)));
        }
    }
    None
}

/// The peer and the errno of the next entry; `None` when there is none.
fn receive(socket: &SockRef<'_>) -> Option<(Option<SocketAddr>, Option<i32>)> {
    let mut control = control::Buffer::new();
    // SAFETY: the storage starts out valid (zeroed) and its length is its capacity; recvmsg fills
    // it in.
    let mut address = unsafe {
        let storage = socket2::SockAddrStorage::zeroed();
        let len = storage.size_of();
        SockAddr::new(storage, len)
    };
    let control_len = {
        // Of the datagram itself nothing is wanted, so there is no buffer for it.
        let mut message = MsgHdrMut::new()
            .with_addr(&mut address)
            .with_control(control.space());
        socket.recvmsg(&mut message, libc::MSG_ERRQUEUE).ok()?;
        message.control_len()
    };
    Some((address.as_socket(), control.network_error(control_len)))
}

/// Entries that one look steps over.
const OWN_ERRORS_MAX: usize = 16;
