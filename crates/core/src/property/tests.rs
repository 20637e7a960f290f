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

#[test]
fn defaults_are_those_of_the_specification() {
    // Selection, connection and message properties: for initiate, listen, rendezvous.
    for (name, defaults) in [
        ("reliability", ["require"; 3]),
        ("preserveMsgBoundaries", ["no-preference"; 3]),
        ("perMsgReliability", ["no-preference"; 3]),
        ("preserveOrder", ["require"; 3]),
        ("zeroRttMsg", ["no-preference"; 3]),
        ("multistreaming", ["prefer"; 3]),
        ("fullChecksumSend", ["require"; 3]),
        ("fullChecksumRecv", ["require"; 3]),
        ("congestionControl", ["require"; 3]),
        ("keepAlive", ["no-preference"; 3]),
        ("interface", [""; 3]),
        ("pvd", [""; 3]),
        ("useTemporaryLocalAddress", ["prefer", "avoid", "avoid"]),
        ("multipath", ["disabled", "passive", "disabled"]),
        ("advertisesAltaddr", ["false"; 3]),
        ("direction", ["bidirectional"; 3]),
        ("softErrorNotify", ["no-preference"; 3]),
        ("activeReadBeforeSend", ["no-preference"; 3]),
        ("_portway.metered", ["no-preference"; 3]),
        ("recvChecksumLen", ["full-coverage"; 3]),
        ("connPriority", ["100"; 3]),
        ("connTimeout", ["disabled"; 3]),
        ("keepAliveTimeout", ["disabled"; 3]),
        ("connScheduler", ["weighted-fair-queueing"; 3]),
        ("connCapacityProfile", ["default"; 3]),
        ("multipathPolicy", ["handover"; 3]),
        ("minSendRate", ["unlimited"; 3]),
        ("minRecvRate", ["unlimited"; 3]),
        ("maxSendRate", ["unlimited"; 3]),
        ("maxRecvRate", ["unlimited"; 3]),
        ("groupConnLimit", ["unlimited"; 3]),
        ("isolateSession", ["false"; 3]),
        ("tcp.userTimeoutValue", ["default"; 3]),
        ("tcp.userTimeoutEnabled", ["false"; 3]),
        ("tcp.userTimeoutChangeable", ["true"; 3]),
        ("connState", ["none"; 3]),
        ("canSend", ["none"; 3]),
        ("canReceive", ["none"; 3]),
        ("singularTransmissionMsgMaxLen", ["none"; 3]),
        ("sendMsgMaxLen", ["none"; 3]),
        ("recvMsgMaxLen", ["none"; 3]),
        ("msgLifetime", ["infinite"; 3]),
        ("msgPriority", ["100"; 3]),
        ("msgOrdered", ["true"; 3]),
        ("safelyReplayable", ["false"; 3]),
        ("final", ["false"; 3]),
        ("msgChecksumLen", ["full-coverage"; 3]),
        ("msgReliable", ["true"; 3]),
        ("msgCapacityProfile", ["default"; 3]),
        ("noFragmentation", ["false"; 3]),
        ("noSegmentation", ["false"; 3]),
    ] {
        let property: Property = name.parse().unwrap();
        let found = [Action::Initiate, Action::Listen, Action::Rendezvous].map(|action| {
            let default = property.default_for(action);
            default.map_or_else(|| "none".to_owned(), |value| value.to_string())
        });
        assert_eq!(found, defaults, "{name}");
    }
    assert_eq!(Property::ALL.len(), 51);
}

#[test]
fn names_and_namespaces_are_known() {
    assert_eq!("CONNTIMEOUT".parse(), Ok(Property::ConnTimeout));
    assert_eq!(Property::ConnTimeout.namespace(), None);
    assert_eq!(Property::TcpUserTimeoutValue.namespace(), Some("tcp"));
    assert_eq!(Property::Metered.namespace(), Some("_portway"));
    assert_eq!(Property::MsgReliable.section(), "9.1.3.7");
    let error = "connTimeouts".parse::<Property>().unwrap_err();
    assert_eq!(error.to_string(), "there is no property \"connTimeouts\"");
}

#[test]
fn values_of_another_type_or_out_of_bounds_are_refused() {
    for (name, value) in [
        ("reliability", PropertyValue::Boolean(true)),
        ("reliability", "maybe".into()),
        ("connPriority", (u64::from(u32::MAX) + 1).into()),
        ("connPriority", "-1".into()),
        ("minSendRate", 0u64.into()),
        ("minSendRate", "disabled".into()),
        ("connTimeout", Duration::ZERO.into()),
        ("connTimeout", "0s".into()),
        ("connTimeout", "30".into()),
        ("connTimeout", "s".into()),
        ("connTimeout", "30 s".into()),
        ("connTimeout", 30u64.into()),
        ("connTimeout", SpecialValue::Unlimited.into()),
        ("connTimeout", "18446744073709551615h".into()),
        ("direction", "sideways".into()),
        ("interface", "eth0".into()),
        ("interface", "require:".into()),
        ("interface", "require:type:fibre".into()),
        ("pvd", "require:type:".into()),
        ("isolateSession", "yes".into()),
    ] {
        let given = value.to_string();
        let mut properties = TransportProperties::new();
        let error = properties.set(name, value).unwrap_err();
        assert!(
            matches!(error, PropertyError::UnacceptableValue { .. }),
            "{name}={given}"
        );
        assert!(error.to_string().contains(&given), "{error}");
        assert_eq!(properties, TransportProperties::new());
    }
}

