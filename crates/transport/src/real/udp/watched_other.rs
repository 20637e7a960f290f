//! A UDP socket and who waits for it, where there are no file descriptors.
//!
//! Invariant: tokio knows what the socket is ready for.

use std::io;
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The socket itself.
pub(super) type Inner = UdpSocket;

/// A socket that is watched.
pub(super) struct Watched(UdpSocket);

impl Watched {
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        UdpSocket::from_std(socket).map(Watched)
    }

    pub(super) fn socket(&self) -> &Inner {
        &self.0
    }

    /// Takes what `interest` is in, unless it is known that there is nothing.
    pub(super) fn try_read<R>(
        &self,
        interest: Interest,
        read: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.0.try_io(interest, read)
    }

    /// Sends, unless it is known that there is no room.
    pub(super) fn try_write<R>(&self, write: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.0.try_io(Interest::WRITABLE, write)
    }

    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_recv_ready(context)
    }

    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_send_ready(context)
    }

    /// Resolves when an error waits.
    pub(super) async fn has_error(&self) -> io::Result<()> {
        self.0.ready(Interest::ERROR).await.map(drop)
    }
}
