//! The handle of a connection: reading, writing and ending as system calls do it.
//!
//! Invariant: data that has arrived is read before an error is told; an error is told once.

use super::connection::{Connection, Phase};
use super::handshake::Endpoints;
use super::table::ConnectionId;
use crate::host::{check_dscp, errno};
use crate::packet::SegmentKind;
use crate::state::{Shared, keep_waker};
use portway_transport::environment::{TcpOptions, TcpStream};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A connected socket, or one that connects.
pub(crate) struct SimTcpStream {
    shared: Arc<Shared>,
    id: ConnectionId,
    local: SocketAddr,
    remote: SocketAddr,
}

impl SimTcpStream {
    pub(crate) fn new(shared: Arc<Shared>, endpoints: Endpoints) -> Self {
        SimTcpStream {
            shared,
            id: endpoints.id,
            local: endpoints.local,
            remote: endpoints.remote,
        }
    }

    /// Ready when the handshake is over.
    pub(crate) fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on_connection(|connection| match connection.phase {
            Phase::Established => Poll::Ready(Ok(())),
            Phase::Closed => Poll::Ready(Err(connection.take_error().unwrap_or_else(reset))),
            Phase::SynSent | Phase::SynReceived(_) => {
                keep_waker(&mut connection.wakers.connect, context.waker());
                Poll::Pending
            }
        })
    }

    fn on_connection<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> R {
        self.shared.with(|state| {
            let connection = state.connection(self.id);
            act(connection.expect("a connection stays in the table while its handle exists"))
        })
    }
}

impl Connection {
    /// The error that a call reports; that of an abort by the holder itself stays.
    fn take_error(&mut self) -> Option<io::Error> {
        let code = match self.error {
            Some(ABORTED) => self.error,
            _ => self.error.take(),
        };
        code.map(errno)
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffer = &mut self.receiver.buffer;
        if !buffer.is_empty() && !out.is_empty() {
            let len = buffer.len().min(out.len());
            for (slot, byte) in out.iter_mut().zip(buffer.drain(..len)) {
                *slot = byte;
            }
            return Ok(len);
        }
        if self.receiver.is_ended() || out.is_empty() {
            return Ok(0);
        }
        match self.take_error() {
            Some(error) => Err(error),
            None if self.phase == Phase::Closed => Ok(0),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if let Some(error) = self.take_error() {
            return Err(error);
        }
        if self.phase == Phase::Closed || self.sender.fin.is_some() {
            return Err(errno(libc::EPIPE));
        }
        let mut written = 0;
        for slice in slices {
            let len = slice.len().min(self.sender.room());
            self.sender.buffer.extend(&slice[..len]);
            written += len;
        }
        if written == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(written)
    }

    fn is_readable(&self) -> bool {
        !self.receiver.buffer.is_empty() || self.receiver.is_ended() || self.phase == Phase::Closed
    }

    fn is_writable(&self) -> bool {
        let is_ended = self.phase == Phase::Closed || self.sender.fin.is_some();
        is_ended || self.sender.has_ample_room()
    }
}

impl TcpStream for SimTcpStream {
    fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
        let (result, is_update_due) = self.on_connection(|connection| {
            let result = connection.read(out);
            let is_open = connection.phase == Phase::Established;
            let is_due = is_open && connection.receiver.is_update_due(connection.mss);
            (result, is_due)
        });
        if is_update_due {
            self.shared
                .with(|state| state.send_bare(self.id, SegmentKind::Ack));
        }
        result
    }

    fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let written = self.on_connection(|connection| connection.write(slices))?;
        self.shared.with(|state| state.pump(self.id));
        Ok(written)
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on_connection(|connection| {
            if connection.is_readable() {
                return Poll::Ready(Ok(()));
            }
            keep_waker(&mut connection.wakers.read, context.waker());
            Poll::Pending
        })
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on_connection(|connection| {
            if connection.is_writable() {
                return Poll::Ready(Ok(()));
            }
            keep_waker(&mut connection.wakers.write, context.waker());
            Poll::Pending
        })
    }

    fn shutdown_write(&self) -> io::Result<()> {
        let is_closed = self.on_connection(|connection| connection.phase == Phase::Closed);
        if is_closed {
            return Err(errno(libc::ENOTCONN));
        }
        self.shared.with(|state| state.close_writing(self.id));
        Ok(())
    }

    fn abort(&self) {
        self.shared.with(|state| {
            if let Some(connection) = state.connection(self.id) {
                connection.receiver.buffer.clear();
                connection.receiver.fin = None;
            }
            state.abort_connection(self.id, Some(ABORTED));
        });
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        self.on_connection(|connection| match connection.ended_by {
            Some(ABORTED) => Err(errno(libc::ECONNABORTED)),
            Some(code) => Err(errno(code)),
            None => Ok(connection.sender.unacknowledged()),
        })
    }

    fn take_error(&self) -> Option<io::Error> {
        self.on_connection(|connection| match connection.error {
            Some(ABORTED) => None,
            _ => connection.take_error(),
        })
    }

    fn set_options(&self, options: &TcpOptions) -> io::Result<()> {
        check_options(options)?;
        self.on_connection(|connection| {
            let kept = &mut connection.options;
            kept.no_delay = options.no_delay.or(kept.no_delay);
            kept.keep_alive = options.keep_alive.or(kept.keep_alive);
            kept.user_timeout = options.user_timeout.or(kept.user_timeout);
            kept.dscp = options.dscp.or(kept.dscp);
        });
        self.shared.with(|state| {
            if options.keep_alive.is_some() {
                state.arm_keep_alive(self.id);
            }
            state.pump(self.id);
        });
        Ok(())
    }

    fn rtt(&self) -> Option<Duration> {
        self.on_connection(|connection| connection.sender.retransmission.srtt)
    }

    fn max_segment_size(&self) -> Option<usize> {
        self.on_connection(|connection| Some(connection.mss))
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }

    fn peer_address(&self) -> SocketAddr {
        self.remote
    }
}

impl Drop for SimTcpStream {
    fn drop(&mut self) {
        self.shared.with(|state| state.release_connection(self.id));
    }
}

/// Refuses what the system would refuse.
pub(crate) fn check_options(options: &TcpOptions) -> io::Result<()> {
    check_dscp(options.dscp)
}

fn reset() -> io::Error {
    errno(libc::ECONNRESET)
}

/// What every call says after the holder's own abort.
const ABORTED: i32 = libc::ENOTCONN;
