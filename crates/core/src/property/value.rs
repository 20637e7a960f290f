//! Values of properties, and the types that accept them.
//!
//! Invariant: a stored value has passed its property's [`PropertyType::accept`], which is the
//! only place where text becomes a value.

use super::Preference;
use super::enumeration::{
    CapacityProfile, ConnectionState, Direction, Multipath, MultipathPolicy, Scheduler,
};
use super::message::ChecksumCoverage;
use super::path_preference::{InterfaceSelector, PathPreferences, PvdSelector};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// The value of a property.
///
/// [`PropertyValue::Text`] is what a command line or a file gives; a store turns it into the
/// value that the property's type makes of it and never keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PropertyValue {
    /// Yes or no.
    Boolean(bool),
    /// A number; rates are in bits a second, sizes in bytes.
    Integer(u64),
    /// A length of time.
    Duration(Duration),
    /// A preference.
    Preference(Preference),
    /// The way that data flows.
    Direction(Direction),
    /// The use of several paths.
    Multipath(Multipath),
    /// What several paths are used for.
    MultipathPolicy(MultipathPolicy),
    /// The network treatment.
    CapacityProfile(CapacityProfile),
    /// How a group shares its capacity.
    Scheduler(Scheduler),
    /// Where the connection is in its life.
    ConnectionState(ConnectionState),
    /// Preferences for interfaces.
    Interfaces(PathPreferences<InterfaceSelector>),
    /// Preferences for provisioning domains.
    Pvds(PathPreferences<PvdSelector>),
    /// A value outside of the property's number range.
    Special(SpecialValue),
    /// Text that is still to be understood.
    Text(String),
}

/// The values that stand beside a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SpecialValue {
    /// Switched off.
    Disabled,
    /// No bound.
    Unlimited,
    /// Without end.
    Infinite,
    /// All of the message.
    FullCoverage,
    /// The stack knows no such thing.
    NotApplicable,
    /// What the protocol does when nobody says anything.
    ProtocolDefault,
}

impl SpecialValue {
    /// The value's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            SpecialValue::Disabled => "disabled",
            SpecialValue::Unlimited => "unlimited",
            SpecialValue::Infinite => "infinite",
            SpecialValue::FullCoverage => "full-coverage",
            SpecialValue::NotApplicable => "not-applicable",
            SpecialValue::ProtocolDefault => "default",
        }
    }
}

/// What values a property takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PropertyType {
    /// `true` or `false`.
    Boolean,
    /// A [`Preference`].
    Preference,
    /// A [`Direction`].
    Direction,
    /// A [`Multipath`].
    Multipath,
    /// A [`MultipathPolicy`].
    MultipathPolicy,
    /// A [`CapacityProfile`].
    CapacityProfile,
    /// A [`Scheduler`].
    Scheduler,
    /// A [`ConnectionState`].
    ConnectionState,
    /// Preferences for interfaces.
    Interfaces,
    /// Preferences for provisioning domains.
    Pvds,
    /// A number between the bounds, both included.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A number between the bounds, or the special value.
    IntegerOr {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
        /// What may stand instead.
        special: SpecialValue,
    },
    /// A length of time above zero, or the special value.
    DurationOr(SpecialValue),
}

