//! The receiving half of a stream.
//!
//! Invariant: data that arrived before the connection ended can still be read.

use super::end::{ReadsClosed, read_ends};
use crate::quic::connection::{ConnectionRef, ConnectionState, EarlyData, Phase};
use crate::quic::identifiers::Clock;
use crate::quic::waiting::{Receiver, keep_waker};
use crate::quic::{StreamError, StreamId, VarInt};
use bytes::Bytes;
use quinn_proto::{Chunks, ReadError, ReadableError};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// The half of a stream that this side receives on.
///
/// Dropping it before its end was read asks the peer to stop, with the connection's default code.
pub struct ReceiveStream {
    connection: Arc<ConnectionRef>,
    id: quinn_proto::StreamId,
    is_early: bool,
    /// Whether a read found nothing more after the handshake.
    has_caught_up: bool,
    state: State,
}

/// What this side has seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Read up to the peer's end.
    Finished,
    /// Reset by the peer.
    Reset(VarInt),
    /// Stopped by this side.
    Stopped,
}

/// What a read came to.
struct Read<R> {
    /// What it got; nothing at the end of the stream.
    data: Option<R>,
    bytes: usize,
    /// Whether the end was seen, possibly behind the data. The protocol tells it once.
    is_finished: bool,
}

/// The pieces of a stream, which are copied together only when there are several.
#[derive(Default)]
struct Whole {
    first: Bytes,
    rest: Vec<u8>,
    len: usize,
}

impl Whole {
    fn push(&mut self, piece: Bytes) {
        if self.len == 0 {
            self.first = piece;
            self.len = self.first.len();
            return;
        }
        if self.rest.is_empty() {
            self.rest.reserve(self.len + piece.len());
            self.rest.extend_from_slice(&self.first);
        }
        self.len += piece.len();
        self.rest.extend_from_slice(&piece);
    }

    fn into_bytes(self) -> Bytes {
        match self.rest.is_empty() {
            true => self.first,
            false => self.rest.into(),
        }
    }
}

impl ReceiveStream {
    pub(in crate::quic) fn new(
        connection: Arc<ConnectionRef>,
        id: quinn_proto::StreamId,
        is_early: bool,
    ) -> Self {
        ReceiveStream {
            connection,
            id,
            is_early,
            has_caught_up: false,
            state: State::Open,
        }
    }

    /// The stream's identifier.
    pub fn id(&self) -> StreamId {
        self.id.into()
    }

    /// Whether the stream began before the handshake ended, so that what came may be a replay of
    /// what an attacker has recorded.
    pub fn is_early_data(&self) -> bool {
        self.is_early
    }

    /// Whether everything was read that was there when the handshake ended: what follows comes
    /// from a client that has completed it.
    pub fn has_caught_up(&self) -> bool {
        self.has_caught_up
    }

