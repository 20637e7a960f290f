//! A socket for the packets of a protocol such as QUIC: segmentation offload, batches, no
//! fragmentation.
//!
//! Invariant: the slots of a batch are as long as any message, so that the system cuts none.

#[cfg(not(target_os = "linux"))]
use super::watched::Inner;
use crate::environment::Transmit;
use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::Socket;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of such a socket.
pub(super) struct Packets {
    state: UdpSocketState,
    /// The system has turned out not to segment.
    is_gso_lost: AtomicBool,
}

impl Packets {
    /// Prepares a bound socket.
    pub(super) fn new(socket: &Socket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(socket))?;
        // A window's worth may arrive while the thread is busy; the system may allow less.
        let _ = socket.set_recv_buffer_size(SOCKET_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BYTES);
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            // Nobody asks when a packet came, and timestamps cost the whole system time.
            let _ = crate::real::system::set_option(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPNS,
                0,
            );
        }
        Ok(Packets {
            state,
            is_gso_lost: AtomicBool::new(false),
        })
    }

    pub(super) fn gso_segments_max(&self) -> usize {
        match self.is_gso_lost.load(Ordering::Relaxed) {
            true => 1,
            false => self.state.max_gso_segments(),
        }
    }

    pub(super) fn gro_segments_max(&self) -> usize {
        self.state.gro_segments()
    }

    pub(super) fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    /// Sends by `send_one`, segment by segment where the system refuses to segment.
    pub(super) fn send(
        &self,
        transmit: &Transmit<'_>,
        send_one: impl Fn(&Transmit<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let error = match send_one(transmit) {
            Err(error) if transmit.effective_segment_size().is_some() => error,
            result => return result,
        };
        // Linux says one of these when a driver cannot segment, but also when a segment is longer
        // than the path takes; then the segments fail by themselves.
        if !matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL)) {
            return Err(error);
        }
        for (index, contents) in transmit.segments().enumerate() {
            let single = Transmit {
                contents,
                segment_size: None,
                ..*transmit
            };
            match send_one(&single) {
                Ok(()) => self.is_gso_lost.store(true, Ordering::Relaxed),
                Err(error) if index == 0 => return Err(error),
                // The rest is lost, as the network might have lost it.
                Err(_) => break,
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn transmit(&self, socket: &Inner, transmit: &Transmit<'_>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: transmit.remote,
            ecn: transmit.ecn.and_then(quinn_udp::EcnCodepoint::from_bits),
            contents: transmit.contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.source,
        };
        self.state.try_send(UdpSockRef::from(socket), &transmit)
    }

    /// Receives what waits, as much as one system call gives.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn receive(
        &self,
        socket: &Inner,
        batch: &mut crate::environment::DatagramBatch,
    ) -> io::Result<usize> {
        batch.clear();
        let slot = batch.empty_slot(0);
        slot.resize(crate::environment::MESSAGE_BYTES_MAX, 0);
        let (mut slices, mut metas) = (
            [io::IoSliceMut::new(slot)],
            [quinn_udp::RecvMeta::default()],
        );
        let socket = UdpSockRef::from(socket);
        self.state.recv(socket, &mut slices, &mut metas)?;
        let [meta] = metas;
        slot.truncate(meta.len);
        batch.note(crate::environment::Slot {
            stride: meta.stride,
            remote: meta.addr,
            local: meta.dst_ip,
            ecn: meta.ecn.map(|ecn| ecn as u8),
        });
        Ok(1)
    }
}

/// What the system shall hold in each direction.
const SOCKET_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::net::{Ipv4Addr, SocketAddr};

    fn packets() -> Packets {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        Packets::new(&socket.into()).expect("options that loopback has")
    }

    #[test]
    fn a_system_that_cannot_segment_gets_one_segment_at_a_time_from_then_on() {
        let packets = packets();
        assert!(packets.gso_segments_max() > 1);
        let mut transmit = Transmit::to(SocketAddr::from(([192, 0, 2, 1], 7)), b"aabbc");
        transmit.segment_size = Some(2);
        let sent = Cell::new(0);
        let refuse_segments = |transmit: &Transmit<'_>| {
            if transmit.effective_segment_size().is_some() {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            sent.set(sent.get() + 1);
            Ok(())
        };
        packets
            .send(&transmit, refuse_segments)
            .expect("sent one by one");
        assert_eq!((sent.get(), packets.gso_segments_max()), (3, 1));
    }

    #[test]
    fn a_segment_that_is_too_long_for_the_path_does_not_end_segmentation() {
        let packets = packets();
        let mut transmit = Transmit::to(SocketAddr::from(([192, 0, 2, 1], 7)), b"aabbc");
        transmit.segment_size = Some(2);
        let too_long = |transmit: &Transmit<'_>| {
            Err(io::Error::from_raw_os_error(
                match transmit.effective_segment_size() {
                    Some(_) => libc::EINVAL,
                    None => libc::EMSGSIZE,
                },
            ))
        };
        let error = packets.send(&transmit, too_long).expect_err("too long");
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        assert!(packets.gso_segments_max() > 1);
    }
}