impl PropertyType {
    /// The names of the values when there are finitely many; empty otherwise.
    pub fn supported_values(self) -> &'static [&'static str] {
        match self {
            PropertyType::Boolean => &["true", "false"],
            PropertyType::Preference => Preference::NAMES,
            PropertyType::Direction => Direction::NAMES,
            PropertyType::Multipath => Multipath::NAMES,
            PropertyType::MultipathPolicy => MultipathPolicy::NAMES,
            PropertyType::CapacityProfile => CapacityProfile::NAMES,
            PropertyType::Scheduler => Scheduler::NAMES,
            PropertyType::ConnectionState => ConnectionState::NAMES,
            _ => &[],
        }
    }

    /// The value as this type keeps it, or `None` when the type does not take it.
    pub fn accept(self, value: PropertyValue) -> Option<PropertyValue> {
        match value {
            PropertyValue::Text(text) => self.parse(text.trim()).and_then(|v| self.accept(v)),
            value if self.contains(&value) => Some(value),
            _ => None,
        }
    }

    fn contains(self, value: &PropertyValue) -> bool {
        use PropertyValue as V;
        match (self, value) {
            (PropertyType::Boolean, V::Boolean(_))
            | (PropertyType::Preference, V::Preference(_))
            | (PropertyType::Direction, V::Direction(_))
            | (PropertyType::Multipath, V::Multipath(_))
            | (PropertyType::MultipathPolicy, V::MultipathPolicy(_))
            | (PropertyType::CapacityProfile, V::CapacityProfile(_))
            | (PropertyType::Scheduler, V::Scheduler(_))
            | (PropertyType::ConnectionState, V::ConnectionState(_))
            | (PropertyType::Interfaces, V::Interfaces(_))
            | (PropertyType::Pvds, V::Pvds(_)) => true,
            (
                PropertyType::Integer { min, max } | PropertyType::IntegerOr { min, max, .. },
                V::Integer(number),
            ) => (min..=max).contains(number),
            (
                PropertyType::IntegerOr { special, .. } | PropertyType::DurationOr(special),
                V::Special(given),
            ) => special == *given,
            (PropertyType::DurationOr(_), V::Duration(duration)) => !duration.is_zero(),
            _ => false,
        }
    }

    fn parse(self, text: &str) -> Option<PropertyValue> {
        match self {
            PropertyType::Boolean if text.eq_ignore_ascii_case("true") => {
                Some(PropertyValue::Boolean(true))
            }
            PropertyType::Boolean if text.eq_ignore_ascii_case("false") => {
                Some(PropertyValue::Boolean(false))
            }
            PropertyType::Boolean => None,
            PropertyType::Preference => text.parse().ok().map(PropertyValue::Preference),
            PropertyType::Direction => text.parse().ok().map(PropertyValue::Direction),
            PropertyType::Multipath => text.parse().ok().map(PropertyValue::Multipath),
            PropertyType::MultipathPolicy => text.parse().ok().map(PropertyValue::MultipathPolicy),
            PropertyType::CapacityProfile => text.parse().ok().map(PropertyValue::CapacityProfile),
            PropertyType::Scheduler => text.parse().ok().map(PropertyValue::Scheduler),
            PropertyType::ConnectionState => text.parse().ok().map(PropertyValue::ConnectionState),
            PropertyType::Interfaces => text.parse().ok().map(PropertyValue::Interfaces),
            PropertyType::Pvds => text.parse().ok().map(PropertyValue::Pvds),
            PropertyType::Integer { .. } => text.parse().ok().map(PropertyValue::Integer),
            PropertyType::IntegerOr { special, .. } => parse_special(text, special)
                .or_else(|| text.parse().ok().map(PropertyValue::Integer)),
            PropertyType::DurationOr(special) => parse_special(text, special)
                .or_else(|| parse_duration(text).map(PropertyValue::Duration)),
        }
    }
}

impl fmt::Display for PropertyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PropertyType::Interfaces => {
                f.write_str("a list such as require:eth0,avoid:type:cellular")
            }
            PropertyType::Pvds => f.write_str("a list such as prefer:pvd.example.com"),
            PropertyType::Integer { min, max } => write!(f, "a number from {min} to {max}"),
            PropertyType::IntegerOr { min, max, special } => {
                write!(f, "a number from {min} to {max} or {}", special.as_str())
            }
            PropertyType::DurationOr(special) => {
                write!(
                    f,
                    "a time above zero such as 30s or 250ms, or {}",
                    special.as_str()
                )
            }
            finite => write!(f, "one of {}", finite.supported_values().join(", ")),
        }
    }
}

