//! Several datagrams in one system call, or one with control messages.
//!
//! Invariant: the arrays that the system reads live on this stack frame through the call.

use super::control;
use super::watched::Inner;
use crate::environment::Transmit;
use socket2::{MsgHdr, SockAddr, SockRef};
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Sends up to [`BATCH_MAX`] datagrams and says how many the system took.
pub(super) fn send_many(
    socket: &Inner,
    datagrams: &[&[u8]],
    remote: Option<&SockAddr>,
    source: Option<IpAddr>,
) -> io::Result<usize> {
    let mut control = control::Outgoing::new();
    if let Some(source) = source {
        control.push_source(source);
    }
    let control = control.bytes();
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
        if !control.is_empty() {
            message.msg_hdr.msg_control = control.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_controllen = control.len();
        }
    }
    // SAFETY: the first `count` messages were filled in above and point to slices, datagrams, an
    // address and control messages that outlive the call; sending only reads through them.
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

/// The field of code point and ECN bits that a connected socket puts into every datagram. One that
/// came with the datagram would have the system look for the route each time, which it otherwise
/// remembers.
pub(super) struct Mark(Mutex<u8>);

impl Mark {
    /// Of a socket that was given this code point.
    pub(super) fn new(dscp: u8) -> Self {
        Mark(Mutex::new(dscp << 2))
    }

    /// Keeps the field as it is until what comes back is dropped; `None` where it cannot be set.
    pub(super) fn hold(
        &self,
        socket: &Inner,
        field: u8,
        is_ipv4: bool,
    ) -> Option<MutexGuard<'_, u8>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *held != field {
            let socket = SockRef::from(socket);
            let set = match is_ipv4 {
                true => socket.set_tos_v4(field.into()),
                false => socket.set_tclass_v6(field.into()),
            };
            set.ok()?;
            *held = field;
        }
        Some(held)
    }
}

/// Sends `transmit` by one call. `peer` is whom the socket is connected to, with what it marks
/// datagrams by; `dscp` is the code point that the socket was given.
pub(super) fn transmit(
    socket: &Inner,
    transmit: &Transmit<'_>,
    peer: Option<(SocketAddr, &Mark)>,
    dscp: u8,
) -> io::Result<()> {
    // A connected socket knows the route to its peer.
    let peer = peer.filter(|(peer, _)| *peer == transmit.remote);
    let field = transmit.dscp.unwrap_or(dscp) << 2 | transmit.ecn.unwrap_or(0) & 3;
    let is_ipv4 = transmit.remote.is_ipv4();
    let marked = peer
        .filter(|_| transmit.dscp.is_none())
        .and_then(|(_, mark)| mark.hold(socket, field, is_ipv4));
    let mut control = control::Outgoing::new();
    if let Some(size) = transmit.effective_segment_size() {
        let size = u16::try_from(size).map_err(|_| io::Error::from_raw_os_error(libc::EMSGSIZE))?;
        control.push_segment_size(size);
    }
    let is_chosen = transmit.ecn.is_some() || transmit.dscp.is_some() || peer.is_some();
    if marked.is_none() && is_chosen {
        control.push_traffic_class(field, is_ipv4);
    }
    if let Some(source) = transmit.source {
        control.push_source(source);
    }
    let remote = peer.is_none().then(|| SockAddr::from(transmit.remote));
    let contents = [io::IoSlice::new(transmit.contents)];
    let mut message = MsgHdr::new().with_buffers(&contents);
    if !control.bytes().is_empty() {
        message = message.with_control(control.bytes());
    }
    if let Some(remote) = &remote {
        message = message.with_addr(remote);
    }
    SockRef::from(socket).sendmsg(&message, 0).map(drop)
}

/// The most datagrams of one call; with 64 the arrays take 5 KiB of stack.
const BATCH_MAX: usize = 64;
