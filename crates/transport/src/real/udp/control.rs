//! Control messages of received datagrams: the local address and the ECN bits.
//!
//! Invariant: what cannot be understood is left out; nothing here fails a datagram.

use socket2::Socket;
use std::mem::MaybeUninit;
use std::net::IpAddr;

/// Asks the system to tell what it knows. A refusal only means that less is known later.
#[cfg(target_os = "linux")]
pub(super) fn request_all(socket: &Socket, local: IpAddr) {
    use std::os::fd::AsRawFd;
    let (level, name) = match local {
        IpAddr::V4(_) => {
            let _ = socket.set_recv_tos_v4(true);
            (libc::IPPROTO_IP, libc::IP_PKTINFO)
        }
        IpAddr::V6(_) => {
            let _ = socket.set_recv_tclass_v6(true);
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
        }
    };
    let _ = crate::real::system::set_option(socket.as_raw_fd(), level, name, 1);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn request_all(_socket: &Socket, _local: IpAddr) {}

/// Room for the control messages of one datagram.
#[repr(align(8))]
pub(super) struct Buffer([MaybeUninit<u8>; BUFFER_BYTES]);

impl Buffer {
    pub(super) fn new() -> Self {
        Buffer([MaybeUninit::new(0); BUFFER_BYTES])
    }

    pub(super) fn space(&mut self) -> &mut [MaybeUninit<u8>] {
        &mut self.0
    }

    /// The local address and the ECN bits among the first `len` bytes.
    pub(super) fn parse(&self, len: usize) -> (Option<IpAddr>, Option<u8>) {
        let filled = &self.0[..len.min(BUFFER_BYTES)];
        // SAFETY: `new` initialised every byte, and the system only writes initialised ones.
        let bytes =
            unsafe { std::slice::from_raw_parts(filled.as_ptr().cast::<u8>(), filled.len()) };
        parse(bytes)
    }
}

#[cfg(target_os = "linux")]
fn parse(mut bytes: &[u8]) -> (Option<IpAddr>, Option<u8>) {
    let (mut local, mut ecn) = (None, None);
    while let Some((level, kind, data, rest)) = split_first(bytes) {
        match (level, kind) {
            // in_pktinfo: the interface, the local address of the route, the header's address.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                local = array::<4>(data, 8).map(IpAddr::from).or(local);
            }
            // in6_pktinfo: the header's address, the interface.
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                local = array::<16>(data, 0).map(IpAddr::from).or(local);
            }
            // One byte for IPv4, an int for IPv6.
            (libc::IPPROTO_IP, libc::IP_TOS) => ecn = data.first().map(|field| field & 3).or(ecn),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                ecn = array::<4>(data, 0)
                    .map(|field| (i32::from_ne_bytes(field) & 3) as u8)
                    .or(ecn);
            }
            _ => {}
        }
        bytes = rest;
    }
    (local, ecn)
}

#[cfg(not(target_os = "linux"))]
fn parse(_bytes: &[u8]) -> (Option<IpAddr>, Option<u8>) {
    (None, None)
}

/// Level, type and data of the first message, and what follows it.
#[cfg(target_os = "linux")]
fn split_first(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    const WORD: usize = size_of::<usize>();
    const HEADER: usize = WORD + 8;
    let len = usize::from_ne_bytes(array(bytes, 0)?);
    let level = i32::from_ne_bytes(array(bytes, WORD)?);
    let kind = i32::from_ne_bytes(array(bytes, WORD + 4)?);
    let data = bytes.get(HEADER..len)?;
    let rest = bytes.get(len.next_multiple_of(WORD)..).unwrap_or_default();
    Some((level, kind, data, rest))
}

#[cfg(target_os = "linux")]
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Enough for a packet information of IPv6 and a traffic class, with their headers.
const BUFFER_BYTES: usize = 96;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let len = size_of::<usize>() + 8 + data.len();
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(len.next_multiple_of(size_of::<usize>()), 0);
        bytes
    }

    #[test]
    fn address_and_ecn_are_found_behind_unknown_messages() {
        let mut bytes = message(libc::SOL_SOCKET, 99, &[1, 2, 3]);
        bytes.extend(message(
            libc::IPPROTO_IP,
            libc::IP_PKTINFO,
            &[1, 0, 0, 0, 9, 9, 9, 9, 192, 0, 2, 1],
        ));
        bytes.extend(message(libc::IPPROTO_IP, libc::IP_TOS, &[0b1011_1001]));
        assert_eq!(
            parse(&bytes),
            (Some(IpAddr::from([192, 0, 2, 1])), Some(0b01))
        );
    }

    #[test]
    fn a_cut_or_lying_message_is_left_out() {
        let whole = message(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &3i32.to_ne_bytes());
        assert_eq!(parse(&whole), (None, Some(3)));
        for len in 0..size_of::<usize>() + 12 {
            assert_eq!(parse(&whole[..len]), (None, None), "cut at {len}");
        }
        let mut lying = whole.clone();
        lying[..size_of::<usize>()].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(parse(&lying), (None, None));
        lying[..size_of::<usize>()].copy_from_slice(&0usize.to_ne_bytes());
        assert_eq!(parse(&lying), (None, None));
    }
}
