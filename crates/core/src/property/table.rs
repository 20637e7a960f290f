//! The table of properties: one row for each, with name, kind, type, default and section.
//!
//! Invariant: the row of a property is at the property's own position, because one macro writes
//! both.

use super::enumeration::{
    Action, CapacityProfile, Direction, Multipath, MultipathPolicy, Scheduler,
};
use super::path_preference::PathPreferences;
use super::value::{PropertyType, PropertyValue, SpecialValue};
use super::{Preference, PropertyError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// What a property is about, which decides where and when it can be set (RFC 9622 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PropertyClass {
    /// Chooses protocols and paths; fixed once a connection exists.
    Selection,
    /// Tunes a connection, before and after it exists.
    Connection,
    /// Told by a connection.
    ReadOnly,
    /// Tunes the sending of a message.
    Message,
}

impl fmt::Display for PropertyClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PropertyClass::Selection => "selection",
            PropertyClass::Connection => "connection",
            PropertyClass::ReadOnly => "read-only",
            PropertyClass::Message => "message",
        })
    }
}

struct Row {
    name: &'static str,
    class: PropertyClass,
    value_type: PropertyType,
    default: DefaultValue,
    section: &'static str,
}

enum DefaultValue {
    /// The same for every action.
    Is(PropertyValue),
    /// One for `Initiate`, `Listen` and `Rendezvous` each.
    ByAction([PropertyValue; 3]),
    /// Taken from this property of the connection.
    Follows(Property),
    /// There is nothing before a connection exists.
    None,
}

macro_rules! properties {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $name:literal $class:ident ($section:literal)
            $value_type:expr, $default:expr;
    )+) => {
        /// A property by its RFC 9622 name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Property {
            $($(#[$doc])* $variant,)+
        }

        impl Property {
            /// Every property, in the order of the specification.
            pub const ALL: &'static [Property] = &[$(Property::$variant),+];
        }

        static ROWS: &[Row] = &[$(Row {
            name: $name,
            class: PropertyClass::$class,
            value_type: $value_type,
            default: $default,
            section: $section,
        }),+];
    };
}

const PREFERENCE: PropertyType = PropertyType::Preference;
const NUMBER: PropertyType = PropertyType::Integer {
    min: 0,
    max: u32::MAX as u64,
};
const COVERAGE: PropertyType = PropertyType::IntegerOr {
    min: 0,
    max: u32::MAX as u64,
    special: SpecialValue::FullCoverage,
};
const BOUND: PropertyType = PropertyType::IntegerOr {
    min: 1,
    max: u64::MAX,
    special: SpecialValue::Unlimited,
};
const SIZE: PropertyType = PropertyType::Integer {
    min: 0,
    max: u64::MAX,
};

const fn is(preference: Preference) -> DefaultValue {
    DefaultValue::Is(PropertyValue::Preference(preference))
}

const fn special(value: SpecialValue) -> DefaultValue {
    DefaultValue::Is(PropertyValue::Special(value))
}

const fn boolean(value: bool) -> DefaultValue {
    DefaultValue::Is(PropertyValue::Boolean(value))
}

const fn number(value: u64) -> DefaultValue {
    DefaultValue::Is(PropertyValue::Integer(value))
}

