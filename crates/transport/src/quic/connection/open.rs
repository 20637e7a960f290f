//! Opening and accepting streams.
//!
//! Invariant: a stream that was opened for a future goes to another one when the future is
//! dropped, and a stream of the peer is taken only when it is returned.

use super::{Connection, ConnectionState, EarlyData, Phase};
use crate::quic::stream::{ReceiveStream, SendStream};
use crate::quic::waiting::{Arrived, Place, Receiver, Sender};
use crate::quic::{ConnectionError, StreamKind};
use quinn_proto::Dir;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

impl Connection {
    /// Opens a stream that only this side sends on, waiting until the peer allows one.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        let (id, is_early) = Opening::new(self, Dir::Uni).await?;
        Ok(SendStream::new(self.reference(), id, is_early))
    }

    /// Opens a stream for both ways, waiting until the peer allows one.
    pub async fn open_bi(&self) -> Result<(SendStream, ReceiveStream), ConnectionError> {
        let (id, is_early) = Opening::new(self, Dir::Bi).await?;
        let send = SendStream::new(self.reference(), id, is_early);
        Ok((send, ReceiveStream::new(self.reference(), id, is_early)))
    }

    /// The next stream on which the peer sends.
    ///
    /// # Errors
    /// The connection ended, or the peer may open no streams of either kind.
    pub async fn accept_uni(&self) -> Result<ReceiveStream, ConnectionError> {
        let (id, is_early) = Accepting::new(self, Dir::Uni).await?;
        Ok(ReceiveStream::new(self.reference(), id, is_early))
    }

    /// The next stream for both ways that the peer has opened.
    ///
    /// # Errors
    /// As [`Connection::accept_uni`].
    pub async fn accept_bi(&self) -> Result<(SendStream, ReceiveStream), ConnectionError> {
        let (id, is_early) = Accepting::new(self, Dir::Bi).await?;
        Ok(self.pair(id, is_early))
    }

    /// As [`Connection::accept_uni`]. Only the last waker is kept.
    pub fn poll_accept_uni(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<ReceiveStream, ConnectionError>> {
        self.poll_accept(Dir::Uni, context)
            .map_ok(|(id, is_early)| ReceiveStream::new(self.reference(), id, is_early))
    }

    /// As [`Connection::accept_bi`]. Only the last waker is kept.
    pub fn poll_accept_bi(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(SendStream, ReceiveStream), ConnectionError>> {
        self.poll_accept(Dir::Bi, context)
            .map_ok(|(id, is_early)| self.pair(id, is_early))
    }

    fn pair(&self, id: quinn_proto::StreamId, is_early: bool) -> (SendStream, ReceiveStream) {
        (
            SendStream::new(self.reference(), id, false),
            ReceiveStream::new(self.reference(), id, is_early),
        )
    }

    fn poll_accept(
        &self,
        kind: Dir,
        context: &mut Context<'_>,
    ) -> Poll<Result<Opened, ConnectionError>> {
        self.shared().act(|state| match state.accept(kind) {
            Some(result) => Poll::Ready(result),
            None => {
                state.streams.accepting[kind as usize].keep_polled(context.waker());
                Poll::Pending
            }
        })
    }

    /// How many streams of this kind the peer lets this side open now, counted up to 128.
    pub fn capacity(&self, kind: StreamKind) -> usize {
        let kind = kind.proto();
        self.shared().act(|state| {
            let spare = &mut state.streams.opening[kind as usize].spare;
            let mut streams = state.proto.streams();
            while spare.len() < CAPACITY_MAX
                && let Some(id) = streams.open(kind)
            {
                spare.push_back(id);
            }
            spare.len()
        })
    }

    /// Resolves when the peer has raised its limit of streams.
    pub async fn capacity_changed(&self) -> Result<(), ConnectionError> {
        CapacityChanged {
            connection: self,
            place: None,
        }
        .await
    }
}

/// A stream and whether it began with early data.
type Opened = (quinn_proto::StreamId, bool);

impl ConnectionState {
    /// Takes the next stream of the peer, if there is one, or the connection's end.
    fn accept(&mut self, kind: Dir) -> Option<Result<Opened, ConnectionError>> {
        let is_early = self.phase == Phase::Handshaking && self.proto.side().is_server();
        let arrived = self.streams.arrived[kind as usize].pop_front();
        let arrived = arrived.or_else(|| {
            let id = self.proto.streams().accept(kind)?;
            Some(Arrived {
                id,
                is_early,
                stopped: None,
            })
        });
        if let Some(arrived) = arrived {
            let id = arrived.id;
            let mut receiver = Receiver::new(true);
            self.streams.awaited.on_told(&mut receiver);
            self.streams.receivers.insert(id, receiver);
            if kind == Dir::Bi {
                let sender = Sender {
                    waker: None,
                    stopped: arrived.stopped,
                };
                self.streams.senders.insert(id, sender);
            }
            return Some(Ok((id, arrived.is_early)));
        }
        self.streams.awaited.set_accepting(kind, false);
        if !self.streams.may_come {
            return Some(Err(ConnectionError::NoIncomingStreams));
        }
        self.error().cloned().map(Err)
    }

    fn on_opened(&mut self, kind: Dir, id: quinn_proto::StreamId) -> Opened {
        self.streams.senders.insert(id, Sender::default());
        if kind == Dir::Bi {
            self.streams.receivers.insert(id, Receiver::new(false));
        }
        let is_early = self.phase == Phase::Handshaking
            && self.proto.side().is_client()
            && self.early == EarlyData::Open;
        (id, is_early)
    }
}

/// Opens a stream.
struct Opening<'a> {
    connection: &'a Connection,
    kind: Dir,
    place: Place,
}

