//! Sockets of the file system (AF_UNIX), as far as streams to servers there need them.
//!
//! Invariant: an error that ended the connection is told again to whoever asks later.

use crate::environment::{BoxFuture, TcpStream};
use std::io;
use std::path::PathBuf;

/// Connects to the socket at `path`; a path that begins with a zero byte is one of Linux's abstract
/// names. Waits while the server's queue is full. Dropping the future closes the socket.
#[cfg(unix)]
pub(super) fn connect(path: PathBuf) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
    Box::pin(async move {
        let stream = loop {
            match tokio::net::UnixStream::connect(&path).await {
                // The server's queue is full, of which nothing tells when there is room (unix(7)).
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(FULL_QUEUE_WAIT).await;
                }
                done => break done?,
            }
        };
        Ok(Box::new(stream::RealUnixStream::new(stream)) as Box<dyn TcpStream>)
    })
}

#[cfg(not(unix))]
pub(super) fn connect(_: PathBuf) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
    Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
}

#[cfg(unix)]
const FULL_QUEUE_WAIT: std::time::Duration = std::time::Duration::from_millis(2);

#[cfg(unix)]
mod stream {
    use crate::environment::{TcpOptions, TcpStream};
    use bytes::BytesMut;
    use socket2::SockRef;
    use std::io::{self, ErrorKind, IoSlice};
    use std::net::{Ipv4Addr, Shutdown, SocketAddr};
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::task::{Context, Poll};
    use std::time::Duration;
    use tokio::net::UnixStream;

    pub(super) struct RealUnixStream {
        stream: UnixStream,
        /// The errno that ended the connection, zero while none has been seen.
        ended_by: AtomicI32,
    }

    impl RealUnixStream {
        pub(super) fn new(stream: UnixStream) -> Self {
            RealUnixStream {
                stream,
                ended_by: AtomicI32::new(0),
            }
        }

        fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
            if let Err(error) = &result
                && error.kind() != ErrorKind::WouldBlock
                && let Some(code) = error.raw_os_error()
            {
                self.ended_by.store(code, Ordering::Relaxed);
            }
            result
        }
    }

    impl TcpStream for RealUnixStream {
        fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
            self.note(self.stream.try_read(out))
        }

        fn try_read_buf(&self, out: &mut BytesMut) -> io::Result<usize> {
            self.note(self.stream.try_read_buf(out))
        }

        fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.note(self.stream.try_write_vectored(slices))
        }

        fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.stream.poll_read_ready(context)
        }

        fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.stream.poll_write_ready(context)
        }

        fn shutdown_write(&self) -> io::Result<()> {
            SockRef::from(&self.stream).shutdown(Shutdown::Write)
        }

        fn abort(&self) {
            let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
            self.ended_by.store(libc::ECONNABORTED, Ordering::Relaxed);
        }

        /// What the peer has not read is counted nowhere.
        fn unacknowledged(&self) -> io::Result<usize> {
            Err(self
                .take_error()
                .unwrap_or_else(|| ErrorKind::Unsupported.into()))
        }

        fn take_error(&self) -> Option<io::Error> {
            let code = self.ended_by.load(Ordering::Relaxed);
            (code != 0).then(|| io::Error::from_raw_os_error(code))
        }

        /// There is neither a network nor TCP below it.
        fn set_options(&self, _options: &TcpOptions) -> io::Result<()> {
            Err(ErrorKind::Unsupported.into())
        }

        fn rtt(&self) -> Option<Duration> {
            None
        }

        fn max_segment_size(&self) -> Option<usize> {
            None
        }

        fn local_address(&self) -> SocketAddr {
            NOWHERE
        }

        fn peer_address(&self) -> SocketAddr {
            NOWHERE
        }
    }

    /// No end of it has an address of the network.
    const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
}
