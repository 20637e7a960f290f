//! What the property store promises: one row a property, one value whichever way it is reached.

use super::message::PRIORITY_DEFAULT;
use super::*;
use crate::path::InterfaceKind;
use std::time::Duration;

/// A value that is acceptable and not the default, as a typed value and as text.
fn sample(property: Property) -> (PropertyValue, &'static str) {
    let sample: (PropertyValue, _) = match property.value_type() {
        PropertyType::Boolean => {
            let is_default = property.default_for(Action::Initiate) == Some(true.into());
            (
                (!is_default).into(),
                if is_default { "FALSE" } else { "True" },
            )
        }
        PropertyType::Preference => (Preference::Avoid.into(), "Avoid"),
        PropertyType::Direction => (Direction::UnidirectionalSend.into(), "Unidirectional Send"),
        PropertyType::Multipath => (Multipath::Active.into(), "Active"),
        PropertyType::MultipathPolicy => (MultipathPolicy::Aggregate.into(), "aggregate"),
        PropertyType::CapacityProfile => (CapacityProfile::Scavenger.into(), "scavenger"),
        PropertyType::Scheduler => (Scheduler::RoundRobin.into(), "round_robin"),
        PropertyType::ConnectionState => (ConnectionState::Closing.into(), "closing"),
        PropertyType::Interfaces => (
            PathPreferences::<InterfaceSelector>::new()
                .with(Preference::Require, "eth0")
                .with(Preference::Avoid, InterfaceKind::Cellular)
                .into(),
            "require:eth0, avoid:type:cellular",
        ),
        PropertyType::Pvds => (
            PathPreferences::<PvdSelector>::new()
                .with(Preference::Prefer, "pvd.example.com")
                .into(),
            "prefer:pvd.example.com",
        ),
        PropertyType::Integer { .. } | PropertyType::IntegerOr { .. } => (7u64.into(), "7"),
        PropertyType::DurationOr(_) => (Duration::from_millis(1500).into(), "1500ms"),
    };
    sample
}

fn settable() -> impl Iterator<Item = Property> {
    Property::ALL
        .iter()
        .copied()
        .filter(|property| property.class() != PropertyClass::ReadOnly)
}

#[test]
fn each_property_is_set_alike_by_key_by_name_and_by_text() {
    for property in settable() {
        let (value, text) = sample(property);
        let mut by_key = TransportProperties::new();
        by_key.set(property, value.clone()).unwrap();
        let mut by_name = TransportProperties::new();
        by_name
            .set(property.name().to_uppercase().as_str(), text)
            .unwrap();
        assert_eq!(by_key, by_name, "{property}");
        assert_eq!(by_name.get(property.name()), Ok(Some(value)), "{property}");
        assert!(by_name.is_explicit(property), "{property}");
        assert!(!TransportProperties::new().is_explicit(property));
    }
}

#[test]
fn serialised_properties_come_back_equal() {
    let mut properties = TransportProperties::new();
    for property in settable() {
        properties.set(property, sample(property).0).unwrap();
    }
    let json = serde_json::to_string(&properties).unwrap();
    assert_eq!(
        serde_json::from_str::<TransportProperties>(&json).unwrap(),
        properties
    );
    let connection = properties.connection_properties();
    let json = serde_json::to_string(&connection).unwrap();
    assert_eq!(
        serde_json::from_str::<ConnectionProperties>(&json).unwrap(),
        connection
    );
    let message = properties.message_properties(Action::Initiate);
    let json = serde_json::to_string(&message).unwrap();
    assert_eq!(
        serde_json::from_str::<MessageProperties>(&json).unwrap(),
        message
    );
}

#[test]
fn message_priority_default_is_the_tables() {
    assert_eq!(
        Property::MsgPriority.default_for(Action::Initiate),
        Some(PRIORITY_DEFAULT.into())
    );
    assert_eq!(MessageProperties::new().priority(), PRIORITY_DEFAULT);
}

#[test]
fn message_properties_stay_small() {
    assert!(size_of::<MessageProperties>() <= 48);
}
