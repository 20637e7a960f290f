//! A connection as a byte stream with tokio's traits, for programs that read and write bytes.

use super::Connection;
use super::waiters::Place;
use crate::error::{ReceiveError, SendError};
use crate::receipt::Receipt;
use bytes::{Buf, Bytes};
use portway_core::message::{Message, ReceivedMessage};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

impl Connection {
    /// The connection as a byte stream. With framers, message boundaries are lost on reading,
    /// and every write is one message.
    pub fn into_byte_stream(self) -> ByteStream {
        ByteStream::with_unread(self, Bytes::new(), false)
    }
}

type Receiving = Pin<Box<dyn Future<Output = Result<ReceivedMessage, ReceiveError>> + Send>>;
type Closing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A connection that reads and writes bytes. Shutting it down ends the sending direction, as
/// [`Connection::end_sending`] does; reading goes on. An empty message of a framer is no end.
pub struct ByteStream {
    connection: Connection,
    unread: Bytes,
    /// Whether that, or what was read last, began as early data.
    is_early_data: bool,
    next: Option<Receiving>,
    last: Option<Receipt>,
    closing: Option<Closing>,
    place: Place,
}

impl ByteStream {
    /// A byte stream that begins with what was already taken out of the connection.
    pub(super) fn with_unread(connection: Connection, unread: Bytes, is_early_data: bool) -> Self {
        ByteStream {
            connection,
            unread,
            is_early_data,
            next: None,
            last: None,
            closing: None,
            place: Place::default(),
        }
    }

    /// Whether the bytes that were read last are of a message that began as early data: an attacker
    /// may have sent them again (RFC 8446 §8). Without framers all that a connection receives is
    /// one message.
    pub fn is_early_data(&self) -> bool {
        self.is_early_data
    }

    /// The connection below.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        self.place.leave(self.connection.shared());
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while self.unread.is_empty() {
            let connection = self.connection.clone();
            let next = self.next.get_or_insert_with(|| {
                Box::pin(async move { connection.receive_partial(1, READ_BYTES_MAX).await })
            });
            let received = std::task::ready!(next.as_mut().poll(context));
            self.next = None;
            match received {
                Ok(part) => {
                    self.is_early_data = part.context.is_early_data();
                    self.unread = part.data;
                }
                Err(ReceiveError::Finished) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(to_io(&error.failure(), error))),
            }
        }
        let take = self.unread.len().min(out.remaining());
        out.put_slice(&self.unread[..take]);
        self.unread.advance(take);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = bytes.len().min(WRITE_BYTES_MAX);
        let mut message = Some(Message::from(&bytes[..taken]));
        let shared = this.connection.shared();
        match super::send::poll_send(shared, &mut this.place, &mut message, context) {
            Poll::Ready(Ok(receipt)) => {
                this.last = Some(receipt);
                Poll::Ready(Ok(taken))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(to_io(&error.failure(), error))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Receipt::poll_last(&mut self.last, context).map_err(send_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.connection.clone();
        let closing = self.closing.get_or_insert_with(|| {
            Box::pin(async move { connection.end_sending().await.map_err(send_error) })
        });
        let closed = std::task::ready!(closing.as_mut().poll(context));
        // Asked once more, a finished future would panic; the direction tells its end again.
        self.closing = None;
        Poll::Ready(closed)
    }
}

fn send_error(error: SendError) -> io::Error {
    to_io(&error.failure(), error)
}

fn to_io(
    failure: &portway_core::Failure,
    error: impl std::error::Error + Send + Sync + 'static,
) -> io::Error {
    use portway_core::FailureKind;
    let kind = match failure.kind {
        FailureKind::Reset => io::ErrorKind::ConnectionReset,
        FailureKind::Refused => io::ErrorKind::ConnectionRefused,
        FailureKind::TimedOut => io::ErrorKind::TimedOut,
        FailureKind::Closed => io::ErrorKind::BrokenPipe,
        FailureKind::Cancelled => io::ErrorKind::ConnectionAborted,
        FailureKind::ProtocolViolation | FailureKind::CertificateRejected => {
            io::ErrorKind::InvalidData
        }
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

const READ_BYTES_MAX: usize = 64 * 1024;
const WRITE_BYTES_MAX: usize = 64 * 1024;
