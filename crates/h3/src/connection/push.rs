//! Server push: promises, their streams and their cancellation (RFC 9114 §4.6).
//!
//! Invariant: a push identifier is used once, and never above what the client allowed.

use super::Connection;
use crate::error::{Code, ConnectionError, Fault};
use crate::message::Section;
use crate::stream::{Role, StreamId};

/// What is known of pushes.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    /// The largest identifier that the client allows.
    max: Option<u64>,
}

impl Connection {
    pub(super) fn on_promise(
        &mut self,
        _stream: StreamId,
        _push_id: u64,
        _section: Section,
    ) -> Result<(), Fault> {
        Err(wrong_id("a promise although push is off").into())
    }

    // RFC 9114 §7.2.7: the largest push identifier never shrinks.
    pub(super) fn on_max_push_id(&mut self, push_id: u64) -> Result<(), ConnectionError> {
        if self.pushes.max.is_some_and(|max| push_id < max) {
            return Err(wrong_id("MAX_PUSH_ID below the one before"));
        }
        self.glitch("MAX_PUSH_ID frames")?;
        self.pushes.max = Some(push_id);
        Ok(())
    }

    // RFC 9114 §7.2.3: a client may cancel what was promised, a server what was allowed.
    pub(super) fn on_cancel_push(&mut self, _push_id: u64) -> Result<(), ConnectionError> {
        match self.role {
            Role::Client => Err(wrong_id("CANCEL_PUSH above the largest push id")),
            Role::Server => Err(wrong_id("CANCEL_PUSH for a push that was not promised")),
        }
    }

    // RFC 9218 §7.2: a priority for a push that was not promised.
    pub(super) fn on_push_priority_update(
        &mut self,
        _push_id: u64,
        _value: &[u8],
    ) -> Result<(), ConnectionError> {
        Err(wrong_id("a priority for a push that was not promised"))
    }

    pub(super) fn next_push_id(&self) -> u64 {
        0
    }
}

fn wrong_id(reason: &'static str) -> ConnectionError {
    ConnectionError::local(Code::H3_ID_ERROR, reason)
}
