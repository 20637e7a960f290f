//! A connected TCP socket.
//!
//! Invariant: an error that ended the connection is remembered, so that whoever asks later learns
//! it too; the system tells it only once.

use super::options;
use crate::environment::{TcpOptions, TcpStream};
use crate::real::system;
use bytes::BytesMut;
use socket2::SockRef;
use std::io::{self, IoSlice, Read};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;

/// A TCP connection on tokio's reactor.
pub(super) struct RealTcpStream {
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    local: OnceLock<SocketAddr>,
    /// The errno that ended the connection, zero while none has been seen.
    ended_by: AtomicI32,
    is_write_shut: AtomicBool,
}

impl RealTcpStream {
    pub(super) fn new(
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Self {
        RealTcpStream {
            stream,
            peer,
            local: local.map(OnceLock::from).unwrap_or_default(),
            ended_by: AtomicI32::new(0),
            is_write_shut: AtomicBool::new(false),
        }
    }

    /// Runs `operation`, which moves at most `wanted` bytes, if tokio believes that it can.
    ///
    /// On an edge-triggered reactor, an operation that moved less than it could have tells that
    /// the system has no more. Saying so to tokio saves the system call that would only answer
    /// `WouldBlock`, as tokio's own `AsyncRead` does.
    fn try_io(
        &self,
        interest: Interest,
        wanted: usize,
        operation: impl FnOnce(SockRef<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut partial = None;
        let result = self.stream.try_io(interest, || {
            let moved = operation(SockRef::from(&self.stream))?;
            if IS_EDGE_TRIGGERED && moved > 0 && moved < wanted {
                partial = Some(moved);
                // This makes tokio clear the readiness that it had before the operation, and no
                // newer one.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(moved)
        });
        match (partial, result) {
            (Some(moved), _) => Ok(moved),
            (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                Err(self.remember(error))
            }
            (None, result) => result,
        }
    }

    /// Reads if tokio believes that it can, or if the connection has ended: a write may learn of
    /// that before the reactor does, and what arrived until then is still to be had.
    fn try_to_read(
        &self,
        wanted: usize,
        operation: impl FnOnce(SockRef<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if self.ended_by.load(Ordering::Relaxed) == 0 {
            return self.try_io(Interest::READABLE, wanted, operation);
        }
        operation(SockRef::from(&self.stream)).map_err(|error| self.remember(error))
    }

    /// Keeps an error that ended the connection.
    #[cold]
    fn remember(&self, error: io::Error) -> io::Error {
        match error.raw_os_error() {
            None | Some(libc::EINTR | libc::ENOBUFS | libc::ENOMEM) => {}
            // A write after our own FIN is the caller's mistake, and a read after an abort has
            // nothing new to tell.
            Some(libc::EPIPE) if self.is_write_shut.load(Ordering::Relaxed) => {}
            Some(code) => {
                let _ =
                    self.ended_by
                        .compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        error
    }

    fn ended_by(&self) -> Option<io::Error> {
        match self.ended_by.load(Ordering::Relaxed) {
            0 => None,
            code => Some(io::Error::from_raw_os_error(code)),
        }
    }
}

impl TcpStream for RealTcpStream {
    fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = out.len();
        self.try_to_read(wanted, |socket| (&*socket).read(out))
    }

    fn try_read_buf(&self, out: &mut BytesMut) -> io::Result<usize> {
        let wanted = out.capacity() - out.len();
        let spare = out.spare_capacity_mut();
        let read = self.try_to_read(wanted, |socket| socket.recv(spare))?;
        // SAFETY: `recv` has initialised the first `read` bytes of the spare capacity.
        unsafe { out.set_len(out.len() + read) };
        Ok(read)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.try_io(Interest::WRITABLE, one.len(), |socket| {
                socket.send_with_flags(one, NO_SIGNAL)
            }),
            many => {
                let wanted = many.iter().map(|slice| slice.len()).sum();
                self.try_io(Interest::WRITABLE, wanted, |socket| {
                    if wanted > GATHERED_BYTES_MAX {
                        return socket.send_vectored_with_flags(many, NO_SIGNAL);
                    }
                    let mut gathered = [0; GATHERED_BYTES_MAX];
                    let mut at = 0;
                    for slice in many {
                        gathered[at..at + slice.len()].copy_from_slice(slice);
                        at += slice.len();
                    }
                    socket.send_with_flags(&gathered[..at], NO_SIGNAL)
                })
            }
        }
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(context)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(context)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.is_write_shut.store(true, Ordering::Relaxed);
        SockRef::from(&self.stream)
            .shutdown(std::net::Shutdown::Write)
            .map_err(|error| self.remember(error))
    }

    fn abort(&self) {
        self.local_address();
        let socket = SockRef::from(&self.stream);
        // Disconnecting resets at once, whoever else holds the socket, and wakes whoever waits
        // for it. Where that is not possible, the reset goes out when the last holder closes.
        if system::disconnect(&socket).is_err() {
            let _ = socket.set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(std::net::Shutdown::Read);
        }
        let _ = socket.take_error();
        let _ = self.ended_by.compare_exchange(
            0,
            libc::ECONNABORTED,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        if let Some(error) = self.ended_by() {
            return Err(error);
        }
        let socket = SockRef::from(&self.stream);
        let bytes = system::unsent_and_unacknowledged(&socket)?;
        // A connection that was reset has an empty queue too. Only the error tells it apart from
        // one whose last byte was acknowledged.
        if bytes == 0
            && system::tcp_info(&socket)?.is_closed
            && let Some(error) = self.take_error()
        {
            return Err(error);
        }
        Ok(bytes)
    }

    fn take_error(&self) -> Option<io::Error> {
        match SockRef::from(&self.stream).take_error() {
            Ok(Some(error)) | Err(error) => Some(self.remember(error)),
            Ok(None) => None,
        }
    }

    fn set_options(&self, options: &TcpOptions) -> io::Result<()> {
        options::apply(SockRef::from(&self.stream), self.peer.ip(), options)
    }

    fn rtt(&self) -> Option<Duration> {
        let info = system::tcp_info(&SockRef::from(&self.stream)).ok()?;
        (!info.rtt.is_zero()).then_some(info.rtt)
    }

    fn max_segment_size(&self) -> Option<usize> {
        let info = system::tcp_info(&SockRef::from(&self.stream)).ok()?;
        usize::try_from(info.send_mss).ok().filter(|size| *size > 0)
    }

    fn local_address(&self) -> SocketAddr {
        *self.local.get_or_init(|| {
            // The address of a socket can always be asked; the fallback is for systems that
            // forget it once the connection is gone.
            let unknown = match self.peer {
                SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            self.stream.local_addr().unwrap_or(unknown)
        })
    }

    fn peer_address(&self) -> SocketAddr {
        self.peer
    }
}

/// Whether tokio's reactor tells of a change only once (epoll, kqueue).
const IS_EDGE_TRIGGERED: bool = cfg!(unix);

/// So many bytes in pieces are copied together and sent as one: the system takes longer to learn
/// where the pieces are, by a fiftieth of such a write.
const GATHERED_BYTES_MAX: usize = 2048;
/// A write to a connection that is gone shall be an error, not a signal. Elsewhere Rust's runtime
/// sees to that for the whole process.
#[cfg(target_os = "linux")]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: i32 = 0;