impl fmt::Display for PropertyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PropertyValue::Boolean(value) => write!(f, "{value}"),
            PropertyValue::Integer(value) => write!(f, "{value}"),
            PropertyValue::Duration(value) => write_duration(f, *value),
            PropertyValue::Preference(value) => write!(f, "{value}"),
            PropertyValue::Direction(value) => write!(f, "{value}"),
            PropertyValue::Multipath(value) => write!(f, "{value}"),
            PropertyValue::MultipathPolicy(value) => write!(f, "{value}"),
            PropertyValue::CapacityProfile(value) => write!(f, "{value}"),
            PropertyValue::Scheduler(value) => write!(f, "{value}"),
            PropertyValue::ConnectionState(value) => write!(f, "{value}"),
            PropertyValue::Interfaces(value) => write!(f, "{value}"),
            PropertyValue::Pvds(value) => write!(f, "{value}"),
            PropertyValue::Special(value) => f.write_str(value.as_str()),
            PropertyValue::Text(value) => f.write_str(value),
        }
    }
}

/// Booleans and numbers are written as such, everything else in its text form.
impl Serialize for PropertyValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            PropertyValue::Boolean(value) => serializer.serialize_bool(*value),
            PropertyValue::Integer(value) => serializer.serialize_u64(*value),
            other => serializer.collect_str(other),
        }
    }
}

/// Reads what was written; text stays text until a property's type has understood it.
impl<'de> Deserialize<'de> for PropertyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Boolean(bool),
            Integer(u64),
            Text(String),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Boolean(value) => PropertyValue::Boolean(value),
            Written::Integer(value) => PropertyValue::Integer(value),
            Written::Text(value) => PropertyValue::Text(value),
        })
    }
}

/// Conversions from the types that applications hold in their hands.
macro_rules! from {
    ($($type:ty => $variant:ident),+ $(,)?) => {
        $(impl From<$type> for PropertyValue {
            fn from(value: $type) -> Self {
                PropertyValue::$variant(value)
            }
        })+
    };
}

from! {
    bool => Boolean,
    u64 => Integer,
    Duration => Duration,
    Preference => Preference,
    Direction => Direction,
    Multipath => Multipath,
    MultipathPolicy => MultipathPolicy,
    CapacityProfile => CapacityProfile,
    Scheduler => Scheduler,
    ConnectionState => ConnectionState,
    PathPreferences<InterfaceSelector> => Interfaces,
    PathPreferences<PvdSelector> => Pvds,
    SpecialValue => Special,
    String => Text,
}

impl From<&str> for PropertyValue {
    fn from(text: &str) -> Self {
        PropertyValue::Text(text.to_owned())
    }
}

impl From<u32> for PropertyValue {
    fn from(number: u32) -> Self {
        PropertyValue::Integer(number.into())
    }
}

impl From<ChecksumCoverage> for PropertyValue {
    fn from(coverage: ChecksumCoverage) -> Self {
        match coverage {
            ChecksumCoverage::Full => PropertyValue::Special(SpecialValue::FullCoverage),
            ChecksumCoverage::AtLeast(bytes) => PropertyValue::Integer(bytes.into()),
        }
    }
}

fn parse_special(text: &str, special: SpecialValue) -> Option<PropertyValue> {
    text.eq_ignore_ascii_case(special.as_str())
        .then_some(PropertyValue::Special(special))
}

/// The units of a written length of time with their nanoseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*nanos).map(Duration::from_nanos)
}

/// The longest unit, hours and minutes apart, in which the time is a whole number.
fn write_duration(f: &mut fmt::Formatter<'_>, duration: Duration) -> fmt::Result {
    let nanos = duration.as_nanos();
    let whole = UNITS[2..]
        .iter()
        .find(|(_, unit)| nanos.is_multiple_of(u128::from(*unit)));
    match whole {
        Some((name, unit)) => write!(f, "{}{name}", nanos / u128::from(*unit)),
        None => write!(f, "{nanos}ns"),
    }
}
