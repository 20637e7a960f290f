//! Futures that tell when one direction of a stream has ended, without reading or writing.
//!
//! Invariant: the table's entry lives as long as a future watches it.

use crate::quic::StreamError;
use crate::quic::connection::{ConnectionRef, ConnectionState};
use crate::quic::waiting::{End, Place, StreamTable};
use quinn_proto::StreamId;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Resolves when writing has ended: `Ok` when the peer has acknowledged everything.
#[must_use = "it tells nothing unless it is awaited"]
pub struct WritesClosed(Watch);

/// Resolves when reading has ended: `Ok` when everything up to the peer's end was read.
#[must_use = "it tells nothing unless it is awaited"]
pub struct ReadsClosed(Watch);

enum Watch {
    Known(Result<(), StreamError>),
    Waiting(Waiting),
}

struct Waiting {
    connection: Arc<ConnectionRef>,
    id: StreamId,
    table: Table,
    place: Place,
}

/// The table of those who wait for the same kind of end.
pub(super) type Table = fn(&mut ConnectionState) -> &mut StreamTable<End>;

pub(super) fn write_ends(state: &mut ConnectionState) -> &mut StreamTable<End> {
    &mut state.streams.write_ends
}

pub(super) fn read_ends(state: &mut ConnectionState) -> &mut StreamTable<End> {
    &mut state.streams.read_ends
}

impl WritesClosed {
    pub(super) fn known(result: Result<(), StreamError>) -> Self {
        WritesClosed(Watch::Known(result))
    }

    /// Watches a stream; called under the connection's lock.
    pub(super) fn watch(
        state: &mut ConnectionState,
        connection: Arc<ConnectionRef>,
        id: StreamId,
    ) -> Self {
        WritesClosed(Watch::new(state, connection, id, write_ends))
    }
}

impl ReadsClosed {
    pub(super) fn known(result: Result<(), StreamError>) -> Self {
        ReadsClosed(Watch::Known(result))
    }

    /// Watches a stream; called under the connection's lock.
    pub(super) fn watch(
        state: &mut ConnectionState,
        connection: Arc<ConnectionRef>,
        id: StreamId,
    ) -> Self {
        ReadsClosed(Watch::new(state, connection, id, read_ends))
    }
}

impl Future for WritesClosed {
    type Output = Result<(), StreamError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context)
    }
}

impl Future for ReadsClosed {
    type Output = Result<(), StreamError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context)
    }
}

impl Watch {
    fn new(
        state: &mut ConnectionState,
        connection: Arc<ConnectionRef>,
        id: StreamId,
        table: Table,
    ) -> Self {
        table(state).entry(id).or_default().watchers += 1;
        Watch::Waiting(Waiting {
            connection,
            id,
            table,
            place: None,
        })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let waiting = match self {
            Watch::Known(result) => return Poll::Ready(result.clone()),
            Watch::Waiting(waiting) => waiting,
        };
        let (id, table, place) = (waiting.id, waiting.table, &mut waiting.place);
        waiting.connection.act(|state| {
            let end = table(state).entry(id).or_default();
            match &end.outcome {
                Some(outcome) => Poll::Ready(outcome.clone()),
                None => {
                    end.waiting.keep(place, context.waker());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (id, table, place) = (self.id, self.table, self.place);
        self.connection.act(|state| {
            let ends = table(state);
            if let Some(end) = ends.get_mut(&id) {
                end.waiting.forget(place);
                end.watchers = end.watchers.saturating_sub(1);
                if end.watchers == 0 {
                    ends.remove(&id);
                }
            }
        });
    }
}
