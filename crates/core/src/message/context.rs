//! The context of a message (RFC 9622 §9.1.1): properties, framer metadata, endpoints, and what
//! the protocols said of a received message.
//!
//! Invariant: the default context owns no memory, and a clone shares what the original owns. A
//! change after a send makes a copy, so it has no effect on that send (RFC 9622 §9.1.3).

use super::{Ecn, MessageProperties, MetadataValue};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is said about one message.
///
/// A context may be reused for many messages; each send sees it as it was at that time. A
/// received context may be the context of a reply: [`MessageContext::for_reply`] keeps the
/// framers' metadata and drops what only holds for the received message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageContext {
    id: Option<MessageId>,
    details: Option<Arc<Details>>,
    endpoints: Option<Arc<ContextEndpoints>>,
    ecn: Option<Ecn>,
    is_early_data: bool,
    is_final: bool,
}

/// Tells the messages that arrive on one connection apart: every partial receive of the same
/// message has the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// The addresses between which a message travels, shared by all messages of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContextEndpoints {
    /// This side, where it is known.
    pub local: Option<SocketAddr>,
    /// The other side.
    pub remote: SocketAddr,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Details {
    properties: MessageProperties,
    metadata: Vec<(Cow<'static, str>, MetadataValue)>,
}

impl MessageContext {
    /// The context of a message about which nothing special is said.
    pub const fn new() -> Self {
        MessageContext {
            id: None,
            details: None,
            endpoints: None,
            ecn: None,
            is_early_data: false,
            is_final: false,
        }
    }

    /// The message properties, when any were set.
    pub fn properties(&self) -> Option<&MessageProperties> {
        self.details.as_deref().map(|details| &details.properties)
    }

    /// The message properties, to be changed for the sends that follow.
    pub fn properties_mut(&mut self) -> &mut MessageProperties {
        &mut self.details_mut().properties
    }

    /// How long the message may wait before its first byte is written; `None` is for ever.
    pub fn lifetime(&self) -> Option<Duration> {
        self.properties().and_then(|properties| properties.lifetime)
    }

    /// Sets msgLifetime.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.properties_mut().lifetime = Some(lifetime);
        self
    }

    /// msgPriority: lower is more urgent, 100 when nothing was said.
    pub fn priority(&self) -> u32 {
        self.properties()
            .map_or(DEFAULT_PRIORITY, |properties| properties.priority)
    }

    /// Sets msgPriority.
    #[must_use]
    pub fn with_priority(mut self, priority: u32) -> Self {
        self.properties_mut().priority = priority;
        self
    }

    /// Whether this is the last message of its direction.
    pub fn is_final(&self) -> bool {
        self.is_final
    }

    /// Says that nothing is sent after this message.
    #[must_use]
    pub fn with_final(mut self) -> Self {
        self.is_final = true;
        self
    }

    /// The value that a framer, or the application for a framer, gave to `name`.
    pub fn metadata(&self, name: &str) -> Option<&MetadataValue> {
        let details = self.details.as_deref()?;
        let (_, value) = details.metadata.iter().find(|(key, _)| key == name)?;
        Some(value)
    }

    /// All framer metadata, in the order in which it was added.
    pub fn all_metadata(&self) -> impl Iterator<Item = (&str, &MetadataValue)> {
        self.details
            .as_deref()
            .into_iter()
            .flat_map(|details| &details.metadata)
            .map(|(name, value)| (name.as_ref(), value))
    }

    /// Gives `name` a value, in place of an earlier one. Names start with the framer's
    /// namespace, as in `tlv.type`.
    pub fn set_metadata(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<MetadataValue>,
    ) {
        let (name, value) = (name.into(), value.into());
        let metadata = &mut self.details_mut().metadata;
        match metadata.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => metadata.push((name, value)),
        }
    }

    /// [`MessageContext::set_metadata`] as a builder.
    #[must_use]
    pub fn with_metadata(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<MetadataValue>,
    ) -> Self {
        self.set_metadata(name, value);
        self
    }

    /// Which message of its connection this is; `None` in a context that was not received.
    pub fn id(&self) -> Option<MessageId> {
        self.id
    }

    /// This side's address, in a context that an event of a connection returned.
    pub fn local_endpoint(&self) -> Option<SocketAddr> {
        self.endpoints.as_ref().and_then(|both| both.local)
    }

    /// The other side's address, in a context that an event of a connection returned.
    pub fn remote_endpoint(&self) -> Option<SocketAddr> {
        self.endpoints.as_ref().map(|both| both.remote)
    }

    /// The ECN field of the datagram that brought this message, where the system told it.
    pub fn ecn(&self) -> Option<Ecn> {
        self.ecn
    }

    /// Whether the message came as early data, which an attacker may have replayed.
    pub fn is_early_data(&self) -> bool {
        self.is_early_data
    }

    /// A context for a reply to the message that this context came with: its framer metadata,
    /// without properties, and without what only the received message has.
    // RFC 9622 §9.1.3: properties are those of one message, so a reply starts from defaults.
    #[must_use]
    pub fn for_reply(&self) -> MessageContext {
        let mut reply = MessageContext::new();
        for (name, value) in self.all_metadata() {
            reply.set_metadata(name.to_owned(), value.clone());
        }
        reply
    }

    fn details_mut(&mut self) -> &mut Details {
        Arc::make_mut(self.details.get_or_insert_default())
    }
}

/// For connections, which fill in what only they know.
impl MessageContext {
    /// Says which message of its connection this is.
    pub fn set_id(&mut self, id: MessageId) {
        self.id = Some(id);
    }

    /// Attaches the connection's addresses.
    pub fn set_endpoints(&mut self, endpoints: Arc<ContextEndpoints>) {
        self.endpoints = Some(endpoints);
    }

    /// Records the ECN field.
    pub fn set_ecn(&mut self, ecn: Ecn) {
        self.ecn = Some(ecn);
    }

    /// Marks the message as early data.
    pub fn set_early_data(&mut self) {
        self.is_early_data = true;
    }

    /// Marks the message as the last one of its direction.
    pub fn set_final(&mut self) {
        self.is_final = true;
    }
}

/// RFC 9622 §9.1.3.2.
const DEFAULT_PRIORITY: u32 = 100;