    /// Reads into `out`; zero is the peer's end of the stream, unless `out` is empty.
    ///
    /// Losing the future loses no data.
    pub async fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        let mut out = ReadBuf::new(out);
        poll_fn(|context| self.poll_read_buf(context, &mut out)).await?;
        Ok(out.filled().len())
    }

    /// As [`ReceiveStream::read`].
    pub fn poll_read_buf(
        &mut self,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), StreamError>> {
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.poll_with(context, |chunks| {
            let before = out.filled().len();
            let mut is_finished = false;
            while out.remaining() > 0 {
                match chunks.next(out.remaining()) {
                    Ok(Some(chunk)) => out.put_slice(&chunk.bytes),
                    Ok(None) => {
                        is_finished = true;
                        break;
                    }
                    // Nothing more now: told at the next read.
                    Err(_) if out.filled().len() > before => break,
                    Err(error) => return Err(error),
                }
            }
            let bytes = out.filled().len() - before;
            Ok(Read {
                data: (bytes > 0).then_some(()),
                bytes,
                is_finished,
            })
        })
        .map_ok(|_| ())
    }

    /// Reads the next piece of at most `bytes_max` bytes without copying; `None` is the peer's end
    /// of the stream.
    ///
    /// Losing the future loses no data.
    pub async fn read_chunk(&mut self, bytes_max: usize) -> Result<Option<Bytes>, StreamError> {
        poll_fn(|context| self.poll_read_chunk(context, bytes_max)).await
    }

    /// As [`ReceiveStream::read_chunk`].
    pub fn poll_read_chunk(
        &mut self,
        context: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        self.poll_with(context, |chunks| {
            let data = chunks.next(bytes_max)?.map(|chunk| chunk.bytes);
            Ok(Read {
                bytes: data.as_ref().map_or(0, Bytes::len),
                is_finished: data.is_none(),
                data,
            })
        })
    }

    /// Reads every piece that is there without copying, at most `bytes_max` bytes in all, and adds
    /// them to `out`; false is the peer's end of the stream. One call is cheaper than one for each
    /// piece.
    ///
    /// Losing the future loses no data.
    pub async fn read_chunks(
        &mut self,
        bytes_max: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<bool, StreamError> {
        poll_fn(|context| self.poll_read_chunks(context, bytes_max, out)).await
    }

    /// As [`ReceiveStream::read_chunks`].
    pub fn poll_read_chunks(
        &mut self,
        context: &mut Context<'_>,
        bytes_max: usize,
        out: &mut Vec<Bytes>,
    ) -> Poll<Result<bool, StreamError>> {
        self.poll_with(context, |chunks| {
            let (bytes, is_finished) = take_up_to(chunks, bytes_max, |chunk| out.push(chunk))?;
            Ok(Read {
                data: (bytes > 0).then_some(()),
                bytes,
                is_finished,
            })
        })
        .map_ok(|data| data.is_some())
    }

    /// Whether the peer's end of the stream was seen, so that a further read gives nothing.
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Reads everything up to the peer's end, at most `bytes_max` bytes. What comes in one piece
    /// is not copied.
    ///
    /// # Errors
    /// [`StreamError::TooLong`] beyond that. A future that is lost loses what it has read.
    pub async fn read_all(&mut self, bytes_max: usize) -> Result<Bytes, StreamError> {
        let mut whole = Whole::default();
        poll_fn(|context| self.poll_whole(context, bytes_max, &mut whole)).await?;
        Ok(whole.into_bytes())
    }

    /// As [`ReceiveStream::read_all`], into memory of its own.
    ///
    /// # Errors
    /// As [`ReceiveStream::read_all`].
    pub async fn read_to_end(&mut self, bytes_max: usize) -> Result<Vec<u8>, StreamError> {
        Ok(self.read_all(bytes_max).await?.to_vec())
    }

    fn poll_whole(
        &mut self,
        context: &mut Context<'_>,
        bytes_max: usize,
        whole: &mut Whole,
    ) -> Poll<Result<(), StreamError>> {
        while self.state != State::Finished {
            ready!(self.poll_with(context, |chunks| {
                // One byte more than is allowed shows that there is too much.
                let limit = (bytes_max - whole.len).saturating_add(1);
                let (bytes, is_finished) = take_up_to(chunks, limit, |chunk| whole.push(chunk))?;
                Ok(Read {
                    data: Some(()),
                    bytes,
                    is_finished,
                })
            }))?;
            if whole.len > bytes_max {
                return Poll::Ready(Err(StreamError::TooLong { bytes_max }));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads by `read`, which says what it got and how many bytes that was.
    fn poll_with<R>(
        &mut self,
        context: &mut Context<'_>,
        read: impl FnOnce(&mut Chunks<'_>) -> Result<Read<R>, ReadError>,
    ) -> Poll<Result<Option<R>, StreamError>> {
        match self.state {
            State::Open => {}
            State::Finished => return Poll::Ready(Ok(None)),
            State::Reset(code) => return Poll::Ready(Err(StreamError::Reset(code))),
            State::Stopped => return Poll::Ready(Err(StreamError::Ended)),
        }
        let (id, is_early, clock) = (self.id, self.is_early, &self.connection.endpoint.clock);
        let (kept, has_caught_up) = (&mut self.state, &mut self.has_caught_up);
        self.connection.act_and_wake(|state, wakers| {
            if is_early && state.early == EarlyData::Rejected {
                return Poll::Ready(Err(StreamError::EarlyDataRejected));
            }
            if let Some(receiver) = state.streams.receivers.get_mut(&id) {
                *has_caught_up |= receiver.has_caught_up;
                state.streams.awaited.on_looked(receiver);
                if !receiver.may_be_ready && state.phase == Phase::Established {
                    *has_caught_up = true;
                    keep_waker(&mut receiver.waker, context.waker());
                    return Poll::Pending;
                }
            }
            let done = match state.proto.recv_stream(id).read(true) {
                Ok(mut chunks) => {
                    let result = read(&mut chunks);
                    Some((result, chunks.finalize().should_transmit()))
                }
                Err(ReadableError::ClosedStream | ReadableError::IllegalOrderedRead) => None,
            };
            let Some((result, must_transmit)) = done else {
                return Poll::Ready(Err(state.closed_reason(id)));
            };
            if must_transmit {
                state.touch();
            }
            let outcome = match result {
                Ok(read) => {
                    state.on_read(read.bytes, clock);
                    if !read.is_finished {
                        return Poll::Ready(Ok(read.data));
                    }
                    *kept = State::Finished;
                    // Nothing can happen on it any more, so that its drop has nothing to do.
                    let receiver = state.streams.receivers.remove(&id);
                    wakers.extend(receiver.and_then(|it| it.waker));
                    Ok(read.data)
                }
                Err(ReadError::Reset(code)) => {
                    *kept = State::Reset(code.into());
                    Err(StreamError::Reset(code.into()))
                }
                Err(ReadError::Blocked) => {
                    *has_caught_up = state.phase != Phase::Handshaking;
                    if let Some(error) = state.error() {
                        return Poll::Ready(Err(StreamError::Connection(error.clone())));
                    }
                    let receivers = &mut state.streams.receivers;
                    let receiver = receivers.entry(id).or_insert_with(|| Receiver::new(true));
                    receiver.may_be_ready = false;
                    keep_waker(&mut receiver.waker, context.waker());
                    return Poll::Pending;
                }
            };
            if let Some(end) = read_ends(state).get_mut(&id) {
                end.conclude(outcome.as_ref().map(|_| ()).map_err(Clone::clone), wakers);
            }
            Poll::Ready(outcome)
        })
    }

    /// Asks the peer to stop sending and forgets what has arrived.
    ///
    /// # Errors
    /// The stream has ended before, or the connection has.
    pub fn stop(&mut self, code: VarInt) -> Result<(), StreamError> {
        if self.state != State::Open {
            return Err(StreamError::Ended);
        }
        let (id, is_early) = (self.id, self.is_early);
        self.connection.act_and_wake(|state, wakers| {
            if is_early && state.early == EarlyData::Rejected {
                return Err(StreamError::EarlyDataRejected);
            }
            if let Some(error) = state.error() {
                return Err(StreamError::Connection(error.clone()));
            }
            if state.proto.recv_stream(id).stop(code.proto()).is_err() {
                return Err(state.closed_reason(id));
            }
            if let Some(end) = read_ends(state).get_mut(&id) {
                end.conclude(Err(StreamError::Ended), wakers);
            }
            state.touch();
            Ok(())
        })?;
        self.state = State::Stopped;
        Ok(())
    }

    /// Another name of [`ReceiveStream::stop`], beside
    /// [`SendStream::abort`](super::SendStream::abort).
    ///
    /// # Errors
    /// As [`ReceiveStream::stop`].
    pub fn abort(&mut self, code: VarInt) -> Result<(), StreamError> {
        self.stop(code)
    }

    /// Resolves when reading has ended: `Ok` when everything up to the peer's end was read, an
    /// error when the peer has reset the stream, this side has stopped it, or the connection
    /// ended. The future may outlive the handle.
    pub fn reads_closed(&self) -> ReadsClosed {
        let known = match self.state {
            State::Open => None,
            State::Finished => Some(Ok(())),
            State::Reset(code) => Some(Err(StreamError::Reset(code))),
            State::Stopped => Some(Err(StreamError::Ended)),
        };
        if let Some(known) = known {
            return ReadsClosed::known(known);
        }
        let (id, is_early) = (self.id, self.is_early);
        self.connection.act_and_wake(|state, wakers| {
            if is_early && state.early == EarlyData::Rejected {
                return ReadsClosed::known(Err(StreamError::EarlyDataRejected));
            }
            state.look_for_reset(id, wakers);
            let reset = state.streams.receivers.get(&id).and_then(|it| it.reset);
            if let Some(code) = reset {
                return ReadsClosed::known(Err(StreamError::Reset(code)));
            }
            if let Some(error) = state.error() {
                return ReadsClosed::known(Err(error.clone().into()));
            }
            ReadsClosed::watch(state, Arc::clone(&self.connection), id)
        })
    }
}

/// Takes what is there, at most `bytes_max` bytes; says how many they were, and whether the stream
/// ends with them.
fn take_up_to(
    chunks: &mut Chunks<'_>,
    bytes_max: usize,
    mut take: impl FnMut(Bytes),
) -> Result<(usize, bool), ReadError> {
    let mut bytes = 0;
    while bytes < bytes_max {
        match chunks.next(bytes_max - bytes) {
            Ok(Some(chunk)) => {
                bytes += chunk.bytes.len();
                take(chunk.bytes);
            }
            Ok(None) => return Ok((bytes, true)),
            Err(_) if bytes > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok((bytes, false))
}

impl ConnectionState {
    /// Takes note of what was read, and lets the window grow when it limits the peer.
    pub(in crate::quic) fn on_read(&mut self, bytes: usize, clock: &Clock) {
        if self.window.consume(bytes) {
            let rtt = self.proto.rtt();
            if let Some(window) = self.window.grow(clock.now(), rtt) {
                self.proto.set_receive_window(window.into());
                self.touch();
            }
        }
    }

    /// Why a stream that the protocol has forgotten cannot be read.
    fn closed_reason(&self, id: quinn_proto::StreamId) -> StreamError {
        let reset = self.streams.receivers.get(&id).and_then(|it| it.reset);
        match (reset, self.error()) {
            (Some(code), _) => StreamError::Reset(code),
            (None, Some(error)) => StreamError::Connection(error.clone()),
            (None, None) => StreamError::Ended,
        }
    }
}

impl Drop for ReceiveStream {
    fn drop(&mut self) {
        let (id, is_early, kept) = (self.id, self.is_early, self.state);
        if kept == State::Finished {
            return;
        }
        let mut waker: Option<Waker> = None;
        self.connection.act_and_wake(|state, wakers| {
            if is_early && state.early == EarlyData::Rejected {
                return;
            }
            if kept == State::Open && state.error().is_none() {
                let code = state.defaults.stop.proto();
                // It fails when the peer has reset the stream, which needs no more then.
                if state.proto.recv_stream(id).stop(code).is_ok() {
                    state.touch();
                }
                if let Some(end) = read_ends(state).get_mut(&id) {
                    end.conclude(Err(StreamError::Ended), wakers);
                }
            }
            if let Some(mut receiver) = state.streams.receivers.remove(&id) {
                state.streams.awaited.on_looked(&mut receiver);
                waker = receiver.waker;
            }
        });
    }
}

impl std::fmt::Debug for ReceiveStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReceiveStream")
            .field("id", &self.id())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for ReceiveStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut()
            .poll_read_buf(context, out)
            .map_err(io::Error::from)
    }
}