impl<'a> Opening<'a> {
    fn new(connection: &'a Connection, kind: Dir) -> Self {
        Opening {
            connection,
            kind,
            place: None,
        }
    }
}

impl Future for Opening<'_> {
    type Output = Result<Opened, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (kind, place) = (this.kind, &mut this.place);
        this.connection.shared().act(|state| {
            if let Some(error) = state.error() {
                return Poll::Ready(Err(error.clone()));
            }
            let opening = &mut state.streams.opening[kind as usize];
            match opening.take(place, || state.proto.streams().open(kind)) {
                Some(id) => Poll::Ready(Ok(state.on_opened(kind, id))),
                None => {
                    opening.keep(place, context.waker());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.connection.shared().act_and_wake(|state, wakers| {
                state.streams.opening[self.kind as usize].forget(self.place);
                state.grant_streams(self.kind, wakers);
            });
        }
    }
}

/// Accepts a stream.
struct Accepting<'a> {
    connection: &'a Connection,
    kind: Dir,
    place: Place,
}

impl<'a> Accepting<'a> {
    fn new(connection: &'a Connection, kind: Dir) -> Self {
        Accepting {
            connection,
            kind,
            place: None,
        }
    }
}

impl Future for Accepting<'_> {
    type Output = Result<Opened, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (kind, place) = (this.kind, &mut this.place);
        this.connection
            .shared()
            .act(|state| match state.accept(kind) {
                Some(result) => Poll::Ready(result),
                None => {
                    state.streams.accepting[kind as usize].keep(place, context.waker());
                    Poll::Pending
                }
            })
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.connection
                .shared()
                .act(|state| state.streams.accepting[self.kind as usize].forget(self.place));
        }
    }
}

/// Waits until the peer allows more streams.
struct CapacityChanged<'a> {
    connection: &'a Connection,
    place: Place,
}

impl Future for CapacityChanged<'_> {
    type Output = Result<(), ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let is_first = this.place.is_none();
        let place = &mut this.place;
        this.connection.shared().act(|state| {
            if let Some(error) = state.error() {
                return Poll::Ready(Err(error.clone()));
            }
            // Its waker is taken exactly when the limit was raised.
            if !is_first && !state.streams.capacity.has(*place) {
                return Poll::Ready(Ok(()));
            }
            state.streams.capacity.keep(place, context.waker());
            Poll::Pending
        })
    }
}

impl Drop for CapacityChanged<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.connection
                .shared()
                .act(|state| state.streams.capacity.forget(self.place));
        }
    }
}

/// Streams that are opened in advance to count them.
const CAPACITY_MAX: usize = 128;
