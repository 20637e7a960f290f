//! An environment that counts what reaches the sockets, around the real one.
//!
//! Invariant: each call of a counted method is one system call of the real environment.

use portway_sim::Alteration;
use portway_transport::environment::{BoxFuture, Environment, TcpConnect, TcpOptions, TcpStream};
use portway_transport::real::RealEnvironment;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// The real environment, counting the writes of the TCP connections that it opens.
pub struct CountingEnvironment {
    inner: RealEnvironment,
    writes: Arc<AtomicU64>,
}

impl CountingEnvironment {
    /// Counts what `inner` writes.
    pub fn new(inner: RealEnvironment) -> Self {
        CountingEnvironment {
            inner,
            writes: Arc::default(),
        }
    }

    /// The writes so far, live.
    pub fn writes(&self) -> Arc<AtomicU64> {
        self.writes.clone()
    }
}

impl Alteration for CountingEnvironment {
    type Inner = RealEnvironment;

    fn inner(&self) -> &RealEnvironment {
        &self.inner
    }

    fn tcp_connect(&self, request: TcpConnect) -> BoxFuture<io::Result<Box<dyn TcpStream>>> {
        let (connecting, writes) = (self.inner.tcp_connect(request), self.writes.clone());
        Box::pin(async move {
            let inner = connecting.await?;
            Ok(Box::new(CountingStream { inner, writes }) as _)
        })
    }
}

struct CountingStream {
    inner: Box<dyn TcpStream>,
    writes: Arc<AtomicU64>,
}

impl TcpStream for CountingStream {
    fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
        self.inner.try_read(out)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.try_write_vectored(slices)
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(context)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_writable(context)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.inner.shutdown_write()
    }

    fn abort(&self) {
        self.inner.abort();
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        self.inner.unacknowledged()
    }

    fn take_error(&self) -> Option<io::Error> {
        self.inner.take_error()
    }

    fn set_options(&self, options: &TcpOptions) -> io::Result<()> {
        self.inner.set_options(options)
    }

    fn rtt(&self) -> Option<Duration> {
        self.inner.rtt()
    }

    fn max_segment_size(&self) -> Option<usize> {
        self.inner.max_segment_size()
    }

    fn local_address(&self) -> SocketAddr {
        self.inner.local_address()
    }

    fn peer_address(&self) -> SocketAddr {
        self.inner.peer_address()
    }
}
