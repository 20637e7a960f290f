//! A connection that has left HTTP: what a 101 or a successful CONNECT leads to.

use super::lease::Lease;
use http::{Method, StatusCode};
use hyper::rt::{Read, ReadBuf as HyperReadBuf, Write};
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a connection that does not speak HTTP any more, or of a stream of HTTP/2 that is a
/// tunnel. What the peer sent right behind its response is read first.
///
/// Dropping it ends the connection, or the stream.
pub struct Upgraded {
    stream: hyper::upgrade::Upgraded,
    /// Counts the connection as in use.
    _lease: Lease,
}

/// Whether a response ends HTTP on what it came over.
pub(super) fn is_left(method: &Method, status: StatusCode) -> bool {
    // RFC 9110 §9.3.6: any successful answer to CONNECT opens the tunnel.
    let is_tunnel = method == Method::CONNECT && status.is_success();
    is_tunnel || status == StatusCode::SWITCHING_PROTOCOLS
}

impl Upgraded {
    pub(super) fn new(stream: hyper::upgrade::Upgraded, lease: Lease) -> Self {
        Upgraded {
            stream,
            _lease: lease,
        }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut buffer = HyperReadBuf::new(out.initialize_unfilled());
        let stream = Pin::new(&mut self.stream);
        ready!(stream.poll_read(context, buffer.unfilled()))?;
        let count = buffer.filled().len();
        out.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}