properties! {
    /// All data arrives, once and in order.
    Reliability = "reliability" Selection ("6.2.1")
        PREFERENCE, is(Preference::Require);
    /// The boundaries of messages are kept by the protocol.
    PreserveMsgBoundaries = "preserveMsgBoundaries" Selection ("6.2.2")
        PREFERENCE, is(Preference::NoPreference);
    /// Reliability can be chosen for each message.
    PerMsgReliability = "perMsgReliability" Selection ("6.2.3")
        PREFERENCE, is(Preference::NoPreference);
    /// Data arrives in the order in which it was sent.
    PreserveOrder = "preserveOrder" Selection ("6.2.4")
        PREFERENCE, is(Preference::Require);
    /// A message can travel with the establishment.
    ZeroRttMsg = "zeroRttMsg" Selection ("6.2.5")
        PREFERENCE, is(Preference::NoPreference);
    /// The connections of a group are streams of one transport connection.
    Multistreaming = "multistreaming" Selection ("6.2.6")
        PREFERENCE, is(Preference::Prefer);
    /// Everything sent is covered by a checksum.
    FullChecksumSend = "fullChecksumSend" Selection ("6.2.7")
        PREFERENCE, is(Preference::Require);
    /// Everything received is covered by a checksum.
    FullChecksumRecv = "fullChecksumRecv" Selection ("6.2.8")
        PREFERENCE, is(Preference::Require);
    /// The connection is congestion controlled.
    CongestionControl = "congestionControl" Selection ("6.2.9")
        PREFERENCE, is(Preference::Require);
    /// Keep-alive packets are sent on an idle connection.
    KeepAlive = "keepAlive" Selection ("6.2.10")
        PREFERENCE, is(Preference::NoPreference);
    /// Interfaces and types of interfaces.
    Interface = "interface" Selection ("6.2.11")
        PropertyType::Interfaces,
        DefaultValue::Is(PropertyValue::Interfaces(PathPreferences::new()));
    /// Provisioning domains and types of them.
    Pvd = "pvd" Selection ("6.2.12")
        PropertyType::Pvds, DefaultValue::Is(PropertyValue::Pvds(PathPreferences::new()));
    /// A temporary local address is used, which only IPv6 has.
    UseTemporaryLocalAddress = "useTemporaryLocalAddress" Selection ("6.2.13")
        PREFERENCE,
        DefaultValue::ByAction([
            PropertyValue::Preference(Preference::Prefer),
            PropertyValue::Preference(Preference::Avoid),
            PropertyValue::Preference(Preference::Avoid),
        ]);
    /// Several paths are used.
    Multipath = "multipath" Selection ("6.2.14")
        PropertyType::Multipath,
        DefaultValue::ByAction([
            PropertyValue::Multipath(Multipath::Disabled),
            PropertyValue::Multipath(Multipath::Passive),
            PropertyValue::Multipath(Multipath::Disabled),
        ]);
    /// Other local addresses are told to the peer.
    AdvertisesAltaddr = "advertisesAltaddr" Selection ("6.2.15")
        PropertyType::Boolean, boolean(false);
    /// The way that data flows.
    Direction = "direction" Selection ("6.2.16")
        PropertyType::Direction,
        DefaultValue::Is(PropertyValue::Direction(Direction::Bidirectional));
    /// ICMP errors that end nothing are told.
    SoftErrorNotify = "softErrorNotify" Selection ("6.2.17")
        PREFERENCE, is(Preference::NoPreference);
    /// The side that opens actively reads first.
    ActiveReadBeforeSend = "activeReadBeforeSend" Selection ("6.2.18")
        PREFERENCE, is(Preference::NoPreference);
    /// The path's traffic is counted against a quota. portway's own.
    Metered = "_portway.metered" Selection ("6.2.11")
        PREFERENCE, is(Preference::NoPreference);

    /// Bytes of a received message that a checksum must cover at least.
    RecvChecksumLen = "recvChecksumLen" Connection ("8.1.1")
        COVERAGE, special(SpecialValue::FullCoverage);
    /// The priority within the group; lower is more urgent.
    ConnPriority = "connPriority" Connection ("8.1.2")
        NUMBER, number(100);
    /// How long reliable data may stay undelivered before the connection has failed.
    ConnTimeout = "connTimeout" Connection ("8.1.3")
        PropertyType::DurationOr(SpecialValue::Disabled), special(SpecialValue::Disabled);
    /// How long a connection may be idle before a keep-alive packet.
    KeepAliveTimeout = "keepAliveTimeout" Connection ("8.1.4")
        PropertyType::DurationOr(SpecialValue::Disabled), special(SpecialValue::Disabled);
    /// How the group shares its capacity.
    ConnScheduler = "connScheduler" Connection ("8.1.5")
        PropertyType::Scheduler,
        DefaultValue::Is(PropertyValue::Scheduler(Scheduler::WeightedFairQueueing));
    /// The network treatment.
    ConnCapacityProfile = "connCapacityProfile" Connection ("8.1.6")
        PropertyType::CapacityProfile,
        DefaultValue::Is(PropertyValue::CapacityProfile(CapacityProfile::Default));
    /// What several paths are used for.
    MultipathPolicy = "multipathPolicy" Connection ("8.1.7")
        PropertyType::MultipathPolicy,
        DefaultValue::Is(PropertyValue::MultipathPolicy(MultipathPolicy::Handover));
    /// The useful minimum for sending, in bits a second.
    MinSendRate = "minSendRate" Connection ("8.1.8")
        BOUND, special(SpecialValue::Unlimited);
    /// The useful minimum for receiving, in bits a second.
    MinRecvRate = "minRecvRate" Connection ("8.1.8")
        BOUND, special(SpecialValue::Unlimited);
    /// The most that is sent, in bits a second.
    MaxSendRate = "maxSendRate" Connection ("8.1.8")
        BOUND, special(SpecialValue::Unlimited);
    /// The most that is received, in bits a second.
    MaxRecvRate = "maxRecvRate" Connection ("8.1.8")
        BOUND, special(SpecialValue::Unlimited);
    /// Connections that the peer may add to the group.
    GroupConnLimit = "groupConnLimit" Connection ("8.1.9")
        BOUND, special(SpecialValue::Unlimited);
    /// No cached state is shared outside of the group.
    IsolateSession = "isolateSession" Connection ("8.1.10")
        PropertyType::Boolean, boolean(false);
    /// The user timeout told to the peer (RFC 5482).
    TcpUserTimeoutValue = "tcp.userTimeoutValue" Connection ("8.2.1")
        PropertyType::DurationOr(SpecialValue::ProtocolDefault),
        special(SpecialValue::ProtocolDefault);
    /// Whether the user timeout option is used (RFC 5482).
    TcpUserTimeoutEnabled = "tcp.userTimeoutEnabled" Connection ("8.2.2")
        PropertyType::Boolean, boolean(false);
    /// Whether the peer's user timeout may change `connTimeout` (RFC 5482).
    TcpUserTimeoutChangeable = "tcp.userTimeoutChangeable" Connection ("8.2.3")
        PropertyType::Boolean, boolean(true);

    /// Where the connection is in its life.
    ConnState = "connState" ReadOnly ("8.1.11.1")
        PropertyType::ConnectionState, DefaultValue::None;
    /// Whether the connection can send.
    CanSend = "canSend" ReadOnly ("8.1.11.2")
        PropertyType::Boolean, DefaultValue::None;
    /// Whether the connection can receive.
    CanReceive = "canReceive" ReadOnly ("8.1.11.3")
        PropertyType::Boolean, DefaultValue::None;
    /// The longest message, in bytes, that leaves in one packet.
    SingularTransmissionMsgMaxLen = "singularTransmissionMsgMaxLen" ReadOnly ("8.1.11.4")
        PropertyType::IntegerOr {
            min: 0,
            max: u64::MAX,
            special: SpecialValue::NotApplicable,
        },
        DefaultValue::None;
    /// The longest message, in bytes, that can be sent.
    SendMsgMaxLen = "sendMsgMaxLen" ReadOnly ("8.1.11.5")
        SIZE, DefaultValue::None;
    /// The longest message, in bytes, that can be received.
    RecvMsgMaxLen = "recvMsgMaxLen" ReadOnly ("8.1.11.6")
        SIZE, DefaultValue::None;

    /// How long a message may wait before it is worth nothing.
    MsgLifetime = "msgLifetime" Message ("9.1.3.1")
        PropertyType::DurationOr(SpecialValue::Infinite), special(SpecialValue::Infinite);
    /// The priority within the connection; lower is more urgent.
    MsgPriority = "msgPriority" Message ("9.1.3.2")
        NUMBER, number(100);
    /// Delivered in the order of the sends.
    MsgOrdered = "msgOrdered" Message ("9.1.3.3")
        PropertyType::Boolean, DefaultValue::Follows(Property::PreserveOrder);
    /// May arrive twice without harm.
    SafelyReplayable = "safelyReplayable" Message ("9.1.3.4")
        PropertyType::Boolean, boolean(false);
    /// The last message.
    Final = "final" Message ("9.1.3.5")
        PropertyType::Boolean, boolean(false);
    /// Bytes of the message that a checksum must cover at least.
    MsgChecksumLen = "msgChecksumLen" Message ("9.1.3.6")
        COVERAGE, special(SpecialValue::FullCoverage);
    /// Delivered without loss.
    MsgReliable = "msgReliable" Message ("9.1.3.7")
        PropertyType::Boolean, DefaultValue::Follows(Property::Reliability);
    /// The network treatment of this message.
    MsgCapacityProfile = "msgCapacityProfile" Message ("9.1.3.8")
        PropertyType::CapacityProfile, DefaultValue::Follows(Property::ConnCapacityProfile);
    /// Not fragmented by the network layer.
    NoFragmentation = "noFragmentation" Message ("9.1.3.9")
        PropertyType::Boolean, boolean(false);
    /// Sent in one packet or not at all.
    NoSegmentation = "noSegmentation" Message ("9.1.3.10")
        PropertyType::Boolean, boolean(false);
}