#[test]
fn bounds_themselves_are_accepted() {
    let mut properties = TransportProperties::new();
    properties.set("connPriority", u32::MAX).unwrap();
    properties.set("connPriority", 0u32).unwrap();
    properties.set("minSendRate", 1u64).unwrap();
    properties.set("maxSendRate", u64::MAX).unwrap();
    properties.set("recvChecksumLen", 0u32).unwrap();
    properties
        .set("connTimeout", Duration::from_nanos(1))
        .unwrap();
}

#[test]
fn times_are_printed_in_the_longest_unit_that_fits() {
    for text in ["30s", "1500ms", "7us", "999ns", "7200s"] {
        let value = Property::ConnTimeout.accept(text).unwrap();
        assert_eq!(value.to_string(), text);
    }
    for (text, printed) in [("2h", "7200s"), ("3m", "180s"), ("1000ms", "1s")] {
        assert_eq!(
            Property::ConnTimeout.accept(text).unwrap().to_string(),
            printed
        );
    }
}

#[test]
fn read_only_properties_and_those_of_another_class_are_refused() {
    let mut transport = TransportProperties::new();
    let read_only = PropertyError::ReadOnly { name: "connState" };
    assert_eq!(transport.set("connState", "closed"), Err(read_only.clone()));
    assert_eq!(transport.get("connState"), Ok(None));
    let mut connection = ConnectionProperties::new();
    assert_eq!(connection.set("connState", "closed"), Err(read_only));
    let error = connection.set("reliability", "avoid").unwrap_err();
    assert_eq!(
        error.to_string(),
        "reliability is a selection property and cannot be set here"
    );
    assert!(connection.get("msgPriority").is_err() && connection.get("canSend").is_err());
    let mut message = MessageProperties::new();
    assert!(message.set("connPriority", 1u32).is_err() && message.get("reliability").is_err());
    let json = r#"{"connState":"closed"}"#;
    assert!(serde_json::from_str::<TransportProperties>(json).is_err());
    assert!(serde_json::from_str::<ConnectionProperties>(r#"{"final":true}"#).is_err());
    assert!(serde_json::from_str::<MessageProperties>(r#"{"connPriority":1}"#).is_err());
    assert!(serde_json::from_str::<TransportProperties>(r#"{"nonsense":1}"#).is_err());
}

#[test]
fn the_profiles_are_those_of_appendix_b() {
    use Preference::{Avoid, NoPreference, Require};
    let properties = [
        SelectionProperty::Reliability,
        SelectionProperty::PreserveOrder,
        SelectionProperty::CongestionControl,
        SelectionProperty::PreserveMsgBoundaries,
    ];
    for (profile, levels, is_replayable) in [
        (
            TransportProperties::reliable_inorder_stream(),
            [Require, Require, Require, NoPreference],
            false,
        ),
        (TransportProperties::reliable_message(), [Require; 4], false),
        (
            TransportProperties::unreliable_datagram(),
            [Avoid, Avoid, NoPreference, Require],
            true,
        ),
    ] {
        let found = properties.map(|property| profile.preference(property, Action::Initiate));
        assert_eq!(found, levels);
        assert!(
            properties
                .iter()
                .all(|property| profile.is_explicit(*property))
        );
        let message = profile.message_properties(Action::Initiate);
        assert_eq!(message.is_safely_replayable(), is_replayable);
    }
}

#[test]
fn messages_follow_what_the_connection_is_asked_for() {
    let mut properties = TransportProperties::new().avoid(SelectionProperty::Reliability);
    properties
        .set("connCapacityProfile", CapacityProfile::Scavenger)
        .unwrap();
    let message = properties.message_properties(Action::Initiate);
    assert_eq!(message.is_reliable(), Some(false));
    assert_eq!(message.is_ordered(), Some(true));
    assert_eq!(message.capacity_profile(), Some(CapacityProfile::Scavenger));
    properties.set("msgReliable", true).unwrap();
    let message = properties.message_properties(Action::Initiate);
    assert_eq!(message.is_reliable(), Some(true));
    assert_eq!(MessageProperties::new().is_reliable(), None);
}

#[test]
fn a_message_takes_from_the_defaults_only_what_it_does_not_set() {
    let defaults = MessageProperties::new()
        .with_priority(7)
        .with_lifetime(Some(Duration::from_secs(1)))
        .with_final(true);
    let message = MessageProperties::new().with_lifetime(None).or(&defaults);
    assert_eq!(message.priority(), 7);
    assert_eq!(message.lifetime(), None, "infinite was set");
    assert!(message.is_final());
    assert!(
        MessageProperties::new()
            .with_lifetime(Some(Duration::ZERO))
            .lifetime()
            .is_none()
    );
}

#[test]
fn keep_alives_beyond_the_connection_timeout_are_off() {
    let seconds = |count| Some(Duration::from_secs(count));
    let base = ConnectionProperties::new().with_keep_alive_timeout(seconds(10));
    assert_eq!(base.keep_alive_timeout(), seconds(10));
    let with = |limit| {
        base.clone()
            .with_conn_timeout(seconds(limit))
            .keep_alive_timeout()
    };
    assert_eq!(with(9), None);
    assert_eq!(with(10), seconds(10));
    assert!(base.tcp_user_timeout_changeable());
    assert!(
        !base
            .with_conn_timeout(seconds(1))
            .tcp_user_timeout_changeable()
    );
    assert_eq!(
        ConnectionProperties::new()
            .with_conn_timeout(seconds(0))
            .conn_timeout(),
        None
    );
}

#[test]
fn typed_getters_agree_with_the_table() {
    let defaults = ConnectionProperties::new();
    assert_eq!(defaults.recv_checksum_len(), ChecksumCoverage::Full);
    assert_eq!(defaults.conn_priority(), 100);
    assert_eq!(
        (defaults.conn_timeout(), defaults.keep_alive_timeout()),
        (None, None)
    );
    assert_eq!(defaults.conn_scheduler(), Scheduler::WeightedFairQueueing);
    assert_eq!(defaults.conn_capacity_profile(), CapacityProfile::Default);
    assert_eq!(defaults.multipath_policy(), MultipathPolicy::Handover);
    assert_eq!(
        (defaults.min_send_rate(), defaults.max_recv_rate()),
        (None, None)
    );
    assert!(!defaults.isolate_session() && !defaults.tcp_user_timeout_enabled());
    let mut set = defaults.clone();
    for (property, rate) in [
        ("minSendRate", 1u64),
        ("minRecvRate", 2),
        ("maxSendRate", 3),
        ("maxRecvRate", 4),
        ("groupConnLimit", 5),
    ] {
        set.set(property, rate).unwrap();
    }
    let rates = [
        set.min_send_rate(),
        set.min_recv_rate(),
        set.max_send_rate(),
        set.max_recv_rate(),
    ];
    assert_eq!(rates, [Some(1), Some(2), Some(3), Some(4)]);
    assert_eq!(set.group_conn_limit(), Some(5));
    assert_eq!(set.explicit().count(), 5);
    assert!(set.is_explicit(Property::MinSendRate) && !defaults.is_explicit(Property::MinSendRate));
    assert_eq!(set.iter().count(), 16);
    let typed = ConnectionProperties::new()
        .with_recv_checksum_len(ChecksumCoverage::AtLeast(8))
        .with_conn_priority(1)
        .with_conn_scheduler(Scheduler::PriorityBased)
        .with_conn_capacity_profile(CapacityProfile::Scavenger)
        .with_isolate_session(true);
    assert_eq!(typed.recv_checksum_len(), ChecksumCoverage::AtLeast(8));
    assert_eq!((typed.conn_priority(), typed.isolate_session()), (1, true));
    assert_eq!(typed.conn_scheduler(), Scheduler::PriorityBased);
    let transport = TransportProperties::new().with_connection_properties(&typed);
    assert_eq!(transport.connection_properties(), typed);
}

#[test]
fn has_tells_what_is_asked_for() {
    let properties = TransportProperties::new().prohibit(SelectionProperty::KeepAlive);
    for (name, expected) in [
        ("reliability", true),
        ("multistreaming", true),
        ("keepAlive", false),
        ("zeroRttMsg", false),
        ("tcp.userTimeoutChangeable", true),
        ("isolateSession", false),
        ("connPriority", false),
    ] {
        assert_eq!(properties.has(name), Ok(expected), "{name}");
    }
    assert!(properties.has("nonsense").is_err());
}

#[test]
fn an_interface_has_one_preference_and_none_is_no_entry() {
    let set = PathPreferences::<InterfaceSelector>::new()
        .with(Preference::Require, "eth0")
        .with(Preference::Avoid, "eth0");
    assert_eq!(set.to_string(), "avoid:eth0");
    assert!(set.with(Preference::NoPreference, "eth0").is_empty());
    let colon: PathPreferences<InterfaceSelector> = "prefer:eth0:1".parse().unwrap();
    assert_eq!(colon.to_string(), "prefer:eth0:1");
}

#[test]
fn every_enumeration_lists_its_values_and_reads_each() {
    for &property in Property::ALL {
        for text in property.value_type().supported_values() {
            let value = property.accept(*text).unwrap();
            assert_eq!(value.to_string(), *text, "{property}");
        }
    }
    assert_eq!(
        Property::ConnScheduler
            .value_type()
            .supported_values()
            .len(),
        6
    );
    assert!(
        Property::ConnTimeout
            .value_type()
            .supported_values()
            .is_empty()
    );
}

#[test]
fn unset_takes_back_what_was_set() {
    let mut properties = TransportProperties::new().avoid(SelectionProperty::Reliability);
    properties.unset("reliability").unwrap();
    assert_eq!(properties, TransportProperties::new());
}
