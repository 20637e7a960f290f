//! A QUIC stream in the shape of a connected socket.
//!
//! Invariant: looking for data or room never takes the place of whoever waits for it: the latest
//! waker of each direction is kept here and registered again.

use super::keeper::Farewell;
use crate::environment::{TcpOptions, TcpStream};
use crate::quic::{Connection, ReceiveStream, SendStream, StreamError, VarInt, WritesClosed};
use bytes::{Buf, Bytes};
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::mpsc;

/// One stream, or the one half of it that there is.
pub(super) struct StreamSocket {
    connection: Connection,
    farewell: mpsc::UnboundedSender<Farewell>,
    local: SocketAddr,
    /// The peer has opened it with early data.
    pub(super) begins_early: bool,
    halves: Mutex<Halves>,
}

struct Halves {
    send: Sending,
    receive: Receiving,
}

struct Sending {
    stream: Option<SendStream>,
    /// Resolves when all was acknowledged; there once the stream was finished.
    closed: Option<WritesClosed>,
    waker: Option<Waker>,
    /// Bytes that were given to the stream.
    written: usize,
    is_acknowledged: bool,
}

struct Receiving {
    stream: Option<ReceiveStream>,
    /// What was read when somebody asked whether there is anything.
    read: Option<Bytes>,
    has_ended: bool,
    waker: Option<Waker>,
}

impl StreamSocket {
    pub(super) fn new(
        connection: Connection,
        farewell: mpsc::UnboundedSender<Farewell>,
        local: SocketAddr,
        send: Option<SendStream>,
        receive: Option<ReceiveStream>,
    ) -> Self {
        StreamSocket {
            connection,
            farewell,
            local,
            begins_early: false,
            halves: Mutex::new(Halves {
                send: Sending {
                    stream: send,
                    closed: None,
                    waker: None,
                    written: 0,
                    is_acknowledged: false,
                },
                receive: Receiving {
                    has_ended: receive.is_none(),
                    stream: receive,
                    read: None,
                    waker: None,
                },
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiving {
    /// Reads the next piece into `self.read`; ready also at the end and when nothing can follow.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.read.is_some() || self.has_ended {
            return Poll::Ready(Ok(()));
        }
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(()));
        };
        match std::task::ready!(stream.poll_read_chunk(context, READ_BYTES)) {
            Ok(Some(bytes)) => self.read = Some(bytes),
            Ok(None) => self.has_ended = true,
            Err(error) => return Poll::Ready(Err(error_of(&error))),
        }
        Poll::Ready(Ok(()))
    }
}

impl Sending {
    /// Asks whether everything was acknowledged, once the stream was finished.
    fn poll_acknowledged(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_acknowledged {
            return Poll::Ready(Ok(()));
        }
        let Some(closed) = &mut self.closed else {
            return Poll::Pending;
        };
        let outcome = std::task::ready!(Pin::new(closed).poll(context));
        self.is_acknowledged = outcome.is_ok();
        Poll::Ready(outcome.map_err(|error| error_of(&error)))
    }
}

impl TcpStream for StreamSocket {
    fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
        let receive = &mut self.lock().receive;
        let waker = waker_of(&receive.waker);
        if receive
            .poll_fill(&mut Context::from_waker(&waker))?
            .is_pending()
        {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some(bytes) = &mut receive.read else {
            return Ok(0);
        };
        let len = bytes.len().min(out.len());
        out[..len].copy_from_slice(&bytes[..len]);
        bytes.advance(len);
        if bytes.is_empty() {
            receive.read = None;
        }
        Ok(len)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let send = &mut self.lock().send;
        let waker = waker_of(&send.waker);
        let mut context = Context::from_waker(&waker);
        let Some(stream) = &mut send.stream else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let mut taken = 0;
        'all: for slice in slices {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                match stream.poll_write(&mut context, rest) {
                    Poll::Ready(Ok(written)) => {
                        taken += written;
                        rest = &rest[written..];
                    }
                    Poll::Ready(Err(error)) if taken == 0 => return Err(error_of(&error)),
                    Poll::Pending if taken == 0 => return Err(ErrorKind::WouldBlock.into()),
                    // What was taken is told now, what stopped it with the next write.
                    Poll::Ready(Err(_)) | Poll::Pending => break 'all,
                }
            }
        }
        send.written += taken;
        Ok(taken)
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let receive = &mut self.lock().receive;
        // An error is told by the next read, in its place behind what has arrived.
        let polled = receive.poll_fill(context).map(|_| Ok(()));
        keep(&mut receive.waker, polled.is_pending(), context);
        polled
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let send = &mut self.lock().send;
        let Some(stream) = &mut send.stream else {
            return Poll::Ready(Ok(()));
        };
        // Nothing is written; the question alone registers the waker when there is no room.
        let polled = stream.poll_write(context, &[]).map(|_| Ok(()));
        keep(&mut send.waker, polled.is_pending(), context);
        polled
    }

    fn poll_acknowledged(&self, context: &mut Context<'_>) -> Poll<()> {
        self.lock().send.poll_acknowledged(context).map(drop)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        let send = &mut self.lock().send;
        let Some(stream) = &mut send.stream else {
            return Ok(());
        };
        if send.closed.is_none() {
            // RFC 9622 §10: what was acknowledged is known from the stream's end only.
            send.closed = Some(stream.writes_closed());
            stream.finish().map_err(|error| error_of(&error))?;
        }
        Ok(())
    }

    fn abort(&self) {
        let mut halves = self.lock();
        // A half that has ended before needs nothing more.
        if let Some(stream) = &mut halves.send.stream {
            let _ = stream.reset(ABORT_CODE);
        }
        if let Some(mut stream) = halves.receive.stream.take() {
            let _ = stream.stop(ABORT_CODE);
        }
        halves.receive.read = None;
        halves.receive.has_ended = true;
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        let send = &mut self.lock().send;
        if send.stream.is_none() || (send.written == 0 && send.closed.is_none()) {
            return Ok(0);
        }
        let waker = waker_of(&send.waker);
        match send.poll_acknowledged(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => outcome.map(|()| 0),
            // QUIC tells when all is acknowledged, and not how much is; the end counts as one.
            Poll::Pending => Ok(send.written + usize::from(send.closed.is_some())),
        }
    }

    fn take_error(&self) -> Option<io::Error> {
        None
    }

    fn set_options(&self, _: &TcpOptions) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn set_precedence(&self, precedence: i32) -> io::Result<()> {
        match &mut self.lock().send.stream {
            Some(stream) => stream
                .set_priority(precedence)
                .map_err(|error| error_of(&error)),
            None => Ok(()),
        }
    }

    fn reads_early_data(&self) -> bool {
        // Before the stream is asked for more, everything was read that had been taken out of it.
        self.begins_early && {
            let receive = &self.lock().receive;
            let stream = receive.stream.as_ref();
            stream.is_some_and(|stream| !stream.has_caught_up())
        }
    }

    fn rtt(&self) -> Option<Duration> {
        Some(self.connection.rtt())
    }

    fn max_segment_size(&self) -> Option<usize> {
        None
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }

    fn peer_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }
}

