//! Control messages: the local address and the ECN bits of received datagrams, and what the system
//! shall do with those that are sent.
//!
//! Invariant: what cannot be understood is left out; nothing here fails a received datagram.

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

/// What is known of a received message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The address that it was sent to.
    pub(super) local: Option<IpAddr>,
    /// The two ECN bits.
    pub(super) ecn: Option<u8>,
    /// The length of each datagram, when there are several.
    pub(super) segment_size: Option<usize>,
}

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

    /// What is known among the first `len` bytes.
    pub(super) fn parse(&self, len: usize) -> Known {
        parse(self.filled(len))
    }

    /// The errno of an error that came from the network, among the first `len` bytes.
    #[cfg(target_os = "linux")]
    pub(super) fn network_error(&self, len: usize) -> Option<i32> {
        network_error(self.filled(len))
    }

    fn filled(&self, len: usize) -> &[u8] {
        let filled = &self.0[..len.min(BUFFER_BYTES)];
        // SAFETY: `new` initialised every byte, and the system only writes initialised ones.
        unsafe { std::slice::from_raw_parts(filled.as_ptr().cast::<u8>(), filled.len()) }
    }
}

#[cfg(target_os = "linux")]
fn parse(mut bytes: &[u8]) -> Known {
    let mut known = Known::default();
    while let Some((level, kind, data, rest)) = split_first(bytes) {
        match (level, kind) {
            // in_pktinfo: the interface, the local address of the route, the header's address.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                known.local = array::<4>(data, 8).map(IpAddr::from).or(known.local);
            }
            // in6_pktinfo: the header's address, the interface.
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                known.local = array::<16>(data, 0).map(IpAddr::from).or(known.local);
            }
            // One byte for IPv4, an int for IPv6.
            (libc::IPPROTO_IP, libc::IP_TOS) => {
                known.ecn = data.first().map(|field| field & 3).or(known.ecn);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                known.ecn = array::<4>(data, 0)
                    .map(|field| (i32::from_ne_bytes(field) & 3) as u8)
                    .or(known.ecn);
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let size = array::<4>(data, 0).map(i32::from_ne_bytes);
                known.segment_size = size.and_then(|size| usize::try_from(size).ok());
            }
            _ => {}
        }
        bytes = rest;
    }
    known
}

#[cfg(not(target_os = "linux"))]
fn parse(_bytes: &[u8]) -> Known {
    Known::default()
}

#[cfg(target_os = "linux")]
fn network_error(mut bytes: &[u8]) -> Option<i32> {
    while let Some((level, kind, data, rest)) = split_first(bytes) {
        let is_error = matches!(
            (level, kind),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        );
        // sock_extended_err: the errno, then one byte that says where it comes from.
        let origin = data.get(4).copied();
        if is_error
            && matches!(
                origin,
                Some(libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6)
            )
        {
            return array::<4>(data, 0).map(i32::from_ne_bytes);
        }
        bytes = rest;
    }
    None
}

/// Control messages to go with what is sent.
#[cfg(target_os = "linux")]
#[repr(align(8))]
pub(super) struct Outgoing {
    bytes: [u8; BUFFER_BYTES],
    len: usize,
}

#[cfg(target_os = "linux")]
impl Outgoing {
    pub(super) fn new() -> Self {
        Outgoing {
            bytes: [0; BUFFER_BYTES],
            len: 0,
        }
    }

    /// Sends from this address, whatever the routing would choose.
    pub(super) fn push_source(&mut self, source: IpAddr) {
        match source {
            IpAddr::V4(address) => {
                // in_pktinfo, see `parse`: here the address of the route is the source.
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&address.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            IpAddr::V6(address) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&address.octets());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    /// Sets the whole field of which two bits are ECN's.
    pub(super) fn push_traffic_class(&mut self, field: u8, is_ipv4: bool) {
        let field = i32::from(field).to_ne_bytes();
        match is_ipv4 {
            true => self.push(libc::IPPROTO_IP, libc::IP_TOS, &field),
            false => self.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &field),
        }
    }

    /// Has the system cut what is sent into datagrams of this length.
    pub(super) fn push_segment_size(&mut self, size: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let len = HEADER + data.len();
        let message = &mut self.bytes[self.len..self.len + len];
        message[..WORD].copy_from_slice(&len.to_ne_bytes());
        message[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        message[WORD + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        message[HEADER..].copy_from_slice(data);
        self.len += len.next_multiple_of(WORD);
    }
}

/// Level, type and data of the first message, and what follows it.
#[cfg(target_os = "linux")]
fn split_first(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
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

#[cfg(target_os = "linux")]
const WORD: usize = size_of::<usize>();
#[cfg(target_os = "linux")]
const HEADER: usize = WORD + 8;
/// Enough for a packet information of IPv6, a traffic class, and a segment size or an error with
/// the address that it comes from, with their headers.
const BUFFER_BYTES: usize = 160;

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
        bytes.extend(message(
            libc::SOL_UDP,
            libc::UDP_GRO,
            &1200_i32.to_ne_bytes(),
        ));
        let expected = Known {
            local: Some(IpAddr::from([192, 0, 2, 1])),
            ecn: Some(0b01),
            segment_size: Some(1200),
        };
        assert_eq!(parse(&bytes), expected);
    }

    #[test]
    fn what_is_encoded_is_parsed_again_and_everything_fits() {
        for source in [IpAddr::from([192, 0, 2, 1]), IpAddr::from([7; 16])] {
            let mut outgoing = Outgoing::new();
            outgoing.push_segment_size(1200);
            outgoing.push_traffic_class(0b1011_1010, source.is_ipv4());
            outgoing.push_source(source);
            let known = parse(outgoing.bytes());
            assert_eq!(known.ecn, Some(0b10));
            // A received packet information of IPv4 has the address in another of its fields.
            let is_source = known.local == Some(source);
            assert_eq!(is_source, source.is_ipv6());
        }
    }

    #[test]
    fn only_errors_of_the_network_are_told() {
        let error = |origin: u8| {
            let mut data = libc::ECONNREFUSED.to_ne_bytes().to_vec();
            data.extend([origin, 3, 3, 0]);
            data.extend([0; 8]);
            let mut bytes = message(libc::IPPROTO_IP, libc::IP_TOS, &[0]);
            bytes.extend(message(libc::IPPROTO_IP, libc::IP_RECVERR, &data));
            bytes
        };
        let told = network_error(&error(libc::SO_EE_ORIGIN_ICMP));
        assert_eq!(told, Some(libc::ECONNREFUSED));
        assert_eq!(network_error(&error(libc::SO_EE_ORIGIN_LOCAL)), None);
        assert_eq!(network_error(&[]), None);
    }

    #[test]
    fn a_cut_or_lying_message_is_left_out() {
        let whole = message(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &3i32.to_ne_bytes());
        let expected = Known {
            ecn: Some(3),
            ..Known::default()
        };
        assert_eq!(parse(&whole), expected);
        for len in 0..size_of::<usize>() + 12 {
            assert_eq!(parse(&whole[..len]), Known::default(), "cut at {len}");
        }
        let mut lying = whole.clone();
        lying[..size_of::<usize>()].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(parse(&lying), Known::default());
        lying[..size_of::<usize>()].copy_from_slice(&0usize.to_ne_bytes());
        assert_eq!(parse(&lying), Known::default());
    }
}
