//! What those who only have `poll_` functions ask a connection.
//!
//! Invariant: asking changes nothing but who is woken.

use super::{Connection, Phase};
use std::task::{Context, Poll};

impl Connection {
    /// Ready when there is room for a datagram, or the connection has ended. Only the last waker
    /// is kept.
    pub fn poll_datagram_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.shared().act(|state| {
            let has_room = state.proto.datagrams().send_buffer_space() > 0;
            if has_room || state.error().is_some() {
                return Poll::Ready(());
            }
            state.datagrams.sending.keep_polled(context.waker());
            Poll::Pending
        })
    }

    /// Ready when the peer has answered with any packet, or the handshake has ended. Only the
    /// last waker is kept.
    pub fn poll_answered(&self, context: &mut Context<'_>) -> Poll<()> {
        self.shared().act(|state| {
            if state.is_answered || state.phase != Phase::Handshaking {
                return Poll::Ready(());
            }
            state.lifecycle.keep_polled(context.waker());
            Poll::Pending
        })
    }
}
