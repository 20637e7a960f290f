//! Message properties (RFC 9622 §9.1.3), small enough to travel with every message.
//!
//! Invariant: a field is `None` exactly while the application has not set it.

use super::store::Store;
use super::{
    Action, CapacityProfile, Property, PropertyClass, PropertyError, PropertyValue, SpecialValue,
    TransportProperties,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The properties of a message: what was set, and where not, what the connection says.
///
/// `Copy`, and without any allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Store", into = "Store")]
pub struct MessageProperties {
    /// `Some(None)` is an infinite lifetime that was set.
    lifetime: Option<Option<Duration>>,
    priority: Option<u32>,
    checksum_coverage: Option<ChecksumCoverage>,
    capacity_profile: Option<CapacityProfile>,
    is_ordered: Option<bool>,
    is_reliable: Option<bool>,
    is_safely_replayable: Option<bool>,
    is_final: Option<bool>,
    has_no_fragmentation: Option<bool>,
    has_no_segmentation: Option<bool>,
}

/// How many bytes of a message, from its first one, a checksum must cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChecksumCoverage {
    /// All of them.
    #[default]
    Full,
    /// At least so many; zero needs no checksum at all.
    AtLeast(u32),
}

impl MessageProperties {
    /// Nothing set.
    pub const fn new() -> Self {
        MessageProperties {
            lifetime: None,
            priority: None,
            checksum_coverage: None,
            capacity_profile: None,
            is_ordered: None,
            is_reliable: None,
            is_safely_replayable: None,
            is_final: None,
            has_no_fragmentation: None,
            has_no_segmentation: None,
        }
    }

    /// How long the message may wait before it is worth nothing; `None` is for ever.
    pub fn lifetime(&self) -> Option<Duration> {
        self.lifetime.flatten()
    }

    /// The priority within the connection; lower is more urgent.
    pub fn priority(&self) -> u32 {
        self.priority.unwrap_or(PRIORITY_DEFAULT)
    }

    /// Whether the order of sends is kept; by default what `preserveOrder` came to.
    pub fn is_ordered(&self) -> Option<bool> {
        self.is_ordered
    }

    /// Whether the message may arrive twice without harm.
    pub fn is_safely_replayable(&self) -> bool {
        self.is_safely_replayable.unwrap_or(false)
    }

    /// Whether this is the last message.
    pub fn is_final(&self) -> bool {
        self.is_final.unwrap_or(false)
    }

    /// How much of the message a checksum must cover.
    pub fn checksum_coverage(&self) -> ChecksumCoverage {
        self.checksum_coverage.unwrap_or_default()
    }

    /// Whether the message must not be lost; by default what `reliability` came to.
    pub fn is_reliable(&self) -> Option<bool> {
        self.is_reliable
    }

    /// The network treatment; by default that of the connection.
    pub fn capacity_profile(&self) -> Option<CapacityProfile> {
        self.capacity_profile
    }

    /// Whether the network layer must not fragment.
    pub fn has_no_fragmentation(&self) -> bool {
        self.has_no_fragmentation.unwrap_or(false)
    }

    /// Whether the message leaves in one packet or not at all.
    pub fn has_no_segmentation(&self) -> bool {
        self.has_no_segmentation.unwrap_or(false)
    }
}

/// Setters.
impl MessageProperties {
    /// Sets how long the message may wait; `None` and zero are for ever.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.lifetime = Some(lifetime.filter(|lifetime| !lifetime.is_zero()));
        self
    }

    /// Sets the priority within the connection; lower is more urgent.
    #[must_use]
    pub fn with_priority(mut self, priority: u32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets whether the order of sends is kept.
    #[must_use]
    pub fn with_ordered(mut self, is_ordered: bool) -> Self {
        self.is_ordered = Some(is_ordered);
        self
    }

    /// Sets whether the message may arrive twice without harm.
    #[must_use]
    pub fn with_safely_replayable(mut self, is_safely_replayable: bool) -> Self {
        self.is_safely_replayable = Some(is_safely_replayable);
        self
    }

    /// Sets whether this is the last message.
    #[must_use]
    pub fn with_final(mut self, is_final: bool) -> Self {
        self.is_final = Some(is_final);
        self
    }

    /// Sets how much of the message a checksum must cover.
    #[must_use]
    pub fn with_checksum_coverage(mut self, coverage: ChecksumCoverage) -> Self {
        self.checksum_coverage = Some(coverage);
        self
    }

    /// Sets whether the message must not be lost.
    #[must_use]
    pub fn with_reliable(mut self, is_reliable: bool) -> Self {
        self.is_reliable = Some(is_reliable);
        self
    }

    /// Sets the network treatment.
    #[must_use]
    pub fn with_capacity_profile(mut self, profile: CapacityProfile) -> Self {
        self.capacity_profile = Some(profile);
        self
    }

    /// Sets whether the network layer must not fragment.
    #[must_use]
    pub fn with_no_fragmentation(mut self, has_no_fragmentation: bool) -> Self {
        self.has_no_fragmentation = Some(has_no_fragmentation);
        self
    }

    /// Sets whether the message leaves in one packet or not at all.
    #[must_use]
    pub fn with_no_segmentation(mut self, has_no_segmentation: bool) -> Self {
        self.has_no_segmentation = Some(has_no_segmentation);
        self
    }

    /// What is not set here is taken from `defaults`.
    #[must_use]
    pub fn or(self, defaults: &MessageProperties) -> Self {
        MessageProperties {
            lifetime: self.lifetime.or(defaults.lifetime),
            priority: self.priority.or(defaults.priority),
            checksum_coverage: self.checksum_coverage.or(defaults.checksum_coverage),
            capacity_profile: self.capacity_profile.or(defaults.capacity_profile),
            is_ordered: self.is_ordered.or(defaults.is_ordered),
            is_reliable: self.is_reliable.or(defaults.is_reliable),
            is_safely_replayable: self.is_safely_replayable.or(defaults.is_safely_replayable),
            is_final: self.is_final.or(defaults.is_final),
            has_no_fragmentation: self.has_no_fragmentation.or(defaults.has_no_fragmentation),
            has_no_segmentation: self.has_no_segmentation.or(defaults.has_no_segmentation),
        }
    }
}

