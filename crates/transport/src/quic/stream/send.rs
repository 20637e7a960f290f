//! The sending half of a stream.
//!
//! Invariant: after the half was finished, reset or stopped by the peer, every write says so.

use super::end::{WritesClosed, write_ends};
use crate::quic::connection::{ConnectionRef, ConnectionState, EarlyData, Phase};
use crate::quic::waiting::keep_waker;
use crate::quic::{StreamError, StreamId, VarInt};
use bytes::Bytes;
use quinn_proto::{FinishError, WriteError};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::AsyncWrite;

/// The half of a stream that this side sends on.
///
/// Dropping it finishes the stream in an orderly way, as [`SendStream::finish`] does.
pub struct SendStream {
    connection: Arc<ConnectionRef>,
    id: quinn_proto::StreamId,
    is_early: bool,
    state: State,
}

/// What this side has done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Finished,
    Reset,
}

impl SendStream {
    pub(in crate::quic) fn new(
        connection: Arc<ConnectionRef>,
        id: quinn_proto::StreamId,
        is_early: bool,
    ) -> Self {
        SendStream {
            connection,
            id,
            is_early,
            state: State::Open,
        }
    }

    /// The stream's identifier.
    pub fn id(&self) -> StreamId {
        self.id.into()
    }

    /// Whether the stream was opened before the handshake ended, so that what was written then
    /// was early data.
    pub fn is_early_data(&self) -> bool {
        self.is_early
    }

    /// Writes as much of `data` as there is room for, and says how many bytes that was.
    ///
    /// Losing the future writes nothing.
    pub async fn write(&mut self, data: &[u8]) -> Result<usize, StreamError> {
        poll_fn(|context| self.poll_write(context, data)).await
    }

