//! Messages (RFC 9622 §9.1): what is sent and what is received, with their contexts.
//!
//! Invariant: a message without a context, or received without metadata, allocates nothing
//! beyond its bytes. The bytes are in [`Chunks`], everything said about them in
//! [`MessageContext`].

mod chunks;
mod context;
mod metadata;
mod received;
#[cfg(test)]
mod tests;
mod typed;

pub use crate::property::MessageProperties;
pub use chunks::{Chunks, ChunksIter};
pub use context::{ContextEndpoints, MessageContext, MessageId};
pub use metadata::{Ecn, MetadataValue};
pub use received::ReceivedMessage;
pub use typed::{Codec, FnCodec, Json, Typed, undecodable};

use bytes::Bytes;

/// A message to be sent: its bytes and what is said about them.
///
/// Anything that converts into [`Chunks`] is a message with the default context.
///
/// ```
/// use portway_core::message::{Message, MessageContext};
///
/// let plain = Message::from("hello");
/// assert_eq!(plain.data.len(), 5);
/// let last = Message::new(vec![1, 2, 3]).with_context(MessageContext::new().with_final());
/// assert!(last.context.is_final());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The bytes.
    pub data: Chunks,
    /// Properties, framer metadata and endpoints.
    pub context: MessageContext,
}

impl Message {
    /// A message with the default context.
    pub fn new(data: impl Into<Chunks>) -> Self {
        Message {
            data: data.into(),
            context: MessageContext::new(),
        }
    }

    /// The same message with another context.
    #[must_use]
    pub fn with_context(mut self, context: MessageContext) -> Self {
        self.context = context;
        self
    }
}

impl From<Chunks> for Message {
    fn from(data: Chunks) -> Self {
        Message::new(data)
    }
}

impl From<Bytes> for Message {
    fn from(data: Bytes) -> Self {
        Message::new(data)
    }
}

impl From<Vec<u8>> for Message {
    fn from(data: Vec<u8>) -> Self {
        Message::new(data)
    }
}

impl From<String> for Message {
    fn from(data: String) -> Self {
        Message::new(data)
    }
}

/// Copies: a text that is borrowed for ever is indistinguishable from one that is not. Use
/// `Bytes::from_static` where the copy matters.
impl From<&str> for Message {
    fn from(data: &str) -> Self {
        Message::new(data)
    }
}

/// Copies, as for `&str`.
impl From<&[u8]> for Message {
    fn from(data: &[u8]) -> Self {
        Message::new(data)
    }
}

/// Copies, as for `&str`.
impl<const N: usize> From<&[u8; N]> for Message {
    fn from(data: &[u8; N]) -> Self {
        Message::new(&data[..])
    }
}

impl<D: Into<Chunks>> From<(D, MessageContext)> for Message {
    fn from((data, context): (D, MessageContext)) -> Self {
        Message::new(data).with_context(context)
    }
}
