//! Every frame that passes an interface, as a packet socket sees it.
//!
//! Invariant: [`Capture::frames`] fails when the system had to drop a frame.

use crate::namespace::Namespace;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A running capture.
pub(crate) struct Capture {
    socket: AsyncFd<Socket>,
}

/// The TCP or UDP part of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) protocol: u8,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// The differentiated services code point of its packet.
    pub(crate) code_point: u8,
    /// TCP's flags; zero for UDP.
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const TCP: u8 = 6;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;

impl Capture {
    /// Starts to capture on an interface of `namespace`, both directions.
    pub(crate) fn start(namespace: &Namespace, interface: &str) -> Capture {
        let socket = namespace.run(|| open(interface));
        // SAFETY: the socket owns its descriptor, and nothing replaces or closes it while the
        // `AsyncFd` owns the socket.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Capture {
            socket: socket.expect("a runtime"),
        }
    }

    /// Waits for the next frame.
    pub(crate) async fn next(&self) -> Vec<u8> {
        loop {
            let mut ready = self.socket.readable().await.expect("a capture");
            if let Ok(frame) = ready.try_io(|socket| read(socket.get_ref())) {
                return frame.expect("a frame");
            }
        }
    }

    /// Waits for the next TCP segment that `wanted` accepts.
    pub(crate) async fn next_tcp(&self, wanted: impl Fn(&Segment) -> bool) -> Segment {
        loop {
            let segment = Segment::parse(&self.next().await);
            if let Some(segment) = segment.filter(|s| s.protocol == TCP && wanted(s)) {
                return segment;
            }
        }
    }

    /// Everything that was captured and not taken yet.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        let socket = self.socket.get_ref();
        let mut frames = Vec::new();
        loop {
            match read(socket) {
                Ok(frame) => frames.push(frame),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("capture: {error}"),
            }
        }
        assert_eq!(dropped(socket), 0, "the capture is complete");
        frames
    }
}

impl Segment {
    /// The segment in an Ethernet frame with IPv4 or IPv6 (without extension headers).
    pub(crate) fn parse(frame: &[u8]) -> Option<Segment> {
        let kind = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
        let packet = &frame[14..];
        let (protocol, start, end, code_point) = match kind {
            0x0800 => {
                let header = usize::from(packet.first()? & 0xf) * 4;
                let total = u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?);
                (*packet.get(9)?, header, usize::from(total), packet[1] >> 2)
            }
            0x86dd => {
                let len = u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?);
                let class = packet[0] << 4 | packet[1] >> 4;
                (*packet.get(6)?, 40, 40 + usize::from(len), class >> 2)
            }
            _ => return None,
        };
        let segment = packet.get(start..end)?;
        let port = |at: usize| {
            Some(u16::from_be_bytes(
                segment.get(at..at + 2)?.try_into().ok()?,
            ))
        };
        let (header, flags) = match protocol {
            TCP => (usize::from(segment.get(12)? >> 4) * 4, *segment.get(13)?),
            17 => (8, 0),
            _ => return None,
        };
        Some(Segment {
            protocol,
            source_port: port(0)?,
            destination_port: port(2)?,
            code_point,
            flags,
            payload: segment.get(header..)?.to_vec(),
        })
    }

    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

fn open(interface: &str) -> Socket {
    let every_protocol = (libc::ETH_P_ALL as u16).to_be();
    let socket = Socket::new(
        Domain::PACKET,
        Type::RAW,
        Some(Protocol::from(i32::from(every_protocol))),
    )
    .expect("a packet socket");
    socket.set_nonblocking(true).expect("a packet socket");
    let size = socket.set_recv_buffer_size(BUFFER_BYTES);
    size.expect("a buffer");
    let name = std::ffi::CString::new(interface).expect("a name without zeroes");
    // SAFETY: the name ends with a zero and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "the interface {interface} exists");
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_ll is plain data and smaller than the storage, and all zeroes is valid.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every_protocol;
    address.sll_ifindex = index as i32;
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds a valid sockaddr_ll of this length.
    let address = unsafe { SockAddr::new(storage, len) };
    socket.bind(&address).expect("a packet socket");
    socket
}

fn read(mut socket: &Socket) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; FRAME_BYTES_MAX];
    let len = socket.read(&mut frame)?;
    assert!(len < frame.len(), "a frame that is not cut");
    frame.truncate(len);
    Ok(frame)
}

/// Frames that the system dropped because the socket's buffer was full.
fn dropped(socket: &Socket) -> u32 {
    let mut statistics = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: the pointers lead to a tpacket_stats and its length, which outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut len,
        )
    };
    assert_eq!(result, 0, "statistics of the capture");
    statistics.tp_drops
}

/// Room for all that a test sends.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// More than a frame can have, also one that the card would have to cut up.
const FRAME_BYTES_MAX: usize = 128 * 1024;
