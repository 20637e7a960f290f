//! Many messages in one system call, each of one or more datagrams (GRO).
//!
//! Invariant: the arrays that the system writes to live on this stack frame through the call, and a
//! slot is as long as what the system has written.

use super::watched::Inner;
use super::{MESSAGES_MAX, control};
use crate::environment::{DatagramBatch, MESSAGE_BYTES_MAX, Slot};
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::ptr;

/// Receives what waits, as much as `batch` and one call have room for.
pub(super) fn receive_many(socket: &Inner, batch: &mut DatagramBatch) -> io::Result<usize> {
    batch.clear();
    let room = batch.messages_max().min(MESSAGES_MAX);
    // What there is no room for is not even initialised: most calls give one message.
    let mut entries = [const { MaybeUninit::<Entry>::uninit() }; MESSAGES_MAX];
    let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MESSAGES_MAX];
    for (index, entry) in entries[..room].iter_mut().enumerate() {
        let slot = batch.empty_slot(index).spare_capacity_mut();
        let entry = entry.write(Entry::new(slot));
        // SAFETY: mmsghdr is plain data for which all zeroes is valid.
        let message = messages[index].write(unsafe { mem::zeroed() });
        let header = &mut message.msg_hdr;
        header.msg_iov = &raw mut entry.slice;
        header.msg_iovlen = 1;
        header.msg_name = (&raw mut entry.name).cast();
        header.msg_namelen = size_of::<Name>() as libc::socklen_t;
        let control = entry.control.space();
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control.len();
    }
    let count = loop {
        // SAFETY: the first `room` messages were filled in above and point to slices, slots, names
        // and control buffers that outlive the call, each with its length.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr().cast(),
                room as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        match usize::try_from(count) {
            Ok(count) => break count,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    };
    for (index, (entry, message)) in std::iter::zip(&entries, &messages[..count]).enumerate() {
        // SAFETY: the first `room` of both were initialised above, and `count` is no more.
        let (entry, message) = unsafe { (entry.assume_init_ref(), message.assume_init_ref()) };
        let len = (message.msg_len as usize).min(entry.slice.iov_len);
        // SAFETY: the system has written the first `len` bytes of the slot, which was empty.
        unsafe { batch.room(index).set_len(len) };
        let known = entry.control.parse(message.msg_hdr.msg_controllen);
        let remote = entry.name.address();
        let remote = remote.ok_or_else(|| io::Error::other("a datagram without an address"))?;
        batch.note(Slot {
            stride: known.segment_size.unwrap_or(len),
            remote,
            local: known.local,
            ecn: known.ecn,
        });
    }
    Ok(count)
}

/// What the system fills in for one message.
struct Entry {
    slice: libc::iovec,
    name: Name,
    control: control::Buffer,
}

impl Entry {
    fn new(slot: &mut [MaybeUninit<u8>]) -> Self {
        Entry {
            slice: libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: slot.len().min(MESSAGE_BYTES_MAX),
            },
            name: Name {
                family: libc::AF_UNSPEC as libc::sa_family_t,
                bytes: [0; NAME_BYTES],
            },
            control: control::Buffer::new(),
        }
    }
}

/// The address of either family, as the system writes it: a port, then the address, which in IPv6
/// stands between the flow's label and the scope.
#[repr(C, align(8))]
struct Name {
    family: libc::sa_family_t,
    bytes: [u8; NAME_BYTES],
}

impl Name {
    fn address(&self) -> Option<SocketAddr> {
        let (port, rest) = self.bytes.split_first_chunk()?;
        let port = u16::from_be_bytes(*port);
        match i32::from(self.family) {
            libc::AF_INET => {
                let address = Ipv4Addr::from(*rest.first_chunk::<4>()?);
                Some(SocketAddr::from((address, port)))
            }
            libc::AF_INET6 => {
                let (label, rest) = rest.split_first_chunk()?;
                let (address, rest) = rest.split_first_chunk::<16>()?;
                let scope = u32::from_ne_bytes(*rest.first_chunk()?);
                let address = Ipv6Addr::from(*address);
                let label = u32::from_ne_bytes(*label);
                Some(SocketAddrV6::new(address, port, label, scope).into())
            }
            _ => None,
        }
    }
}

/// What `sockaddr_in6` has behind its family.
const NAME_BYTES: usize = size_of::<libc::sockaddr_in6>() - size_of::<libc::sa_family_t>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_read_as_the_system_writes_them() {
        let all: [SocketAddr; 2] = [
            ([192, 0, 2, 7], 4433).into(),
            SocketAddrV6::new([9; 8].into(), 4433, 5, 6).into(),
        ];
        for address in all {
            let native = socket2::SockAddr::from(address);
            // SAFETY: both structures begin with a family, and the length is the native one's.
            let name = unsafe {
                let mut name = Entry::new(&mut []).name;
                let len = native.len() as usize;
                ptr::copy_nonoverlapping(
                    native.as_ptr().cast::<u8>(),
                    (&raw mut name).cast::<u8>(),
                    len,
                );
                name
            };
            assert_eq!(name.address(), Some(address));
        }
        assert_eq!(Entry::new(&mut []).name.address(), None);
    }
}
