//! Transport properties of a Preconnection: selection properties, and defaults for the
//! connections and messages that come of it (RFC 9622 §6.2).

use super::store::Store;
use super::{
    Action, ConnectionProperties, Direction, InterfaceSelector, MessageProperties, Multipath,
    PathPreferences, Preference, Property, PropertyClass, PropertyError, PropertyValue,
    PvdSelector, SelectionProperty,
};
use serde::{Deserialize, Serialize};

/// What an application asks of protocols and paths, with its wishes for connections and messages.
///
/// ```
/// use portway_core::property::{Preference, SelectionProperty, TransportProperties};
///
/// let mut properties = TransportProperties::reliable_message()
///     .prefer(SelectionProperty::KeepAlive);
/// properties.set("connTimeout", "30s")?;
/// assert_eq!(properties.get("KEEPALIVE")?, Some(Preference::Prefer.into()));
/// # Ok::<(), portway_core::property::PropertyError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Store", into = "Store")]
pub struct TransportProperties {
    store: Store,
}

impl TransportProperties {
    /// The defaults of RFC 9622, which TCP can satisfy.
    pub fn new() -> Self {
        TransportProperties::default()
    }

    /// A byte stream like TCP's (RFC 9622 appendix B.2.1).
    pub fn reliable_inorder_stream() -> Self {
        TransportProperties::new()
            .require(SelectionProperty::Reliability)
            .require(SelectionProperty::PreserveOrder)
            .require(SelectionProperty::CongestionControl)
            .no_preference(SelectionProperty::PreserveMsgBoundaries)
    }

    /// Messages that all arrive, in order (RFC 9622 appendix B.2.2).
    pub fn reliable_message() -> Self {
        TransportProperties::new()
            .require(SelectionProperty::Reliability)
            .require(SelectionProperty::PreserveOrder)
            .require(SelectionProperty::CongestionControl)
            .require(SelectionProperty::PreserveMsgBoundaries)
    }

    /// Datagrams that may be lost, reordered or doubled (RFC 9622 appendix B.2.3).
    pub fn unreliable_datagram() -> Self {
        let mut properties = TransportProperties::new()
            .avoid(SelectionProperty::Reliability)
            .avoid(SelectionProperty::PreserveOrder)
            .no_preference(SelectionProperty::CongestionControl)
            .require(SelectionProperty::PreserveMsgBoundaries);
        properties.store.set_typed(Property::SafelyReplayable, true);
        properties
    }

    /// Accepts only protocols and paths that provide the property.
    #[must_use]
    pub fn require(self, property: SelectionProperty) -> Self {
        self.with_preference(property, Preference::Require)
    }

    /// Would rather have protocols and paths that provide the property.
    #[must_use]
    pub fn prefer(self, property: SelectionProperty) -> Self {
        self.with_preference(property, Preference::Prefer)
    }

    /// Does not care for the property.
    #[must_use]
    pub fn no_preference(self, property: SelectionProperty) -> Self {
        self.with_preference(property, Preference::NoPreference)
    }

    /// Would rather have protocols and paths that do not provide the property.
    #[must_use]
    pub fn avoid(self, property: SelectionProperty) -> Self {
        self.with_preference(property, Preference::Avoid)
    }

    /// Accepts only protocols and paths that do not provide the property.
    #[must_use]
    pub fn prohibit(self, property: SelectionProperty) -> Self {
        self.with_preference(property, Preference::Prohibit)
    }

    /// Sets the preference for a property.
    #[must_use]
    pub fn with_preference(mut self, property: SelectionProperty, level: Preference) -> Self {
        self.store.set_typed(property.property(), level);
        self
    }

