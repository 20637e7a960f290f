//! A UDP socket and who waits for it.
//!
//! Invariant: only while somebody waits for room does the system tell of it. A socket that is
//! always watched for that reports every datagram once it has left, which is a wake for nothing.

use std::io;
use std::net::UdpSocket;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The socket itself.
pub(super) type Inner = UdpSocket;

/// A socket that is watched.
pub(super) struct Watched {
    reading: AsyncFd<UdpSocket>,
    /// Another descriptor of the same socket, while it is full.
    writing: Mutex<Option<AsyncFd<UdpSocket>>>,
}

impl Watched {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        Ok(Watched {
            reading: watch(socket, Interest::READABLE)?,
            writing: Mutex::new(None),
        })
    }

    pub(super) fn socket(&self) -> &Inner {
        self.reading.get_ref()
    }

    /// Takes what `interest` is in, unless it is known that there is nothing.
    pub(super) fn try_read<R>(
        &self,
        interest: Interest,
        read: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.reading.try_io(interest, |_| read())
    }

    /// Sends; the system itself says when there is no room.
    pub(super) fn try_write<R>(&self, write: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        write()
    }

    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.reading.poll_read_ready(context))?;
        guard.retain_ready();
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = match &*writing {
            Some(watched) => watched,
            None => {
                let same = self.socket().try_clone()?;
                writing.insert(watch(same, Interest::WRITABLE)?)
            }
        };
        let result = ready!(watched.poll_write_ready(context)).map(drop);
        *writing = None;
        Poll::Ready(result)
    }

    /// Resolves when an error waits.
    pub(super) async fn has_error(&self) -> io::Result<()> {
        let mut guard = self.reading.ready(Interest::ERROR).await?;
        guard.retain_ready();
        Ok(())
    }
}

fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a socket of the standard library owns one open descriptor for as long as it lives,
    // and this one is only lent out by shared reference, which cannot close or replace it.
    let watched = unsafe { AsyncFd::register_with_interest(socket, interest) };
    Ok(watched?)
}