impl Drop for StreamSocket {
    fn drop(&mut self) {
        let halves = self
            .halves
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let is_orderly = halves.send.closed.is_some() || halves.send.stream.is_none();
        if let Some(stream) = halves.receive.stream.take()
            && is_orderly
            && !halves.receive.has_ended
        {
            // Nobody is left to keep it when the keeper is gone; the stream is stopped then.
            let _ = self.farewell.send(Farewell::Stream(stream));
        }
    }
}

/// The error with its class, which whoever maps it finds again.
pub(super) fn error_of(error: &StreamError) -> io::Error {
    io::Error::other(error.failure())
}

fn waker_of(kept: &Option<Waker>) -> Waker {
    kept.clone().unwrap_or_else(|| Waker::noop().clone())
}

/// Remembers who waits, and forgets who does not any more.
fn keep(kept: &mut Option<Waker>, is_waiting: bool, context: &Context<'_>) {
    match (kept, is_waiting) {
        (kept, false) => *kept = None,
        (Some(waker), true) => waker.clone_from(context.waker()),
        (kept, true) => *kept = Some(context.waker().clone()),
    }
}

/// What an abort tells the peer: RFC 9622 has no codes, so it is the one of no meaning.
const ABORT_CODE: VarInt = VarInt::ZERO;

/// What is taken out of a stream at a time.
const READ_BYTES: usize = 64 * 1024;
