//! Connection properties of a live connection (RFC 9622 §8.1, §8.2).

use super::store::Store;
use super::{
    Action, CapacityProfile, ChecksumCoverage, MultipathPolicy, Property, PropertyClass,
    PropertyError, PropertyValue, Scheduler, SpecialValue,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The connection properties that were set; everything else has its default.
///
/// Defaults take no memory, so an idle connection pays for what it was asked only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Store", into = "Store")]
pub struct ConnectionProperties {
    store: Store,
}

impl ConnectionProperties {
    /// All defaults.
    pub fn new() -> Self {
        ConnectionProperties::default()
    }

    pub(super) fn from_store(store: Store) -> Self {
        ConnectionProperties { store }
    }

    /// Sets a connection property by its name or its key and says which one it was.
    ///
    /// # Errors
    /// There is no such property, it is no settable connection property, or it does not take the
    /// value.
    pub fn set<K>(
        &mut self,
        key: K,
        value: impl Into<PropertyValue>,
    ) -> Result<Property, PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        let property = connection_property(key.try_into()?, "set")?;
        self.store.set(property, value)?;
        Ok(property)
    }

    /// The value that was set, or the default.
    ///
    /// # Errors
    /// There is no such property, or it is not a connection property.
    pub fn get<K>(&self, key: K) -> Result<PropertyValue, PropertyError>
    where
        K: TryInto<Property>,
        PropertyError: From<K::Error>,
    {
        Ok(self.value(connection_property(key.try_into()?, "read")?))
    }

    /// Whether the property was set, even if to its default.
    pub fn is_explicit(&self, property: Property) -> bool {
        self.store.get(property).is_some()
    }

    /// The properties that were set.
    pub fn explicit(&self) -> impl Iterator<Item = (Property, &PropertyValue)> {
        self.store.iter()
    }

    /// Every connection property with its value.
    pub fn iter(&self) -> impl Iterator<Item = (Property, PropertyValue)> {
        Property::ALL
            .iter()
            .filter(|property| property.class() == PropertyClass::Connection)
            .map(|&property| (property, self.value(property)))
    }

    /// The bytes of a received message that a checksum must cover.
    pub fn recv_checksum_len(&self) -> ChecksumCoverage {
        match self.value(Property::RecvChecksumLen) {
            PropertyValue::Integer(bytes) => {
                ChecksumCoverage::AtLeast(u32::try_from(bytes).unwrap_or(u32::MAX))
            }
            _ => ChecksumCoverage::Full,
        }
    }

    /// The priority within the group; lower is more urgent.
    pub fn conn_priority(&self) -> u32 {
        let priority = self.integer(Property::ConnPriority);
        u32::try_from(priority.expect("connPriority is always a number"))
            .expect("the table bounds connPriority to 32 bits")
    }

    /// How long reliable data may stay undelivered; `None` is no limit.
    pub fn conn_timeout(&self) -> Option<Duration> {
        self.duration(Property::ConnTimeout)
    }

    /// How long the connection may be idle before a keep-alive packet; `None` sends none.
    pub fn keep_alive_timeout(&self) -> Option<Duration> {
        // RFC 9622 §8.1.4: beyond the connection's timeout it is the same as disabled.
        self.duration(Property::KeepAliveTimeout)
            .filter(|idle| self.conn_timeout().is_none_or(|limit| *idle <= limit))
    }

    /// How the group shares its capacity.
    pub fn conn_scheduler(&self) -> Scheduler {
        match self.value(Property::ConnScheduler) {
            PropertyValue::Scheduler(scheduler) => scheduler,
            _ => unreachable!("the table gives connScheduler a value of its type"),
        }
    }

    /// The network treatment.
    pub fn conn_capacity_profile(&self) -> CapacityProfile {
        match self.value(Property::ConnCapacityProfile) {
            PropertyValue::CapacityProfile(profile) => profile,
            _ => unreachable!("the table gives connCapacityProfile a value of its type"),
        }
    }

    /// What several paths are used for.
    pub fn multipath_policy(&self) -> MultipathPolicy {
        match self.value(Property::MultipathPolicy) {
            PropertyValue::MultipathPolicy(policy) => policy,
            _ => unreachable!("the table gives multipathPolicy a value of its type"),
        }
    }

    /// The useful minimum for sending in bits a second.
    pub fn min_send_rate(&self) -> Option<u64> {
        self.integer(Property::MinSendRate)
    }

    /// The useful minimum for receiving in bits a second.
    pub fn min_recv_rate(&self) -> Option<u64> {
        self.integer(Property::MinRecvRate)
    }

    /// The most that is sent in bits a second.
    pub fn max_send_rate(&self) -> Option<u64> {
        self.integer(Property::MaxSendRate)
    }

    /// The most that is received in bits a second.
    pub fn max_recv_rate(&self) -> Option<u64> {
        self.integer(Property::MaxRecvRate)
    }

    /// Connections that the peer may add to the group; `None` is no limit.
    pub fn group_conn_limit(&self) -> Option<u64> {
        self.integer(Property::GroupConnLimit)
    }

    /// Whether no cached state is shared outside of the group.
    pub fn isolate_session(&self) -> bool {
        self.boolean(Property::IsolateSession)
    }

    /// The user timeout told to the peer; `None` is TCP's default.
    pub fn tcp_user_timeout_value(&self) -> Option<Duration> {
        self.duration(Property::TcpUserTimeoutValue)
    }

    /// Whether TCP's user timeout option is used.
    pub fn tcp_user_timeout_enabled(&self) -> bool {
        self.boolean(Property::TcpUserTimeoutEnabled)
    }

    /// Whether the peer's user timeout may change the connection's timeout.
    pub fn tcp_user_timeout_changeable(&self) -> bool {
        // RFC 9622 §8.2.3: a timeout of one's own rules the peer's out.
        self.boolean(Property::TcpUserTimeoutChangeable) && self.conn_timeout().is_none()
    }

    fn value(&self, property: Property) -> PropertyValue {
        match self.store.get(property) {
            Some(value) => value.clone(),
            // No connection property's default depends on the action.
            None => property
                .default_for(Action::Initiate)
                .expect("every connection property has a default"),
        }
    }

    fn integer(&self, property: Property) -> Option<u64> {
        match self.value(property) {
            PropertyValue::Integer(value) => Some(value),
            _ => None,
        }
    }

    fn duration(&self, property: Property) -> Option<Duration> {
        match self.value(property) {
            PropertyValue::Duration(value) => Some(value),
            _ => None,
        }
    }

    fn boolean(&self, property: Property) -> bool {
        self.value(property) == PropertyValue::Boolean(true)
    }
}

