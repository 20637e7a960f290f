//! A tunnel as a carrier: what is read and written by polling, as the socket that TLS and hyper
//! expect below them.
//!
//! Invariant: bytes that were accepted are written in their order, by whoever polls next; an error
//! ends both directions and is told to each.

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBuf, Write};
use portway_transport::environment::{TcpOptions, TcpStream};
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

/// A tunnel as a carrier.
pub(super) struct Piped<I> {
    state: Mutex<State<I>>,
    local: SocketAddr,
    peer: SocketAddr,
}

struct State<I> {
    /// None after an abort.
    io: Option<I>,
    input: BytesMut,
    output: BytesMut,
    has_ended: bool,
    ending: Ending,
    failed: Option<(ErrorKind, String)>,
    /// Whoever polled last, for writes that nobody polls for.
    waker: Waker,
}

/// How far the end of our direction has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Open,
    Wanted,
    Done,
}

impl<I: Read + Write + Unpin> Piped<I> {
    /// `addresses` are ours and the one that the connection below leads to.
    pub(super) fn new(io: I, addresses: (SocketAddr, SocketAddr)) -> Self {
        let (local, peer) = addresses;
        Piped {
            state: Mutex::new(State {
                io: Some(io),
                input: BytesMut::new(),
                output: BytesMut::new(),
                has_ended: false,
                ending: Ending::Open,
                failed: None,
                waker: Waker::noop().clone(),
            }),
            local,
            peer,
        }
    }
}

impl<I> Piped<I> {
    fn state(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: Read + Write + Unpin> State<I> {
    fn check(&self) -> io::Result<()> {
        match &self.failed {
            Some((kind, detail)) => Err(io::Error::new(*kind, detail.clone())),
            None => Ok(()),
        }
    }

    fn note<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &done {
            self.failed = Some((error.kind(), error.to_string()));
        }
        done
    }

    fn attend(&mut self, context: &Context<'_>) {
        if !self.waker.will_wake(context.waker()) {
            self.waker.clone_from(context.waker());
        }
    }

    /// Writes what is queued, then the end where that is wanted.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let polled = self.poll_out_unnoted(context);
        polled.map(|done| self.note(done))
    }

    fn poll_out_unnoted(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        let mut io = Pin::new(io);
        while !self.output.is_empty() {
            let written = ready!(io.as_mut().poll_write(context, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        ready!(io.as_mut().poll_flush(context))?;
        if self.ending == Ending::Wanted {
            ready!(io.as_mut().poll_shutdown(context))?;
            self.ending = Ending::Done;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_in(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        let mut room = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(io).poll_read(context, read.unfilled()))?;
        self.has_ended = read.filled().is_empty();
        self.input.extend_from_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl<I: Read + Write + Unpin + Send> TcpStream for Piped<I> {
    fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        if state.input.is_empty() {
            if state.has_ended {
                return Ok(0);
            }
            state.check()?;
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = out.len().min(state.input.len());
        out[..count].copy_from_slice(&state.input[..count]);
        state.input.advance(count);
        Ok(count)
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state();
        let waker = state.waker.clone();
        let mut context = Context::from_waker(&waker);
        if let Poll::Ready(Err(error)) = state.poll_out(&mut context) {
            return Err(error);
        }
        if state.ending != Ending::Open {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut taken = 0;
        for slice in slices {
            let room = QUEUED_BYTES_MAX - state.output.len();
            let fits = &slice[..slice.len().min(room)];
            state.output.extend_from_slice(fits);
            taken += fits.len();
        }
        if taken == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        // What cannot leave now leaves with the next poll; an error is told by it.
        let _ = state.poll_out(&mut context);
        Ok(taken)
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        state.attend(context);
        // Nobody else may poll while an answer is waited for. What went wrong with writing is told
        // by the next write: there may still be an answer to read.
        let _ = state.poll_out(context);
        if !state.input.is_empty() || state.has_ended {
            return Poll::Ready(Ok(()));
        }
        let polled = ready!(state.poll_in(context));
        Poll::Ready(state.note(polled))
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        state.attend(context);
        match state.poll_out(context) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending if state.output.len() < QUEUED_BYTES_MAX => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn shutdown_write(&self) -> io::Result<()> {
        let mut state = self.state();
        if state.ending == Ending::Open {
            state.ending = Ending::Wanted;
        }
        let waker = state.waker.clone();
        match state.poll_out(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => done,
            Poll::Pending => Ok(()),
        }
    }

    fn abort(&self) {
        let mut state = self.state();
        state.failed = Some((ErrorKind::ConnectionAborted, "aborted".to_owned()));
        let io = state.io.take();
        drop(state);
        drop(io);
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        let state = self.state();
        state.check()?;
        Ok(state.output.len())
    }

    fn take_error(&self) -> Option<io::Error> {
        self.state().check().err()
    }

    /// The tunnel has no options of its own, and its connection has been given them.
    fn set_options(&self, _options: &TcpOptions) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn rtt(&self) -> Option<std::time::Duration> {
        None
    }

    fn max_segment_size(&self) -> Option<usize> {
        None
    }

    fn local_address(&self) -> SocketAddr {
        self.local
    }

    fn peer_address(&self) -> SocketAddr {
        self.peer
    }
}

const READ_BYTES: usize = 16 * 1024;

/// Bytes that are accepted before the tunnel takes them.
const QUEUED_BYTES_MAX: usize = 64 * 1024;
