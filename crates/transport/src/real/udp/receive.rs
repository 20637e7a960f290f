//! Receives one datagram with what the system knows of it.
//!
//! Invariant: a datagram that does not fit is consumed and reported, never cut.

use super::control;
use crate::environment::ReceivedDatagram;
#[cfg(not(target_os = "linux"))]
use crate::environment::{DatagramBatch, Slot};
use socket2::{MaybeUninitSlice, MsgHdrMut, SockAddr, SockRef};
use std::io;
use std::mem::MaybeUninit;

/// Receives into `out`.
pub(super) fn receive(socket: &SockRef<'_>, out: &mut [u8]) -> io::Result<ReceivedDatagram> {
    // SAFETY: MaybeUninit<u8> has the layout of u8, the borrow is exclusive for as long as the
    // slice is used, and the system only writes initialised bytes to it.
    let out = unsafe {
        std::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<MaybeUninit<u8>>(), out.len())
    };
    receive_uninit(socket, out)
}

/// Receives into `out`, whose first bytes are initialised then: as many as the datagram has.
fn receive_uninit(
    socket: &SockRef<'_>,
    out: &mut [MaybeUninit<u8>],
) -> io::Result<ReceivedDatagram> {
    let capacity = out.len();
    let mut slices = [MaybeUninitSlice::new(out)];
    let mut control = control::Buffer::new();
    // SAFETY: the storage starts out valid (zeroed) and its length is its capacity; recvmsg fills
    // it in and `set_length` below takes what it says.
    let mut address = unsafe {
        let storage = socket2::SockAddrStorage::zeroed();
        let len = storage.size_of();
        SockAddr::new(storage, len)
    };
    let (received, flags, control_len) = {
        let mut message = MsgHdrMut::new()
            .with_addr(&mut address)
            .with_buffers(&mut slices)
            .with_control(control.space());
        // On Linux this flag makes the return value the datagram's true length.
        let received = socket.recvmsg(&mut message, TRUE_LENGTH)?;
        (received, message.flags(), message.control_len())
    };
    if flags.is_truncated() || received > capacity {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a datagram of {received} bytes does not fit {capacity}"),
        ));
    }
    let remote = address
        .as_socket()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no sender address"))?;
    let known = control.parse(control_len);
    Ok(ReceivedDatagram {
        len: received,
        remote,
        local: known.local,
        ecn: known.ecn,
    })
}

/// Receives until nothing waits or `batch` is full.
#[cfg(not(target_os = "linux"))]
pub(super) fn receive_some(socket: &SockRef<'_>, batch: &mut DatagramBatch) -> io::Result<usize> {
    batch.clear();
    while !batch.is_full() {
        let slot = batch.empty_slot(batch.len());
        match receive_uninit(socket, slot.spare_capacity_mut()) {
            Ok(datagram) => {
                // SAFETY: the slot was empty, and so many of its bytes are initialised now.
                unsafe { slot.set_len(datagram.len) };
                batch.note(Slot {
                    stride: datagram.len,
                    remote: datagram.remote,
                    local: datagram.local,
                    ecn: datagram.ecn,
                });
            }
            Err(error) if batch.is_empty() => return Err(error),
            // An error that the socket keeps comes again; one that it does not was of a datagram.
            Err(_) => break,
        }
    }
    Ok(batch.len())
}

#[cfg(target_os = "linux")]
const TRUE_LENGTH: i32 = libc::MSG_TRUNC;
#[cfg(not(target_os = "linux"))]
const TRUE_LENGTH: i32 = 0;
