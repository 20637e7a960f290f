//! Several datagrams in one system call (sendmmsg).
//!
//! Invariant: the arrays that the system reads live on this stack frame through the call.

use socket2::SockAddr;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::ptr;

/// Sends up to [`BATCH_MAX`] datagrams and says how many the system took.
pub(super) fn send_many(
    socket: &tokio::net::UdpSocket,
    datagrams: &[&[u8]],
    remote: Option<&SockAddr>,
) -> io::Result<usize> {
    // SAFETY: iovec and mmsghdr are plain data for which all zeroes is valid.
    let (mut slices, mut messages): ([libc::iovec; BATCH_MAX], [libc::mmsghdr; BATCH_MAX]) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let count = datagrams.len().min(BATCH_MAX);
    for ((datagram, slice), message) in datagrams.iter().zip(&mut slices).zip(&mut messages) {
        slice.iov_base = datagram.as_ptr().cast_mut().cast();
        slice.iov_len = datagram.len();
        message.msg_hdr.msg_iov = ptr::from_mut(slice);
        message.msg_hdr.msg_iovlen = 1;
        if let Some(remote) = remote {
            message.msg_hdr.msg_name = remote.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_namelen = remote.len();
        }
    }
    // SAFETY: the first `count` messages were filled in above and point to slices, datagrams and
    // an address that outlive the call; sending only reads through those pointers.
    let taken = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count as libc::c_uint,
            0,
        )
    };
    usize::try_from(taken).map_err(|_| io::Error::last_os_error())
}

/// The most datagrams of one call; with 64 the arrays take 5 KiB of stack.
const BATCH_MAX: usize = 64;
