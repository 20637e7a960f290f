//! What a receive yields: a whole message, or the next part of one.

use super::{MessageContext, MessageId};
use bytes::Bytes;
use std::ops::Deref;

/// A received message, or a part of one (RFC 9622 §9.3.2).
///
/// Dereferences to its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedMessage {
    /// The bytes, in one piece.
    pub data: Bytes,
    /// What is known about the message; every part of it comes with the same
    /// [`MessageContext::id`].
    pub context: MessageContext,
    /// Whether these bytes start at the beginning of the message.
    pub is_start: bool,
    /// Whether the message ends with these bytes.
    pub is_end: bool,
}

impl ReceivedMessage {
    /// A whole message.
    #[inline]
    pub fn whole(data: Bytes, context: MessageContext) -> Self {
        ReceivedMessage {
            data,
            context,
            is_start: true,
            is_end: true,
        }
    }

    /// Whether this is a whole message and not only a part of one.
    pub fn is_complete(&self) -> bool {
        self.is_start && self.is_end
    }

    /// Which message of its connection this belongs to.
    pub fn id(&self) -> Option<MessageId> {
        self.context.id()
    }

    /// The bytes.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.data
    }
}

impl Deref for ReceivedMessage {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data
    }
}

impl AsRef<[u8]> for ReceivedMessage {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl From<ReceivedMessage> for Bytes {
    fn from(received: ReceivedMessage) -> Bytes {
        received.data
    }
}