    /// As [`SendStream::write`].
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        self.poll_act(context, |state, id| state.proto.send_stream(id).write(data))
    }

    /// Writes all of `data`. A future that is lost may have written a part of it.
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), StreamError> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = &data[written..];
        }
        Ok(())
    }

    /// Writes from `chunks` without copying as much as there is room for. What was written is
    /// taken out of them; the result says how many are empty now, counted from the front.
    pub async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<usize, StreamError> {
        poll_fn(|context| self.poll_write_chunks(context, chunks)).await
    }

    /// As [`SendStream::write_chunks`].
    pub fn poll_write_chunks(
        &mut self,
        context: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<usize, StreamError>> {
        self.poll_act(context, |state, id| {
            let written = state.proto.send_stream(id).write_chunks(chunks)?;
            Ok(written.chunks)
        })
    }

    /// Writes all of `data` without copying. A future that is lost may have written a part of it.
    pub async fn write_chunk(&mut self, data: Bytes) -> Result<(), StreamError> {
        let mut chunks = [data];
        while !chunks[0].is_empty() {
            self.write_chunks(&mut chunks).await?;
        }
        Ok(())
    }

    /// Writes all of `data` without copying and finishes the stream, so that both leave together
    /// when there is room. A future that is lost may have written a part of it and has not
    /// finished the stream.
    pub async fn write_and_finish(&mut self, data: Bytes) -> Result<(), StreamError> {
        let mut chunks = [data];
        poll_fn(|context| self.poll_write_and_finish(context, &mut chunks)).await
    }

    /// As [`SendStream::write_and_finish`]: ready when all of `chunks` was taken.
    pub fn poll_write_and_finish(
        &mut self,
        context: &mut Context<'_>,
        chunks: &mut [Bytes],
    ) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_act(context, |state, id| {
            let bytes = chunks.iter().map(Bytes::len).sum();
            let mut stream = state.proto.send_stream(id);
            while chunks.iter().any(|chunk| !chunk.is_empty()) {
                let written = stream.write_chunks(chunks)?;
                if written.bytes == 0 {
                    return Err(WriteError::Blocked);
                }
            }
            match stream.finish() {
                Ok(()) => {
                    state.streams.unsent.on_message(bytes);
                    Ok(())
                }
                Err(FinishError::Stopped(code)) => Err(WriteError::Stopped(code)),
                Err(FinishError::ClosedStream) => Err(WriteError::ClosedStream),
            }
        }))?;
        self.state = State::Finished;
        Poll::Ready(Ok(()))
    }

    /// Acts on the stream and lets the driver send, or keeps the waker when there is no room.
    fn poll_act<R>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(&mut ConnectionState, quinn_proto::StreamId) -> Result<R, WriteError>,
    ) -> Poll<Result<R, StreamError>> {
        let (id, is_early) = (self.id, self.is_early);
        if self.state != State::Open {
            return Poll::Ready(Err(StreamError::Ended));
        }
        self.connection.act(|state| {
            if let Err(error) = check(state, is_early) {
                return Poll::Ready(Err(error));
            }
            match act(state, id) {
                Ok(result) => {
                    state.touch();
                    Poll::Ready(Ok(result))
                }
                Err(WriteError::Blocked) => {
                    // What was written before the room ended, and that there is none, is sent.
                    state.touch();
                    let sender = state.streams.senders.entry(id).or_default();
                    keep_waker(&mut sender.waker, context.waker());
                    Poll::Pending
                }
                Err(WriteError::Stopped(code)) => {
                    Poll::Ready(Err(StreamError::Stopped(code.into())))
                }
                Err(WriteError::ClosedStream) => {
                    let sender = state.streams.senders.get(&id);
                    let stopped = sender.and_then(|sender| sender.stopped);
                    Poll::Ready(Err(stopped.map_or(StreamError::Ended, StreamError::Stopped)))
                }
            }
        })
    }

    /// Ends the stream in an orderly way: nothing more will be written. It does not wait for the
    /// peer; [`SendStream::writes_closed`] does.
    ///
    /// # Errors
    /// The peer has stopped the stream, this side has ended it before, or the connection ended.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        if self.state != State::Open {
            return Err(StreamError::Ended);
        }
        let (id, is_early) = (self.id, self.is_early);
        let result = self.connection.act(|state| {
            check(state, is_early)?;
            let result = state.proto.send_stream(id).finish();
            state.touch();
            result.map_err(|error| match error {
                FinishError::Stopped(code) => StreamError::Stopped(code.into()),
                FinishError::ClosedStream => {
                    let sender = state.streams.senders.get(&id);
                    let stopped = sender.and_then(|sender| sender.stopped);
                    stopped.map_or(StreamError::Ended, StreamError::Stopped)
                }
            })
        });
        if result.is_ok() {
            self.state = State::Finished;
        }
        result
    }

    /// Gives the stream up at once: what was not acknowledged is not sent again, and the peer
    /// sees `code`. It may follow [`SendStream::finish`], and has no effect when everything was
    /// acknowledged.
    ///
    /// # Errors
    /// This side has reset it before, early data was rejected, or the connection ended.
    pub fn reset(&mut self, code: VarInt) -> Result<(), StreamError> {
        if self.state == State::Reset {
            return Err(StreamError::Ended);
        }
        let (id, is_early) = (self.id, self.is_early);
        self.connection.act_and_wake(|state, wakers| {
            check(state, is_early)?;
            // A stream that the peer has acknowledged or stopped is over already.
            let _ = state.proto.send_stream(id).reset(code.proto());
            if let Some(end) = write_ends(state).get_mut(&id) {
                end.conclude(Err(StreamError::Ended), wakers);
            }
            state.touch();
            Ok::<(), StreamError>(())
        })?;
        self.state = State::Reset;
        Ok(())
    }

    /// Another name of [`SendStream::reset`], beside
    /// [`ReceiveStream::abort`](super::ReceiveStream::abort).
    ///
    /// # Errors
    /// As [`SendStream::reset`].
    pub fn abort(&mut self, code: VarInt) -> Result<(), StreamError> {
        self.reset(code)
    }

    /// Sends this stream before those of lower priority; all start at zero.
    ///
    /// # Errors
    /// The stream or the connection has ended.
    pub fn set_priority(&mut self, priority: i32) -> Result<(), StreamError> {
        let (id, is_early) = (self.id, self.is_early);
        self.connection.act(|state| {
            check(state, is_early)?;
            let result = state.proto.send_stream(id).set_priority(priority);
            result.map_err(|_| StreamError::Ended)
        })
    }

    /// Resolves when writing has ended: `Ok` when the peer has acknowledged everything up to the
    /// finish, an error when it has stopped the stream, this side has reset it, or the connection
    /// ended. The future may outlive the handle.
    pub fn writes_closed(&self) -> WritesClosed {
        let (id, is_early) = (self.id, self.is_early);
        if self.state == State::Reset {
            return WritesClosed::known(Err(StreamError::Ended));
        }
        self.connection.act(|state| {
            let stopped = state.streams.senders.get(&id).and_then(|it| it.stopped);
            if let Some(code) = stopped {
                return WritesClosed::known(Err(StreamError::Stopped(code)));
            }
            if state.early == EarlyData::Rejected && is_early {
                return WritesClosed::known(Err(StreamError::EarlyDataRejected));
            }
            // The protocol forgets a stream when all of it was acknowledged.
            if state.proto.send_stream(id).stopped().is_err() {
                return WritesClosed::known(Ok(()));
            }
            if let Some(error) = state.error() {
                return WritesClosed::known(Err(error.clone().into()));
            }
            WritesClosed::watch(state, Arc::clone(&self.connection), id)
        })
    }
}

/// Whether the stream can be used at all.
fn check(state: &ConnectionState, is_early: bool) -> Result<(), StreamError> {
    if let Phase::Closed(error) = &state.phase {
        return Err(StreamError::Connection(error.clone()));
    }
    if is_early && state.early == EarlyData::Rejected {
        return Err(StreamError::EarlyDataRejected);
    }
    Ok(())
}

impl Drop for SendStream {
    fn drop(&mut self) {
        let (id, is_early, kept) = (self.id, self.is_early, self.state);
        let _waker: Option<Waker> = self.connection.act(|state| {
            if is_early && state.early == EarlyData::Rejected {
                return None;
            }
            if kept == State::Open && state.error().is_none() {
                // It fails when the peer has stopped the stream, which then is reset already.
                let _ = state.proto.send_stream(id).finish();
                state.touch();
            }
            state.streams.senders.remove(&id)?.waker
        });
    }
}

impl std::fmt::Debug for SendStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendStream")
            .field("id", &self.id())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl AsyncWrite for SendStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        SendStream::poll_write(this, context, data).map_err(io::Error::from)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is on its way already.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.state {
            State::Finished => Poll::Ready(Ok(())),
            _ => Poll::Ready(this.finish().map_err(io::Error::from)),
        }
    }
}