impl Property {
    /// The name, with its namespace when it has one.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The namespace: `tcp` for TCP's own, `_portway` for portway's, none for generic ones.
    pub fn namespace(self) -> Option<&'static str> {
        self.name().split_once('.').map(|(namespace, _)| namespace)
    }

    /// What the property is about.
    pub fn class(self) -> PropertyClass {
        self.row().class
    }

    /// What values it takes.
    pub fn value_type(self) -> PropertyType {
        self.row().value_type
    }

    /// The section of RFC 9622 that defines it, or that it follows when it is portway's own.
    pub fn section(self) -> &'static str {
        self.row().section
    }

    /// The default when `action` establishes the connection; `None` for what only a connection
    /// can tell. A message property that follows another one has that one's default.
    pub fn default_for(self, action: Action) -> Option<PropertyValue> {
        match &self.row().default {
            DefaultValue::Is(value) => Some(value.clone()),
            DefaultValue::ByAction(values) => Some(values[action as usize].clone()),
            DefaultValue::Follows(other) => match other.default_for(action)? {
                // RFC 9622 §9.1.3.3, §9.1.3.7: the message takes the queried boolean.
                PropertyValue::Preference(level) => Some(level.is_wanted().into()),
                value => Some(value),
            },
            DefaultValue::None => None,
        }
    }

    /// The property whose value is the default of this one, if there is one.
    pub fn follows(self) -> Option<Property> {
        match self.row().default {
            DefaultValue::Follows(other) => Some(other),
            _ => None,
        }
    }

    /// The value as the property keeps it.
    ///
    /// # Errors
    /// The value is not one that the property takes.
    pub fn accept(self, value: impl Into<PropertyValue>) -> Result<PropertyValue, PropertyError> {
        let value = value.into();
        let given = value.to_string();
        self.value_type()
            .accept(value)
            .ok_or_else(|| PropertyError::UnacceptableValue {
                name: self.name(),
                expected: self.value_type(),
                given,
            })
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Property {
    type Err = PropertyError;

    /// RFC 9622 §4.1: letter case does not matter.
    fn from_str(name: &str) -> Result<Self, PropertyError> {
        Property::ALL
            .iter()
            .copied()
            .find(|property| property.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| PropertyError::UnknownName {
                name: name.to_owned(),
            })
    }
}

impl TryFrom<&str> for Property {
    type Error = PropertyError;

    fn try_from(name: &str) -> Result<Self, PropertyError> {
        name.parse()
    }
}

impl Serialize for Property {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Property {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// The selection properties whose value is a [`Preference`], so that every level fits each.
macro_rules! selection {
    ($($variant:ident),+ $(,)?) => {
        /// A selection property whose value is a [`Preference`].
        ///
        /// The others (`interface`, `pvd`, `multipath`, `advertisesAltaddr`, `direction`) have
        /// setters of their own type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum SelectionProperty {
            $(#[doc = concat!("See [`Property::", stringify!($variant), "`].")] $variant,)+
        }

        impl SelectionProperty {
            /// Every one of them, in the order of the specification.
            pub const ALL: &'static [SelectionProperty] = &[$(SelectionProperty::$variant),+];

            /// The same property among all properties.
            pub const fn property(self) -> Property {
                match self {
                    $(SelectionProperty::$variant => Property::$variant),+
                }
            }
        }
    };
}

selection! {
    Reliability,
    PreserveMsgBoundaries,
    PerMsgReliability,
    PreserveOrder,
    ZeroRttMsg,
    Multistreaming,
    FullChecksumSend,
    FullChecksumRecv,
    CongestionControl,
    KeepAlive,
    UseTemporaryLocalAddress,
    SoftErrorNotify,
    ActiveReadBeforeSend,
    Metered,
}

impl SelectionProperty {
    /// The name, with its namespace when it has one.
    pub fn name(self) -> &'static str {
        self.property().name()
    }

    /// Whether it chooses paths instead of protocols.
    pub fn is_about_paths(self) -> bool {
        matches!(
            self,
            SelectionProperty::UseTemporaryLocalAddress | SelectionProperty::Metered
        )
    }

    /// The default when `action` establishes the connection.
    pub fn default_for(self, action: Action) -> Preference {
        match self.property().default_for(action) {
            Some(PropertyValue::Preference(level)) => level,
            _ => unreachable!("rows of the selection macro have preferences"),
        }
    }
}

impl From<SelectionProperty> for Property {
    fn from(selection: SelectionProperty) -> Self {
        selection.property()
    }
}

impl fmt::Display for SelectionProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for SelectionProperty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
