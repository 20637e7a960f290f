//! Server push: promises, their streams and their cancellation (RFC 9114 §4.6).
//!
//! Invariant: a push identifier is used once, and never above what the client allowed.

mod client;
mod server;

use super::Connection;
use crate::error::{Code, ConnectionError};
use crate::stream::Role;

pub(super) use client::Promised;
pub(super) use server::Promises;

/// What is known of pushes.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    /// The largest identifier that the client allows: sent by a client, received by a server.
    max: Option<u64>,
    /// A client's side.
    promised: Promised,
    /// A server's side.
    promises: Promises,
}

impl Pushes {
    /// The largest identifier that the client allows.
    #[inline]
    pub(super) fn max(&self) -> Option<u64> {
        self.max
    }

    /// When the first stream without a promise is given up.
    pub(super) fn next_expiry(&self) -> Option<std::time::Duration> {
        self.max?;
        self.promised.next_expiry()
    }
}

impl Connection {
    // RFC 9114 §7.2.7: the largest push identifier never shrinks.
    pub(super) fn on_max_push_id(&mut self, push_id: u64) -> Result<(), ConnectionError> {
        if self.pushes.max.is_some_and(|max| push_id < max) {
            return Err(wrong_id("MAX_PUSH_ID below the one before"));
        }
        self.glitch("MAX_PUSH_ID frames")?;
        self.pushes.max = Some(push_id);
        Ok(())
    }

    pub(super) fn on_cancel_push(&mut self, push_id: u64) -> Result<(), ConnectionError> {
        self.glitch("CANCEL_PUSH frames")?;
        match self.role {
            Role::Client => self.on_push_withdrawn(push_id),
            Role::Server => self.on_push_unwanted(push_id),
        }
    }

    /// Gives up a push: a client does not want it, a server will not fulfil it.
    pub fn cancel_push(&mut self, push_id: u64) {
        if self.closed.is_some() {
            return;
        }
        match self.role {
            Role::Client => self.refuse_push(push_id),
            Role::Server => self.withdraw_push(push_id),
        }
    }

    fn send_cancel_push(&mut self, push_id: u64) {
        let mut frame = bytes::BytesMut::new();
        crate::frame::cancel_push::encode(push_id, &mut frame);
        self.queue_control(frame);
    }

    /// One above the largest identifier that was promised to this client.
    pub(super) fn next_push_id(&self) -> u64 {
        self.pushes.promised.next()
    }
}

fn wrong_id(reason: &'static str) -> ConnectionError {
    ConnectionError::local(Code::H3_ID_ERROR, reason)
}