    /// Sets which way data flows.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.store.set_typed(Property::Direction, direction);
        self
    }

    /// Sets the use of several paths.
    #[must_use]
    pub fn with_multipath(mut self, multipath: Multipath) -> Self {
        self.store.set_typed(Property::Multipath, multipath);
        self
    }

    /// Sets whether other local addresses are told to the peer.
    #[must_use]
    pub fn with_advertised_addresses(mut self, is_advertised: bool) -> Self {
        self.store
            .set_typed(Property::AdvertisesAltaddr, is_advertised);
        self
    }

    /// Adds a preference for an interface or a type of interfaces.
    #[must_use]
    pub fn with_interface(
        mut self,
        preference: Preference,
        interface: impl Into<InterfaceSelector>,
    ) -> Self {
        let set = self.interfaces().with(preference, interface);
        self.store.set_typed(Property::Interface, set);
        self
    }

    /// Adds a preference for a provisioning domain or a type of them.
    #[must_use]
    pub fn with_pvd(mut self, preference: Preference, pvd: impl Into<PvdSelector>) -> Self {
        let set = self.pvds().with(preference, pvd);
        self.store.set_typed(Property::Pvd, set);
        self
    }

    /// Sets all of the defaults that the resulting connections start with.
    #[must_use]
    pub fn with_connection_properties(mut self, connection: &ConnectionProperties) -> Self {
        for (property, value) in connection.explicit() {
            self.store.set_typed(property, value.clone());
        }
        self
    }

    /// Sets all of the defaults that the resulting messages start with.
    #[must_use]
    pub fn with_message_properties(mut self, message: &MessageProperties) -> Self {
        for (property, value) in message.explicit() {
            self.store.set_typed(property, value);
        }
        self
    }

    /// Sets any property that an application can set, by its name or its key.
    ///
    /// # Errors
    /// There is no such property, it is read-only, or it does not take the value.
    pub fn set<K>(&mut self, key: K, value: impl Into<PropertyValue>) -> Result<(), PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        let property = settable(key.try_into()?)?;
        self.store.set(property, value)
    }

    /// Takes back what was set, so that the default holds again.
    ///
    /// # Errors
    /// There is no such property.
    pub fn unset<K>(&mut self, key: K) -> Result<(), PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        self.store.unset(key.try_into()?);
        Ok(())
    }

    /// The value that was set, or the default for an active open; `None` for what only a
    /// connection can tell.
    ///
    /// # Errors
    /// There is no such property.
    pub fn get<K>(&self, key: K) -> Result<Option<PropertyValue>, PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        Ok(self.value_for(key.try_into()?, Action::Initiate))
    }

    /// The value that was set, or the default for `action`.
    pub fn value_for(&self, property: Property, action: Action) -> Option<PropertyValue> {
        if let Some(value) = self.store.get(property) {
            return Some(value.clone());
        }
        match property.follows() {
            None => property.default_for(action),
            Some(other) => self.value_for(other, action).map(|value| match value {
                PropertyValue::Preference(level) => level.is_wanted().into(),
                value => value,
            }),
        }
    }

    /// Whether the property is asked for: `true`, or preferred or required.
    ///
    /// # Errors
    /// There is no such property.
    pub fn has<K>(&self, key: K) -> Result<bool, PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        Ok(match self.get(key)? {
            Some(PropertyValue::Boolean(value)) => value,
            Some(PropertyValue::Preference(level)) => level.is_wanted(),
            _ => false,
        })
    }

    /// Whether the application set the property, even if to its default.
    pub fn is_explicit(&self, property: impl Into<Property>) -> bool {
        self.store.get(property.into()).is_some()
    }

    /// Every property with a value before a connection exists, for `action`.
    pub fn iter(&self, action: Action) -> impl Iterator<Item = (Property, PropertyValue)> {
        Property::ALL
            .iter()
            .filter_map(move |&property| Some((property, self.value_for(property, action)?)))
    }

    /// The preference for a property when `action` establishes the connection.
    pub fn preference(&self, property: SelectionProperty, action: Action) -> Preference {
        match self.store.get(property.property()) {
            Some(PropertyValue::Preference(level)) => *level,
            _ => property.default_for(action),
        }
    }

    /// Which way data flows.
    pub fn direction(&self) -> Direction {
        match self.store.get(Property::Direction) {
            Some(PropertyValue::Direction(direction)) => *direction,
            _ => Direction::Bidirectional,
        }
    }

    /// The use of several paths when `action` establishes the connection.
    pub fn multipath(&self, action: Action) -> Multipath {
        match self.value_for(Property::Multipath, action) {
            Some(PropertyValue::Multipath(multipath)) => multipath,
            _ => unreachable!("the table gives multipath a value of its type"),
        }
    }

    /// Whether other local addresses are told to the peer.
    pub fn advertises_addresses(&self) -> bool {
        self.store.get(Property::AdvertisesAltaddr) == Some(&PropertyValue::Boolean(true))
    }

    /// The preferences for interfaces.
    pub fn interfaces(&self) -> PathPreferences<InterfaceSelector> {
        match self.store.get(Property::Interface) {
            Some(PropertyValue::Interfaces(set)) => set.clone(),
            _ => PathPreferences::new(),
        }
    }

    /// The preferences for provisioning domains.
    pub fn pvds(&self) -> PathPreferences<PvdSelector> {
        match self.store.get(Property::Pvd) {
            Some(PropertyValue::Pvds(set)) => set.clone(),
            _ => PathPreferences::new(),
        }
    }

    /// What the resulting connections start with.
    pub fn connection_properties(&self) -> ConnectionProperties {
        ConnectionProperties::from_store(
            self.store
                .filtered(|property| property.class() == PropertyClass::Connection),
        )
    }

    /// What the resulting messages start with. Properties that follow a selection or connection
    /// property have that one's value, so nothing of it is left open.
    pub fn message_properties(&self, action: Action) -> MessageProperties {
        let mut message = MessageProperties::default();
        for (property, value) in self.store.iter() {
            if property.class() == PropertyClass::Message {
                message
                    .set(property, value.clone())
                    .expect("the store holds accepted values only");
            }
        }
        message.with_defaults_of(self, action)
    }
}

impl TryFrom<Store> for TransportProperties {
    type Error = PropertyError;

    fn try_from(store: Store) -> Result<Self, PropertyError> {
        for (property, _) in store.iter() {
            settable(property)?;
        }
        Ok(TransportProperties { store })
    }
}

impl From<TransportProperties> for Store {
    fn from(properties: TransportProperties) -> Self {
        properties.store
    }
}

fn settable(property: Property) -> Result<Property, PropertyError> {
    match property.class() {
        PropertyClass::ReadOnly => Err(PropertyError::ReadOnly {
            name: property.name(),
        }),
        _ => Ok(property),
    }
}
