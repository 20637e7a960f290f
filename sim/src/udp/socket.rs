//! The handle of a UDP socket.
//!
//! Invariant: a datagram longer than the caller's buffer is consumed and reported, never cut.

use super::{Udp, UdpId, payload_limit};
use crate::host::errno;
use crate::state::{Shared, keep_waker};
use portway_transport::environment::{ReceivedDatagram, UdpSocket};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A UDP socket of a simulated host.
pub(super) struct SimUdpSocket {
    shared: Arc<Shared>,
    id: UdpId,
    local: SocketAddr,
}

impl SimUdpSocket {
    pub(super) fn new(shared: Arc<Shared>, id: UdpId, local: SocketAddr) -> Self {
        SimUdpSocket { shared, id, local }
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

    fn try_receive(&self, out: &mut [u8]) -> io::Result<ReceivedDatagram> {
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

    fn payload_max(&self, remote: SocketAddr, may_fragment: bool) -> usize {
        if may_fragment {
            return payload_limit(remote);
        }
        self.shared.with(|state| {
            let Some(socket) = state.udp.sockets.get(&self.id) else {
                return 0;
            };
            let (host, path) = (socket.host, socket.request.path);
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