/// Access by name.
impl MessageProperties {
    /// Sets a message property by its name or its key.
    ///
    /// # Errors
    /// There is no such property, it is not a message property, or it does not take the value.
    pub fn set<K>(&mut self, key: K, value: impl Into<PropertyValue>) -> Result<(), PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        let property = message_property(key.try_into()?, "set")?;
        self.assign(property, property.accept(value)?);
        Ok(())
    }

    /// The value that was set, or the default; `None` when that is the connection's to say.
    ///
    /// # Errors
    /// There is no such property, or it is not a message property.
    pub fn get<K>(&self, key: K) -> Result<Option<PropertyValue>, PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        let property = message_property(key.try_into()?, "read")?;
        Ok(self
            .assigned(property)
            .or_else(|| match property.follows() {
                Some(_) => None,
                None => property.default_for(Action::Initiate),
            }))
    }

    /// Whether the property was set, even if to its default.
    pub fn is_explicit(&self, property: Property) -> bool {
        self.assigned(property).is_some()
    }

    /// The properties that were set.
    pub fn explicit(&self) -> impl Iterator<Item = (Property, PropertyValue)> {
        Property::ALL
            .iter()
            .filter_map(move |&property| Some((property, self.assigned(property)?)))
    }

    /// Takes what follows a selection or connection property from `transport`.
    pub(super) fn with_defaults_of(
        mut self,
        transport: &TransportProperties,
        action: Action,
    ) -> Self {
        for &property in Property::ALL {
            if property.follows().is_some()
                && self.assigned(property).is_none()
                && let Some(value) = transport.value_for(property, action)
            {
                self.assign(property, value);
            }
        }
        self
    }

    fn assign(&mut self, property: Property, value: PropertyValue) {
        use PropertyValue as V;
        match (property, value) {
            (Property::MsgLifetime, V::Duration(lifetime)) => self.lifetime = Some(Some(lifetime)),
            (Property::MsgLifetime, _) => self.lifetime = Some(None),
            (Property::MsgPriority, V::Integer(priority)) => self.priority = Some(narrow(priority)),
            (Property::MsgChecksumLen, V::Integer(bytes)) => {
                self.checksum_coverage = Some(ChecksumCoverage::AtLeast(narrow(bytes)));
            }
            (Property::MsgChecksumLen, _) => self.checksum_coverage = Some(ChecksumCoverage::Full),
            (Property::MsgCapacityProfile, V::CapacityProfile(profile)) => {
                self.capacity_profile = Some(profile);
            }
            (property, V::Boolean(value)) => match property {
                Property::MsgOrdered => self.is_ordered = Some(value),
                Property::MsgReliable => self.is_reliable = Some(value),
                Property::SafelyReplayable => self.is_safely_replayable = Some(value),
                Property::Final => self.is_final = Some(value),
                Property::NoFragmentation => self.has_no_fragmentation = Some(value),
                Property::NoSegmentation => self.has_no_segmentation = Some(value),
                _ => unreachable!("only message properties are assigned"),
            },
            _ => unreachable!("the table's type was checked before"),
        }
    }

    fn assigned(&self, property: Property) -> Option<PropertyValue> {
        match property {
            Property::MsgLifetime => self.lifetime.map(|lifetime| match lifetime {
                Some(lifetime) => lifetime.into(),
                None => SpecialValue::Infinite.into(),
            }),
            Property::MsgPriority => self.priority.map(PropertyValue::from),
            Property::MsgChecksumLen => self.checksum_coverage.map(PropertyValue::from),
            Property::MsgCapacityProfile => self.capacity_profile.map(PropertyValue::from),
            Property::MsgOrdered => self.is_ordered.map(PropertyValue::from),
            Property::MsgReliable => self.is_reliable.map(PropertyValue::from),
            Property::SafelyReplayable => self.is_safely_replayable.map(PropertyValue::from),
            Property::Final => self.is_final.map(PropertyValue::from),
            Property::NoFragmentation => self.has_no_fragmentation.map(PropertyValue::from),
            Property::NoSegmentation => self.has_no_segmentation.map(PropertyValue::from),
            _ => None,
        }
    }
}

impl TryFrom<Store> for MessageProperties {
    type Error = PropertyError;

    fn try_from(store: Store) -> Result<Self, PropertyError> {
        let mut message = MessageProperties::new();
        for (property, value) in store.iter() {
            message.set(property, value.clone())?;
        }
        Ok(message)
    }
}

impl From<MessageProperties> for Store {
    fn from(message: MessageProperties) -> Self {
        let mut store = Store::default();
        for (property, value) in message.explicit() {
            store.set_typed(property, value);
        }
        store
    }
}

/// RFC 9622 §9.1.3.2; the table's row is compared with it by a test.
pub(super) const PRIORITY_DEFAULT: u32 = 100;

fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("the table bounds it to 32 bits")
}

fn message_property(
    property: Property,
    operation: &'static str,
) -> Result<Property, PropertyError> {
    match property.class() {
        PropertyClass::Message => Ok(property),
        class => Err(PropertyError::WrongClass {
            name: property.name(),
            class,
            operation,
        }),
    }
}
