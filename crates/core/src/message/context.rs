//! The context of a message (RFC 9622 §9.1.1): properties, framer metadata, endpoints, and what
//! the protocols said of a received message.
//!
//! Invariant: the default context owns no memory, and a clone shares what the original owns. A
//! change after a send makes a copy, so it has no effect on that send (RFC 9622 §9.1.3).

use super::{Ecn, MetadataValue};
use crate::property::{MessageProperties, Property, PropertyError, PropertyValue};
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
    is_received_final: bool,
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
            is_received_final: false,
        }
    }

    /// Whether nothing special is said, as in a new context.
    #[inline]
    pub fn is_plain(&self) -> bool {
        let is_received = self.id.is_some() || self.endpoints.is_some() || self.ecn.is_some();
        self.details.is_none() && !is_received && !self.is_early_data && !self.is_received_final
    }

    /// The message properties, when any were set.
    pub fn properties(&self) -> Option<&MessageProperties> {
        self.details.as_deref().map(|details| &details.properties)
    }

    /// The message properties, to be changed for the sends that follow.
    pub fn properties_mut(&mut self) -> &mut MessageProperties {
        &mut self.details_mut().properties
    }

    /// Sets a message property by its name or its key.
    ///
    /// # Errors
    /// It is not a message property, or it does not take the value.
    pub fn set<K>(&mut self, key: K, value: impl Into<PropertyValue>) -> Result<(), PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        self.properties_mut().set(key, value)
    }

    /// A message property's value, or its default; `None` when that is the connection's to say.
    ///
    /// # Errors
    /// It is not a message property.
    pub fn get<K>(&self, key: K) -> Result<Option<PropertyValue>, PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        let properties = self.properties().copied().unwrap_or_default();
        let properties = match self.is_received_final {
            true => properties.with_final(true),
            false => properties,
        };
        properties.get(key)
    }

    /// Fills in what was not set from `defaults`, the context of the connection's own defaults.
    /// Without a copy when nothing was set here.
    pub fn apply_defaults(&mut self, defaults: &MessageContext) {
        match (&mut self.details, &defaults.details) {
            (_, None) => {}
            (details @ None, Some(_)) => details.clone_from(&defaults.details),
            (Some(details), Some(defaults)) => {
                let properties = details.properties.or(&defaults.properties);
                if properties != details.properties {
                    Arc::make_mut(details).properties = properties;
                }
            }
        }
    }

    /// How long the message may wait before its first byte is written; `None` is for ever.
    pub fn lifetime(&self) -> Option<Duration> {
        self.properties().and_then(MessageProperties::lifetime)
    }

    /// Sets msgLifetime; zero is for ever.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        let properties = self.properties_mut();
        *properties = properties.with_lifetime(Some(lifetime));
        self
    }

    /// msgPriority: lower is more urgent, 100 when nothing was said.
    pub fn priority(&self) -> u32 {
        match self.properties() {
            Some(properties) => properties.priority(),
            None => MessageProperties::new().priority(),
        }
    }

    /// Sets msgPriority.
    #[must_use]
    pub fn with_priority(mut self, priority: u32) -> Self {
        let properties = self.properties_mut();
        *properties = properties.with_priority(priority);
        self
    }

    /// Whether this is the last message of its direction.
    pub fn is_final(&self) -> bool {
        self.is_received_final || self.properties().is_some_and(MessageProperties::is_final)
    }

    /// Says that nothing is sent after this message.
    #[must_use]
    pub fn with_final(mut self) -> Self {
        let properties = self.properties_mut();
        *properties = properties.with_final(true);
        self
    }

    /// Says that the message may arrive twice without harm.
    #[must_use]
    pub fn with_safely_replayable(mut self) -> Self {
        let properties = self.properties_mut();
        *properties = properties.with_safely_replayable(true);
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
    #[inline]
    pub fn set_id(&mut self, id: MessageId) {
        self.id = Some(id);
    }

    /// Attaches the connection's addresses.
    #[inline]
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

    /// Marks a received message as the last one of its direction.
    pub fn set_received_final(&mut self) {
        self.is_received_final = true;
    }
}
