//! The handle of a UDP socket.
//!
//! Invariant: a datagram longer than the caller's buffer is consumed and reported, never cut.

use super::{SEGMENTS_MAX, Udp, UdpId, gso_segments_max, payload_limit};
use crate::host::errno;
use crate::state::{Shared, keep_waker};
use portway_transport::environment::{
    DatagramBatch, ReceivedDatagram, ReceivedMessage, Transmit, UdpBind, UdpProfile, UdpSocket,
};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A UDP socket of a simulated host.
pub(super) struct SimUdpSocket {
    shared: Arc<Shared>,
    id: UdpId,
    local: SocketAddr,
    request: UdpBind,
}

impl SimUdpSocket {
    pub(super) fn new(shared: Arc<Shared>, id: UdpId, local: SocketAddr, request: UdpBind) -> Self {
        SimUdpSocket {
            shared,
            id,
            local,
            request,
        }
    }

    fn is_for_packets(&self) -> bool {
        self.request.profile == UdpProfile::Packets
    }

    fn on_socket<R>(&self, act: impl FnOnce(&mut Udp) -> R) -> R {
        self.shared.with(|state| {
            let socket = state.udp.sockets.get_mut(&self.id);
            act(socket.expect("a socket stays in the table while its handle exists"))
        })
    }
}

impl UdpSocket for SimUdpSocket {
    fn try_send(&self, datagram: &[u8], remote: Option<SocketAddr>) -> io::Result<()> {
        self.shared
            .with(|state| state.udp_send(self.id, datagram, remote))
    }

    fn try_send_batch(&self, datagrams: &[&[u8]], remote: Option<SocketAddr>) -> io::Result<usize> {
        for (sent, datagram) in datagrams.iter().enumerate() {
            match self.try_send(datagram, remote) {
                Err(_) if sent > 0 => return Ok(sent),
                result => result?,
            }
        }
        Ok(datagrams.len())
    }

    fn try_transmit(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.shared
            .with(|state| state.udp_transmit(self.id, transmit))
    }

    fn try_receive(&self, out: &mut [u8]) -> io::Result<ReceivedDatagram> {
        if self.is_for_packets() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let received = self.on_socket(|socket| {
            if let Some(code) = socket.error.take() {
                return Err(errno(code));
            }
            let received = socket.queue.pop_front();
            let received = received.ok_or(io::ErrorKind::WouldBlock)?;
            socket.queued_bytes -= received.data.len();
            Ok(received)
        })?;
        let len = received.data.len();
        let Some(slot) = out.get_mut(..len) else {
            let reason = format!("a datagram of {len} bytes does not fit {}", out.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        };
        slot.copy_from_slice(&received.data);
        Ok(ReceivedDatagram {
            len,
            remote: received.remote,
            local: Some(received.local.ip()),
            ecn: Some(received.ecn),
        })
    }

    fn try_receive_batch(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        batch.clear();
        self.on_socket(|socket| {
            if let Some(code) = socket.error.take() {
                return Err(errno(code));
            }
            let segments_max = if self.is_for_packets() {
                SEGMENTS_MAX
            } else {
                1
            };
            while !batch.is_full()
                && let Some(first) = socket.queue.front()
            {
                let count = first.joined(&socket.queue, segments_max);
                let stride = first.data.len();
                let (remote, local, ecn) = (first.remote, first.local.ip(), first.ecn);
                let contents: Vec<u8> = socket
                    .queue
                    .drain(..count)
                    .flat_map(|received| received.data)
                    .collect();
                socket.queued_bytes -= contents.len();
                batch.push(ReceivedMessage {
                    contents: &contents,
                    stride,
                    remote,
                    local: Some(local),
                    ecn: Some(ecn),
                });
            }
            match batch.len() {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                count => Ok(count),
            }
        })
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on_socket(|socket| {
            if socket.error.is_some() || !socket.queue.is_empty() {
                return Poll::Ready(Ok(()));
            }
            keep_waker(&mut socket.reader, context.waker());
            Poll::Pending
        })
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on_socket(|socket| {
            if socket.error.is_some() || socket.blocked.is_none() {
                return Poll::Ready(Ok(()));
            }
            keep_waker(&mut socket.writer, context.waker());
            Poll::Pending
        })
    }

    fn gso_segments_max(&self) -> usize {
        gso_segments_max(&self.request)
    }

    fn gro_segments_max(&self) -> usize {
        gso_segments_max(&self.request)
    }

    fn code_point(&self) -> Option<u8> {
        Some(self.request.dscp.unwrap_or(0))
    }

    fn may_fragment(&self) -> bool {
        !self.is_for_packets()
    }

    fn payload_max(&self, remote: SocketAddr, may_fragment: bool) -> usize {
        if may_fragment {
            return payload_limit(remote);
        }
        self.shared.with(|state| {
            let Some(socket) = state.udp.sockets.get(&self.id) else {
                return 0;
            };
            let (host, path) = (socket.host, self.request.path);
            let source = state
                .host(host)
                .source_for(remote.ip(), Some(self.local.ip()), path)
                .unwrap_or(self.local.ip());
            state.udp_payload(host, SocketAddr::new(source, 0), remote)
        })
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SimUdpSocket {
    fn drop(&mut self) {
        self.shared.with(|state| state.udp_close(self.id));
    }
}