/// Setters for an application that knows at compile time what it sets.
impl ConnectionProperties {
    /// Sets the bytes of a received message that a checksum must cover.
    #[must_use]
    pub fn with_recv_checksum_len(self, coverage: ChecksumCoverage) -> Self {
        self.with(Property::RecvChecksumLen, coverage)
    }

    /// Sets the priority within the group; lower is more urgent.
    #[must_use]
    pub fn with_conn_priority(self, priority: u32) -> Self {
        self.with(Property::ConnPriority, priority)
    }

    /// Sets how long reliable data may stay undelivered; `None` and zero are no limit.
    #[must_use]
    pub fn with_conn_timeout(self, timeout: Option<Duration>) -> Self {
        self.with_duration(Property::ConnTimeout, timeout, SpecialValue::Disabled)
    }

    /// Sets how long the connection may be idle before a keep-alive packet; `None` and zero send
    /// none.
    #[must_use]
    pub fn with_keep_alive_timeout(self, timeout: Option<Duration>) -> Self {
        self.with_duration(Property::KeepAliveTimeout, timeout, SpecialValue::Disabled)
    }

    /// Sets how the group shares its capacity.
    #[must_use]
    pub fn with_conn_scheduler(self, scheduler: Scheduler) -> Self {
        self.with(Property::ConnScheduler, scheduler)
    }

    /// Sets the network treatment.
    #[must_use]
    pub fn with_conn_capacity_profile(self, profile: CapacityProfile) -> Self {
        self.with(Property::ConnCapacityProfile, profile)
    }

    /// Sets whether cached state is shared outside of the group.
    #[must_use]
    pub fn with_isolate_session(self, is_isolated: bool) -> Self {
        self.with(Property::IsolateSession, is_isolated)
    }

    fn with(mut self, property: Property, value: impl Into<PropertyValue>) -> Self {
        self.store.set_typed(property, value);
        self
    }

    fn with_duration(
        self,
        property: Property,
        duration: Option<Duration>,
        otherwise: SpecialValue,
    ) -> Self {
        match duration.filter(|duration| !duration.is_zero()) {
            Some(duration) => self.with(property, duration),
            None => self.with(property, otherwise),
        }
    }
}

impl TryFrom<Store> for ConnectionProperties {
    type Error = PropertyError;

    fn try_from(store: Store) -> Result<Self, PropertyError> {
        for (property, _) in store.iter() {
            connection_property(property, "set")?;
        }
        Ok(ConnectionProperties { store })
    }
}

impl From<ConnectionProperties> for Store {
    fn from(properties: ConnectionProperties) -> Self {
        properties.store
    }
}

fn connection_property(
    property: Property,
    operation: &'static str,
) -> Result<Property, PropertyError> {
    match property.class() {
        PropertyClass::Connection => Ok(property),
        PropertyClass::ReadOnly if operation == "set" => Err(PropertyError::ReadOnly {
            name: property.name(),
        }),
        class => Err(PropertyError::WrongClass {
            name: property.name(),
            class,
            operation,
        }),
    }
}
