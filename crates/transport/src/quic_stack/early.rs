//! The first message as early data (0-RTT): written before the handshake, kept until its end.
//!
//! Invariant: what was written early counts as sent only when the server has taken it; otherwise
//! its stream is gone and nothing of it was seen there.

use crate::quic::{Connection, ReceiveStream, SendStream, StreamKind};
use bytes::Bytes;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What may leave before a handshake is complete. It can be replayed, so that it must be data
/// which the application has marked as safely replayable.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EarlySend {
    /// The kind of the stream that it opens, over QUIC.
    pub kind: StreamKind,
    /// The bytes.
    pub data: Bytes,
}

impl EarlySend {
    /// `data` as the first bytes of a stream of this kind.
    pub fn new(kind: StreamKind, data: Bytes) -> Self {
        EarlySend { kind, data }
    }
}

/// A stream that has begun with early data.
pub(super) struct EarlyStream {
    pub(super) send: SendStream,
    pub(super) receive: Option<ReceiveStream>,
    /// What there was no room for.
    pub(super) rest: Bytes,
}

impl EarlyStream {
    /// Opens a stream and writes as much as there is room for; `None` when no ticket allows early
    /// data, or the server had allowed no stream.
    pub(super) fn begin(connection: &Connection, early: &EarlySend) -> Option<Self> {
        if !connection.may_send_early_data() {
            return None;
        }
        let (mut send, receive) = match early.kind {
            StreamKind::Bidirectional => {
                let (send, receive) = now(connection.open_bi())?.ok()?;
                (send, Some(receive))
            }
            StreamKind::Unidirectional => (now(connection.open_uni())?.ok()?, None),
        };
        let mut rest = early.data.clone();
        while !rest.is_empty() {
            match send.poll_write(&mut Context::from_waker(Waker::noop()), &rest) {
                Poll::Ready(Ok(written)) => drop(rest.split_to(written)),
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        Some(EarlyStream {
            send,
            receive,
            rest,
        })
    }
}

/// The output of a future that need not wait.
fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
