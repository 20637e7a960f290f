//! The byte stream that CONNECT opens.
//!
//! Invariant: the end of either direction is one of its own; what was cut off is an error and never
//! an end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use portway_h3::error::{Origin, StreamError};
use portway_h3::{Finish, SendError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::{ReceiveBody, SendBody};
use super::datagrams::Datagrams;

/// A byte stream in both directions, over a CONNECT request that was accepted.
///
/// Dropping it before both ends were seen resets and stops the stream.
#[derive(Debug)]
#[must_use = "dropping it ends the tunnel"]
pub struct Tunnel {
    receive: ReceiveBody,
    send: SendBody,
    /// What came and was not read.
    unread: Bytes,
    is_finished: bool,
}

impl Tunnel {
    /// The tunnel of a CONNECT request and its successful response.
    pub fn new(receive: ReceiveBody, send: SendBody) -> Self {
        Tunnel {
            receive,
            send,
            unread: Bytes::new(),
            is_finished: false,
        }
    }

    /// Both directions, with what came and was not read.
    pub fn into_parts(self) -> (ReceiveBody, SendBody, Bytes) {
        (self.receive, self.send, self.unread)
    }

    /// The datagrams beside it.
    pub fn datagrams(&self) -> Datagrams {
        self.send.datagrams()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            match ready!(this.receive.poll(context)) {
                Some(Ok(frame)) => this.unread = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(cut_off(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = this.unread.len().min(out.remaining());
        out.put_slice(&this.unread.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.send.half().poll_room(context)).map_err(not_sent)?;
        let len = data.len().min(WRITE_BYTES_MAX);
        let mut piece = Bytes::copy_from_slice(&data[..len]);
        let half = this.send.half();
        ready!(half.poll_data(context, &mut piece, Finish::Later)).map_err(not_sent)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is on its way already.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_finished {
            this.send.half().finish().map_err(not_sent)?;
            this.is_finished = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// Why there is no tunnel.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server answered with something else than success.
    Refused(Box<Response<ReceiveBody>>),
    /// The request was not sent.
    Send(SendError),
    /// There was no response.
    Stream(StreamError),
}

impl From<SendError> for ConnectError {
    fn from(error: SendError) -> Self {
        ConnectError::Send(error)
    }
}

impl From<StreamError> for ConnectError {
    fn from(error: StreamError) -> Self {
        ConnectError::Stream(error)
    }
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConnectError::Refused(response) => write!(f, "refused with {}", response.status()),
            ConnectError::Send(error) => error.fmt(f),
            ConnectError::Stream(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectError::Refused(_) => None,
            ConnectError::Send(error) => Some(error),
            ConnectError::Stream(error) => Some(error),
        }
    }
}

fn cut_off(error: StreamError) -> io::Error {
    let kind = match error.origin {
        Origin::Peer => io::ErrorKind::ConnectionReset,
        Origin::Local => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}

fn not_sent(error: SendError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

/// How much one write copies.
const WRITE_BYTES_MAX: usize = 64 << 10;
